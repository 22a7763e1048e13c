"""Turn the answers of the Oura API into readings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.nightly import NightsPage, by_night, values_inside
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import UnreadableAnswerError
from pulsebase.model.timerange import SECOND_US, TimeRange, parse_reading_time
from pulsebase.sources.oura_shapes import OuraDailyReadiness, OuraDailySpo2, OuraHeartRate, OuraSleep

DocumentT = TypeVar("DocumentT")
#: The type of a night, among naps and rests; and of what the person has deleted.
_NIGHT, _DELETED = "long_sleep", "deleted"


@dataclass(frozen=True, slots=True)
class OuraDocuments(Generic[DocumentT]):
    """Documents whose times are instants. What lies inside `interval` is wanted."""

    user_id: str
    device_id: str
    interval: TimeRange
    documents: Sequence[DocumentT]


class OuraHeartRateTransformer(Transformer[OuraDocuments[OuraHeartRate], Candidates]):
    """Makes the readings inside the interval. The source states no confidence."""

    def transform(self, page: OuraDocuments[OuraHeartRate]) -> Candidates:
        times_us = np.array([_instant(each.timestamp) for each in page.documents], np.int64)
        values = [each.bpm for each in page.documents]
        return values_inside(page.user_id, page.device_id, page.interval, times_us, values)


class OuraVariabilityTransformer(Transformer[OuraDocuments[OuraSleep], Candidates]):
    """RMSSD in milliseconds, as of the start of each window of five minutes. 0 is none: beats are never all alike."""

    def transform(self, page: OuraDocuments[OuraSleep]) -> Candidates:
        samples = [each for sleep in page.documents for each in _samples(sleep)]
        times_us = np.array([at_us for at_us, _ in samples], np.int64)
        return values_inside(page.user_id, page.device_id, page.interval, times_us, [value for _, value in samples])


class OuraBreathingTransformer(Transformer[NightsPage[OuraSleep], Candidates]):
    """Breaths a minute, a value a night."""

    def transform(self, page: NightsPage[OuraSleep]) -> Candidates:
        nights = {each.day: each.average_breath for each in page.nights if each.type in (None, _NIGHT)}
        return by_night(page, nights.items())


class OuraOxygenTransformer(Transformer[NightsPage[OuraDailySpo2], Candidates]):
    """Percent, a value a night. 0 is none."""

    def transform(self, page: NightsPage[OuraDailySpo2]) -> Candidates:
        stated = ((each.day, each.spo2_percentage) for each in page.nights)
        return by_night(page, ((day, (said.average or None) if said else None) for day, said in stated))


class OuraSkinTemperatureTransformer(Transformer[NightsPage[OuraDailyReadiness], Candidates]):
    """The deviation in degrees Celsius, a value a night."""

    def transform(self, page: NightsPage[OuraDailyReadiness]) -> Candidates:
        return by_night(page, ((each.day, each.temperature_deviation) for each in page.nights))


def _samples(sleep: OuraSleep) -> Iterator[tuple[int, float]]:
    """Yield when a window began, and its RMSSD."""
    if sleep.hrv is None or sleep.type == _DELETED:
        return
    start_us, step_us = _instant(sleep.hrv.timestamp), round(sleep.hrv.interval * SECOND_US)
    for place, value in enumerate(sleep.hrv.items):
        if value:
            yield start_us + place * step_us, value


def _instant(text: str) -> int:
    try:
        return parse_reading_time(text)
    except ValueError:
        raise UnreadableAnswerError.of("timestamp", "is not what the service documents") from None
