"""Run everybody's synchronisation when it is due."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from pulsebase.etl.schedule import Schedule
from pulsebase.etl.state import Connection, RunReport
from pulsebase.etl.sync import Synchronizer
from pulsebase.model.timerange import SECOND_US

logger = logging.getLogger(__name__)

#: How many runs (each of one person and source) go on at the same time.
WORKERS = 4
#: New connections and changes of the clock are noticed within this time.
_LOOK_S = 1.0


class Scheduler:
    """One thread that finds out who is due, and a few that do the work.

    A new connection is due at once. Later the schedule decides, counted from the start of the last successful run; runs
    missed while nothing ran here are made up for by a single run at once. After a failure, or if the source asked to
    wait, a connection is due when the waiting time is over. A person who must connect again is not due at all.
    """

    def __init__(self, sync: Synchronizer, schedule: Schedule) -> None:
        self._sync, self._schedule = sync, schedule
        self._stop, self._look = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._running: set[tuple[str, str]] = set()
        self._done: set[tuple[str, str]] = set()
        self._next: dict[tuple[str, str], tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._run, name="pulsebase-schedule", daemon=True)

    def start(self) -> None:
        """Start the thread. It begins with those who are due already."""
        self._sync.caught_up.clear()
        self._thread.start()
        self._sync.schedule = self._thread

    def close(self) -> None:
        """Stop, and wait for loads that are running. Calling it again does nothing."""
        self._stop.set()
        self._look.set()
        if self._thread.is_alive():
            self._thread.join()
        self._sync.schedule = None

    def __enter__(self) -> Scheduler:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_caught_up(self, timeout_s: float | None = None) -> bool:
        """Wait until everybody's data was fetched once since the start. Return False if that took longer."""
        return self._sync.caught_up.wait(timeout_s)

    def due_us(self, connection: Connection) -> int | None:
        """Return when the connection is due; None if the person must connect again first."""
        if connection.needs_person:
            return None
        if connection.due_us is not None:
            return connection.due_us
        if connection.succeeded_us is None:
            return connection.connected_us
        key = (connection.user_id, connection.source)
        after_us, due_us = self._next.get(key, (None, 0))
        if after_us != connection.succeeded_us:  # so the zone is looked up once for each run, not each time
            due_us = self._schedule.next_us(connection.succeeded_us, self._sync.zone_of(connection.user_id))
            self._next[key] = connection.succeeded_us, due_us
        return due_us

    def _run(self) -> None:
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="pulsebase-etl") as workers:
            while not self._stop.is_set():
                self._look.clear()
                wait_s = _LOOK_S
                try:
                    wait_s = self._start_due(workers)
                except Exception:  # never end this thread: all synchronisation depends on it
                    logger.exception("looking who is due failed")
                self._look.wait(wait_s)

    def _start_due(self, workers: ThreadPoolExecutor) -> float:
        """Start the runs that are due. Return the seconds until the next one is due, or until the next look."""
        now_us, wait_us = self._sync.now_us(), int(_LOOK_S * SECOND_US)
        due = {(each.user_id, each.source): self.due_us(each) for each in self._sync.connections()}
        waiting = sorted((due_us, key) for key, due_us in due.items() if due_us is not None)
        for due_us, key in waiting:  # the longest overdue first
            with self._lock:
                if key in self._running or len(self._running) >= WORKERS:
                    continue
                if due_us > now_us:
                    wait_us = min(wait_us, due_us - now_us)
                    break
                self._running.add(key)
            workers.submit(self._bring, *key)
        with self._lock:
            if due.keys() <= self._done:
                self._sync.caught_up.set()
        return wait_us / SECOND_US

    def _bring(self, user_id: str, source: str) -> None:
        reports: Sequence[RunReport] = ()
        try:
            reports = self._sync.run(user_id, source, self._stop)
            if reports and all(report.outcome in ("done", "missing") for report in reports):
                with self._lock:
                    self._done.add((user_id, source))
        except Exception:
            logger.exception("a run of %s failed and will be tried again", source)
        finally:
            if not reports:  # nothing was recorded, so it is still due: another process runs it, or the state failed
                self._stop.wait(_LOOK_S)
            with self._lock:
                self._running.discard((user_id, source))
            self._look.set()
