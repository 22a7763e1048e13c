"""Fair shares of limited resources: each caller may hold a part of a common pool, and no more.

A pool counts units of one thing: places, rows, bytes. Who asks for units waits a while until their own share and the
pool have room. Whose caller had least of it while others waited, in units and the time they were held, goes first; else
it is in order of coming. Whoever waits for their own share keeps nobody else waiting.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from pulsebase import telemetry
from pulsebase.access.caller import Caller
from pulsebase.model.errors import PoolFullError, RetryLaterError, ShareFullError

Resource = Literal[
    "questions", "answer rows", "body bytes", "uploads", "spooled bytes", "decoders", "exports", "streams"
]

#: The caller where callers cannot, or need not, be told apart. It may hold the whole pool.
EVERYBODY = "everybody"
_RETRY_AFTER_S = 5
#: How often somebody who waits without end looks whether they still want to.
_LOOK_S = 0.2
#: Callers of whom a pool knows what they had; more than wait together anywhere.
_MOST_KNOWN = 4096


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
        #: Units times seconds that callers have held since somebody began to wait.
        self._had: dict[Hashable, float] = {}
        self._counted_at = monotonic()

    @property
    def used(self) -> int:
        """The units that all callers hold."""
        return self._used

    def ask(self, who: Hashable, units: int) -> Future[None]:
        """Ask for units. The future is done once the caller holds them; they must be given back later."""
        asked = _Asked(who, units, Future())
        with self._lock:
            self._count()
            self._waiting.append(asked)
            self._serve()
        return asked.done

    def give_up(self, done: Future[None]) -> RetryLaterError | None:
        """Withdraw a request for units. Return the error to raise, or None if the units came at the last moment."""
        with self._lock:
            self._count()
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
            self._count()
            self._used -= units
            self._used_by[who] -= units
            if not self._used_by[who]:
                del self._used_by[who]
            self._serve()

    def most(self, who: Hashable) -> int:
        """Return how many units a caller may hold."""
        return self.size.total if who == EVERYBODY else min(self.size.each, self.size.total)

    def _count(self) -> None:
        """Count what callers held until now, while somebody waits. Called under the lock, before anything changes."""
        now_s = monotonic()
        if not self._waiting or len(self._had) > _MOST_KNOWN:
            self._had.clear()
        else:
            for who, units in self._used_by.items():
                self._had[who] = self._had.get(who, 0) + units * (now_s - self._counted_at)
        self._counted_at = now_s

    def _serve(self) -> None:
        """Give to those who wait; whoever is at their own share is passed over. Called under the lock."""
        kept = []
        full = False
        for asked in sorted(self._waiting, key=lambda asked: self._had.get(asked.who, 0)):
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

    def holds(self, resource: Resource) -> int:
        """The units that are held, or asked for."""
        return self._units[resource]

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

    def wait(self, resource: Resource, stopped: Callable[[], bool]) -> None:
        """Hold one unit, however long that takes, in a thread; or none, if it is `stopped` before."""
        done = self.ask(resource)
        while not stopped():
            with contextlib.suppress(TimeoutError):
                done.result(_LOOK_S)
                return
        with contextlib.suppress(RetryLaterError):
            self.give_up(resource, 1, done)

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

    def pool(self, resource: Resource) -> SharePool:
        """The units of one thing."""
        return self._pools[resource]

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
