"""What a migration needs besides its SQL."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from pulsebase.model.users import folded


def fold_names(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill `users.name_folded` of everybody with a name."""
    rows = connection.execute("SELECT user_no, name FROM users WHERE name IS NOT NULL").fetchall()
    table = pa.table(
        {
            "user_no": pa.array([user_no for user_no, _ in rows], pa.int32()),
            "name_folded": pa.array([folded(name) for _, name in rows], pa.string()),
        }
    )
    connection.register("folded", table)
    connection.execute(
        "UPDATE users SET name_folded = folded.name_folded FROM folded WHERE users.user_no = folded.user_no"
    )
    connection.unregister("folded")


#: By the number of the migration after which each is called, in the same transaction.
AFTERWARDS = {5: fold_names}
