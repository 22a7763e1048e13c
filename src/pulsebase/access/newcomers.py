"""Limits on new people: how many ids that the store does not know yet a caller may add.

Each new person takes memory and disk space for good and is part of every question about everybody, and a body of two
megabytes can name a million of them. So there are three limits: one for each caller and one for all callers together,
which may be used up at once and refill evenly over a day, and one for a single request.
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
    """How many new people all callers together may add a day, the share of that for one caller, and the most that one
    request may add.
    """

    per_day: int = 100_000
    share: float = 0.25
    per_request: int = 10_000


class NewcomerShares:
    """Counts how many more new people each caller, and all callers together, may add. Thread-safe."""

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
        """Return the allowance of the caller's request; None for the owner, who has no limit."""
        if caller.principal is OWNER:
            return None
        if not isinstance(caller.bringing, Bringing):
            caller.bringing = Bringing(self, caller)
        return caller.bringing

    def most_of(self, caller: Caller) -> int:
        """Return how many new people one request of this caller may add."""
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

    __slots__ = ("_shares", "caller", "people")

    def __init__(self, shares: NewcomerShares, caller: Caller) -> None:
        self._shares, self.caller = shares, caller
        #: How many new people the request has added so far.
        self.people = 0

    @property
    def most(self) -> int:
        """How many new people the request may add. Worked out when asked: hardly any request brings somebody new."""
        return self._shares.most_of(self.caller)

    def refuse_beyond_most(self, people: int) -> None:
        """Raise `TooManyNewPeopleError` if these are more than one request may add."""
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
    """Whether a caller may use up the limit of all callers alone. An `admin` key for everybody may, since it could also
    remove everybody; and so may a caller from this machine where no key is needed.
    """
    principal = caller.principal
    return who_is(caller) == EVERYBODY or (
        principal.number > 0 and principal.people is None and principal.holds("admin")
    )


def _said(people: int, left: float, whose: str) -> str:
    known = "people whom nobody knows yet"
    return f"user_id: brings {people} {known}, of whom {whose} may bring {int(left)} now; nothing of this was stored"
