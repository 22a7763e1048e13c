"""Signals: rules over what is stored, and the episodes in which they hold.

Whether a rule holds is a function of the stored readings alone (`silent_for` also of the clock). So it is worked out
again whenever readings change, and a late correction or a deletion raises or clears what it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal

from pulsebase.model.metrics import METRICS
from pulsebase.model.timerange import MINUTE_US
from pulsebase.model.users import User

Rule = Literal["above", "below", "silent_for"]


@dataclass(frozen=True, slots=True)
class PeopleFilter:
    """People by what is known of them; whoever lacks what is asked for is not among them."""

    genders: frozenset[str] | None = None
    min_age: int | None = None
    max_age: int | None = None

    def holds(self, user: User, today: date) -> bool:
        """Whether a person is in the cohort on this day: older than `min_age`, and not older than `max_age`."""
        if self.genders is not None and user.gender not in self.genders:
            return False
        if self.min_age is None and self.max_age is None:
            return True
        if user.birth_date is None:
            return False
        born = user.birth_date
        age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
        return (self.min_age is None or age > self.min_age) and (self.max_age is None or age <= self.max_age)


@dataclass(frozen=True, slots=True)
class Signal:
    """A rule.

    Attributes:
        number: orders signals by when they were made.
        signal_id: a random text.
        metric: of which metric.
        rule: `above` or `below` a threshold, or `silent_for`: no reading.
        threshold: in the metric's unit, as it was written; None for `silent_for`.
        for_us: how long it has to hold.
        people: about these people alone; None for everybody that its key may see, or the cohort.
        cohort: about these people alone, by what is known of them.
        key: the number of the key that made it.
        created_us: when it was made.
    """

    number: int
    signal_id: str
    metric: str
    rule: Rule
    threshold: str | None
    for_us: int
    people: frozenset[str] | None
    cohort: PeopleFilter | None
    key: int
    created_us: int

    @property
    def since_us(self) -> int:
        """Readings before this are not looked at: a day before it was made."""
        return max(0, self.created_us - 86_400_000_000)


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch in which a rule holds, half-open. `is_open`: nothing stored says that it has ended."""

    start_us: int
    end_us: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class MinuteMean:
    """The counted readings of a minute: when it starts, how many, and their sum in stored units."""

    start_us: int
    count: int
    sum: int


def holds_in(signal: Signal, minute: MinuteMean) -> bool:
    """Whether the mean of a minute is beyond the threshold, exactly."""
    assert signal.threshold is not None
    limit = Fraction(signal.threshold) * METRICS[signal.metric].scale * minute.count
    return minute.sum > limit if signal.rule == "above" else minute.sum < limit


@dataclass(frozen=True, slots=True)
class RuleRun:
    """Minutes in a row in which a rule holds, with no longer silence among them than the rule's own time."""

    start_us: int
    end_us: int
    is_last: bool


def runs_of(signal: Signal, minutes: Sequence[MinuteMean]) -> list[RuleRun]:
    """Return the runs among these minutes, by time, however short."""
    found: list[RuleRun] = []
    begun: int | None = None
    end_us = 0
    for minute in minutes:
        if begun is not None and minute.start_us - end_us > signal.for_us:
            found.append(RuleRun(begun, end_us, is_last=False))
            begun = None
        if holds_in(signal, minute):
            begun = minute.start_us if begun is None else begun
            end_us = minute.start_us + MINUTE_US
        elif begun is not None:
            found.append(RuleRun(begun, end_us, is_last=False))
            begun = None
    if begun is not None:
        found.append(RuleRun(begun, end_us, is_last=True))
    return found


@dataclass(frozen=True, slots=True)
class EpisodeChange:
    """What becomes of an episode: it is raised, it is cleared since it `ended` or since readings were `withdrawn`, or
    it only reaches further (neither).

    Attributes:
        before: the episode as it was kept; None for a new one.
        after: as it is now; None if it is no more.
        raised, cleared: what is told.
    """

    before: Episode | None
    after: Episode | None
    raised: bool = False
    cleared: Literal["ended", "withdrawn"] | None = None


def changes_between(kept: Sequence[Episode], found: Sequence[Episode]) -> list[EpisodeChange]:
    """Compare the episodes of a stretch of time as they were kept with what is found now. One that still overlaps is
    the same, whatever its bounds are now.
    """
    changes, left = [], list(found)
    for before in kept:
        same = next((each for each in left if _overlap(before, each)), None)
        if same is None:
            changes.append(EpisodeChange(before, None, cleared="withdrawn" if before.is_open else None))
            continue
        left.remove(same)
        if same != before:
            raised = same.is_open and not before.is_open
            changes.append(
                EpisodeChange(before, same, raised, "ended" if before.is_open and not same.is_open else None)
            )
    changes += [EpisodeChange(None, each, raised=True, cleared=None if each.is_open else "ended") for each in left]
    return changes


def _overlap(one: Episode, other: Episode) -> bool:
    return one.start_us < other.end_us and other.start_us < one.end_us
