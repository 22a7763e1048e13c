"""Limits on how long the server waits for clients, and on how many connections it holds.

One check a second covers all connections, so that a request costs no timer. A slow client is told apart from a slow
server: while the server does not read, the client does not have to send.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from dataclasses import dataclass

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pulsebase import telemetry

#: The most bytes of a request's line and headers together.
HEAD_LIMIT_BYTES = 64 << 10
_LOOK_S = 1.0
#: A body that arrives at this pace or faster is never too slow.
_BODY_BYTES_PER_S = 1024
#: The most bytes in a row of a chunked body that are not content: chunk lengths, extensions, trailers.
_FRAMING_LIMIT_BYTES = 64 << 10
#: How many pipelined requests of one connection may wait. Data beyond them stays unread.
_MOST_WAITING = 8
#: The parser gets pieces this small where a head may begin, since it cannot be stopped within a piece.
_HEAD_PIECE_BYTES = 1 << 10
#: A connection with this many waiting requests is ended: they were all packed behind the end of a chunked body.
_FAR_TOO_MANY_WAITING = 256
#: Of `Connection`, what is to be kept where a request asks for another protocol.
_KEPT_CONNECTION = (b"close", b"keep-alive")
#: Requests of one connection that are refused for their key or their number until it is closed.
MOST_REFUSALS = 10


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may cost.

    Attributes:
        header_timeout_s: the time for a request's line and headers, and for a new connection to send the first one.
        body_timeout_s: how long the server waits for a body; each KiB that arrives buys one more second.
        answer_timeout_s: how long a client may take nothing of its answer.
        most: connections at once, not counting those to the owner's socket.
        most_of_address: connections of one address at once, unless it is a trusted proxy.
        trusted_proxies: addresses and networks whose forwarded headers are trusted.
    """

    header_timeout_s: float = 10
    body_timeout_s: float = 30
    answer_timeout_s: float = 60
    most: int = 800
    most_of_address: int = 200
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)


def protocol_within(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """Return Uvicorn's protocol with these limits, which all connections of one server share."""
    return type("LimitedProtocol", (BoundedProtocol,), {"watch": _Watch(limits)})


class _Watch:
    """The open connections of one server."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in limits.trusted_proxies]
        self._open: set[BoundedProtocol] = set()
        self._by_address: Counter[str] = Counter()
        self._looking = False

    def enter(self, connection: BoundedProtocol, address: str | None) -> bool:
        """Watch a connection. Return False if it is one too many."""
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

    def leave(self, connection: BoundedProtocol, address: str | None) -> None:
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


class ConnectionRefusals:
    """Counts the requests of one connection that were refused for a wrong key or a rate limit."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def one_more(self) -> bool:
        """Count a refusal. Return whether the connection should end now."""
        self.count += 1
        return self.count >= MOST_REFUSALS


class _Flow(FlowControl):
    """Keeps the connection unread while too many of its requests wait, even if the current request asks for data."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is ended when its client takes too long or sends too large a head.

    Of requests sent ahead of their answers it takes in a few, and reads on as they are answered. What follows a body
    in chunks, its trailers, is nobody's header: the request was judged by its head. A request that asks for another
    protocol (`Upgrade`) is answered as if it had not asked.
    """

    watch: _Watch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport)
        self._ahead = bytearray()  # not given to the parser yet
        self._refusals = ConnectionRefusals()
        self._body_left: int | None = None  # of a body of a stated length
        self._framing_bytes = 0
        self._asks_upgrade = False
        self._address = self.client[0] if self.client else None
        self._head_since_s: float | None = self.loop.time()
        self._head_bytes = 0
        self._in_body = False  # stays true if the answer comes before the body has ended
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
        if self.flow.held:
            self._ahead += data
            return
        if len(data) <= _HEAD_PIECE_BYTES and not self.pipeline:  # as nearly always
            if not self.transport.is_closing():
                self._parse(data)
            return
        left = memoryview(data)
        while left and not self.transport.is_closing():
            if len(self.pipeline) >= _MOST_WAITING and not self._in_body:
                self._hold(left)
                return
            size = self._piece_bytes(len(left))
            self._parse(left[:size])
            left = left[size:]

    def _piece_bytes(self, size: int) -> int:
        """Return how many bytes to parse at once, so that few requests begin within them."""
        if not self._in_body:
            return min(size, _HEAD_PIECE_BYTES)
        return size if self._body_left is None else min(size, max(1, self._body_left))

    def _parse(self, data: bytes | memoryview) -> None:
        size = len(data)
        self._head_bytes += size
        self._framing_bytes += size
        self._unset_keepalive_if_required()
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._feed_after_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:  # counted, not logged: anybody may send it, without end
            if not self.transport.is_closing():
                telemetry.CONNECTIONS_DROPPED.labels("malformed").inc()
            self.send_400_response("Invalid HTTP request received.")
        if self._in_body:
            if self._framing_bytes > _FRAMING_LIMIT_BYTES + size:
                self._end("trailer-too-large", self._unless_answering(b"431 Request Header Fields Too Large"))
        elif self._head_bytes > HEAD_LIMIT_BYTES:
            self._end("head-too-large", self._unless_answering(b"431 Request Header Fields Too Large"))
        elif self._head_since_s is None and (self.cycle is None or self.cycle.response_complete):  # type: ignore[redundant-expr]
            self._head_since_s = self.loop.time()  # the beginning of another request

    def _feed_after_upgrade(self, data: bytes | memoryview) -> None:
        """Read what follows the head of a request with `Upgrade`.

        The parser takes it for another protocol, and so its body for another request. Such a head is read once more
        without that header, by a parser of its own.

        Raises:
            HttpParserError: it is no HTTP.
        """
        while True:
            if self.parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError("this is no proxy")
            head = self._head_without_upgrade()
            self._asks_upgrade = False
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        """The head that was read last."""
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [(name, value) for name, value in self.headers if name not in (b"upgrade", b"connection")]
        stated = b",".join(value for name, value in self.headers if name == b"connection").split(b",")
        kept += [(b"connection", each) for each in stated if each.strip().lower() in _KEPT_CONNECTION]
        return line + b"".join(b"%b: %b\r\n" % header for header in kept) + b"\r\n"

    def _unless_answering(self, status: bytes) -> bytes | None:
        """Return the status, or None while another answer is being sent, into which no second one may be mixed."""
        running = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete  # type: ignore[redundant-expr]
        return None if running or self.pipeline else status

    def _hold(self, data: memoryview) -> None:
        self._ahead += data
        self.flow.held = True
        self.flow.pause_reading()

    def _read_on(self) -> None:
        """Parse the data that was held back, now that there is room."""
        if not self.flow.held or self.transport.is_closing():
            return
        ahead, self._ahead = bytes(self._ahead), bytearray()
        self.flow.held = False
        self._received -= len(ahead)  # counted when it came
        self.data_received(ahead)
        if not self.flow.held:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.flow.held and len(self.pipeline) < _MOST_WAITING:
            self.loop.call_soon(self._read_on)  # later, once the parser and the request are done with this answer

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["pulsebase.refusals"] = self._refusals  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self._asks_upgrade = True
            return
        self._head_since_s = None
        self._budget_s = self.watch.limits.body_timeout_s
        if self._head_bytes > HEAD_LIMIT_BYTES:  # may also be a small head with the start of its body
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEAD_LIMIT_BYTES:
                self._end("head-too-large", b"431 Request Header Fields Too Large")
                raise ValueError("the head is too large")  # the parser goes no further
        if len(self.pipeline) >= _FAR_TOO_MANY_WAITING:
            self._end("pipelined", None)
            raise ValueError("too many requests at once")
        self._head_bytes = self._framing_bytes = 0
        self._in_body = True
        self._body_left = _stated_length(self.headers)
        super().on_headers_complete()
        self.headers = []  # the parser adds trailers here, where the request does not see them

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        if self._body_left is not None:
            self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._asks_upgrade:  # as far as the parser knows
            return
        self._head_bytes = 0
        self._in_body = False
        self.headers = []
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            # The body ended after its answer, and had stopped the timer for idle connections.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            kind = b"content-type: text/plain; charset=utf-8\r\n"
            self.transport.write(_last_answer(b"400 Bad Request", kind, msg.encode("ascii")))
            self.transport.close()

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
            # After the answer nobody reads the body, so that its bytes buy no more time.
            earned_s = 0 if self.cycle.response_complete else came / _BODY_BYTES_PER_S
            self._budget_s = min(limits.body_timeout_s, self._budget_s + earned_s) - elapsed_s
            if self._budget_s < 0:
                self._end("slow-body", None if self.cycle.response_started else b"408 Request Timeout")

    def _end(self, reason: str, status: bytes | None) -> None:
        telemetry.CONNECTIONS_DROPPED.labels(reason).inc()
        if status is None:
            self.transport.abort()
            return
        self.transport.write(_last_answer(status))
        self.transport.close()


def _last_answer(status: bytes, kind: bytes = b"", body: bytes = b"") -> bytes:
    """Return the answer that ends a connection, sent outside of any request."""
    length = b"content-length: %d\r\n" % len(body)
    return (
        b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncache-control: no-store\r\n" + kind + length + b"\r\n" + body
    )


def _stated_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Return the stated length of a body, 0 if there is no body, and None for a chunked one."""
    length = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)  # the parser has looked at it
    return length
