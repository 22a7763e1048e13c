"""Read tar archives (POSIX ustar and pax, GNU) as streams, one member after the other.

The standard library's reader is not used, because it takes a damaged header for the end of the archive, and reads names
of any length into memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pulsebase.etl.extract.packed import PIECE_BYTES, ArchivedFile, PackedFile, Unpacking, unpacked
from pulsebase.ingest.blocks import MalformedError

BLOCK_BYTES = 512
#: Headers that describe the next member, such as a long name.
_MOST_SAID_BYTES = 1 << 20
_FILES = (b"0", b"\0", b"7")
_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL, _SPARSE = b"L", b"K", b"x", b"g", b"S"
_SAID = (_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL)
#: Links, devices, folders: no content follows their headers, whatever size they state.
_WITHOUT_BYTES = (b"1", b"2", b"3", b"4", b"5", b"6")
_OCTAL = re.compile(rb"[ \0]*([0-7]+)[ \0]*")


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    size: int
    kind: bytes


def is_tar(head: bytes) -> bool:
    """Return whether a file that begins like this is a tar: its first block must contain its own checksum."""
    return len(head) >= BLOCK_BYTES and _is_header(head[:BLOCK_BYTES])


class Tar:
    """An archive that is walked from its start."""

    def __init__(self, stream: PackedFile, unpacking: Unpacking) -> None:
        self._stream, self._unpacking = stream, unpacking

    def files(self, archive: str) -> Iterator[PackedFile]:
        """Yield the files of the archive. Each must be read or skipped before the next one is requested.

        Raises:
            MalformedError: the archive is damaged, between two of its files.
            TooMuchError: it holds more than the limits allow.
        """
        name, size = None, None
        while (header := self._header()) is not None:
            self._unpacking.count_file()
            if header.kind in _SAID:
                said = self._said(header)
                if header.kind == _LONG_NAME:
                    name = _text(said.partition(b"\0")[0])
                elif header.kind == _PAX:
                    fields = _fields(said)
                    name = _text(fields[b"path"]) if b"path" in fields else name
                    size = _whole(fields[b"size"]) if b"size" in fields else size
                continue
            if header.kind == _SPARSE:
                raise MalformedError("the archive holds a file with holes, which is not read; unpack it first")
            left = header.size if size is None else size
            pieces = self._pieces(0 if header.kind in _WITHOUT_BYTES else left)
            shown = name or header.name
            if header.kind in _FILES and not shown.endswith("/"):
                file = ArchivedFile(f"{archive}/{shown}", pieces, self._stream.ratio)
                yield unpacked(file, self._unpacking.budget)
            for _ in pieces:
                pass
            name, size = None, None

    def _header(self) -> _Header | None:
        """Return the next header; None at the end of the archive."""
        block = self._stream.read(BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            raise MalformedError("the archive is cut short: its end is missing")
        if not block.strip(b"\0"):
            while self._stream.read(PIECE_BYTES):  # the compressed stream around it may end with a checksum
                pass
            return None
        if not _is_header(block):
            raise MalformedError("the archive is damaged: there is no file where one should begin")
        name = block[:100].partition(b"\0")[0]
        prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
        return _Header(_text(prefix + b"/" + name if prefix else name), _number(block[124:136]), block[156:157])

    def _said(self, header: _Header) -> bytes:
        if header.size > _MOST_SAID_BYTES:
            raise MalformedError("the archive is damaged: a name has no end")
        return b"".join(self._pieces(header.size))

    def _pieces(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            piece = self._stream.read(min(PIECE_BYTES, left))
            if not piece:
                raise MalformedError("the archive is cut short inside this file")
            left -= len(piece)
            yield piece
        self._stream.read(-size % BLOCK_BYTES)


def _is_header(block: bytes) -> bool:
    stated = _OCTAL.fullmatch(block[148:156])
    # Some programs of old summed signed bytes; no name of theirs matters here.
    return stated is not None and int(stated[1], 8) == sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")


def _number(field: bytes) -> int:
    """Return a size: octal digits, or the bytes of the number itself after a bit that marks them."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << 95) - 1)
    stated = _OCTAL.fullmatch(field)
    return int(stated[1], 8) if stated else 0


def _fields(said: bytes) -> dict[bytes, bytes]:
    """Return records such as `27 path=heart_rate.json`, each of which begins with its own length."""
    fields: dict[bytes, bytes] = {}
    while said:
        length, _, rest = said.partition(b" ")
        end = _whole(length) - len(length) - 1
        name, equals, value = rest[: end - 1].partition(b"=")
        if not equals or end < 1 or rest[end - 1 : end] != b"\n":
            raise MalformedError("the archive is damaged: what is said of a file cannot be read")
        fields[name] = value
        said = rest[end:]
    return fields


def _whole(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 19:
        raise MalformedError("the archive is damaged: a length is no number")
    return int(digits)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
