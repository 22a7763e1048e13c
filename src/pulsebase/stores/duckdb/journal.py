"""The journal: one frame a group commit, appended and flushed to the disk before anything is acknowledged.

A file is named by the sequence number of its first row and holds frames, little-endian:

    magic "PBJ1" · payload length u32 · CRC-32 of the payload u32 · CRC-32 of the header so far u32
    payload (MessagePack of `Frame`)

A frame that is cut short at the very end of the newest file was being written when the process died: it was never
acknowledged and is dropped. Anything else that does not check out is corruption, and is refused rather than skipped.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from pulsebase.model.errors import StopError, StoreCorruptError, StoreUnavailableError
from pulsebase.stores.duckdb.stage import DTYPES, Rows

logger = logging.getLogger(__name__)

_MAGIC = b"PBJ1"
_HEADER = struct.Struct("<4sII")
_CHECKED_HEADER = struct.Struct("<4sIII")
#: MessagePack: an array of four, one of six, and the mark and length before so many bytes.
_FOUR, _SIX = b"\x94", b"\x96"
_BYTES, _BYTES_MARK = struct.Struct(">BI"), 0xC6
#: A new file starts beyond this size, so that merged ones can go.
_FILE_BYTES = 16 << 20


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One group commit, read back: its rows as packed columns, and the numbers that people and devices got with it."""

    first_seq: int
    users: list[tuple[int, str]]
    devices: list[tuple[int, str]]
    columns: list[bytes]

    def rows(self) -> Rows:
        """Unpack the rows."""
        return Rows(*(np.frombuffer(raw, dtype) for raw, dtype in zip(self.columns, DTYPES.values(), strict=True)))


class Journal:
    """A folder of journal files. One thread appends; `replay` comes before the first append."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._encoder = msgspec.msgpack.Encoder()
        self._file: int | None = None
        self._size = 0
        self._broken = False
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)

    def replay(self, merged_seq: int) -> Iterator[Frame]:
        """The frames that hold rows from `merged_seq` on, oldest first.

        Raises:
            StoreCorruptError: a frame was changed on the disk, or a file is missing between two others.
        """
        paths = self._paths()
        expected = merged_seq
        for path in paths:
            for frame in self._frames(path, newest=path == paths[-1]):
                count = len(frame.columns[0]) // np.dtype(np.int32).itemsize
                end = frame.first_seq + count
                if end <= merged_seq:
                    continue  # the database has it, and what may be missing before it
                if frame.first_seq > expected:
                    raise StoreCorruptError(
                        f"{path}: the journal has lost the readings {expected} to {frame.first_seq}; bring back the "
                        "missing file, or move this one and the later ones away to go on without what they hold"
                    )
                expected = end
                yield frame

    def append(self, first_seq: int, users: list[tuple[int, str]], devices: list[tuple[int, str]], rows: Rows) -> None:
        """Write a frame and return once it is on the disk.

        Raises:
            StoreUnavailableError: there was no room; the journal is as before.
            StopError: the disk did not confirm the flush, so what it holds is unknown until the next start.
        """
        if self._broken:
            raise StopError("the journal's disk failed; restart the server once the disk is sound")
        record = self._record(first_seq, users, devices, rows)
        if self._file is None or self._size >= _FILE_BYTES:
            self.rotate(first_seq)
        try:
            self._write(record)
        except OSError as error:
            self._take_back()
            reason = (
                "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else os.strerror(error.errno or 0)
            )
            raise StoreUnavailableError(f"the journal cannot be written: {reason}", retry_after_s=10) from error
        self._size += len(record)

    def rotate(self, first_seq: int) -> None:
        """Go on in a new file whose first row will be `first_seq`. An empty current file stays in use."""
        if self._file is not None:
            if self._size == 0:
                return
            os.close(self._file)
            self._file = None
        path = self.folder / f"{first_seq:020d}.journal"
        try:
            self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._file).st_size
            sync_folder(self.folder)
        except OSError as error:
            raise StoreUnavailableError(f"the journal cannot be written: {error.strerror}", retry_after_s=10) from error

    def drop_before(self, seq: int) -> None:
        """Remove the files whose rows are all below `seq`. The file in use stays."""
        paths = self._paths()
        for path, following in pairwise(paths):
            if int(following.stem) <= seq:
                path.unlink()

    def clear(self) -> None:
        """Remove every file; the next append starts a new one. Nothing may be in them that is not elsewhere."""
        self.close()
        for path in self._paths():
            path.unlink()

    def size_bytes(self) -> int:
        """The bytes of all files."""
        size_bytes = 0
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):  # merged and removed meanwhile
                size_bytes += path.stat().st_size
        return size_bytes

    def close(self) -> None:
        """Let go of the file in use."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.journal"))

    def _record(
        self, first_seq: int, users: list[tuple[int, str]], devices: list[tuple[int, str]], rows: Rows
    ) -> bytes:
        """The bytes of a frame. Columns are copied once, into the place from which they are written."""
        head = self._encoder.encode((first_seq, users, devices))
        payload: list[bytes | memoryview] = [_FOUR + head[len(_FOUR) :] + _SIX]
        for name in DTYPES:
            column = np.ascontiguousarray(getattr(rows, name)).view(np.uint8).data
            payload += [_BYTES.pack(_BYTES_MARK, len(column)), column]
        checksum = 0
        for part in payload:
            checksum = zlib.crc32(part, checksum)
        header = _HEADER.pack(_MAGIC, sum(map(len, payload)), checksum)
        return b"".join((header, zlib.crc32(header).to_bytes(4, "little"), *payload))

    def _write(self, record: bytes) -> None:
        assert self._file is not None
        view = memoryview(record)
        while view:
            view = view[os.write(self._file, view) :]
        try:
            os.fdatasync(self._file)
        except OSError as error:
            # The kernel may have dropped the pages and will report success next time: trust nothing from here on.
            self._broken = True
            raise StopError(f"the journal's disk failed: {error.strerror}") from error

    def _take_back(self) -> None:
        assert self._file is not None
        try:
            os.ftruncate(self._file, self._size)
            os.fdatasync(self._file)
        except OSError:
            self._broken = True

    def _frames(self, path: Path, *, newest: bool) -> Iterator[Frame]:
        data = memoryview(path.read_bytes())
        at = 0
        while at < len(data):
            body = at + _CHECKED_HEADER.size
            if body > len(data):
                end = body
            else:
                _, length, checksum, header_checksum = _CHECKED_HEADER.unpack_from(data, at)
                if zlib.crc32(data[at : at + _HEADER.size]) != header_checksum:
                    raise _corrupt(path, at)
                end = body + length
            if end > len(data):
                if not newest:
                    raise _corrupt(path, at)
                logger.warning("dropped %d bytes of an unfinished commit at the end of the journal", len(data) - at)
                _truncate(path, at)
                return
            payload = data[body:end]
            if zlib.crc32(payload) != checksum:
                raise _corrupt(path, at)
            yield msgspec.msgpack.decode(payload, type=Frame)
            at = end


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder last."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _truncate(path: Path, size: int) -> None:
    """Cut a file, for good: the next file would make an unfinished frame that comes back look like damage."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(file, size)
        os.fsync(file)
    finally:
        os.close(file)


def _corrupt(path: Path, offset: int) -> StoreCorruptError:
    return StoreCorruptError(
        f"{path}: the bytes from {offset} on are not what was written; restore a backup, or move the file away "
        "to go on without what it holds"
    )
