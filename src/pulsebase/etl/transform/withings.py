"""Turn the answers of the Withings API into readings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.nightly import NightsPage, by_night, values_inside
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import UnreadableAnswerError
from pulsebase.model.timerange import SECOND_US, TimeRange
from pulsebase.sources.withings_shapes import WithingsNight

_LONGEST_SECOND = 12


@dataclass(frozen=True, slots=True)
class WithingsPage:
    """Values by seconds since 1970, as texts. What lies inside `interval` is wanted."""

    user_id: str
    device_id: str
    interval: TimeRange
    values: Mapping[str, float | None]


class WithingsSamplesTransformer(Transformer[WithingsPage, Candidates]):
    """Makes the readings inside the interval. 0 and null are none. The source states no confidence."""

    def transform(self, page: WithingsPage) -> Candidates:
        found = sorted((_second(text), value) for text, value in page.values.items() if value)
        times_us = np.array([second * SECOND_US for second, _ in found], np.int64)
        return values_inside(page.user_id, page.device_id, page.interval, times_us, [value for _, value in found])


class WithingsBreathingTransformer(Transformer[NightsPage[WithingsNight], Candidates]):
    """Breaths a minute, a value a night. 0 is none."""

    def transform(self, page: NightsPage[WithingsNight]) -> Candidates:
        return by_night(page, ((night.date, night.breaths_a_minute or None) for night in page.nights))


def _second(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_SECOND):
        raise UnreadableAnswerError.of("series", "is not what the service documents")
    return int(text)
