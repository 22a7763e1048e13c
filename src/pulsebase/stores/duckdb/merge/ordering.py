"""The order of stored readings: (UTC day, person, device, time), so that a day of one person lies together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsebase.model.rollups import I64, Mask
from pulsebase.model.timerange import DAY_US
from pulsebase.stores.duckdb.merge.stage import Rows

#: Bits of the microseconds of a day: 2**37 > 86.4e9.
_DAY_BITS = 37
_KEY_BITS = 63
#: Rows of a piece, see `in_pieces`.
_PIECE_ROWS = 1 << 17
#: One of so many rows is looked at to cut pieces of equal size.
_SAMPLED = 64

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Order:
    """The order of storage of rows that are given in the order of their arrival.

    `kept` are the places of the rows that stay, the last of each (person, device, time), in the order of storage;
    `replaced` the places of the others. Where there are any, `codes` has a number a row: the same for rows of the same
    reading, and ascending in the order of storage.
    """

    kept: Places
    replaced: Places
    codes: I64 | None = None


def order_of(rows: Rows) -> Order:
    """How to bring rows into the order of storage.

    Made for how readings arrive: each device's mostly in order of time. Groups of (day, person, device) are told apart
    first, which keeps the order of arrival inside each; only rows that are behind the latest before them in their group
    have to find their place.
    """
    none = np.empty(0, np.intp)
    if len(rows) == 0:
        return Order(none, none)
    groups, in_day = _groups(rows)
    order = np.argsort(_narrow(groups), kind="stable")
    groups <<= _DAY_BITS
    groups |= in_day
    keys = groups[order]
    behind = np.flatnonzero(keys[1:] <= np.maximum.accumulate(keys)[:-1]) + 1
    if len(behind) == 0:
        return Order(order, none)
    kept = _with_stragglers(order, keys, behind)
    gone: Mask = np.ones(len(rows), np.bool_)
    gone[kept] = False
    replaced = np.flatnonzero(gone)
    return Order(kept, replaced, groups if len(replaced) else None)


def in_pieces(stored: Rows, arrived: Sequence[Rows]) -> Iterator[tuple[int, Rows]]:
    """All rows in pieces that follow each other in the order of storage.

    Of each piece: how many stored rows it has, and its rows, those first and then the others in order of arrival.

    No person's day is in two of them. They are small, so that what is computed about one stays in the processor's
    caches, and memory that was asked for once serves for all: fresh pages cost more than the computing.
    """
    parts = [part for whole in (stored, *arrived) for part in _cut(whole)]
    count = sum(map(len, parts))
    if count <= _PIECE_ROWS:
        if count:
            yield len(stored), Rows.concatenated(parts)
        return
    scale = _Scale.of(parts)
    places = [scale.order(part) for part in parts]
    cuts = scale.cuts([codes for codes, _ in places], -(-count // _PIECE_ROWS))
    ends = [np.searchsorted(codes, cuts).tolist() for codes, _ in places]
    stored_parts = len(_cut(stored))
    for piece in range(len(cuts) - 1):
        taken = [
            part.take(order[end[piece] : end[piece + 1]])
            for part, (_, order), end in zip(parts, places, ends, strict=True)
        ]
        rows = Rows.concatenated(taken)
        if len(rows):
            yield sum(map(len, taken[:stored_parts])), rows


def changes(*columns: npt.NDArray[np.generic]) -> Places:
    """The places where a group of equal neighbours starts, over all columns together."""
    count = len(columns[0])
    if count == 0:
        return np.empty(0, np.intp)
    starts: Mask = np.zeros(count, np.bool_)
    starts[0] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(starts)


def distinct(codes: I64) -> I64:
    """The different ones, ascending. Neighbours are often equal, which spares most of the sorting."""
    return np.unique(codes[changes(codes)])


def _with_stragglers(order: Places, keys: I64, behind: Places) -> Places:
    """The places in order of `keys`, the last arrival of each, when all but those `behind` are in order already."""
    in_time: Mask = np.ones(len(order), np.bool_)
    in_time[behind] = False
    kept, kept_keys = order[in_time], keys[in_time]
    by_key = np.argsort(keys[behind], kind="stable")  # arrival decides among equals
    late, late_keys = order[behind][by_key], keys[behind][by_key]
    last = np.append(changes(late_keys), len(late))[1:] - 1
    late, late_keys = late[last], late_keys[last]
    place = np.searchsorted(kept_keys, late_keys)
    # What is behind arrived after the row of the same key that is not.
    again = kept_keys[np.minimum(place, len(kept_keys) - 1)] == late_keys
    kept[place[again]] = late[again]
    return np.insert(kept, place[~again], late[~again])


@dataclass(frozen=True, slots=True)
class _Scale:
    """Numbers that order as (day, person, device) does."""

    first_day: int
    people: int
    devices: int

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> _Scale:
        """One that has a number for each row of these parts."""
        return cls(
            min(int(part.t.min()) for part in parts) // DAY_US,
            max(int(part.user_no.max()) for part in parts) + 1,
            max(int(part.device_no.max()) for part in parts) + 1,
        )

    def groups(self, rows: Rows) -> tuple[I64, I64]:
        """A number a row, and the microseconds since its day began."""
        numbers = rows.t // DAY_US
        in_day = rows.t - numbers * DAY_US
        numbers -= self.first_day
        numbers *= self.people
        numbers += rows.user_no
        numbers *= self.devices
        numbers += rows.device_no
        return numbers, in_day

    def order(self, rows: Rows) -> tuple[npt.NDArray[np.unsignedinteger[Any]], Places]:
        """The numbers in order, and the places they come from, equal ones in the order of arrival."""
        numbers = _narrow(self.groups(rows)[0])
        order = np.argsort(numbers, kind="stable")
        return numbers[order], order

    def cuts(self, ordered: Sequence[npt.NDArray[np.unsignedinteger[Any]]], pieces: int) -> I64:
        """Numbers that cut all rows into about so many equal pieces, at the first device of a person's day."""
        samples = np.sort(np.concatenate([numbers[::_SAMPLED] for numbers in ordered]).astype(np.int64))
        inner = samples[np.arange(1, pieces) * len(samples) // pieces]
        return np.unique(np.concatenate(([0], inner // self.devices * self.devices, [np.iinfo(np.int64).max])))


def _cut(rows: Rows) -> list[Rows]:
    return [rows.take(slice(start, start + _PIECE_ROWS)) for start in range(0, len(rows), _PIECE_ROWS)]


def _groups(rows: Rows) -> tuple[I64, I64]:
    """A number a row that orders as (day, person, device) does, and the microseconds since the day began."""
    groups, in_day = _Scale.of([rows]).groups(rows)
    if int(groups.max()).bit_length() + _DAY_BITS > _KEY_BITS:
        # Too many combinations for the bits that are left: number those that occur.
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return groups, in_day


def _narrow(groups: I64) -> npt.NDArray[np.unsignedinteger[Any]]:
    """In the narrowest type that fits: NumPy sorts 16 bits by radix, in a fraction of the time."""
    return groups.astype(np.min_scalar_type(int(groups.max())))
