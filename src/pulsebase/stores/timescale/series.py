"""Answers to `SeriesQuery` from a person's snapshot."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pulsebase.model.errors import TooManyRowsError
from pulsebase.model.resolution import Resolution
from pulsebase.model.rollups import I32, I64, Buckets, days_of, merged
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US
from pulsebase.stores.contract import BUCKET_SCHEMA, RAW_SCHEMA, SeriesQuery
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.timescale.snapshot import TimescalePersonSnapshot, TimescaleSelection

_QUARTER_US = 15 * MINUTE_US
_STEPS = {Resolution.SECOND: "1 second", Resolution.MINUTE: "1 minute"}


def answer(connection: Connection, query: SeriesQuery) -> pa.Table:
    """Answer a query with `RAW_SCHEMA` or `BUCKET_SCHEMA` rows.

    Raises:
        TooManyRowsError: more rows than the query's limit.
    """
    selection = TimescaleSelection(query.device_id, query.include_all)
    snapshot = TimescalePersonSnapshot(connection, query.user_id, query.metric, query.limit)
    table = _raw(snapshot, query, selection) if query.resolution is Resolution.RAW else None
    if table is None and query.resolution in _STEPS:
        table = _short(snapshot, query, selection)
    if table is None:
        table = _bucket_table(_buckets(snapshot, query, selection), None)
    if query.limit is not None and table.num_rows > query.limit:
        raise TooManyRowsError.of(
            "interval",
            f"the answer would have more than {query.limit} rows; ask for a shorter range or a coarser interval",
        )
    return table


def _raw(snapshot: TimescalePersonSnapshot, query: SeriesQuery, selection: TimescaleSelection) -> pa.Table:
    raw = snapshot.raw(query.range, selection)
    confidence = pa.array(raw.confidence.astype(np.int8), pa.int8(), mask=raw.confidence < 0)
    columns = [pa.array(raw.time_us), pa.array(raw.value), _texts(raw.device, snapshot.devices), confidence]
    return pa.table(columns, schema=RAW_SCHEMA)


def _short(snapshot: TimescalePersonSnapshot, query: SeriesQuery, selection: TimescaleSelection) -> pa.Table:
    buckets, devices = snapshot.short_buckets(query.range, selection, _STEPS[query.resolution])
    return _bucket_table(buckets, None if selection.include_all else _texts(devices, snapshot.devices))


def _bucket_table(buckets: Buckets, device_ids: pa.Array | None) -> pa.Table:
    if device_ids is None:
        device_ids = pa.nulls(len(buckets), pa.string())
    columns = [buckets.start_us, buckets.count, buckets.sum, buckets.min, buckets.max, buckets.minutes, device_ids]
    return pa.table([pa.array(column) for column in columns], schema=BUCKET_SCHEMA)


def _buckets(snapshot: TimescalePersonSnapshot, query: SeriesQuery, selection: TimescaleSelection) -> Buckets:
    if query.resolution is Resolution.QUARTER:
        return snapshot.quarters(query.range, selection)
    if query.resolution is Resolution.HOUR:
        return snapshot.hours(query.range, selection)
    starts = np.array(query.day_starts, np.int64)
    if (starts % _QUARTER_US).any():  # offsets before 1972
        return snapshot.days_from_raw(query.day_starts, selection)
    if (starts % HOUR_US).any():
        return _days(snapshot.quarters(query.range, selection), starts)
    if selection.resolved and not (starts % DAY_US).any() and (np.diff(starts) == DAY_US).all():
        return snapshot.utc_days(query.range)
    return _days(snapshot.hours(query.range, selection), starts)


def _days(finer: Buckets, starts: I64) -> Buckets:
    return merged(finer, days_of(finer.start_us, starts))


def _texts(places: I32, devices: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(devices, pa.string())).cast(pa.string())
