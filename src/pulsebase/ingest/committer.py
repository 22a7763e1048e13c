"""Group commit: requests that arrive while a commit runs share the next one. Each is acknowledged once its own
readings are durable.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any

from pulsebase import telemetry, tracing
from pulsebase.ingest.admission import admitted, count_outcomes, offers_admitted, runs_of, stores_nothing
from pulsebase.ingest.candidates import Candidates, Decoded
from pulsebase.ingest.device_limit import DeviceLimit, DevicesOf
from pulsebase.ingest.newcomers import Allowance, Arrivals, Newcomers, Unknown
from pulsebase.ingest.queue_items import (
    AnyOutcome,
    Outcome,
    QueuedCommand,
    QueuedOffer,
    QueuedSingles,
    QueuedWrite,
    QueueItem,
    Run,
    size_of,
)
from pulsebase.ingest.validate import ReadingRules, validate
from pulsebase.live.commit_log import ALL_TIME, ChangedRange, CommitLog
from pulsebase.model.errors import (
    ErasedUserError,
    FieldError,
    OutcomeUnknownError,
    PulsebaseError,
    QueueFullError,
    StoreUnavailableError,
)
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.contract import Cancellation, Writer
from pulsebase.stores.erased_users import ErasedUsers

logger = logging.getLogger(__name__)

#: How long a whole request waits for room before it is refused. Nothing of it is stored yet, so it may be sent again.
SHORT_WAIT_S = 1.0
#: How long the next block of a stream waits for room: waiting slows its sender down. Deletions wait as long.
LONG_WAIT_S = 20.0
#: Columns that are longer are checked by the thread that brings them: small writes do not wait for that.
_LONG_ROWS = 4_096
#: How often the commit thread looks for those that have waited long enough, while there is no room.
_LOOK_S = 0.05
#: After how many seconds a refused client may try again.
_BEHIND_RETRY_S = 2


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How many readings may wait in the queue (a deletion counts as one), how many one commit takes at most, and how
    many devices a person may have.
    """

    queue_readings: int = 1_000_000
    commit_readings: int = 500_000
    devices_per_person: int = 1_000


class Ingestor:
    """The only caller of a store's `Writer`: one thread commits what a bounded queue holds.

    Every method may be called from any thread. A future gets its result (the acknowledgement) after the commit of its
    own batch. A failed commit fails every batch in it, and nothing of them was kept, unless the error is an
    `OutcomeUnknownError`. If there is a `commit_log`, it hears of the commit after the acknowledgement.
    """

    def __init__(
        self,
        writer: Writer,
        limits: IngestLimits | None = None,
        commit_log: CommitLog | None = None,
        erased_users: ErasedUsers | None = None,
        unknown: Unknown = lambda _: (),
        *,
        devices_of: DevicesOf = lambda _: (),
    ) -> None:
        """`erased_users` must be the object that the reading rules use, so that readings checked before an erasure are
        not stored after it. `unknown` says which users are new to the store; allowances count those. `devices_of` says
        which devices of a person the store knows.
        """
        self._writer = writer
        self._commit_log = commit_log
        self._erased_users = erased_users or ErasedUsers()
        self._newcomers = Newcomers(unknown)
        self._limits = limits or IngestLimits()
        self._devices = DeviceLimit(devices_of, self._limits.devices_per_person)
        for write in ("block", "commit"):  # so that the metric shows 0 before the first refusal
            telemetry.INGEST_ROOM_REFUSED.labels(write)
        telemetry.INGEST_QUEUE_LIMIT_READINGS.set(self._limits.queue_readings)
        self._queue: deque[QueueItem | QueuedCommand] = deque()
        self._queued_readings = 0
        self._closing = False
        self._leaving = Cancellation()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="pulsebase-commit", daemon=True)
        self._thread.start()

    def pace(self, readings: int, max_wait_s: float, *, within_turn: bool = False) -> None:
        """Wait until the store has room, as `Writer.pace` does. Called before each block of a stream is queued: a block
        that waits inside the queue would hold up everybody else.
        """
        started = perf_counter()
        self._refuse_when_leaving()
        try:
            self._writer.pace(readings, max_wait_s, within_turn=within_turn, cancellation=self._leaving)
        except StoreUnavailableError:
            self._refuse_when_leaving()
            telemetry.INGEST_ROOM_REFUSED.labels("block").inc()
            raise
        finally:
            telemetry.INGEST_ROOM_WAIT_SECONDS.labels("block").observe(perf_counter() - started)

    def submit(
        self, batch: ReadingBatch, max_wait_s: float = SHORT_WAIT_S, allowance: Allowance | None = None
    ) -> Future[Sequence[FieldError]]:
        """Queue a batch. The result names the rows that were refused since their person has too many devices; all
        others are stored. The future fails if merges make no room within `max_wait_s`, or if the batch brings more new
        people than its request may (`NewPeopleError`, `TooManyNewPeopleError`).

        Raises:
            QueueFullError: the queue is at its limit. Nothing of the batch is kept.
            StoreUnavailableError: the ingestor is closing.
        """
        done: Future[Sequence[FieldError]] = _future()
        self._queue_up(QueuedWrite(batch, monotonic() + max_wait_s, done, allowance))
        return done

    def submit_singles(
        self, batch: ReadingBatch, allowances: Sequence[Allowance | None]
    ) -> Future[Mapping[int, PulsebaseError]]:
        """Queue readings that are a request each, with the allowance of each. The result holds, by row, the errors of
        the readings that were refused; all others are stored.

        Raises:
            QueueFullError, StoreUnavailableError: as `submit`.
        """
        done: Future[Mapping[int, PulsebaseError]] = _future()
        self._queue_up(QueuedSingles(batch, monotonic() + SHORT_WAIT_S, done, allowances))
        return done

    def offer(
        self,
        readings: Candidates | Decoded,
        rules: ReadingRules,
        origin: int,
        source: str,
        allowance: Allowance | None = None,
    ) -> Future[Outcome]:
        """Queue readings that nobody checked yet; the valid ones are stored, as by `submit`.

        What waits for the same commit is checked together, which costs a fraction of checking each request alone. What
        becomes of them is counted under `source`. Thousands of rows are checked in the calling thread, before they are
        queued.

        Raises:
            QueueFullError, StoreUnavailableError: as `submit`.
        """
        done: Future[Outcome] = _future()
        offer = QueuedOffer(readings, rules, origin, source, monotonic() + SHORT_WAIT_S, done, allowance)
        if isinstance(readings, Candidates) and len(readings) > _LONG_ROWS:
            with self._changed:
                self._refuse_when_closing()
                self._refuse_when_full(len(readings))
            offer.judged = validate(readings, rules, origin)
        self._queue_up(offer)
        return done

    def write(self, batch: ReadingBatch, allowance: Allowance | None = None) -> Sequence[FieldError]:
        """Wait for room, queue the next batch of a stream, and return once it is durable and visible. Returns the
        refused rows, as `submit`.
        """
        self.pace(len(batch), LONG_WAIT_S)
        return self.submit(batch, LONG_WAIT_S, allowance).result()

    def submit_delete(
        self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None
    ) -> Future[int]:
        """Queue a deletion, of one metric or of all, behind the writes before it. The result is the number of readings
        deleted.
        """
        change = ChangedRange(user_id, interval, metric)
        return self._command(lambda: self._writer.delete(user_id, interval, device_id, metric), change)

    def submit_delete_origin(self, origin: int, most: int) -> Future[int]:
        """Queue a step of `Writer.delete_origin` behind the writes before it. The result is the number of readings
        deleted.
        """
        change = ChangedRange(None, ALL_TIME)
        return self._command(lambda: self._writer.delete_origin(origin, most), change)

    def drain(self) -> None:
        """Wait until everything queued so far is committed or has failed."""
        self._command(lambda: 0, None).result()

    def register_origin(self, kind: str, name: str) -> int:
        """Call `Writer.register_origin` at once: it does not wait for the queued writes, nor they for it."""
        return self._writer.register_origin(kind, name)

    @property
    def alive(self) -> bool:
        """Whether the committing thread runs."""
        return self._thread.is_alive()

    def leave(self) -> None:
        """Have streams end where they are: no further block of theirs is taken, and what is queued is committed if the
        store has room for it, and waits for none. For a server that stops, once its requests have had their time.
        """
        self._leaving.cancel()

    def close(self) -> None:
        """Refuse new items, commit what is queued, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _queue_up(self, item: QueueItem) -> None:
        with self._changed:
            self._refuse_when_closing()
            self._refuse_when_full(len(item.readings))
            self._queue.append(item)
            self._queued_readings += len(item.readings)
            telemetry.INGEST_QUEUE_READINGS.set(self._queued_readings)
            self._changed.notify()

    def _command(self, run: Callable[[], int], change: ChangedRange | None) -> Future[int]:
        done: Future[int] = _future()
        with self._changed:
            self._refuse_when_closing()
            self._refuse_when_full(1)
            self._queue.append(QueuedCommand(run, change, monotonic() + LONG_WAIT_S, done))
            self._queued_readings += 1
            self._changed.notify()
        return done

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise _stops()

    def _refuse_when_leaving(self) -> None:
        if self._leaving.cancelled:
            raise _stops()

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
            self._wait_for_room()
            with self._changed:
                if not self._queue:
                    continue
                turn = self._next_turn()
            if isinstance(turn, QueuedCommand):
                self._execute(turn)
            else:
                self._commit(turn)

    def _wait_for_room(self) -> None:
        """Wait until the store has room or the queue is empty."""
        started = perf_counter()
        while not self._writer.has_room(_LOOK_S) and not self._given_up():
            pass
        telemetry.INGEST_ROOM_WAIT_SECONDS.labels("commit").observe(perf_counter() - started)

    def _given_up(self) -> bool:
        """Refuse what has waited long enough, which is everything once the server leaves; whether nothing is left."""
        now = math.inf if self._leaving.cancelled else monotonic()
        with self._changed:
            given_up = [item for item in self._queue if item.give_up_at <= now]
            if given_up:
                self._queue = deque(item for item in self._queue if item.give_up_at > now)
                self._queued_readings -= sum(map(size_of, given_up))
                telemetry.INGEST_QUEUE_READINGS.set(self._queued_readings)
            is_empty = not self._queue
        for item in given_up:
            telemetry.INGEST_ROOM_REFUSED.labels("commit").inc()
            message = "too many readings wait for a merge; nothing of this request was stored"
            item.done.set_exception(StoreUnavailableError(message, _BEHIND_RETRY_S))
        return is_empty

    def _next_turn(self) -> list[QueueItem] | QueuedCommand:
        """Take the next command, or as many writes as fit one commit, off the queue. Called under the lock."""
        first = self._queue[0]
        if isinstance(first, QueuedCommand):
            self._queue.popleft()
            self._queued_readings -= 1
            return first
        turn: list[QueueItem] = []
        size = 0
        while self._queue:
            item = self._queue[0]
            if isinstance(item, QueuedCommand) or (turn and size + len(item.readings) > self._limits.commit_readings):
                break
            self._queue.popleft()
            turn.append(item)
            size += len(item.readings)
        return turn

    def _execute(self, command: QueuedCommand) -> None:
        try:
            done = command.run()
        except Exception as error:
            if not isinstance(error, PulsebaseError):
                logger.exception("a command failed")
            command.done.set_exception(error)
            return
        command.done.set_result(done)
        if self._commit_log and done and command.change is not None:
            self._commit_log.publish_change(command.change)

    def _commit(self, turn: Sequence[QueueItem]) -> None:
        started = perf_counter()
        batches: list[ReadingBatch] = []
        outcomes: list[AnyOutcome] = []
        failure: BaseException | None = None
        arrivals = Arrivals(self._newcomers)
        try:
            for run in runs_of(turn):
                for kept, found in self._let_in(run, arrivals):
                    batches += [kept] if kept else []
                    outcomes += found
            if batches:
                with tracing.span("commit", readings=sum(map(len, batches)), requests=len(turn)):
                    self._writer.write(batches)
                telemetry.INGEST_LAST_COMMIT_TIMESTAMP_SECONDS.set_to_current_time()
            self._devices.written()
        except Exception as error:
            if not isinstance(error, PulsebaseError):
                logger.exception("a commit failed")
            telemetry.INGEST_COMMIT_FAILURES.inc()
            failure = error
            self._devices.forget()
            if not isinstance(error, OutcomeUnknownError):
                arrivals.give_back()
        telemetry.INGEST_COMMIT_SECONDS.observe(perf_counter() - started)
        telemetry.INGEST_COMMIT_READINGS.observe(sum(map(len, batches)))
        with self._changed:
            self._queued_readings -= sum(len(item.readings) for item in turn)
            telemetry.INGEST_QUEUE_READINGS.set(self._queued_readings)
        told = [outcomes[place] if place < len(outcomes) else None for place in range(len(turn))]
        count_outcomes(turn, told, failure)
        for item, outcome in zip(turn, told, strict=True):
            if isinstance(outcome, PulsebaseError):
                item.done.set_exception(outcome)
            elif failure is None or stores_nothing(item, outcome):  # a failing disk changes nothing about a refusal
                item.done.set_result(outcome)  # type: ignore[arg-type] # of the kind that the item asks for
            else:
                item.done.set_exception(failure)
        if self._commit_log and batches and failure is None:
            self._commit_log.publish(batches)

    def _let_in(self, run: Run, arrivals: Arrivals) -> Iterator[tuple[ReadingBatch | None, Sequence[AnyOutcome]]]:
        """Yield each batch of a run that may be written (None if nothing), with the outcomes its items get then."""
        if isinstance(run, list):
            yield from offers_admitted(run, arrivals, self._erased_users, self._devices)
        elif self._erased_users.among(run.readings.users) is not None:
            yield None, [ErasedUserError()]
        else:
            yield admitted(run, arrivals, self._devices)


def _stops() -> StoreUnavailableError:
    return StoreUnavailableError("the server is shutting down; nothing of this request was stored")


def _future() -> Future[Any]:
    """Return a future that cannot be cancelled: what a caller queued is committed even if the caller goes away."""
    done: Future[Any] = Future()
    done.set_running_or_notify_cancel()
    return done
