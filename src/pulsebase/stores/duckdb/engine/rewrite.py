"""Everything that a database file holds, copied into a new one, row by row.

The engine leaves what was deleted in its file until it needs the place; a copy has none of it.
"""

from __future__ import annotations

import duckdb

#: Rows that are on their way from one file to the other at once.
_BATCH_ROWS = 1 << 17


def copy_all(source: duckdb.DuckDBPyConnection, target: duckdb.DuckDBPyConnection) -> None:
    """Bring every row that `source` sees, in its order, into the tables of `target`, which were just made."""
    for (table,) in source.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary").fetchall():
        target.execute(f"DELETE FROM {table}")  # what making the tables has put there
        target.register("incoming", source.sql(f"SELECT * FROM {table}").to_arrow_reader(_BATCH_ROWS))
        target.execute(f"INSERT INTO {table} SELECT * FROM incoming")
        target.unregister("incoming")
