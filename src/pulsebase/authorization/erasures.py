"""Erasures, as the caller of a request may ask for them."""

from __future__ import annotations

from collections.abc import Sequence

from pulsebase.access.caller import caller
from pulsebase.authorization.streams import AuthorizedStreams
from pulsebase.lifecycle.erasures import Erasures
from pulsebase.stores.erasures import Erasure


class AuthorizedErasures:
    """Erasing people in the caller's reach."""

    def __init__(self, inner: Erasures, streams: AuthorizedStreams) -> None:
        self._inner, self._streams = inner, streams
        self.changing = inner.changing

    def erase(self, user_id: str) -> Erasure:
        """See `Erasures.erase`."""
        caller().require([user_id])
        erasure = self._inner.erase(user_id)
        self._streams.tell_changed(user_id)
        return erasure

    def allow(self, user_id: str) -> None:
        """See `Erasures.allow`."""
        caller().require([user_id])
        self._inner.allow(user_id)

    def find(self, erasure_id: str) -> Erasure | None:
        """See `Erasures.find`. A receipt says of nobody whose it is; who has its id was given it."""
        return self._inner.find(erasure_id)

    def receipts(self) -> Sequence[Erasure]:
        """See `Erasures.receipts`. How many there are is nothing for a caller for some people."""
        return self._inner.receipts() if caller().ask_everybody() is None else ()
