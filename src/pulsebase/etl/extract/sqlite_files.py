"""Read tables of SQLite databases that strangers made. Nothing that their schema says is carried out: only columns of
plain tables are read, and neither views, triggers, generated columns nor functions.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pulsebase.etl.extract.parts import Stream
from pulsebase.files.disk_errors import meaning_of
from pulsebase.ingest.blocks import MalformedError
from pulsebase.model.errors import StoreUnavailableError

SIGN = b"SQLite format 3\0"
#: How much of a database is searched for the names of its tables. They lie where the program first made them.
SCHEMA_BYTES = 4 << 20

_PIECE_BYTES = 1 << 20
_ROWS_AT_ONCE = 20_000
_MOST_TABLES = 2_000
_MOST_COLUMNS = 500
#: The largest text or picture in a row; a longer one is not read.
_VALUE_BYTES = 16 << 20
_DAMAGED = "the database is damaged or cut short"
#: Names that a question may hold as they are. Others are none of the programs whose databases are read.
_NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
_PLAIN = re.compile(r"\s*CREATE\s+TABLE\b", re.IGNORECASE)
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})


class AppDatabase:
    """An open database: the columns of its tables, and their rows."""

    def __init__(self, connection: sqlite3.Connection, size_bytes: int) -> None:
        self._connection = connection
        self._left = size_bytes  # no row takes less than a byte; more of them come only from pages that lead in circles
        self.tables = self._tables()

    def has(self, table: str, *columns: str) -> bool:
        """Return whether there is a table with these columns."""
        return set(columns) <= set(self.tables.get(table, ()))

    def rows(self, question: str) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a question, some thousand at once.

        Raises:
            MalformedError: the database is damaged; what was yielded before is valid.
        """
        try:
            cursor = self._connection.execute(question)
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                self._left -= len(rows)
                if self._left < 0:
                    raise MalformedError(_DAMAGED)
                yield rows
        except (sqlite3.Error, OverflowError):
            raise MalformedError(_DAMAGED) from None

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        (((count,),),) = self.rows(f"SELECT count(*) FROM {table}")
        return int(count)

    def _tables(self) -> dict[str, Sequence[str]]:
        found: dict[str, Sequence[str]] = {}
        listed = [row for rows in self.rows("SELECT name, sql FROM sqlite_master WHERE type = 'table'") for row in rows]
        for name, statement in listed[:_MOST_TABLES]:
            if isinstance(name, str) and _NAME.fullmatch(name) and _PLAIN.match(str(statement)):
                columns = [row for rows in self.rows(f"PRAGMA table_xinfo({name})") for row in rows]
                stored = [row[1] for row in columns[:_MOST_COLUMNS] if row[6] == 0]  # the others are generated
                found[name] = [column for column in stored if _NAME.fullmatch(column)]
        return found


def is_sqlite(head: bytes) -> bool:
    """Return whether a file that begins like this is an SQLite database."""
    return head.startswith(SIGN)


@contextlib.contextmanager
def database(stream: Stream) -> Iterator[AppDatabase]:
    """Open a database that comes as a stream. It is copied to a temporary file, which has no name once it is open.

    Raises:
        MalformedError: it is damaged.
        StoreUnavailableError: there is no room for it.
    """
    connection, size_bytes = _opened(stream)
    try:
        with contextlib.closing(connection):
            yield AppDatabase(connection, size_bytes)
    except sqlite3.Error:
        raise MalformedError(_DAMAGED) from None


def _opened(stream: Stream) -> tuple[sqlite3.Connection, int]:
    path: str | None = None
    size_bytes = 0
    try:
        descriptor, path = tempfile.mkstemp(prefix="pulsebase-sqlite-")
        with os.fdopen(descriptor, "wb") as file:
            while piece := stream.read(_PIECE_BYTES):
                size_bytes += file.write(piece)
        connection = sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)
    except OSError as error:
        unnamed = StoreUnavailableError(f"the file cannot be kept: {error.strerror}", retry_after_s=60)
        raise meaning_of(error, "the file") or unnamed from error
    except sqlite3.Error:
        raise MalformedError(_DAMAGED) from None
    finally:
        if path is not None:
            Path(path).unlink()
    _guard(connection)
    return connection, size_bytes


def _guard(connection: sqlite3.Connection) -> None:
    """Let nothing but questions to tables be carried out."""
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    # Without `writable_schema` a file that is cut short is refused as a whole. Nothing can be written all the same.
    pragmas = (
        "trusted_schema = OFF",
        "query_only = ON",
        "cell_size_check = ON",
        "mmap_size = 0",
        "writable_schema = ON",
    )
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
    connection.set_authorizer(_verdict)


def _verdict(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    allowed = (
        action in _ALLOWED
        or (action == sqlite3.SQLITE_PRAGMA and first == "table_xinfo")
        or (action == sqlite3.SQLITE_FUNCTION and second == "count")
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
