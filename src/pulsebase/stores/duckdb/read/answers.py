"""Queries about readings: series, totals, overviews, exports and copies."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.model.users import DeviceOverview, MetricOverview, UserOverview
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    RAW_SCHEMA,
    STORED_SCHEMA,
    TOTALS_SCHEMA,
    Cancellation,
    OriginExtent,
    SeriesQuery,
    StoredValues,
    TotalsQuery,
)
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.merge.stage import NO_CONFIDENCE, Rows
from pulsebase.stores.duckdb.parts import StoreParts
from pulsebase.stores.duckdb.people.series_numbers import MetricNumbers, series_number
from pulsebase.stores.duckdb.read import series, totals
from pulsebase.stores.duckdb.read.origin_extents import origin_extents
from pulsebase.stores.duckdb.read.overviews import Extent
from pulsebase.stores.duckdb.read.snapshots import Snapshots
from pulsebase.stores.duckdb.read.stored_values import is_of_other_hours, numbers_of, stored_values

_ALL_TIME = TimeRange(0, MAX_US)
#: For how long after a query for totals the next one is prepared for.
_LOOK_AHEAD_S = 3600


class TotalsAnswers:
    """Answers queries for totals, and prepares for the next one."""

    def __init__(self, snapshots: Snapshots, metrics: MetricNumbers) -> None:
        self._snapshots, self._metrics = snapshots, metrics
        self._asked_at: float | None = None

    def totals(self, query: TotalsQuery) -> pa.Table:
        """See `contract.Reader.totals`."""
        if query.range.length_us <= 0:
            return TOTALS_SCHEMA.empty_table()
        self._asked_at = time.monotonic()
        metric_no = self._metrics.find(query.metric)
        if metric_no is None:
            return TOTALS_SCHEMA.empty_table()
        with self._snapshots.everybody(metric_no, query.timeout_s, query.cancellation) as snapshot:
            return totals.answer(snapshot, query)

    def look_ahead(self) -> None:
        """Do work that late rows cause for the next query, if totals were queried lately."""
        asked_at = self._asked_at
        if asked_at is not None and time.monotonic() - asked_at < _LOOK_AHEAD_S:
            for metric_no in self._metrics.chosen(None):
                with self._snapshots.everybody(metric_no) as snapshot:
                    totals.look_ahead(snapshot)


class ReadingAnswers:
    """Answers queries about readings and what is stored of people. Any thread may ask."""

    def __init__(self, parts: StoreParts, snapshots: Snapshots, maintenance: Maintenance) -> None:
        self._parts, self._snapshots, self._maintenance = parts, snapshots, maintenance
        self._users, self._devices = parts.cached.users, parts.cached.devices
        self._metrics = parts.cached.metrics

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        series_no = self._parts.cached.series_no(query.user_id, query.metric)
        selection = self._snapshots.selection(query.device_id, query.include_all)
        if series_no is None or selection is None or query.range.length_us <= 0:
            return (RAW_SCHEMA if query.resolution is Resolution.RAW else BUCKET_SCHEMA).empty_table()
        with self._snapshots.series(series_no, query.timeout_s, query.cancellation) as snapshot:
            return series.answer(snapshot, query, selection)

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """See `contract.Reader.users`."""
        with self._snapshots.overviews() as snapshot:
            return snapshot.page(text, limit, after)

    def overview(self, user_id: str) -> UserOverview | None:
        """See `contract.Reader.overview`."""
        with self._snapshots.overviews() as snapshot:
            return snapshot.person(user_id)

    def devices(self, user_id: str) -> list[DeviceOverview]:
        """See `contract.Reader.devices`."""
        with self._snapshots.overviews() as snapshot:
            return snapshot.devices_of(user_id)

    def metrics(self, user_id: str) -> list[MetricOverview]:
        """See `contract.Reader.metrics`."""
        with self._snapshots.overviews() as snapshot:
            return snapshot.metrics_of(user_id)

    def last_time_us(self, user_id: str, device_id: str, metric: str) -> int | None:
        """See `contract.Reader.last_time_us`."""
        series_no, device_no = self._parts.cached.series_no(user_id, metric), self._devices.find(device_id)
        if series_no is None or device_no is None:
            return None
        with self._snapshots.overviews() as snapshot:
            return snapshot.extents([series_no]).get((series_no, device_no), Extent()).last_us

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        with self._snapshots.export(cancellation) as snapshot:
            return snapshot.counts(numbers, self._parts.push_origins)

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        """See `contract.Reader.origin_extents`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return []
        with self._snapshots.person(self._metrics.series_of(user_no), None, cancellation) as snapshots:
            return origin_extents(snapshots, self._parts.push_origins)

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        """See `contract.Reader.stored_values`."""
        numbers = numbers_of(self._users, readings.users), numbers_of(self._devices, readings.devices)
        metric_no = self._metrics.find(readings.metric)
        if not len(readings) or metric_no is None or min(int(each.max()) for each in numbers) < 0:
            return StoredValues.nothing(len(readings))
        stage, hours = self._parts.stage.snapshot(), self._maintenance.stored_hours()
        if hours is not None and is_of_other_hours(readings.times_us, stage, hours):
            return StoredValues.nothing(len(readings))
        known = numbers[0] >= 0
        numbers[0][known] |= np.int32(series_number(0, metric_no))
        keys = Rows(*numbers, readings.times_us, readings.values, readings.confidences, numbers[0])
        with self._snapshots.timed() as (stage, connection, _, state):
            people_count, pushes = len(self._users), self._parts.push_origins
            return stored_values(
                connection,
                stage,
                state,
                keys=keys,
                pushes=pushes,
                people_count=people_count,
                metric_no=metric_no,
            )

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None, metrics: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        """See `contract.Reader.export`. Everything is merged first, so that few rows have to be combined on the way.

        While the state is held, the engine's log and the journal are not trimmed.
        """
        self._maintenance.merge()
        with self._snapshots.export() as snapshot:
            yield from snapshot.export(interval, user_ids, metrics)

    def stored(self) -> pa.Table:
        """See `contract.Store.stored`."""
        tables = [self._stored_of(number, _ALL_TIME) for number in range(len(self._users))]
        return pa.concat_tables([STORED_SCHEMA.empty_table(), *tables]).sort_by(
            [(name, "ascending") for name in ("user_id", "metric", "device_id", "time_us")]
        )

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        """See `contract.Store.readings`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return STORED_SCHEMA.empty_table()
        return self._stored_of(user_no, interval).sort_by(
            [(name, "ascending") for name in ("metric", "device_id", "time_us")]
        )

    def _stored_of(self, user_no: int, interval: TimeRange) -> pa.Table:
        user_id = self._users.text(user_no)  # which is gone afterwards, should the person be removed meanwhile
        with self._snapshots.person(self._metrics.series_of(user_no)) as snapshots:
            rows = Rows.joined([each.owned(interval, self._parts.push_origins) for each in snapshots])
        devices = pa.array([self._devices.text(int(number)) for number in rows.device_no], pa.string())
        confidence = pa.array(rows.confidence, pa.int8(), mask=rows.confidence == NO_CONFIDENCE)
        users = pa.array([user_id] * len(rows), pa.string())
        metrics = pa.array([self._metrics.name_of(int(number)) for number in rows.user_no], pa.string())
        columns = [users, devices, pa.array(rows.t), pa.array(rows.v), confidence, metrics, pa.array(rows.origin)]
        return pa.table(columns, schema=STORED_SCHEMA)
