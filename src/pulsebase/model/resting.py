"""A resting heart rate of our own, of a civil day.

There is no single definition, and vendors do not publish theirs in full. Ours is simple, so that anybody can work it
out again: the lowest mean of half an hour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.timerange import MINUTE_US

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

#: How many minutes in a row are averaged.
MINUTES_IN_A_ROW = 30
#: Nothing is stated of a day with fewer covered minutes. The lowest half hour of a workout is no resting heart rate.
LEAST_COVERED_MINUTES = 600
#: What answers call the rule, and what that means.
METHOD_NAME = "lowest-30-minutes"
METHOD = (
    f"the lowest mean of {MINUTES_IN_A_ROW} minutes in a row, each of them with readings and of the same weight, "
    f"of a civil day with readings in {LEAST_COVERED_MINUTES} minutes or more"
)


@dataclass(frozen=True, slots=True)
class RestingHeartRate:
    """A day's resting heart rate in bpm, and when the minutes begin that have it: the first ones, if several do."""

    bpm: float
    start_us: int


def resting_heart_rate(minutes_us: I64, means: F64) -> RestingHeartRate | None:
    """Return the resting heart rate of a day; None if it has too few covered minutes, or never enough of them in a row.

    `minutes_us` are the starts of the day's covered minutes, ascending, `means` the mean heart rate of each in bpm.
    """
    if len(minutes_us) < LEAST_COVERED_MINUTES:
        return None
    last = MINUTES_IN_A_ROW - 1
    firsts = np.flatnonzero(minutes_us[last:] - minutes_us[:-last] == last * MINUTE_US)
    if len(firsts) == 0:
        return None
    half_hours = np.lib.stride_tricks.sliding_window_view(means, MINUTES_IN_A_ROW)[firsts].mean(axis=1)
    lowest = int(np.argmin(half_hours))
    return RestingHeartRate(float(half_hours[lowest]), int(minutes_us[firsts[lowest]]))
