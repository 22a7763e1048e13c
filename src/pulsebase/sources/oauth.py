"""OAuth 2.0 as a client: authorization code with PKCE (RFC 7636), refresh, revocation (RFC 7009).

oauthlib writes the requests; what they are sent over is ours. No message here repeats what a server said about a
token, since such answers may quote it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
from oauthlib.oauth2 import WebApplicationClient

from pulsebase.model.errors import ReconnectError, RejectedError, SettingsError, SourceUnavailableError
from pulsebase.model.timerange import SECOND_US

#: What is assumed of an access token that does not say how long it lives (RFC 6749 leaves it open), seconds.
_LIFE_S = 3_600
#: Tokens that are said to live longer are renewed after ten years.
_MOST_LIFE_S = 10 * 366 * 86_400
#: Characters of a PKCE verifier; 43 to 128 are allowed.
_VERIFIER_LENGTH = 96
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a source's authorization server is, and who we are there. `extra` goes into the authorization request."""

    authorize_url: str
    token_url: str
    revoke_url: str
    client_id: str
    client_secret: str | None = field(repr=False)
    scopes: tuple[str, ...]
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token, when it expires (microseconds UTC), and what gets the next one. Never shown."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_us: int
    account: str | None = None

    def to_bytes(self) -> bytes:
        """The pair for sealing."""
        return json.dumps([self.access, self.refresh, self.expires_us, self.account]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> TokenPair:
        """The pair that was sealed."""
        return cls(*json.loads(data))


def require_safe(url: str, name: str) -> None:
    """Tokens travel over TLS, or do not leave this machine.

    Raises:
        SettingsError: neither holds of this address; names the setting.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise SettingsError(f"{name}: must be an https address, or an http one on this machine")


class OAuthClient:
    """What can be asked of one authorization server."""

    def __init__(self, provider: Provider, http: httpx.Client, now_us: Callable[[], int]) -> None:
        self._provider, self._http, self._now_us = provider, http, now_us

    @staticmethod
    def new_verifier() -> str:
        """A PKCE verifier for one authorization."""
        return str(WebApplicationClient("").create_code_verifier(_VERIFIER_LENGTH))

    def authorization_url(self, state: str, verifier: str, redirect_uri: str) -> str:
        """Where the person says yes or no."""
        provider = self._provider
        client = WebApplicationClient(provider.client_id)
        # oauthlib refuses every http address; which of them are safe was decided by `require_safe`.
        written = client.prepare_request_uri(
            "https://placeholder.invalid/",
            redirect_uri=redirect_uri,
            scope=list(provider.scopes),
            state=state,
            code_challenge=client.create_code_challenge(verifier, "S256"),
            code_challenge_method="S256",
            **provider.extra,
        )
        return f"{provider.authorize_url}?{urlsplit(written).query}"

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> TokenPair:
        """The first pair, for the code that came back.

        Raises:
            RejectedError: the server refuses the code.
            SourceUnavailableError: the server cannot answer now.
        """
        body = WebApplicationClient(self._provider.client_id).prepare_request_body(
            code=code, redirect_uri=redirect_uri, code_verifier=verifier
        )
        answer = self._ask(self._provider.token_url, body)
        if answer.status_code != httpx.codes.OK:
            raise RejectedError.of("code", "was refused by the source")
        pair = self._pair(answer, None)
        if pair is None:
            raise RejectedError.of("code", "brought no tokens from the source")
        return pair

    def refresh(self, pair: TokenPair) -> TokenPair:
        """The next pair. Where refresh tokens are single-use, the old one is spent when this returns.

        Raises:
            ReconnectError: the server does not take the refresh token any more.
            SourceUnavailableError: the server cannot answer now.
        """
        client = WebApplicationClient(self._provider.client_id)
        body = client.prepare_refresh_body(refresh_token=pair.refresh, client_id=self._provider.client_id)
        answer = self._ask(self._provider.token_url, body)
        fresh = self._pair(answer, pair) if answer.status_code == httpx.codes.OK else None
        if fresh is None:
            raise ReconnectError("the source does not accept the stored tokens any more; connect again")
        return fresh

    def revoke(self, pair: TokenPair) -> None:
        """Tell the server to forget the pair.

        Raises:
            SourceUnavailableError: the server cannot answer now.
        """
        client = WebApplicationClient(self._provider.client_id)
        _, headers, body = client.prepare_token_revocation_request(
            "https://placeholder.invalid/", pair.refresh, token_type_hint="refresh_token"
        )
        self._ask(self._provider.revoke_url, body, headers)

    def _ask(self, url: str, body: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        provider = self._provider
        secret = provider.client_secret
        auth = httpx.BasicAuth(provider.client_id, secret) if secret else httpx.USE_CLIENT_DEFAULT
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        try:
            answer = self._http.post(url, content=body, headers=kind | dict(headers or {}), auth=auth)
        except httpx.HTTPError as error:
            raise SourceUnavailableError(f"the source does not answer: {type(error).__name__}", 60) from None
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.status_code >= 500:
            raise SourceUnavailableError(f"the source answered {answer.status_code} when asked for tokens", 60)
        return answer

    def _pair(self, answer: httpx.Response, before: TokenPair | None) -> TokenPair | None:
        """The pair in an answer, or None if there is none. A server that does not rotate sends no refresh token."""
        try:
            said: dict[str, Any] = answer.json()
            refresh = said.get("refresh_token") or (before.refresh if before else None)
            life_s = min(max(int(said.get("expires_in", _LIFE_S)), 0), _MOST_LIFE_S)
            account = said.get("user_id") or (before.account if before else None)
            if not refresh or not said["access_token"]:
                return None
            return TokenPair(str(said["access_token"]), str(refresh), self._now_us() + life_s * SECOND_US, account)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None
