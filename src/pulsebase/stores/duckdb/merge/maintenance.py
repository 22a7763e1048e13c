"""Background work of an open store: merges, late rows, quarters of an hour, compaction, checkpoints, journal trimming.

One thread does all of it, at intervals or when woken. Each step can also be asked for directly: callers take turns by
the right to write the database.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import duckdb

from pulsebase.model.errors import StoreCorruptError, StoreUnavailableError
from pulsebase.model.rollups import I64
from pulsebase.model.timerange import HOUR_US
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.duckdb.engine.transactions import State, read_position, read_state
from pulsebase.stores.duckdb.merge.compaction import Compaction
from pulsebase.stores.duckdb.merge.hour_rollups import DevicePrecedence
from pulsebase.stores.duckdb.merge.merge import Merge, MergeBounds, persist_names
from pulsebase.stores.duckdb.options import DuckdbOptions
from pulsebase.stores.duckdb.parts import StoreParts
from pulsebase.stores.duckdb.people.expiry import expire_step, keep_quarters, next_horizon
from pulsebase.stores.pacer import Pacer

logger = logging.getLogger(__name__)

#: The store counts as idle when fewer rows than this are staged between two merges.
_IDLE_ROWS = 20_000
#: The fraction of the merge interval after which to look whether the store has become idle.
_IDLE_CHECK = 0.1
#: The most rows of one merge, which needs several times their size in memory.
_MERGE_ROWS = 2_500_000
_ROOM_WAIT_S = 20.0
#: Late rows are merged even under load once there are this many times `late_readings`, as a merge has to hold them in
#: memory.
_TOO_MANY_LATE = 8
#: By how much a merge of late rows is made smaller while streams wait for the next merge of staged ones.
_HURRY_DIVISOR = 4
#: A smaller journal is not trimmed when idle.
_SMALL_JOURNAL_BYTES = 1 << 20
_PAUSE_AFTER_FAILURE_S = 0.5
_LONGEST_PAUSE_S = 60.0


class Maintenance:
    """The background work, from `start` to `stop`, and how far behind it lets writes get."""

    def __init__(self, parts: StoreParts, options: DuckdbOptions, look_ahead: Callable[[], None]) -> None:
        """Prepare the thread. `look_ahead` is called while late rows wait, to spare the next query their work."""
        self._parts = parts
        self._options = options
        self.look_ahead = look_ahead
        self.merges = 0
        self.merge_failures = 0
        self.merge_seconds = 0.0
        self._compaction = Compaction(parts.hour_sizes)
        self._compacting = threading.Lock()  # taken before the right to write the database
        self._newest_us = 0
        self._scattered = 0
        self._was_busy = False
        #: Since when the oldest staged rows wait; replayed rows wait since the start.
        self._waiting_since: float | None = time.monotonic() if len(parts.stage) else None
        self._stopping = False
        self._closing = threading.Event()
        self._pause_s = _PAUSE_AFTER_FAILURE_S
        self._merged = threading.Condition()
        self._pacer = Pacer(options.most_unmerged, parts.stage.__len__)
        #: When the last merge ended, if the next one was already due.
        self._merged_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="pulsebase-merge", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread once it has finished its current transaction."""
        self._stopping = True
        self._closing.set()
        self._parts.merge_due.set()
        self._thread.join()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    # --- Called by commits ------------------------------------------------------------------------------------------

    def note_commit(self, times_us: I64) -> None:
        """Decide, from the times of rows staged just now, whether a merge is due."""
        if self._waiting_since is None or len(times_us) >= len(self._parts.stage):
            self._waiting_since = time.monotonic()
        self._newest_us = max(self._newest_us, int(times_us.max()))
        self._scattered += int((times_us < self._newest_us - HOUR_US).sum())
        waiting = len(self._parts.stage)
        if waiting >= self._options.merge_readings or self._scattered >= self._options.merge_scattered:
            self._parts.merge_due.set()

    @property
    def lag_seconds(self) -> float:
        """How long the oldest staged row has waited for a merge."""
        since = self._waiting_since
        return 0.0 if since is None or len(self._parts.stage) == 0 else time.monotonic() - since

    def wait_for_room(self) -> None:
        """Hold writes back while merges are far behind.

        Raises:
            StoreUnavailableError: merges do not catch up.
            StoreCorruptError: they cannot, because the database is damaged.
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
            self._parts.merge_due.set()
            # Waiting does not help where damage prevents merges.
            return self._merged.wait_for(self._has_room, 0 if self._parts.database.damage else max_wait_s)

    def pace(self, rows: int, max_wait_s: float, *, within_turn: bool, cancellation: Cancellation | None) -> None:
        """See `contract.Writer.pace`."""
        if self._pacer.holds_back:
            self._parts.merge_due.set()
        self._pacer.wait(rows, max_wait_s, within_turn=within_turn, cancellation=cancellation)

    def stored_hours(self) -> Mapping[int, int] | None:
        """Return the hours that have or had stored readings; None while late rows wait, which are not counted yet."""
        return None if self._parts.cached.late_rows else self._parts.hour_sizes.rows

    @property
    def most_unmerged(self) -> int:
        """See `DuckdbOptions`."""
        return self._options.most_unmerged

    # --- Steps ------------------------------------------------------------------------------------------------------

    def merge(self) -> None:
        """Merge everything that is staged or late now."""
        self.merge_up_to(self._parts.stage.next_seq)
        while self.settle_late():
            pass

    def merge_up_to(self, seq: int) -> None:
        """Merge what is staged before this sequence number."""
        while self.merge_staged() < seq:
            pass

    def settle(self) -> None:
        """Do every step for what is staged now, until nothing is left to do."""
        self.merge()
        self.build_quarters()
        while self.compact():
            pass
        self.checkpoint()
        self.trim_journal()

    def merge_staged(self) -> int:
        """Merge what is staged, `_MERGE_ROWS` at most, in one transaction.

        Returns the sequence number up to which everything is merged.
        """
        stage, users, devices = self._parts.stage, self._parts.cached.users, self._parts.cached.devices
        with self._parts.write_lock:
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
            self._parts.cached.late_rows = done.late_rows
            with self._merged:
                stage.drop_before(upto_seq)
                self._pace_by(upto_seq - state.merged_seq, seen_at)
                if len(stage) == 0:
                    self._waiting_since = None
                elif upto_seq >= seen_seq:  # the rest arrived later
                    self._waiting_since = seen_at
                self._merged.notify_all()
            self._count_merge(started)
            return upto_seq

    def settle_late(self) -> bool:
        """Merge a piece of the late rows; return whether there was one."""
        with self._parts.write_lock:
            if self._parts.cached.late_rows == 0:
                return False
            started = time.perf_counter()
            bounds = self._options.bounds
            if self._pacer.holds_back:
                bounds = replace(bounds, fetch_rows=bounds.fetch_rows // _HURRY_DIVISOR)
            with self._parts.database.writing() as connection:
                done = self._merge_in(connection, read_state(connection), bounds).late()
                connection.execute("UPDATE state SET late_rows = ?", [done.late_rows])
            self._parts.cached.late_rows = done.late_rows
            self._count_merge(started)
            return True

    def compact(self) -> bool:
        """Look for fragmented windows, or rewrite a piece of one; return whether there may be more to do."""
        with self._compacting:
            with self._parts.database.reading() as connection:
                more = self._compaction.find(connection)
            if self._compaction.found:
                with self._parts.write_lock:
                    with self._parts.database.writing() as connection:
                        self._compaction.rewrite(connection)
                    self._compaction.done()
                    self.checkpoint()  # so that the next piece reuses the space of this one
            return more

    def build_quarters(self) -> None:
        """Start keeping quarters of an hour for the people for whom they were queried."""
        while self._parts.wanted_quarters:
            user_no = self._parts.wanted_quarters.pop()
            with self._parts.write_lock, self._parts.database.writing() as connection:
                keep_quarters(connection, user_no)

    def checkpoint(self) -> None:
        """Write the engine's log into the file, then drop the journal files that are no longer needed.

        Not before: if the engine's log is damaged, which the engine does not always notice, the journal still has the
        readings.
        """
        database = self._parts.database
        with self._parts.write_lock:
            with database.reading() as connection:
                position = read_position(connection)
            database.checkpoint()
            if database.size_of_log() == 0:
                self._parts.journal.drop_before(position.merged_seq, position.changes)

    def checkpoint_after(self) -> None:
        """Checkpoint after a committed change; a failure is logged, for the change stands all the same."""
        try:
            self.checkpoint()
        except (StoreUnavailableError, StoreCorruptError) as error:
            logger.warning("the write-ahead log stays as it is: %s", error)

    def trim_journal(self) -> None:
        """Drop the whole journal if nothing in it is needed."""
        stage, journal, database = self._parts.stage, self._parts.journal, self._parts.database
        if len(stage):
            return
        self.checkpoint()
        with self._parts.cached.commit_lock:  # no commit meanwhile
            if len(stage) == 0 and database.size_of_log() == 0:
                journal.clear()

    def expire(self, end_hour: int) -> None:
        """Delete merged readings before this hour. Nothing before it is staged, late or being written."""
        with self._parts.write_lock:
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
        """Rewrite the database file and drop the journal up to now: both may hold bytes of people who were removed.

        Merges wait meanwhile; commits and queries go on.

        Raises:
            StoreUnavailableError: not now; nothing has changed.
        """
        with self._compacting, self._parts.write_lock:
            self.merge()
            self.checkpoint()
            self._parts.database.rewrite()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            interval_s = self._options.merge_interval_s
            if not self._parts.merge_due.wait(interval_s * _IDLE_CHECK) and not self._became_idle():
                self._parts.merge_due.wait(interval_s * (1 - _IDLE_CHECK))
            self._parts.merge_due.clear()
            if self._stopping:
                return
            try:
                self._round()
                self._pause_s = _PAUSE_AFTER_FAILURE_S
            except Exception as error:
                self.merge_failures += 1
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Log a failure and pause before the next try: ever longer if the database is damaged, which does not heal."""
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
            if self._parts.cached.late_rows >= _TOO_MANY_LATE * self._options.late_readings:
                self.settle_late()
        idle = before < _IDLE_ROWS
        while not self._stopping and (self._many_late() or idle) and self.settle_late():
            idle = idle and len(self._parts.stage) < _IDLE_ROWS
        if self._parts.cached.late_rows and not self._stopping:
            self.look_ahead()
        self.build_quarters()
        if before < self._options.merge_readings and not self._pacer.holds_back:
            self._compact(idle=idle)
        if idle and self._parts.journal.size_bytes() > _SMALL_JOURNAL_BYTES:
            self.trim_journal()

    def _compact(self, *, idle: bool) -> None:
        """Compact one piece while busy, everything there is while idle."""
        while not self._stopping and self.compact() and idle:
            idle = len(self._parts.stage) < _IDLE_ROWS

    def _became_idle(self) -> bool:
        """Whether a busy store with late rows has become idle: they need not wait for the whole interval."""
        return self._was_busy and self._parts.cached.late_rows > 0 and len(self._parts.stage) < _IDLE_ROWS * _IDLE_CHECK

    def _many_late(self) -> bool:
        """Whether enough late rows wait for a merge of them to pay, and no merge of staged ones is due."""
        is_due = len(self._parts.stage) >= self._options.merge_readings
        return self._parts.cached.late_rows >= self._options.late_readings and not is_due

    def _pace_by(self, rows: int, started_at: float) -> None:
        """Tell the pacer how many rows a merge has freed, and in what time.

        The time counts from the end of the merge before if this one was due by then, so that other work in between
        counts too.
        """
        now = time.monotonic()
        self._pacer.note_merge(rows, now - (self._merged_at or started_at))
        self._merged_at = now if len(self._parts.stage) >= self._options.merge_readings else None

    def _has_room(self) -> bool:
        return len(self._parts.stage) < self._options.most_unmerged

    def _merge_in(self, connection: duckdb.DuckDBPyConnection, state: State, bounds: MergeBounds) -> Merge:
        histories = self._parts.priorities.at(connection, state.epoch)
        precedence = DevicePrecedence(self._parts.cached.devices.text, histories)
        return Merge(connection, precedence, self._parts.push_origins, self._parts.hour_sizes, bounds)

    def _count_merge(self, started: float) -> None:
        self.merges += 1
        self.merge_seconds += time.perf_counter() - started
        if max(self._parts.database.size_of_log(), self._parts.journal.size_bytes()) > self._options.checkpoint_bytes:
            self.checkpoint()
