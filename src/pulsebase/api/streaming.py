"""A request body as a file for a worker thread: unpacked on the way, a bounded piece of it in memory at a time."""

from __future__ import annotations

import asyncio
import queue
import zlib
from collections.abc import Callable
from typing import Any

import zstandard
from fastapi import Request
from starlette.requests import ClientDisconnect

from pulsebase.api.errors import ProblemError

#: Pieces are gathered up to this size before they go to the worker, so that a hand-over costs little …
_PIECE_BYTES = 1 << 20
#: … and so many may wait there.
_PIECES = 4
_WINDOW_BYTES = 8 << 20


class BrokenOffError(Exception):
    """The client went away, or what it packed cannot be unpacked. The message says which."""


class BodyStream:
    """The unpacked body, fed by the event loop and read by one worker thread. Looks like a file to the readers."""

    def __init__(self, request: Request, limit_bytes: int) -> None:
        self._request, self._limit_bytes = request, limit_bytes
        self._pieces: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(_PIECES)
        self._loop = asyncio.get_running_loop()
        self._left = b""
        self._ended = False
        self._abandoned = False
        self.closed = False

    # --- the event loop's side ---

    async def feed(self) -> None:
        """Bring the body to the worker until it ends, breaks off, or the worker wants no more."""
        end: BaseException | None = None
        try:
            await self._feed(_unpacker(self._request))
        except ClientDisconnect:
            end = BrokenOffError("the connection broke off")
        except (zlib.error, zstandard.ZstdError):
            end = BrokenOffError("the body is not what its Content-Encoding says")
        except (ProblemError, BrokenOffError) as error:
            end = error
        self._pieces.put(end)

    async def _feed(self, unpack: Callable[[bytes], bytes]) -> None:
        gathered: list[bytes] = []
        waiting = size = 0
        async for part in self._request.stream():
            unpacked = unpack(part)
            waiting += len(unpacked)
            size += len(unpacked)
            if size > self._limit_bytes:
                raise ProblemError("body-too-large", f"the body is larger than {self._limit_bytes} bytes")
            gathered.append(unpacked)
            if waiting >= _PIECE_BYTES:
                await self._hand_over(gathered)
                gathered, waiting = [], 0
            if self._abandoned:
                return
        await self._hand_over(gathered)

    async def _hand_over(self, gathered: list[bytes]) -> None:
        await self._room.acquire()
        self._pieces.put(b"".join(gathered))

    # --- the worker's side ---

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all of them unless the body ends; everything for -1.

        Raises:
            BrokenOffError: the body broke off.
            ProblemError: the body is too large.
        """
        parts, have = [self._left], len(self._left)
        while (size < 0 or have < size) and not self._ended:
            piece = self._pieces.get()
            if piece is None:
                self._ended = True
            elif isinstance(piece, BaseException):
                self._ended = True
                raise piece
            else:
                self._loop.call_soon_threadsafe(self._room.release)
                parts.append(piece)
                have += len(piece)
        joined = parts[0] if len(parts) == 1 else b"".join(parts)
        if size < 0 or have <= size:
            self._left = b""
            return joined
        self._left = joined[size:]
        return joined[:size]

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


def _unpacker(request: Request) -> Callable[[bytes], bytes]:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return lambda part: part
    if encoding in ("gzip", "x-gzip"):
        return _Gunzip()
    if encoding == "zstd":
        unpacker: Any = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
        return lambda part: bytes(unpacker.decompress(part))
    raise ProblemError("unsupported-media-type", "the body's Content-Encoding must be gzip, zstd or none")


class _Gunzip:
    """Members one after the other, as `gzip` files may hold them."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    def __call__(self, part: bytes) -> bytes:
        out = self._decoder.decompress(part)
        while self._decoder.eof and self._decoder.unused_data:
            rest = self._decoder.unused_data
            self._decoder = zlib.decompressobj(wbits=31)
            out += self._decoder.decompress(rest)
        return out
