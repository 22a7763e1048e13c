"""The schema of the database file: which version it has, and how an older one is brought up to date."""

from __future__ import annotations

import re
import shutil
import uuid
from importlib import resources
from pathlib import Path

import duckdb

from pulsebase.model.errors import StopError, StoreCorruptError, StoreVersionError
from pulsebase.stores.duckdb.engine.after_migrations import AFTERWARDS
from pulsebase.stores.duckdb.engine.engine_errors import damaged
from pulsebase.stores.duckdb.engine.transactions import one_row
from pulsebase.stores.duckdb.journal.format import NO_FILE

#: The size of a DuckDB file's headers, which come before its blocks.
_HEADERS_BYTES = 3 * 4096
_NUMBERED = re.compile(r"(\d{4})_\w+\.sql")


def migrations() -> list[tuple[int, str]]:
    """Return the numbered schema files as (number, SQL), in order."""
    found = []
    for entry in resources.files("pulsebase.stores.duckdb.engine").joinpath("schema").iterdir():
        match = _NUMBERED.fullmatch(entry.name)
        if match:
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Migrate the schema, after copying the file if it has an older one; return the store's instance id."""
    known = migrations()
    newest = known[-1][0]
    current = _schema_version(connection, path)
    if current > newest:
        raise StoreVersionError(
            f"{path} has schema version {current}, this program knows versions up to {newest}; use a newer Pulsebase"
        )
    if 0 < current < newest:
        connection.execute("CHECKPOINT")
        shutil.copy2(path, path.with_name(f"{path.name}.before-schema-{newest}"))
    if current < newest:
        _bring_up_to_date(connection, known, current)
    row = one_row(connection, "SELECT value FROM meta WHERE key = 'instance_id'")
    if row is None:
        raise StoreCorruptError(f"{path} has no instance id; restore a backup", path.name)
    return str(row[0])


def _bring_up_to_date(connection: duckdb.DuckDBPyConnection, known: list[tuple[int, str]], current: int) -> None:
    """Migrate the schema from this version on, in one transaction: all of it is kept or nothing."""
    connection.execute("BEGIN")
    for number, sql in known:
        if number > current:
            connection.execute(sql)
            if number in AFTERWARDS:
                AFTERWARDS[number](connection)
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('schema_version', ?), ('engine_version', ?)",
        [str(known[-1][0]), str(duckdb.__version__)],
    )
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('instance_id', ?)", [str(uuid.uuid4())])
    if current == 0:
        connection.execute("UPDATE state SET merged_file = ?", [NO_FILE])
    connection.execute("COMMIT")
    connection.execute("CHECKPOINT")  # so that no journal of the new version goes with an older file


def _schema_version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    _check_length(connection, path)
    try:
        row = one_row(connection, "SELECT value FROM meta WHERE key = 'schema_version'")
    except duckdb.CatalogException:
        # Only asked now, since the list takes longer than everything else here.
        if one_row(connection, "SELECT table_name FROM duckdb_tables() WHERE NOT internal LIMIT 1") is None:
            return 0
        raise StopError(f"{path} is a DuckDB database, but not of Pulsebase; name another file") from None
    return int(row[0]) if row else 0


def _check_length(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a file that was cut short: the engine notices only when it reads what is gone.

    Free blocks may be missing: those at the end are cut off after a checkpoint whose header still counts them.
    """
    row = one_row(connection, "SELECT block_size, used_blocks FROM pragma_database_size()")
    size = path.stat().st_size
    if row is not None and size < _HEADERS_BYTES + row[0] * row[1]:
        raise damaged(path, f"it was cut short to {size} bytes")
