"""Translate errors of disks and of SQLite into the project's own, in one place for all files of and beside a store."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from pulsebase.model.errors import (
    DiskFailedError,
    DiskFullError,
    Kept,
    PulsebaseError,
    ReadOnlyStoreError,
    StoreCorruptError,
    StoreUnavailableError,
)

_Kind = type[StoreUnavailableError]

_FULL = "cannot be written: the disk is full"
_QUOTA = "cannot be written: the quota on the disk is used up"
_FAILED = "cannot be reached: the disk reports an I/O error"
_READ_ONLY = "cannot be written: it may only be read"
_BY_NUMBER: Mapping[int, tuple[_Kind, str]] = {
    errno.ENOSPC: (DiskFullError, _FULL),
    errno.EDQUOT: (DiskFullError, _QUOTA),
    errno.EIO: (DiskFailedError, _FAILED),
    errno.EROFS: (ReadOnlyStoreError, _READ_ONLY),
    errno.EACCES: (ReadOnlyStoreError, _READ_ONLY),
    errno.EPERM: (ReadOnlyStoreError, _READ_ONLY),
}
#: For engines that repeat the operating system's message as text.
_BY_WORDS = {os.strerror(number): meaning for number, meaning in _BY_NUMBER.items()}
#: Seconds until a retry makes sense: a person has to make room, or repair something.
_PAUSE_S = {DiskFullError: 30, DiskFailedError: 60, ReadOnlyStoreError: 60}
#: SQLite reports an I/O error if the shared memory of a write-ahead log cannot grow by this much.
_LOG_BYTES = 32 << 10
_BUSY_PAUSE_S = 5


def meaning_of(error: BaseException, what: str, kept: Kept = "nothing") -> PulsebaseError | None:
    """Translate an error of the operating system that hit `what`. Return None if no disk is to blame."""
    number = error.errno if isinstance(error, OSError) else None
    found = None if number is None else _BY_NUMBER.get(number)
    return None if found is None else _ours(found, what, kept)


def meaning_of_words(text: str, what: str, kept: Kept = "nothing") -> StoreUnavailableError | None:
    """Translate an engine's message that repeats the operating system's words. Return None if it repeats none."""
    for words, found in _BY_WORDS.items():
        if words in text:
            return _ours(found, what, kept)
    return None


def meaning_of_sqlite(error: sqlite3.Error, path: Path, kept: Kept = "nothing") -> PulsebaseError | None:
    """Translate an error of SQLite. Return None if it is a bug of ours."""
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorruptError(f"{path} is damaged: {error}; bring back a copy of it", path.name)
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _has_no_room(path)):
        return _ours((DiskFullError, _FULL), path.name, kept)
    if name.startswith("SQLITE_IOERR"):
        return _ours((DiskFailedError, _FAILED), path.name, kept)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return _ours((ReadOnlyStoreError, _READ_ONLY), path.name, kept)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailableError(f"{path.name} is in use by another process", _BUSY_PAUSE_S, kept)
    return None


def named(error: StoreUnavailableError) -> StoreUnavailableError:
    """Return the error as the more specific class that its cause stands for, if there is one."""
    cause = error.__cause__
    found = _BY_NUMBER.get(cause.errno or 0) if isinstance(cause, OSError) else None
    return error if found is None else found[0](str(error), error.retry_after_s, error.kept)


@contextlib.contextmanager
def translated(what: str, kept: Kept = "nothing") -> Iterator[None]:
    """Translate disk errors raised in the block. `what` names the file or folder in the message.

    Raises:
        StoreUnavailableError: in place of an `OSError` that a disk is to blame for.
    """
    try:
        yield
    except OSError as error:
        ours = meaning_of(error, what, kept)
        if ours is None:
            raise
        raise ours from error


def _ours(found: tuple[_Kind, str], what: str, kept: Kept) -> StoreUnavailableError:
    kind, reason = found
    return kind(f"{what} {reason}", _PAUSE_S[kind], kept)


def _has_no_room(path: Path) -> bool:
    try:
        state = os.statvfs(path.parent)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < _LOG_BYTES
