"""Turn a device's page into candidates for ingestion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.base import Transformer
from pulsebase.ingest.candidates import Candidates


@dataclass(frozen=True, slots=True)
class DevicePage:
    """Readings of one metric, device and person: microseconds UTC, the metric's unit, confidence 0–3 or -1 for none."""

    user_id: str
    device_id: str
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8]


class DeviceTransformer(Transformer[DevicePage, Candidates]):
    """The page's columns, with the person and the device in every row."""

    def transform(self, page: DevicePage) -> Candidates:
        count = len(page.times_us)
        return Candidates(
            [page.user_id] * count, [page.device_id] * count, page.times_us, page.values, page.confidences
        )
