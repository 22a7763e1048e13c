"""A request body as a file for a worker thread: unpacked on the way, a bounded piece of it in memory at a time."""

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

#: Pieces are gathered up to this size before they go to the worker, so that a hand-over costs little …
_PIECE_BYTES = 1 << 20
#: … and so many may wait there.
_PIECES = 4
#: The same of a packed body, a piece of which may stand for many blocks.
_PACKED_PIECE_BYTES = 64 << 10
#: Asking for the time of a thread takes microseconds, and small reads come by the thousand, a few to an Arrow message.
_READS_UNCHECKED = 8


class BrokenOffError(Exception):
    """The client went away, or what it packed cannot be unpacked. The message says which."""


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
        """Bring the body to the worker until it ends, breaks off, or the worker wants no more."""
        end: Exception | None = BrokenOffError("the server is stopping")
        try:
            await self._commit_log()
            end = None
        except ClientDisconnect:
            end = BrokenOffError("the connection broke off")
        finally:  # whatever happened, the worker gets what has come, and must not wait for more
            self._pieces.put(b"".join(self._gathered))
            self._pieces.put(end)

    async def _commit_log(self) -> None:
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
        """Up to `size` bytes, all of them unless the body ends; everything for -1.

        Raises:
            BrokenOffError: the body broke off.
            ProblemError: the body is too large, or unpacks to far more than was sent.
            TooCostlyError: as `check`.
        """
        if self._reads % _READS_UNCHECKED == 0:
            self.check()
        self._reads += 1
        have = len(self._left) - self._at
        if 0 <= size <= have:  # small reads come by the thousand, and must not copy what they leave
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
        """The next bytes, fewer if the body ends, which stay to be read. Raises as `read` does."""
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
        """The body in pieces, as it comes."""
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
        """What the event loop has brought."""
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            self._loop.call_soon_threadsafe(self._room.release)
            self.sent_bytes += len(piece)
            yield piece

    def to_spool(self) -> SpooledBody:
        """The body for whoever keeps it on the disk.

        Raises:
            ShareFullError, PoolFullError: as much as it says it has may not lie there now.
        """
        return SpooledBody(self, self._held, self._announced_bytes)

    def abandon(self) -> None:
        """The worker wants no more; what still comes is not read."""
        self._abandoned = True
        self._loop.call_soon_threadsafe(self._room.release)

    def readable(self) -> bool:
        """For readers that ask."""
        return True

    def close(self) -> None:
        """For readers that close what they read."""
        self.closed = True


class SpooledBody:
    """A body whose request holds as much of the temporary disk as came of it, or was announced."""

    def __init__(self, body: BodyStream, held: HeldShare, announced_bytes: int) -> None:
        self._body, self._held = body, held
        self._announced_bytes, self._size = announced_bytes, 0
        held.resize("spooled bytes", announced_bytes)

    def read(self, size: int, /) -> bytes:
        """As `BodyStream.read`; refused like its making where more comes than was announced."""
        piece = self._body.read(size)
        self._size += len(piece)
        self._held.resize("spooled bytes", max(self._announced_bytes, self._size))
        return piece
