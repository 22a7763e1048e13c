"""The tokens of all connections: stored encrypted, and refreshed by one caller at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulsebase.files.locks import FolderLocks
from pulsebase.files.sealed import SealedFolder
from pulsebase.model.errors import ReconnectError
from pulsebase.model.timerange import SECOND_US
from pulsebase.sources.oauth import OAuthClient, TokenPair

#: An access token this close to its expiry is not used any more, since the request takes some time.
_MARGIN_US = 60 * SECOND_US


class Tokens:
    """One pair of tokens for each person and source.

    A refresh token may be valid for one use only. So only one caller in all processes refreshes a person's pair at a
    time, and the new pair is on the disk before anybody uses it, so that a crash in between loses nothing.
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
        """Store the pair in place of any other."""
        with self._locks.held("tokens", user_id, source):
            self._sealed.replace(pair.to_bytes(), source, user_id)

    def access(self, user_id: str, source: str, refused: str | None = None) -> str:
        """Return an access token that is valid now and is not the one that the source just `refused`.

        Raises:
            ReconnectError: there is none, and the person has to connect again to get one.
            SourceUnavailableError: the authorization server cannot answer now.
            StopError: the stored pair cannot be read.
        """
        pair = self._usable(user_id, source, refused)
        if pair is not None:
            return pair.access
        with self._locks.held("tokens", user_id, source):
            pair = self._usable(user_id, source, refused)  # another caller may have refreshed it meanwhile
            if pair is not None:
                return pair.access
            stored = self._stored(user_id, source)
            if not stored.refresh and stored.expires_us - _MARGIN_US > self._now_us():
                return stored.access  # none replaces it, so it is tried once more
            fresh = self._oauth[source].refresh(self._stored(user_id, source))
            self._sealed.replace(fresh.to_bytes(), source, user_id)
            return fresh.access

    def remove(self, user_id: str, source: str) -> TokenPair | None:
        """Remove the pair and return it, to be revoked; None if there is none, or it cannot be read."""
        with self._locks.held("tokens", user_id, source):
            try:
                return self._stored(user_id, source)
            except Exception:  # with the wrong key, for instance: an unreadable pair can still be removed
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
