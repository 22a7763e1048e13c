"""The caller of the current request, available to all code that works for it, in any thread.

There is no default: where no caller is set, asking for one fails. Code that forgets to set one answers nothing, rather
than answering everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar

from pulsebase.access.keys import Principal
from pulsebase.ingest.newcomers import Allowance
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.readings import Ids

#: Longer columns are sorted out at once rather than kept.
_SHORT_ROWS = 4_096


class Caller:
    """Who asks, and whom the request has asked about so far."""

    __slots__ = ("address", "asked", "bringing", "everybody", "named", "principal")

    def __init__(self, principal: Principal, address: str = "") -> None:
        """`address` tells callers without a key apart; it is empty where that is not needed."""
        self.principal, self.address = principal, address
        self.asked: set[str] = set()
        #: Columns of people, which the audit evaluates later, so that the request does not wait for it.
        self.named: list[Ids] = []
        #: Whether the request asked about everybody its key is for.
        self.everybody = False
        #: The people nobody knew before whom the request brings, once it does.
        self.bringing: Allowance | None = None

    def reaches(self, user_id: str) -> bool:
        """Whether the caller may know of this person. The question is noted for the audit either way."""
        self.asked.add(user_id)
        return self.principal.reaches(user_id)

    def require(self, user_ids: Iterable[str]) -> None:
        """Raise `UnknownUserError`, just as for an unknown id, unless the caller may know of all these people."""
        for user_id in user_ids:
            if not self.reaches(user_id):
                raise UnknownUserError

    def require_all(self, ids: Ids) -> None:
        """As `require`, for the people of a column."""
        if self.principal.people is None:
            self.name(ids)
        else:
            self.require(ids.distinct())

    def name(self, ids: Sequence[str]) -> None:
        """Note that the people of a column were asked about."""
        if isinstance(ids, Ids) and len(ids) <= _SHORT_ROWS:
            self.named.append(ids)
        else:
            self.asked |= ids.distinct() if isinstance(ids, Ids) else set(ids)

    def ask_everybody(self) -> frozenset[str] | None:
        """Note a question about everybody. Return the people it covers, None for everybody without exception."""
        self.everybody = True
        return self.principal.people


_caller: ContextVar[Caller] = ContextVar("pulsebase_caller")
#: Sets the caller of what runs in this context, and what it starts.
set_caller = _caller.set


def caller() -> Caller:
    """Return the caller of the current request.

    Raises:
        LookupError: none is set, which is a programming error.
    """
    return _caller.get()
