"""Files as they lie in archives, and in archives in these, read as streams. Names in archives lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pulsebase.etl.extract.packed import (
    Budget,
    PackedFile,
    TooMuchError,
    Unpacking,
    damaged,
    plain,
    unpacked,
)
from pulsebase.etl.extract.tars import BLOCK_BYTES, Tar, is_tar
from pulsebase.etl.extract.zips import Forward, Zip, is_zip
from pulsebase.ingest.blocks import MalformedError

#: Archives that are opened in an archive: vendors pack packs, and nobody packs these again.
_LEVELS = 1


def files_in(name: str, raw: BinaryIO, budget: Budget) -> Iterator[PackedFile]:
    """The file itself, unpacked if it is a gzip, or the files in it if it is a zip or a tar, with gzip or without.

    Of archives in it the files are given too; archives in those are given as the files they are. Each is to be read, or
    left, before the next is asked for.

    Raises:
        MalformedError: the archive is damaged, between two of its files.
        TooMuchError: it holds more than the limits allow.
    """
    unpacking = Unpacking(budget)
    raw.seek(0)
    head = raw.read(4)
    raw.seek(0)
    if is_zip(head):  # an open file is walked as such, so that what is not read need not be
        members = Zip(raw, unpacking).files(name)
    else:
        file = unpacked(PackedFile(name, plain(raw)), budget)
        opened = _members(file, unpacking)
        if opened is None:
            yield file
            return
        members = opened
    for member in members:
        yield from _with_members(member, unpacking, _LEVELS)


def is_archive(head: bytes) -> bool:
    """Whether a file that begins like this is an archive that is opened, unless it lies too deep in others."""
    return is_zip(head) or is_tar(head)


def _with_members(file: PackedFile, unpacking: Unpacking, levels: int) -> Iterator[PackedFile]:
    """A member of an archive, or the files in it if it is an archive itself."""
    members = _members(file, unpacking) if levels else None
    if members is None:
        yield file
        return
    try:
        for member in members:
            yield from _with_members(member, unpacking, levels - 1)
    except TooMuchError:
        raise
    except MalformedError as error:  # the archive it lies in goes on
        yield damaged(file.name, error)


def _members(file: PackedFile, unpacking: Unpacking) -> Iterator[PackedFile] | None:
    """The files in a file, if it is an archive."""
    head = file.peek(BLOCK_BYTES)
    if is_zip(head):
        return Zip(Forward(file), unpacking, file.ratio).files(file.name)
    return Tar(file, unpacking).files(file.name) if is_tar(head) else None
