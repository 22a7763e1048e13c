"""A request body as a file for a worker thread: unpacked on the way, a bounded piece of it in memory at a time."""

from __future__ import annotations

import asyncio
import queue
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import zstandard
from fastapi import Request
from starlette.requests import ClientDisconnect

from pulsebase.api.errors import ProblemError

#: Pieces are gathered up to this size before they go to the worker, so that a hand-over costs little …
_PIECE_BYTES = 1 << 20
#: … and so many may wait there.
_PIECES = 4
_WINDOW_BYTES = 8 << 20
#: Four bytes of zstd can stand for 128 KiB, so that much is unpacked at a time.
_ZSTD_BYTES = 1 << 10


class BrokenOffError(Exception):
    """The client went away, or what it packed cannot be unpacked. The message says which."""


class BodyStream:
    """The unpacked body, fed by the event loop and read by one worker thread. Looks like a file to the readers."""

    def __init__(self, request: Request, limit_bytes: int) -> None:
        self._request, self._limit_bytes = request, limit_bytes
        self._pieces: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(_PIECES)
        self._loop = asyncio.get_running_loop()
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
            await self._feed(_unpacker(self._request))
            end = None
        except ClientDisconnect:
            end = BrokenOffError("the connection broke off")
        except (zlib.error, zstandard.ZstdError):
            end = BrokenOffError("the body is not what its Content-Encoding says")
        except (ProblemError, BrokenOffError) as error:
            end = error
        finally:  # whatever happened, the worker gets what has come, and must not wait for more
            self._pieces.put(b"".join(self._gathered))
            self._pieces.put(end)

    async def _feed(self, unpacker: _Unpacker) -> None:
        waiting = size = 0
        async for part in self._request.stream():
            for unpacked in unpacker.unpack(part):
                waiting += len(unpacked)
                size += len(unpacked)
                if size > self._limit_bytes:
                    raise ProblemError("body-too-large", f"the body is larger than {self._limit_bytes} bytes")
                self._gathered.append(unpacked)
                if waiting >= _PIECE_BYTES:
                    await self._hand_over()
                    waiting = 0
                if self._abandoned:
                    return
        if not unpacker.complete:
            raise BrokenOffError("what was packed is cut short")

    async def _hand_over(self) -> None:
        await self._room.acquire()
        self._pieces.put(b"".join(self._gathered))
        self._gathered = []

    # --- the worker's side ---

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all of them unless the body ends; everything for -1.

        Raises:
            BrokenOffError: the body broke off.
            ProblemError: the body is too large.
        """
        have = len(self._left) - self._at
        if 0 <= size <= have:  # small reads come by the thousand, and must not copy what they leave
            self._at += size
            return self._left[self._at - size : self._at]
        parts = [memoryview(self._left)[self._at :]]
        while (size < 0 or have < size) and not self._ended:
            piece = self._pieces.get()
            if piece is None:
                self._ended = True
            elif isinstance(piece, BaseException):
                self._ended = True
                raise piece
            else:
                self._loop.call_soon_threadsafe(self._room.release)
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


class _Unpacker(Protocol):
    """What was packed, a bounded piece at a time."""

    @property
    def complete(self) -> bool: ...

    def unpack(self, part: bytes) -> Iterator[bytes]: ...


def _unpacker(request: Request) -> _Unpacker:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return _Plain()
    if encoding in ("gzip", "x-gzip"):
        return _Gunzip()
    if encoding == "zstd":
        return _Unzstd()
    raise ProblemError("unsupported-media-type", "the body's Content-Encoding must be gzip, zstd or none")


class _Plain:
    complete = True

    def unpack(self, part: bytes) -> Iterator[bytes]:
        yield part


class _Gunzip:
    """Members one after the other, as `gzip` files may hold them, with zeros behind each."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    @property
    def complete(self) -> bool:
        return self._decoder.eof

    def unpack(self, part: bytes) -> Iterator[bytes]:
        more = bool(part)
        while more:
            if self._decoder.eof:
                part = part.lstrip(b"\0")
                if not part:
                    return
                self._decoder = zlib.decompressobj(wbits=31)
            unpacked = self._decoder.decompress(part, _PIECE_BYTES)
            yield unpacked
            part = self._decoder.unused_data or self._decoder.unconsumed_tail
            # A full piece may have left some output behind, also where no input is left.
            more = bool(part) or (len(unpacked) == _PIECE_BYTES and not self._decoder.eof)


class _Unzstd:
    """Frames one after the other."""

    def __init__(self) -> None:
        self._decoder: Any = None

    @property
    def complete(self) -> bool:
        return self._decoder is not None and bool(self._decoder.eof)

    def unpack(self, part: bytes) -> Iterator[bytes]:
        for first in range(0, len(part), _ZSTD_BYTES):
            piece = part[first : first + _ZSTD_BYTES]
            while piece:
                if self._decoder is None or self._decoder.eof:
                    self._decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
                yield self._decoder.decompress(piece)
                piece = self._decoder.unused_data
