"""Files as they lie in folders and gzip archives, read as streams: nothing is ever unpacked to a name. Zip and tar
archives are in `zips` and `tars`, and what lies in what in `archives`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pulsebase.etl.extract.parts import EndOfImportError
from pulsebase.ingest.blocks import MalformedError

#: Bytes read, and most bytes unpacked, at a time.
PIECE_BYTES = 1 << 18
#: How much of a file is looked at to tell what it is.
HEAD_BYTES = 1 << 16
#: Nothing real packs to less than a part in so many (health exports: 10 to 40); looked at beyond so many bytes.
MOST_RATIO = 250
RATIO_FROM_BYTES = 64 << 20
#: Files in one archive or folder: ten years of several files a day.
MOST_FILES = 100_000

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


@dataclass(slots=True)
class Unpacking:
    """One archive with all that lies in it: the import's budget, and how many files there were."""

    budget: Budget
    files: int = 0

    def count_file(self) -> None:
        """Raises `TooMuchError` beyond the limit."""
        self.files += 1
        if self.files > MOST_FILES:
            raise TooMuchError(f"the archive has more than {MOST_FILES} files")


@dataclass(slots=True)
class Ratio:
    """How many bytes became how many, of one file; `outer` is that of the archive it lies in, if that is packed too."""

    outer: Ratio | None = None
    packed: int = 0
    unpacked: int = 0

    def check(self, packed: int, unpacked: int) -> None:
        """Raises `TooMuchError` once this can be nothing but an attack on the memory or the disk."""
        self.packed += packed
        self.unpacked += unpacked
        if self.unpacked > max(RATIO_FROM_BYTES, MOST_RATIO * self.packed):
            raise TooMuchError(f"it unpacks to more than {MOST_RATIO} times its size")
        if self.outer is not None:
            self.outer.check(0, unpacked)


class PackedFile:
    """One file: its name where it lies, its bytes, unpacked, to be read once, and the ratio that they are held to."""

    def __init__(self, name: str, pieces: Iterator[bytes], ratio: Ratio | None = None) -> None:
        self.name, self.ratio = name, ratio
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


def damaged(name: str, error: MalformedError) -> ArchivedFile:
    """A file in an archive of which nothing can be read, and why."""

    def nothing() -> Iterator[bytes]:
        raise error
        yield b""

    return ArchivedFile(name, nothing())


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


def unpacked(file: PackedFile, budget: Budget) -> PackedFile:
    """A file, or what is in it if it is a gzip."""
    if file.peek(2) != _GZIP_SIGN:
        return file
    ratio = Ratio(file.ratio)
    return type(file)(file.name.removesuffix(".gz"), _gunzipped(file, budget, ratio), ratio)


def plain(raw: BinaryIO) -> Iterator[bytes]:
    """The bytes of an open file from where it stands."""
    while piece := raw.read(PIECE_BYTES):
        yield piece


def _gunzipped(file: PackedFile, budget: Budget, ratio: Ratio) -> Iterator[bytes]:
    """Members one after the other, as gzip files may hold them, with zeros behind each."""
    part = file.read(PIECE_BYTES)
    while part := _past_zeros(part, file):
        inflater, unpacked = zlib.decompressobj(wbits=31), b""
        while not inflater.eof:
            if not part and len(unpacked) < PIECE_BYTES:  # a full piece may have left some behind
                raise MalformedError("the gzip archive is cut short")
            try:
                unpacked = inflater.decompress(part, PIECE_BYTES)
            except zlib.error:
                raise MalformedError("the gzip archive is damaged") from None
            rest = inflater.unconsumed_tail or inflater.unused_data
            ratio.check(len(part) - len(rest), len(unpacked))
            budget.spend(len(unpacked))
            if unpacked:
                yield unpacked
            part = rest or file.read(PIECE_BYTES)


def _past_zeros(part: bytes, file: PackedFile) -> bytes:
    left = part.lstrip(b"\0")
    while part and not left:
        part = file.read(PIECE_BYTES)
        left = part.lstrip(b"\0")
    return left
