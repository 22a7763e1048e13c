"""What the caller of a request may reach: shared by the authorized components."""

from __future__ import annotations

from pulsebase.access.caller import caller
from pulsebase.access.service import Access
from pulsebase.model.errors import UnknownUserError


def require_everybody_or(origin: int, access: Access) -> None:
    """Raises `UnknownUserError` unless the caller may undo what came by this origin."""
    if caller().ask_everybody() is None:
        return
    if origin not in access.state.imports_of(caller().principal.number):
        raise UnknownUserError
