"""Group commit: requests that arrive while a commit runs share the next one, and each is told when its own is
durable.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from pulsebase import telemetry
from pulsebase.model.errors import PulsebaseError, QueueFullError, StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.contract import Writer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How much may wait (`queue_readings`; a deletion counts as one), and how much one commit takes
    (`commit_readings`).
    """

    queue_readings: int = 1_000_000
    commit_readings: int = 500_000


@dataclass(slots=True)
class _Write:
    batch: ReadingBatch
    done: Future[None]


@dataclass(slots=True)
class _Command:
    """Anything else that must keep its place between the writes before and after it."""

    run: Callable[[], int]
    done: Future[int]


class Ingestor:
    """The only caller of a store's `Writer`: one thread commits what a bounded queue holds.

    Every method may be called from any thread. An acknowledgement (the future's result) comes after the commit of its
    own
    batch; a failed commit fails every batch in it, and nothing of them was kept.
    """

    def __init__(self, writer: Writer, limits: IngestLimits | None = None) -> None:
        self._writer = writer
        self._limits = limits or IngestLimits()
        self._queue: deque[_Write | _Command] = deque()
        self._queued_readings = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="pulsebase-commit", daemon=True)
        self._thread.start()

    def submit(self, batch: ReadingBatch) -> Future[None]:
        """Queue a batch.

        Raises:
            QueueFullError: the queue is at its limit. Nothing of the batch is kept.
            StoreUnavailableError: the ingestor is closing.
        """
        done: Future[None] = _future()
        with self._changed:
            self._refuse_when_closing()
            self._refuse_when_full(len(batch))
            self._queue.append(_Write(batch, done))
            self._queued_readings += len(batch)
            telemetry.INGEST_QUEUE_READINGS.set(self._queued_readings)
            self._changed.notify()
        return done

    def write(self, batch: ReadingBatch) -> None:
        """Queue a batch and wait until it is durable and visible."""
        self.submit(batch).result()

    def submit_delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> Future[int]:
        """Queue a deletion behind the writes before it; the result is how many readings went."""
        return self._command(lambda: self._writer.delete(user_id, interval, device_id))

    def submit_delete_origin(self, origin: int, most: int) -> Future[int]:
        """Queue a step of `Writer.delete_origin` behind the writes before it; the result is how many readings went."""
        return self._command(lambda: self._writer.delete_origin(origin, most))

    def register_origin(self, kind: str, name: str) -> int:
        """See `Writer.register_origin`; does not wait for the writes in the queue, nor they for it."""
        return self._writer.register_origin(kind, name)

    @property
    def queued_readings(self) -> int:
        """How many readings wait for a commit."""
        return self._queued_readings

    @property
    def alive(self) -> bool:
        """Whether the committing thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Refuse what comes from now on, commit what is queued, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _command(self, run: Callable[[], int]) -> Future[int]:
        done: Future[int] = _future()
        with self._changed:
            self._refuse_when_closing()
            self._refuse_when_full(1)
            self._queue.append(_Command(run, done))
            self._queued_readings += 1
            self._changed.notify()
        return done

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise StoreUnavailableError("the server is shutting down; nothing of this request was stored")

    def _refuse_when_full(self, readings: int) -> None:
        # A batch larger than the whole queue still gets its turn once the queue is empty.
        if self._queue and self._queued_readings + readings > self._limits.queue_readings:
            telemetry.INGEST_QUEUE_FULL.inc()
            raise QueueFullError("the write queue is full; nothing of this request was stored")

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue:
                    return
                turn = self._next_turn()
            if isinstance(turn, _Command):
                _settle(turn.done, turn.run)
            else:
                self._commit(turn)

    def _next_turn(self) -> list[_Write] | _Command:
        """The next command alone, or as many writes as one commit takes. Called under the lock."""
        first = self._queue[0]
        if isinstance(first, _Command):
            self._queue.popleft()
            self._queued_readings -= 1
            return first
        turn: list[_Write] = []
        size = 0
        while self._queue:
            item = self._queue[0]
            if isinstance(item, _Command) or (turn and size + len(item.batch) > self._limits.commit_readings):
                break
            self._queue.popleft()
            turn.append(item)
            size += len(item.batch)
        return turn

    def _commit(self, turn: Sequence[_Write]) -> None:
        started = perf_counter()
        size = sum(len(item.batch) for item in turn)
        failure: BaseException | None = None
        try:
            self._writer.write([item.batch for item in turn])
        except Exception as error:
            if not isinstance(error, PulsebaseError):
                logger.exception("a commit failed")
            telemetry.INGEST_COMMIT_FAILURES.inc()
            failure = error
        telemetry.INGEST_COMMIT_SECONDS.observe(perf_counter() - started)
        telemetry.INGEST_COMMIT_READINGS.observe(size)
        with self._changed:
            self._queued_readings -= size
            telemetry.INGEST_QUEUE_READINGS.set(self._queued_readings)
        for item in turn:
            if failure is None:
                item.done.set_result(None)
            else:
                item.done.set_exception(failure)


def _future() -> Future[Any]:
    """A future that cannot be cancelled: a caller may go away, what it queued is committed all the same."""
    done: Future[Any] = Future()
    done.set_running_or_notify_cancel()
    return done


def _settle(done: Future[int], run: Callable[[], int]) -> None:
    try:
        done.set_result(run())
    except Exception as error:
        if not isinstance(error, PulsebaseError):
            logger.exception("a command failed")
        done.set_exception(error)
