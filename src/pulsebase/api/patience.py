"""How long the server waits for its clients, and how many it talks to at once.

Looked at once a second for all connections together, so that a request costs no timer. What a client is slow with is
told from what the server itself is slow with: while it does not read, nobody has to send.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pulsebase import telemetry

#: Of a request's line and headers together.
HEAD_LIMIT_BYTES = 64 << 10
_LOOK_S = 1.0
#: A body that comes at this pace may take as long as it takes.
_BODY_BYTES_PER_S = 1024


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may cost.

    Attributes:
        header_timeout_s: the time for a request's line and headers, and until a new connection has sent any.
        body_timeout_s: how long the server waits for a body in all; what comes buys more time, a second a KiB.
        answer_timeout_s: how long a client may take nothing of its answer.
        most: connections at once, those of the owner's socket not counted.
        most_of_address: connections of one address at once, unless it is that of a trusted proxy.
        trusted_proxies: addresses and networks whose forwarded headers are believed.
    """

    header_timeout_s: float = 10
    body_timeout_s: float = 30
    answer_timeout_s: float = 60
    most: int = 800
    most_of_address: int = 200
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)


def protocol_within(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol, within these limits, which all connections of one server share."""
    return type("LimitedProtocol", (PatientProtocol,), {"watch": _Watch(limits)})


class _Watch:
    """The open connections of one server."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in limits.trusted_proxies]
        self._open: set[PatientProtocol] = set()
        self._by_address: Counter[str] = Counter()
        self._looking = False

    def enter(self, connection: PatientProtocol, address: str | None) -> bool:
        """Watch a connection; False if it is one too many."""
        if address is not None:
            limits = self.limits
            own = limits.most if self._is_proxy(address) else limits.most_of_address
            if len(self._open) >= limits.most or self._by_address[address] >= own:
                return False
            self._by_address[address] += 1
        self._open.add(connection)
        if not self._looking:
            self._looking = True
            connection.loop.call_later(_LOOK_S, self._look, connection.loop)
        return True

    def leave(self, connection: PatientProtocol, address: str | None) -> None:
        """Forget a connection that is gone."""
        if connection in self._open:
            self._open.remove(connection)
            if address is not None:
                self._by_address[address] -= 1
                if not self._by_address[address]:
                    del self._by_address[address]

    def _is_proxy(self, address: str) -> bool:
        return any(ipaddress.ip_address(address) in proxies for proxies in self._proxies)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for connection in list(self._open):
            connection.look(now_s, self.limits)
        self._looking = bool(self._open)
        if self._looking:
            loop.call_later(_LOOK_S, self._look, loop)


class PatientProtocol(HttpToolsProtocol):
    """A connection that is ended when its client takes too long, or sends a head without end."""

    watch: _Watch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else None
        self._head_since_s: float | None = self.loop.time()
        self._head_bytes = 0
        self._in_body = False  # which an answer that came early does not end
        self._paused_since_s: float | None = None
        self._received = 0
        self._looked_s = self._head_since_s
        self._looked_received = 0
        self._budget_s = 0.0
        if not self.watch.enter(self, self._address):
            self._end("too-many", b"503 Service Unavailable")

    def connection_lost(self, exc: Exception | None) -> None:
        self.watch.leave(self, self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_since_s is not None:
            if self._head_bytes > HEAD_LIMIT_BYTES:
                self._end("head-too-large", b"431 Request Header Fields Too Large")
        elif not self._in_body and (self.cycle is None or self.cycle.response_complete):  # type: ignore[redundant-expr]
            self._head_since_s = self.loop.time()  # the beginning of another request

    def on_headers_complete(self) -> None:
        self._head_since_s = None
        self._budget_s = self.watch.limits.body_timeout_s
        if self._head_bytes > HEAD_LIMIT_BYTES:  # or a body began behind a small head
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEAD_LIMIT_BYTES:
                self._end("head-too-large", b"431 Request Header Fields Too Large")
                raise ValueError("the head is too large")  # the parser goes no further
        self._head_bytes = 0
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        self._in_body = False
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            # The body went on after its answer, which stopped the clock of idle connections.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        self._paused_since_s = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._paused_since_s = None
        super().resume_writing()

    def look(self, now_s: float, limits: ConnectionLimits) -> None:
        """End the connection if its client took too long."""
        elapsed_s, self._looked_s = now_s - self._looked_s, now_s
        came, self._looked_received = self._received - self._looked_received, self._received
        if self.transport.is_closing():
            return
        if self._paused_since_s is not None and now_s - self._paused_since_s > limits.answer_timeout_s:
            self._end("slow-answer", None)
        elif self._head_since_s is not None:
            if now_s - self._head_since_s > limits.header_timeout_s:
                self._end("slow-head", b"408 Request Timeout")
        elif self._in_body and not self.flow.read_paused:
            # A body that nobody reads any more earns nothing by coming.
            earned_s = 0 if self.cycle.response_complete else came / _BODY_BYTES_PER_S
            self._budget_s = min(limits.body_timeout_s, self._budget_s + earned_s) - elapsed_s
            if self._budget_s < 0:
                self._end("slow-body", None if self.cycle.response_started else b"408 Request Timeout")

    def _end(self, reason: str, status: bytes | None) -> None:
        telemetry.CONNECTIONS_DROPPED.labels(reason).inc()
        if status is None:
            self.transport.abort()
            return
        self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()
