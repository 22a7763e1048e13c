"""API keys: what one looks like, what it is good for, and who stands behind a request that has one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pulsebase.model.errors import RejectedError
from pulsebase.model.identifiers import identifier_problem, text_problem

#: `ingest`: send readings and connect sources. `read`: ask. `admin`: all of it, change and remove people, read the
#: trail. `metrics`: the metrics alone, for whoever watches the server and need not see a reading. `aggregate`: what
#: groups come to, for whoever studies many and need not see anybody.
Scope = Literal["ingest", "read", "admin", "metrics", "aggregate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

#: Smaller groups are not told of to a key for aggregates.
LEAST_GROUP_PEOPLE = 10
#: The most people one key is for; who needs more has a key for everybody.
MOST_PEOPLE = 1_000
_PREFIX = "pulsebase"
_SECRET_BYTES = 32
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: everything but the key itself. Times in microseconds UTC.

    `people` are the only ones it is for, which may be none any more; None is everybody.
    """

    number: int
    name: str
    scopes: frozenset[Scope]
    people: frozenset[str] | None
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None

    def good_at(self, now_us: int) -> bool:
        """Whether it opens anything then."""
        return self.revoked_us is None and (self.expires_us is None or now_us < self.expires_us)


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """Who a request comes from. `number` is the key's, `OWNER` or `OPEN` where there is none."""

    number: int
    name: str
    scopes: frozenset[Scope]
    people: frozenset[str] | None = None
    expires_us: int | None = None

    def holds(self, scope: Scope) -> bool:
        """Whether it may do what takes this scope. `admin` takes in the others, `read` takes in `aggregate`; metrics
        count everybody's readings.
        """
        if scope == "metrics" and self.people is not None:
            return False
        if scope == "aggregate" and "read" in self.scopes:
            return True
        return scope in self.scopes or "admin" in self.scopes

    def reaches(self, user_id: str) -> bool:
        """Whether it may know of this person."""
        return self.people is None or user_id in self.people


_EVERYTHING: frozenset[Scope] = frozenset(SCOPES)
#: Whoever comes by the owner's socket.
OWNER = Principal(0, "owner", _EVERYTHING)
#: Everybody, where access is off.
ANYBODY = Principal(-1, "anybody", _EVERYTHING)
#: Who shows no key where one is asked for.
NOBODY = Principal(-2, "nobody", frozenset(), frozenset())


def key_of_nobody(number: int) -> str:
    """What a key is called once the person it was named after was erased; no other can be called so, for the blank."""
    return f"key {number}"


def new_key() -> str:
    """A key nobody can guess: 256 random bits, behind a word that tells scanners of leaked secrets what it is."""
    return f"{_PREFIX}_{secrets.token_hex(_SECRET_BYTES)}"


def hash_of(key: bytes) -> bytes:
    """What is kept of a key.

    One round of SHA-256, unsalted, on purpose: slow and salted hashes protect what people choose, which can be guessed
    from lists. Of 256 random bits there is no list, and this runs for every request.
    """
    return hashlib.sha256(key).digest()


def checked_wish(
    name: str, scopes: Collection[str], people: Sequence[str] | None
) -> tuple[frozenset[Scope], frozenset[str] | None]:
    """The scopes and people of a key that somebody asks for.

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
    ):  # who sends readings could fill a group up until it has one other
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
