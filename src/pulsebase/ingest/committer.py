"""Group commit: requests that arrive while a commit runs share the next one, and each is told when its own is
durable.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any

from pulsebase import telemetry, tracing
from pulsebase.ingest.candidates import Candidates, Decoded
from pulsebase.ingest.counting import count_readings
from pulsebase.ingest.validate import ReadingRules, validate
from pulsebase.live.commit_log import ALL_TIME, ChangedRange, CommitLog
from pulsebase.model.errors import ErasedUserError, FieldError, PulsebaseError, QueueFullError, StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.contract import Writer
from pulsebase.stores.erased_users import ErasedUsers

logger = logging.getLogger(__name__)

#: How long a request of which nothing is stored yet waits for room before it is refused: it may be sent again …
SHORT_WAIT_S = 1.0
#: … and how long the next block of a stream does, whose sender is slowed down meanwhile. So do deletions.
LONG_WAIT_S = 20.0
#: Columns that are longer are checked by the thread that brings them: small writes do not wait for that.
_LONG_ROWS = 4_096
#: How often the commit thread looks for those that have waited long enough, while there is no room.
_LOOK_S = 0.05
#: When whoever was refused may try again.
_BEHIND_RETRY_S = 2


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How much may wait (`queue_readings`; a deletion counts as one), and how much one commit takes
    (`commit_readings`).
    """

    queue_readings: int = 1_000_000
    commit_readings: int = 500_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of offered readings: how many are stored now, and why the others are not, by position."""

    accepted: int
    errors: list[FieldError]


@dataclass(slots=True)
class _Write:
    readings: ReadingBatch
    give_up_at: float
    done: Future[None]


@dataclass(slots=True)
class _Offer:
    """Readings that are checked in the commit thread, together with what else waits there; long columns are `judged`
    before, which holds unless somebody was erased since.
    """

    readings: Candidates | Decoded
    rules: ReadingRules
    origin: int
    source: str
    give_up_at: float
    done: Future[Outcome]
    judged: tuple[ReadingBatch | None, Outcome] | None = None

    def goes_with(self, other: _Offer) -> bool:
        """Whether both can be checked as one."""
        mine, theirs = self.readings, other.readings
        joinable = isinstance(mine, Decoded) and isinstance(theirs, Decoded) and mine.goes_with(theirs)
        judged_alike = self.rules is other.rules or self.rules == other.rules
        return joinable and judged_alike and (self.origin, self.source) == (other.origin, other.source)


@dataclass(slots=True)
class _Command:
    """Anything else that must keep its place between the writes before and after it."""

    run: Callable[[], int]
    change: ChangedRange | None
    give_up_at: float
    done: Future[int]


class Ingestor:
    """The only caller of a store's `Writer`: one thread commits what a bounded queue holds.

    Every method may be called from any thread. An acknowledgement (the future's result) comes after the commit of its
    own batch; a failed commit fails every batch in it, and nothing of them was kept, unless the error is an
    `OutcomeUnknownError`. After the acknowledgement the `commit_log` is told of it, if there is one.
    """

    def __init__(
        self,
        writer: Writer,
        limits: IngestLimits | None = None,
        commit_log: CommitLog | None = None,
        erased_users: ErasedUsers | None = None,
    ) -> None:
        """`erased_users` are those of the rules: what was checked before an erasure is not stored after it."""
        self._writer = writer
        self._commit_log = commit_log
        self._erased_users = erased_users or ErasedUsers()
        self._limits = limits or IngestLimits()
        for write in ("block", "commit"):  # so that nothing refused is a figure, too
            telemetry.INGEST_ROOM_REFUSED.labels(write)
        telemetry.INGEST_QUEUE_LIMIT_READINGS.set(self._limits.queue_readings)
        self._queue: deque[_Write | _Offer | _Command] = deque()
        self._queued_readings = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="pulsebase-commit", daemon=True)
        self._thread.start()

    def pace(self, readings: int, max_wait_s: float, *, within_turn: bool = False) -> None:
        """See `Writer.pace`: asked before each block of a stream is queued, so that what waits does not wait in the
        queue, where it would hold up everybody else.
        """
        started = perf_counter()
        try:
            self._writer.pace(readings, max_wait_s, within_turn=within_turn)
        except StoreUnavailableError:
            telemetry.INGEST_ROOM_REFUSED.labels("block").inc()
            raise
        finally:
            telemetry.INGEST_ROOM_WAIT_SECONDS.labels("block").observe(perf_counter() - started)

    def submit(self, batch: ReadingBatch, max_wait_s: float = SHORT_WAIT_S) -> Future[None]:
        """Queue a batch. Its commit waits for merges to make room no longer than `max_wait_s`, and fails then.

        Raises:
            QueueFullError: the queue is at its limit. Nothing of the batch is kept.
            StoreUnavailableError: the ingestor is closing.
        """
        done: Future[None] = _future()
        self._queue_up(_Write(batch, monotonic() + max_wait_s, done))
        return done

    def offer(self, readings: Candidates | Decoded, rules: ReadingRules, origin: int, source: str) -> Future[Outcome]:
        """Queue readings that nobody checked yet; the good ones among them are kept, as by `submit`.

        What waits for the same commit is checked together, which costs a fraction of checking each request alone. What
        becomes of them is counted under `source`. Thousands of rows are checked in the calling thread, before they are
        queued.

        Raises:
            QueueFullError, StoreUnavailableError: as `submit`.
        """
        done: Future[Outcome] = _future()
        offer = _Offer(readings, rules, origin, source, monotonic() + SHORT_WAIT_S, done)
        if isinstance(readings, Candidates) and len(readings) > _LONG_ROWS:
            with self._changed:
                self._refuse_when_closing()
                self._refuse_when_full(len(readings))
            offer.judged = _checked(readings, rules, origin)
        self._queue_up(offer)
        return done

    def write(self, batch: ReadingBatch) -> None:
        """Queue the next batch of a stream in its turn, and wait until it is durable and visible."""
        self.pace(len(batch), LONG_WAIT_S)
        self.submit(batch, LONG_WAIT_S).result()

    def submit_delete(self, user_id: str, interval: TimeRange, device_id: str | None = None) -> Future[int]:
        """Queue a deletion behind the writes before it; the result is how many readings went."""
        change = ChangedRange(user_id, interval)
        return self._command(lambda: self._writer.delete(user_id, interval, device_id), change)

    def submit_delete_origin(self, origin: int, most: int) -> Future[int]:
        """Queue a step of `Writer.delete_origin` behind the writes before it; the result is how many readings went."""
        change = ChangedRange(None, ALL_TIME)
        return self._command(lambda: self._writer.delete_origin(origin, most), change)

    def drain(self) -> None:
        """Wait until whatever is queued by now is committed, or has failed."""
        self._command(lambda: 0, None).result()

    def register_origin(self, kind: str, name: str) -> int:
        """See `Writer.register_origin`; does not wait for the writes in the queue, nor they for it."""
        return self._writer.register_origin(kind, name)

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

    def _queue_up(self, item: _Write | _Offer) -> None:
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
            self._queue.append(_Command(run, change, monotonic() + LONG_WAIT_S, done))
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
            self._wait_for_room()
            with self._changed:
                if not self._queue:
                    continue
                turn = self._next_turn()
            if isinstance(turn, _Command):
                self._execute(turn)
            else:
                self._commit(turn)

    def _wait_for_room(self) -> None:
        """Wait until the store has room, or nobody waits any longer."""
        started = perf_counter()
        while not self._writer.has_room(_LOOK_S) and not self._given_up():
            pass
        telemetry.INGEST_ROOM_WAIT_SECONDS.labels("commit").observe(perf_counter() - started)

    def _given_up(self) -> bool:
        """Refuse what has waited long enough; whether nothing is left."""
        now = monotonic()
        with self._changed:
            given_up = [item for item in self._queue if item.give_up_at <= now]
            if given_up:
                self._queue = deque(item for item in self._queue if item.give_up_at > now)
                self._queued_readings -= sum(map(_size, given_up))
                telemetry.INGEST_QUEUE_READINGS.set(self._queued_readings)
            is_empty = not self._queue
        for item in given_up:
            telemetry.INGEST_ROOM_REFUSED.labels("commit").inc()
            message = "too many readings wait for a merge; nothing of this request was stored"
            item.done.set_exception(StoreUnavailableError(message, _BEHIND_RETRY_S))
        return is_empty

    def _next_turn(self) -> list[_Write | _Offer] | _Command:
        """The next command alone, or as many writes as one commit takes. Called under the lock."""
        first = self._queue[0]
        if isinstance(first, _Command):
            self._queue.popleft()
            self._queued_readings -= 1
            return first
        turn: list[_Write | _Offer] = []
        size = 0
        while self._queue:
            item = self._queue[0]
            if isinstance(item, _Command) or (turn and size + len(item.readings) > self._limits.commit_readings):
                break
            self._queue.popleft()
            turn.append(item)
            size += len(item.readings)
        return turn

    def _execute(self, command: _Command) -> None:
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

    def _commit(self, turn: Sequence[_Write | _Offer]) -> None:
        started = perf_counter()
        batches: list[ReadingBatch] = []
        outcomes: list[Outcome | ErasedUserError | None] = []
        failure: BaseException | None = None
        try:
            for run in _runs(turn):
                if isinstance(run, _Write):
                    is_barred = self._erased_users.among(run.readings.users) is not None
                    batches += [] if is_barred else [run.readings]
                    outcomes.append(ErasedUserError() if is_barred else None)
                else:
                    batch, found = _judged(run, self._erased_users)
                    batches += [batch] if batch else []
                    outcomes += found
            if batches:
                with tracing.span("commit", readings=sum(map(len, batches)), requests=len(turn)):
                    self._writer.write(batches)
                telemetry.INGEST_LAST_COMMIT_TIMESTAMP_SECONDS.set_to_current_time()
        except Exception as error:
            if not isinstance(error, PulsebaseError):
                logger.exception("a commit failed")
            telemetry.INGEST_COMMIT_FAILURES.inc()
            failure = error
        telemetry.INGEST_COMMIT_SECONDS.observe(perf_counter() - started)
        telemetry.INGEST_COMMIT_READINGS.observe(sum(map(len, batches)))
        with self._changed:
            self._queued_readings -= sum(len(item.readings) for item in turn)
            telemetry.INGEST_QUEUE_READINGS.set(self._queued_readings)
        told = [outcomes[place] if place < len(outcomes) else None for place in range(len(turn))]
        _count(turn, told, failure)
        for item, outcome in zip(turn, told, strict=True):
            if isinstance(outcome, ErasedUserError):
                item.done.set_exception(outcome)
            elif failure is None or _is_refusal(outcome):
                item.done.set_result(outcome)  # type: ignore[arg-type] # None for writes, an outcome for offers
            else:
                item.done.set_exception(failure)
        if self._commit_log and batches and failure is None:
            self._commit_log.publish(batches)


def _runs(turn: Sequence[_Write | _Offer]) -> Iterator[_Write | list[_Offer]]:
    """The turn in its order, with neighbours that can be checked together as one."""
    run: list[_Offer] = []
    for item in turn:
        if run and not (isinstance(item, _Offer) and item.goes_with(run[0])):
            yield run
            run = []
        if isinstance(item, _Offer):
            run.append(item)
        else:
            yield item
    if run:
        yield run


def _checked(readings: Candidates | Decoded, rules: ReadingRules, origin: int) -> tuple[ReadingBatch | None, Outcome]:
    """What of some readings may be stored, and their outcome once that is stored."""
    verdict = validate(readings, rules, origin)
    return verdict.accepted, Outcome(len(readings) - len(verdict.refusals), verdict.errors)


def _judged(run: Sequence[_Offer], erased_users: ErasedUsers) -> tuple[ReadingBatch | None, list[Outcome]]:
    """What of a run may be stored, as one batch, and the outcome of each offer once that is stored."""
    first = run[0]
    if len(run) == 1:
        batch, outcome = first.judged or _checked(first.readings, first.rules, first.origin)
        if first.judged and batch is not None and erased_users.among(batch.users) is not None:
            batch, outcome = _checked(first.readings, first.rules, first.origin)
        return batch, [outcome]
    parts = [offer.readings for offer in run if isinstance(offer.readings, Decoded)]
    verdict = validate(Decoded.joined(parts), first.rules, first.origin)
    lengths = [len(part) for part in parts]
    errors = verdict.refusals.errors_by_part(lengths)
    return verdict.accepted, [Outcome(size - len(of), of) for size, of in zip(lengths, errors, strict=True)]


def _is_refusal(outcome: Outcome | ErasedUserError | None) -> bool:
    """Whether nothing of an offer was to be stored: no disk has a say in that."""
    return isinstance(outcome, Outcome) and outcome.accepted == 0


def _count(
    turn: Sequence[_Write | _Offer], outcomes: Sequence[Outcome | ErasedUserError | None], failure: BaseException | None
) -> None:
    """Count what became of the offers of a turn, those of a source together, before any of them is told."""
    accepted: Counter[str] = Counter()
    refused: dict[str, Counter[str]] = {}
    for item, outcome in zip(turn, outcomes, strict=True):
        if isinstance(item, _Offer) and isinstance(outcome, Outcome) and (failure is None or _is_refusal(outcome)):
            accepted[item.source] += outcome.accepted
            if outcome.errors:
                refused.setdefault(item.source, Counter()).update(error.field for error in outcome.errors)
    for source, readings in accepted.items():
        count_readings(source, readings, refused.get(source, {}))


def _size(item: _Write | _Offer | _Command) -> int:
    """What an item counts as in the queue."""
    return 1 if isinstance(item, _Command) else len(item.readings)


def _future() -> Future[Any]:
    """A future that cannot be cancelled: a caller may go away, what it queued is committed all the same."""
    done: Future[Any] = Future()
    done.set_running_or_notify_cancel()
    return done
