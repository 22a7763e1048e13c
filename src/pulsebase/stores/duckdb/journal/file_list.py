"""The list of the journal's files: a small file beside their folder that says which of them must be there.

It is written, whole and to the disk, when a file is begun or let go of, after a checkpoint of the engine, and at a
clean end: never for a commit. Its text is a CRC-32 in eight hexadecimal digits, a space, and a JSON object.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path

import msgspec

from pulsebase.model.errors import StoreCorruptError, StoreVersionError

_VERSION = 1


class Entry(msgspec.Struct, frozen=True):
    """A file of the journal: its id, and the number of its first row."""

    file: str
    first_seq: int


class Cut(msgspec.Struct, frozen=True):
    """What a file holds from this size on was never acknowledged, and could not be cut off."""

    file: str
    size: int


class Listing(msgspec.Struct, frozen=True):
    """What must be there.

    Attributes:
        store: the store's id.
        changes: the database has as many changes, or more.
        base_file: the file that holds the last row before `base_seq`.
        base_seq: rows before it are in the database.
        acknowledged_seq: rows before it are in the files, or in the database.
        closed: there are no others.
        files: those that must be there, oldest first.
        going: files that may still be there, but are not needed.
        cut: where the newest file ends, if it could not be made to end there.
        version: of this form.
    """

    store: str
    changes: int
    base_file: str
    base_seq: int
    acknowledged_seq: int
    closed: bool = False
    files: tuple[Entry, ...] = ()
    going: tuple[Entry, ...] = ()
    cut: Cut | None = None
    version: int = _VERSION

    def holder(self, seq: int) -> str:
        """The file that holds the row before `seq`, which is not before `base_seq`."""
        if seq == self.base_seq:
            return self.base_file
        before = [entry.file for entry in self.files if entry.first_seq < seq]
        return before[-1] if before else self.base_file


class _Version(msgspec.Struct):
    version: int


def list_path(folder: Path) -> Path:
    """Where the list of the files of this folder is."""
    return folder.with_name(folder.name + ".list")


def read_list(path: Path) -> Listing | None:
    """What the list says, None if there is none.

    Raises:
        StoreVersionError: it was written by a newer version.
        StoreCorruptError: it is not what was written.
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
        return msgspec.json.decode(body, type=Listing)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise StoreCorruptError(
            f"{path} is not what was written; restore a backup, or move it away to go on with the journal's files as "
            "they are"
        ) from error


def write_list(path: Path, listing: Listing) -> None:
    """Put a new list in the place of the old one. A kill, and an error too, leaves one of them.

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
    """Write all of it: the system may take a part at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder last."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
