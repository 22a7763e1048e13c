"""The caller of the request at hand, known to whatever works for it, in whichever thread.

Nothing here has a default: where no caller is set, asking for one fails, so what forgets to say for whom it works
answers nothing.
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
        """`address` tells callers apart who have no key; empty for those who need not be told apart."""
        self.principal, self.address = principal, address
        self.asked: set[str] = set()
        #: The people of whole columns, which are sorted out later, off the request's way.
        self.named: list[Ids] = []
        #: Whether it asked about everybody its key is for.
        self.everybody = False
        #: The people nobody knew before whom the request brings, once it does.
        self.bringing: Allowance | None = None

    def reaches(self, user_id: str) -> bool:
        """Whether the caller may know of this person. That they asked is noted either way."""
        self.asked.add(user_id)
        return self.principal.reaches(user_id)

    def require(self, user_ids: Iterable[str]) -> None:
        """Raises `UnknownUserError`, as for somebody nobody knows, unless the caller may know of all of them."""
        for user_id in user_ids:
            if not self.reaches(user_id):
                raise UnknownUserError

    def require_all(self, ids: Ids) -> None:
        """`require`, for the people of a column."""
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
        """The people that a question about everybody is about; None if it really is everybody."""
        self.everybody = True
        return self.principal.people


_caller: ContextVar[Caller] = ContextVar("pulsebase_caller")
#: Sets the caller of what runs in this context, and what it starts.
set_caller = _caller.set


def caller() -> Caller:
    """The caller of the request at hand.

    Raises:
        LookupError: there is none, which is a fault.
    """
    return _caller.get()
