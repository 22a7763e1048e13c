"""New people: how many whom nobody knows yet a caller may bring.

Each takes a place in memory and on the disk for good, and every question about everybody asks about them too; a body of
two megabytes can name a million. So a caller may bring so many at once, and as many again in a day, evenly; all callers
together have so many; and one request brings no more than a part of that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pulsebase import telemetry
from pulsebase.access.caller import Caller
from pulsebase.access.keys import OWNER
from pulsebase.access.rate_limits import TokenBuckets, TokenRate
from pulsebase.access.shares import EVERYBODY, who_is
from pulsebase.model.errors import NewPeoplePoolError, NewPeopleShareError, TooManyNewPeopleError

_DAY_S = 86_400
_RESOURCE = "new people"


@dataclass(frozen=True, slots=True)
class NewcomerLimits:
    """How many new people all callers may bring a day, the part of them that one may, and the most of one request."""

    per_day: int = 100_000
    share: float = 0.25
    per_request: int = 10_000


class NewcomerShares:
    """What is left of the day's new people, for each caller and for all. Any thread may ask."""

    def __init__(self, limits: NewcomerLimits, clock_s: Callable[[], float] = time.monotonic) -> None:
        own = max(1, int(limits.per_day * limits.share))
        self._all = TokenBuckets(_RESOURCE, TokenRate(limits.per_day, limits.per_day / _DAY_S))
        self._each = TokenBuckets(_RESOURCE, TokenRate(own, own / _DAY_S))
        self._of_request = min(limits.per_request, own)
        self._clock_s = clock_s
        self._lock = threading.Lock()
        for reason in ("own", "all", "request"):
            telemetry.SHARES_REFUSED.labels(_RESOURCE, reason)

    def of(self, caller: Caller) -> Bringing | None:
        """What the request of a caller may bring; None for the owner, whom nothing is counted for."""
        if caller.principal is OWNER:
            return None
        if not isinstance(caller.bringing, Bringing):
            caller.bringing = Bringing(self, caller)
        return caller.bringing

    def most_of(self, caller: Caller) -> int:
        """How many one request may bring."""
        return int(self._all.rate.burst) if _has_all(caller) else self._of_request

    def take(self, bringing: Bringing, people: int) -> None:
        """See `Bringing.take`."""
        with self._lock:
            bringing.refuse_beyond_most(bringing.people + people)
            has_all = _has_all(bringing.caller)
            who, now_s = who_is(bringing.caller), self._clock_s()
            if not has_all:
                allowed, left = self._each.take(who, now_s, people)
                if not allowed:
                    telemetry.SHARES_REFUSED.labels(_RESOURCE, "own").inc()
                    raise NewPeopleShareError(
                        _said(people, left, "this key or address"), self._each.next_in_s(left, people)
                    )
            allowed, left = self._all.take(EVERYBODY, now_s, people)
            if not allowed:
                if not has_all:
                    self._each.give_back(who, people)
                telemetry.SHARES_REFUSED.labels(_RESOURCE, "all").inc()
                raise NewPeoplePoolError(_said(people, left, "all callers"), self._all.next_in_s(left, people))
            bringing.people += people

    def give_back(self, bringing: Bringing, people: int) -> None:
        """See `Bringing.give_back`."""
        with self._lock:
            bringing.people -= people
            self._all.give_back(EVERYBODY, people)
            if not _has_all(bringing.caller):
                self._each.give_back(who_is(bringing.caller), people)


class Bringing:
    """The new people of one request; an `ingest.newcomers.Allowance`."""

    __slots__ = ("_shares", "caller", "most", "people")

    def __init__(self, shares: NewcomerShares, caller: Caller) -> None:
        self._shares, self.caller = shares, caller
        #: How many it may bring, and how many it has brought so far.
        self.most, self.people = shares.most_of(caller), 0

    def refuse_beyond_most(self, people: int) -> None:
        """Raises `TooManyNewPeopleError` if these are more than one request may bring."""
        if people > self.most:
            telemetry.SHARES_REFUSED.labels(_RESOURCE, "request").inc()
            raise TooManyNewPeopleError(
                f"user_id: brings more than {self.most} people whom nobody knows yet, the most of one request"
            )

    def take(self, people: int) -> None:
        """See `Allowance.take`."""
        self._shares.take(self, people)

    def give_back(self, people: int) -> None:
        """See `Allowance.give_back`."""
        self._shares.give_back(self, people)


def _has_all(caller: Caller) -> bool:
    """Whether a caller may bring all that may come: with a key that may remove everybody, too, and from this machine
    where no key is needed.
    """
    principal = caller.principal
    return who_is(caller) == EVERYBODY or (
        principal.number > 0 and principal.people is None and principal.holds("admin")
    )


def _said(people: int, left: float, whose: str) -> str:
    known = "people whom nobody knows yet"
    return f"user_id: brings {people} {known}, of whom {whose} may bring {int(left)} now; nothing of this was stored"
