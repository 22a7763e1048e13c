"""A simulated OAuth 2.0 authorization server: codes with PKCE S256, bearer tokens, refresh, revocation."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import secrets
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from pulsebase.model.timerange import MINUTE_US, SECOND_US
from pulsebase.sources.simulators.world import World
from pulsebase.sources.synthetic import SyntheticPerson

_CODE_LIFE_US = 10 * MINUTE_US
_BODY_LIMIT_BYTES = 64 << 10
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How a vendor's tokens behave. Lifetimes are in seconds; a `refresh_life_s` of None means forever."""

    access_life_s: int
    single_use_refresh: bool
    refresh_life_s: int | None = None
    says_account: bool = False
    has_pkce: bool = True
    gives_refresh: bool = True
    account: str = "user_id"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is good for: the data of a person, as far as these scopes go."""

    person: SyntheticPerson
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Code:
    client_id: str
    redirect_uri: str
    challenge: str
    account: str
    scope: str
    expires_us: int


@dataclass(frozen=True, slots=True)
class _Grant:
    account: str
    scope: str
    number: int  # tokens of one consent share it
    granted_us: int
    expires_us: int


class AuthorizationServer:
    """The endpoints, and the lookup of the person behind a bearer token."""

    def __init__(self, world: World, rules: TokenRules) -> None:
        self._world, self._rules, self._lock = world, rules, threading.Lock()
        self._numbers = itertools.count()
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}

    def grant_of(self, request: Request) -> Grant | None:
        """Return whose bearer token the request has, and what for; None without a valid one."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        now_us = self._world.clock.now_us()
        with self._lock:
            grant = self._access.get(token) if kind.lower() == "bearer" else None
        if grant is None or grant.expires_us <= now_us or self._world.faults.hits("unauthorized", now_us, token):
            return None
        person = self._world.people.get(grant.account)
        return None if person is None else Grant(person, frozenset(grant.scope.split()))

    async def authorize(self, request: Request) -> Response:
        """Ask the person for consent. The page answers with `&person=…&answer=allow|deny`; a program may do so, too.
        With `&granted=…` they allow only these of the scopes.
        """
        asked = request.query_params
        fault = _authorization_fault(asked, has_pkce=self._rules.has_pkce)
        if fault:
            return HTMLResponse(f"<h1>This is no authorization request</h1><p>{html.escape(fault)}</p>", 400)
        if asked.get("person") not in self._world.people:
            return HTMLResponse(self._consent(request))
        back = {"state": asked["state"]} if "state" in asked else {}
        if asked.get("answer", "allow") != "allow":
            return _redirect(asked["redirect_uri"], {"error": "access_denied"} | back)
        code = secrets.token_urlsafe(24)
        expires_us = self._world.clock.now_us() + _CODE_LIFE_US
        with self._lock:
            self._codes[code] = _Code(
                asked["client_id"],
                asked["redirect_uri"],
                asked.get("code_challenge", ""),
                asked["person"],
                _granted(asked),
                expires_us,
            )
        return _redirect(asked["redirect_uri"], {"code": code} | back)

    async def token(self, request: Request) -> Response:
        """Issue tokens for a code or a refresh token."""
        now_us = self._world.clock.now_us()
        if self._world.faults.hits("token_error", now_us, "token"):
            return JSONResponse({"errors": [{"errorType": "system"}]}, 503)
        form = await _form(request)
        if form.get("grant_type") == "authorization_code":
            return self._for_code(form, now_us)
        if form.get("grant_type") == "refresh_token":
            return self._for_refresh(form, now_us)
        return _oauth_error("unsupported_grant_type")

    async def revoke(self, request: Request) -> Response:
        """Revoke a token and all others of the same grant."""
        token = (await _form(request)).get("token") or request.query_params.get("access_token", "")
        with self._lock:
            grant = self._refresh.get(token) or self._access.get(token)
            if grant is not None:
                for kept in (self._access, self._refresh):
                    for other in [key for key, value in kept.items() if value.number == grant.number]:
                        del kept[other]
        return JSONResponse({})

    def account_of(self, access: str) -> str:
        """Return whose access token this is."""
        with self._lock:
            return self._access[access].account

    def revoke_account(self, account: str) -> None:
        """Revoke all tokens of an account."""
        with self._lock:
            for kept in (self._access, self._refresh):
                for token in [key for key, value in kept.items() if value.account == account]:
                    del kept[token]

    def _for_code(self, form: Mapping[str, str], now_us: int) -> Response:
        with self._lock:
            code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.expires_us <= now_us:
            return _oauth_error("invalid_grant")
        if (form.get("client_id"), form.get("redirect_uri")) != (code.client_id, code.redirect_uri):
            return _oauth_error("invalid_grant")
        if self._rules.has_pkce and _s256(form.get("code_verifier", "")) != code.challenge:
            return _oauth_error("invalid_grant")
        return self._issued(code.account, code.scope, next(self._numbers), now_us, self._rules.gives_refresh)

    def _for_refresh(self, form: Mapping[str, str], now_us: int) -> Response:
        token = form.get("refresh_token", "")
        if self._world.faults.hits("refresh_refused", now_us, "refresh"):
            return _oauth_error("invalid_grant")
        with self._lock:
            single_use = self._rules.single_use_refresh
            grant = self._refresh.pop(token, None) if single_use else self._refresh.get(token)
        if grant is None or grant.expires_us <= now_us:
            return _oauth_error("invalid_grant")
        return self._issued(grant.account, grant.scope, grant.number, grant.granted_us, single_use)

    def _issued(self, account: str, scope: str, number: int, granted_us: int, with_refresh: bool) -> Response:
        rules, now_us = self._rules, self._world.clock.now_us()
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        never = 1 << 62
        with self._lock:
            self._access[access] = _Grant(account, scope, number, granted_us, now_us + rules.access_life_s * SECOND_US)
            if with_refresh:
                ends = never if rules.refresh_life_s is None else granted_us + rules.refresh_life_s * SECOND_US
                self._refresh[refresh] = _Grant(account, scope, number, granted_us, ends)
        body: dict[str, object] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": rules.access_life_s,
            "scope": scope,
        }
        if with_refresh:
            body["refresh_token"] = refresh
        if rules.says_account:
            body[rules.account] = account
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    def _consent(self, request: Request) -> str:
        links = "".join(
            f'<li>{html.escape(person.name)}: <a href="{_answer(request, person, "allow")}">allow</a>, '
            f'<a href="{_answer(request, person, "deny")}">deny</a></li>'
            for person in self._world.people.values()
        )
        scopes = html.escape(
            ", ".join(scope.rpartition("/")[2] for scope in request.query_params.get("scope", "").split())
        )
        return (
            "<!doctype html><title>Simulated consent</title><h1>Whose readings may be read?</h1>"
            f"<p>Asked for: {scopes}.<ul>{links}</ul>"
        )


def _answer(request: Request, person: SyntheticPerson, answer: str) -> str:
    query = dict(request.query_params) | {"person": person.user_id, "answer": answer}
    return html.escape(f"{request.url.path}?{urlencode(query)}")


def _granted(asked: Mapping[str, str]) -> str:
    """The scopes that the person allows, of those that were asked for."""
    scopes = asked.get("scope", "").replace(",", " ").split()
    return " ".join(scope for scope in scopes if scope in asked.get("granted", " ".join(scopes)).split())


def _authorization_fault(asked: Mapping[str, str], *, has_pkce: bool) -> str:
    for name in ("client_id", "redirect_uri", *(("code_challenge",) if has_pkce else ())):
        if not asked.get(name):
            return f"{name} is missing"
    if asked.get("response_type") != "code":
        return "response_type must be code"
    if has_pkce and asked.get("code_challenge_method") != "S256":
        return "code_challenge_method must be S256"
    if urlsplit(asked["redirect_uri"]).scheme not in ("http", "https"):
        return "redirect_uri must be an address"
    return ""


def _redirect(address: str, parameters: Mapping[str, str]) -> Response:
    mark = "&" if urlsplit(address).query else "?"
    return RedirectResponse(f"{address}{mark}{urlencode(parameters)}", 302)


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _BODY_LIMIT_BYTES:
            break
    return {name: values[0] for name, values in parse_qs(body[:_BODY_LIMIT_BYTES].decode("ascii", "replace")).items()}


def _s256(verifier: str) -> str:
    """Return the S256 code challenge of a verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _oauth_error(name: str) -> Response:
    return JSONResponse({"errors": [{"errorType": name, "message": name}], "error": name, "success": False}, 400)
