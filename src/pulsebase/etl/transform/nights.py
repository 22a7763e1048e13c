"""Nights on which clocks went back: decide which of a person's repeated local times are first and which second."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pulsebase.etl.transform.changes import FallBack, Ints, Mask
from pulsebase.model.timerange import MINUTE_US

#: How many times are remembered from one block of a file to the next, to know the usual spacing.
_REMEMBERED = 16
#: A night passes without a gap where the change is no more than this many usual steps from the last time to the next.
_USUAL_STEPS = 1.5
#: Even spacing alone tells of a change only if so many other steps agree.
_EVEN_STEPS = 3


@dataclass(slots=True)
class Night:
    """What is known so far of one person's times in such a night.

    Attributes:
        newest_first: whether the file has the newest times first.
        told: whether the place of the change in the file is known. Everything that follows is after it.
        untold: how many ambiguous times were read before anything told which of the two they are.
        last: the latest local times in the file, negated if the newest come first.
    """

    clocks: FallBack
    newest_first: bool
    told: bool = False
    untold: int = 0
    last: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def second(self, wall_us: Ints) -> Mask:
        """Return which of the person's next times, all of this night and in the order of the file, are second ones."""
        twice = (wall_us >= self.clocks.start_us) & (wall_us < self.clocks.end_us)
        faces = np.concatenate([self.last, -wall_us if self.newest_first else wall_us])
        beyond = np.full(len(wall_us), self.told)
        if not self.told:
            known = len(self.last)
            all_twice = _twice(faces, self.clocks, self.newest_first)
            place = _place_of_change(faces, all_twice, self.clocks.change_us)
            if place is None:
                self.untold += int(twice.sum())
            else:
                # What went before was rightly read as of before the change, unless it is found out too late.
                self.told, self.untold = True, int(all_twice[place:known].sum())
                beyond[max(place - known, 0) :] = True
        self.last = faces[-_REMEMBERED:]
        second: Mask = twice & (beyond != self.newest_first)
        return second

    def turn(self, newest_first: bool) -> None:
        """Set whether the file has the newest times first."""
        if newest_first != self.newest_first:
            self.newest_first, self.last = newest_first, -self.last


def _twice(faces: Ints, clocks: FallBack, newest_first: bool) -> Mask:
    wall_us = -faces if newest_first else faces
    return (wall_us >= clocks.start_us) & (wall_us < clocks.end_us)


def _place_of_change(faces: Ints, twice: Mask, change_us: int) -> int | None:
    """Return the place of the first time after the change, or None if it cannot be told.

    Somewhere in the night, one step between two times is longer than the clock shows, by the size of the change: the
    step that goes back farthest. It is taken for the change, and not for disorder, in one of these cases:

    * with the change added it is a usual step, so that nothing is missing;
    * it goes back by more than a usual step and a minute, and by more than twice what any other step goes back;
    * no step goes back, but all others are even, and with the change added this one is even with them.
    """
    if len(faces) <= 1:
        return None
    steps = np.diff(faces)
    beside = twice[:-1] | twice[1:]
    if not beside.any():
        return None
    place = int(np.argmin(np.where(beside, steps, np.iinfo(np.int64).max)))
    step, others = int(steps[place]), np.delete(steps, place)
    onward = others[others > 0]
    usual = float(np.median(onward)) if len(onward) else 0.0
    if step <= 0:
        disorder = max(-int(others.min()), 0) if len(others) else 0
        told = step + change_us <= _USUAL_STEPS * usual or (-step > max(usual, MINUTE_US) and -step > 2 * disorder)
    else:
        tolerance = change_us / 4
        even = len(others) >= _EVEN_STEPS and bool((np.abs(others - usual) <= tolerance).all())
        told = even and abs(step + change_us - usual) <= tolerance
    return place + 1 if told else None
