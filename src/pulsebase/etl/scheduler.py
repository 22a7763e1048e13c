"""Runs everybody's synchronisation when it is due."""

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

#: People and sources that are brought at the same time.
WORKERS = 4
#: New connections and moved clocks are noticed within this.
_LOOK_S = 1.0


class Scheduler:
    """One thread that looks who is due, and a few that do the work.

    Who was never brought is due at once; later the schedule decides, from the beginning of the last run that went
    through: a run that was missed while nothing ran here is due at once, and once. A source that asked for patience, or
    failed, is due when its time is over. Whoever needs to connect again is not due at all.
    """

    def __init__(self, sync: Synchronizer, schedule: Schedule) -> None:
        self._sync, self._schedule = sync, schedule
        self._stop, self._caught_up, self._look = threading.Event(), threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._running: set[tuple[str, str]] = set()
        self._done: set[tuple[str, str]] = set()
        self._next: dict[tuple[str, str], tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._run, name="pulsebase-schedule", daemon=True)

    def start(self) -> None:
        """Begin, with those who are due at once."""
        self._thread.start()
        self._sync.schedule = self._thread

    def close(self) -> None:
        """Stop after the loads that run, if any, and wait for them. Twice is once."""
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
        """Wait until everybody has been brought once since the start; False if that took longer."""
        return self._caught_up.wait(timeout_s)

    def due_us(self, connection: Connection) -> int | None:
        """When the connection is due; None for not before the person connects again."""
        if connection.needs_person:
            return None
        if connection.due_us is not None:
            return connection.due_us
        if connection.succeeded_us is None:
            return connection.connected_us
        key = (connection.user_id, connection.source)
        after_us, due_us = self._next.get(key, (None, 0))
        if after_us != connection.succeeded_us:  # the zone is looked up once a run, not at every look
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
                except Exception:  # whatever it is, everybody's next day depends on this thread
                    logger.exception("looking who is due failed")
                self._look.wait(wait_s)

    def _start_due(self, workers: ThreadPoolExecutor) -> float:
        """Start who is due; the seconds until somebody else is, or until it is time to look again."""
        now_us, wait_us = self._sync.now_us(), int(_LOOK_S * SECOND_US)
        due = {(each.user_id, each.source): self.due_us(each) for each in self._sync.connections()}
        waiting = sorted((due_us, key) for key, due_us in due.items() if due_us is not None)
        for due_us, key in waiting:  # who has waited longest is first
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
                self._caught_up.set()
        return wait_us / SECOND_US

    def _bring(self, user_id: str, source: str) -> None:
        reports: Sequence[RunReport] = ()
        try:
            reports = self._sync.run(user_id, source, self._stop)
            if reports and all(report.outcome == "done" for report in reports):
                with self._lock:
                    self._done.add((user_id, source))
        except Exception:
            logger.exception("a run of %s failed and will be tried again", source)
        finally:
            if not reports:  # nothing was noted, so it is due still: another process has it, or the state failed
                self._stop.wait(_LOOK_S)
            with self._lock:
                self._running.discard((user_id, source))
            self._look.set()
