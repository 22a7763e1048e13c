"""From a civil day of readings to its summary: resting heart rate and minutes in zones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.base import Transformer
from pulsebase.etl.transform.heart_rate import DevicePage
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import MINUTE_US, TimeRange
from pulsebase.model.zones import fitbit_zones, zone_minutes

#: How the resting heart rate below is defined; kept beside every value, since no two vendors agree.
RESTING_METHOD = "synthetic-lowest-30min"
_WINDOW_MINUTES = 30
#: A window with fewer minutes of data than this says nothing.
_WINDOW_MINUTES_NEEDED = 20


@dataclass(frozen=True, slots=True)
class DayPage:
    """One civil day: its readings, when the person slept in it, and 220 − age on that day, in bpm."""

    day: date
    readings: DevicePage
    asleep: Sequence[TimeRange]
    max_heart_rate: int


class SummaryTransformer(Transformer[DayPage, Sequence[DailySummary]]):
    """One summary a day; a day without a counted reading has none."""

    def transform(self, page: DayPage) -> Sequence[DailySummary]:
        minutes, means = minute_means(page.readings)
        if not len(minutes):
            return []
        resting = lowest_half_hour(minutes, means, page.asleep)
        zones = zone_minutes(means, fitbit_zones(page.max_heart_rate))
        method = None if resting is None else RESTING_METHOD
        return [DailySummary(page.readings.user_id, page.day, resting, method, zones)]


def minute_means(page: DevicePage) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The UTC minutes (since 1970) with a reading that counts, ascending, and the mean of each in bpm."""
    counted = page.confidences != 0
    minutes, place = np.unique(page.times_us[counted] // MINUTE_US, return_inverse=True)
    sums = np.bincount(place, page.bpm[counted], len(minutes))
    return minutes, sums / np.bincount(place, minlength=len(minutes))


def lowest_half_hour(
    minutes: npt.NDArray[np.int64], means: npt.NDArray[np.float64], asleep: Sequence[TimeRange]
) -> float | None:
    """The lowest mean of minute means over 30 whole minutes asleep, to a tenth of a bpm; None without such a window."""
    lowest: list[float] = []
    for night in asleep:
        first, last = -(-night.start_us // MINUTE_US), night.end_us // MINUTE_US
        if last - first < _WINDOW_MINUTES:
            continue
        inside = (minutes >= first) & (minutes < last)
        sums, counts = np.zeros(last - first + 1), np.zeros(last - first + 1)
        sums[minutes[inside] - first + 1], counts[minutes[inside] - first + 1] = means[inside], 1
        in_window = [np.cumsum(column) for column in (sums, counts)]
        total, known = (column[_WINDOW_MINUTES:] - column[:-_WINDOW_MINUTES] for column in in_window)
        enough = known >= _WINDOW_MINUTES_NEEDED
        if enough.any():
            lowest.append(float(np.min(total[enough] / known[enough])))
    return round(min(lowest), 1) if lowest else None
