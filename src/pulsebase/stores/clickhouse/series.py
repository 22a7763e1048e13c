"""Answers to `SeriesQuery`: one question to the shard where the person's readings lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.model.errors import TooManyRowsError
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.resolution import Resolution
from pulsebase.model.rollups import DeviceRanks
from pulsebase.model.timerange import HOUR_US, MINUTE_US
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.numbers import series_of
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.pieces import Expired, WhatCounts, numbers_of, with_fresh
from pulsebase.stores.clickhouse.priorities import Settings, changes_of, settings_of
from pulsebase.stores.clickhouse.read import consistent, limited_s
from pulsebase.stores.contract import BUCKET_SCHEMA, RAW_SCHEMA, SeriesQuery
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

_QUARTER_US = 15 * MINUTE_US
#: The rungs whose buckets have one device each.
_OF_ONE_DEVICE = (Resolution.SECOND, Resolution.MINUTE)


@dataclass(frozen=True, slots=True)
class _Person:
    """What PostgreSQL says of a person whose series is asked for; devices by id (bytes)."""

    state: Snapshot
    person: int
    metric: int
    devices: dict[int, str]
    settings: Settings


class SeriesReader:
    """Reads a person's series. It may be used by many threads."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def series(self, query: SeriesQuery) -> pa.Table:
        """Answer a question, see `contract.Reader.series`.

        Raises:
            TooManyRowsError: more rows than the question's limit.
            QueryTimeoutError: longer than its `timeout_s`.
            QueryCancelledError: it was taken back.
            StoreUnavailableError: the shard does not answer.
        """
        deadline = Deadline.after(query.timeout_s, query.cancellation)

        def ask(known: _Person) -> pa.Table:
            def ask_shard(statement: str) -> pa.Table:
                limit_s = limited_s(deadline, self._options)
                (rows,) = self._cluster.ask_shards(statement, limit_s, known.person, deadline.cancellation)
                return rows

            statement = _Statement(query, known)
            if query.resolution is Resolution.RAW:
                return _answer(query, ask_shard(statement.readings()), known.devices)
            if query.resolution is not Resolution.SECOND:
                statement.counts = with_fresh(statement.counts, ask_shard)
            return _answer(query, ask_shard(statement.buckets()), known.devices)

        found = consistent(self._database, lambda connection: _look(connection, query), ask, deadline)
        if found is None:
            return (RAW_SCHEMA if query.resolution is Resolution.RAW else BUCKET_SCHEMA).empty_table()
        if query.limit is not None and found.num_rows > query.limit:
            raise TooManyRowsError.of(
                "interval",
                f"the answer would have more than {query.limit} rows; ask for a shorter range or a coarser interval",
            )
        return found


def _look(connection: Connection, query: SeriesQuery) -> _Person | None:
    found = series_of(connection, query.user_id, query.metric)
    if found is None:
        return None
    person, metric, devices = found
    if not devices or not (query.device_id is None or query.device_id in devices.values()):
        return None
    settings = settings_of(connection, person) if len(devices) > 1 else {}
    return _Person(commits.snapshot(connection), person, metric, devices, settings)


class _Statement:
    """The question in SQL."""

    def __init__(self, query: SeriesQuery, known: _Person) -> None:
        self._query, self._known = query, known
        self._resolved = query.device_id is None and not query.include_all and len(known.devices) > 1
        self._numbers = list(known.devices)
        self._changes = changes_of(known.settings, query.range) if self._resolved else []
        changes = {known.person: self._changes} if self._changes else {}
        self.counts = WhatCounts(
            known.state,
            f"person = {known.person}",
            known.metric,
            query.range,
            query.day_starts,
            changes,
            hours=query.resolution in (Resolution.HOUR, Resolution.DAY),
            days=query.resolution is Resolution.DAY,
            one_person=True,
            one_device=len(known.devices) == 1,
        )
        self._limit = "" if query.limit is None else f" LIMIT {query.limit + 1}"

    def readings(self) -> str:
        """The readings that are shown, by time, then device."""
        shown = self._shown(counted=not self._query.include_all)
        return f"SELECT time, v, device, c FROM ({shown}) ORDER BY time, {self._place('device')}{self._limit}"

    def buckets(self) -> str:
        """The buckets."""
        device = "min(device)" if self._query.resolution in _OF_ONE_DEVICE and not self._query.include_all else "0"
        if self._query.resolution is Resolution.SECOND:
            source, won, minutes = self._shown(counted=True), "true", "1"
            columns = "count() AS n, sum(toInt64(v)) AS total, min(v) AS low, max(v) AS high"
        else:
            source, won, minutes = self.counts.pieces(self._expired()), self._won(), self._minutes()
            columns = "sum(n) AS n, sum(sum) AS total, min(min) AS low, max(max) AS high"
        return (
            f"SELECT {self._start()} AS start, {columns}, {minutes} AS minutes, {device} AS of_device FROM ({source}) "
            f"WHERE {won} GROUP BY start ORDER BY start{self._limit}"
        )

    def _start(self) -> str:
        """The expression for the start of a row's bucket."""
        query = self._query
        if query.resolution is Resolution.DAY:
            return f"roundDown(piece, {numbers_of(query.day_starts)})"
        step_us = query.resolution.step_us
        time = "time" if query.resolution is Resolution.SECOND else "piece"
        return f"intDiv({time}, {step_us}) * {step_us}"

    def _minutes(self) -> str:
        """The expression for how many minutes a bucket has; of all devices, each set of them counts once."""
        if self._query.include_all and self._query.device_id is None:
            return "sumIf(minutes, leads)"
        return "sum(minutes)"

    def _won(self) -> str:
        """The condition that the question is about a row of the pieces."""
        if not self._resolved:
            return self._of_device()
        minute = f"intDiv(piece, {MINUTE_US})"
        first = f"arrayMin(each -> {self._rank('each', minute)}, present)"
        return f"(empty(present) OR {self._rank('device', minute)} = {first})"

    def _expired(self) -> Expired:
        """What the answer takes of expired readings."""
        query = self._query
        if query.include_all or query.resolution is Resolution.MINUTE:
            return Expired.NOTHING
        cut_us = [at_us % HOUR_US for at_us in query.day_starts]
        if query.device_id is not None:
            whole = query.resolution is not Resolution.QUARTER and not any(cut_us)
            return Expired.HOURS_OF_DEVICES if whole else Expired.NOTHING
        if query.resolution is Resolution.HOUR:
            return Expired.HOURS
        return Expired.NOTHING if any(each % _QUARTER_US for each in cut_us) else Expired.QUARTERS

    def _shown(self, *, counted: bool) -> str:
        """The readings that the question is about."""
        inside = f"time >= {self._query.range.start_us} AND time < {self._query.range.end_us}"
        if not self._resolved:
            rows = self.counts.last_rows(self._query.range, self._of_device())
            return f"{rows} AND c != 0" if counted else rows
        rows = self.counts.last_rows(self._query.range.widened(MINUTE_US))
        minute = f"intDiv(time, {MINUTE_US})"
        ranked = (
            f"SELECT *, {self._rank('device', minute)} AS rank, min(rank) OVER (PARTITION BY {minute}) AS first "
            f"FROM ({rows} AND c != 0)"
        )
        return f"SELECT * FROM ({ranked}) WHERE rank = first AND {inside}"

    def _of_device(self) -> str:
        if self._query.device_id is None:
            return "true"
        (number,) = (number for number, text in self._known.devices.items() if text == self._query.device_id)
        return f"device = {number}"

    def _place(self, device: str) -> str:
        """The expression for a device's place among all, by id (bytes)."""
        return f"indexOf({numbers_of(self._numbers)}, {device})"

    def _rank(self, device: str, minute: str) -> str:
        """The expression for a device's rank in a minute."""
        first_us = self._query.range.widened(MINUTE_US).start_us
        ranks = _ranks(self._known, [first_us, *(change * MINUTE_US for change in self._changes)])
        if not self._changes:
            return f"{numbers_of(ranks[0])}[{self._place(device)}]"
        rows = ", ".join(numbers_of(each) for each in ranks)
        epoch = f"1 + arrayCount(change -> change <= {minute}, {numbers_of(self._changes)})"
        return f"[{rows}][{epoch}][{self._place(device)}]"


def _ranks(known: _Person, times_us: Sequence[int]) -> list[list[int]]:
    """Return the ranks of all devices at each of these times."""
    ids = list(known.devices.values())
    numbers = np.arange(len(ids), dtype=np.int32)
    history = {ids.index(device_id): settings for device_id, settings in known.settings.items() if device_id in ids}
    ranks = DeviceRanks(range(len(ids)), ids.__getitem__)
    return [ranks.at(np.full(len(ids), at_us, np.int64), numbers, history).tolist() for at_us in times_us]


def _answer(query: SeriesQuery, rows: pa.Table, devices: dict[int, str]) -> pa.Table:
    numbers, texts = pa.array(list(devices), pa.int64()), pa.array(list(devices.values()), pa.string())
    device = rows["device" if query.resolution is Resolution.RAW else "of_device"]
    named = texts.take(pc.index_in(device.cast(pa.int64()), numbers))
    if query.resolution is Resolution.RAW:
        confidences = rows["c"].cast(pa.int8())
        absent = pc.equal(confidences, NO_CONFIDENCE)
        columns = [rows["time"], rows["v"], named, pc.if_else(absent, None, confidences)]
        return pa.table(
            [column.cast(field.type) for column, field in zip(columns, RAW_SCHEMA, strict=True)], RAW_SCHEMA
        )
    columns = [rows[name] for name in ("start", "n", "total", "low", "high", "minutes")]
    columns.append(named)
    return pa.table(
        [column.cast(field.type) for column, field in zip(columns, BUCKET_SCHEMA, strict=True)], BUCKET_SCHEMA
    )
