"""Rollups of whole hours of several people, computed from their readings in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.rollups import (
    I16,
    I32,
    I64,
    DeviceRanks,
    Mask,
    PriorityHistory,
    winning_rows,
)
from pulsebase.model.timerange import HOUR_US, MINUTE_US, TimeRange
from pulsebase.stores.duckdb.merge.ordering import Places, changes
from pulsebase.stores.duckdb.merge.stage import Rows

MINUTES_PER_HOUR = HOUR_US // MINUTE_US
MINUTES_PER_QUARTER = 15
#: Bits of an hour since 1970 in `hour_codes`: enough until the year 9999 is over.
HOUR_BITS = 27
HOUR_MASK = (1 << HOUR_BITS) - 1
_BUCKET_TYPES = {"n": np.int32, "sum": np.int64, "min": np.int16, "max": np.int16, "minutes": np.int16}


@dataclass(frozen=True, slots=True)
class DevicePrecedence:
    """What decides between devices: the ids of device numbers, and the priorities that people set themselves."""

    device_id: Callable[[int], str]
    histories: Mapping[int, PriorityHistory]


@dataclass(frozen=True, slots=True)
class Minutes:
    """Counted readings by person, device and UTC minute: what all rollups are made of. `sum`, `min` and `max` are in
    hundredths.
    """

    user_no: npt.NDArray[np.int32]
    device_no: npt.NDArray[np.int32]
    minute: I64
    count: I64
    sum: I64
    min: I16
    max: I16
    #: The place of the first reading among all rows.
    row: Places

    def __len__(self) -> int:
        return len(self.minute)

    def take(self, index: Places | Mask) -> Minutes:
        """The minutes at these places, or where the mask is true."""
        return Minutes(*(getattr(self, field.name)[index] for field in fields(self)))

    @classmethod
    def concatenated(cls, parts: Sequence[Minutes]) -> Minutes:
        """All minutes, part after part."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def minutes_of(rows: Rows) -> Minutes:
    """The minutes of rows in the order of storage, in that order too."""
    counted = np.flatnonzero(rows.confidence != 0)
    if len(counted) < len(rows):
        rows = rows.take(counted)
    minute = rows.t // MINUTE_US
    first = changes(rows.user_no, rows.device_no, minute)
    if len(first) == 0:
        return Minutes(rows.user_no, rows.device_no, minute, minute, minute, rows.v, rows.v, first)
    return Minutes(
        rows.user_no[first],
        rows.device_no[first],
        minute[first],
        _lengths(first, len(rows)),
        np.add.reduceat(rows.v, first, dtype=np.int64),
        np.minimum.reduceat(rows.v, first),
        np.maximum.reduceat(rows.v, first),
        counted[first],
    )


def device_hours(rows: Rows, minutes: Minutes) -> pa.Table:
    """The rows of `h1_dev` for readings in the order of storage, which must hold whole hours of each device, and their
    minutes.
    """
    hours = rows.t // HOUR_US
    first = changes(rows.user_no, rows.device_no, hours)
    n_all = _lengths(first, len(rows))
    group = np.searchsorted(first, minutes.row, side="right") - 1
    buckets = _buckets(minutes, changes(group))
    place = np.unique(group)
    columns: dict[str, npt.NDArray[Any]] = {
        "user_no": rows.user_no[first],
        "device_no": rows.device_no[first],
        "hour": hours[first].astype(np.int32),
    }
    columns |= {name: _spread(values, place, len(first)) for name, values in buckets.items()}
    columns |= {"n_all": n_all.astype(np.int32), "first_t": rows.t[first], "last_t": rows.t[first + n_all - 1]}
    return pa.table(columns)


def resolved(minutes: Minutes, device_rollup: pa.Table, precedence: DevicePrecedence) -> Minutes:
    """The minutes of the devices that win them; those of an hour lie together, in order of time.

    `minutes` are of whole hours in the order of storage, `device_rollup` is `device_hours` of them.
    """
    group_codes = hour_codes(device_rollup["user_no"].to_numpy(), device_rollup["hour"].to_numpy())
    codes, devices = np.unique(group_codes[device_rollup["n"].to_numpy() > 0], return_counts=True)
    contested_codes = codes[devices > 1]
    if len(contested_codes) == 0:
        return minutes
    contested = np.isin(hour_codes(minutes.user_no, minutes.minute // MINUTES_PER_HOUR), contested_codes)
    shared = minutes.take(contested)
    shared = shared.take(np.argsort(_minute_codes(shared), kind="stable"))
    return Minutes.concatenated([minutes.take(~contested), shared.take(_winners(shared, precedence))])


def bucket_rows(minutes: Minutes, step_minutes: int, name: str) -> pa.Table:
    """Resolved minutes as rows of `h1` or `q15`: one a person and bucket, `name` being the column of the bucket."""
    bucket = minutes.minute // step_minutes
    first = changes(minutes.user_no, bucket)
    columns: dict[str, object] = {"user_no": minutes.user_no[first], name: bucket[first].astype(np.int32)}
    return pa.table(columns | _buckets(minutes, first))


def _winners(minutes: Minutes, precedence: DevicePrecedence) -> Mask:
    ranks_of = DeviceRanks(np.unique(minutes.device_no), precedence.device_id)
    ranks = ranks_of.by_default(minutes.device_no)
    for user_no, history in precedence.histories.items():
        mine = np.flatnonzero(minutes.user_no == user_no)
        if len(mine):
            ranks[mine] = ranks_of.at(minutes.minute[mine] * MINUTE_US, minutes.device_no[mine], history)
    return winning_rows(_minute_codes(minutes), ranks, np.ones(len(minutes), np.bool_))


def _minute_codes(minutes: Minutes) -> I64:
    """A number a person and minute; minutes since 1970 stay below 2**33 until the year 9999."""
    return (minutes.user_no.astype(np.int64) << 33) | minutes.minute


def hour_codes(user_no: npt.NDArray[np.int32], hour: npt.NDArray[np.signedinteger[Any]]) -> I64:
    """A number a person and hour."""
    codes = user_no.astype(np.int64) << HOUR_BITS
    codes |= hour
    return codes


def hour_table(codes: I64) -> pa.Table:
    """The people and the hours of `hour_codes`, as a relation."""
    users, hours = hours_of_codes(codes)
    return pa.table({"user_no": users, "hour": hours})


def hours_of_codes(codes: I64) -> tuple[I32, I32]:
    """The people and the hours since 1970 of `hour_codes`."""
    return (codes >> HOUR_BITS).astype(np.int32), (codes & HOUR_MASK).astype(np.int32)


def cut_at_hours(interval: TimeRange) -> tuple[TimeRange, list[TimeRange]]:
    """The whole UTC hours inside the interval, and the pieces of hours that it cuts at its ends.

    Where there is no whole hour, the first has no length, or less.
    """
    whole = TimeRange(-(-interval.start_us // HOUR_US) * HOUR_US, interval.end_us // HOUR_US * HOUR_US)
    if whole.length_us < 0:
        return whole, [interval]
    pieces = [TimeRange(interval.start_us, whole.start_us), TimeRange(whole.end_us, interval.end_us)]
    return whole, [piece for piece in pieces if piece.length_us > 0]


def _buckets(minutes: Minutes, first: Places) -> dict[str, npt.NDArray[Any]]:
    """The columns of buckets of neighbouring minutes, each of which begins at one of the places `first`."""
    if len(first) == 0:
        none = np.empty(0, np.int64)
        return {name: none.astype(dtype) for name, dtype in _BUCKET_TYPES.items()}
    return {
        "n": np.add.reduceat(minutes.count, first).astype(np.int32),
        "sum": np.add.reduceat(minutes.sum, first),
        "min": np.minimum.reduceat(minutes.min, first),
        "max": np.maximum.reduceat(minutes.max, first),
        "minutes": _lengths(first, len(minutes)).astype(np.int16),
    }


def _lengths(first: Places, count: int) -> I64:
    return np.diff(np.append(first, count))


def _spread(values: npt.NDArray[Any], place: Places, count: int) -> npt.NDArray[Any]:
    column = np.zeros(count, values.dtype)
    column[place] = values
    return column
