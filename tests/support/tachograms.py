"""Synthetic beats: a heart rate that breathing and slow waves sway, with ectopic beats and beats that were missed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

#: Microseconds of one stored unit of an RR interval, 0.1 ms.
UNIT_US = 100


def tachogram(seed: int, count: int, start_us: int, *, ectopic: float = 0.0, missed: float = 0.0) -> tuple[I64, I64]:
    """Return the times of `count` beats in microseconds and their intervals in tenths of a millisecond.

    `ectopic` is the share of beats that come early, with a pause after them; `missed` the share of beats that were not
    recorded, with a few beats after each.
    """
    rng = np.random.default_rng(seed)
    beat = np.arange(count)
    mean_ms = rng.uniform(700, 1000)
    breathing = rng.uniform(20, 45) * np.sin(2 * np.pi * beat * mean_ms / 1000 * 0.25)
    slow = rng.uniform(10, 30) * np.sin(2 * np.pi * beat * mean_ms / 1000 * 0.1 + 1)
    intervals = np.round((mean_ms + breathing + slow + rng.normal(0, 8, count)) * 10).astype(np.int64)
    early = np.flatnonzero(rng.random(count - 2) < ectopic) + 1
    taken = (intervals[early] * rng.uniform(0.3, 0.45, len(early))).astype(np.int64)
    intervals[early] -= taken
    intervals[early + 1] += taken
    times = start_us + np.cumsum(intervals) * UNIT_US
    recorded = np.ones(count, np.bool_)
    for place in np.flatnonzero(rng.random(count - 2) < missed) + 1:
        recorded[place : place + int(rng.integers(1, 6))] = False
    return times[recorded], intervals[recorded]
