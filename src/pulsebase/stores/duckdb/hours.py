"""Rollups of whole hours of several people, computed from their readings in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.rollups import (
    I32,
    I64,
    Buckets,
    DeviceRanks,
    Mask,
    PriorityHistory,
    buckets_of_readings,
    winning_rows,
)
from pulsebase.model.timerange import HOUR_US, MINUTE_US, TimeRange
from pulsebase.stores.duckdb.ordering import by_time, changes
from pulsebase.stores.duckdb.stage import Rows

QUARTER_US = 15 * MINUTE_US
#: Bits of an hour since 1970 in `hour_codes`: enough until the year 9999 is over.
HOUR_BITS = 27
HOUR_MASK = (1 << HOUR_BITS) - 1


@dataclass(frozen=True, slots=True)
class Believers:
    """What decides between devices: the ids of device numbers, and the priorities that people set themselves."""

    device_id: Callable[[int], str]
    histories: Mapping[int, PriorityHistory]


def device_hours(rows: Rows) -> pa.Table:
    """The rows of `h1_dev` for readings in the order of storage, which must hold whole hours of each device."""
    hours = rows.t // HOUR_US
    first = changes(rows.user_no, rows.device_no, hours)
    ends = np.append(first, len(rows))[1:]
    group = np.repeat(np.arange(len(first)), ends - first)
    counted = rows.confidence != 0
    buckets = buckets_of_readings(rows.t[counted], rows.v[counted], group[counted])
    place = buckets.start_us
    columns = {
        "user_no": rows.user_no[first],
        "device_no": rows.device_no[first],
        "hour": hours[first].astype(np.int32),
        "n": _spread(buckets.count, place, len(first), np.int32),
        "sum": _spread(buckets.sum, place, len(first), np.int64),
        "min": _spread(buckets.min, place, len(first), np.int16),
        "max": _spread(buckets.max, place, len(first), np.int16),
        "minutes": _spread(buckets.minutes, place, len(first), np.int16),
        "n_all": (ends - first).astype(np.int32),
        "first_t": rows.t[first],
        "last_t": rows.t[ends - 1],
    }
    return pa.table(columns)


def resolved(rows: Rows, device_rollup: pa.Table, believers: Believers) -> Rows:
    """The counted readings of each minute's winner; the readings of an hour lie together, in order of time.

    `rows` are whole hours in the order of storage, `device_rollup` is `device_hours` of them.
    """
    counted = rows.confidence != 0
    group_codes = hour_codes(device_rollup["user_no"].to_numpy(), device_rollup["hour"].to_numpy())
    codes, devices = np.unique(group_codes[device_rollup["n"].to_numpy() > 0], return_counts=True)
    shared_groups = np.isin(group_codes, codes[devices > 1])
    if not shared_groups.any():
        return rows.take(counted)
    contested = np.repeat(shared_groups, device_rollup["n_all"].to_numpy())
    shared = by_time(rows.take(contested & counted))
    return Rows.concatenated([rows.take(~contested & counted), shared.take(_winners(shared, believers))])


def bucket_rows(rows: Rows, step_us: int, name: str) -> pa.Table:
    """Resolved readings as rows of `h1` or `q15`: one a person and bucket, `name` being the column of the bucket."""
    bucket = rows.t // step_us
    first = changes(rows.user_no, bucket)
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(rows))))
    buckets = buckets_of_readings(rows.t, rows.v, group)
    return pa.table({"user_no": rows.user_no[first], name: bucket[first].astype(np.int32)} | _columns(buckets))


def _winners(rows: Rows, believers: Believers) -> Mask:
    ranks_of = DeviceRanks(np.unique(rows.device_no), believers.device_id)
    ranks = ranks_of.by_default(rows.device_no)
    for user_no, history in believers.histories.items():
        mine = np.flatnonzero(rows.user_no == user_no)
        if len(mine):
            ranks[mine] = ranks_of.at(rows.t[mine], rows.device_no[mine], history)
    # A number a person and minute; minutes since 1970 stay below 2**33 until the year 9999.
    minutes = (rows.user_no.astype(np.int64) << 33) | (rows.t // MINUTE_US)
    return winning_rows(minutes, ranks, np.ones(len(rows), np.bool_))


def hour_codes(user_no: npt.NDArray[np.int32], hour: npt.NDArray[np.signedinteger[Any]]) -> I64:
    """A number a person and hour."""
    codes = user_no.astype(np.int64) << HOUR_BITS
    codes |= hour
    return codes


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


def _columns(buckets: Buckets) -> dict[str, object]:
    return {
        "n": buckets.count.astype(np.int32),
        "sum": buckets.sum,
        "min": buckets.min,
        "max": buckets.max,
        "minutes": buckets.minutes.astype(np.int16),
    }


def _spread(values: npt.NDArray[np.signedinteger[Any]], place: I64, count: int, dtype: type[np.generic]) -> object:
    column = np.zeros(count, dtype)
    column[place] = values
    return column
