"""Files as they lie in folders, zip and gzip archives, read as streams: nothing is ever unpacked to a name.

A zip is read from its start, entry after entry, and its table of contents at the end is not used: memory stays bounded
whatever the archive claims to hold, and of one that was cut short everything before the cut is read.
(APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.9 and 4.5.3.)
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pulsebase.etl.extract.parts import EndOfImportError
from pulsebase.ingest.blocks import MalformedError

#: Bytes read, and most bytes unpacked, at a time.
_PIECE_BYTES = 1 << 18
#: How much of a file is looked at to tell what it is.
HEAD_BYTES = 1 << 16
#: Nothing real packs to less than a part in so many (health exports: 10 to 40); looked at beyond so many bytes.
MOST_RATIO = 250
_RATIO_FROM_BYTES = 64 << 20
#: Files in one archive or folder: ten years of several files a day.
MOST_FILES = 100_000

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_SIGN, _CENTRAL_SIGN, _DESCRIPTOR_SIGN = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
_END_SIGN, _END64_SIGN = b"PK\x05\x06", b"PK\x06\x06"
_ENCRYPTED, _SIZES_FOLLOW, _UTF8_NAME = 0x1, 0x8, 0x800
_STORED, _DEFLATED = 0, 8
_IN_EXTRA = 0xFFFFFFFF
_GZIP_SIGN = b"\x1f\x8b"


class TooMuchError(EndOfImportError):
    """More than the limits allow."""


@dataclass(slots=True)
class Budget:
    """What one import may unpack in all, bytes, and how much of it is used."""

    limit_bytes: int
    used_bytes: int = 0

    def spend(self, size: int) -> None:
        """Raises `TooMuchError` beyond the limit."""
        self.used_bytes += size
        if self.used_bytes > self.limit_bytes:
            raise TooMuchError(f"unpacked it is larger than {self.limit_bytes} bytes")


class PackedFile:
    """One file: its name where it lies, and its bytes, unpacked, to be read once."""

    def __init__(self, name: str, pieces: Iterator[bytes]) -> None:
        self.name = name
        self._pieces = pieces
        self._left = b""
        self._error: MalformedError | None = None

    def peek(self, size: int = HEAD_BYTES) -> bytes:
        """The next bytes, which stay to be read. Of a damaged file what can be had, if anything."""
        self._fill(size)
        return self._left[:size]

    @property
    def damage(self) -> str | None:
        """What is wrong with what has been looked at, if anything."""
        return None if self._error is None else str(self._error)

    def read(self, size: int, /) -> bytes:
        """See `parts.Stream.read`."""
        self._fill(size)
        if not self._left and self._error is not None:
            raise self._error
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def _fill(self, size: int) -> None:
        parts, have = [self._left], len(self._left)
        while have < size and self._error is None:
            try:
                piece = next(self._pieces, b"")
            except TooMuchError:
                raise
            except MalformedError as error:
                self._error = error  # once what came before it has been read
                break
            if not piece:
                break
            parts.append(piece)
            have += len(piece)
        self._left = b"".join(parts) if len(parts) > 1 else self._left


class ArchivedFile(PackedFile):
    """A file that lay in an archive with others."""


def files_in(name: str, raw: BinaryIO, budget: Budget) -> Iterator[PackedFile]:
    """The file itself, unpacked if it is a gzip, or the files in it if it is a zip. Each is to be read, or left, before
    the next is asked for.

    Raises:
        MalformedError: a zip is damaged, between two of its files.
        TooMuchError: it holds more than the limits allow.
    """
    raw.seek(0)
    sign = raw.read(4)
    raw.seek(0)
    if sign in (_LOCAL_SIGN, _END_SIGN):
        yield from _Zip(raw, budget).files(name)
    else:
        yield _unpacked(PackedFile(name, _plain(raw)), budget)


def paths_in(path: Path) -> list[Path]:
    """The file, or every file below the folder, by name.

    Raises:
        TooMuchError: there are too many.
    """
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for folder, _, names in os.walk(path):
        found += [Path(folder, name) for name in names if Path(folder, name).is_file()]
        if len(found) > MOST_FILES:
            raise TooMuchError(f"the folder has more than {MOST_FILES} files")
    return sorted(found)


def _unpacked(file: PackedFile, budget: Budget) -> PackedFile:
    """A file, or what is in it if it is a gzip."""
    if file.peek(2) != _GZIP_SIGN:
        return file
    return type(file)(file.name.removesuffix(".gz"), _gunzipped(file, budget))


def _plain(raw: BinaryIO) -> Iterator[bytes]:
    while piece := raw.read(_PIECE_BYTES):
        yield piece


def _gunzipped(file: PackedFile, budget: Budget) -> Iterator[bytes]:
    """Members one after the other, as gzip files may hold them, with zeros behind each."""
    ratio = _Ratio()
    part = file.read(_PIECE_BYTES)
    while part := _past_zeros(part, file):
        inflater, unpacked = zlib.decompressobj(wbits=31), b""
        while not inflater.eof:
            if not part and len(unpacked) < _PIECE_BYTES:  # a full piece may have left some behind
                raise MalformedError("the gzip archive is cut short")
            try:
                unpacked = inflater.decompress(part, _PIECE_BYTES)
            except zlib.error:
                raise MalformedError("the gzip archive is damaged") from None
            rest = inflater.unconsumed_tail or inflater.unused_data
            ratio.check(len(part) - len(rest), len(unpacked))
            budget.spend(len(unpacked))
            if unpacked:
                yield unpacked
            part = rest or file.read(_PIECE_BYTES)


def _past_zeros(part: bytes, file: PackedFile) -> bytes:
    left = part.lstrip(b"\0")
    while part and not left:
        part = file.read(_PIECE_BYTES)
        left = part.lstrip(b"\0")
    return left


@dataclass(slots=True)
class _Ratio:
    packed: int = 0
    unpacked: int = 0

    def check(self, packed: int, unpacked: int) -> None:
        """Raises `TooMuchError` once this can be nothing but an attack on the memory or the disk."""
        self.packed += packed
        self.unpacked += unpacked
        if self.unpacked > max(_RATIO_FROM_BYTES, MOST_RATIO * self.packed):
            raise TooMuchError(f"it unpacks to more than {MOST_RATIO} times its size")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A local header. `packed_bytes` is None where only the end of the packed bytes says how many there are."""

    name: str
    flags: int
    method: int
    crc: int
    packed_bytes: int | None
    data_at: int


class _Zip:
    """An archive that is walked from its start. `_next_at` is where the next header is, None while nobody knows."""

    def __init__(self, raw: BinaryIO, budget: Budget) -> None:
        self._raw, self._budget = raw, budget
        self._next_at: int | None = 0

    def files(self, archive: str) -> Iterator[PackedFile]:
        count = 0
        while (entry := self._entry()) is not None:
            count += 1
            if count > MOST_FILES:
                raise TooMuchError(f"the archive has more than {MOST_FILES} files")
            self._next_at = None if entry.packed_bytes is None else entry.data_at + entry.packed_bytes
            pieces = self._pieces(entry)
            if not entry.name.endswith("/") and not entry.name.startswith("__MACOSX/"):
                yield _unpacked(ArchivedFile(f"{archive}/{entry.name}", pieces), self._budget)
            if self._next_at is None:
                for _ in pieces:  # the next one begins where this one ends
                    pass

    def _entry(self) -> _Entry | None:
        """The header that comes next; None at the table of contents, which ends the files."""
        if self._next_at is None:
            raise MalformedError("the archive cannot be read behind a damaged file")
        self._raw.seek(self._next_at)
        head = self._raw.read(_LOCAL.size)
        if head[:4] in (_CENTRAL_SIGN, _END_SIGN, _END64_SIGN):
            return None
        if len(head) < _LOCAL.size:
            raise MalformedError("the archive is cut short: its table of contents is missing")
        sign, _, flags, method, _, _, crc, packed, unpacked, name_bytes, extra_bytes = _LOCAL.unpack(head)
        if sign != _LOCAL_SIGN:
            raise MalformedError("the archive is damaged: there is no file where one should begin")
        name, extra = self._raw.read(name_bytes), self._raw.read(extra_bytes)
        if packed == _IN_EXTRA:
            packed = _packed_bytes_of(extra, unpacked)
        return _Entry(
            name.decode("utf-8" if flags & _UTF8_NAME else "cp437", "replace"),
            flags,
            method,
            crc,
            None if flags & _SIZES_FOLLOW and not packed else packed,
            self._next_at + _LOCAL.size + name_bytes + extra_bytes,
        )

    def _pieces(self, entry: _Entry) -> Iterator[bytes]:
        if entry.flags & _ENCRYPTED:
            raise MalformedError("it is encrypted in its archive")
        if entry.method == _DEFLATED:
            yield from self._inflated(entry)
        elif entry.method == _STORED and entry.packed_bytes is not None:
            yield from self._checked(self._packed(entry), entry.crc)
        else:
            raise MalformedError("it is packed in a way that is not read; unpack the archive and import the folder")

    def _packed(self, entry: _Entry) -> Iterator[bytes]:
        """The packed bytes, and whatever follows where their number is not known."""
        at, left = entry.data_at, entry.packed_bytes
        while left is None or left > 0:
            self._raw.seek(at)  # others read from the same file meanwhile
            piece = self._raw.read(_PIECE_BYTES if left is None else min(_PIECE_BYTES, left))
            if not piece:
                raise MalformedError("the archive is cut short inside this file")
            at += len(piece)
            left = None if left is None else left - len(piece)
            yield piece

    def _inflated(self, entry: _Entry) -> Iterator[bytes]:
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        ratio, crc, taken = _Ratio(), 0, 0
        for packed in self._packed(entry):
            part = packed
            while not inflater.eof:
                try:
                    unpacked = inflater.decompress(part, _PIECE_BYTES)
                except zlib.error:
                    raise MalformedError("the archive is damaged inside this file") from None
                rest = inflater.unconsumed_tail or inflater.unused_data
                taken += len(part) - len(rest)
                ratio.check(len(part) - len(rest), len(unpacked))
                self._budget.spend(len(unpacked))
                crc = zlib.crc32(unpacked, crc)
                if unpacked:
                    yield unpacked
                part = rest
                if not part and len(unpacked) < _PIECE_BYTES:
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
        """The checksum that follows the packed bytes, and where the next header is (4.3.9)."""
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


def _packed_bytes_of(extra: bytes, unpacked: int) -> int:
    """The size that was too large for the header, from its ZIP64 field (4.5.3)."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        at = 8 if unpacked == _IN_EXTRA else 0
        if kind == 1 and len(field) >= at + 8:
            return int.from_bytes(field[at : at + 8], "little")
    raise MalformedError("the archive is damaged: a file has no size")
