"""Signals, as the caller of a request may use them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from pulsebase.access.caller import Caller, caller
from pulsebase.access.service import Access
from pulsebase.events.signal_service import SignalRequest, Signals
from pulsebase.events.signal_table import SignalEvent
from pulsebase.events.signals import Episode, Signal
from pulsebase.model.errors import UnknownUserError


class AuthorizedSignals:
    """All signals for callers who may see everybody; for others those that were made with the same key. What a signal
    looks at is what the key that made it may see.
    """

    def __init__(self, inner: Signals, unknown: Callable[[Collection[str]], set[str]], access: Access) -> None:
        self._inner, self._unknown, self._access = inner, unknown, access

    def create(self, wanted: SignalRequest) -> Signal:
        """See `Signals.create`.

        Raises:
            UnknownUserError: somebody is not known, or out of reach.
        """
        asking = caller()
        if wanted.people is None:
            asking.ask_everybody()
        else:
            asking.require(wanted.people)
            if self._unknown(wanted.people):
                raise UnknownUserError
        return self._inner.create(replace(wanted, key=asking.principal.number))

    def all(self) -> Sequence[Signal]:
        """See `Signals.all`."""
        asking, found = caller(), self._inner.all()
        return (
            [signal for signal in found if _may_know(asking, signal)] if asking.ask_everybody() is not None else found
        )

    def find(self, signal_id: str) -> Signal | None:
        """Return the signal of this id, if the caller may know of it."""
        return next((signal for signal in self.all() if signal.signal_id == signal_id), None)

    def remove(self, signal: Signal) -> None:
        """See `Signals.remove`."""
        self._inner.remove(signal)

    def raised(self, signal: Signal) -> Mapping[str, Episode]:
        """See `Signals.raised`; of people in the caller's reach."""
        people = caller().principal.people
        found = self._inner.raised(signal)
        return {user_id: each for user_id, each in found.items() if people is None or user_id in people}

    def place(self) -> int:
        """See `Signals.place`."""
        caller().ask_everybody()
        return self._inner.place()

    def following(self) -> Callable[[int, int], tuple[int, Sequence[SignalEvent]] | None]:
        """Return a function for any thread: what happened after a place that the caller may know of, and the place
        after it; None once the caller's key has ended.
        """
        asking = caller()

        def after(place: int, limit: int) -> tuple[int, Sequence[SignalEvent]] | None:
            if not self._access.still_takes(asking.principal):
                return None
            found = self._inner.events(place, limit)
            mine = {signal.number for signal in self._inner.all() if _may_know(asking, signal)}
            seen = [each for each in found if each.signal in mine and asking.principal.reaches(each.user_id)]
            return (found[-1].number if found else place), seen

        return after


def _may_know(asking: Caller, signal: Signal) -> bool:
    return asking.principal.people is None or signal.key == asking.principal.number
