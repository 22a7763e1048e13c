"""Heart rate variability of RR intervals: SDNN and RMSSD in the time domain.

The definitions are those of the Task Force of the European Society of Cardiology and the North American Society of
Pacing and Electrophysiology (Heart rate variability: standards of measurement, physiological interpretation and
clinical use. Circulation 1996; 93:1043–1065): SDNN is the standard deviation of normal intervals, RMSSD the root of the
mean squared difference of successive ones. The standard deviation is that of a sample (n − 1).

An interval ends with a beat, which is its time. Intervals that are hardly those of normal beats are left out, see
`beat_verdicts`; what that comes to is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.columns import Columns
from pulsebase.model.metrics import RR_INTERVAL
from pulsebase.model.timerange import MINUTE_US

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Two beats are successive if the later interval begins where the earlier one ended, give or take so much. The shortest
#: interval that is usually stored is 250 ms long, so that no beat fits between them.
TOLERANCE_US = 100_000
#: An interval is left out if it differs from the one before it by more than 1/5 of that.
DIFFERENCE_PART = 5
#: What answers call the definition and the rule, and what that means.
METHOD_NAME = "task-force-1996"
METHOD = (
    "Task Force 1996 (Circulation 93:1043), SDNN with n − 1; left out: an interval more than 20 % from the one stored "
    "just before it, or that begins before the beat stored just before it"
)
#: The length of short windows, as the Task Force recommends for short recordings.
FIVE_MINUTES_US = 5 * MINUTE_US
#: How many kept intervals a window must have before anything is stated of it: of five minutes half of what a heart has
#: at 40 bpm, of a night an hour's at 50 bpm. RMSSD takes half as many differences besides.
LEAST_BEATS_FIVE_MINUTES = 100
LEAST_BEATS_NIGHT = 3_000

_US_PER_UNIT = 1_000 // RR_INTERVAL.scale


@dataclass(frozen=True, slots=True)
class Beats(Columns):
    """Beats in order of time. `times_us` is the instant of the beat that ends the interval, `intervals` the interval in
    stored units of `RR_INTERVAL`, `devices` a number for the device.
    """

    times_us: I64
    intervals: I64
    devices: I64

    @classmethod
    def in_order(cls, times_us: npt.ArrayLike, intervals: npt.ArrayLike, devices: npt.ArrayLike | None = None) -> Beats:
        """Beats in any order, put into that of time; equal times keep their order. Without `devices` it is one."""
        times = np.asarray(times_us, np.int64)
        numbers = np.zeros(len(times), np.int64) if devices is None else np.asarray(devices, np.int64)
        beats = cls(times, np.asarray(intervals, np.int64), numbers)
        if np.all(times[1:] >= times[:-1]):
            return beats
        return beats.take(np.argsort(times, kind="stable"))


@dataclass(frozen=True, slots=True)
class WindowSums(Columns):
    """What beats come to by window, ascending by `start_us`: exact integers, which add up where a window is read in
    pieces.

    Attributes:
        beats: how many intervals were kept.
        left_out: how many were not.
        total, squares: the sum of kept intervals in stored units, and of their squares.
        differences, difference_squares: how many differences of successive kept intervals there are, and the sum of
            their squares.
    """

    start_us: I64
    beats: I64
    left_out: I64
    total: I64
    squares: I64
    differences: I64
    difference_squares: I64

    @classmethod
    def empty(cls) -> WindowSums:
        """No window."""
        return cls(*[np.empty(0, np.int64)] * 7)

    def merged(self, later: WindowSums) -> WindowSums:
        """Both, where windows may occur in each."""
        both = WindowSums.joined([self, later])
        starts, places = np.unique(both.start_us, return_inverse=True)
        sums = []
        for name in self.__match_args__[1:]:
            column = np.zeros(len(starts), np.int64)
            np.add.at(column, places, getattr(both, name))
            sums.append(column)
        return WindowSums(starts, *sums)


@dataclass(frozen=True, slots=True)
class Variability(Columns):
    """What is stated of windows: `rmssd` and `sdnn` in ms, NaN where there are too few beats for them."""

    start_us: I64
    rmssd: F64
    sdnn: F64
    beats: I64
    left_out: I64


def beat_verdicts(beats: Beats) -> tuple[Mask, Mask]:
    """Return which intervals are kept, and which of those follow a kept one directly.

    Each interval is compared with the one stored just before it, of the same device, whether that was kept or not:

    - It is successive if it begins where that one ended, give or take `TOLERANCE_US`. Where it begins later there is a
      gap, and nothing to compare with: it is kept.
    - It is left out if it begins earlier than that, since a heart does not beat twice at once: a beat was stored twice.
    - It is left out if it is successive, and more than 20 % longer or shorter than the one before.
    """
    kept, follows = np.ones(len(beats), np.bool_), np.zeros(len(beats), np.bool_)
    before, after = beats.intervals[:-1], beats.intervals[1:]
    apart_us = beats.times_us[1:] - after * _US_PER_UNIT - beats.times_us[:-1]
    same_device = beats.devices[1:] == beats.devices[:-1]
    successive = same_device & (np.abs(apart_us) <= TOLERANCE_US)
    overlaps = same_device & (apart_us < -TOLERANCE_US)
    kept[1:] = ~overlaps & ~(successive & (DIFFERENCE_PART * np.abs(after - before) > before))
    follows[1:] = successive & kept[1:] & kept[:-1]
    return kept, follows


def window_sums(beats: Beats, starts_us: I64, ends_us: I64, since_us: int) -> WindowSums:
    """Return what the beats from `since_us` on come to, by window; windows without a beat are left out.

    Windows are half-open, ascending, and do not overlap. Beats before `since_us` are only there to be compared with. A
    difference counts if both of its beats are in the window.
    """
    kept, follows = beat_verdicts(beats)
    places = np.searchsorted(starts_us, beats.times_us, side="right") - 1
    inside = places >= 0
    inside[inside] = beats.times_us[inside] < ends_us[places[inside]]
    follows[1:] &= inside[:-1] & (places[1:] == places[:-1])
    rows = np.flatnonzero(inside & (beats.times_us >= since_us))
    if len(rows) == 0:
        return WindowSums.empty()
    of_row, mine = places[rows], kept[rows].astype(np.int64)
    firsts = np.flatnonzero(np.concatenate(([True], of_row[1:] != of_row[:-1])))
    values = beats.intervals[rows] * mine
    following = follows[rows].astype(np.int64)
    steps = np.diff(beats.intervals, prepend=np.int64(0))[rows] * following
    sums = [np.add.reduceat(each, firsts) for each in (mine, 1 - mine, values, values**2, following, steps**2)]
    return WindowSums(starts_us[of_row[firsts]], *sums)


def variability(sums: WindowSums, least_beats: int) -> Variability:
    """Return SDNN and RMSSD of windows; NaN with fewer than `least_beats` kept intervals, which must be 2 or more.

    RMSSD is NaN too with fewer differences than half of that, rounded up.
    """
    enough = sums.beats >= least_beats
    enough_differences = enough & (sums.differences >= -(-least_beats // 2))
    # Whole numbers of any size: products of the sums of a night are beyond 64 bits, and nothing is to cancel out.
    count, total, squares = (column[enough].astype(object) for column in (sums.beats, sums.total, sums.squares))
    sdnn = _root((count * squares - total * total) / (count * (count - 1)), enough)
    steps, step_squares = (
        column[enough_differences].astype(object) for column in (sums.differences, sums.difference_squares)
    )
    rmssd = _root(step_squares / steps, enough_differences)
    return Variability(sums.start_us, rmssd, sdnn, sums.beats, sums.left_out)


def five_minutes_in(start_us: int, end_us: int) -> tuple[I64, I64]:
    """Return the starts and ends of the windows of five minutes, counted from 1970 in UTC, from `start_us` to `end_us`,
    which are bounds of such windows.
    """
    starts = np.arange(start_us, end_us, FIVE_MINUTES_US, dtype=np.int64)
    return starts, starts + FIVE_MINUTES_US


def _root(squares: npt.NDArray[np.object_], where: Mask) -> F64:
    """The square roots in ms, at the places of `where`; NaN elsewhere."""
    found = np.full(len(where), np.nan)
    found[where] = np.sqrt(squares.astype(np.float64)) / RR_INTERVAL.scale
    return found
