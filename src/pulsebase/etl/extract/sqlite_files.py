"""Read tables of SQLite databases that strangers made. Nothing that their schema says is carried out: only columns of
plain tables are read, and neither views, triggers, generated columns nor functions. What the engine may do for a
database grows with its size alone, whatever its pages lead to.
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
_STATEMENTS_AT_ONCE = 100
#: The longest statement of a schema, and later the longest text of a row. A database with a longer one is not read on:
#: texts on pages that many rows share would take far more memory than the file has.
_STATEMENT_BYTES, _TEXT_BYTES = 64 << 10, 2 << 10
#: Steps of the engine: for the schema, and then for all questions. A row takes some twenty, and no more than that for
#: each question; pages that lead in circles, or a product of tables, take steps without end.
_SCHEMA_STEPS, _FIRST_STEPS, _STEPS_A_BYTE = 100_000, 10_000_000, 100
_STEPS_AT_ONCE = 1_000
_DAMAGED = "the database is damaged or cut short"
#: Names that a question may hold as they are. Others are none of the programs whose databases are read.
_NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
#: How the engine itself writes statements into a schema, and the beginning of the name up to what needs quotes. The
#: name beside a statement may be another one.
_STATEMENT = re.compile(
    r"\s*CREATE\s+(?P<what>TABLE|VIEW|VIRTUAL\s+TABLE|(?:UNIQUE\s+)?INDEX|TRIGGER)\s+(?:[\"'`\[](?P<quoted>\w*)|(?P<bare>\w+))",
    re.IGNORECASE,
)
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})


class AppDatabase:
    """An open database: the columns of its tables, and their rows."""

    def __init__(self, connection: sqlite3.Connection, size_bytes: int) -> None:
        self._connection = connection
        self._size_bytes = size_bytes
        self._left = size_bytes  # no row takes less than a byte; more of them come only from pages that lead in circles
        self._steps = _SCHEMA_STEPS
        connection.set_progress_handler(self._goes_too_far, _STEPS_AT_ONCE)
        self._load_schema()
        self._steps = _FIRST_STEPS + _STEPS_A_BYTE * size_bytes
        self.tables = self._tables()
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _TEXT_BYTES)

    def has(self, table: str, *columns: str) -> bool:
        """Return whether there is a table with these columns."""
        return set(columns) <= set(self.tables.get(table, ()))

    def rows(self, question: str, at_once: int | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a question, some thousand at once.

        Raises:
            MalformedError: the database is damaged; what was yielded before is valid.
        """
        try:
            cursor = self._connection.execute(question)
            while rows := cursor.fetchmany(at_once or _ROWS_AT_ONCE):
                self._left -= len(rows)
                if self._left < 0:
                    raise MalformedError(_DAMAGED)
                yield rows
        except (sqlite3.Error, OverflowError):
            raise MalformedError(_DAMAGED) from None

    def count(self, table: str) -> int:
        """Return how many rows a table has.

        Raises:
            MalformedError: the database is damaged.
        """
        # Asked for plainly, the engine would count page by page, and nothing could stop it.
        most = self._size_bytes + 1
        (((count,),),) = self.rows(f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {most})")
        if count == most:
            raise MalformedError(_DAMAGED)
        return int(count)

    def _goes_too_far(self) -> bool:
        self._steps -= _STEPS_AT_ONCE
        return self._steps < 0

    def _load_schema(self) -> None:
        """Have the engine read the schema. One that is too long it would take for complete where it stopped."""
        for _ in self.rows("SELECT name FROM sqlite_master LIMIT 1"):
            pass
        if self._steps < 0:
            raise MalformedError(_DAMAGED)

    def _tables(self) -> dict[str, Sequence[str]]:
        found: dict[str, Sequence[str]] = {}
        for name in self._plain_tables()[:_MOST_TABLES]:
            columns = [row for rows in self.rows(f"PRAGMA table_xinfo({name})") for row in rows]
            stored = [row[1] for row in columns[:_MOST_COLUMNS] if row[6] == 0]  # the others are generated
            found[name] = [column for column in stored if _NAME.fullmatch(column)]
        return found

    def _plain_tables(self) -> list[str]:
        """Return the names of tables, of which nothing else has the name.

        Raises:
            MalformedError: some statement is none that the engine writes.
        """
        tables: list[str] = []
        others: set[str] = set()
        question = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        for name, statement in (row for rows in self.rows(question, _STATEMENTS_AT_ONCE) for row in rows):
            match = _STATEMENT.match(str(statement))
            if match is None:
                raise MalformedError(_DAMAGED)
            stated = match["quoted"] or match["bare"] or ""
            if match["what"].upper() != "TABLE":
                others.add(stated.lower())
            elif name == stated and _NAME.fullmatch(stated):
                tables.append(stated)
        return [name for name in tables if name.lower() not in others]


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
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _STATEMENT_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, _MOST_COLUMNS)
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
