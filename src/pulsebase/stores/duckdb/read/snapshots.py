"""Consistent states of the store: a stage snapshot, and the database as of a transaction that began after it.

The order matters. A merge moves rows from the stage into the database, and rows that the transaction already sees are
left out of the stage snapshot: so none is missing and none counts twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import duckdb

from pulsebase.stores.contract import Cancellation
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.duckdb.engine.transactions import State, read_state
from pulsebase.stores.duckdb.merge.hour_rollups import DevicePrecedence
from pulsebase.stores.duckdb.merge.stage import Rows, StageSnapshot
from pulsebase.stores.duckdb.parts import StoreParts
from pulsebase.stores.duckdb.people.series_numbers import person_of
from pulsebase.stores.duckdb.read.export_snapshot import ExportSnapshot
from pulsebase.stores.duckdb.read.overviews import OverviewSnapshot
from pulsebase.stores.duckdb.read.person_snapshot import PersonSnapshot, Selection, late_rows
from pulsebase.stores.duckdb.read.totals import PeopleSnapshot


class Snapshots:
    """Takes snapshots, one per query. Any thread may."""

    def __init__(self, parts: StoreParts) -> None:
        self._parts = parts

    @contextlib.contextmanager
    def timed(
        self, timeout_s: float | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[tuple[StageSnapshot, duckdb.DuckDBPyConnection, Deadline, State]]:
        """Take stage and database at one moment, for a query that is stopped when its time is up.

        Raises:
            QueryTimeoutError: the time was up.
            QueryCancelledError: the query was cancelled.
        """
        stage = self._parts.stage.snapshot()  # before the database's, see above
        with (
            self._parts.database.reading() as connection,
            self._parts.watchdog.limit(connection, timeout_s, cancellation) as deadline,
        ):
            yield stage, connection, deadline, read_state(connection)

    @contextlib.contextmanager
    def series(
        self, series_no: int, timeout_s: float | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[PersonSnapshot]:
        """Take one person's readings of one metric."""
        with self.person([series_no], timeout_s, cancellation) as (snapshot,):
            yield snapshot

    @contextlib.contextmanager
    def person(
        self, series_nos: Iterable[int], timeout_s: float | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[list[PersonSnapshot]]:
        """Take a person's readings of several metrics, all of one state."""
        parts = self._parts
        with self.timed(timeout_s, cancellation) as (stage, connection, deadline, state):

            def taken(series_no: int) -> PersonSnapshot:
                unmerged = [late_rows(connection, series_no)] if state.late_rows else []
                unmerged += [part.take(part.user_no == series_no) for part in stage.since(state.merged_seq)]
                arrived = Rows.joined([part for part in unmerged if len(part)])
                staged = arrived.last_of_each_key()
                history = parts.priorities.at(connection, state.epoch).get(person_of(series_no), {})
                want, devices = parts.wanted_quarters.add, parts.cached.devices
                return PersonSnapshot(connection, deadline, series_no, staged, arrived, history, devices, want)

            yield list(map(taken, series_nos))

    @contextlib.contextmanager
    def everybody(
        self, metric_no: int, timeout_s: float | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[PeopleSnapshot]:
        """Take everybody's readings of one metric, for totals."""
        parts = self._parts
        with self.timed(timeout_s, cancellation) as (stage, connection, deadline, state):
            precedence = DevicePrecedence(parts.cached.devices.text, parts.priorities.at(connection, state.epoch))
            users, changes = parts.cached.users, parts.change_cache
            yield PeopleSnapshot(connection, deadline, state, stage, precedence, users, changes, metric_no)

    @contextlib.contextmanager
    def export(self, cancellation: Cancellation | None = None) -> Iterator[ExportSnapshot]:
        """Take everybody's readings, for exports and origins, without a time limit.

        Raises:
            QueryCancelledError: the query was cancelled.
        """
        cached = self._parts.cached
        with self.timed(None, cancellation) as (stage, connection, deadline, state):
            staged = stage.since(state.merged_seq)
            yield ExportSnapshot.of(connection, deadline, staged, cached)

    @contextlib.contextmanager
    def overviews(self) -> Iterator[OverviewSnapshot]:
        """Take who is known, and what is stored of them."""
        stage = self._parts.stage.snapshot()  # before the database's, see above
        with self._parts.database.reading() as connection:
            cached = self._parts.cached
            yield OverviewSnapshot(connection, stage, cached.users, cached.devices, cached.metrics)

    def selection(self, device_id: str | None, include_all: bool) -> Selection | None:
        """Say which readings a query is about; None if the device is unknown, so that nothing can be found."""
        if device_id is None:
            return Selection(None, include_all)
        device_no = self._parts.cached.devices.find(device_id)
        return None if device_no is None else Selection(device_no, include_all)
