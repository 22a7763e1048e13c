"""Fair shares: what all callers use together, of which each may hold a part and no more.

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

#: Who asks where nobody can be told apart, or nobody has to be: they may have all there is.
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
        """A pool of which each caller has a part, but never less than `least`, the largest single thing there is."""
        total = max(total, least) if total else 0
        return cls(total, max(least, int(total * part)), wait_s)


class SharePool:
    """The units of one thing. Every method may be called from any thread, and none waits."""

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
        """Done once whoever asks holds the units, which are to be given back."""
        asked = _Asked(who, units, Future())
        with self._lock:
            self._count()
            self._waiting.append(asked)
            self._serve()
        return asked.done

    def give_up(self, done: Future[None]) -> RetryLaterError | None:
        """Ask no longer; what is to be said, or None if the units came at the last moment."""
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
        """Let others have units that were held."""
        with self._lock:
            self._count()
            self._used -= units
            self._used_by[who] -= units
            if not self._used_by[who]:
                del self._used_by[who]
            self._serve()

    def most(self, who: Hashable) -> int:
        """What a caller may hold."""
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
                full = True  # else large ones would wait for ever
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
    """What one request holds, until it is closed. Used by one thread at a time.

    More than a whole share counts as one, so that what is large can still be had, alone.
    """

    def __init__(self, pools: Mapping[Resource, SharePool], who: Hashable) -> None:
        self._pools, self.who = pools, who
        self._units: Counter[Resource] = Counter()

    def ask(self, resource: Resource, units: int = 1) -> Future[None]:
        """Ask for units, which are held once that is done."""
        units = min(units, self.most(resource))
        self._units[resource] += units
        return self._pools[resource].ask(self.who, units)

    def holds(self, resource: Resource) -> int:
        """The units that are held, or asked for."""
        return self._units[resource]

    def most(self, resource: Resource) -> int:
        """A whole share."""
        return self._pools[resource].most(self.who)

    def wait_s(self, resource: Resource) -> float:
        """How long to wait for units."""
        return self._pools[resource].size.wait_s

    def give_up(self, resource: Resource, units: int, done: Future[None]) -> None:
        """Ask no longer.

        Raises:
            ShareFullError, PoolFullError: they did not come meanwhile.
        """
        refusal = self._pools[resource].give_up(done)
        if refusal is not None:
            self._units[resource] -= units
            raise refusal

    def resize(self, resource: Resource, units: int) -> None:
        """Hold so many from now on; waits for more of them, in a thread.

        Raises:
            ShareFullError, PoolFullError: there are none for a while.
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
        """Have somebody else hold what is held of one thing, longer than the request lasts."""
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
        """Nothing yet, in the name of a caller."""
        return HeldShare(self._pools, who_is(caller))


def who_is(caller: Caller) -> Hashable:
    """Whose share counts: that of the key, or of the address where no key is needed. The owner, and whoever comes from
    this machine without a key, may have all there is.
    """
    if caller.principal.number > 0:
        return caller.principal.number
    return caller.address or EVERYBODY
