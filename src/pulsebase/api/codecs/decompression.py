"""Decompress gzip and zstd bodies a bounded piece at a time, with bounded work.

A few bytes can stand for gigabytes, and a long chain of empty gzip members or zstd frames costs as much work. Both are
refused while they are read, by limits that honest bodies never come near.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import zstandard

from pulsebase.api.border.problems import ProblemError

#: The largest decompressed piece, where the format lets us limit it.
_PIECE_BYTES = 1 << 20
#: The memory that decompressing zstd may take: the window that RFC 9659 allows in HTTP.
_WINDOW_BYTES = 8 << 20
#: zstd gets only so much input at a time, since four bytes of it can stand for 128 KiB.
_ZSTD_BYTES = 1 << 10
#: The highest ratio of decompressed to sent size, beyond the first piece. A constant heart rate in NDJSON, one reading
#: a second, reaches a third of it.
MOST_RATIO = 500
#: So many gzip members or zstd frames may be short. Beyond them each has to hold `_PART_BYTES` on average.
MOST_SHORT_PARTS = 64
_PART_BYTES = 4 << 10
#: The errors raised for a body that does not match its encoding.
BROKEN = (zlib.error, zstandard.ZstdError)


def most_unpacked(packed: int) -> int:
    """What so many bytes may unpack to, in bytes."""
    return max(_PIECE_BYTES, MOST_RATIO * packed)


class Unpacker(Protocol):
    """Decompresses one body as it arrives."""

    @property
    def complete(self) -> bool:
        """Whether the body could end here."""

    def unpack(self, part: bytes) -> Iterator[bytes]:
        """Yield the content of the next part of the body, in pieces.

        Raises:
            ProblemError: it decompresses to far more than was sent, or is a chain of members or frames that hold next
                to nothing.
            zlib.error, zstandard.ZstdError: it does not match its encoding.
        """


def unpacker_of(encoding: str) -> Unpacker:
    """Return the decompressor for a `Content-Encoding`.

    Raises:
        ProblemError: the encoding is not supported.
    """
    encoding = encoding.strip().lower()
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


class _Effort:
    """Compares the work that a compressed body causes with the bytes that were sent."""

    def __init__(self) -> None:
        self._packed = self._unpacked = self._parts = 0

    def came(self, packed: int) -> None:
        self._packed += packed

    def begins_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_SHORT_PARTS + self._unpacked // _PART_BYTES:
            raise ProblemError("malformed-body", "the body is packed in too many parts that hold next to nothing")

    def brought(self, unpacked: int) -> None:
        self._unpacked += unpacked
        if self._unpacked > most_unpacked(self._packed):
            raise ProblemError("body-too-large", f"the body unpacks to more than {MOST_RATIO} times its size")


class _PartAfterPart:
    """A body that is a sequence of self-contained parts: gzip members or zstd frames."""

    def __init__(self) -> None:
        self._decoder: Any = None
        self._effort = _Effort()

    @property
    def complete(self) -> bool:
        return self._decoder is not None and bool(self._decoder.eof)


class _Gunzip(_PartAfterPart):
    """Members one after the other, as `gzip` files may hold them."""

    def unpack(self, part: bytes) -> Iterator[bytes]:
        self._effort.came(len(part))
        more = bool(part)
        while more:
            if self.complete:
                part = part.lstrip(b"\0")  # zeros may pad the end
                if not part:
                    return
            if self._decoder is None or self._decoder.eof:
                self._effort.begins_part()
                self._decoder = zlib.decompressobj(wbits=31)
            unpacked = self._decoder.decompress(part, _PIECE_BYTES)
            self._effort.brought(len(unpacked))
            yield unpacked
            part = self._decoder.unused_data or self._decoder.unconsumed_tail
            # After a full piece some output may still be pending, even if no input is left.
            more = bool(part) or (len(unpacked) == _PIECE_BYTES and not self._decoder.eof)


class _Unzstd(_PartAfterPart):
    """Frames one after the other."""

    def unpack(self, part: bytes) -> Iterator[bytes]:
        self._effort.came(len(part))
        for first in range(0, len(part), _ZSTD_BYTES):
            piece = part[first : first + _ZSTD_BYTES]
            while piece:
                if self._decoder is None or self._decoder.eof:
                    self._effort.begins_part()
                    self._decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
                unpacked = self._decoder.decompress(piece)
                self._effort.brought(len(unpacked))
                yield unpacked
                piece = self._decoder.unused_data
