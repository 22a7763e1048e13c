"""Read the files of archives, and of archives within these, as streams. Names in archives are never used as paths."""

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

#: How deep archives within archives are opened. Vendors nest them once, not deeper.
_LEVELS = 1


def files_in(name: str, raw: BinaryIO, budget: Budget) -> Iterator[PackedFile]:
    """Yield the file itself, decompressed if it is a gzip, or the files in it if it is a zip or a tar, gzipped or not.

    The files of archives inside are yielded too; archives inside those are yielded as they are. Each file must be read,
    or skipped, before the next one is asked for.

    Raises:
        MalformedError: the archive is damaged between two of its files.
        TooMuchError: it holds more than the limits allow.
    """
    unpacking = Unpacking(budget)
    raw.seek(0)
    head = raw.read(4)
    raw.seek(0)
    if is_zip(head):  # an open file can be seeked, so that skipped entries are not read
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
    """Return whether a file that begins like this is an archive that would be opened, unless it is nested too deep."""
    return is_zip(head) or is_tar(head)


def _with_members(file: PackedFile, unpacking: Unpacking, levels: int) -> Iterator[PackedFile]:
    """Yield a member of an archive, or the files in it if it is an archive itself."""
    members = _members(file, unpacking) if levels else None
    if members is None:
        yield file
        return
    try:
        for member in members:
            yield from _with_members(member, unpacking, levels - 1)
    except TooMuchError:
        raise
    except MalformedError as error:  # the rest of the outer archive can still be read
        yield damaged(file.name, error)


def _members(file: PackedFile, unpacking: Unpacking) -> Iterator[PackedFile] | None:
    """Return the files in a file if it is an archive, otherwise None."""
    head = file.peek(BLOCK_BYTES)
    if is_zip(head):
        return Zip(Forward(file), unpacking, file.ratio).files(file.name)
    return Tar(file, unpacking).files(file.name) if is_tar(head) else None
