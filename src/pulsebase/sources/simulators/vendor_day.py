"""Compute what a vendor states about a civil day: means of its minutes and a resting heart rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pulsebase.model.timerange import MINUTE_US, TimeRange
from pulsebase.sources.synthetic import Samples

_WINDOW_MINUTES = 30
#: A window with fewer minutes of data than this says nothing.
_WINDOW_MINUTES_NEEDED = 20


def minute_means(samples: Samples) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the UTC minutes (since 1970) with a counted reading, ascending, and the mean of each in bpm."""
    counted = samples.confidences != 0
    minutes, place = np.unique(samples.times_us[counted] // MINUTE_US, return_inverse=True)
    sums = np.bincount(place, samples.bpm[counted], len(minutes))
    return minutes, sums / np.bincount(place, minlength=len(minutes))


def lowest_half_hour(
    minutes: npt.NDArray[np.int64], means: npt.NDArray[np.float64], asleep: Sequence[TimeRange]
) -> float | None:
    """Return the lowest mean of minute means over 30 whole minutes asleep, to a tenth of a bpm; None if there is
    none.
    """
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
