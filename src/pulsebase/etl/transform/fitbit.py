"""Turn the pages of a Fitbit-shaped source into readings and daily summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.nightly import NightsPage, by_local_time, by_night
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import UnreadableAnswerError
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import SECOND_US, TimeRange
from pulsebase.sources.fitbit_shapes import (
    BreathingNight,
    Day,
    OxygenNight,
    Point,
    SkinTemperatureNight,
    VariabilityNight,
    Zone,
)

#: The method of this source's resting heart rates, which marks them as the vendor's.
METHOD = "fitbit"
_TIME = "00:00:00"


@dataclass(frozen=True, slots=True)
class IntradayPage:
    """Readings of the UTC day that begins at `midnight_us`. Only those inside `interval` are wanted."""

    user_id: str
    device_id: str
    midnight_us: int
    interval: TimeRange
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class DaysPage:
    """Civil days of a person."""

    user_id: str
    days: Sequence[Day]


class FitbitHeartRateTransformer(Transformer[IntradayPage, Candidates]):
    """Makes the readings inside the interval. The source states no confidence."""

    def transform(self, page: IntradayPage) -> Candidates:
        times_us = page.midnight_us + _seconds_of_day([point.time for point in page.points]) * SECOND_US
        values = np.fromiter((point.value for point in page.points), np.float64, len(page.points))
        inside = (times_us >= page.interval.start_us) & (times_us < page.interval.end_us)
        count = int(inside.sum())
        return Candidates(
            [page.user_id] * count,
            [page.device_id] * count,
            times_us[inside],
            values[inside],
            np.full(count, NO_CONFIDENCE, np.int8),
        )


class FitbitSummaryTransformer(Transformer[DaysPage, Sequence[DailySummary]]):
    """Makes a summary for each day with a resting heart rate or minutes in a zone. Zones alone say nothing."""

    def transform(self, page: DaysPage) -> Sequence[DailySummary]:
        found = []
        for day in page.days:
            value = day.value
            zones, custom = tuple(map(_zone, value.heart_rate_zones)), tuple(map(_zone, value.custom_heart_rate_zones))
            if value.resting_heart_rate is not None or any(zone.minutes is not None for zone in zones + custom):
                found.append(DailySummary(page.user_id, day.date_time, value.resting_heart_rate, METHOD, zones, custom))
        return found


class FitbitOxygenTransformer(Transformer[NightsPage[OxygenNight], Candidates]):
    """Percent, a value a minute."""

    def transform(self, page: NightsPage[OxygenNight]) -> Candidates:
        return by_local_time(page, ((each.minute, each.value) for night in page.nights for each in night.minutes))


class FitbitVariabilityTransformer(Transformer[NightsPage[VariabilityNight], Candidates]):
    """RMSSD in milliseconds, as of the start of each window of five minutes."""

    def transform(self, page: NightsPage[VariabilityNight]) -> Candidates:
        windows = (each for night in page.nights for each in night.minutes)
        return by_local_time(page, ((each.minute, each.value.rmssd) for each in windows))


class FitbitBreathingTransformer(Transformer[NightsPage[BreathingNight], Candidates]):
    """Breaths a minute, a value a night."""

    def transform(self, page: NightsPage[BreathingNight]) -> Candidates:
        return by_night(page, ((night.date_time, night.value.breathing_rate) for night in page.nights))


class FitbitSkinTemperatureTransformer(Transformer[NightsPage[SkinTemperatureNight], Candidates]):
    """The deviation in degrees Celsius, a value a night."""

    def transform(self, page: NightsPage[SkinTemperatureNight]) -> Candidates:
        return by_night(page, ((night.date_time, night.value.nightly_relative) for night in page.nights))


def _zone(zone: Zone) -> HeartRateZone:
    return HeartRateZone(zone.name, zone.min, zone.max, zone.minutes, zone.calories_out)


def _seconds_of_day(times: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the seconds since midnight of texts `HH:mm:ss`, all at once.

    Raises:
        UnreadableAnswerError: one of them is not such a time.
    """
    text = "".join(times).encode()
    if set(map(len, times)) > {len(_TIME)} or len(text) != len(times) * len(_TIME):
        raise _unreadable()
    digits = np.frombuffer(text, np.uint8).reshape(-1, len(_TIME)).astype(np.int64) - ord("0")
    numbers = digits[:, (0, 3, 6)] * 10 + digits[:, (1, 4, 7)]
    figures, colons = digits[:, (0, 1, 3, 4, 6, 7)], digits[:, (2, 5)]
    sound = ((figures >= 0) & (figures <= 9)).all() and (colons == ord(":") - ord("0")).all()
    if not sound or (numbers >= (24, 60, 60)).any():
        raise _unreadable()
    return np.asarray(numbers @ (3_600, 60, 1), np.int64)


def _unreadable() -> UnreadableAnswerError:
    return UnreadableAnswerError.of("time", "must be HH:mm:ss")
