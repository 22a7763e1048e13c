"""Turn the pages of the Google Health API into readings and daily summaries."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.nightly import NightsPage, by_night
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import UnreadableAnswerError
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import MINUTE_US, SECOND_US, from_us, parse_reading_time
from pulsebase.sources.google_shapes import DailySleepTemperature, DataPoint, SampleTime

#: The method of this source's resting heart rates, which marks them as the vendor's.
METHOD = "google"
#: The service's zones, lowest first, and their names in Pulsebase.
ZONE_NAMES = {"LIGHT": "Out of Range", "MODERATE": "Fat Burn", "VIGOROUS": "Cardio", "PEAK": "Peak"}
_OFFSET = re.compile(r"-?\d{1,6}s", re.ASCII)


@dataclass(frozen=True, slots=True)
class PointsPage:
    """A page of readings."""

    user_id: str
    device_id: str
    points: Sequence[DataPoint]


@dataclass(frozen=True, slots=True)
class ZonesPage:
    """The source's data about the civil days from `first` to `last`. The periods in zones may extend beyond them."""

    user_id: str
    first: date
    last: date
    resting: Sequence[DataPoint]
    zones: Sequence[DataPoint]
    stretches: Sequence[DataPoint]


class GoogleHeartRateTransformer(Transformer[PointsPage, Candidates]):
    """Makes the readings of a page. The source states no confidence."""

    def transform(self, page: PointsPage) -> Candidates:
        found = [point.heart_rate for point in page.points if point.heart_rate is not None]
        with _readable("beatsPerMinute"):
            return _by_instant(page, [(each.sample_time, int(each.beats_per_minute)) for each in found])


class GoogleOxygenTransformer(Transformer[PointsPage, Candidates]):
    """Percent."""

    def transform(self, page: PointsPage) -> Candidates:
        found = [point.oxygen_saturation for point in page.points if point.oxygen_saturation is not None]
        return _by_instant(page, [(each.sample_time, each.percentage) for each in found])


class GoogleVariabilityTransformer(Transformer[PointsPage, Candidates]):
    """One of the two measures, in milliseconds. An SDNN of 0 is none: beats are never all alike."""

    def __init__(self, measure: Literal["rmssd", "sdnn"]) -> None:
        self._measure = measure

    def transform(self, page: PointsPage) -> Candidates:
        found = [point.heart_rate_variability for point in page.points if point.heart_rate_variability is not None]
        return _by_instant(page, [(each.sample_time, getattr(each, self._measure) or None) for each in found])


class GoogleRespiratoryTransformer(Transformer[NightsPage[DataPoint], Candidates]):
    """Breaths a minute, a value a night."""

    def transform(self, page: NightsPage[DataPoint]) -> Candidates:
        found = [point.daily_respiratory_rate for point in page.nights if point.daily_respiratory_rate is not None]
        with _readable("date"):
            return by_night(page, [(each.date.as_date(), each.breaths_per_minute) for each in found])


class GoogleSkinTemperatureTransformer(Transformer[NightsPage[DataPoint], Candidates]):
    """The temperature of each night, or how far it was from the usual one, in degrees Celsius."""

    def __init__(self, *, from_usual: bool) -> None:
        self._value_of = _from_usual if from_usual else _nightly

    def transform(self, page: NightsPage[DataPoint]) -> Candidates:
        points = [point.daily_sleep_temperature_derivations for point in page.nights]
        with _readable("date"):
            return by_night(page, [(each.date.as_date(), self._value_of(each)) for each in points if each is not None])


class GoogleSummaryTransformer(Transformer[ZonesPage, Sequence[DailySummary]]):
    """Makes a summary for each day with a resting heart rate or time in a zone."""

    def transform(self, page: ZonesPage) -> Sequence[DailySummary]:
        with _readable("dailyRestingHeartRate"):
            resting = {
                point.daily_resting_heart_rate.date.as_date(): int(point.daily_resting_heart_rate.beats_per_minute)
                for point in page.resting
                if point.daily_resting_heart_rate is not None
            }
        minutes = _minutes(page.stretches)
        zones = _zones(page.zones, minutes)
        days = sorted(day for day in resting.keys() | minutes.keys() if page.first <= day <= page.last)
        return [DailySummary(page.user_id, day, resting.get(day), METHOD, zones.get(day, ())) for day in days]


def _nightly(night: DailySleepTemperature) -> float | None:
    return night.nightly_temperature_celsius


def _from_usual(night: DailySleepTemperature) -> float | None:
    nightly, usual = night.nightly_temperature_celsius, night.baseline_temperature_celsius
    return None if nightly is None or usual is None else nightly - usual


def _by_instant(page: PointsPage, samples: Sequence[tuple[SampleTime, float | None]]) -> Candidates:
    """Return the values at their instants. Times without a value have none."""
    stated = [(time.physical_time, value) for time, value in samples if value is not None]
    with _readable("sampleTime"):
        times_us = _instants([text for text, _ in stated])
    count = len(stated)
    return Candidates(
        [page.user_id] * count,
        [page.device_id] * count,
        times_us,
        np.array([value for _, value in stated], np.float64),
        np.full(count, NO_CONFIDENCE, np.int8),
    )


def _minutes(stretches: Sequence[DataPoint]) -> dict[date, dict[str, int]]:
    """Return the minutes by civil day and zone, rounded half up. A period belongs to the day on which it began."""
    spent: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with _readable("timeInHeartRateZone"):
        for point in stretches:
            stretch = point.time_in_heart_rate_zone
            if stretch is not None:
                interval = stretch.interval
                start_us = parse_reading_time(interval.start_time)
                if not _OFFSET.fullmatch(interval.start_utc_offset):
                    raise ValueError
                day = from_us(start_us + int(interval.start_utc_offset[:-1]) * SECOND_US).date()
                spent[day][stretch.heart_rate_zone_type] += parse_reading_time(interval.end_time) - start_us
    return {
        day: {kind: (length_us + MINUTE_US // 2) // MINUTE_US for kind, length_us in kinds.items()}
        for day, kinds in spent.items()
    }


def _zones(points: Sequence[DataPoint], minutes: dict[date, dict[str, int]]) -> dict[date, tuple[HeartRateZone, ...]]:
    """Return the zones of each day, with minutes for the days that have any."""
    found = {}
    with _readable("dailyHeartRateZones"):
        for point in points:
            if point.daily_heart_rate_zones is not None:
                day = point.daily_heart_rate_zones.date.as_date()
                spent = minutes.get(day)
                found[day] = tuple(
                    HeartRateZone(
                        ZONE_NAMES.get(zone.heart_rate_zone_type, zone.heart_rate_zone_type),
                        int(zone.min_beats_per_minute),
                        int(zone.max_beats_per_minute),
                        None if spent is None else spent.get(zone.heart_rate_zone_type, 0),
                    )
                    for zone in point.daily_heart_rate_zones.heart_rate_zones
                )
    return found


def _instants(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the microseconds since 1970 of texts `…Z`, all at once. Anything else raises `ValueError`."""
    if not all(text.endswith("Z") for text in texts):
        raise ValueError
    return np.array([text[:-1] for text in texts], "datetime64[us]").astype(np.int64)


@contextmanager
def _readable(field: str) -> Iterator[None]:
    """Turn errors in the block into one that names the field, but nothing of its content."""
    try:
        yield
    except ValueError:
        raise UnreadableAnswerError.of(field, "is not what the service documents") from None
