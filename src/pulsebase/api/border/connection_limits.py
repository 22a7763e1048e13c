"""How long the server waits for its clients, and how many it talks to at once.

Looked at once a second for all connections together, so that a request costs no timer. What a client is slow with is
told from what the server itself is slow with: while it does not read, nobody has to send.
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

#: Of a request's line and headers together.
HEAD_LIMIT_BYTES = 64 << 10
_LOOK_S = 1.0
#: A body that comes at this pace may take as long as it takes.
_BODY_BYTES_PER_S = 1024
#: Bytes of a chunked body in a row that are no content: the lengths of chunks, their extensions, trailers.
_FRAMING_LIMIT_BYTES = 64 << 10
#: Requests of one connection that wait for the answer to another. What comes beyond them stays unread.
_MOST_WAITING = 8
#: What is given to the parser at once where a head may begin, since it cannot be stopped within a piece.
_HEAD_PIECE_BYTES = 1 << 10
#: Waiting requests at which a connection is ended: a piece of a chunked body was full of them.
_FAR_TOO_MANY_WAITING = 256
#: Of `Connection`, what is to be kept where a request asks for another protocol.
_KEPT_CONNECTION = (b"close", b"keep-alive")
#: Requests of one connection that are refused for their key or their number until it is closed.
MOST_REFUSALS = 10


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
    """How many requests of one connection were refused for their key or their number."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def one_more(self) -> bool:
        """Count a refusal; whether the connection should end with it."""
        self.count += 1
        return self.count >= MOST_REFUSALS


class _Flow(FlowControl):
    """Keeps the connection unread while requests of it wait, whatever a request that is read asks for."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is ended when its client takes too long, or sends a head without end.

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
        if self.flow.held:
            self._ahead += data
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
        """How much may be parsed at once, so that few requests begin in it."""
        if not self._in_body:
            return min(size, _HEAD_PIECE_BYTES)
        return size if self._body_left is None else min(size, max(1, self._body_left))

    def _parse(self, data: memoryview) -> None:
        self._head_bytes += len(data)
        self._framing_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._commit_log(data)
        except httptools.HttpParserError:  # counted, not logged: anybody may send it, without end
            if not self.transport.is_closing():
                telemetry.CONNECTIONS_DROPPED.labels("malformed").inc()
            self.send_400_response("Invalid HTTP request received.")
        if self._in_body:
            if self._framing_bytes > _FRAMING_LIMIT_BYTES + len(data):
                self._end("trailer-too-large", self._unless_answering(b"431 Request Header Fields Too Large"))
        elif self._head_bytes > HEAD_LIMIT_BYTES:
            self._end("head-too-large", self._unless_answering(b"431 Request Header Fields Too Large"))
        elif self._head_since_s is None and (self.cycle is None or self.cycle.response_complete):  # type: ignore[redundant-expr]
            self._head_since_s = self.loop.time()  # the beginning of another request

    def _commit_log(self, data: memoryview) -> None:
        """Have the requests in it read.

        The parser takes what follows the head of a request with `Upgrade` for another protocol, and so its body for
        another request. Such a head is read once more without that header, by a parser of its own.

        Raises:
            HttpParserError: it is no HTTP.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return
            if self.parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError("this is no proxy")
            head = self._head_without_upgrade()
            self._asks_upgrade = False
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head)

    def _head_without_upgrade(self) -> bytes:
        """The head that was read last."""
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [(name, value) for name, value in self.headers if name not in (b"upgrade", b"connection")]
        stated = b",".join(value for name, value in self.headers if name == b"connection").split(b",")
        kept += [(b"connection", each) for each in stated if each.strip().lower() in _KEPT_CONNECTION]
        return line + b"".join(b"%b: %b\r\n" % header for header in kept) + b"\r\n"

    def _unless_answering(self, status: bytes) -> bytes | None:
        """The status, unless an answer is on its way, between whose bytes no other may stand."""
        running = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete  # type: ignore[redundant-expr]
        return None if running or self.pipeline else status

    def _hold(self, data: memoryview) -> None:
        self._ahead += data
        self.flow.held = True
        self.flow.pause_reading()

    def _read_on(self) -> None:
        """Take in what was held, now that there is room for it."""
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
            self.loop.call_soon(self._read_on)  # once this answer is out of the parser's and the request's hands

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["pulsebase.refusals"] = self._refusals  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self._asks_upgrade = True
            return
        self._head_since_s = None
        self._budget_s = self.watch.limits.body_timeout_s
        if self._head_bytes > HEAD_LIMIT_BYTES:  # or a body began behind a small head
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
        self.headers = []  # where trailers go, unseen by the request

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
            # The body went on after its answer, which stopped the clock of idle connections.
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
        self.transport.write(_last_answer(status))
        self.transport.close()


def _last_answer(status: bytes, kind: bytes = b"", body: bytes = b"") -> bytes:
    """The answer that ends a connection, outside of any request."""
    length = b"content-length: %d\r\n" % len(body)
    return (
        b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncache-control: no-store\r\n" + kind + length + b"\r\n" + body
    )


def _stated_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """The length of a body that states it, and 0 of one that is not there; None of one in chunks."""
    length = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value)  # the parser has looked at it
    return length
