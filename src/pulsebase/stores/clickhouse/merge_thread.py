"""The thread that merges, and how far behind it lets writes get.

Each process has one. All of them see in the log of commits how much waits, whoever writes and whoever merges.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from pulsebase.model.errors import PulsebaseError, StoreUnavailableError
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.commits import Backlog
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.merge import Merger
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.pacer import Pacer
from pulsebase.stores.postgres.database import OnlyAnswersError, PostgresDatabase

logger = logging.getLogger(__name__)

#: With this part of the readings that may wait, merges hurry.
_HURRY_PART = 1 / 4
_PAUSE_AFTER_FAILURE_S = 1.0


class MergeThread:
    """Merges from when it is made until it is closed. Every method may be called from any thread."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options
        self._merger = Merger(database, cluster, options)
        self._merges = 0
        self._failures = 0
        self._seconds = 0.0
        self._unmerged, self._merged = 0, -1
        #: Since when this process has seen the commit after the last merged one, by the number of the newest commit.
        self._seen: list[tuple[float, int]] = []
        self._seen_at = time.monotonic()
        self._cleaned_at = time.monotonic()
        self._changed = threading.Condition()
        self._pacer = Pacer(options.most_unmerged, lambda: self._unmerged)
        self._merging = threading.Lock()
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulsebase-merge", daemon=True)
        self._thread.start()

    def has_room(self, max_wait_s: float) -> bool:
        """See `contract.Writer.has_room`."""
        if self._has_room():
            return True
        self._wake.set()
        with self._changed:
            return self._changed.wait_for(self._has_room, max_wait_s)

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        """See `contract.Writer.pace`."""
        if self._pacer.holds_back:
            self._wake.set()
        self._pacer.wait(readings, max_wait_s, within_turn=within_turn, cancellation=cancellation)

    def settle(self) -> None:
        """Merge everything that is decided now."""
        with self._merging:
            self._merger.merge_all()
        self._note(self._database.read(commits.backlog))

    def ping(self) -> None:
        """Raise `StoreUnavailableError` if merges have stopped."""
        if not self._thread.is_alive():
            raise StoreUnavailableError("the store's merges have stopped")

    def statistics(self) -> dict[str, float]:
        """Tell of merges, see `contract.Store.statistics`. What PostgreSQL does not tell now is left out."""
        found = {
            "merges": float(self._merges),
            "merge_failures": float(self._failures),
            "merge_seconds": self._seconds,
        }
        with contextlib.suppress(PulsebaseError):
            self._note(self._database.read(commits.backlog))
            found["unmerged_rows"] = float(self._unmerged)
        found["merge_lag_seconds"] = self._lag_s()
        return found

    def close(self) -> None:
        """Finish the merge that runs, and let another process go on."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        with contextlib.suppress(PulsebaseError):
            self._merger.release()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.wait(self._options.merge_interval_s)
            self._wake.clear()
            if self._stopping.is_set():
                return
            try:
                while self._merge() and not self._stopping.is_set():
                    pass
                self._clean_now_and_then()
            except OnlyAnswersError:
                pass  # a process with write access merges
            except Exception as error:
                self._failures += 1
                # Only one line: a traceback could repeat what a server quotes.
                logger.warning("a merge failed and will be tried again: %s", error)
                self._stopping.wait(_PAUSE_AFTER_FAILURE_S)

    def _merge(self) -> int:
        """Do what is due; return how many commits were merged."""
        started = time.perf_counter()
        with self._merging:
            done = self._merger.step(hurry=self._unmerged >= self._options.most_unmerged * _HURRY_PART)
        if done:
            self._merges += 1
            self._seconds += time.perf_counter() - started
        self._note(self._database.read(commits.backlog) if done else self._merger.backlog)
        return done

    def _clean_now_and_then(self) -> None:
        if time.monotonic() - self._cleaned_at >= self._options.clean_interval_s and not self._stopping.is_set():
            self._cleaned_at = time.monotonic()
            with self._merging:
                self._merger.clean()

    def _note(self, backlog: Backlog) -> None:
        """Tell those who wait what waits for merges now."""
        now = time.monotonic()
        with self._changed:
            freed = backlog.merged - self._merged if self._merged >= 0 else 0
            if freed > 0:
                self._pacer.note_merge(freed, now - self._seen_at)
            if freed > 0 or not backlog.unmerged:
                self._seen_at = now
            self._unmerged, self._merged = backlog.unmerged, backlog.merged
            if not self._seen or self._seen[-1][1] < backlog.last:
                self._seen.append((now, backlog.last))
            self._seen = [each for each in self._seen if each[1] > backlog.marks.merged] if backlog.unmerged else []
            self._changed.notify_all()

    def _lag_s(self) -> float:
        with self._changed:
            return time.monotonic() - self._seen[0][0] if self._seen else 0.0

    def _has_room(self) -> bool:
        return self._unmerged < self._options.most_unmerged
