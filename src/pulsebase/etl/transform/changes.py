"""Look up time-zone offsets for columns of local times, and find where clocks went back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.model.timerange import DAY_US, HOUR_US, MAX_US, SECOND_US, from_us

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Clock changes are looked up, and cached, for this many days together.
_PART_US = 64 * DAY_US
#: How far around the repeated hour a night reaches: the spacing of times there tells the two passes of it apart.
_AROUND_US = 4 * HOUR_US + HOUR_US // 2
_FIRST_PART, _LAST_PART = -2, MAX_US // _PART_US - 1


@dataclass(frozen=True, slots=True)
class Change:
    """A moment, in microseconds UTC, at which a zone's offset changed, and both offsets."""

    at_us: int
    before_us: int
    after_us: int


@dataclass(frozen=True, slots=True)
class FallBack:
    """The local times, from `start_us` up to `end_us`, that occurred twice."""

    start_us: int
    end_us: int

    @property
    def change_us(self) -> int:
        """Return by how much the clocks went back, in microseconds."""
        return self.end_us - self.start_us


@dataclass(frozen=True, slots=True)
class Offsets:
    """The offsets of a column of local times in a zone.

    Attributes:
        first_us: their UTC offsets. For a time that occurred twice it is the first offset, and for a time that does not
            exist the one before the change.
        skipped: which of the times do not exist.
        night_of: the index in `nights` of the fall-back that a time is near, -1 for none.
    """

    first_us: Ints
    skipped: Mask
    night_of: Ints
    nights: list[FallBack]


def offsets_of(wall_us: Ints, zone: ZoneInfo) -> Offsets:
    """Return the offsets of local times, given as microseconds since 1970-01-01 00:00, in the years 1969 to 9998."""
    starts, offsets, changes = _steps(wall_us, zone)
    first_us = offsets[np.searchsorted(starts, wall_us, side="right") - 1]
    skipped = np.zeros(len(wall_us), np.bool_)
    night_of = np.full(len(wall_us), -1, np.int64)
    nights: list[FallBack] = []
    for change in changes:
        if change.after_us > change.before_us:
            skipped |= (wall_us >= change.at_us + change.before_us) & (wall_us < change.at_us + change.after_us)
            continue
        night = FallBack(change.at_us + change.after_us, change.at_us + change.before_us)
        around_us = max(_AROUND_US, night.change_us)
        near = (wall_us >= night.start_us - around_us) & (wall_us < night.end_us + around_us)
        if near.any():
            night_of[near] = len(nights)
            nights.append(night)
    return Offsets(first_us, skipped, night_of, nights)


def _steps(wall_us: Ints, zone: ZoneInfo) -> tuple[Ints, Ints, list[Change]]:
    """Return the local times from which another offset applies (taking the first of two readings), these offsets, and
    the changes on the days around the times.
    """
    parts = np.clip(wall_us // _PART_US, _FIRST_PART + 1, _LAST_PART - 1)
    low, high = (int(parts.min()), int(parts.max())) if len(parts) else (0, 0)
    present = range(low, high + 1) if high - low < len(parts) else np.unique(parts).tolist()
    asked = sorted({near for part in present for near in (part - 1, part, part + 1)})
    starts: list[int] = []
    offsets: list[int] = []
    changes: list[Change] = []
    last = None
    for part in asked:
        begin_us, found = _changes_in(zone, part)
        if part - 1 != last:
            starts.append(part * _PART_US)
            offsets.append(begin_us)
        for change in found:
            starts.append(change.at_us + max(change.before_us, change.after_us))
            offsets.append(change.after_us)
        changes += found
        last = part
    return np.array(starts, np.int64), np.array(offsets, np.int64), changes


@lru_cache(maxsize=1 << 14)
def _changes_in(zone: ZoneInfo, part: int) -> tuple[int, tuple[Change, ...]]:
    """Return the offset at the beginning of some days, and the changes on them. Since 1970 no zone has had two changes
    within three days.
    """
    days = [part * _PART_US + n * DAY_US for n in range(_PART_US // DAY_US + 1)]
    offsets = [_offset_us(at_us, zone) for at_us in days]
    spans = pairwise(zip(days, offsets, strict=True))
    found = [
        Change(_moment_of(zone, early_us, late_us), before_us, after_us)
        for (early_us, before_us), (late_us, after_us) in spans
        if before_us != after_us
    ]
    return offsets[0], tuple(found)


def _moment_of(zone: ZoneInfo, early_us: int, late_us: int) -> int:
    """Return when the offset changed between two moments, to the second."""
    before_us = _offset_us(early_us, zone)
    while late_us - early_us > SECOND_US:
        middle_us = (early_us + late_us) // 2 // SECOND_US * SECOND_US
        if _offset_us(middle_us, zone) == before_us:
            early_us = middle_us
        else:
            late_us = middle_us
    return late_us


def _offset_us(at_us: int, zone: ZoneInfo) -> int:
    offset = zone.utcoffset(from_us(at_us).astimezone(zone))
    assert offset is not None  # a ZoneInfo always has one
    return offset // timedelta(microseconds=1)
