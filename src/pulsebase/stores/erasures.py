"""What is remembered of people who were erased: enough to keep them out and to say what was done, never who they were.

A person's mark is a keyed hash of their id: whoever has the key can ask whether somebody was erased, nobody can read
who.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import Protocol

import msgspec

from pulsebase.files import sqlite as sqlite_file

_MARK_BYTES = 32


def mark_of(key: bytes, user_id: str) -> bytes:
    """The person's mark: BLAKE2b of the id with this key."""
    return hashlib.blake2b(user_id.encode(), key=key, digest_size=_MARK_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Erasure:
    """The receipt of an erasure. Times in microseconds UTC.

    Attributes:
        erasure_id: a random text.
        requested_us: from when on nothing was taken for the person any more.
        hidden_us: from when on no answer has them; None until then.
        deleted: how many rows of each kind went with that.
        scrubbed_us: from when on no file of the store has them; None until then.
        before_bytes, after_bytes: what the store took on the disk before and after it was scrubbed.
        problem: what keeps the next stage from being reached, if something does.
    """

    erasure_id: str
    requested_us: int
    hidden_us: int | None = None
    deleted: Mapping[str, int] = field(default_factory=dict)
    scrubbed_us: int | None = None
    before_bytes: int | None = None
    after_bytes: int | None = None
    problem: str | None = None

    @property
    def stage(self) -> str:
        """`requested`, `hidden` or `scrubbed`."""
        if self.scrubbed_us is not None:
            return "scrubbed"
        return "requested" if self.hidden_us is None else "hidden"


class ErasureLog(Protocol):
    """Every method may be called from any thread; what it changed is on the disk when it returns."""

    def key(self) -> bytes | None:
        """The key of marks, if it is kept with them."""

    def marks(self) -> frozenset[bytes]:
        """Everybody for whom nothing is taken."""

    def add(self, mark: bytes, erasure: Erasure) -> None:
        """Note the mark and begin the receipt, both or neither."""

    def update(self, erasure: Erasure) -> None:
        """Keep the receipt in place of the one with its id."""

    def allow(self, mark: bytes) -> bool:
        """Forget a mark; whether it was there."""

    def find(self, erasure_id: str) -> Erasure | None:
        """The receipt of that id, if there is one."""

    def receipts(self) -> Sequence[Erasure]:
        """Every receipt, the newest first."""

    def close(self) -> None:
        """Let go of every file."""


def packed(erasure: Erasure) -> str:
    """A receipt as a text."""
    return msgspec.json.encode(asdict(erasure)).decode()


def unpacked(text: str) -> Erasure:
    """A receipt from its text."""
    return msgspec.json.decode(text, type=Erasure)


_SCHEMA = """
CREATE TABLE IF NOT EXISTS marks (mark BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (
    erasure_id TEXT PRIMARY KEY, requested_us INTEGER NOT NULL, receipt TEXT NOT NULL
) WITHOUT ROWID;
"""


@dataclass(slots=True)
class SqliteErasureLog:
    """The log in a SQLite file, which processes of one machine may share. The key is a file of its own."""

    path: Path
    _connection: sqlite3.Connection = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        set_up = methodcaller("executescript", _SCHEMA)
        self._connection = sqlite_file.opened(self.path, ["synchronous = FULL"], set_up)

    def key(self) -> bytes | None:
        return None

    def marks(self) -> frozenset[bytes]:
        with self._asking() as connection:
            return frozenset(mark for (mark,) in connection.execute("SELECT mark FROM marks"))

    def add(self, mark: bytes, erasure: Erasure) -> None:
        with self._changing() as connection:
            connection.execute("INSERT OR IGNORE INTO marks VALUES (?)", (mark,))
            self._put(erasure)

    def update(self, erasure: Erasure) -> None:
        with self._changing():
            self._put(erasure)

    def allow(self, mark: bytes) -> bool:
        with self._changing() as connection:
            return connection.execute("DELETE FROM marks WHERE mark = ?", (mark,)).rowcount > 0

    def find(self, erasure_id: str) -> Erasure | None:
        return next((each for each in self.receipts() if each.erasure_id == erasure_id), None)

    def receipts(self) -> Sequence[Erasure]:
        with self._asking() as connection:
            rows = connection.execute("SELECT receipt FROM receipts ORDER BY requested_us DESC").fetchall()
        return [unpacked(text) for (text,) in rows]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _changing(self) -> AbstractContextManager[sqlite3.Connection]:
        return sqlite_file.changing(self._connection, self._lock, self.path)

    def _asking(self) -> AbstractContextManager[sqlite3.Connection]:
        return sqlite_file.asking(self._connection, self._lock, self.path)

    def _put(self, erasure: Erasure) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?)",
            (erasure.erasure_id, erasure.requested_us, packed(erasure)),
        )
