"""Rollups of whole hours, computed in memory from the readings of any number of people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.columns import Columns
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
from pulsebase.stores.duckdb.merge.ordering import Indices, group_starts
from pulsebase.stores.duckdb.merge.stage import Rows
from pulsebase.stores.duckdb.people.series_numbers import people_of

MINUTES_PER_HOUR = HOUR_US // MINUTE_US
MINUTES_PER_QUARTER = 15
#: Bits of an hour since 1970 in `hour_codes`: enough until the end of the year 9999.
HOUR_BITS = 27
HOUR_MASK = (1 << HOUR_BITS) - 1
_BUCKET_TYPES = {"n": np.int32, "sum": np.int64, "min": np.int16, "max": np.int16, "minutes": np.int16}


@dataclass(frozen=True, slots=True)
class DevicePrecedence:
    """What decides which device wins a minute: device ids, and the priorities that people set themselves."""

    device_id: Callable[[int], str]
    histories: Mapping[int, PriorityHistory]


@dataclass(frozen=True, slots=True)
class Minutes(Columns):
    """Counted readings aggregated by person, device and UTC minute: what all rollups are made of.

    `sum`, `min` and `max` are in hundredths of the unit.
    """

    user_no: npt.NDArray[np.int32]
    device_no: npt.NDArray[np.int32]
    minute: I64
    count: I64
    sum: I64
    min: I16
    max: I16
    #: The index of the first reading among all rows.
    row: Indices


def minutes_of(rows: Rows) -> Minutes:
    """Aggregate rows, which are in storage order, into minutes in the same order."""
    counted = np.flatnonzero(rows.confidence != 0)
    if len(counted) < len(rows):
        rows = rows.take(counted)
    minute = rows.t // MINUTE_US
    first = group_starts(rows.user_no, rows.device_no, minute)
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
    """Compute the rows of `h1_dev`.

    `rows` are in storage order and hold whole hours of each device; `minutes` are `minutes_of` them.
    """
    hours = rows.t // HOUR_US
    first = group_starts(rows.user_no, rows.device_no, hours)
    n_all = _lengths(first, len(rows))
    group = np.searchsorted(first, minutes.row, side="right") - 1
    buckets = _buckets(minutes, group_starts(group))
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
    """Keep the minutes of the devices that win them; those of an hour lie together, in order of time.

    `minutes` are of whole hours in storage order, `device_rollup` is `device_hours` of them.
    """
    group_codes = hour_codes(device_rollup["user_no"].to_numpy(), device_rollup["hour"].to_numpy())
    codes, devices = np.unique(group_codes[device_rollup["n"].to_numpy() > 0], return_counts=True)
    contested_codes = codes[devices > 1]
    if len(contested_codes) == 0:
        return minutes
    contested = np.isin(hour_codes(minutes.user_no, minutes.minute // MINUTES_PER_HOUR), contested_codes)
    shared = minutes.take(contested)
    shared = shared.take(np.argsort(_minute_codes(shared), kind="stable"))
    return Minutes.joined([minutes.take(~contested), shared.take(_winners(shared, precedence))])


def bucket_rows(minutes: Minutes, step_minutes: int, name: str) -> pa.Table:
    """Aggregate resolved minutes into rows of `h1` or `q15`, one per person and bucket; `name` is its column."""
    bucket = minutes.minute // step_minutes
    first = group_starts(minutes.user_no, bucket)
    columns: dict[str, object] = {"user_no": minutes.user_no[first], name: bucket[first].astype(np.int32)}
    return pa.table(columns | _buckets(minutes, first))


def _winners(minutes: Minutes, precedence: DevicePrecedence) -> Mask:
    ranks_of = DeviceRanks(np.unique(minutes.device_no), precedence.device_id)
    ranks = ranks_of.by_default(minutes.device_no)
    people = people_of(minutes.user_no) if precedence.histories else minutes.user_no
    for user_no, history in precedence.histories.items():
        mine = np.flatnonzero(people == user_no)
        if len(mine):
            ranks[mine] = ranks_of.at(minutes.minute[mine] * MINUTE_US, minutes.device_no[mine], history)
    return winning_rows(_minute_codes(minutes), ranks, np.ones(len(minutes), np.bool_))


def _minute_codes(minutes: Minutes) -> I64:
    """Encode person and minute in one number; minutes since 1970 stay below 2**33 until the year 9999."""
    return (minutes.user_no.astype(np.int64) << 33) | minutes.minute


def hour_codes(user_no: npt.NDArray[np.int32], hour: npt.NDArray[np.signedinteger[Any]]) -> I64:
    """Encode person and hour in one number each."""
    codes = user_no.astype(np.int64) << HOUR_BITS
    codes |= hour
    return codes


def hour_table(codes: I64) -> pa.Table:
    """Decode `hour_codes` into a relation of people and hours."""
    users, hours = hours_of_codes(codes)
    return pa.table({"user_no": users, "hour": hours})


def hours_of_codes(codes: I64) -> tuple[I32, I32]:
    """Decode `hour_codes` into people and hours since 1970."""
    return (codes >> HOUR_BITS).astype(np.int32), (codes & HOUR_MASK).astype(np.int32)


def cut_at_hours(interval: TimeRange) -> tuple[TimeRange, list[TimeRange]]:
    """Split an interval into the whole UTC hours inside it and the partial hours at its ends.

    Where there is no whole hour, the first range has a length of zero or less.
    """
    whole = TimeRange(-(-interval.start_us // HOUR_US) * HOUR_US, interval.end_us // HOUR_US * HOUR_US)
    if whole.length_us < 0:
        return whole, [interval]
    pieces = [TimeRange(interval.start_us, whole.start_us), TimeRange(whole.end_us, interval.end_us)]
    return whole, [piece for piece in pieces if piece.length_us > 0]


def _buckets(minutes: Minutes, first: Indices) -> dict[str, npt.NDArray[Any]]:
    """Aggregate runs of minutes, which begin at the indices `first`, into the columns of buckets."""
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


def _lengths(first: Indices, count: int) -> I64:
    return np.diff(np.append(first, count))


def _spread(values: npt.NDArray[Any], place: Indices, count: int) -> npt.NDArray[Any]:
    column = np.zeros(count, values.dtype)
    column[place] = values
    return column
