"""The reference for rollups: what a bucket is, how buckets merge, and which device wins a minute.

Everything works on whole NumPy columns in ascending order of time. Each store's own aggregation (SQL) is tested against
this module, and this module against the memory store, which shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsebase.model.columns import Columns
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.timerange import MINUTE_US
from pulsebase.model.users import default_priority

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I16 = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Buckets(Columns):
    """Columns of buckets with at least one counted reading, ascending by `start_us`.

    `sum`, `min` and `max` are in hundredths of the unit; `minutes` is how many distinct UTC minutes hold a counted
    reading.
    """

    start_us: I64
    count: I64
    sum: I64
    min: I16
    max: I16
    minutes: I64

    @classmethod
    def empty(cls) -> Buckets:
        """No bucket."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, none.astype(np.int16), none.astype(np.int16), none)

    @classmethod
    def concatenated(cls, parts: Sequence[Buckets]) -> Buckets:
        """The buckets of all parts, which must not overlap, in order of time."""
        together = cls.joined(parts)
        return together.ordered() if len(parts) > 1 else together

    def ordered(self) -> Buckets:
        """The same buckets in order of time; equal starts keep their order."""
        return self.take(np.argsort(self.start_us, kind="stable"))


def averages(sums: I64, counts: I64, scale: int = HEART_RATE.scale) -> npt.NDArray[np.float64]:
    """Return the mean of all readings in the metric's unit, of which `scale` stored units make one: one correctly
    rounded division of two numbers that are exact below 2**53. It is not rounded further, and is never a mean of means.
    """
    return sums / (counts * scale)


def floors(times_us: I64, step_us: int) -> I64:
    """The start of the bucket of `step_us` that each time lies in; buckets are counted from 1970 in UTC."""
    return times_us // step_us * step_us


def days_of(times_us: I64, day_starts: I64) -> I64:
    """The start of the civil day that each time lies in, out of ascending starts (the last entry only ends a day)."""
    return day_starts[np.searchsorted(day_starts, times_us, side="right") - 1]


def buckets_of_readings(times_us: I64, values: I16, starts_us: I64) -> Buckets:
    """The buckets of counted readings in ascending order; `starts_us` is each reading's bucket start."""
    if len(times_us) == 0:
        return Buckets.empty()
    first = _group_firsts(starts_us)
    minute = times_us // MINUTE_US
    # A reading opens a minute of its bucket where the minute or the bucket differs from the reading before it.
    opens = np.empty(len(times_us), np.int64)
    opens[0] = 1
    opens[1:] = (minute[1:] != minute[:-1]) | (starts_us[1:] != starts_us[:-1])
    return Buckets(
        starts_us[first],
        np.diff(np.append(first, len(times_us))),
        np.add.reduceat(values.astype(np.int64), first),
        np.minimum.reduceat(values, first),
        np.maximum.reduceat(values, first),
        np.add.reduceat(opens, first),
    )


def merged(buckets: Buckets, starts_us: I64) -> Buckets:
    """Finer buckets, which must not share a minute, merged into the coarser ones that start at `starts_us`."""
    if len(buckets) == 0:
        return buckets
    first = _group_firsts(starts_us)
    return Buckets(
        starts_us[first],
        np.add.reduceat(buckets.count, first),
        np.add.reduceat(buckets.sum, first),
        np.minimum.reduceat(buckets.min, first),
        np.maximum.reduceat(buckets.max, first),
        np.add.reduceat(buckets.minutes, first),
    )


def _group_firsts(keys: I64) -> npt.NDArray[np.intp]:
    return np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))


#: One person's own priorities: device number → (valid_from_us, priority or None for the default) ascending by time.
PriorityHistory = Mapping[int, Sequence[tuple[int, int | None]]]


class DeviceRanks:
    """Ranks devices: the lowest priority number wins, and of equal ones the smallest id as bytes.

    The device with the lower rank wins; two devices never share a rank. `device_id` returns the id of a device number.
    """

    def __init__(self, present: Iterable[int], device_id: Callable[[int], str]) -> None:
        numbers = sorted((int(number) for number in present), key=lambda number: device_id(number).encode())
        self._places = {number: place for place, number in enumerate(numbers)}
        self._ids = {number: device_id(number) for number in numbers}
        self._defaults = np.zeros(max(numbers, default=0) + 1, np.int64)
        for number in numbers:
            self._defaults[number] = self._rank(default_priority(self._ids[number]), number)

    def by_default(self, devices: I32) -> I64:
        """The ranks where nobody set priorities of their own."""
        return self._defaults[devices]

    def at(self, times_us: I64, devices: I32, history: PriorityHistory) -> I64:
        """One person's ranks at the starts of the readings' minutes."""
        ranks = self.by_default(devices)
        for number, entries in history.items():
            if number not in self._places:
                continue
            of_device = devices == number
            default = default_priority(self._ids[number])
            levels = np.array([default, *(default if value is None else value for _, value in entries)], np.int64)
            starts = np.array([start for start, _ in entries], np.int64)
            minutes_us = floors(times_us[of_device], MINUTE_US)
            ranks[of_device] = self._rank(levels[np.searchsorted(starts, minutes_us, side="right")], number)
        return ranks

    def _rank(self, priority: Any, number: int) -> Any:
        return priority * len(self._places) + self._places[number]


def winning_rows(minutes: I64, ranks: I64, counted: Mask) -> Mask:
    """Return which readings are counted and belong to the device that wins their minute: the one with the lowest rank
    among those with counted readings.

    `minutes` identifies the minute of each row, ascending; the columns must hold whole minutes.
    """
    if len(minutes) == 0:
        return counted
    contenders = np.where(counted, ranks, np.iinfo(np.int64).max)
    first = _group_firsts(minutes)
    best = np.minimum.reduceat(contenders, first)
    winning: Mask = counted & (ranks == np.repeat(best, np.diff(np.append(first, len(minutes)))))
    return winning
