"""Small SQLite files beside a store: how they are opened, and what is said where their disk is full."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pulsebase.model.errors import StopError, StoreUnavailableError
from pulsebase.stores.private_files import open_own

_BUSY_S = 30.0
#: The shared memory of a write-ahead log grows by so much, and where it cannot, SQLite speaks of an I/O error.
_LOG_BYTES = 32 << 10
_PAUSE_S = 60


def opened(path: Path, pragmas: Sequence[str], set_up: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """A connection to the file, for any thread; others may not read the file, since it names people.

    Raises:
        StopError: it cannot be opened; says where there is no room, if that is why.
    """
    connection: sqlite3.Connection | None = None
    try:
        os.close(open_own(path, os.O_CREAT | os.O_RDWR))
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        set_up(connection)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if _is_full(error, path):
            raise StopError(f"{path}: the disk of {path.parent} is full; make room there and start again") from error
        if isinstance(error, OSError | sqlite3.Error):
            raise StopError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        raise
    return connection


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """A change to the file.

    Raises:
        StoreUnavailableError: its disk is full, and nothing was changed.
    """
    try:
        yield
    except sqlite3.Error as error:
        if not _is_full(error, path):
            raise
        detail = f"the disk of {path.parent} is full; nothing of this was kept"
        raise StoreUnavailableError(detail, retry_after_s=_PAUSE_S) from error


def _is_full(error: BaseException, path: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not isinstance(error, sqlite3.Error):
        return False
    name = getattr(error, "sqlite_errorname", "")
    state = os.statvfs(path.parent)
    return name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and state.f_bavail * state.f_frsize < _LOG_BYTES)
