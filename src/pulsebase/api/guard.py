"""What every request passes first: a request id, the Host and Origin check, headers, and the counting of it."""

from __future__ import annotations

import ipaddress
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulsebase import telemetry
from pulsebase.api.errors import answered, problem
from pulsebase.api.services import BorderOptions, came_by_socket

logger = logging.getLogger(__name__)

#: The methods that are counted by name; others share a label, since anything may stand there.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
#: As they are sent: this runs for every request.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
#: Request ids tell requests apart in the log and keep no secret. The system's own source of random numbers costs a
#: system call and the interpreter's lock each time.
_ids = random.Random(secrets.randbits(128))


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A handler of POST requests without parameters, and the route's template for the metrics."""

    route: str
    handler: Callable[[Request], Awaitable[Response]]


class Guard:
    """ASGI middleware around everything, so that faults of what is inside are answered and counted too."""

    def __init__(self, app: ASGIApp, options: BorderOptions, shortcuts: Mapping[str, Shortcut] | None = None) -> None:
        self._app = app
        self._options = options
        self._shortcuts = shortcuts or {}
        self._hosts = frozenset(host.lower() for host in options.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{_ids.getrandbits(64):016x}"
        scope["pulsebase.request_id"] = request_id
        status = None
        started = perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                stated = {name for name, _ in headers}
                headers += [header for header in _HEADERS if header[0] not in stated]
                message["headers"] = [*headers, (b"x-request-id", request_id.encode())]
            await send(message)

        shortcut = self._shortcut(scope)
        try:
            fault = self._host_fault(scope)
            if fault:
                await problem(Request(scope), "forbidden-host", fault)(scope, receive, send_on)
            elif shortcut is not None:
                response = await answered(Request(scope, receive), shortcut.handler)
                await response(scope, receive, send_on)
            else:
                await self._app(scope, receive, send_on)
        except Exception:
            logger.exception("request %s failed", request_id)
            if status is not None:  # half an answer is out: only the broken connection can tell
                raise
            detail = "the server failed; its log has the details under the request id"
            await problem(Request(scope), "internal-error", detail)(scope, receive, send_on)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = shortcut.route if shortcut else getattr(scope.get("route"), "path", "unmatched")
            telemetry.HTTP_REQUESTS.labels(method, route, str(status or 500)).inc()
            if "pulsebase.lasting" not in scope:  # how long somebody listens says nothing of how quick answers are
                telemetry.HTTP_REQUEST_SECONDS.labels(method, route).observe(perf_counter() - started)

    def _shortcut(self, scope: Scope) -> Shortcut | None:
        if scope["method"] != "POST" or scope["query_string"]:
            return None
        return self._shortcuts.get(scope["path"])

    def _host_fault(self, scope: Scope) -> str | None:
        """Why the request may come from a page elsewhere (DNS rebinding, cross-site requests), if it may."""
        if not self._options.check_host or came_by_socket(scope):
            return None
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._answers_to(host):
            return "the server does not answer to this Host; name it in PULSEBASE_ALLOWED_HOSTS if it should"
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return "requests from pages of another origin are refused"
        return None

    def _answers_to(self, host: str) -> bool:
        name = _name_of(host)
        return name is not None and (name in self._hosts or _is_loopback(name))


@lru_cache(maxsize=256)
def _name_of(host: str) -> str | None:
    """The name or address in a `Host` header, without the port; None if it is no such header."""
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
