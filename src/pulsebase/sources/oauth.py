"""OAuth 2.0 as a client: authorization code with PKCE (RFC 7636), refresh, revocation (RFC 7009).

oauthlib builds the requests, and `httpx` sends them. No error message repeats what a server said about a
token, since the answer may quote it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2 as httpx
from oauthlib.oauth2 import WebApplicationClient

from pulsebase.model.errors import ReconnectError, RejectedError, SettingsError, SourceUnavailableError
from pulsebase.model.timerange import SECOND_US
from pulsebase.sources.withings_status import unwrapped

#: The assumed lifetime in seconds of an access token that states none (RFC 6749 allows that).
_LIFE_S = 3_600
#: The longest lifetime believed, ten years.
_MOST_LIFE_S = 10 * 366 * 86_400
#: The length of a PKCE verifier; 43 to 128 characters are allowed.
_VERIFIER_LENGTH = 96
_CONNECT_AGAIN = "the source does not accept the stored tokens any more; connect again"
_TOKEN_IN_QUERY = "access_token"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _tells_no_token(record: logging.LogRecord) -> bool:
    """Whether a line of the HTTP client may be logged: it has the address, in which one vendor wants a token."""
    return _TOKEN_IN_QUERY not in record.getMessage()


logging.getLogger("httpx2").addFilter(_tells_no_token)


@dataclass(frozen=True, slots=True)
class Provider:
    """A source's authorization server, and the OAuth client registered there. `extra` is added to the authorization
    request. `revokes_access_in_query`: revocation is not that of RFC 7009, but takes the access token in the address.
    `by_action`: the server is Withings', which knows no PKCE, wants an `action` and the secret in the body, answers in
    envelopes, and takes a signature for revocation (`revoke_url` is where numbers for these are given).
    Without `has_refresh` access tokens live for years, none replaces them, and revocation is removing the account below
    `revoke_url`.
    """

    authorize_url: str
    token_url: str
    revoke_url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    scopes: tuple[str, ...]
    extra: Mapping[str, str] = field(default_factory=dict)
    revokes_access_in_query: bool = False
    by_action: bool = False
    has_pkce: bool = True
    has_refresh: bool = True


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token, its expiry (microseconds UTC), and the refresh token for the next one. Never printed."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_us: int
    account: str | None = None

    def to_bytes(self) -> bytes:
        """Return the pair as bytes, to be encrypted."""
        return json.dumps([self.access, self.refresh, self.expires_us, self.account]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> TokenPair:
        """Return the pair from decrypted bytes."""
        return cls(*json.loads(data))


def require_safe(url: str, name: str) -> None:
    """Require that tokens are sent over TLS, or only within this machine.

    Raises:
        SettingsError: the address allows neither; names the setting.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise SettingsError(f"{name}: must be an https address, or an http one on this machine")


class OAuthClient:
    """A client of one authorization server."""

    def __init__(self, provider: Provider, http: httpx.Client, now_us: Callable[[], int]) -> None:
        self._provider, self._http, self._now_us = provider, http, now_us

    @property
    def authorize_url(self) -> str:
        """The address at which people are asked, without anything of a single consent."""
        return self._provider.authorize_url

    @staticmethod
    def new_verifier() -> str:
        """Return a PKCE verifier for one authorization."""
        return str(WebApplicationClient("").create_code_verifier(_VERIFIER_LENGTH))

    def authorization_url(self, state: str, verifier: str, redirect_uri: str) -> str:
        """Return the address where the person grants or denies consent."""
        provider = self._provider
        client = WebApplicationClient(provider.client_id)
        # oauthlib refuses every http address; `require_safe` has already allowed only safe ones.
        written = client.prepare_request_uri(
            "https://placeholder.invalid/",
            redirect_uri=redirect_uri,
            scope=list(provider.scopes),
            state=state,
            **(_challenge(client, verifier) if provider.has_pkce else {}),
            **provider.extra,
        )
        return f"{provider.authorize_url}?{urlsplit(written).query}"

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> TokenPair:
        """Exchange the code that came back for the first pair of tokens.

        Raises:
            RejectedError: the server refuses the code.
            SourceUnavailableError: the server cannot answer now.
        """
        more = {"code_verifier": verifier} if self._provider.has_pkce else {}
        body = WebApplicationClient(self._provider.client_id).prepare_request_body(
            code=code, redirect_uri=redirect_uri, **more
        )
        answer = self._ask(self._provider.token_url, body)
        if answer.status_code != httpx.codes.OK:
            raise RejectedError.of("code", "was refused by the source")
        pair = self._pair(answer, None)
        if pair is None:
            raise RejectedError.of("code", "brought no tokens from the source")
        return pair

    def refresh(self, pair: TokenPair) -> TokenPair:
        """Return the next pair. If refresh tokens are single-use, the old one is used up when this returns.

        Raises:
            ReconnectError: the server no longer accepts the refresh token.
            SourceUnavailableError: the server cannot answer now.
        """
        if not pair.refresh:
            raise ReconnectError(_CONNECT_AGAIN)
        client = WebApplicationClient(self._provider.client_id)
        body = client.prepare_refresh_body(refresh_token=pair.refresh, client_id=self._provider.client_id)
        answer = self._ask(self._provider.token_url, body)
        fresh = self._pair(answer, pair) if answer.status_code == httpx.codes.OK else None
        if fresh is None:
            raise ReconnectError(_CONNECT_AGAIN)
        return fresh

    def revoke(self, pair: TokenPair) -> None:
        """Have the server revoke the pair.

        Raises:
            SourceUnavailableError: the server cannot answer now.
        """
        if self._provider.revokes_access_in_query:
            self._ask(str(httpx.URL(self._provider.revoke_url, params={_TOKEN_IN_QUERY: pair.access})), "")
            return
        if self._provider.by_action:
            self._revoke_signed(pair)
            return
        if not self._provider.has_refresh:
            self._remove_account(pair)
            return
        client = WebApplicationClient(self._provider.client_id)
        _, headers, body = client.prepare_token_revocation_request(
            "https://placeholder.invalid/", pair.refresh, token_type_hint="refresh_token"
        )
        self._ask(self._provider.revoke_url, body, headers)

    def _remove_account(self, pair: TokenPair) -> None:
        headers = {"Authorization": f"Bearer {pair.access}"}
        try:
            self._http.delete(f"{self._provider.revoke_url}/{quote(pair.account or '', safe='')}", headers=headers)
        except httpx.HTTPError as error:
            raise SourceUnavailableError(f"the source does not answer: {type(error).__name__}", 60) from None

    def _revoke_signed(self, pair: TokenPair) -> None:
        """Revoke by the account, with a signature that holds a number of the server's."""
        provider = self._provider
        asked = self._signed("getnonce", "timestamp", str(self._now_us() // SECOND_US))
        answer = self._ask(provider.revoke_url, urlencode(asked))
        with suppress(ValueError, KeyError, TypeError):
            signed = self._signed("revoke", "nonce", str(answer.json()["nonce"])) | {"userid": pair.account or ""}
            self._ask(provider.token_url, urlencode(signed))

    def _signed(self, action: str, name: str, value: str) -> dict[str, str]:
        client_id, secret = self._provider.client_id, self._provider.client_secret or ""
        text = f"{action},{client_id},{value}"
        signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return {"action": action, "client_id": client_id, name: value, "signature": signature}

    def _ask(self, url: str, body: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        provider = self._provider
        secret = provider.client_secret
        auth = httpx.BasicAuth(provider.client_id, secret) if secret else httpx.USE_CLIENT_DEFAULT
        if provider.by_action:
            auth = httpx.USE_CLIENT_DEFAULT
            if url == provider.token_url and "signature=" not in body:
                body = f"{body}&{urlencode({'action': 'requesttoken', 'client_secret': secret or ''})}"
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        try:
            answer = self._http.post(url, content=body, headers=kind | dict(headers or {}), auth=auth)
        except httpx.HTTPError as error:
            raise SourceUnavailableError(f"the source does not answer: {type(error).__name__}", 60) from None
        if provider.by_action:
            answer = unwrapped(answer)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.status_code >= 500:
            raise SourceUnavailableError(f"the source answered {answer.status_code} when asked for tokens", 60)
        return answer

    def _pair(self, answer: httpx.Response, before: TokenPair | None) -> TokenPair | None:
        """Return the pair in an answer, or None. A server that does not rotate refresh tokens sends none, so the old
        one is kept.
        """
        try:
            said: dict[str, Any] = answer.json()
            refresh = said.get("refresh_token") or (before.refresh if before else None)
            life_s = min(max(int(said.get("expires_in", _LIFE_S)), 0), _MOST_LIFE_S)
            stated = said.get("user_id") or said.get("userid") or said.get("x_user_id")
            account = str(stated) if stated else (before.account if before else None)
            if (self._provider.has_refresh and not refresh) or not said["access_token"]:
                return None
            return TokenPair(
                str(said["access_token"]), str(refresh or ""), self._now_us() + life_s * SECOND_US, account
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None


def _challenge(client: WebApplicationClient, verifier: str) -> dict[str, str]:
    return {"code_challenge": client.create_code_challenge(verifier, "S256"), "code_challenge_method": "S256"}
