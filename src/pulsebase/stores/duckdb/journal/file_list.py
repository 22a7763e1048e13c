"""The list of the journal's files: a small file beside their folder that says which of them must exist.

It is replaced as a whole, and flushed, when a file is begun or dropped, after a checkpoint of the engine, and at a
clean shutdown; never for a commit. Its text is a CRC-32 in eight hexadecimal digits, a space, and a JSON object.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path

import msgspec

from pulsebase.model.errors import StoreCorruptError, StoreVersionError

_VERSION = 1


class ListedFile(msgspec.Struct, frozen=True):
    """A file of the journal: its id, and the sequence number of its first row."""

    file: str
    first_seq: int


class Truncation(msgspec.Struct, frozen=True):
    """Bytes of a file from `size` on, which were never acknowledged and could not be cut off."""

    file: str
    size: int


class FileList(msgspec.Struct, frozen=True):
    """What must exist.

    Attributes:
        store: the store's id.
        changes: the database has seen at least this many changes.
        base_file: the file that holds the last row before `base_seq`.
        base_seq: rows before it are in the database.
        acknowledged_seq: rows before it are in the files or in the database.
        closed: the store was shut down cleanly: there are no rows after `acknowledged_seq`.
        files: the files that must exist, oldest first.
        going: files that are no longer needed, but may still exist.
        cut: where the newest file ends, if it could not be truncated there.
        version: of this format.
    """

    store: str
    changes: int
    base_file: str
    base_seq: int
    acknowledged_seq: int
    closed: bool = False
    files: tuple[ListedFile, ...] = ()
    going: tuple[ListedFile, ...] = ()
    cut: Truncation | None = None
    version: int = _VERSION

    def holder(self, seq: int) -> str:
        """Return the id of the file that holds the row before `seq`, which is at least `base_seq`."""
        if seq == self.base_seq:
            return self.base_file
        before = [entry.file for entry in self.files if entry.first_seq < seq]
        return before[-1] if before else self.base_file


class _Version(msgspec.Struct):
    version: int


def list_path(folder: Path) -> Path:
    """Return the path of the list for a journal's folder."""
    return folder.with_name(folder.name + ".list")


def read_list(path: Path) -> FileList | None:
    """Read the list; None if there is none.

    Raises:
        StoreVersionError: it was written by a newer version.
        StoreCorruptError: its bytes are not what was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    checksum, _, body = data.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            raise ValueError("the checksum differs")
        version = msgspec.json.decode(body, type=_Version).version
        if version > _VERSION:
            raise StoreVersionError(
                f"{path} has version {version}, this program knows versions up to {_VERSION}; use a newer version of "
                "Pulsebase"
            )
        if version != _VERSION:
            raise ValueError("there was no such version")
        return msgspec.json.decode(body, type=FileList)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise StoreCorruptError(
            f"{path} is not what was written; restore a backup, or move it away to go on with the journal's files as "
            "they are"
        ) from error


def write_list(path: Path, listing: FileList) -> None:
    """Replace the list atomically: after a kill or an error there is the old one or the new one.

    Raises:
        OSError: it may not be on the disk.
    """
    body = msgspec.json.encode(listing)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        write_all(file, b"%08x %b" % (zlib.crc32(body), body))
        os.fsync(file)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    finally:
        os.close(file)
    fresh.rename(path)
    sync_folder(path.parent)


def write_all(file: int, data: bytes) -> None:
    """Write all of `data`: the system may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
