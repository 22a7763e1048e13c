"""What statements of a transaction share: short answers, tables in memory, and how far the store got."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from pulsebase.model.errors import StoreCorruptError
from pulsebase.stores.duckdb.journal.replay import Position


def one_row(connection: duckdb.DuckDBPyConnection, statement: str, values: object = None) -> tuple[Any, ...] | None:
    """Return the first row of a short answer. All of it is fetched: an unfinished result blocks its connection."""
    rows: list[tuple[Any, ...]] = connection.execute(statement, values).fetchall()
    return rows[0] if rows else None


@contextlib.contextmanager
def relation(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[None]:
    """Let statements of the block use a table in memory under this name."""
    connection.register(name, table)
    try:
        yield
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # a failed transaction refuses this too, which must not hide the cause
            connection.unregister(name)
        raise
    connection.unregister(name)


class State(NamedTuple):
    """The row of `state`; see the schema."""

    merged_seq: int
    late_rows: int
    epoch: int
    horizon_hour: int


def read_state(connection: duckdb.DuckDBPyConnection) -> State:
    """Read the state that this transaction sees."""
    row = one_row(connection, "SELECT merged_seq, late_rows, epoch, horizon_hour FROM state")
    if row is None:
        raise StoreCorruptError("the database has lost its state; restore a backup")
    return State(*row)


def read_position(connection: duckdb.DuckDBPyConnection) -> Position:
    """Read how far the database got, as this transaction sees it."""
    row = one_row(connection, "SELECT merged_seq, merged_file, changes FROM state")
    if row is None:
        raise StoreCorruptError("the database has lost its state; restore a backup")
    return Position(*row)
