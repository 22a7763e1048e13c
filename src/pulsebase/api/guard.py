"""What every request passes first: a request id, the Host and Origin check, headers, and the counting of it."""

from __future__ import annotations

import secrets
from time import perf_counter
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulsebase import telemetry
from pulsebase.api.errors import problem
from pulsebase.api.services import BorderOptions

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def came_by_socket(scope: Scope) -> bool:
    """Whether the request came over the owner's Unix socket rather than the network."""
    server = scope.get("server")
    return server is not None and server[1] is None


class Guard:
    """ASGI middleware around everything, so that errors of inner middleware are counted too."""

    def __init__(self, app: ASGIApp, options: BorderOptions) -> None:
        self._app = app
        self._options = options
        self._hosts = _LOOPBACK | {host.lower() for host in options.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope["pulsebase.request_id"] = request_id
        status = 500
        started = perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            fault = self._host_fault(scope)
            if fault:
                await problem(Request(scope), "forbidden-host", fault)(scope, receive, send_on)
            else:
                await self._app(scope, receive, send_on)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            telemetry.HTTP_REQUESTS.labels(scope["method"], route, str(status)).inc()
            telemetry.HTTP_REQUEST_SECONDS.labels(scope["method"], route).observe(perf_counter() - started)

    def _host_fault(self, scope: Scope) -> str | None:
        """Why the request may come from a page elsewhere (DNS rebinding, cross-site requests), if it may."""
        if not self._options.check_host or came_by_socket(scope):
            return None
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name_of(f"//{host}") not in self._hosts:
            return "the server does not answer to this Host; name it in PULSEBASE_ALLOWED_HOSTS if it should"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "requests from pages of another origin are refused"
        return None


def _name_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
