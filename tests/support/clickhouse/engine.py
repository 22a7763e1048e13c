"""Connections to the engine of this process, each with settings of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chdb.state.sqlitelike import Connection

from tests.support.clickhouse.wire import Column, Reader, read_block

#: `SET` does not take these.
_NOT_SET = frozenset({"run_query_in_background", "interactive_delay"})
#: Compiling an expression takes longer than all the rows of a test.
_NOTHING_COMPILED = "compile_expressions = 0, compile_aggregate_expressions = 0, compile_sort_description = 0"
_ANSWERS = re.compile(r"(?i)(SELECT|WITH)\b")
#: A statement whose rows follow it: 1 the statement, 2 the table, 3 the columns, 4 the format.
INSERT = re.compile(
    r"(?is)\s*(INSERT\s+INTO\s+(?:TABLE\s+)?((?:`[^`]+`|[\w.])+)\s*(\([^()]*\))?)\s*"
    r"(?:SETTINGS\s[^()]*?)?\s*(?:VALUES|FORMAT\s+(\w+))?\s*;?\s*"
)


class Session:
    """A connection to the engine. It is used by one thread at a time; several answer side by side."""

    def __init__(self, path: str) -> None:
        self._connection = Connection(path)
        self._connection.query(f"SET {_NOTHING_COMPILED}")
        self._settings: dict[str, str] = {}
        self._database = ""

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def prepare(self, database: str, settings: Mapping[str, str]) -> None:
        """Take over the database and exactly these settings for the statements that follow."""
        if database and database != self._database:
            self._connection.query(f"USE `{database}`")
            self._database = database
        wanted = {name: value for name, value in settings.items() if name not in _NOT_SET}
        changes = {name: _quoted(value) for name, value in wanted.items() if self._settings.get(name) != value}
        changes |= {name: "DEFAULT" for name in self._settings if name not in wanted}
        if changes:
            self._settings = wanted
            self._connection.query("SET " + ", ".join(f"{name} = {value}" for name, value in changes.items()))

    def ask(self, statement: str, form: str, parameters: Mapping[str, str] | None = None) -> bytes:
        """Return the whole answer to a statement."""
        answer: bytes = self._connection.query(statement, form, params=dict(parameters or {})).bytes()
        return answer

    def columns(self, query: str) -> list[Column]:
        """Return the columns of the answer to a query."""
        lines = self.ask(f"DESCRIBE ({query})", "TSVRaw").decode().splitlines()
        return [(name, kind) for name, kind, *_ in (line.split("\t") for line in lines)]

    def blocks(self, statement: str) -> Iterator[bytes]:
        """Yield the answer block by block, as it comes into being."""
        if not _ANSWERS.match(statement):
            reader = Reader(self.ask(statement, "Native"))
            while not reader.at_end:
                yield read_block(reader)[2]
            return
        inner: Any = self._connection._conn
        answer = inner.send_query(statement, "Native", params={})
        finished = False
        try:
            while block := inner.streaming_fetch_result(answer).bytes():
                yield block
            finished = True
        finally:
            if not finished:
                inner.streaming_cancel_query(answer)

    def insert(self, statement: str, form: str, pieces: Iterable[bytes]) -> None:
        """Insert rows in this format, once all of them are here; nothing if `pieces` raises.

        The engine's own way of taking rows in (`send_insert`) loses the errors of the table that takes them.
        """
        file = os.memfd_create("rows")
        try:
            with os.fdopen(file, "wb", closefd=False) as rows:
                rows.writelines(pieces)
            if os.fstat(file).st_size:
                self.ask(f"{statement} SELECT * FROM file('/proc/self/fd/{file}', '{form}')", "TSV")
        finally:
            os.close(file)


def error_code(error: Exception) -> int:
    """Return the engine's number for an error, that of an unknown exception where it says none."""
    found = re.search(r"Code: (\d+)", str(error))
    return int(found[1]) if found else 1002


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
