"""The outermost layer of every request: request id, Host and Origin check, authentication, headers, metrics, audit."""

from __future__ import annotations

import ipaddress
import logging
import random
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from urllib.parse import urlsplit

from fastapi import Request, Response
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulsebase import telemetry, tracing
from pulsebase.access.caller import Caller, set_caller
from pulsebase.access.scopes import need_of
from pulsebase.access.service import Access
from pulsebase.api.border.authentication import Authenticator, Header, told_apart_by
from pulsebase.api.border.connection_limits import ConnectionRefusals
from pulsebase.api.border.problems import ProblemError, answered, problem
from pulsebase.api.border.request_scope import HEAD_MARK, came_by_socket, header_of
from pulsebase.api.border.request_shares import let_go_of_body
from pulsebase.api.components import BorderOptions

logger = logging.getLogger(__name__)

#: Methods counted under their own name. All others share one label, since clients can send any text as a method.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
#: Headers of every answer, in the form in which they are sent, since this runs for every request.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
#: For answers that do not state their own caching: only the client may cache them, and must revalidate before reuse.
_PRIVATE = (b"cache-control", b"private, no-cache")
#: For errors: nobody may cache them.
NOT_KEPT = (b"cache-control", b"no-store")
_TLS = (b"strict-transport-security", b"max-age=31536000")
#: What pages of other origins may send and see, if the settings let them in.
_CORS_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_CORS_HEADERS = b"authorization, content-type, content-encoding, if-none-match"
_CORS_EXPOSED = b"etag, location, ratelimit, ratelimit-policy, retry-after, x-request-id"
_CORS_KEPT_S = b"600"
#: Refusals that end the connection when they keep coming.
_COUNTED = frozenset({"unauthorized", "too-many-requests"})
#: Request ids only tell requests apart in the log; they are no secrets. The system's random source would cost a system
#: call and a release of the interpreter's lock for each one.
_ids = random.Random(secrets.randbits(128))
#: The request ids accepted from a caller or a proxy. They appear in the log, so they must be short and plain.
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
#: `Host` (RFC 9110, 7.2): a name or an address, perhaps a port; no user name and no path.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]{0,5})?")
_MOVED = (307, 308)

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A handler that answers POST requests without query parameters, and the route template for the metrics."""

    route: str
    handler: Handler


class _HeadAnsweredError(Exception):
    """The headers that answer a HEAD request were sent. Raised to stop the code that would produce a body."""


class _Visit:
    """What is known of one request so far: its caller, headers to add, and the status sent."""

    __slots__ = ("caller", "said", "status")

    def __init__(self) -> None:
        self.caller: Caller | None = None
        self.said: list[Header] = []
        self.status: int | None = None


class BorderMiddleware:
    """ASGI middleware around everything, so that errors of all inner layers are answered and counted too."""

    def __init__(
        self, app: ASGIApp, options: BorderOptions, access: Access, shortcuts: Mapping[str, Shortcut] | None = None
    ) -> None:
        self._app = app
        self._options = options
        self._gate, self._access = Authenticator(access), access
        self._headers = (*_HEADERS, _TLS) if options.behind_tls else _HEADERS
        self._origins = frozenset(origin.lower().rstrip("/") for origin in options.cors_origins)
        self._shortcuts = shortcuts or {}
        self._hosts = frozenset(host.lower() for host in options.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(scope)
        if scope["method"] == "HEAD":  # handled as GET, by the same rules
            scope = dict(scope, method="GET") | {HEAD_MARK: True}
        scope["pulsebase.request_id"] = request_id
        tracing.REQUEST_ID.set(request_id)
        if not tracing.on():
            await self._counted(scope, receive, send, request_id)
            return
        with tracing.span(_method(scope), Headers(scope=scope), request_id=request_id) as span:
            route, status = await self._counted(scope, receive, send, request_id)
            span.update_name(f"{_method(scope)} {route}")
            span.set_attributes({"http.request.method": _method(scope), "http.route": route})
            span.set_attribute("http.response.status_code", status)

    async def _counted(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> tuple[str, int]:
        """Answer and count the request. Return the template of its route, and the status."""
        visit = _Visit()
        started = perf_counter()

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                headers = self._with_ours(scope, message["status"], list(message.get("headers", ())))
                message["headers"] = [*headers, *visit.said, (b"x-request-id", request_id.encode())]
            await send(message)
            if HEAD_MARK in scope and message["type"] == "http.response.start":
                await send({"type": "http.response.body", "body": b""})
                raise _HeadAnsweredError

        shortcut = self._shortcut(scope)
        try:
            await self._answer(scope, receive, send_on, shortcut, visit)
        except _HeadAnsweredError:
            pass
        except Exception:
            logger.exception("request %s failed", request_id)
            if visit.status is not None:  # part of the answer was sent: only a broken connection can tell the client
                raise
            detail = "the server failed; its log has the details under the request id"
            with suppress(_HeadAnsweredError):
                await problem(Request(scope), "internal-error", detail)(scope, receive, send_on)
        finally:
            let_go_of_body(scope)
            method, elapsed_s = _method(scope), perf_counter() - started
            route = shortcut.route if shortcut else getattr(scope.get("route"), "path", "unmatched")
            _requests(method, route, visit.status or 500).inc()
            if "pulsebase.lasting" not in scope:  # how long a stream lasts says nothing about the speed of answers
                _seconds(method, route).observe(elapsed_s)
            _log(method, route, visit.status or 500, elapsed_s)
            if visit.caller is not None and self._gate.closed and _is_noted(visit.caller, method, route):
                self._access.audit.note(visit.caller, method, route, visit.status or 500)
        return route, visit.status or 500

    def _with_ours(self, scope: Scope, status: int, headers: list[Header]) -> list[Header]:
        """Return the headers of an answer, plus those that every answer has."""
        if status in _MOVED:
            headers = [(name, _without_host(scope, value) if name == b"location" else value) for name, value in headers]
        stated = {name for name, _ in headers}
        kept = NOT_KEPT if status >= 400 else _PRIVATE
        return headers + [header for header in (*self._headers, kept) if header[0] not in stated]

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, shortcut: Shortcut | None, visit: _Visit
    ) -> None:
        """Let the request in, or answer why not."""
        if not _has_one_host(scope):
            reason = "must be given once, as a name or address with or without a port"
            errors = [{"field": "Host", "reason": reason}]
            refused = problem(Request(scope), "invalid-request", f"Host: {reason}", errors=errors)
            await refused(scope, receive, send)
            return
        fault = self._host_fault(scope)
        if fault:
            await problem(Request(scope), "forbidden-host", fault)(scope, receive, send)
            return
        if self._origins and self._other_origin(scope, visit.said):
            await Response(status_code=204)(scope, receive, send)
            return
        principal, refusal, about = self._gate.admit(scope)
        if refusal is not None:
            error, headers = refusal.problem, refusal.headers
            refusals: ConnectionRefusals | None = scope.get("pulsebase.refusals")  # only the network server sets it
            if refusals is not None and error.slug in _COUNTED and refusals.one_more():
                telemetry.CONNECTIONS_DROPPED.labels("refused").inc()
                headers = headers | {"Connection": "close"}
            await problem(Request(scope), error.slug, error.detail, headers)(scope, receive, send)
            return
        visit.said += about
        visit.caller = Caller(principal, told_apart_by(scope))
        set_caller(visit.caller)
        if shortcut is None:
            await self._app(scope, receive, send)
        else:
            response = await answered(Request(scope, receive), shortcut.handler)
            await response(scope, receive, send)

    def _shortcut(self, scope: Scope) -> Shortcut | None:
        if scope["method"] != "POST" or scope["query_string"]:
            return None
        return self._shortcuts.get(scope["path"])

    def _host_fault(self, scope: Scope) -> str | None:
        """Return why the request may come from a foreign web page (DNS rebinding, cross-site request), or None."""
        if not self._options.check_host or came_by_socket(scope):
            return None
        host = header_of(scope, b"host") or ""
        if not self._answers_to(host):
            return "the server does not answer to this Host; name it in PULSEBASE_ALLOWED_HOSTS if it should"
        origin = header_of(scope, b"origin")
        if origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}", *self._origins):
            return None
        return "requests from pages of another origin are refused"

    def _other_origin(self, scope: Scope, said: list[Header]) -> bool:
        """Add the CORS headers if the page's origin is allowed. Return whether this is a preflight request, which those
        headers answer in full.
        """
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        said.append((b"vary", b"Origin"))
        if origin.lower() not in self._origins:
            return False
        said += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _CORS_EXPOSED),
        ]
        if scope["method"] != "OPTIONS" or "access-control-request-method" not in headers:
            return False
        said += [(b"access-control-allow-methods", _CORS_METHODS), (b"access-control-allow-headers", _CORS_HEADERS)]
        said.append((b"access-control-max-age", _CORS_KEPT_S))
        return True

    def _answers_to(self, host: str) -> bool:
        name = _name_of(host)
        return name is not None and (name in self._hosts or _is_loopback(name))


def address_asked(request: Request, options: BorderOptions) -> str:
    """Return the address at which browsers reach the server: the one in the settings, else the one this request was
    sent to, if it can be trusted.

    Raises:
        ProblemError: it cannot be trusted: a client may write anything into `Host`, and nothing has checked it here.
    """
    if options.public_url is not None:
        return options.public_url.rstrip("/")
    looked_at = options.check_host and not came_by_socket(request.scope)
    if not looked_at and _name_of(request.headers.get("host", "")) not in {
        each.lower() for each in options.allowed_hosts
    }:
        detail = "the server does not know where browsers reach it; its operator has to set PULSEBASE_PUBLIC_URL"
        raise ProblemError("conflict", detail)
    return str(request.base_url).rstrip("/")


@lru_cache(maxsize=1024)
def _requests(method: str, route: str, status: int) -> Counter:
    """Return the counter of such requests. Finding it by its labels takes longer than counting."""
    return telemetry.HTTP_REQUESTS.labels(method, route, str(status))


@lru_cache(maxsize=1024)
def _seconds(method: str, route: str) -> Histogram:
    return telemetry.HTTP_REQUEST_SECONDS.labels(method, route)


def _is_noted(caller: Caller, method: str, route: str) -> bool:
    """Whether a request goes into the audit: if it needs a key, or if it needs none but concerns a person."""
    need = need_of(method, route)
    return need is not None and (need != "open" or bool(caller.asked))


def _has_one_host(scope: Scope) -> bool:
    """Whether there is at most one `Host` header, and it is valid. Of two, a proxy might trust one and we the other."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return not hosts or (len(hosts) == 1 and _is_host(hosts[0]))


@lru_cache(maxsize=256)
def _is_host(host: bytes) -> bool:
    return len(host) <= 300 and _HOST.fullmatch(host.decode("latin-1")) is not None


def _without_host(scope: Scope, location: bytes) -> bytes:
    """Return a redirect to this server as a bare path: the framework copies the `Host` header into its redirects."""
    own = f"{scope['scheme']}://".encode() + Headers(scope=scope).get("host", "").encode("latin-1")
    rest = location.removeprefix(own)
    return rest if rest.startswith(b"/") and not rest.startswith(b"//") else location


def _id_of(scope: Scope) -> str:
    """Return the id that the request brought, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return str(value, "ascii")
    return f"{_ids.getrandbits(64):016x}"


def _method(scope: Scope) -> str:
    if HEAD_MARK in scope:
        return "HEAD"
    return scope["method"] if scope["method"] in _METHODS else "other"


def _log(method: str, route: str, status: int, elapsed_s: float) -> None:
    """Log the request. Only at level debug, since the requests of many devices would fill a disk."""
    if logger.isEnabledFor(logging.DEBUG):
        said = {"method": method, "route": route, "status": status, "elapsed_ms": round(elapsed_s * 1000, 3)}
        words = " ".join(f"{name}={value}" for name, value in said.items())
        logger.debug("request: %s", words, extra={"fields": said})


@lru_cache(maxsize=256)
def _name_of(host: str) -> str | None:
    """Return the name or address in a `Host` header, without the port; None if the header is not valid."""
    try:
        parts = urlsplit(f"//{host}")
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
