"""API keys: their form, their scopes, and the principal that a request with a key stands for."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pulsebase.model.errors import RejectedError
from pulsebase.model.identifiers import identifier_problem, text_problem

#: `ingest`: send readings and connect sources. `read`: ask questions. `admin`: everything, including changing and
#: removing people and reading the audit. `metrics`: the metrics alone, for monitoring, which need not see a reading.
#: `aggregate`: figures of groups alone, for studies, which need not see any single person.
Scope = Literal["ingest", "read", "admin", "metrics", "aggregate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

#: An `aggregate` key gets no figures about smaller groups.
LEAST_GROUP_PEOPLE = 10
#: The most people that one key may be limited to; for more, make a key for everybody.
MOST_PEOPLE = 1_000
_PREFIX = "pulsebase"
_SECRET_BYTES = 32
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is stored: everything but the key itself. Times are microseconds UTC.

    The key is for `people` alone; an empty set means that all of them were removed, None means everybody.
    """

    number: int
    name: str
    scopes: frozenset[Scope]
    people: frozenset[str] | None
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None

    def good_at(self, now_us: int) -> bool:
        """Whether the key is valid at this time."""
        return self.revoked_us is None and (self.expires_us is None or now_us < self.expires_us)


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """Who a request comes from. `number` is the key's number; without a key it is 0 or less (`OWNER`, `ANYBODY`,
    `NOBODY`).
    """

    number: int
    name: str
    scopes: frozenset[Scope]
    people: frozenset[str] | None = None
    expires_us: int | None = None

    def holds(self, scope: Scope) -> bool:
        """Whether the principal has this scope. `admin` includes all others, `read` includes `aggregate`. A key for
        some people never has `metrics`, since metrics count everybody's readings.
        """
        if scope == "metrics" and self.people is not None:
            return False
        if scope == "aggregate" and "read" in self.scopes:
            return True
        return scope in self.scopes or "admin" in self.scopes

    def reaches(self, user_id: str) -> bool:
        """Whether the principal may know of this person."""
        return self.people is None or user_id in self.people


_EVERYTHING: frozenset[Scope] = frozenset(SCOPES)
#: Requests over the owner's socket.
OWNER = Principal(0, "owner", _EVERYTHING)
#: Requests over the network while access control is off.
ANYBODY = Principal(-1, "anybody", _EVERYTHING)
#: Requests without a valid key while access control is on.
NOBODY = Principal(-2, "nobody", frozenset(), frozenset())
#: Messages of the MQTT broker, which says itself who may publish.
BROKER = Principal(-3, "mqtt-broker", frozenset({"ingest"}))


def key_of_nobody(number: int) -> str:
    """Return the name of a key whose own name revealed an erased person. The space in it keeps it unique: names that
    people choose have none.
    """
    return f"key {number}"


def new_key() -> str:
    """Return a new key: 256 random bits after a prefix by which scanners for leaked secrets recognize it."""
    return f"{_PREFIX}_{secrets.token_hex(_SECRET_BYTES)}"


def hash_of(key: bytes) -> bytes:
    """Return the hash under which a key is stored.

    It is one round of unsalted SHA-256 on purpose. Slow, salted hashes protect secrets that people choose, which can be
    guessed from lists. There is no list of 256 random bits, and this runs for every request.
    """
    return hashlib.sha256(key).digest()


def checked_wish(
    name: str, scopes: Collection[str], people: Sequence[str] | None
) -> tuple[frozenset[Scope], frozenset[str] | None]:
    """Check a request for a new key and return its scopes and people.

    Raises:
        RejectedError: names what is wrong.
    """
    problem = text_problem(name)
    if problem is not None or len(name) > _LONGEST_NAME:
        raise RejectedError.of("name", problem or f"may have at most {_LONGEST_NAME} characters")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise RejectedError.of("scope", f"must be one of {', '.join(SCOPES)}, once or more")
    if (
        "aggregate" in scopes and len(set(scopes)) > 1
    ):  # with `ingest`, made-up people could fill a group until it hides a single real one
        raise RejectedError.of("scope", "aggregate stands alone: with another right, groups would hide nobody")
    if people is None:
        return frozenset(scope for scope in SCOPES if scope in scopes), None
    for user_id in people:
        problem = identifier_problem(user_id)
        if problem is not None:
            raise RejectedError.of("user", problem)
    if not 1 <= len(set(people)) <= MOST_PEOPLE:
        raise RejectedError.of("user", f"a key is for 1 to {MOST_PEOPLE} people, or for everybody")
    if "aggregate" in scopes and len(set(people)) < LEAST_GROUP_PEOPLE:
        raise RejectedError.of(
            "user", f"groups have {LEAST_GROUP_PEOPLE} people or more; with fewer there is no answer"
        )
    if "metrics" in scopes:
        raise RejectedError.of("scope", "metrics are of everybody; a key for some people cannot have them")
    return frozenset(scope for scope in SCOPES if scope in scopes), frozenset(people)
