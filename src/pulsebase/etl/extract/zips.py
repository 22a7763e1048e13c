"""Read zip archives from their start, entry after entry, without the table of contents at the end. So memory stays
bounded whatever the archive claims to hold, and a truncated archive is read up to the cut.
(APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.9 and 4.5.3.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pulsebase.etl.extract.packed import PIECE_BYTES, ArchivedFile, PackedFile, Ratio, Unpacking, unpacked
from pulsebase.ingest.blocks import MalformedError

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_SIGN, _CENTRAL_SIGN, _DESCRIPTOR_SIGN = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
_END_SIGN, _END64_SIGN = b"PK\x05\x06", b"PK\x06\x06"
_ENCRYPTED, _SIZES_FOLLOW, _UTF8_NAME = 0x1, 0x8, 0x800
_STORED, _DEFLATED = 0, 8
_IN_EXTRA = 0xFFFFFFFF
#: The largest size that an entry may state. The operating system may not even accept an offset beyond it.
_MOST_BYTES = 1 << 43
#: How far back reading may have to go: to the end of compressed data whose length was not stated.
_BACK_BYTES = 2 * PIECE_BYTES


class Seekable(Protocol):
    """A seekable file."""

    def seek(self, at: int, /) -> object: ...

    def read(self, size: int, /) -> bytes: ...


def is_zip(head: bytes) -> bool:
    """Return whether a file that begins like this is a zip."""
    return head[:4] in (_LOCAL_SIGN, _END_SIGN)


class Forward:
    """Makes a stream a file that can be read forward and a little backward, which is all that a zip needs."""

    def __init__(self, stream: PackedFile) -> None:
        self._stream = stream
        self._at = self._end = 0
        self._kept = bytearray()

    def seek(self, at: int, /) -> None:
        """Continue reading at this offset."""
        self._at = at

    def read(self, size: int, /) -> bytes:
        """See `parts.Stream.read`."""
        while self._end < self._at + size and self._more(self._at + size - self._end):
            pass
        first = len(self._kept) - (self._end - self._at)
        if first < 0:
            raise MalformedError("the archive is damaged: a file begins where another one is")
        found = bytes(self._kept[first : first + size])
        self._at += len(found)
        return found

    def _more(self, size: int) -> bool:
        piece = self._stream.read(min(size, PIECE_BYTES))
        self._end += len(piece)
        self._kept += piece
        if len(self._kept) > 3 * _BACK_BYTES:
            del self._kept[:-_BACK_BYTES]
        return bool(piece)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A local header. `packed_bytes` is None if the compressed size is only known once its end is found."""

    name: str
    flags: int
    method: int
    crc: int
    packed_bytes: int | None
    data_at: int


class Zip:
    """An archive read from its start. `ratio` is that of the outer archive, if it lies in one."""

    def __init__(self, raw: Seekable, unpacking: Unpacking, ratio: Ratio | None = None) -> None:
        self._raw, self._unpacking, self._budget, self._ratio = raw, unpacking, unpacking.budget, ratio
        self._next_at: int | None = 0  # offset of the next header; None while unknown

    def files(self, archive: str) -> Iterator[PackedFile]:
        """Yield the files. Each must be read, or skipped, before the next one is asked for.

        Raises:
            MalformedError: the archive is damaged between two of its files.
            TooMuchError: it holds more than the limits allow.
        """
        while (entry := self._entry()) is not None:
            self._unpacking.count_file()
            self._next_at = None if entry.packed_bytes is None else entry.data_at + entry.packed_bytes
            ratio = self._ratio if entry.method == _STORED else Ratio(self._ratio)
            pieces = self._pieces(entry, ratio)
            if not entry.name.endswith("/") and not entry.name.startswith("__MACOSX/"):
                yield unpacked(ArchivedFile(f"{archive}/{entry.name}", pieces, ratio), self._budget)
            if self._next_at is None:
                for _ in pieces:  # read to its end, because the next file begins there
                    pass

    def _entry(self) -> _Entry | None:
        """Return the next header; None at the table of contents, which comes after the last file."""
        if self._next_at is None:
            raise MalformedError("the archive cannot be read on behind that file")
        self._raw.seek(self._next_at)
        head = self._raw.read(_LOCAL.size)
        if head[:4] in (_CENTRAL_SIGN, _END_SIGN, _END64_SIGN):
            return None
        if len(head) < _LOCAL.size:
            raise MalformedError("the archive is cut short: its table of contents is missing")
        sign, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = _LOCAL.unpack(head)
        if sign != _LOCAL_SIGN:
            raise MalformedError("the archive is damaged: there is no file where one should begin")
        name, extra = self._raw.read(name_bytes), self._raw.read(extra_bytes)
        if packed == _IN_EXTRA:
            packed = _packed_bytes_of(extra, size)
            if packed > _MOST_BYTES:
                raise MalformedError("the archive is damaged: a file is larger in it than files can be")
        return _Entry(
            name.decode("utf-8" if flags & _UTF8_NAME else "cp437", "replace"),
            flags,
            method,
            crc,
            None if flags & _SIZES_FOLLOW and not packed else packed,
            self._next_at + _LOCAL.size + name_bytes + extra_bytes,
        )

    def _pieces(self, entry: _Entry, ratio: Ratio | None) -> Iterator[bytes]:
        if entry.flags & _ENCRYPTED:
            raise MalformedError("it is encrypted in its archive")
        if entry.method == _DEFLATED and ratio is not None:
            yield from self._inflated(entry, ratio)
        elif entry.method == _STORED and entry.packed_bytes is not None:
            yield from self._checked(self._packed(entry), entry.crc)
        else:
            raise MalformedError("it is packed in a way that is not read; unpack the archive and import the folder")

    def _packed(self, entry: _Entry) -> Iterator[bytes]:
        """Yield the compressed bytes; if their number is not known, with whatever follows them."""
        at, left = entry.data_at, entry.packed_bytes
        while left is None or left > 0:
            self._raw.seek(at)  # others read from the same file meanwhile
            piece = self._raw.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
            if not piece:
                raise MalformedError("the archive is cut short inside this file")
            at += len(piece)
            left = None if left is None else left - len(piece)
            yield piece

    def _inflated(self, entry: _Entry, ratio: Ratio) -> Iterator[bytes]:
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        crc, taken = 0, 0
        for packed in self._packed(entry):
            part = packed
            while not inflater.eof:
                try:
                    inflated = inflater.decompress(part, PIECE_BYTES)
                except zlib.error:
                    raise MalformedError("the archive is damaged inside this file") from None
                rest = inflater.unconsumed_tail or inflater.unused_data
                taken += len(part) - len(rest)
                ratio.check(len(part) - len(rest), len(inflated))
                self._budget.spend(len(inflated))
                crc = zlib.crc32(inflated, crc)
                if inflated:
                    yield inflated
                part = rest
                if not part and len(inflated) < PIECE_BYTES:
                    break
            if inflater.eof:
                break
        if not inflater.eof:
            raise MalformedError("the archive is damaged inside this file")
        expected = entry.crc
        if entry.packed_bytes is None:
            expected = self._end_of(entry.data_at + taken)
        if crc != expected:
            raise MalformedError("its checksum in the archive does not match: some of it is damaged")

    def _end_of(self, at: int) -> int:
        """Return the checksum that follows the compressed bytes, and note where the next header is (4.3.9)."""
        self._raw.seek(at)
        text = self._raw.read(28)
        signed = 4 if text[:4] == _DESCRIPTOR_SIGN else 0
        for size in (8, 16):
            sign = text[signed + 4 + size : signed + 8 + size]
            if sign in (_LOCAL_SIGN, _CENTRAL_SIGN) or len(text) == signed + 4 + size:
                self._next_at = at + signed + 4 + size
                return int.from_bytes(text[signed : signed + 4], "little")
        if len(text) < 28:
            raise MalformedError("the archive is cut short behind this file")
        raise MalformedError("the archive is damaged behind this file")

    def _checked(self, pieces: Iterator[bytes], expected: int) -> Iterator[bytes]:
        crc = 0
        for piece in pieces:
            self._budget.spend(len(piece))
            crc = zlib.crc32(piece, crc)
            yield piece
        if crc != expected:
            raise MalformedError("its checksum in the archive does not match: some of it is damaged")


def _packed_bytes_of(extra: bytes, unpacked_bytes: int) -> int:
    """Return the compressed size from the ZIP64 field, where the header has no room for it (4.5.3)."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        at = 8 if unpacked_bytes == _IN_EXTRA else 0
        if kind == 1 and len(field) >= at + 8:
            return int.from_bytes(field[at : at + 8], "little")
    raise MalformedError("the archive is damaged: a file has no size")
