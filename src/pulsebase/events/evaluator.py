"""Works out where rules hold, from what is stored, and notes what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pulsebase.events.kinds import Event
from pulsebase.events.signal_table import SignalTable, Touched
from pulsebase.events.signals import Episode, EpisodeChange, MinuteMean, Signal, changes_between, runs_of
from pulsebase.events.webhooks import ReachOf, Told
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange, format_us, from_us
from pulsebase.stores.contract import SeriesQuery, Store

#: How far from a change the beginning or the end of an episode is looked for. A longer one is cut there.
MOST_US = 32 * DAY_US
NEVER_US = 1 << 62
_TOUCHED_AT_ONCE = 100
_PEOPLE_AT_ONCE = 1_000
#: How often silence is looked for.
_SILENCE_EVERY_S = 5.0
#: If the clock and the machine's own count of seconds differ by more than this from one look to the next, the clock was
#: set. So long after that, silence is not judged.
_JUMP_S, _SETTLED_S = 30.0, 120.0
#: Readings may be that far ahead of the server's clock before the clock is taken for wrong.
_AHEAD_US = 10 * MINUTE_US


def seconds_since_boot() -> float:
    """Return the machine's own count of seconds, which nobody sets, and which counts on while it sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class SteadyClock:
    """The server's clock, and whether it can be trusted to say how long somebody has been silent."""

    now_us: Callable[[], int]
    counted_s: Callable[[], float] = field(default_factory=lambda: seconds_since_boot)
    _before: tuple[int, float] | None = field(init=False, default=None)
    _unsettled_until_s: float = field(init=False, default=0.0)

    def look(self, newest_us: int) -> int | None:
        """Return the time now; None while the clock was set a moment ago, or is behind the newest reading."""
        now_us, counted_s = self.now_us(), self.counted_s()
        if self._before is not None:
            before_us, before_s = self._before
            passed_s = (now_us - before_us) / SECOND_US
            if abs(passed_s - (counted_s - before_s)) > _JUMP_S:
                self._unsettled_until_s = counted_s + _SETTLED_S
        self._before = now_us, counted_s
        if counted_s < self._unsettled_until_s or now_us + _AHEAD_US < newest_us:
            return None
        return now_us


class Evaluator:
    """Looks at signals again where readings changed. One process at a time has one at work."""

    def __init__(
        self,
        table: SignalTable,
        reader: Store,
        reach_of: ReachOf,
        hearing: Callable[[Sequence[Event]], Sequence[Told]],
        clock: SteadyClock,
    ) -> None:
        """`hearing` says which webhooks are told of events."""
        self._table, self._reader, self._reach_of = table, reader, reach_of
        self._hearing, self._clock = hearing, clock
        #: The time of each person's last reading, by metric, of metrics in which silence is looked for.
        self._last: dict[str, dict[str, int]] = {}
        self._looked_at = 0.0

    def round(self) -> bool:
        """Do a piece of what there is to do. Return whether there may be more at once."""
        signals = self._table.all()
        touched = self._table.touched(_TOUCHED_AT_ONCE)
        for each in touched:
            if each.user_id is None:
                self._table.spread(each, self._people_of(signals, each))
            else:
                self._look_at(signals, each, each.user_id)
                self._table.done([each.number])
        if time.monotonic() - self._looked_at > _SILENCE_EVERY_S or touched:
            self._looked_at = time.monotonic()
            self._judge_silence([signal for signal in signals if signal.rule == "silent_for"])
        return len(touched) > 0

    # --- whom signals are about ---

    def _everybody(self) -> Iterator[str]:
        after: str | None = None
        while page := self._reader.users("", _PEOPLE_AT_ONCE, after):
            for overview in page:
                yield overview.user.user_id
            after = page[-1].user.user_id

    def _people_of(self, signals: Sequence[Signal], touched: Touched) -> list[str]:
        """Return everybody whom the stretch may concern."""
        concerned = [signal for signal in signals if touched.signal in (None, signal.number)]
        if all(signal.people is not None for signal in concerned):
            return sorted({user_id for signal in concerned for user_id in signal.people or ()})
        return list(self._everybody()) if concerned else []

    def _is_about(self, signal: Signal, user_id: str) -> bool:
        reach = self._reach_of(signal.key)
        if reach is None or (reach.people is not None and user_id not in reach.people):
            return False
        if signal.people is not None and user_id not in signal.people:
            return False
        if signal.cohort is None:
            return True
        user = self._reader.user(user_id)
        return user is not None and signal.cohort.holds(user, from_us(self._clock.now_us()).date())

    def _last_readings(self, user_id: str) -> dict[str, int]:
        """Return the time of a person's last reading of each metric."""
        found = self._reader.metrics(user_id)
        return {each.metric: each.last_us for each in found if each.last_us is not None}

    # --- above and below ---

    def _look_at(self, signals: Sequence[Signal], touched: Touched, user_id: str) -> None:
        last = self._last_readings(user_id)
        for metric, known in self._last.items():
            if touched.metric in (None, metric):
                known.pop(user_id, None)
                known.update({user_id: last[metric]} if metric in last else {})
        for signal in signals:
            if signal.rule == "silent_for" or touched.signal not in (None, signal.number):
                continue
            if touched.metric not in (None, signal.metric) or not self._is_about(signal, user_id):
                continue
            if touched.end_us > signal.since_us:
                self._look_again(
                    signal, user_id, self._stretch_of(signal, user_id, touched, last.get(signal.metric, 0))
                )

    def _stretch_of(self, signal: Signal, user_id: str, touched: Touched, last_us: int) -> tuple[TimeRange, int]:
        """Return what to look at again, and when the last reading is: what changed, the episode that was open, and the
        last reading, as an episode may end or go on there now.
        """
        open_now = self._table.open_episodes(signal.number).get(user_id)
        start_us, end_us = touched.start_us, min(touched.end_us, last_us + MINUTE_US)
        if last_us:
            start_us = min(start_us, last_us)
        if open_now is not None:
            start_us, end_us = min(start_us, open_now.end_us - 1), max(end_us, min(touched.end_us, open_now.end_us))
        start_us = max(start_us, signal.since_us)
        return TimeRange(start_us, max(start_us, end_us)), last_us

    def _look_again(self, signal: Signal, user_id: str, what: tuple[TimeRange, int]) -> None:
        stretch, last_us = what
        start_us, end_us = self._bounds(signal, stretch)
        step_us = signal.for_us + HOUR_US
        least_us = max(signal.since_us, self._reader.horizon_us(), start_us - MOST_US)
        most_us = max(end_us, min(last_us + MINUTE_US, end_us + MOST_US))
        while True:
            minutes = self._minutes(signal, user_id, TimeRange(start_us, end_us))
            runs = runs_of(signal, minutes)
            begins_before = bool(runs) and minutes[0].start_us == runs[0].start_us
            if begins_before and runs[0].start_us - start_us <= signal.for_us and start_us > least_us:
                start_us = max(least_us, start_us - step_us)
            elif runs and runs[-1].is_last and end_us - runs[-1].end_us <= signal.for_us and end_us < most_us:
                end_us = min(most_us, end_us + step_us)
            else:
                break
            step_us *= 4
        found = [
            Episode(run.start_us, run.end_us, run.is_last and last_us < run.end_us)
            for run in runs
            if run.end_us - run.start_us >= signal.for_us
        ]
        # Beyond the last reading there is nothing any more.
        kept_to_us = NEVER_US if end_us > last_us else end_us
        kept = self._table.episodes(signal.number, user_id, start_us, kept_to_us)
        self._apply(signal, user_id, changes_between(kept, [_joined(each, kept, start_us) for each in found]))

    def _bounds(self, signal: Signal, stretch: TimeRange) -> tuple[int, int]:
        around = TimeRange(
            max(signal.since_us, stretch.start_us - signal.for_us - MINUTE_US),
            max(stretch.start_us, stretch.end_us) + signal.for_us + MINUTE_US,
        ).widened(MINUTE_US)
        return around.start_us, around.end_us

    def _minutes(self, signal: Signal, user_id: str, asked: TimeRange) -> list[MinuteMean]:
        query = SeriesQuery(user_id, asked, Resolution.MINUTE, kind="signals", metric=signal.metric)
        table = self._reader.series(query)
        columns = (table[name].to_pylist() for name in ("time_us", "count", "sum"))
        return [MinuteMean(*row) for row in zip(*columns, strict=True)]

    # --- silence ---

    def _judge_silence(self, signals: Sequence[Signal]) -> None:
        wanted = {signal.metric for signal in signals}
        for gone in self._last.keys() - wanted:
            del self._last[gone]
        if new := wanted - self._last.keys():
            self._last |= {metric: {} for metric in new}
            for user_id in self._everybody():
                for metric, last_us in self._last_readings(user_id).items():
                    if metric in new:
                        self._last[metric][user_id] = last_us
        newest_us = max((last_us for known in self._last.values() for last_us in known.values()), default=0)
        now_us = self._clock.look(newest_us)
        if now_us is None:
            return
        for signal in signals:
            self._judge_silence_of(signal, now_us)

    def _judge_silence_of(self, signal: Signal, now_us: int) -> None:
        known, raised = self._last[signal.metric], self._table.open_episodes(signal.number)
        people = known.keys() if signal.people is None else signal.people & known.keys()
        silent = {user_id for user_id in people if now_us - known[user_id] >= signal.for_us}
        for user_id in sorted(silent | raised.keys()):
            last_us, before = known.get(user_id), raised.get(user_id)
            is_silent = user_id in silent and last_us is not None and self._is_about(signal, user_id)
            if before is not None and (not is_silent or last_us != before.start_us):
                reason = "ended" if last_us is not None and last_us > before.start_us else "withdrawn"
                self._apply(signal, user_id, [EpisodeChange(before, None, cleared=reason)])  # type: ignore[arg-type]
                before = None
            if before is None and is_silent and last_us is not None:
                self._apply(
                    signal, user_id, [EpisodeChange(None, Episode(last_us, last_us + 1, is_open=True), raised=True)]
                )

    # --- what is told ---

    def _apply(self, signal: Signal, user_id: str, changes: Sequence[EpisodeChange]) -> None:
        events = [event for change in changes for event in _events_of(signal, user_id, change)]
        now_us = self._clock.now_us()
        self._table.apply(signal.number, user_id, changes, events, self._hearing(events), now_us=now_us)


def _joined(episode: Episode, kept: Iterable[Episode], start_us: int) -> Episode:
    """Return an episode with the beginning that is kept of it, if that is before what was looked at."""
    for each in kept:
        if each.start_us < start_us <= episode.start_us < each.end_us:
            return replace(episode, start_us=each.start_us)
    return episode


def _events_of(signal: Signal, user_id: str, change: EpisodeChange) -> list[Event]:
    said: dict[str, Any] = {"signal_id": signal.signal_id, "metric": signal.metric} | rule_of(signal)
    events = []
    if change.raised and change.after is not None:
        events.append(Event("signal.raised", user_id, said | {"start": format_us(change.after.start_us)}))
    if change.cleared is not None:
        episode = change.after or change.before
        assert episode is not None
        ends = {"end": format_us(episode.end_us)} if signal.rule != "silent_for" else {}
        told = {"start": format_us(episode.start_us)} | ends | {"reason": change.cleared}
        events.append(Event("signal.cleared", user_id, said | told))
    return events


def rule_of(signal: Signal) -> dict[str, Any]:
    """Return a rule as requests and answers state it."""
    if signal.rule == "silent_for":
        return {"silent_for": duration_text(signal.for_us)}
    return {signal.rule: float(signal.threshold or 0), "for": duration_text(signal.for_us)}


def duration_text(length_us: int) -> str:
    """Write a length of whole seconds as `90s`, `10m`, `6h` or `2d`."""
    for unit, size_us in (("d", DAY_US), ("h", HOUR_US), ("m", MINUTE_US)):
        if length_us % size_us == 0:
            return f"{length_us // size_us}{unit}"
    return f"{length_us // SECOND_US}s"
