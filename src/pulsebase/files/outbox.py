"""What waits to be sent to a server, in a file: it outlives the process, and leaves when the server has it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pulsebase.files.private import open_own
from pulsebase.files.sqlite import asking, changing, opened
from pulsebase.model.errors import StopError

_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON")


class Outbox:
    """Texts in the order in which they were put in. Only one process may have it open.

    Raises:
        StopError: another process has it, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._lock = path, threading.Lock()
        self._held = open_own(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._connection = opened(path, _PRAGMAS, _set_up)
        except BlockingIOError:
            os.close(self._held)
            raise StopError(f"{path} is in use by another process") from None
        except BaseException:
            os.close(self._held)
            raise
        self._waiting = self._count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._waiting

    def put(self, texts: Sequence[str]) -> None:
        """Add texts; they are on the disk when this returns.

        Raises:
            StoreUnavailableError: none was added (a full disk).
        """
        with changing(self._connection, self._lock, self._path) as connection:
            connection.executemany("INSERT INTO waiting (text) VALUES (?)", [(text,) for text in texts])
        self._waiting += len(texts)

    def first(self, most: int) -> list[tuple[int, str]]:
        """Return the oldest texts, with their numbers, by which they leave."""
        with asking(self._connection, self._lock, self._path) as connection:
            return connection.execute("SELECT number, text FROM waiting ORDER BY number LIMIT ?", [most]).fetchall()

    def remove(self, up_to: int) -> None:
        """Remove the texts up to this number, which were sent.

        Raises:
            StoreUnavailableError: none was removed; they are sent again.
        """
        with changing(self._connection, self._lock, self._path) as connection:
            gone = connection.execute("DELETE FROM waiting WHERE number <= ?", [up_to]).rowcount
        self._waiting -= gone

    def close(self) -> None:
        """Close the file. What waits stays in it."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        os.close(self._held)

    def _count(self) -> int:
        with asking(self._connection, self._lock, self._path) as connection:
            return int(connection.execute("SELECT count(*) FROM waiting").fetchone()[0])


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL)"
    )
