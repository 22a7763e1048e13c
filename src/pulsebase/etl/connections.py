"""Connect people to sources, and disconnect them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pulsebase.etl.state import Connection, SyncState
from pulsebase.etl.sync import RUN_LOCK
from pulsebase.files.locks import FolderLocks
from pulsebase.files.sealed import Seal, SealedFolder
from pulsebase.model.errors import PulsebaseError, RejectedError, RetryLaterError, SourceUnavailableError, after
from pulsebase.model.timerange import MINUTE_US, SECOND_US, zone_named
from pulsebase.model.users import User
from pulsebase.sources.cloud import Account
from pulsebase.sources.oauth import OAuthClient
from pulsebase.sources.tokens import Tokens
from pulsebase.stores.contract import Reader, Registry
from pulsebase.stores.erased_users import ErasedUsers

logger = logging.getLogger(__name__)

#: The lock held while a person is connected or forgotten.
_CONNECT_LOCK = "connect"
#: How long a person may take to give consent.
CONSENT_US = 10 * MINUTE_US
#: How many consents begun by the owner's commands may be open at once.
CONSENTS_LIMIT = 1_000


def consent_cookie(state: str) -> str:
    """Return the cookie name of a consent. Each has its own, since a browser may have several open."""
    return f"pulsebase_consent_{hashlib.sha256(state.encode()).hexdigest()[:16]}"


class Cloud(Protocol):
    """A source that people connect to."""

    oauth: OAuthClient

    def client(self, user_id: str, tokens: Tokens) -> Any:
        """Return a client for one person, with its own rate limit."""

    def describe(self, client: Any) -> Account:
        """Return the account that the person's tokens belong to."""

    def close(self) -> None:
        """Close the network connections."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An authorization that waits for its person: the address where they consent, and the OAuth state."""

    url: str
    state: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """A consent that continues in a browser: the address where the source asks the person, and the name `cookie` and
    value `kept` of the cookie that the browser keeps until it comes back.
    """

    url: str
    cookie: str
    kept: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A source that people can be connected to, at the address where they are asked; else why not."""

    source: str
    authorize_url: str | None = None
    missing: str | None = None


class Connections:
    """The connections of everybody to the clouds, and the clients that use them.

    `missing` says why a source is not configured, by its name.
    """

    def __init__(
        self,
        clouds: Mapping[str, Cloud],
        *,
        missing: Mapping[str, str],
        tokens: Tokens,
        pending: SealedFolder,
        seal: Seal,
        state: SyncState,
        locks: FolderLocks,
        people: tuple[Reader, Registry],
        now_us: Callable[[], int],
        erased_users: ErasedUsers,
    ) -> None:
        self._erased_users, self._seal = erased_users, seal
        self._clouds, self._missing, self._tokens, self._pending = clouds, missing, tokens, pending
        self._state, self._locks, self._now_us = state, locks, now_us
        self._reader, self._registry = people
        self._clients: dict[tuple[str, str], Any] = {}

    def sources(self) -> Sequence[Offer]:
        """Return every source there is: where it is asked for consent, or why it is not configured."""
        offered = [Offer(name, cloud.oauth.authorize_url) for name, cloud in self._clouds.items()]
        absent = [Offer(name, missing=reason) for name, reason in self._missing.items()]
        return sorted([*offered, *absent], key=lambda offer: offer.source)

    def client_of(self, source: str, user_id: str) -> Any:
        """Return the person's client, the same one each time, so that it keeps track of the rate limits."""
        key = (source, user_id)
        if key not in self._clients:
            self._clients[key] = self._clouds[source].client(user_id, self._tokens)
        return self._clients[key]

    def begin(self, user_id: str, source: str, redirect_uri: str) -> Begun:
        """Begin an authorization for the owner's command, which waits for the redirect itself. The state is valid once,
        for a limited time, and for this person alone.

        Raises:
            RejectedError: there is no such source, or it is not configured, or a person with that id was erased.
            RetryLaterError: too many consents are open.
        """
        oauth = self._cloud(source).oauth
        self._erased_users.refuse([user_id])
        state, verifier = secrets.token_urlsafe(32), oauth.new_verifier()
        expires_us = self._now_us() + CONSENT_US
        self._pending.remove_older((self._now_us() - CONSENT_US) / SECOND_US)
        if len(self._pending) >= CONSENTS_LIMIT:
            raise RetryLaterError("too many consents are under way", CONSENT_US // SECOND_US)
        self._pending.replace(json.dumps([user_id, verifier, redirect_uri, expires_us]).encode(), source, state)
        return Begun(oauth.authorization_url(state, verifier, redirect_uri), state)

    def finish(self, source: str, state: str, code: str | None, error: str | None) -> Connection:
        """Make the connection with what came back from the source. A new person is created if need be.

        Raises:
            RejectedError: the state is unknown, used or expired; the person said no; or the source refuses the code.
            SourceUnavailableError: the source cannot answer now; the person has to begin again.
        """
        self._cloud(source)
        kept = self._pending.take(source, state)
        if kept is None:
            raise RejectedError.of("state", "is unknown, was used before, or is too old; begin again")
        user_id, verifier, redirect_uri, expires_us = json.loads(kept)
        if expires_us <= self._now_us():
            raise RejectedError.of("state", "is too old; begin again")
        return self._connect(source, user_id, (verifier, redirect_uri), code, error)

    def ticket(self, user_id: str, source: str) -> str:
        """Return a ticket for use in an address: for a limited time, it carries the right to connect this person.
        Tickets are not stored, so that any number of them takes no space.

        Raises:
            RejectedError: there is no such source, or it is not configured, or a person with that id was erased.
        """
        self._cloud(source)
        self._erased_users.refuse([user_id])
        return self._seal.seal(json.dumps([user_id, self._now_us() + CONSENT_US]).encode(), "ticket", source)

    def offered(self, source: str, ticket: str) -> str:
        """Return the person whom a ticket connects.

        Raises:
            RejectedError: it is not a valid ticket, or too old.
        """
        self._cloud(source)
        said = self._seal.opened(ticket, "ticket", source)
        user_id, expires_us = json.loads(said) if said else ("", 0)
        if expires_us <= self._now_us():
            raise RejectedError.of("ticket", "is unknown or too old; begin again")
        return str(user_id)

    def agree(self, source: str, ticket: str, redirect_uri: str) -> Agreed:
        """Continue to the source, in the browser of a person who was shown whom this connects.

        Raises:
            RejectedError: see `offered`.
        """
        user_id, oauth = self.offered(source, ticket), self._cloud(source).oauth
        state, verifier = secrets.token_urlsafe(32), oauth.new_verifier()
        said = json.dumps([user_id, verifier, redirect_uri, self._now_us() + CONSENT_US]).encode()
        kept = self._seal.seal(said, "consent", source, state)
        return Agreed(oauth.authorization_url(state, verifier, redirect_uri), consent_cookie(state), kept)

    def come_back(self, source: str, state: str, kept: str | None, code: str | None, error: str | None) -> Connection:
        """Make the connection with what a browser brings back from the source, if the same browser went there.

        Raises:
            RejectedError, SourceUnavailableError: as `finish`.
        """
        self._cloud(source)
        said = None if kept is None else self._seal.opened(kept, "consent", source, state)
        if said is None:
            raise RejectedError.of("state", "is not of a consent that this browser began, or was used; begin again")
        user_id, verifier, redirect_uri, expires_us = json.loads(said)
        if expires_us <= self._now_us():
            raise RejectedError.of("state", "is too old; begin again")
        return self._connect(source, user_id, (verifier, redirect_uri), code, error)

    def _connect(
        self, source: str, user_id: str, began_with: tuple[str, str], code: str | None, error: str | None
    ) -> Connection:
        cloud = self._cloud(source)
        if error is not None or not code:
            raise RejectedError.of("code", "did not come: the source or the person said no")
        pair = cloud.oauth.exchange(code, *began_with)
        with self._locks.held(_CONNECT_LOCK, user_id):
            self._erased_users.refuse([user_id])
            was_connected = self._state.connection(user_id, source) is not None
            with after("no connection was made; begin again"):
                self._tokens.keep(user_id, source, pair)
            self._clients.pop((source, user_id), None)
            account = self._described(cloud, source, user_id)
            try:
                with after("no connection was made, though the person may be known from now on; begin again"):
                    self._note_person(user_id, account.time_zone)
                    self._state.connect(user_id, source, pair.account or account.account, self._now_us())
            except BaseException:
                if not was_connected:  # tokens without a connection would never be removed
                    with contextlib.suppress(PulsebaseError):
                        self._tokens.remove(user_id, source)
                raise
            with after("the connection was made all the same"):
                connection = self._state.connection(user_id, source)
        assert connection is not None
        return connection

    def disconnect(self, user_id: str, source: str) -> bool:
        """Revoke the tokens if the source can be reached, and remove them in any case. Return whether there was a
        connection.
        """
        connection = self._state.connection(user_id, source)
        self._state.disconnect(user_id, source)
        self._clients.pop((source, user_id), None)
        with after("nothing is brought any more; ask again, so that the tokens are forgotten too"):
            pair = self._tokens.remove(user_id, source)
        if pair is not None and source in self._clouds:
            try:
                self._clouds[source].oauth.revoke(pair)
            except PulsebaseError:
                logger.warning("the tokens of a connection to %s are forgotten; it could not be told so", source)
        return connection is not None or pair is not None

    @contextlib.contextmanager
    def forgotten(self, user_id: str) -> Iterator[None]:
        """Disconnect the person from every source and remove tokens, checkpoints and records of runs. During the block
        nothing is fetched for them and nobody can connect them.

        A running synchronisation fails at its next request, since the tokens are gone, and is waited for. Calling this
        again finishes what a crash left undone.
        """
        with contextlib.ExitStack() as held:
            held.enter_context(self._locks.held(_CONNECT_LOCK, user_id))
            sources = sorted({*self._clouds, *self._missing, *(each.source for each in self.of(user_id))})
            for source in sources:
                self.disconnect(user_id, source)
            for source in sources:
                held.enter_context(self._locks.held(RUN_LOCK, user_id, source))
            self._state.forget(user_id)  # only now, since runs that just ended have recorded their results
            yield

    def everybody(self) -> Sequence[str]:
        """Return the ids of everybody who is connected to a source."""
        return sorted({connection.user_id for connection in self._state.connections()})

    def scrub(self) -> None:
        """See `SyncState.scrub`. Tokens need no scrubbing: each is in a separate file, which was deleted."""
        self._state.scrub()

    def of(self, user_id: str) -> Sequence[Connection]:
        """Return the person's connections."""
        return self._state.connections(user_id)

    def close(self) -> None:
        """Close the clients of all clouds."""
        for cloud in self._clouds.values():
            cloud.close()

    def _cloud(self, source: str) -> Cloud:
        if source in self._clouds:
            return self._clouds[source]
        if source in self._missing:
            raise RejectedError.of("source", f"is not configured: {self._missing[source]}")
        raise RejectedError.of("source", f"must be {' or '.join(sorted({*self._clouds, *self._missing}))}")

    def _described(self, cloud: Cloud, source: str, user_id: str) -> Account:
        """Return the account. If the source is too busy to say, the valid tokens are kept, without an account."""
        try:
            return cloud.describe(self.client_of(source, user_id))
        except SourceUnavailableError as error:
            logger.warning("%s did not say who was connected: %s", source, error)
            return Account()

    def _note_person(self, user_id: str, time_zone: str | None) -> None:
        """Create the person if need be. A time zone that is already set stays."""
        known = self._reader.user(user_id)
        zone = time_zone
        if zone is not None:
            try:
                zone_named(zone)
            except RejectedError:
                zone = None
        if known is None:
            self._registry.put_user(User(user_id, time_zone=zone))
        elif known.time_zone is None and zone is not None:
            self._registry.put_user(replace(known, time_zone=zone))
