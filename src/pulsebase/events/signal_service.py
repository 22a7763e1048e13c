"""Signals, as an installation has them: made, removed and looked at."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pulsebase.events.courier import Courier
from pulsebase.events.signal_table import SignalEvent, SignalTable
from pulsebase.events.signals import Episode, PeopleFilter, Rule, Signal
from pulsebase.model.errors import PulsebaseError, RejectedError
from pulsebase.model.metrics import UnknownMetricError, metric_named
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US

#: The most signals of an installation, and the most people that one may name.
MOST_SIGNALS, MOST_PEOPLE = 100, 1_000
_UNITS = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_SHORTEST_US, _LONGEST_US = MINUTE_US, 30 * DAY_US
_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """A signal that somebody asks for, as it was typed; of `above`, `below` and `silent_for` one."""

    metric: str
    above: float | None
    below: float | None
    silent_for: str | None
    lasts: str | None
    people: Collection[str] | None
    cohort: PeopleFilter | None
    key: int


class Signals:
    """Every method may be called from any thread."""

    def __init__(self, table: SignalTable, courier: Courier, now_us: Callable[[], int]) -> None:
        self.table = table
        self._courier, self._now_us = courier, now_us

    def create(self, wanted: SignalRequest) -> Signal:
        """Make a signal. It is worked out from what is stored already, and from whatever is acknowledged from now on.

        Raises:
            RejectedError: names the field that is wrong.
            StoreUnavailableError: it cannot be made now.
        """
        try:
            metric = metric_named(wanted.metric)
        except UnknownMetricError as error:
            raise RejectedError.of("metric", str(error)) from None
        rule, threshold, for_us = _rule_of(wanted)
        if threshold is not None and not 0 <= abs(Fraction(threshold)) <= 100_000:
            raise RejectedError.of(rule, "is too large")
        if wanted.people is not None and wanted.cohort is not None:
            raise RejectedError.of("cohort", "cannot be given with user_ids")
        if wanted.people is not None and not 1 <= len(set(wanted.people)) <= MOST_PEOPLE:
            raise RejectedError.of("user_ids", f"must be 1 to {MOST_PEOPLE} people, or left out for everybody")
        if not self._courier.keeps_notes:
            raise RejectedError.of("metric", "cannot be watched in this store, which keeps no notes of commits")
        if len(self.table.all()) >= MOST_SIGNALS:
            raise RejectedError.of("metric", f"has one signal too many: there are {MOST_SIGNALS} already")
        people = None if wanted.people is None else frozenset(wanted.people)
        signal_id = f"sig_{secrets.token_urlsafe(_ID_BYTES)}"
        fresh = Signal(
            *(0, signal_id, metric.name, rule, threshold, for_us, people, wanted.cohort, wanted.key, self._now_us())
        )
        signal = self.table.add(fresh)
        try:
            self._courier.want_notes()
        except PulsebaseError:
            self.table.remove(signal.number)
            raise
        self._courier.wake()
        return signal

    def all(self) -> Sequence[Signal]:
        """Return every signal, the oldest first."""
        return self.table.all()

    def remove(self, signal: Signal) -> None:
        """Remove a signal. What is raised is not cleared: nobody looks any more."""
        self.table.remove(signal.number)
        self._courier.wake()

    def raised(self, signal: Signal) -> dict[str, Episode]:
        """Return the episodes that have not ended, by person."""
        return self.table.open_episodes(signal.number)

    def place(self) -> int:
        """Return the place after the last event of now."""
        return self.table.place()

    def events(self, after: int, limit: int) -> Sequence[SignalEvent]:
        """Return what happened after a place, in order."""
        return self.table.events(after, limit)


def _rule_of(wanted: SignalRequest) -> tuple[Rule, str | None, int]:
    given = [name for name in ("above", "below", "silent_for") if getattr(wanted, name) is not None]
    if len(given) != 1:
        raise RejectedError.of("above", "or below or silent_for is required, and only one of them")
    if wanted.silent_for is not None:
        if wanted.lasts is not None:
            raise RejectedError.of("for", "cannot be given with silent_for, which says how long")
        return "silent_for", None, duration_us(wanted.silent_for, "silent_for")
    for_us = MINUTE_US if wanted.lasts is None else duration_us(wanted.lasts, "for")
    if wanted.above is not None:
        return "above", repr(float(wanted.above)), for_us
    return "below", repr(float(wanted.below or 0)), for_us


def duration_us(text: str, field: str) -> int:
    """Read a length such as `90s`, `10m`, `6h` or `2d`.

    Raises:
        RejectedError: it is none, or not between a minute and thirty days.
    """
    found = _DURATION.fullmatch(text)
    length_us = int(found[1]) * _UNITS[found[2]] if found else 0
    if not _SHORTEST_US <= length_us <= _LONGEST_US:
        raise RejectedError.of(field, "must be a number and s, m, h or d, between 1m and 30d")
    return length_us
