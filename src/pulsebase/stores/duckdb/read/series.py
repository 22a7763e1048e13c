"""Answers to `SeriesQuery` from a person's snapshot."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pulsebase.model.errors import TooManyRowsError
from pulsebase.model.resolution import Resolution
from pulsebase.model.rollups import I32, Buckets, days_of, floors, merged
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.stores.contract import BUCKET_SCHEMA, RAW_SCHEMA, SeriesQuery
from pulsebase.stores.duckdb.merge.stage import NO_CONFIDENCE, Rows
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers
from pulsebase.stores.duckdb.read.person_snapshot import QUARTER_US, PersonSnapshot, Selection


def answer(snapshot: PersonSnapshot, query: SeriesQuery, selection: Selection) -> pa.Table:
    """Answer a query with `RAW_SCHEMA` or `BUCKET_SCHEMA` rows.

    Raises:
        TooManyRowsError: more rows than the query's limit.
    """
    if query.resolution is Resolution.RAW:
        rows = snapshot.shown(query.range, selection)
        _refuse_too_many(len(rows), query)
        return raw_table(rows, snapshot.devices)
    if query.resolution.step_us <= MINUTE_US and not selection.include_all:
        buckets, device_no = snapshot.short_buckets(query.range, selection, query.resolution.step_us)
        device_ids = _texts(device_no, snapshot.devices)
    else:
        buckets = _buckets(snapshot, query, selection)
        device_ids = pa.nulls(len(buckets), pa.string())
    _refuse_too_many(len(buckets), query)
    return bucket_table(buckets, device_ids)


def raw_table(rows: Rows, devices: IdNumbers) -> pa.Table:
    """Convert readings to `RAW_SCHEMA`, by time, then device id."""
    present, codes = np.unique(rows.device_no, return_inverse=True)
    if len(present) > 1:
        places = np.argsort(np.argsort([devices.text(int(number)) for number in present]))
        rows = rows.take(np.lexsort((places[codes], rows.t)))
    confidence = pa.array(rows.confidence, pa.int8(), mask=rows.confidence == NO_CONFIDENCE)
    columns = [pa.array(rows.t), pa.array(rows.v), _texts(rows.device_no, devices), confidence]
    return pa.table(columns, schema=RAW_SCHEMA)


def bucket_table(buckets: Buckets, device_ids: pa.Array) -> pa.Table:
    """Convert buckets to `BUCKET_SCHEMA`."""
    columns = [buckets.start_us, buckets.count, buckets.sum, buckets.min, buckets.max, buckets.minutes, device_ids]
    return pa.table([pa.array(column) for column in columns], schema=BUCKET_SCHEMA)


def _buckets(snapshot: PersonSnapshot, query: SeriesQuery, selection: Selection) -> Buckets:
    if query.resolution is Resolution.DAY:
        return _day_buckets(snapshot, query, selection)
    if query.resolution is Resolution.HOUR:
        return snapshot.hours(query.range, selection)
    if query.resolution is Resolution.QUARTER:
        return snapshot.quarters(query.range, selection)
    step_us = query.resolution.step_us
    return snapshot.buckets_from_raw(query.range, selection, lambda times_us: floors(times_us, step_us))


def _day_buckets(snapshot: PersonSnapshot, query: SeriesQuery, selection: Selection) -> Buckets:
    starts = np.array(query.day_starts, np.int64)
    if (starts % QUARTER_US).any():  # offsets before 1972
        return snapshot.buckets_from_raw(query.range, selection, lambda times_us: days_of(times_us, starts))
    if (starts % HOUR_US).any():
        quarters = snapshot.quarters(query.range, selection)
        return merged(quarters, days_of(quarters.start_us, starts)) if len(quarters) else quarters
    if selection.resolved and not (starts % DAY_US).any() and (np.diff(starts) == DAY_US).all():
        return _utc_days(snapshot, query.range)
    hours = snapshot.hours(query.range, selection)
    return merged(hours, days_of(hours.start_us, starts)) if len(hours) else hours


def _utc_days(snapshot: PersonSnapshot, interval: TimeRange) -> Buckets:
    kept = snapshot.days(interval)
    dirty = snapshot.dirty(interval, DAY_US)
    if len(dirty) == 0:
        return kept
    hours = snapshot.hours(TimeRange(int(dirty[0]), int(dirty[-1]) + DAY_US), Selection())
    days = floors(hours.start_us, DAY_US)
    of_dirty = np.isin(days, dirty)
    recomputed = merged(hours.take(of_dirty), days[of_dirty])
    return Buckets.concatenated([kept.take(~np.isin(kept.start_us, dirty)), recomputed])


def _texts(device_no: I32, devices: IdNumbers) -> pa.Array:
    present, codes = np.unique(device_no, return_inverse=True)
    texts = pa.array([devices.text(int(number)) for number in present], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), texts).cast(pa.string())


def _refuse_too_many(rows: int, query: SeriesQuery) -> None:
    if query.limit is not None and rows > query.limit:
        raise TooManyRowsError.of(
            "interval",
            f"the answer would have more than {query.limit} rows; ask for a shorter range or a coarser interval",
        )
