"""Access control: look up the key of a request, apply rate limits, and keep the audit."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from pulsebase.access.access_file import AccessFile
from pulsebase.access.audit import AuditThread, AuditTrail
from pulsebase.access.keys import Key, Principal, Scope, checked_wish, hash_of, new_key
from pulsebase.access.rate_limits import TokenBuckets, TokenRate
from pulsebase.model.errors import RejectedError

logger = logging.getLogger(__name__)

#: A full bucket holds as many requests as are allowed in this time.
_BURST_S = 10
_MINUTE_S = 60
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How many requests a second one key and one address may send, and how many wrong keys a minute one address may."""

    key_per_s: float = 200
    address_per_s: float = 400
    failures_per_min: float = 30
    #: How many questions an `aggregate` key may ask per UTC day.
    questions_per_day: int = 200


@dataclass(slots=True)
class KeyRing:
    """All keys that are not revoked, in memory by hash. `refresh` picks up changes made to the file since."""

    state: AccessFile
    _by_hash: dict[bytes, tuple[bytes, Principal]] = field(init=False, default_factory=dict)
    _changes: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Read the keys again if any of them changed."""
        changes = self.state.changes()
        if changes == self._changes:
            return
        found = {}
        for key_hash, key in self.state.all_keys():
            if key.revoked_us is None:
                principal = Principal(key.number, key.name, key.scopes, key.people, key.expires_us)
                found[key_hash] = key_hash, principal
        self._by_hash, self._changes = found, changes

    def has(self, number: int, now_us: int) -> bool:
        """Whether the key of this number is in use."""
        kept = [principal for _, principal in self._by_hash.values() if principal.number == number]
        return any(each.expires_us is None or now_us < each.expires_us for each in kept)

    def numbered(self, number: int, now_us: int) -> Principal | None:
        """Return the principal of the key of this number; None if the key is unknown, revoked or expired."""
        kept = next((principal for _, principal in self._by_hash.values() if principal.number == number), None)
        return kept if kept is not None and (kept.expires_us is None or now_us < kept.expires_us) else None

    def principal(self, key: bytes, now_us: int) -> Principal | None:
        """Return the principal of this key; None if the key is unknown, revoked or expired."""
        shown = hash_of(key)
        kept = self._by_hash.get(shown)
        if kept is None or not hmac.compare_digest(kept[0], shown):
            return None
        principal = kept[1]
        return principal if principal.expires_us is None or now_us < principal.expires_us else None


class Access:
    """Access control for the HTTP border. Unless `enforced`, everybody may do everything and nothing is audited."""

    def __init__(
        self,
        state: AccessFile,
        limits: RequestLimits,
        kept_days: int,
        known: Callable[[str], bool],
        now_us: Callable[[], int],
        *,
        enforced: bool,
    ) -> None:
        self.state, self.enforced = state, enforced
        self._questions_per_day = limits.questions_per_day
        self.ring = KeyRing(state)
        self._now_us = now_us
        self.audit = AuditTrail(state, kept_days, known, now_us)
        self.keys = TokenBuckets("key", TokenRate(limits.key_per_s * _BURST_S, limits.key_per_s))
        self.addresses = TokenBuckets("address", TokenRate(limits.address_per_s * _BURST_S, limits.address_per_s))
        self.failures = TokenBuckets(
            "wrong-keys", TokenRate(limits.failures_per_min, limits.failures_per_min / _MINUTE_S)
        )
        self._thread = AuditThread(self.audit, self.ring.refresh)

    @property
    def works(self) -> bool:
        """Whether the audit is written and changed keys are noticed."""
        return self._thread.alive

    def still_takes(self, principal: Principal) -> bool:
        """Whether the key of this caller is still valid. Checked again and again while a long answer is sent."""
        return principal.number <= 0 or self.ring.has(principal.number, self._now_us())

    def people_of(self, number: int) -> tuple[frozenset[str] | None] | None:
        """Return whom the key of this number may see, everybody for None; nothing at all if it is no longer valid. 0 or
        less stands for callers without a key, see `Principal`.
        """
        if number <= 0:
            return (None,)
        principal = self.ring.numbered(number, self._now_us())
        return None if principal is None else (principal.people,)

    def ask(self, principal: Principal) -> tuple[int | None, int]:
        """Count one question of an `aggregate` key. Return how many are left today (None if none was left to take), and
        the seconds until the count starts anew. The count outlives restarts and is shared by all processes.

        Raises:
            StoreUnavailableError: it cannot be counted now.
        """
        day, in_day_us = divmod(self._now_us(), _DAY_US)
        left = self.state.ask(principal.number, day, self._questions_per_day)
        return left, (_DAY_US - in_day_us) // 1_000_000 + 1

    def close(self) -> None:
        """Write the rest of the audit and close the file."""
        self._thread.close()
        self.state.close()


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A key that somebody asks for; without `people` it is for everybody. `expires_us` in microseconds UTC."""

    name: str
    scopes: Collection[str]
    people: Sequence[str] | None = None
    expires_us: int | None = None


def create_key(state: AccessFile, wish: KeyRequest, now_us: int | None = None) -> tuple[Key, str]:
    """Store a new key. Return its stored record, and the key itself, which cannot be shown again.

    Raises:
        RejectedError: names the field of the request that is wrong.
    """
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    scopes, people = checked_wish(wish.name, wish.scopes, wish.people)
    if wish.expires_us is not None and wish.expires_us <= now_us:
        raise RejectedError.of("expires", "must lie ahead")
    key = new_key()
    kept: frozenset[Scope] = scopes
    return state.add_key(wish.name, hash_of(key.encode()), kept, people, now_us, wish.expires_us), key
