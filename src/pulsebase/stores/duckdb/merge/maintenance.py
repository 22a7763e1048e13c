"""What an open store does beside answering and committing: merges, late rows, quarters, checkpoints, the journal's end.

One thread does all of it, at intervals or when it is woken. Everything here can also be done at once, by whoever asks:
the right to write the database makes the callers take turns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import duckdb

from pulsebase.model.errors import StoreCorruptError, StoreUnavailableError
from pulsebase.model.rollups import I64
from pulsebase.model.timerange import HOUR_US
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.duckdb.engine.database import Database, State, read_position, read_state
from pulsebase.stores.duckdb.journal.journal import Journal
from pulsebase.stores.duckdb.merge.compaction import Compaction
from pulsebase.stores.duckdb.merge.hours import DevicePrecedence
from pulsebase.stores.duckdb.merge.merge import HourSizes, Merge, MergeBounds, persist_names
from pulsebase.stores.duckdb.merge.origins import Pushes
from pulsebase.stores.duckdb.merge.pacer import Pacer
from pulsebase.stores.duckdb.merge.stage import Stage
from pulsebase.stores.duckdb.people.expiry import expire_step, keep_quarters, next_horizon
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers
from pulsebase.stores.duckdb.people.priorities import Priorities

logger = logging.getLogger(__name__)

#: Little comes in when no more than this is staged between two merges.
_IDLE_ROWS = 20_000
#: The part of the time between two merges after which to see whether little comes in.
_SOON = 0.1
#: The most rows of one merge, which holds them in memory several times over.
_MERGE_ROWS = 2_500_000
_ROOM_WAIT_S = 20.0
#: So many times the late rows that are worth a search do not wait for the flood to end: a search holds them in memory.
_TOO_MANY_LATE = 8
#: A merge of late rows does so much less while streams wait for the next merge of staged ones.
_HURRIED = 4
#: A journal below this size is left alone when there is nothing else to do.
_SMALL_JOURNAL_BYTES = 1 << 20
_PAUSE_AFTER_FAILURE_S = 0.5
_LONGEST_PAUSE_S = 60.0


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
            else comes in.
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
class MaintenanceParts:
    """What the store is made of, shared with whoever keeps it in order.

    `database_writes` is the right to write the database; `naming` keeps the journal and the numbers of people and
    devices still. Who needs both takes the first one first.
    """

    database: Database
    journal: Journal
    stage: Stage
    users: IdNumbers
    devices: IdNumbers
    priorities: Priorities
    pushes: Pushes
    hour_sizes: HourSizes
    database_writes: threading.RLock = field(default_factory=threading.RLock)
    naming: threading.RLock = field(default_factory=threading.RLock)


class Maintenance:
    """Keeps a store in order, from `start` to `stop`."""

    def __init__(self, parts: MaintenanceParts, late_rows: int, options: DuckdbOptions) -> None:
        self._parts = parts
        self._options = options
        #: How many rows wait in `late`.
        self.late_rows = late_rows
        self.merges = 0
        self.merge_failures = 0
        self.merge_seconds = 0.0
        #: The people for whom quarters of an hour are to be kept from the next round on.
        self.wanted_quarters: set[int] = set()
        #: Called where late rows wait that no question has looked at.
        self.look_ahead: Callable[[], None] = lambda: None
        self._compaction = Compaction(parts.hour_sizes)
        self._compacting = threading.Lock()  # taken before the right to write the database
        self._newest_us = 0
        self._scattered = 0
        self._was_busy = False
        #: Since when the oldest staged rows wait; what a journal brought waits since the start.
        self._waiting_since: float | None = time.monotonic() if len(parts.stage) else None
        self._wake = threading.Event()
        self._stopping = False
        self._closing = threading.Event()
        self._pause_s = _PAUSE_AFTER_FAILURE_S
        self._merged = threading.Condition()
        self._pacer = Pacer(options.most_unmerged, parts.stage.__len__)
        #: When the last merge ended, if the next one was due by then.
        self._merged_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="pulsebase-merge", daemon=True)

    def start(self) -> None:
        """Begin to do it in a thread."""
        self._parts.database.on_failure = self._wake.set  # whoever writes next opens the file again
        self._thread.start()

    def stop(self) -> None:
        """End the thread, once it has finished the transaction it is at."""
        self._stopping = True
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    # --- Asked by whoever commits -----------------------------------------------------------------------------------

    def note(self, times_us: I64) -> None:
        """Judge by what was staged just now whether a merge is due."""
        if self._waiting_since is None or len(times_us) >= len(self._parts.stage):
            self._waiting_since = time.monotonic()
        self._newest_us = max(self._newest_us, int(times_us.max()))
        self._scattered += int((times_us < self._newest_us - HOUR_US).sum())
        waiting = len(self._parts.stage)
        if waiting >= self._options.merge_readings or self._scattered >= self._options.merge_scattered:
            self._wake.set()

    @property
    def lag_seconds(self) -> float:
        """How long the oldest staged row has waited for a merge."""
        since = self._waiting_since
        return 0.0 if since is None or len(self._parts.stage) == 0 else time.monotonic() - since

    def wait_for_room(self) -> None:
        """Hold writes back while merges are far behind.

        Raises:
            StoreUnavailableError: they do not catch up.
            StoreCorruptError: nor can they, the database being damaged.
        """
        if not self.has_room(_ROOM_WAIT_S):
            if (damage := self._parts.database.damage) is not None:
                raise damage
            raise StoreUnavailableError("too many readings wait for a merge", retry_after_s=10)

    def has_room(self, max_wait_s: float) -> bool:
        """See `contract.Writer.has_room`."""
        if self._has_room():
            return True
        with self._merged:
            self._wake.set()
            # What is damaged is not merged by waiting.
            return self._merged.wait_for(self._has_room, 0 if self._parts.database.damage else max_wait_s)

    def pace(self, rows: int, max_wait_s: float, *, within_turn: bool, cancellation: Cancellation | None) -> None:
        """See `contract.Writer.pace`."""
        if self._pacer.holds_back:
            self._wake.set()
        self._pacer.wait(rows, max_wait_s, within_turn=within_turn, cancellation=cancellation)

    def stored_hours(self) -> Mapping[int, int] | None:
        """The hours of which something is stored, or was; None while late rows wait, which are not counted yet."""
        return None if self.late_rows else self._parts.hour_sizes.rows

    @property
    def most_unmerged(self) -> int:
        """See `DuckdbOptions`."""
        return self._options.most_unmerged

    # --- What there is to do ----------------------------------------------------------------------------------------

    def merge(self) -> None:
        """Bring everything that is staged now, and everything that is late, where it belongs."""
        self.merge_up_to(self._parts.stage.next_seq)
        while self.settle_late():
            pass

    def merge_up_to(self, seq: int) -> None:
        """Bring what is staged before this sequence number into the database."""
        while self.merge_staged() < seq:
            pass

    def note_removed(self, user_no: int, rows_by_hour: Mapping[int, int], late_rows: int) -> None:
        """A person and so many of their rows in `readings` are gone; so many rows are left in `late`."""
        self.wanted_quarters.discard(user_no)
        self.late_rows = late_rows
        self._parts.hour_sizes.take(rows_by_hour)

    def follow(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Hold what the database holds, where it is not known whether the last change reached it."""
        self.late_rows = read_state(connection).late_rows

    def settle(self) -> None:
        """Do all that there is to do for what is staged now."""
        self.merge()
        self.build_quarters()
        while self.compact():
            pass
        self.checkpoint()
        self.trim_journal()

    def merge_staged(self) -> int:
        """Bring what is staged, but no more than one merge takes, into the database, in one transaction.

        Returns the sequence number up to which everything is merged.
        """
        users, devices, stage = self._parts.users, self._parts.devices, self._parts.stage
        with self._parts.database_writes:
            if len(stage) == 0:
                return stage.next_seq
            seen_seq, seen_at = stage.next_seq, time.monotonic()
            staged = stage.snapshot()
            started = time.perf_counter()
            with self._parts.database.writing() as connection:
                state = read_state(connection)
                parts = staged.between(state.merged_seq, state.merged_seq + _MERGE_ROWS)
                upto_seq = state.merged_seq + sum(len(part) for part in parts)
                if upto_seq == state.merged_seq:
                    return upto_seq
                new_users, new_devices = users.unpersisted(), devices.unpersisted()
                persist_names(connection, new_users, new_devices)
                done = self._merge_in(connection, state, self._options.bounds).staged(parts, state.merged_seq)
                connection.execute(
                    "UPDATE state SET merged_seq = ?, merged_file = ?, late_rows = ?",
                    [upto_seq, self._parts.journal.holder(upto_seq), done.late_rows],
                )
            users.persisted += len(new_users)
            devices.persisted += len(new_devices)
            self.late_rows = done.late_rows
            with self._merged:
                stage.drop_before(upto_seq)
                self._pace_by(upto_seq - state.merged_seq, seen_at)
                if len(stage) == 0:
                    self._waiting_since = None
                elif upto_seq >= seen_seq:  # what is left came later
                    self._waiting_since = seen_at
                self._merged.notify_all()
            self._count_merge(started)
            return upto_seq

    def settle_late(self) -> bool:
        """Bring a piece of the late rows where it belongs; whether there was one."""
        with self._parts.database_writes:
            if self.late_rows == 0:
                return False
            started = time.perf_counter()
            bounds = self._options.bounds
            if self._pacer.holds_back:
                bounds = replace(bounds, fetch_rows=bounds.fetch_rows // _HURRIED)
            with self._parts.database.writing() as connection:
                done = self._merge_in(connection, read_state(connection), bounds).late()
                connection.execute("UPDATE state SET late_rows = ?", [done.late_rows])
            self.late_rows = done.late_rows
            self._count_merge(started)
            return True

    def compact(self) -> bool:
        """Look for rows that are scattered, or bring a piece of them together; whether there may be more to do."""
        with self._compacting:
            with self._parts.database.reading() as connection:
                more = self._compaction.find(connection)
            if self._compaction.found:
                with self._parts.database_writes:
                    with self._parts.database.writing() as connection:
                        self._compaction.rewrite(connection)
                    self._compaction.done()
                    self.checkpoint()  # so that the next piece takes the room of this one
            return more

    def build_quarters(self) -> None:
        """Keep quarters of an hour for the people for whom they were asked."""
        while self.wanted_quarters:
            user_no = self.wanted_quarters.pop()
            with self._parts.database_writes, self._parts.database.writing() as connection:
                keep_quarters(connection, user_no)

    def checkpoint(self) -> None:
        """Bring the engine's log into the file, and let go of the journal that this makes superfluous.

        Not before: should the engine's log come to harm, which it does not always notice, the journal still has the
        readings.
        """
        database = self._parts.database
        with self._parts.database_writes:
            with database.reading() as connection:
                position = read_position(connection)
            database.checkpoint()
            if database.size_of_log() == 0:
                self._parts.journal.drop_before(position.merged_seq, position.changes)

    def checkpoint_after(self) -> None:
        """The same after a change that is committed, and stays so whatever becomes of this."""
        try:
            self.checkpoint()
        except (StoreUnavailableError, StoreCorruptError) as error:
            logger.warning("the write-ahead log stays as it is: %s", error)

    def trim_journal(self) -> None:
        """Let go of the whole journal if nothing in it is needed."""
        stage, journal, database = self._parts.stage, self._parts.journal, self._parts.database
        if len(stage):
            return
        self.checkpoint()
        with self._parts.naming:  # no commit meanwhile
            if len(stage) == 0 and database.size_of_log() == 0:
                journal.clear()

    def expire(self, end_hour: int) -> None:
        """Let merged readings before this hour go. Nothing for the hours before it is staged, late or on its way."""
        with self._parts.database_writes:
            horizon_hour = 0
            while horizon_hour < end_hour:
                with self._parts.database.writing() as connection:
                    horizon_hour = read_state(connection).horizon_hour
                    step_end = next_horizon(connection, horizon_hour, end_hour)
                    expire_step(connection, horizon_hour, step_end)
                    horizon_hour = step_end
                self._parts.hour_sizes.forget_before(horizon_hour)
                self.checkpoint()

    def scrub(self) -> None:
        """Rewrite what may hold bytes of people who were removed before: the file, and let go of the journal of before.

        Merges wait meanwhile; commits and questions go on.

        Raises:
            StoreUnavailableError: not now; everything stays as it is.
        """
        with self._compacting, self._parts.database_writes:
            self.merge()
            self.checkpoint()
            self._parts.database.rewrite()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            interval_s = self._options.merge_interval_s
            if not self._wake.wait(interval_s * _SOON) and not self._became_idle():
                self._wake.wait(interval_s * (1 - _SOON))
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._round()
                self._pause_s = _PAUSE_AFTER_FAILURE_S
            except Exception as error:
                self.merge_failures += 1
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Wait a moment before the next try; where the database is damaged longer and longer, for it does not mend."""
        if isinstance(error, StoreCorruptError):
            logger.error("a merge met a damage and will be tried again in %g s: %s", self._pause_s, error)
            self._closing.wait(self._pause_s)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            return
        if isinstance(error, StoreUnavailableError):
            logger.error("a merge failed and will be tried again: %s", error)
        else:
            logger.exception("a merge failed and will be tried again")
        self._closing.wait(_PAUSE_AFTER_FAILURE_S)

    def _round(self) -> None:
        before = len(self._parts.stage)
        self._was_busy = before >= _IDLE_ROWS
        self._scattered = 0
        self.merge_staged()
        while len(self._parts.stage) >= self._options.merge_readings and not self._stopping:
            self.merge_staged()
            if self.late_rows >= _TOO_MANY_LATE * self._options.late_readings:
                self.settle_late()
        idle = before < _IDLE_ROWS
        while not self._stopping and (self._many_late() or idle) and self.settle_late():
            idle = idle and len(self._parts.stage) < _IDLE_ROWS
        if self.late_rows and not self._stopping:
            self.look_ahead()
        self.build_quarters()
        if before < self._options.merge_readings and not self._pacer.holds_back:
            self._compact(idle=idle)
        if idle and self._parts.journal.size_bytes() > _SMALL_JOURNAL_BYTES:
            self.trim_journal()

    def _compact(self, *, idle: bool) -> None:
        """One piece while much comes in, all there is to do while little does."""
        while not self._stopping and self.compact() and idle:
            idle = len(self._parts.stage) < _IDLE_ROWS

    def _became_idle(self) -> bool:
        """Whether late rows wait and much came in until now, but no more: they need not wait for a whole interval."""
        return self._was_busy and self.late_rows > 0 and len(self._parts.stage) < _IDLE_ROWS * _SOON

    def _many_late(self) -> bool:
        """Whether late rows are worth a search, and no merge of staged ones is due."""
        is_due = len(self._parts.stage) >= self._options.merge_readings
        return self.late_rows >= self._options.late_readings and not is_due

    def _pace_by(self, rows: int, started_at: float) -> None:
        """Let the pacer know what a merge has freed, and in how long: from the end of the one before where it was due
        by then, so that everything else that was done in between counts too.
        """
        now = time.monotonic()
        self._pacer.note_merge(rows, now - (self._merged_at or started_at))
        self._merged_at = now if len(self._parts.stage) >= self._options.merge_readings else None

    def _has_room(self) -> bool:
        return len(self._parts.stage) < self._options.most_unmerged

    def _merge_in(self, connection: duckdb.DuckDBPyConnection, state: State, bounds: MergeBounds) -> Merge:
        histories = self._parts.priorities.at(connection, state.epoch)
        believers = DevicePrecedence(self._parts.devices.text, histories)
        return Merge(connection, believers, self._parts.pushes, self._parts.hour_sizes, bounds)

    def _count_merge(self, started: float) -> None:
        self.merges += 1
        self.merge_seconds += time.perf_counter() - started
        if max(self._parts.database.size_of_log(), self._parts.journal.size_bytes()) > self._options.checkpoint_bytes:
            self.checkpoint()
