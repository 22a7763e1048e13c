"""The embedded store: `stores.contract.Store` on a journal, a stage in memory and a DuckDB database.

A write is durable once its journal frame is on the disk and visible once the stage holds it. One maintenance thread
(`maintenance`) merges the stage into the database. Nothing else writes readings, so readers need no lock: they take the
stage first and a database snapshot second, and leave out of the stage what the snapshot already has.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from pulsebase.files.disk_errors import named
from pulsebase.model.errors import (
    DiskFullError,
    OutcomeUnknownError,
    PulsebaseError,
    StoreCorruptError,
    StoreUnavailableError,
    after,
)
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import HOUR_US, MAX_US, TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, User, UserOverview
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    PUSH_KIND,
    RAW_SCHEMA,
    STORED_SCHEMA,
    TOTALS_SCHEMA,
    BackupReport,
    Cancellation,
    CheckReport,
    Expiry,
    Origin,
    ScrubReport,
    SeriesQuery,
    StoredValues,
    TotalsQuery,
)
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.duckdb.engine import check
from pulsebase.stores.duckdb.engine.backup import copy_store
from pulsebase.stores.duckdb.engine.database import Database, State, one_row, read_position, read_state
from pulsebase.stores.duckdb.engine.lock import StoreLock
from pulsebase.stores.duckdb.engine.watchdog import Watchdog
from pulsebase.stores.duckdb.journal.journal import Journal
from pulsebase.stores.duckdb.merge.hours import DevicePrecedence
from pulsebase.stores.duckdb.merge.maintenance import DuckdbOptions, Maintenance, MaintenanceParts
from pulsebase.stores.duckdb.merge.merge import HourSizes, persist_names, resolve_contested
from pulsebase.stores.duckdb.merge.origins import Pushes
from pulsebase.stores.duckdb.merge.stage import NO_CONFIDENCE, TOMBSTONE, Rows, Stage, StageSnapshot
from pulsebase.stores.duckdb.people import expiry, people, removal
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN, IdNumbers
from pulsebase.stores.duckdb.people.priorities import Priorities
from pulsebase.stores.duckdb.read import totals
from pulsebase.stores.duckdb.read.export_snapshot import ExportSnapshot
from pulsebase.stores.duckdb.read.overviews import Extent, OverviewSnapshot
from pulsebase.stores.duckdb.read.series import answer
from pulsebase.stores.duckdb.read.snapshot import PersonSnapshot, Selection, late_rows
from pulsebase.stores.duckdb.read.sql import select
from pulsebase.stores.duckdb.read.statements import check_statement
from pulsebase.stores.duckdb.read.stored_values import is_of_other_hours, numbers_of, stored_values
from pulsebase.stores.duckdb.read.totals import PeopleSnapshot
from pulsebase.stores.duckdb.read.unmerged import KnownChanges

logger = logging.getLogger(__name__)

__all__ = ["DuckdbOptions", "DuckdbStore"]

_ALL_TIME = TimeRange(0, MAX_US)
#: How long after a question about many people the next one is prepared for.
_LOOK_AHEAD_S = 3600


class DuckdbStore:
    """A store in one folder: `path` is the database file, its lock and its journal lie beside it."""

    def __init__(self, path: Path, options: DuckdbOptions | None = None) -> None:
        options = options or DuckdbOptions()
        path = path.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._closed = False
        #: Before it no reading is taken, and before this every reading has expired.
        self._horizon_us = self._expired_us = 0
        #: Not where a commit failed that may have kept numbers, or not: none are given until the file is open again.
        self._names_are_sure = True
        with contextlib.ExitStack() as undo:
            self.lock = StoreLock(path)
            undo.callback(self.lock.release)
            self._database = Database(path, memory_limit=options.memory_limit, threads=options.threads)
            undo.callback(self._database.close)
            self._journal = Journal(path.with_name(path.name + ".journal"), self._database.instance_id)
            self._maintenance = Maintenance(*self._load(), options)
            undo.pop_all()
        self._watchdog = Watchdog()
        self._origins: dict[tuple[str, str], int] = {}
        self._known_changes = KnownChanges()
        self._totals_asked_at: float | None = None
        self._maintenance.look_ahead = self._look_ahead
        self._database.on_reopened = self._follow
        self._maintenance.start()

    # --- Writer: called by one thread -------------------------------------------------------------------------------

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write`."""
        self._write(batches, afresh=False)

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write_afresh`. What is stored is buried first, in the same commit."""
        self._write(batches, afresh=True)

    def _write(self, batches: Sequence[ReadingBatch], *, afresh: bool) -> None:
        self._maintenance.wait_for_room()
        with self._naming, self._given_names():
            alive = [_since(batch, self._horizon_us) for batch in batches]
            rows = Rows.concatenated([self._rows(batch) for batch in alive if len(batch)])
            self._append(Rows.concatenated([_tombstones(rows), rows]) if afresh else rows)

    def has_room(self, max_wait_s: float) -> bool:
        """See `contract.Writer.has_room`."""
        return self._maintenance.has_room(max_wait_s)

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        """See `contract.Writer.pace`."""
        self._maintenance.pace(readings, max_wait_s, within_turn=within_turn, cancellation=cancellation)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> int:
        """See `contract.Writer.delete`. A deletion is a tombstone for every reading that goes."""
        user_no, selection = self._users.find(user_id), self._selection(device_id, include_all=True)
        if user_no is None or selection is None or interval.length_us <= 0:
            return 0
        with self._person(user_no, None) as snapshot:
            rows = snapshot.rows(interval, selection)
        return self._bury(rows)

    def delete_origin(self, origin: int, most: int) -> int:
        """See `contract.Writer.delete_origin`."""
        while True:
            with self._whole() as snapshot:
                rows = snapshot.of_origin(origin, most, self._pushes)
            buried = self._bury(rows)
            if buried or len(rows) == 0:
                return buried

    def _bury(self, rows: Rows) -> int:
        """Write a tombstone for each of the rows but those of people who were removed meanwhile; how many there are."""
        if len(rows):
            self._maintenance.wait_for_room()
            with self._naming:
                gone = [number for number in np.unique(rows.user_no) if self._users.text(number) == FORGOTTEN]
                rows = rows.take(~np.isin(rows.user_no, gone)) if gone else rows
                rows = rows.take(rows.t >= self._horizon_us)
                self._append(_tombstones(rows))
        return len(rows)

    def register_origin(self, kind: str, name: str) -> int:
        """See `contract.Writer.register_origin`."""
        known_origin = self._origins.get((kind, name))
        if known_origin is None:
            known_origin = self._origins[kind, name] = self._new_origin(kind, name)
        return known_origin

    def _new_origin(self, kind: str, name: str) -> int:
        with self._database_writes:
            origin = self._insert_origin(kind, name)
            if kind == PUSH_KIND:
                self._pushes.add(origin)
            self._maintenance.checkpoint_after()
            return origin

    def _insert_origin(self, kind: str, name: str) -> int:
        with self._database.writing() as connection:
            known = one_row(connection, "SELECT origin FROM origins WHERE kind = ? AND name = ?", [kind, name])
            if known:
                return int(known[0])
            row = one_row(
                connection,
                "INSERT INTO origins SELECT coalesce(max(origin), 0) + 1, $kind, $name, $now FROM origins "
                "RETURNING origin",
                {"kind": kind, "name": name, "now": time.time_ns() // 1000},
            )
            assert row is not None
            return int(row[0])

    # --- Registry ---------------------------------------------------------------------------------------------------

    def put_user(self, user: User) -> None:
        """See `contract.Registry.put_user`."""
        self.put_users([user])

    def put_users(self, users: Sequence[User]) -> None:
        """See `contract.Registry.put_users`."""
        last = {user.user_id: user for user in users}
        with self._about(list(last), []) as connection:
            people.put_users(connection, [(self._users.number(user_id), user) for user_id, user in last.items()])

    def put_priority(self, priority: DevicePriority) -> None:
        """See `contract.Registry.put_priority`."""
        with self._about([priority.user_id], [priority.device_id]) as connection:
            user_no, device_no = self._users.number(priority.user_id), self._devices.number(priority.device_id)
            people.put_priority(connection, user_no, device_no, priority)
            resolve_contested(connection, user_no, device_no)

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        """See `contract.Registry.remove_priorities`."""
        with self._database_writes:
            user_no, device_no = self._users.find(user_id), self._devices.find(device_id)
            if user_no is None or device_no is None:
                return 0
            with self._database.writing() as connection:
                removed = people.remove_priorities(connection, user_no, device_no)
                if removed:
                    resolve_contested(connection, user_no, device_no)
            self._maintenance.checkpoint_after()
            return removed

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        with self._about([summary.user_id for summary in summaries], []) as connection:
            people.put_summaries(connection, [(self._users.number(each.user_id), each) for each in summaries])

    def remove_user(self, user_id: str) -> int:
        """See `contract.Registry.remove_user`."""
        with self._database_writes:
            if self._users.find(user_id) is None:
                return 0
            self._maintenance.merge_up_to(self._stage.next_seq)
            with self._naming:  # no commit meanwhile; what came during that merge is little
                self._maintenance.merge_up_to(self._stage.next_seq)
                readings = self._remove_merged(user_id)
            self._maintenance.checkpoint_after()  # lets go of the journal too
            return readings

    # --- Reader: called by any thread -------------------------------------------------------------------------------

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        user_no, selection = self._users.find(query.user_id), self._selection(query.device_id, query.include_all)
        if user_no is None or selection is None or query.range.length_us <= 0:
            return (RAW_SCHEMA if query.resolution is Resolution.RAW else BUCKET_SCHEMA).empty_table()
        with self._person(user_no, query.timeout_s, query.cancellation) as snapshot:
            return answer(snapshot, query, selection)

    def knows(self, user_id: str) -> bool:
        """See `contract.Reader.knows`."""
        return self._users.find(user_id) is not None

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        """See `contract.Reader.unknown_users`."""
        return {user_id for user_id in user_ids if self._users.find(user_id) is None}

    def totals(self, query: TotalsQuery) -> pa.Table:
        """See `contract.Reader.totals`."""
        if query.range.length_us <= 0:
            return TOTALS_SCHEMA.empty_table()
        self._totals_asked_at = time.monotonic()
        with self._everybody(query.timeout_s, query.cancellation) as snapshot:
            return totals.answer(snapshot, query)

    def user(self, user_id: str) -> User | None:
        """See `contract.Reader.user`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return None
        with self._database.reading() as connection:
            stored = people.get_user(connection, user_no) or User(user_id)
        return stored if stored.user_id == user_id else None  # removed meanwhile

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """See `contract.Reader.users`."""
        with self._overviews() as snapshot:
            return snapshot.page(text, limit, after)

    def overview(self, user_id: str) -> UserOverview | None:
        """See `contract.Reader.overview`."""
        with self._overviews() as snapshot:
            return snapshot.person(user_id)

    def devices(self, user_id: str) -> list[DeviceOverview]:
        """See `contract.Reader.devices`."""
        with self._overviews() as snapshot:
            return snapshot.devices_of(user_id)

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        """See `contract.Reader.summaries`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return []
        with self._database.reading() as connection:
            return people.get_summaries(connection, user_no, user_id, first, last)

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """See `contract.Reader.priorities`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return []
        with self._database.reading() as connection:
            entries = people.get_priorities(connection, user_no)
        found = [
            DevicePriority(user_id, self._devices.text(device_no), priority, valid_from)
            for device_no, valid_from, priority in entries
        ]
        return sorted(found, key=lambda entry: (entry.device_id, entry.valid_from_us))

    def origins(self) -> list[Origin]:
        """See `contract.Reader.origins`."""
        with self._database.reading() as connection:
            statement = "SELECT origin, kind, name, received_at FROM origins ORDER BY origin"
            return [Origin(*row) for row in connection.execute(statement).fetchall()]

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        with self._whole(cancellation) as snapshot:
            return snapshot.counts(numbers, self._pushes)

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        """See `contract.Reader.stored_values`."""
        numbers = numbers_of(self._users, readings.users), numbers_of(self._devices, readings.devices)
        if not len(readings) or min(int(each.max()) for each in numbers) < 0:
            return StoredValues.nothing(len(readings))
        stage, hours = self._stage.snapshot(), self._maintenance.stored_hours()
        if hours is not None and is_of_other_hours(readings.times_us, stage, hours):
            return StoredValues.nothing(len(readings))
        keys = Rows(*numbers, readings.times_us, readings.values, readings.confidences, numbers[0])
        with self._moment(None, None) as (stage, connection, _, state):
            people_count = len(self._users)
            return stored_values(connection, stage, state, keys=keys, pushes=self._pushes, people_count=people_count)

    def export(self, interval: TimeRange, user_ids: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """See `contract.Reader.export`. Everything is merged first, so that little has to be put together on the way.

        While the state is held, the engine's log and the journal are not trimmed.
        """
        self.merge()
        with self._whole() as snapshot:
            yield from snapshot.export(interval, user_ids)

    def last_time_us(self, user_id: str, device_id: str) -> int | None:
        """See `contract.Reader.last_time_us`."""
        user_no, device_no = self._users.find(user_id), self._devices.find(device_id)
        if user_no is None or device_no is None:
            return None
        with self._overviews() as snapshot:
            return snapshot.extents([user_no]).get((user_no, device_no), Extent()).last_us

    # --- Store ------------------------------------------------------------------------------------------------------

    def stored(self) -> pa.Table:
        """See `contract.Store.stored`."""
        parts = [self._stored_of(number, _ALL_TIME) for number in range(len(self._users))]
        return pa.concat_tables([STORED_SCHEMA.empty_table(), *parts]).sort_by(
            [("user_id", "ascending"), ("device_id", "ascending"), ("time_us", "ascending")]
        )

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        """See `contract.Store.readings`."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return STORED_SCHEMA.empty_table()
        return self._stored_of(user_no, interval).sort_by([("device_id", "ascending"), ("time_us", "ascending")])

    def check(self) -> CheckReport:
        """See `contract.Store.check`. Everything is merged first, so that the check covers every reading; where damaged
        tables keep that from being done, they are what it says.
        """
        problems = check.unreadable(self._database)
        if not problems:
            try:
                self.merge()
                with self._database.reading() as connection:
                    return check.check(connection)
            except StoreCorruptError as error:  # in an index, say, which no table shows
                problems = [str(error)]
        return CheckReport(0, 0, tuple(problems))

    def ping(self) -> None:
        """See `contract.Store.ping`."""
        if self._database.damage is not None:
            raise self._database.damage
        with self._database.reading() as connection:
            read_state(connection)
        if not self._maintenance.is_alive():
            raise StoreUnavailableError("the store's maintenance has stopped")
        self._journal.refuse_when_broken()

    def statistics(self) -> dict[str, float]:
        """See `contract.Store.statistics`."""
        statistics = {
            "unmerged_rows": len(self._stage) + self._maintenance.late_rows,
            "staged_rows": len(self._stage),
            "staged_limit_rows": self._maintenance.most_unmerged,
            "size_bytes": self._database.size_bytes() + self._journal.size_bytes(),
            "merges": self._maintenance.merges,
            "merge_failures": self._maintenance.merge_failures,
            "merge_seconds": self._maintenance.merge_seconds,
            "merge_lag_seconds": self._maintenance.lag_seconds,
            "damaged": self._database.damage is not None,
        }
        # The engine answers from its row groups: a millisecond for 30 million rows. Should it fail, the rest is shown.
        with contextlib.suppress(PulsebaseError, duckdb.Error), self._database.reading() as connection:
            row = one_row(connection, "SELECT count(*) FROM readings")
            statistics["readings"] = row[0] if row else 0
        return statistics

    def backup(self, folder: Path) -> BackupReport:
        """See `contract.Embedded.backup`."""
        with self._database_writes:
            self._maintenance.checkpoint()
            if self._database.size_of_log():
                raise DiskFullError("the copy was given up: the disk has no room for a checkpoint", 60)
            return copy_store(self._database.path, self._journal.folder, self._journal.listed(), folder)

    def select(self, statement: str, limit: int, timeout_s: float | None) -> pa.Table:
        """See `contract.Embedded.select`. Everything is merged first, so that the tables hold every reading."""
        check_statement(statement)
        self.merge()
        with self._database.reading() as connection, self._watchdog.limit(connection, timeout_s):
            return select(connection, statement, limit)

    def close(self) -> None:
        """See `contract.Store.close`. Unmerged readings stay in the journal."""
        if self._closed:
            return
        self._closed = True
        self._maintenance.stop()
        self._watchdog.close()
        self._journal.close()
        self._database.close()
        self.lock.release()

    def merge(self) -> None:
        """Bring everything that is staged now, and everything that is late, where it belongs."""
        self._maintenance.merge()

    def horizon_us(self) -> int:
        """See `contract.Store.horizon_us`."""
        return self._horizon_us

    def expire(self, before_us: int, *, dry_run: bool = False) -> Expiry:
        """See `contract.Store.expire`. From the moment the horizon moves nothing older is taken any more."""
        if before_us <= self._expired_us:
            return Expiry(self._horizon_us, 0)
        with self._database_writes:
            self.merge()
            if not dry_run:
                with self._naming:  # no commit meanwhile; what came during that merge is little
                    self.merge()
                    self._horizon_us = max(before_us, self._horizon_us)
            with self._database.reading() as connection:
                first_hour, end_hour = read_state(connection).horizon_hour, before_us // HOUR_US
                readings = expiry.count_before(connection, first_hour, end_hour)
            if not dry_run:
                with after("some of the readings may have expired; the rest goes when it is asked for again"):
                    self._maintenance.expire(end_hour)
                self._expired_us = before_us
            return Expiry(before_us, readings)

    def scrub(self) -> ScrubReport:
        """See `contract.Store.scrub`. Copies that were made before a migration hold what was stored then: they go."""
        before_bytes = self._database.size_bytes() + self._journal.size_bytes()
        self._maintenance.scrub()
        for path in self._database.path.parent.glob(f"{self._database.path.name}.before-schema-*"):
            path.unlink()
        return ScrubReport(before_bytes, self._database.size_bytes() + self._journal.size_bytes())

    def settle(self) -> None:
        """See `contract.Store.settle`. Late rows are placed, and the journal let go of."""
        self._maintenance.settle()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _load(self) -> tuple[MaintenanceParts, int]:
        """Bring names and unmerged rows into memory; the parts, and how many late rows there are."""
        with self._database.reading() as connection:
            state, position = read_state(connection), read_position(connection)
            self._horizon_us = self._expired_us = state.horizon_hour * HOUR_US
            hour_sizes = HourSizes.read(connection)
            self._pushes = Pushes.read(connection)
            self._users = IdNumbers(_dense(connection, "user_no", "user_id", "users"))
            self._devices = IdNumbers(_dense(connection, "device_no", "device_id", "devices"))
            self._priorities = Priorities(connection, state.epoch)
        self._stage = Stage(state.merged_seq)
        for rows in self._journal.replay(position, self._users, self._devices):
            self._stage.append(rows)
        parts = MaintenanceParts(
            self._database,
            self._journal,
            self._stage,
            self._users,
            self._devices,
            self._priorities,
            self._pushes,
            hour_sizes,
        )
        self._database_writes, self._naming = parts.database_writes, parts.naming
        return parts, state.late_rows

    def _rows(self, batch: ReadingBatch) -> Rows:
        return Rows(
            self._users.numbers(batch.users),
            self._devices.numbers(batch.devices),
            batch.times_us,
            batch.values,
            batch.confidences,
            np.full(len(batch), batch.origin, np.int32),
        )

    def _append(self, rows: Rows) -> None:
        """Make rows durable, then visible. The caller holds `_naming`, which keeps the journal from being cleared."""
        if len(rows) == 0:
            return
        if not self._names_are_sure:
            raise StoreUnavailableError("the database is being opened again", retry_after_s=5)
        with _reasons_named():
            self._journal.append(self._stage.next_seq, self._users.new(), self._devices.new(), rows)
        try:
            # Names before rows: a merge that takes the rows must find their names.
            self._users.publish()
            self._devices.publish()
            self._stage.append(rows)
        except BaseException as error:  # memory that ran out
            self._journal.fail()
            raise OutcomeUnknownError("stored, but not shown before the next start", 60) from error
        self._maintenance.note(rows.t)

    @contextlib.contextmanager
    def _about(self, user_ids: Sequence[str], device_ids: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction about these people and devices, who are known from then on: all of it, or nothing, is kept.

        Commits go on meanwhile unless somebody is new.
        """
        with self._database_writes:
            known = all(map(self._users.is_persisted, user_ids)) and all(map(self._devices.is_persisted, device_ids))
            with self._database.writing() if known else self._numbering(user_ids, device_ids) as connection:
                yield connection
            self._maintenance.checkpoint_after()

    @contextlib.contextmanager
    def _numbering(self, user_ids: Sequence[str], device_ids: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction that also keeps the numbers of these people and devices."""
        with self._naming:
            self._journal.refuse_when_broken()
            try:
                with self._given_names(), self._database.writing() as connection:
                    for names, texts in ((self._users, user_ids), (self._devices, device_ids)):
                        for text in texts:
                            names.number(text)
                    persist_names(
                        connection,
                        self._users.unpersisted() + self._users.new(),
                        self._devices.unpersisted() + self._devices.new(),
                    )
                    yield connection
            except StoreUnavailableError as error:
                self._names_are_sure = error.kept != "unknown"
                raise
            # Before anybody else gives a number, which the database would not know.
            self._users.persisted, self._devices.persisted = len(self._users), len(self._devices)

    def _follow(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Hold what the database holds after it was opened again. Called with the right to write it."""
        self._maintenance.follow(connection)
        with self._naming:
            self._users.follow(_dense(connection, "user_no", "user_id", "users"))
            self._devices.follow(_dense(connection, "device_no", "device_id", "devices"))
            self._names_are_sure = True

    def _remove_merged(self, user_id: str) -> int:
        """Remove a person while everything is merged and nothing can be committed."""
        user_no = self._users.find(user_id)
        if user_no is None:
            return 0
        with self._overviews() as snapshot:
            readings = sum(extent.readings for extent in snapshot.extents([user_no]).values())
            readings -= snapshot.expired(user_no)
        person = self.user(user_id) or User(user_id)
        # The files of before have the person's readings, and go with the checkpoint; the one in use never would.
        with _reasons_named():
            self._journal.rotate(self._stage.next_seq)
        with self._database.writing() as connection:
            hours = removal.rows_by_hour(connection, user_no)
            late_rows = removal.remove_rows(connection, user_no)
            devices = removal.forget_devices(connection)
            removal.rename_origins(connection, person)
        self._users.forget(user_no)
        for device_no in devices:
            self._devices.forget(device_no)
        self._origins.clear()
        self._maintenance.note_removed(user_no, hours, late_rows)
        return readings

    @contextlib.contextmanager
    def _given_names(self) -> Iterator[None]:
        """Numbers given in the block are published at its end, or withdrawn if it raises."""
        try:
            yield
        except BaseException:
            self._users.withdraw()
            self._devices.withdraw()
            raise
        self._users.publish()
        self._devices.publish()

    @contextlib.contextmanager
    def _moment(
        self, timeout_s: float | None, cancellation: Cancellation | None
    ) -> Iterator[tuple[StageSnapshot, duckdb.DuckDBPyConnection, Deadline, State]]:
        """Stage and database at one moment, for one question."""
        stage = self._stage.snapshot()  # before the database's snapshot, see above
        with (
            self._database.reading() as connection,
            self._watchdog.limit(connection, timeout_s, cancellation) as deadline,
        ):
            yield stage, connection, deadline, read_state(connection)

    @contextlib.contextmanager
    def _person(
        self, user_no: int, timeout_s: float | None, cancellation: Cancellation | None = None
    ) -> Iterator[PersonSnapshot]:
        with self._moment(timeout_s, cancellation) as (stage, connection, deadline, state):
            parts = [late_rows(connection, user_no)] if state.late_rows else []
            parts += [part.take(part.user_no == user_no) for part in stage.since(state.merged_seq)]
            arrived = Rows.concatenated([part for part in parts if len(part)])
            staged = arrived.last_of_each_key()
            history = self._priorities.at(connection, state.epoch).get(user_no, {})
            want = self._maintenance.wanted_quarters.add
            yield PersonSnapshot(connection, deadline, user_no, staged, arrived, history, self._devices, want)

    @contextlib.contextmanager
    def _whole(self, cancellation: Cancellation | None = None) -> Iterator[ExportSnapshot]:
        with self._moment(None, cancellation) as (stage, connection, deadline, state):
            yield ExportSnapshot.of(connection, deadline, stage.since(state.merged_seq), self._users, self._devices)

    def _selection(self, device_id: str | None, include_all: bool) -> Selection | None:
        """What is asked for, or None where the device is unknown and nothing can be found."""
        if device_id is None:
            return Selection(None, include_all)
        device_no = self._devices.find(device_id)
        return None if device_no is None else Selection(device_no, include_all)

    @contextlib.contextmanager
    def _everybody(
        self, timeout_s: float | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[PeopleSnapshot]:
        with self._moment(timeout_s, cancellation) as (stage, connection, deadline, state):
            believers = DevicePrecedence(self._devices.text, self._priorities.at(connection, state.epoch))
            yield PeopleSnapshot(connection, deadline, state, stage, believers, self._users, self._known_changes)

    def _look_ahead(self) -> None:
        """After late rows came: whoever has asked about many people is likely to ask again."""
        asked_at = self._totals_asked_at
        if asked_at is not None and time.monotonic() - asked_at < _LOOK_AHEAD_S:
            with self._everybody() as snapshot:
                totals.look_ahead(snapshot)

    @contextlib.contextmanager
    def _overviews(self) -> Iterator[OverviewSnapshot]:
        stage = self._stage.snapshot()  # before the database's snapshot, see above
        with self._database.reading() as connection:
            yield OverviewSnapshot(connection, stage, self._users, self._devices)

    def _stored_of(self, user_no: int, interval: TimeRange) -> pa.Table:
        user_id = self._users.text(user_no)  # which is gone afterwards, should the person be removed meanwhile
        with self._person(user_no, None) as snapshot:
            rows = snapshot.owned(interval, self._pushes)
        devices = pa.array([self._devices.text(int(number)) for number in rows.device_no], pa.string())
        confidence = pa.array(rows.confidence, pa.int8(), mask=rows.confidence == NO_CONFIDENCE)
        users = pa.array([user_id] * len(rows), pa.string())
        columns = [users, devices, pa.array(rows.t), pa.array(rows.v), confidence, pa.array(rows.origin)]
        return pa.table(columns, schema=STORED_SCHEMA)


def _tombstones(rows: Rows) -> Rows:
    """Rows that delete the readings of these."""
    return replace(rows, v=np.full_like(rows.v, TOMBSTONE))


@contextlib.contextmanager
def _reasons_named() -> Iterator[None]:
    """Why a disk refuses the journal is told apart, as it is for every other file."""
    try:
        yield
    except StoreUnavailableError as error:
        raise named(error) from error


def _since(batch: ReadingBatch, start_us: int) -> ReadingBatch:
    """The readings from that time on."""
    if batch.times_us.min(initial=start_us) >= start_us:
        return batch
    return batch.take(np.flatnonzero(batch.times_us >= start_us))


def _dense(connection: duckdb.DuckDBPyConnection, number: str, text: str, table: str) -> list[str]:
    rows = connection.execute(f"SELECT {number}, {text} FROM {table} ORDER BY {number}").fetchall()
    if [row[0] for row in rows] != list(range(len(rows))):
        raise StoreCorruptError(f"the database has lost rows of {table}; restore a backup")
    return [row[1] for row in rows]
