"""Removing a person: every row of theirs is deleted in one transaction, and their number is never used again.

Numbers are dense and journal frames refer to them, so the row in `users` stays, emptied. The caller has merged what was
staged, prevents commits until the number is forgotten in memory too, and drops the journal files written before.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from pulsebase.model.users import User, speaks_of
from pulsebase.stores.contract import origin_of_nobody
from pulsebase.stores.duckdb.engine.transactions import one_row
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN

#: Every table with a column of people, except `users` itself; a test compares it with the schema.
TABLES_BY_PERSON = ("priorities", "summaries", "annotations")
#: Every table whose column `user_no` is the number of a series.
TABLES_BY_SERIES = ("stored", "late", "h1_dev", "h1", "d1", "q15", "q15_users")


def rows_by_hour(connection: duckdb.DuckDBPyConnection, series: Sequence[int]) -> dict[int, int]:
    """Count the rows of `readings` of these series by UTC hour."""
    return dict(
        connection.execute(
            "SELECT hour, sum(n_all)::BIGINT FROM h1_dev WHERE user_no IN (SELECT unnest(?)) "
            "AND hour >= (SELECT horizon_hour FROM state) GROUP BY hour",
            [list(series)],
        ).fetchall()
    )


def remove_rows(connection: duckdb.DuckDBPyConnection, user_no: int, series: Sequence[int]) -> int:
    """Delete a person, with their series, from every table, and advance the epoch of priorities; return how many rows
    `late` still has.
    """
    for table in TABLES_BY_SERIES:
        for series_no in series:
            connection.execute(f"DELETE FROM {table} WHERE user_no = ?", [series_no])
    for table in TABLES_BY_PERSON:
        connection.execute(f"DELETE FROM {table} WHERE user_no = ?", [user_no])
    connection.execute(
        "UPDATE users SET user_id = ?, name = NULL, gender = NULL, birth_date = NULL, time_zone = NULL, "
        "name_folded = NULL "
        "WHERE user_no = ?",
        [FORGOTTEN, user_no],
    )
    late = one_row(connection, "SELECT count(*) FROM late")
    late_rows = int(late[0]) if late else 0
    connection.execute("UPDATE state SET late_rows = ?, epoch = epoch + 1", [late_rows])
    return late_rows


def forget_devices(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """Erase the ids of devices that nobody has readings of or priorities for; return their numbers. Rows stay."""
    found = connection.execute(
        "SELECT device_no FROM devices WHERE device_id <> ? AND device_no NOT IN (SELECT device_no FROM h1_dev "
        "UNION SELECT device_no FROM late UNION SELECT device_no FROM priorities)",
        [FORGOTTEN],
    ).fetchall()
    numbers = [number for (number,) in found]
    for number in numbers:
        connection.execute("UPDATE devices SET device_id = ? WHERE device_no = ?", [FORGOTTEN, number])
    return numbers


def rename_origins(connection: duckdb.DuckDBPyConnection, person: User) -> None:
    """Replace the names of syncs and imports that mention the person."""
    for number, name in connection.execute("SELECT origin, name FROM origins").fetchall():
        if speaks_of(name, person):
            connection.execute("UPDATE origins SET name = ? WHERE origin = ?", [origin_of_nobody(number), number])
