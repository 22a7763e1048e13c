"""Time limits of queries: one thread interrupts connections whose time is up."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import duckdb

from pulsebase.model.errors import QueryCancelledError, QueryTimeoutError
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.deadline import TIMED_OUT, Deadline

_TICK_S = 0.02


class Watchdog:
    """Interrupts statements that run longer than their limit; its thread sleeps while nothing is watched."""

    def __init__(self) -> None:
        self._deadlines: dict[int, tuple[float, duckdb.DuckDBPyConnection]] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._next = 0
        self._thread = threading.Thread(target=self._run, name="pulsebase-watchdog", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def limit(
        self, connection: duckdb.DuckDBPyConnection, timeout_s: float | None, cancellation: Cancellation | None = None
    ) -> Iterator[Deadline]:
        """Stop what runs on the connection once the time is up or the query is cancelled.

        Raises:
            QueryTimeoutError: the time was up before the block ended.
            QueryCancelledError: the query was cancelled before the block ended.
        """
        cancellation = cancellation or Cancellation()
        with cancellation.stopping(connection.interrupt):
            try:
                with self._timed(connection, timeout_s, cancellation) as deadline:
                    yield deadline
            except duckdb.InterruptException as error:
                if cancellation.cancelled:
                    raise QueryCancelledError("the question was taken back") from error
                raise QueryTimeoutError(TIMED_OUT) from error

    @contextlib.contextmanager
    def _timed(
        self, connection: duckdb.DuckDBPyConnection, timeout_s: float | None, cancellation: Cancellation
    ) -> Iterator[Deadline]:
        if timeout_s is None:
            yield Deadline(None, cancellation)
            return
        deadline = Deadline(time.monotonic() + timeout_s, cancellation)
        with self._changed:
            self._next += 1
            ticket = self._next
            self._deadlines[ticket] = (time.monotonic() + timeout_s, connection)
            if len(self._deadlines) == 1:
                self._changed.notify()
        try:
            yield deadline
        finally:
            with self._changed:
                self._deadlines.pop(ticket, None)

    def close(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._deadlines and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                now = time.monotonic()
                late = [ticket for ticket, (at, _) in self._deadlines.items() if at <= now]
                for ticket in late:
                    # Under the lock, so that a connection is never interrupted after its query ended.
                    self._deadlines.pop(ticket)[1].interrupt()
            time.sleep(_TICK_S)
