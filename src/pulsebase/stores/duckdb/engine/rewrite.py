"""Copying a database into a new file, row by row.

The engine leaves deleted bytes in its file until it reuses their blocks; a copy has none of them.
"""

from __future__ import annotations

import duckdb

#: How many rows are in memory at once on their way from one file to the other.
_BATCH_ROWS = 1 << 17


def copy_all(source: duckdb.DuckDBPyConnection, target: duckdb.DuckDBPyConnection) -> None:
    """Copy every row that `source` sees, in its order, into the tables of `target`, whose schema is new."""
    for (table,) in source.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary").fetchall():
        target.execute(f"DELETE FROM {table}")  # rows that the schema files insert
        target.register("incoming", source.sql(f"SELECT * FROM {table}").to_arrow_reader(_BATCH_ROWS))
        target.execute(f"INSERT INTO {table} SELECT * FROM incoming")
        target.unregister("incoming")
