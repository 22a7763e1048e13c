"""Compares every rollup with a recomputation from the raw readings."""

from __future__ import annotations

import duckdb

from pulsebase.stores.contract import CheckReport
from pulsebase.stores.duckdb.database import one_row
from pulsebase.stores.duckdb.names import FORGOTTEN
from pulsebase.stores.duckdb.resolve_sql import DAYS, DEVICE_HOURS, RESOLVED_HOURS, RESOLVED_QUARTERS

_RECOMPUTED = {
    "h1_dev": DEVICE_HOURS.format(source="SELECT * FROM readings"),
    "h1": RESOLVED_HOURS.format(hours="SELECT DISTINCT user_no, hour FROM h1_dev"),
    "q15": RESOLVED_QUARTERS.format(
        hours="SELECT DISTINCT user_no, hour FROM h1_dev SEMI JOIN q15_users USING (user_no)"
    ),
    "d1": DAYS.format(source="SELECT * FROM h1"),
}


def check(connection: duckdb.DuckDBPyConnection) -> CheckReport:
    """What is kept twice, compared on one snapshot."""
    problems = []
    rollup_rows = 0
    for table, recomputed in _RECOMPUTED.items():
        kept = f"SELECT * FROM {table}"
        missing = _count(connection, f"({recomputed}) EXCEPT ALL ({kept})")
        surplus = _count(connection, f"({kept}) EXCEPT ALL ({recomputed})")
        rollup_rows += _count(connection, kept)
        if missing or surplus:
            problems.append(f"{table}: {surplus} rows differ from the readings, {missing} recomputed rows are not kept")
    doubles = _count(connection, "SELECT 1 FROM readings GROUP BY user_no, device_no, t HAVING count(*) > 1")
    if doubles:
        problems.append(f"readings: {doubles} readings are stored more than once")
    for column, table in (("user_no", "users"), ("device_no", "devices")):
        lost = _count(connection, f"SELECT 1 FROM h1_dev ANTI JOIN {table} USING ({column})")
        if lost:
            problems.append(f"{table}: {lost} hours belong to a number that has no row")
    ghosts = _count(connection, f"SELECT 1 FROM h1_dev JOIN users USING (user_no) WHERE user_id = '{FORGOTTEN}'")
    if ghosts:
        problems.append(f"users: {ghosts} hours belong to somebody who was removed")
    return CheckReport(_count(connection, "SELECT 1 FROM readings"), rollup_rows, tuple(problems))


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = one_row(connection, f"SELECT count(*) FROM ({query})")
    return int(row[0]) if row else 0
