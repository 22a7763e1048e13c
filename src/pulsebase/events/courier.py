"""The thread that tells webhooks what happened. Of the processes that share a store, one at a time is the courier.

What commits changed comes from the store's notes. Notes are taken over into the file of events in one transaction, and
dropped from the store afterwards; a crash in between leaves them in both, and the file knows which it has.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from time import monotonic

from pulsebase import telemetry
from pulsebase.events.evaluator import Evaluator, SteadyClock
from pulsebase.events.event_file import EventFile, Unsent
from pulsebase.events.kinds import FROM_COMMITS, Event, Stretch, day_closed, stored
from pulsebase.events.sender import Sender, SendOutcome, signed
from pulsebase.events.signal_table import SignalTable
from pulsebase.events.signals import Signal
from pulsebase.events.webhooks import Delivery, OpenDay, ReachOf, Told, Webhook, heard
from pulsebase.files.locks import FolderLocks
from pulsebase.model.errors import PulsebaseError
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    TimeRange,
    from_us,
    local_day_starts,
    to_us,
    zone_or_utc,
)
from pulsebase.stores.contract import CommitNote, CommitNotes, SeriesQuery, Store

logger = logging.getLogger(__name__)

#: How long to wait after each failed attempt, seconds: a day in all.
WAITS_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 21_600, 36_000)
#: What happened so long ago is given up when it fails again.
GIVEN_UP_AFTER_US = DAY_US
#: Each wait is that much longer or shorter, at random, so that what failed together does not come back together.
_JITTER = 0.1
#: After a failure a webhook gets one delivery at a time, and pauses in between that double up to this.
_LONGEST_PAUSE_S = 60.0
_LOOK_S = 0.25
_LEASE_LOOK_S = 1.0
_TROUBLE_S = 5.0
_NOTES_AT_ONCE = 5_000
_SENT_AT_ONCE, _SENT_TO_ONE = 32, 8
#: Days are closed so long after their midnight; those that get their first readings later, so long after these; and
#: none that ended longer ago.
_CLOSED_AFTER_US, _CLOSED_LATE_US, _OLDEST_DAY_US = HOUR_US, 10 * MINUTE_US, 2 * DAY_US
_DAYS_AT_ONCE = 100
_PRUNED_EVERY_S, _MEASURED_EVERY_S = 60.0, 5.0
#: How long what ended is kept.
KEPT_US = 30 * DAY_US
_LEASE, _WANTED = "webhooks", "commit notes"
#: No answer in the world; the receiver wants nothing more (Standard Webhooks).
_GONE = 410


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the courier needs of the installation.

    Attributes:
        reader: the store.
        notes: what its commits changed; None if it keeps no notes.
        locks: locks that the processes of the machine share.
        reach_of: whom a key may see.
        now_us: the server's clock.
    """

    reader: Store
    notes: CommitNotes | None
    locks: FolderLocks
    reach_of: ReachOf
    now_us: Callable[[], int]


@dataclass(slots=True)
class _Trouble:
    """What went wrong with a webhook: how often in a row, and until when it pauses (monotonic)."""

    failures: int = 0
    until_s: float = 0.0


class Courier:
    """Every method may be called from any thread; `start` begins the work, and `close` ends it after its step."""

    def __init__(self, file: EventFile, sender: Sender, around: Surroundings) -> None:
        self._file, self._sender, self._around = file, sender, around
        self._wake = threading.Event()
        self._stopping = False
        self._sending: dict[int, tuple[Delivery, Future[SendOutcome]]] = {}
        # What was there when the lead began may have been sent by who led before, without a note of it. It stays as it
        # is, since a receiver goes by its id.
        self._sent_before: int | None = None
        self._trouble: dict[int, _Trouble] = {}
        self._pruned_at = self._measured_at = 0.0
        self._wanted: bool | None = None
        self.signals = SignalTable(file)
        self._evaluator = Evaluator(
            self.signals, around.reader, around.reach_of, self._hearing, SteadyClock(around.now_us)
        )
        self._thread = threading.Thread(target=self._run, name="pulsebase-webhooks", daemon=True)

    def _hearing(self, events: Sequence[Event]) -> Sequence[Told]:
        return self._heard(self._file.webhooks(), events) if events else ()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once."""
        self._wake.set()

    def close(self) -> None:
        """Stop. What is being sent is sent again at the next start. Twice is once."""
        if self._stopping:
            return
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._sender.close()

    @property
    def keeps_notes(self) -> bool:
        """Whether the store says what commits changed."""
        return self._around.notes is not None

    def want_notes(self) -> None:
        """Have the store note what commits change from now on, or nothing any more, as webhooks need it. Processes take
        turns, so that none goes by webhooks of before.
        """
        if self._around.notes is None:
            return
        with self._around.locks.held(_WANTED):
            wanted = self._needs_notes(self._file.webhooks(), self.signals.all())
            if wanted or self._wanted is not False:
                self._around.notes.want(wanted)
                if not wanted:  # there are no notes any more
                    self._file.forget_moved()
            self._wanted = wanted

    @staticmethod
    def _needs_notes(webhooks: Sequence[Webhook], signals: Sequence[Signal]) -> bool:
        return bool(signals) or any(webhook.events & FROM_COMMITS for webhook in webhooks if webhook.ended is None)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                with self._around.locks.held_if_free(_LEASE) as mine:
                    if mine:
                        self._lead()
            except PulsebaseError as error:
                logger.warning("webhooks wait: %s", error)
            if not self._stopping:  # else who wakes us has done so already
                self._wake.wait(_LEASE_LOOK_S)
                self._wake.clear()

    def _lead(self) -> None:
        pause_s = 0.0
        while not self._stopping:
            self._wake.wait(pause_s)
            self._wake.clear()
            pause_s = _LOOK_S
            try:
                if self._round():
                    pause_s = 0.0
            except PulsebaseError as error:
                logger.warning("webhooks wait: %s", error)
                pause_s = _TROUBLE_S
            except Exception:
                logger.exception("webhooks are tried again")
                pause_s = _TROUBLE_S

    def _round(self) -> bool:
        """Do a piece of everything there is to do. Return whether there may be more at once."""
        if self._sent_before is None:
            self._sent_before = self._file.last_delivery()
        webhooks, signals = self._file.webhooks(), self.signals.all()
        wanted = self._needs_notes(webhooks, signals)
        if wanted != self._wanted:
            self.want_notes()
        if monotonic() - self._measured_at > _MEASURED_EVERY_S:
            self._measured_at = monotonic()
            self._measure()
        if not webhooks and not signals and not self._sending:
            return False
        more = self._take_over(webhooks, for_signals=bool(signals))
        if signals:
            more = self._evaluator.round() or more
        more = self._close_days(webhooks) or more
        self._settle()
        more = self._send(webhooks) or more
        if monotonic() - self._pruned_at > _PRUNED_EVERY_S:
            self._pruned_at = monotonic()
            self._file.prune(self._around.now_us() - KEPT_US)
        return more

    # --- what happened ---

    def _take_over(self, webhooks: Sequence[Webhook], *, for_signals: bool) -> bool:
        notes = self._around.notes
        if notes is None or not self._wanted:
            return False
        found, moved = notes.notes(_NOTES_AT_ONCE), self._file.moved()
        fresh = [note for note in found if note.number not in moved]
        if fresh:
            now_us = self._around.now_us()
            told = self._heard(webhooks, _events_of(fresh))
            days = [day for note in fresh for day in self._days_of(webhooks, note, now_us)]
            unsent = Unsent(self._sent_before or 0, self._sending)
            self._file.move(told, days, fresh, now_us, unsent, for_signals=for_signals)
        if found:
            notes.drop([note.number for note in found])
        if found or moved:
            # Those of which there are no notes any more are forgotten too: a crash came between a drop and this.
            self._file.forget_moved(found[-1].number if len(found) == _NOTES_AT_ONCE else None)
        return len(found) == _NOTES_AT_ONCE

    def _heard(self, webhooks: Sequence[Webhook], events: Iterable[Event]) -> list[Told]:
        return heard(webhooks, events, self._around.reach_of)

    def _days_of(self, webhooks: Sequence[Webhook], note: CommitNote, now_us: int) -> list[OpenDay]:
        """Return the days that these readings open."""
        if note.user_id is None or note.readings == 0:
            return []
        if not self._heard(webhooks, [Event("day.closed", note.user_id)]):
            return []
        recent = TimeRange(max(note.range.start_us, now_us - _OLDEST_DAY_US), min(note.range.end_us, now_us + DAY_US))
        if recent.length_us <= 0:
            return []
        user = self._around.reader.user(note.user_id)
        zone = zone_or_utc(None if user is None else user.time_zone)
        starts = local_day_starts(recent, zone)
        return [
            OpenDay(
                note.user_id,
                from_us(start_us).astimezone(zone).date().isoformat(),
                zone.key,
                max(end_us + _CLOSED_AFTER_US, now_us + _CLOSED_LATE_US),
            )
            for start_us, end_us in pairwise(starts)
            if end_us > now_us - _OLDEST_DAY_US
        ]

    def _close_days(self, webhooks: Sequence[Webhook]) -> bool:
        now_us = self._around.now_us()
        due = self._file.due_days(now_us, _DAYS_AT_ONCE)
        for day in due:
            metrics = self._counted(day)
            events = [day_closed(day.user_id, day.day, day.time_zone, metrics)] if metrics else []
            self._file.close_day(day, self._heard(webhooks, events), now_us)
        return len(due) == _DAYS_AT_ONCE

    def _counted(self, day: OpenDay) -> list[tuple[str, int, int]]:
        zone = zone_or_utc(day.time_zone)
        first = date.fromisoformat(day.day)
        midnights = (datetime.combine(each, time.min, zone) for each in (first, first + timedelta(days=1)))
        starts = [to_us(midnight) for midnight in midnights]
        found = []
        for metric in self._around.reader.metrics(day.user_id):
            asked = SeriesQuery(
                day.user_id,
                TimeRange(*starts),
                Resolution.DAY,
                day_starts=starts,
                kind="events",
                metric=metric.metric,
            )
            for row in self._around.reader.series(asked).to_pylist():
                found.append((metric.metric, row["count"], row["minutes"]))
        return found

    # --- sending ---

    def _settle(self) -> None:
        """Note what came of what was sent."""
        for number, (delivery, future) in list(self._sending.items()):
            if future.done():
                self._note(delivery, _outcome_of(future))
                del self._sending[number]  # once it is noted, or it would be sent again at once

    def _note(self, delivery: Delivery, outcome: SendOutcome) -> None:
        """Note what came of a delivery in the file, and count it once that is done: if the file cannot be written, this
        is done again.
        """
        now_us, attempts = self._around.now_us(), delivery.attempts + 1
        if outcome.problem is None:
            self._file.delivered(delivery.number, attempts, outcome.status, now_us)
            self._trouble.pop(delivery.webhook, None)
            telemetry.WEBHOOK_DELIVERIES.labels("delivered").inc()
            return
        if outcome.status == _GONE:
            self._file.give_up(delivery.number, attempts, outcome.status, outcome.problem, now_us)
            self._file.end_webhook(delivery.webhook, "its receiver wants nothing more (410)", now_us)
            self._trouble.pop(delivery.webhook, None)
            telemetry.WEBHOOK_DELIVERIES.labels("failed").inc()
            return
        is_old = now_us - (delivery.retried_us or delivery.noted_us) >= GIVEN_UP_AFTER_US
        tries = attempts - delivery.attempts_before
        given_up = tries > len(WAITS_S) or is_old
        if given_up:
            self._file.give_up(delivery.number, attempts, outcome.status, outcome.problem, now_us)
        else:
            wait_s = max(WAITS_S[tries - 1] * random.uniform(1 - _JITTER, 1 + _JITTER), outcome.retry_after_s or 0)
            due_us = now_us + int(wait_s * SECOND_US)
            self._file.failed(delivery.number, attempts, outcome.status, outcome.problem, due_us)
        self._pause(delivery.webhook, outcome.retry_after_s or 0)
        telemetry.WEBHOOK_DELIVERIES.labels("failed").inc()
        if given_up:
            telemetry.WEBHOOK_DELIVERIES.labels("dead").inc()

    def _pause(self, webhook: int, asked_s: float) -> None:
        """Have a webhook pause after a failure, for as long as its receiver asked at least."""
        trouble = self._trouble.setdefault(webhook, _Trouble())
        trouble.failures += 1
        pause_s = min(_LONGEST_PAUSE_S, 2.0 ** min(trouble.failures - 1, 16))
        trouble.until_s = monotonic() + max(pause_s, asked_s)

    def _send(self, webhooks: Sequence[Webhook]) -> bool:
        """Begin to send what is due. Return whether there may be more to give up at once."""
        room = {webhook.number: self._room_for(webhook) for webhook in webhooks if webhook.ended is None}
        ready = {webhook.number: webhook for webhook in webhooks if room.get(webhook.number, 0) > 0}
        if not ready or len(self._sending) >= _SENT_AT_ONCE:
            return False
        now_us, gave_up = self._around.now_us(), False
        far_us = now_us + int(WAITS_S[-1] * (1 + _JITTER)) * SECOND_US + DAY_US
        for delivery in self._file.due(ready, self._sending, now_us, far_us, _SENT_TO_ONE):
            if len(self._sending) >= _SENT_AT_ONCE:
                break
            if room[delivery.webhook] > 0:
                if self._begin(ready[delivery.webhook], delivery, now_us):
                    room[delivery.webhook] -= 1
                else:
                    gave_up = True
        return gave_up

    def _room_for(self, webhook: Webhook) -> int:
        """Return how many more deliveries may be sent to a webhook now."""
        trouble = self._trouble.get(webhook.number)
        if trouble is not None and monotonic() < trouble.until_s:
            return 0
        under_way = sum(delivery.webhook == webhook.number for delivery, _ in self._sending.values())
        return (_SENT_TO_ONE if trouble is None else 1) - under_way

    def _begin(self, webhook: Webhook, delivery: Delivery, now_us: int) -> bool:
        """Begin to send a delivery; False if it may not be sent, and was given up."""
        secret, reach = self._file.secret_of(webhook), self._around.reach_of(webhook.key)
        out_of_reach = reach is not None and reach.people is not None and delivery.user_id not in (None, *reach.people)
        if secret is None or reach is None or out_of_reach:
            problem = "its secret cannot be read" if secret is None else "its key may not see this any more"
            self._file.give_up(delivery.number, delivery.attempts, None, problem, now_us)
            telemetry.WEBHOOK_DELIVERIES.labels("dead").inc()
            return False
        body = delivery.body()
        headers = signed(secret, delivery.event_id, now_us // SECOND_US, body)
        sending = self._sender.send(webhook.url, headers, body)
        sending.add_done_callback(lambda _: self._wake.set())
        self._sending[delivery.number] = delivery, sending
        return True

    def _measure(self) -> None:
        backlog = self._file.backlog()
        telemetry.WEBHOOK_WAITING.set(backlog.waiting)
        telemetry.WEBHOOK_DEAD.set(backlog.dead)
        oldest_us = backlog.oldest_us
        age_us = 0 if oldest_us is None else max(0, self._around.now_us() - oldest_us)
        telemetry.WEBHOOK_OLDEST_SECONDS.set(age_us / SECOND_US)


def _outcome_of(future: Future[SendOutcome]) -> SendOutcome:
    """Return what came of sending; whatever went wrong is a failure of this delivery alone."""
    if future.cancelled():
        return SendOutcome(None, "it was given up")
    if (error := future.exception()) is not None:
        logger.error("a webhook was not sent: %s", type(error).__name__)
        return SendOutcome(None, "it could not be sent")
    return future.result()


def _events_of(notes: Iterable[CommitNote]) -> list[Event]:
    """Return the events of stored readings, one for each person and metric, in the order of the first note of each."""
    found: dict[tuple[str, str], Stretch] = {}
    for note in notes:
        if note.user_id is not None and note.metric is not None and note.readings:
            stretch, key = Stretch(note.metric, note.range, note.readings), (note.user_id, note.metric)
            found[key] = found[key].joined(stretch) if key in found else stretch
    return [stored(user_id, stretch) for (user_id, _), stretch in found.items()]
