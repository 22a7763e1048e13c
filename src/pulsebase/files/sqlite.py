"""Open, query and change the small SQLite files beside a store, and report disk failures."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pulsebase.files.disk_errors import meaning_of, meaning_of_sqlite
from pulsebase.files.private import open_own
from pulsebase.model.errors import (
    DiskFullError,
    Kept,
    PulsebaseError,
    StopError,
    StoreCorruptError,
    StoreUnavailableError,
)

_BUSY_S = 30.0


def opened(path: Path, pragmas: Sequence[str], set_up: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """Open a connection to the file, for use by any thread. Other users may not read the file, since it names people.

    Raises:
        StopError: it cannot be opened. If a disk is full, the message says which.
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
        ours = error if isinstance(error, PulsebaseError) else meaning_of(error, path.name)
        if isinstance(error, sqlite3.Error):
            ours = meaning_of_sqlite(error, path)
        if isinstance(ours, DiskFullError):
            raise StopError(f"{path}: the disk of {path.parent} is full; make room there and start again") from error
        if isinstance(ours, StoreCorruptError):
            raise ours from error
        if isinstance(error, OSError | sqlite3.Error | StoreUnavailableError):
            raise StopError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        raise
    return connection


@contextlib.contextmanager
def changing(connection: sqlite3.Connection, lock: threading.Lock, path: Path) -> Iterator[sqlite3.Connection]:
    """Run the block as a transaction: all of it is on the disk at the end, or none of it is kept.

    Raises:
        StoreUnavailableError: the file cannot be written now, and nothing was changed. If `kept` is "unknown", the disk
            failed during the commit, which may have happened or not.
        StoreCorruptError: the file is damaged.
    """
    with lock:
        kept: Kept = "nothing"
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            kept = "unknown"
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:  # a failed commit may leave it open
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                _raise_ours(error, path, kept)
            raise


@contextlib.contextmanager
def asking(connection: sqlite3.Connection, lock: threading.Lock, path: Path) -> Iterator[sqlite3.Connection]:
    """Run queries, or statements that need no transaction, in the block.

    Raises:
        StoreUnavailableError: the file cannot be read or written now.
        StoreCorruptError: the file is damaged.
    """
    with lock:
        try:
            yield connection
        except sqlite3.Error as error:
            _raise_ours(error, path, "nothing")
            raise


def _raise_ours(error: sqlite3.Error, path: Path, kept: Kept) -> None:
    """Raise the translated error, unless the error is a bug of ours."""
    ours = meaning_of_sqlite(error, path, kept)
    if isinstance(ours, DiskFullError):
        raise ours.leaving("nothing") from error  # a commit without room is rolled back
    if ours is not None:
        raise ours from error
