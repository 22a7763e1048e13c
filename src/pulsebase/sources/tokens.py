"""The tokens of everybody's connections: kept sealed, refreshed by one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulsebase.files.locks import FolderLocks
from pulsebase.files.sealed import SealedFolder
from pulsebase.model.errors import ReconnectError
from pulsebase.model.timerange import SECOND_US
from pulsebase.sources.oauth import OAuthClient, TokenPair

#: An access token is not used any more so shortly before it expires: a request takes its time.
_MARGIN_US = 60 * SECOND_US


class Tokens:
    """One pair a person and source.

    A refresh token may be good for one use. So one caller at a time refreshes a person's pair, in whatever process,
    and the new pair is on the disk before anybody uses it: whoever dies in between loses nothing.
    """

    def __init__(
        self,
        sealed: SealedFolder,
        locks: FolderLocks,
        oauth: Mapping[str, OAuthClient],
        now_us: Callable[[], int],
    ) -> None:
        self._sealed, self._locks, self._oauth, self._now_us = sealed, locks, oauth, now_us

    def keep(self, user_id: str, source: str, pair: TokenPair) -> None:
        """Keep the pair in place of any other."""
        with self._locks.held("tokens", user_id, source):
            self._sealed.replace(pair.to_bytes(), source, user_id)

    def access(self, user_id: str, source: str, refused: str | None = None) -> str:
        """An access token that is good by now; not the one that the source just refused.

        Raises:
            ReconnectError: there is none, and none can be had without the person.
            SourceUnavailableError: the authorization server cannot answer now.
            StopError: the stored pair cannot be read.
        """
        pair = self._usable(user_id, source, refused)
        if pair is not None:
            return pair.access
        with self._locks.held("tokens", user_id, source):
            pair = self._usable(user_id, source, refused)  # somebody else may have been at it
            if pair is not None:
                return pair.access
            fresh = self._oauth[source].refresh(self._stored(user_id, source))
            self._sealed.replace(fresh.to_bytes(), source, user_id)
            return fresh.access

    def remove(self, user_id: str, source: str) -> TokenPair | None:
        """Forget the pair, and give it to be revoked; None if there is none, or none that can be read."""
        with self._locks.held("tokens", user_id, source):
            try:
                return self._stored(user_id, source)
            except Exception:  # also with the wrong key: what cannot be read can still be removed
                return None
            finally:
                self._sealed.remove(source, user_id)

    def _usable(self, user_id: str, source: str, refused: str | None) -> TokenPair | None:
        pair = self._stored(user_id, source)
        return pair if pair.expires_us - _MARGIN_US > self._now_us() and pair.access != refused else None

    def _stored(self, user_id: str, source: str) -> TokenPair:
        data = self._sealed.read(source, user_id)
        if data is None:
            raise ReconnectError("there is no connection; connect first")
        return TokenPair.from_bytes(data)
