"""A request body as a file for a worker thread. It is decompressed as it arrives, with a bounded part in memory."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Iterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from pulsebase.access.shares import HeldShare
from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import held
from pulsebase.api.codecs.decompression import BROKEN, unpacker_of
from pulsebase.ingest.processor import ProcessorLimit, ProcessorTime

#: Pieces are collected up to this size before they go to the worker, so that few hand-overs are needed.
_PIECE_BYTES = 1 << 20
#: How many pieces may wait for the worker.
_PIECES = 4
#: The piece size for a compressed body, of which one piece may decompress to many blocks.
_PACKED_PIECE_BYTES = 64 << 10
#: Asking for the time of a thread takes microseconds, and small reads come by the thousand, a few to an Arrow message.
_READS_UNCHECKED = 8


class BrokenOffError(Exception):
    """The client went away, or its body cannot be decompressed. The message says which."""


class BodyStream:
    """The body, fed by the event loop, unpacked and read by one worker thread. Looks like a file to the readers.

    Attributes:
        sent_bytes: what the worker was given of the body by now, as it was sent.
    """

    def __init__(self, request: Request, limit_bytes: int, processor: ProcessorLimit) -> None:
        self._request, self._limit_bytes = request, limit_bytes
        self._processor = processor
        self._time: ProcessorTime | None = None
        self.sent_bytes = 0
        self._reads = 0
        self._pieces: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(_PIECES)
        self._loop = asyncio.get_running_loop()
        self._held = held(request.scope)
        announced = request.headers.get("content-length", "")
        self._announced_bytes = int(announced) if announced.isdecimal() else 0
        self._encoding = request.headers.get("content-encoding", "")
        self._piece_bytes = _PACKED_PIECE_BYTES if self._encoding.strip() else _PIECE_BYTES
        self._unpacked = self._unpack()
        self._left, self._at = b"", 0  # the last piece, and how much of it was read
        self._gathered: list[bytes] = []
        self._ended = False
        self._abandoned = False
        self.closed = False

    # --- the event loop's side ---

    async def feed(self) -> None:
        """Pass the body to the worker until it ends, breaks off, or the worker wants no more."""
        end: Exception | None = BrokenOffError("the server is stopping")
        try:
            await self._feed()
            end = None
        except ClientDisconnect:
            end = BrokenOffError("the connection broke off")
        finally:  # in any case the worker gets what has arrived, and must not wait for more
            self._pieces.put(b"".join(self._gathered))
            self._pieces.put(end)

    async def _feed(self) -> None:
        waiting = 0
        async for part in self._request.stream():
            waiting += len(part)
            self._gathered.append(part)
            if waiting >= self._piece_bytes:
                await self._hand_over()
                waiting = 0
            if self._abandoned:
                return

    async def _hand_over(self) -> None:
        await self._room.acquire()
        self._pieces.put(b"".join(self._gathered))
        self._gathered = []

    # --- the worker's side ---

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer only where the body ends; everything for -1.

        Raises:
            BrokenOffError: the body broke off.
            ProblemError: the body is too large, or unpacks to far more than was sent.
            TooCostlyError: as `check`.
        """
        if self._reads % _READS_UNCHECKED == 0:
            self.check()
        self._reads += 1
        have = len(self._left) - self._at
        if 0 <= size <= have:  # small reads are very many, so they must not copy the rest
            self._at += size
            return self._left[self._at - size : self._at]
        parts = [memoryview(self._left)[self._at :]]
        while (size < 0 or have < size) and not self._ended:
            piece = next(self._unpacked, None)
            if piece is None:
                self._ended = True
            else:
                parts.append(memoryview(piece))
                have += len(piece)
                self._left = piece
        self._at = len(self._left) - (max(have - size, 0) if size >= 0 else 0)
        surplus = len(self._left) - self._at
        return b"".join([*parts[:-1], parts[-1][: len(parts[-1]) - surplus]])

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes without consuming them, fewer where the body ends. Raises as `read` does."""
        head = self.read(size)
        self._left, self._at = head + self._left[self._at :], 0
        return head

    def check(self) -> None:
        """Raises `TooCostlyError` once the worker took more of the processor than the body may, since it began."""
        if self._time is None:
            self._time = ProcessorTime(self._processor, lambda: self.sent_bytes)
        self._time.check()

    @contextlib.contextmanager
    def decoder(self) -> Iterator[None]:
        """Have the request hold one of the processes that decode; waits for it, in the worker.

        Raises:
            ShareFullError, PoolFullError: there is none for a while.
        """
        self._held.resize("decoders", 1)
        try:
            yield
        finally:
            self._held.resize("decoders", 0)

    def _unpack(self) -> Iterator[bytes]:
        """Yield the decompressed body in pieces, as it arrives."""
        unpacker, size = unpacker_of(self._encoding), 0
        try:
            for part in self._came():
                for unpacked in unpacker.unpack(part):
                    size += len(unpacked)
                    if size > self._limit_bytes:
                        raise ProblemError("body-too-large", f"the body is larger than {self._limit_bytes} bytes")
                    yield unpacked
        except BROKEN:
            raise BrokenOffError("the body is not what its Content-Encoding says") from None
        if not unpacker.complete:
            raise BrokenOffError("what was packed is cut short")

    def _came(self) -> Iterator[bytes]:
        """Yield the pieces that the event loop hands over."""
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            self._loop.call_soon_threadsafe(self._room.release)
            self.sent_bytes += len(piece)
            yield piece

    def to_spool(self) -> SpooledBody:
        """Return the body for code that writes it to a temporary file.

        Raises:
            ShareFullError, PoolFullError: there is no room now for as much as the body announces.
        """
        return SpooledBody(self, self._held, self._announced_bytes)

    def abandon(self) -> None:
        """Stop reading the body, since the worker wants no more of it."""
        self._abandoned = True
        self._loop.call_soon_threadsafe(self._room.release)

    def readable(self) -> bool:
        """Tell readers that this can be read."""
        return True

    def close(self) -> None:
        """Called by readers that close what they read."""
        self.closed = True


class SpooledBody:
    """A body that holds a share of temporary disk space: what it announces, or what has arrived if that is more."""

    def __init__(self, body: BodyStream, held: HeldShare, announced_bytes: int) -> None:
        self._body, self._held = body, held
        self._announced_bytes, self._size = announced_bytes, 0
        held.resize("spooled bytes", announced_bytes)

    def read(self, size: int, /) -> bytes:
        """As `BodyStream.read`. Raises `ShareFullError` or `PoolFullError` if more arrives than was announced and there
        is no room for it.
        """
        piece = self._body.read(size)
        self._size += len(piece)
        self._held.resize("spooled bytes", max(self._announced_bytes, self._size))
        return piece
