"""Requests as bytes, to a server in a process of its own, which has to answer and to live."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from tests.fuzz.mutate import Change, text_changed
from tests.support.process import Place, Server, serving

#: How long an answer may take. The server may be busy with imports that were begun before.
_ANSWER_S = 30.0
#: How long more is waited for before a request is said to end.
_PAUSE_S = 0.05
_FAULT = re.compile(rb"HTTP/1\.1 (?:500|501|502|504) ")
_HOST = b"Host: localhost\r\n"


class ServerEndedError(Exception):
    """The process of the server is gone."""


def heads() -> Sequence[bytes]:
    """Requests with and without bodies, in chunks with trailers, and two on a connection."""
    body = b'{"device_id":"a","user_id":"ann","timestamp":"2024-01-15T10:00:00Z","heart_rate":70}'
    post = b"POST /v1/metrics/heart-rate HTTP/1.1\r\n" + _HOST + b"Content-Type: application/json\r\n"
    chunks = b"10\r\n" + body[:16] + b"\r\n%x;a=b\r\n" % (len(body) - 16) + body[16:] + b"\r\n0\r\nX-Sum: 1\r\n\r\n"
    sized = post + b"Content-Length: %d\r\n\r\n" % len(body) + body
    asked = b"GET /v1/users?limit=5 HTTP/1.1\r\n" + _HOST + b"Accept: application/json\r\n\r\n"
    return [
        sized,
        asked,
        sized + asked,
        post + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + chunks,
        post + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
        b"GET /v1/stream?user_ids=ann HTTP/1.1\r\n" + _HOST + b"Last-Event-ID: 5f3a9c01-17\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n",
    ]


HEAD_CHANGED = text_changed(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b":",
        b" ",
        b"\t",
        b"\r\n\r\n",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"HTTP/1.1\r\n",
        b"/../",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"%00",
        b"%ff",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Content-Encoding: gzip\r\n",
        b"a" * 9000,
        b"Host: a\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"ffffffffffffffff\r\n",
        b"0\r\n\r\n",
        b"-1\r\n",
        b"\xff\xfe",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"X: " + b"a" * 70_000 + b"\r\n",
    ]
)


class PushHandlers:
    """Bodies of every form, changed as their form is, with heads that fit."""

    def __init__(self, doors: Mapping[str, tuple[Callable[[], Sequence[bytes]], Change]]) -> None:
        self._doors = doors

    def corpus(self) -> Sequence[bytes]:
        """A request for each body."""
        return self._requests

    def change(self, dice: random.Random, data: bytes) -> bytes:
        """The request with another body."""
        head, _, body = data.partition(b"\r\n\r\n")
        route, media_type = re.findall(rb"POST (\S+) .*\r\nContent-Type: (\S+)\r\n", head, re.DOTALL)[0]
        door = f"{route.decode()} {media_type.decode()}"
        return _request(door, self._doors[door][1](dice, body))

    @cached_property
    def _requests(self) -> Sequence[bytes]:
        return [_request(door, body) for door, (bodies, _) in self._doors.items() for body in bodies()]


def _request(door: str, body: bytes) -> bytes:
    route, _, media_type = door.partition(" ")
    head = f"POST {route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@contextlib.contextmanager
def served() -> Iterator[Callable[[bytes], None]]:
    """Start a server, and send it requests, one a connection."""
    with tempfile.TemporaryDirectory(prefix="pulsebase-fuzz-") as folder, serving(Place(Path(folder))) as server:
        yield lambda data: _send(server, data)


def _send(server: Server, data: bytes) -> None:
    address = urlsplit(server.url)
    assert address.hostname is not None
    assert address.port is not None
    try:
        with socket.create_connection((address.hostname, address.port), _ANSWER_S) as connection:
            connection.settimeout(_ANSWER_S)
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            answer = _answer(connection, whole=b"\r\nConnection: close\r\n" in data)
    except ConnectionRefusedError as error:
        raise ServerEndedError(f"nobody listens; the process's exit code is {server.process.poll()}") from error
    if server.process.poll() is not None:
        raise ServerEndedError(f"the process ended with {server.process.poll()}")
    assert _FAULT.search(answer) is None, f"the answer is a fault of the server: {answer[:400]!r}"


def _answer(connection: socket.socket, *, whole: bool) -> bytes:
    """All that comes until the server closes, its beginning alone where that is a stream. A request that is not whole
    is ended once nothing comes any more.
    """
    parts = b""
    connection.settimeout(_ANSWER_S if whole else _PAUSE_S)
    with contextlib.suppress(ConnectionError):
        while b"text/event-stream" not in parts:
            try:
                piece = connection.recv(1 << 16)
            except TimeoutError:
                if whole:
                    raise
                whole = True
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(_ANSWER_S)
                continue
            if not piece:
                break
            parts += piece
    return parts
