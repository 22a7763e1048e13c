"""Packed bodies, gzip and zstd, a bounded piece at a time, and no more work than was sent for.

A few bytes can stand for gigabytes, and a long chain of members or frames that hold nothing for as much work. Both are
refused on the way, by what honest bodies never come near to.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import zstandard

from pulsebase.api.border.problems import ProblemError

#: Unpacked at a time, at most, where the format lets us say so.
_PIECE_BYTES = 1 << 20
#: What unpacking zstd may take in memory: the window RFC 9659 allows in HTTP.
_WINDOW_BYTES = 8 << 20
#: Four bytes of zstd can stand for 128 KiB, so that much is unpacked at a time.
_ZSTD_BYTES = 1 << 10
#: How many times its size a body may unpack to, beyond its first piece. A heart that never changes, second by second in
#: NDJSON, comes to a third of it.
MOST_RATIO = 500
#: Members of gzip or frames of zstd that may be as short as they like. Beyond them they bring so much each, on average.
MOST_SHORT_PARTS = 64
_PART_BYTES = 4 << 10
#: The errors that say that a body is not what its encoding says.
BROKEN = (zlib.error, zstandard.ZstdError)


def most_unpacked(packed: int) -> int:
    """What so many bytes may unpack to, in bytes."""
    return max(_PIECE_BYTES, MOST_RATIO * packed)


class Unpacker(Protocol):
    """A body on its way."""

    @property
    def complete(self) -> bool:
        """Whether what came so far is whole."""

    def unpack(self, part: bytes) -> Iterator[bytes]:
        """What the next part of it holds, in pieces.

        Raises:
            ProblemError: it unpacks to far more than was sent, or is a chain of parts that hold next to nothing.
            zlib.error, zstandard.ZstdError: it is not what its encoding says.
        """


def unpacker_of(encoding: str) -> Unpacker:
    """What unpacks a `Content-Encoding`.

    Raises:
        ProblemError: it is not known.
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
    """What a packed body has made the server do, against what was sent for it."""

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
    """A body of parts that each have an end: members of gzip, frames of zstd."""

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
            # A full piece may have left some output behind, also where no input is left.
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
