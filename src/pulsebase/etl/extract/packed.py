"""Read files in folders and gzip archives as streams: nothing is ever unpacked to a file. `zips` and `tars` read those
archives, and `archives` handles archives within archives.
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

#: The number of bytes read at a time, and the most decompressed at a time.
PIECE_BYTES = 1 << 18
#: How much of a file is examined to recognise its kind.
HEAD_BYTES = 1 << 16
#: The highest compression ratio accepted (health exports reach 10 to 40), checked beyond this many bytes.
MOST_RATIO = 250
RATIO_FROM_BYTES = 64 << 20
#: The most files in one archive or folder: enough for ten years of several files a day.
MOST_FILES = 100_000

_GZIP_SIGN = b"\x1f\x8b"


class TooMuchError(EndOfImportError):
    """The import exceeds a limit."""


@dataclass(slots=True)
class Budget:
    """How many bytes one import may decompress to in all, and how many it has used."""

    limit_bytes: int
    used_bytes: int = 0

    def spend(self, size: int) -> None:
        """Raises `TooMuchError` beyond the limit."""
        self.used_bytes += size
        if self.used_bytes > self.limit_bytes:
            raise TooMuchError(f"unpacked it is larger than {self.limit_bytes} bytes")


@dataclass(slots=True)
class Unpacking:
    """The limits of one archive with everything in it: the import's budget, and the number of files so far."""

    budget: Budget
    files: int = 0

    def count_file(self) -> None:
        """Raises `TooMuchError` beyond the limit."""
        self.files += 1
        if self.files > MOST_FILES:
            raise TooMuchError(f"the archive has more than {MOST_FILES} files")


@dataclass(slots=True)
class Ratio:
    """Compressed and decompressed size of one file; `outer` is the ratio of its archive, if that is compressed too."""

    outer: Ratio | None = None
    packed: int = 0
    unpacked: int = 0

    def check(self, packed: int, unpacked: int) -> None:
        """Raises `TooMuchError` once the ratio can only be an attack on memory or disk."""
        self.packed += packed
        self.unpacked += unpacked
        if self.unpacked > max(RATIO_FROM_BYTES, MOST_RATIO * self.packed):
            raise TooMuchError(f"it unpacks to more than {MOST_RATIO} times its size")
        if self.outer is not None:
            self.outer.check(0, unpacked)


class PackedFile:
    """One file: its name within folder and archive, its decompressed bytes, to be read once, and its ratio."""

    def __init__(self, name: str, pieces: Iterator[bytes], ratio: Ratio | None = None) -> None:
        self.name, self.ratio = name, ratio
        self._pieces = pieces
        self._left = b""
        self._error: MalformedError | None = None

    def peek(self, size: int = HEAD_BYTES) -> bytes:
        """Return the next bytes without consuming them; of a damaged file as many as can be read."""
        self._fill(size)
        return self._left[:size]

    @property
    def damage(self) -> str | None:
        """The damage found so far, or None."""
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
                self._error = error  # raised once everything before it has been read
                break
            if not piece:
                break
            parts.append(piece)
            have += len(piece)
        self._left = b"".join(parts) if len(parts) > 1 else self._left


class ArchivedFile(PackedFile):
    """A file from an archive."""


def damaged(name: str, error: MalformedError) -> ArchivedFile:
    """Return a file of an archive that cannot be read at all; reading it raises the error."""

    def nothing() -> Iterator[bytes]:
        raise error
        yield b""

    return ArchivedFile(name, nothing())


def paths_in(path: Path) -> list[Path]:
    """Return the file, or every file below the folder, ordered by name.

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
    """Return a file, or its decompressed content if it is a gzip."""
    if file.peek(2) != _GZIP_SIGN:
        return file
    ratio = Ratio(file.ratio)
    return type(file)(file.name.removesuffix(".gz"), _gunzipped(file, budget, ratio), ratio)


def plain(raw: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of an open file from its current position."""
    while piece := raw.read(PIECE_BYTES):
        yield piece


def _gunzipped(file: PackedFile, budget: Budget, ratio: Ratio) -> Iterator[bytes]:
    """Decompress the members of a gzip file, which may be several, each followed by zeros."""
    part = file.read(PIECE_BYTES)
    while part := _past_zeros(part, file):
        inflater, unpacked = zlib.decompressobj(wbits=31), b""
        while not inflater.eof:
            if not part and len(unpacked) < PIECE_BYTES:  # after a full piece, output may still be pending
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
