"""Keys that the caller of a request may make for others."""

from __future__ import annotations

from collections.abc import Sequence

from pulsebase.access.caller import caller
from pulsebase.access.keys import Key
from pulsebase.access.service import Access, KeyRequest, create_key
from pulsebase.model.errors import UnknownUserError


class AuthorizedKeys:
    """Makes keys that send readings and open nothing else, for people in the caller's reach."""

    def __init__(self, access: Access) -> None:
        self._access = access

    @property
    def enforced(self) -> bool:
        """Whether a key is needed at all."""
        return self._access.enforced

    def make(self, name: str, people: Sequence[str] | None) -> tuple[Key, str]:
        """See `access.service.create_key`. The key has the scope `ingest`, and this process takes it at once.

        Raises:
            RejectedError: names the field of the request that is wrong.
            UnknownUserError: the key would be for somebody out of reach.
        """
        asking = caller()
        if people is not None:
            asking.require(people)
        elif asking.ask_everybody() is not None:
            raise UnknownUserError
        made = create_key(self._access.state, KeyRequest(name, ["ingest"], people))
        self._access.ring.refresh()
        return made
