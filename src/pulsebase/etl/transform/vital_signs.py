"""From a page of one metric to candidates for ingestion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.base import Transformer
from pulsebase.ingest.candidates import Candidates


@dataclass(frozen=True, slots=True)
class VitalSignsPage:
    """Readings of one metric of one device of one person: microseconds UTC, values in the metric's unit, confidence 0–3
    or -1 for none.
    """

    metric: str
    user_id: str
    device_id: str
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class MetricCandidates:
    """Candidates for readings of one metric."""

    metric: str
    candidates: Candidates

    def __len__(self) -> int:
        return len(self.candidates)


class VitalSignsTransformer(Transformer[VitalSignsPage, MetricCandidates]):
    """The page's columns, with the person and the device in every row."""

    def transform(self, page: VitalSignsPage) -> MetricCandidates:
        count = len(page.times_us)
        ids = [page.user_id] * count, [page.device_id] * count
        return MetricCandidates(page.metric, Candidates(*ids, page.times_us, page.values, page.confidences))
