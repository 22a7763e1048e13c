"""The embedded store: `stores.contract.Store` on a journal, a stage in memory and a DuckDB database.

A write is durable once its journal frame is on the disk and visible once the stage holds it. One maintenance thread
merges the stage into the database. Nothing else writes readings, so readers need no lock: they take the stage first
and a
database snapshot second, and leave out of the stage what the snapshot already has.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.errors import StoreCorruptError, StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.rollups import PriorityHistory
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import HOUR_US, MAX_US, TimeRange
from pulsebase.model.users import DevicePriority, User, UserOverview
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    RAW_SCHEMA,
    STORED_SCHEMA,
    BackupReport,
    Cancellation,
    CheckReport,
    Origin,
    SeriesQuery,
)
from pulsebase.stores.duckdb import check, people
from pulsebase.stores.duckdb.backup import copy_store
from pulsebase.stores.duckdb.database import Database, State, one_row, read_state
from pulsebase.stores.duckdb.hours import Believers
from pulsebase.stores.duckdb.journal import Frame, Journal
from pulsebase.stores.duckdb.lock import StoreLock
from pulsebase.stores.duckdb.merge import HourSizes, Merge, MergeBounds, persist_names, resolve_contested
from pulsebase.stores.duckdb.names import Names
from pulsebase.stores.duckdb.resolve_sql import RESOLVED_QUARTERS
from pulsebase.stores.duckdb.select import check_statement, select
from pulsebase.stores.duckdb.series import answer
from pulsebase.stores.duckdb.snapshot import PersonSnapshot, Selection, late_rows
from pulsebase.stores.duckdb.stage import NO_CONFIDENCE, TOMBSTONE, Rows, Stage
from pulsebase.stores.duckdb.watchdog import Watchdog

logger = logging.getLogger(__name__)

#: Little comes in when no more than this is staged between two merges.
_IDLE_ROWS = 20_000
#: The most rows of one merge, which holds them in memory several times over.
_MERGE_ROWS = 2_500_000
_ROOM_WAIT_S = 20.0
#: A journal below this size is left alone when there is nothing else to do.
_SMALL_JOURNAL_BYTES = 1 << 20
_ALL_TIME = TimeRange(0, MAX_US)


@dataclass(frozen=True, slots=True)
class DuckdbOptions:
    """What an owner may tune.

    Attributes:
        memory_limit: the engine's, in DuckDB's notation.
        threads: the engine's.
        merge_readings: a merge starts once this many readings wait …
        merge_scattered: … or this many that lie more than an hour behind the newest, since each may touch an hour that
            queries then have to compute from raw …
        merge_interval_s: … or the oldest has waited this long.
        most_unmerged: beyond so many unmerged readings writes wait for a merge.
        late_readings: readings for hours settled long ago are brought there once so many of them wait, or when little
        else
            comes in.
        bounds: of one merge.
        checkpoint_bytes: the engine's write-ahead log is brought into the file once it or the journal is larger.
    """

    memory_limit: str = "1GiB"
    threads: int = 2
    merge_readings: int = 2_000_000
    merge_scattered: int = 20_000
    merge_interval_s: float = 20.0
    most_unmerged: int = 8_000_000
    checkpoint_bytes: int = 32 << 20
    late_readings: int = 500_000
    bounds: MergeBounds = field(default_factory=MergeBounds)


@dataclass(frozen=True, slots=True)
class _Priorities:
    epoch: int
    of_user: dict[int, PriorityHistory]


class DuckdbStore:
    """A store in one folder: `path` is the database file, its lock and its journal lie beside it."""

    def __init__(self, path: Path, options: DuckdbOptions | None = None) -> None:
        self._options = options or DuckdbOptions()
        path = path.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._closed = False
        with contextlib.ExitStack() as undo:
            self.lock = StoreLock(path)
            undo.callback(self.lock.release)
            self._database = Database(path, memory_limit=self._options.memory_limit, threads=self._options.threads)
            undo.callback(self._database.close)
            self._journal = Journal(path.with_name(path.name + ".journal"))
            self._load()
            undo.pop_all()
        self._watchdog = Watchdog()
        self._database_writes = threading.RLock()
        self._naming = threading.Lock()  # taken after the right to write the database, if both are
        self._wake = threading.Event()
        self._stopping = False
        self._merged = threading.Condition()
        self._newest_us = 0
        self._scattered = 0
        self._origins: dict[tuple[str, str], int] = {}
        self._wanted_quarters: set[int] = set()
        self._merges = 0
        self._merge_failures = 0
        self._merge_seconds = 0.0
        self._maintenance = threading.Thread(target=self._maintain, name="pulsebase-merge", daemon=True)
        self._maintenance.start()

    # --- Writer: called by one thread -------------------------------------------------------------------------------

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write`."""
        self._wait_for_room()
        with self._naming, self._given_names():
            self._append(Rows.concatenated([self._rows(batch) for batch in batches]))

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> int:
        """See `contract.Writer.delete`. A deletion is a tombstone for every reading that goes."""
        user_no, selection = self._users.find(user_id), self._selection(device_id, include_all=True)
        if user_no is None or selection is None or interval.length_us <= 0:
            return 0
        with self._person(user_no, None) as snapshot:
            rows = snapshot.rows(interval, selection)
        if len(rows):
            tombstones = replace(rows, v=np.full_like(rows.v, TOMBSTONE))
            self._wait_for_room()
            with self._naming:
                self._append(tombstones)
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
            self._checkpoint()
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
        with self._database_writes:
            self._name([user.user_id], [])
            with self._database.writing() as connection:
                people.put_user(connection, self._users.number(user.user_id), user)
            self._checkpoint()

    def put_priority(self, priority: DevicePriority) -> None:
        """See `contract.Registry.put_priority`."""
        with self._database_writes:
            self._name([priority.user_id], [priority.device_id])
            user_no, device_no = self._users.number(priority.user_id), self._devices.number(priority.device_id)
            with self._database.writing() as connection:
                people.put_priority(connection, user_no, device_no, priority)
                resolve_contested(connection, user_no, device_no)
            self._checkpoint()

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        with self._database_writes:
            self._name([summary.user_id for summary in summaries], [])
            with self._database.writing() as connection:
                people.put_summaries(connection, [(self._users.number(each.user_id), each) for each in summaries])
            self._checkpoint()

    # --- Reader: called by any thread -------------------------------------------------------------------------------

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        user_no, selection = self._users.find(query.user_id), self._selection(query.device_id, query.include_all)
        if user_no is None or selection is None or query.range.length_us <= 0:
            return (RAW_SCHEMA if query.resolution is Resolution.RAW else BUCKET_SCHEMA).empty_table()
        with self._person(user_no, query.timeout_s, query.cancellation) as snapshot:
            return answer(snapshot, query, selection)

    def user(self, user_id: str) -> User | None:
        """See `contract.Reader.user`."""
        if self._users.find(user_id) is None:
            return None
        with self._database.reading() as connection:
            return people.get_user(connection, user_id) or User(user_id)

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """See `contract.Reader.users`."""
        new = [
            User(user_id)
            for _, user_id in self._users.unpersisted()
            if user_id > (after or "") and text.lower() in user_id.lower()
        ]
        with self._database.reading() as connection:
            found = {user.user_id: user for user in new}
            found |= {user.user_id: user for user in people.find_users(connection, text, limit, after)}
        return [self._overview(found[user_id]) for user_id in sorted(found)[:limit]]

    def overview(self, user_id: str) -> UserOverview | None:
        """See `contract.Reader.overview`."""
        user = self.user(user_id)
        return self._overview(user) if user else None

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
        with self._database.reading() as connection:
            entries = people.all_priorities(connection)
        found = [
            DevicePriority(user_id, self._devices.text(device_no), priority, valid_from)
            for number, device_no, valid_from, priority in entries
            if number == user_no
        ]
        return sorted(found, key=lambda entry: (entry.device_id, entry.valid_from_us))

    def last_time_us(self, user_id: str, device_id: str) -> int | None:
        """See `contract.Reader.last_time_us`."""
        user_no, selection = self._users.find(user_id), self._selection(device_id, include_all=True)
        if user_no is None or selection is None:
            return None
        return self._extent(user_no, selection)[2]

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

    def origins(self) -> list[Origin]:
        """See `contract.Store.origins`."""
        with self._database.reading() as connection:
            found = connection.execute("SELECT origin, kind, name FROM origins ORDER BY origin").fetchall()
        return [Origin(*row) for row in found]

    def check(self) -> CheckReport:
        """See `contract.Store.check`. Everything is merged first, so that the check covers every reading."""
        self.merge()
        with self._database.reading() as connection:
            return check.check(connection)

    def ping(self) -> None:
        """See `contract.Store.ping`."""
        with self._database.reading() as connection:
            read_state(connection)
        if not self._maintenance.is_alive():
            raise StoreUnavailableError("the store's maintenance has stopped")

    def statistics(self) -> dict[str, float]:
        """See `contract.Store.statistics`."""
        return {
            "unmerged_rows": len(self._stage) + self._late_rows,
            "size_bytes": self._database.size_bytes() + self._journal.size_bytes(),
            "merges": self._merges,
            "merge_failures": self._merge_failures,
            "merge_seconds": self._merge_seconds,
        }

    def backup(self, folder: Path) -> BackupReport:
        """See `contract.Embedded.backup`."""
        with self._database_writes:
            self._checkpoint()
            if self._database.size_of_log():
                raise StoreUnavailableError("the copy was given up: the disk has no room for a checkpoint", 60)
            return copy_store(self._database.path, self._journal.folder, folder)

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
        self._stopping = True
        self._wake.set()
        self._maintenance.join()
        self._watchdog.close()
        self._journal.close()
        self._database.close()
        self.lock.release()

    def merge(self) -> None:
        """Bring everything that is staged now, and everything that is late, where it belongs."""
        upto_seq = self._stage.next_seq
        while self._merge_staged() < upto_seq:
            pass
        while self._settle_late():
            pass

    # --- inside -----------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        with self._database.reading() as connection:
            state = read_state(connection)
            self._late_rows = state.late_rows
            self._hour_sizes = HourSizes.read(connection)
            self._users = Names(_dense(connection, "user_no", "user_id", "users"))
            self._devices = Names(_dense(connection, "device_no", "device_id", "devices"))
            self._priorities = _read_priorities(connection, state.epoch)
        self._stage = Stage(state.merged_seq)
        for frame in self._journal.replay(state.merged_seq):
            for names, new in ((self._users, frame.users), (self._devices, frame.devices)):
                for number, text in new:
                    names.restore(number, text)
            rows = frame.rows()
            self._stage.append(rows.take(slice(max(state.merged_seq - frame.first_seq, 0), None)))

    def _rows(self, batch: ReadingBatch) -> Rows:
        table = batch.table.combine_chunks()
        user_no = _numbers(table["user_id"].chunk(0) if len(batch) else None, self._users)
        device_no = _numbers(table["device_id"].chunk(0) if len(batch) else None, self._devices)
        confidence = _filled(table["confidence"].combine_chunks())
        times_us = table["time"].combine_chunks().view(pa.int64()).to_numpy()
        return Rows(
            user_no,
            device_no,
            times_us,
            table["value"].to_numpy(),
            confidence,
            np.full(len(batch), batch.origin, np.int32),
        )

    def _append(self, rows: Rows) -> None:
        """Make rows durable, then visible. The caller holds `_naming`, which keeps the journal from being cleared."""
        if len(rows) == 0:
            return
        self._journal.append(Frame.of(self._stage.next_seq, self._users.new(), self._devices.new(), rows))
        # Names before rows: a merge that takes the rows must find their names.
        self._users.publish()
        self._devices.publish()
        self._stage.append(rows)
        self._newest_us = max(self._newest_us, int(rows.t.max()))
        self._scattered += int(np.count_nonzero(rows.t < self._newest_us - HOUR_US))
        if len(self._stage) >= self._options.merge_readings or self._scattered >= self._options.merge_scattered:
            self._wake.set()

    def _wait_for_room(self) -> None:
        """Hold writes back while merges are far behind.

        Raises:
            StoreUnavailableError: they do not catch up.
        """
        if len(self._stage) < self._options.most_unmerged:
            return
        with self._merged:
            self._wake.set()
            if not self._merged.wait_for(lambda: len(self._stage) < self._options.most_unmerged, _ROOM_WAIT_S):
                raise StoreUnavailableError("too many readings wait for a merge", retry_after_s=10)

    def _maintain(self) -> None:
        while not self._stopping:
            self._wake.wait(self._options.merge_interval_s)
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._maintain_once()
            except Exception:
                self._merge_failures += 1
                logger.exception("a merge failed and will be tried again")
                time.sleep(0.5)

    def _maintain_once(self) -> None:
        before = len(self._stage)
        self._scattered = 0
        self._merge_staged()
        while len(self._stage) >= self._options.merge_readings and not self._stopping:
            self._merge_staged()
        idle = before < _IDLE_ROWS
        while not self._stopping and (self._late_rows >= self._options.late_readings or idle) and self._settle_late():
            idle = idle and len(self._stage) < _IDLE_ROWS
        self._build_quarters()
        if idle:
            self._trim_journal()

    def _name(self, user_ids: Sequence[str], device_ids: Sequence[str]) -> None:
        """Make these people and devices known, durably. The caller holds the right to write the database."""
        with self._naming, self._given_names(), self._database.writing() as connection:
            for user_id in user_ids:
                self._users.number(user_id)
            for device_id in device_ids:
                self._devices.number(device_id)
            new_users, new_devices = self._users.new(), self._devices.new()
            persist_names(connection, self._users.unpersisted() + new_users, self._devices.unpersisted() + new_devices)
        self._users.persisted, self._devices.persisted = len(self._users), len(self._devices)

    def _merge_staged(self) -> int:
        """Bring what is staged, but no more than one merge takes, into the database, in one transaction.

        Returns the sequence number up to which everything is merged.
        """
        with self._database_writes:
            staged = self._stage.snapshot()
            started = time.perf_counter()
            with self._database.writing() as connection:
                state = read_state(connection)
                parts = staged.between(state.merged_seq, state.merged_seq + _MERGE_ROWS)
                upto_seq = state.merged_seq + sum(len(part) for part in parts)
                if upto_seq == state.merged_seq:
                    return upto_seq
                new_users, new_devices = self._users.unpersisted(), self._devices.unpersisted()
                persist_names(connection, new_users, new_devices)
                done = self._merge_in(connection, state).staged(Rows.concatenated(parts), state.merged_seq)
                connection.execute("UPDATE state SET merged_seq = ?, late_rows = ?", [upto_seq, done.late_rows])
            self._users.persisted += len(new_users)
            self._devices.persisted += len(new_devices)
            self._late_rows = done.late_rows
            with self._merged:
                self._stage.drop_before(upto_seq)
                self._merged.notify_all()
            self._count_merge(started)
            return upto_seq

    def _settle_late(self) -> bool:
        """Bring a piece of the late rows where it belongs; whether there was one."""
        with self._database_writes:
            if self._late_rows == 0:
                return False
            started = time.perf_counter()
            with self._database.writing() as connection:
                done = self._merge_in(connection, read_state(connection)).late()
                connection.execute("UPDATE state SET late_rows = ?", [done.late_rows])
            self._late_rows = done.late_rows
            self._count_merge(started)
            return True

    def _trim_journal(self) -> None:
        """Let go of the whole journal while nothing in it is needed."""
        if len(self._stage) or self._journal.size_bytes() < _SMALL_JOURNAL_BYTES:
            return
        self._checkpoint()
        with self._naming:  # no commit meanwhile
            if len(self._stage) == 0 and self._database.size_of_log() == 0:
                self._journal.clear()

    def _build_quarters(self) -> None:
        """Keep quarters of an hour for the people for whom they were asked."""
        while self._wanted_quarters:
            user_no = self._wanted_quarters.pop()
            with self._database_writes, self._database.writing() as connection:
                connection.execute("INSERT OR IGNORE INTO q15_users VALUES (?)", [user_no])
                connection.execute("DELETE FROM q15 WHERE user_no = ?", [user_no])
                hours = f"SELECT DISTINCT user_no, hour FROM h1_dev WHERE user_no = {user_no}"
                connection.execute("INSERT INTO q15 " + RESOLVED_QUARTERS.format(hours=hours))

    def _merge_in(self, connection: duckdb.DuckDBPyConnection, state: State) -> Merge:
        priorities = self._priorities_at(connection, state.epoch)
        believers = Believers(self._devices.text, priorities.of_user)
        return Merge(connection, believers, self._hour_sizes, self._options.bounds)

    def _count_merge(self, started: float) -> None:
        self._merges += 1
        self._merge_seconds += time.perf_counter() - started
        if max(self._database.size_of_log(), self._journal.size_bytes()) > self._options.checkpoint_bytes:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Bring the engine's log into the file, and let go of the journal that this makes superfluous.

        Not before: should the engine's log come to harm, which it does not always notice, the journal still has the
        readings.
        """
        with self._database_writes:
            with self._database.reading() as connection:
                merged_seq = read_state(connection).merged_seq
            self._database.checkpoint()
            if self._database.size_of_log() == 0:
                self._journal.drop_before(merged_seq)

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
    def _person(
        self, user_no: int, timeout_s: float | None, cancellation: Cancellation | None = None
    ) -> Iterator[PersonSnapshot]:
        stage = self._stage.snapshot()  # before the database's snapshot, see above
        with (
            self._database.reading() as connection,
            self._watchdog.limit(connection, timeout_s, cancellation) as deadline,
        ):
            state = read_state(connection)
            parts = [late_rows(connection, user_no)] if state.late_rows else []
            parts += [part.take(part.user_no == user_no) for part in stage.since(state.merged_seq)]
            staged = Rows.concatenated([part for part in parts if len(part)]).last_of_each_key()
            history = self._priorities_at(connection, state.epoch).of_user.get(user_no, {})
            want = self._wanted_quarters.add
            yield PersonSnapshot(connection, deadline, user_no, staged, history, self._devices, want)

    def _priorities_at(self, connection: duckdb.DuckDBPyConnection, epoch: int) -> _Priorities:
        known = self._priorities
        if known.epoch == epoch:
            return known
        found = _read_priorities(connection, epoch)
        if epoch > known.epoch:
            self._priorities = found
        return found

    def _selection(self, device_id: str | None, include_all: bool) -> Selection | None:
        """What is asked for, or None where the device is unknown and nothing can be found."""
        if device_id is None:
            return Selection(None, include_all)
        device_no = self._devices.find(device_id)
        return None if device_no is None else Selection(device_no, include_all)

    def _overview(self, user: User) -> UserOverview:
        user_no = self._users.find(user.user_id)
        if user_no is None:
            return UserOverview(user, 0, None, None)
        return UserOverview(user, *self._extent(user_no, Selection(include_all=True)))

    def _extent(self, user_no: int, selection: Selection) -> tuple[int, int | None, int | None]:
        """How many readings are stored, and the first and last time."""
        with self._person(user_no, None) as snapshot:
            return snapshot.extent(selection)

    def _stored_of(self, user_no: int, interval: TimeRange) -> pa.Table:
        with self._person(user_no, None) as snapshot:
            rows = snapshot.rows(interval, Selection(include_all=True))
        devices = pa.array([self._devices.text(int(number)) for number in rows.device_no], pa.string())
        confidence = pa.array(rows.confidence, pa.int8(), mask=rows.confidence == NO_CONFIDENCE)
        users = pa.array([self._users.text(user_no)] * len(rows), pa.string())
        columns = [users, devices, pa.array(rows.t), pa.array(rows.v), confidence, pa.array(rows.origin)]
        return pa.table(columns, schema=STORED_SCHEMA)


def _dense(connection: duckdb.DuckDBPyConnection, number: str, text: str, table: str) -> list[str]:
    rows = connection.execute(f"SELECT {number}, {text} FROM {table} ORDER BY {number}").fetchall()
    if [row[0] for row in rows] != list(range(len(rows))):
        raise StoreCorruptError(f"the database has lost rows of {table}; restore a backup")
    return [row[1] for row in rows]


def _read_priorities(connection: duckdb.DuckDBPyConnection, epoch: int) -> _Priorities:
    of_user: dict[int, dict[int, list[tuple[int, int | None]]]] = {}
    for user_no, device_no, valid_from, priority in people.all_priorities(connection):
        of_user.setdefault(user_no, {}).setdefault(device_no, []).append((valid_from, priority))
    return _Priorities(epoch, dict(of_user))


def _filled(column: pa.Array) -> npt.NDArray[np.int8]:
    if column.null_count == len(column):
        return np.full(len(column), NO_CONFIDENCE, np.int8)
    filled: npt.NDArray[np.int8] = column.fill_null(int(NO_CONFIDENCE)).to_numpy()
    return filled


def _numbers(ids: pa.DictionaryArray | None, names: Names) -> npt.NDArray[np.int32]:
    """The numbers of texts. A text that stands in the dictionary but in no row, its rows being refused, gets none."""
    if ids is None:
        return np.empty(0, np.int32)
    codes: npt.NDArray[np.int32] = ids.indices.to_numpy(zero_copy_only=False)
    used = np.zeros(len(ids.dictionary), np.bool_)
    used[codes] = True
    texts = ids.dictionary.to_pylist()
    numbers = np.full(len(texts), -1, np.int32)
    numbers[used] = names.numbers(
        texts if used.all() else [text for text, is_used in zip(texts, used, strict=True) if is_used]
    )
    return numbers[codes]
