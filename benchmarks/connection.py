"""One keep-alive HTTP/1.1 connection that reads as little of an answer as it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Sends one request at a time; `on_answer(connection, status, body)` is called when its answer is whole.

    Status 0 means that the connection broke before that.
    """

    def __init__(self, on_answer: Callable[[Connection, int, bytes], None]) -> None:
        self._on_answer = on_answer
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = bytearray()
        self._body_at = -1
        self._whole_at = 0  # where the answer ends; -1: chunked
        self._status = 0
        self._waiting = False
        self.alive = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by its class

    def send(self, request: memoryview) -> None:
        assert self._transport is not None
        self._waiting = True
        self._transport.write(request)

    def close(self) -> None:
        self._waiting = False
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._body_at < 0 and not self._read_head():
            return
        if self._whole_at >= 0:
            whole = len(self._buffer) >= self._whole_at
        else:
            whole = self._buffer.endswith(_LAST_CHUNK, self._body_at)
        if whole:
            self._answer()

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self.alive = False  # a server may also close after its answer, as after an error of its own
        if self._waiting:
            self._status, self._body_at = 0, 0
            self._answer()

    def _read_head(self) -> bool:
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).lower()
        self._status = int(head[9:12])
        self._body_at = end + len(_HEAD_END)
        at = head.find(b"content-length:")
        if at >= 0:
            self._whole_at = self._body_at + int(head[at + 15 :].split(b"\r\n", 1)[0])
        else:
            self._whole_at = -1 if b"transfer-encoding: chunked" in head else self._body_at
        return True

    def _answer(self) -> None:
        status, body = self._status, bytes(self._buffer[self._body_at :])
        self._buffer.clear()
        self._body_at, self._waiting = -1, False
        self._on_answer(self, status, body)
