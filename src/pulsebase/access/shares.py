"""Fair shares of limited resources: each caller may hold a part of a common pool, and no more.

A pool counts units of one resource, such as places, rows or bytes. A request for units waits until the caller's own
share and the pool have room, first come, first served. A caller who is at their own limit holds up nobody else.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from pulsebase import telemetry
from pulsebase.access.caller import Caller
from pulsebase.model.errors import PoolFullError, RetryLaterError, ShareFullError

Resource = Literal["questions", "answer rows", "uploads", "spooled bytes", "exports", "streams"]

#: The caller where callers cannot, or need not, be told apart. It may hold the whole pool.
EVERYBODY = "everybody"
_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class ShareSize:
    """How many units there are, how many of them a caller may hold, and how long to wait for them."""

    total: int
    each: int
    wait_s: float = 0

    @classmethod
    def of(cls, total: int, part: float, wait_s: float = 0, least: int = 1) -> ShareSize:
        """Return the size of a pool of which each caller may hold a part, but at least `least` units: the size of the
        largest single item.
        """
        total = max(total, least) if total else 0
        return cls(total, max(least, int(total * part)), wait_s)


class SharePool:
    """The units of one resource. Every method may be called from any thread, and none blocks."""

    def __init__(self, resource: Resource, size: ShareSize) -> None:
        self.resource, self.size = resource, size
        self._lock = threading.Lock()
        self._used = 0
        self._used_by: Counter[Hashable] = Counter()
        self._waiting: list[_Asked] = []

    def ask(self, who: Hashable, units: int) -> Future[None]:
        """Ask for units. The future is done once the caller holds them; they must be given back later."""
        asked = _Asked(who, units, Future())
        with self._lock:
            self._waiting.append(asked)
            self._serve()
        return asked.done

    def give_up(self, done: Future[None]) -> RetryLaterError | None:
        """Withdraw a request for units. Return the error to raise, or None if the units came at the last moment."""
        with self._lock:
            for asked in self._waiting:
                if asked.done is done:
                    self._waiting.remove(asked)
                    own = asked.who != EVERYBODY and self._used_by[asked.who] + asked.units > self.most(asked.who)
                    self._serve()
                    return self._refusal(own=own)
        return None

    def give_back(self, who: Hashable, units: int) -> None:
        """Return units to the pool, for others."""
        with self._lock:
            self._used -= units
            self._used_by[who] -= units
            if not self._used_by[who]:
                del self._used_by[who]
            self._serve()

    def most(self, who: Hashable) -> int:
        """Return how many units a caller may hold."""
        return self.size.total if who == EVERYBODY else min(self.size.each, self.size.total)

    def _serve(self) -> None:
        """Serve the waiting requests in order, skipping callers who are at their own limit. Called under the lock."""
        kept = []
        full = False
        for asked in self._waiting:
            has_share = self._used_by[asked.who] + asked.units <= self.most(asked.who)
            if full or not has_share or not self.size.total:
                kept.append(asked)
            elif self._used + asked.units > self.size.total:
                kept.append(asked)
                full = True  # otherwise small requests would overtake a large one for ever
            else:
                self._used += asked.units
                self._used_by[asked.who] += asked.units
                asked.done.set_result(None)
        self._waiting = kept

    def _refusal(self, *, own: bool) -> RetryLaterError:
        telemetry.SHARES_REFUSED.labels(self.resource, "own" if own else "all").inc()
        if own:
            return ShareFullError(f"the share of {self.resource} of this key or address is in use", _RETRY_AFTER_S)
        return PoolFullError(f"all {self.resource} that the server has are in use", _RETRY_AFTER_S)


@dataclass(slots=True)
class _Asked:
    who: Hashable
    units: int
    done: Future[None]


class HeldShare:
    """The units that one request holds until it is closed. Used by one thread at a time.

    Asking for more than a whole share counts as a whole share, so that a large item can still be had, alone.
    """

    def __init__(self, pools: Mapping[Resource, SharePool], who: Hashable) -> None:
        self._pools, self.who = pools, who
        self._units: Counter[Resource] = Counter()

    def ask(self, resource: Resource, units: int = 1) -> Future[None]:
        """Ask for units. They are held once the future is done."""
        units = min(units, self.most(resource))
        self._units[resource] += units
        return self._pools[resource].ask(self.who, units)

    def most(self, resource: Resource) -> int:
        """Return the size of a whole share."""
        return self._pools[resource].most(self.who)

    def wait_s(self, resource: Resource) -> float:
        """Return how many seconds to wait for units."""
        return self._pools[resource].size.wait_s

    def give_up(self, resource: Resource, units: int, done: Future[None]) -> None:
        """Withdraw a request for units.

        Raises:
            ShareFullError, PoolFullError: the units did not come meanwhile.
        """
        refusal = self._pools[resource].give_up(done)
        if refusal is not None:
            self._units[resource] -= units
            raise refusal

    def resize(self, resource: Resource, units: int) -> None:
        """Hold this many units from now on. Blocks while it waits for more of them, so call it in a thread.

        Raises:
            ShareFullError, PoolFullError: the units did not come in time.
        """
        units = min(units, self.most(resource))
        more = units - self._units[resource]
        if more < 0:
            self._units[resource] = units
            self._pools[resource].give_back(self.who, -more)
        elif more > 0:
            done = self.ask(resource, more)
            try:
                done.result(self.wait_s(resource))
            except TimeoutError:
                self.give_up(resource, more, done)

    def pass_on(self, resource: Resource) -> HeldShare:
        """Move the held units of one resource to a new holder, which may outlive the request."""
        other = HeldShare(self._pools, self.who)
        other._units[resource] = self._units.pop(resource, 0)
        return other

    def close(self) -> None:
        """Give everything back."""
        for resource, units in self._units.items():
            self._pools[resource].give_back(self.who, units)
        self._units.clear()


class Shares:
    """All pools of one server."""

    def __init__(self, sizes: Mapping[Resource, ShareSize]) -> None:
        self._pools = {resource: SharePool(resource, size) for resource, size in sizes.items()}

    def of(self, caller: Caller) -> HeldShare:
        """Return a holder in the caller's name that holds nothing yet."""
        return HeldShare(self._pools, who_is(caller))


def who_is(caller: Caller) -> Hashable:
    """Return whose share is used: the key's, or the address's where no key is needed. The owner, and anybody on this
    machine without a key, count as `EVERYBODY`, who may hold the whole pool.
    """
    if caller.principal.number > 0:
        return caller.principal.number
    return caller.address or EVERYBODY
