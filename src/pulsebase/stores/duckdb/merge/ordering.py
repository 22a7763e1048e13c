"""Storage order: readings by (UTC day, person, device, time), so that a person's day lies together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsebase.model.rollups import I64, Mask
from pulsebase.model.timerange import DAY_US
from pulsebase.stores.duckdb.merge.stage import Rows
from pulsebase.stores.duckdb.people.series_numbers import MOST_PEOPLE, metrics_of, people_of

#: Bits of the microseconds of a day: 2**37 > 86.4e9.
_DAY_BITS = 37
_KEY_BITS = 63
#: Rows per piece, see `in_pieces`.
_PIECE_ROWS = 1 << 17
#: Every 64th row is sampled to choose the cuts between pieces of about equal size.
_SAMPLE_STRIDE = 64

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class StorageOrder:
    """The storage order of rows that are given in order of arrival.

    Attributes:
        kept: indices of the rows that stay, the last of each (person, device, time), in storage order.
        replaced: indices of the others.
        codes: if rows were replaced, one number per row: equal for rows of the same reading, ascending in storage
            order.
    """

    kept: Indices
    replaced: Indices
    codes: I64 | None = None


def storage_order(rows: Rows) -> StorageOrder:
    """Work out the storage order of rows.

    This exploits how readings arrive: each device's mostly in order of time. Rows are first sorted stably into groups
    of (day, person, device), which keeps the order of arrival inside each group; only rows older than one before them
    in their group then have to be moved.
    """
    none = np.empty(0, np.intp)
    if len(rows) == 0:
        return StorageOrder(none, none)
    groups, in_day = _groups(rows)
    order = np.argsort(_narrow(groups), kind="stable")
    groups <<= _DAY_BITS
    groups |= in_day
    keys = groups[order]
    behind = np.flatnonzero(keys[1:] <= np.maximum.accumulate(keys)[:-1]) + 1
    if len(behind) == 0:
        return StorageOrder(order, none)
    kept = _with_stragglers(order, keys, behind)
    gone: Mask = np.ones(len(rows), np.bool_)
    gone[kept] = False
    replaced = np.flatnonzero(gone)
    return StorageOrder(kept, replaced, groups if len(replaced) else None)


def in_pieces(stored: Rows, arrived: Sequence[Rows]) -> Iterator[tuple[int, Rows]]:
    """Divide all rows into pieces that follow each other in storage order.

    Yields for each piece how many stored rows it has, and its rows: the stored ones, then the others in order of
    arrival.

    No person's day is in two pieces. Pieces are small, so that the data of one stays in the processor's caches and
    memory is reused from piece to piece: touching fresh pages costs more than the computation.
    """
    parts = [part for whole in (stored, *arrived) for part in _cut(whole)]
    count = sum(map(len, parts))
    if count <= _PIECE_ROWS:
        if count:
            yield len(stored), Rows.joined(parts)
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
        rows = Rows.joined(taken)
        if len(rows):
            yield sum(map(len, taken[:stored_parts])), rows


def group_starts(*columns: npt.NDArray[np.generic]) -> Indices:
    """Return the indices at which runs of equal neighbours start; rows are equal if all columns are."""
    count = len(columns[0])
    if count == 0:
        return np.empty(0, np.intp)
    starts: Mask = np.zeros(count, np.bool_)
    starts[0] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(starts)


def distinct(codes: I64) -> I64:
    """Return the distinct codes, ascending. Neighbours are often equal, which saves most of the sorting."""
    return np.unique(codes[group_starts(codes)])


def _with_stragglers(order: Indices, keys: I64, behind: Indices) -> Indices:
    """Order the rows by key, keeping the last arrival of each; all but the rows `behind` are in order already."""
    in_time: Mask = np.ones(len(order), np.bool_)
    in_time[behind] = False
    kept, kept_keys = order[in_time], keys[in_time]
    by_key = np.argsort(keys[behind], kind="stable")  # arrival decides among equals
    late, late_keys = order[behind][by_key], keys[behind][by_key]
    last = np.append(group_starts(late_keys), len(late))[1:] - 1
    late, late_keys = late[last], late_keys[last]
    place = np.searchsorted(kept_keys, late_keys)
    # A row that is behind arrived after the row of the same key that is in order.
    again = kept_keys[np.minimum(place, len(kept_keys) - 1)] == late_keys
    kept[place[again]] = late[again]
    return np.insert(kept, place[~again], late[~again])


@dataclass(frozen=True, slots=True)
class _Scale:
    """Encodes (day, series, device) in numbers of the same order."""

    first_day: int
    people: int
    devices: int
    #: How many metrics `people` is for; 0 if there is heart rate alone.
    metrics: int

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> _Scale:
        """Make an encoding that covers every row of these parts."""
        highest = max(int(part.user_no.max()) for part in parts)
        metrics = 0
        if highest >= MOST_PEOPLE:
            metrics = highest // MOST_PEOPLE + 1
            highest = metrics * (max(int(people_of(part.user_no).max()) for part in parts) + 1) - 1
        return cls(
            min(int(part.t.min()) for part in parts) // DAY_US,
            highest + 1,
            max(int(part.device_no.max()) for part in parts) + 1,
            metrics,
        )

    def groups(self, rows: Rows) -> tuple[I64, I64]:
        """Return the code of each row, and its microseconds since midnight UTC."""
        numbers = rows.t // DAY_US
        in_day = rows.t - numbers * DAY_US
        numbers -= self.first_day
        numbers *= self.people
        numbers += self._series(rows)
        numbers *= self.devices
        numbers += rows.device_no
        return numbers, in_day

    def _series(self, rows: Rows) -> npt.NDArray[np.signedinteger[Any]]:
        """Return the numbers of the series, without gaps between the metrics."""
        if not self.metrics:
            return rows.user_no
        people = self.people // self.metrics
        return metrics_of(rows.user_no).astype(np.int64) * people + people_of(rows.user_no)

    def order(self, rows: Rows) -> tuple[npt.NDArray[np.unsignedinteger[Any]], Indices]:
        """Return the sorted codes, and the indices they come from; equal ones stay in order of arrival."""
        numbers = _narrow(self.groups(rows)[0])
        order = np.argsort(numbers, kind="stable")
        return numbers[order], order

    def cuts(self, ordered: Sequence[npt.NDArray[np.unsignedinteger[Any]]], pieces: int) -> I64:
        """Choose codes that cut all rows into about `pieces` equal parts, each at the start of a person's day."""
        samples = np.sort(np.concatenate([numbers[::_SAMPLE_STRIDE] for numbers in ordered]).astype(np.int64))
        inner = samples[np.arange(1, pieces) * len(samples) // pieces]
        return np.unique(np.concatenate(([0], inner // self.devices * self.devices, [np.iinfo(np.int64).max])))


def _cut(rows: Rows) -> list[Rows]:
    return [rows.take(slice(start, start + _PIECE_ROWS)) for start in range(0, len(rows), _PIECE_ROWS)]


def _groups(rows: Rows) -> tuple[I64, I64]:
    """Return codes that order as (day, person, device) does, and the microseconds since midnight UTC."""
    groups, in_day = _Scale.of([rows]).groups(rows)
    if int(groups.max()).bit_length() + _DAY_BITS > _KEY_BITS:
        # Too many combinations for the bits that are left: number the ones that occur.
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return groups, in_day


def _narrow(groups: I64) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Cast to the narrowest type that fits: NumPy sorts 16-bit numbers by radix, in a fraction of the time."""
    return groups.astype(np.min_scalar_type(int(groups.max())))
