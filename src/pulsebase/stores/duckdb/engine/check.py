"""The check: reads every block, and compares every rollup with a recomputation from the raw readings."""

from __future__ import annotations

import duckdb

from pulsebase.model.errors import StoreCorruptError
from pulsebase.stores.contract import CheckReport
from pulsebase.stores.duckdb.engine.database import Database
from pulsebase.stores.duckdb.engine.transactions import one_row
from pulsebase.stores.duckdb.merge.rollup_sql import DAYS, DEVICE_HOURS, RESOLVED_HOURS, RESOLVED_QUARTERS
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN
from pulsebase.stores.duckdb.people.series_numbers import MOST_PEOPLE, PERSON_OF

_PERSON = PERSON_OF.format(column="h1_dev.user_no")
_METRIC = f"h1_dev.user_no // {MOST_PEOPLE}"
_KEYS = {"users": "user_no", "devices": "device_no", "metrics": "metric_no"}
_LIVE_HOUR = "hour >= (SELECT horizon_hour FROM state)"
#: What can be recomputed: days from hours at any time, the rest where readings have not expired.
_LIVE = {
    "h1_dev": _LIVE_HOUR,
    "h1": _LIVE_HOUR,
    "q15": "quarter // 4 >= (SELECT horizon_hour FROM state)",
    "d1": "true",
}
_RECOMPUTED = {
    "h1_dev": DEVICE_HOURS.format(source="SELECT * FROM readings"),
    "h1": RESOLVED_HOURS.format(hours=f"SELECT DISTINCT user_no, hour FROM h1_dev WHERE {_LIVE_HOUR}"),
    "q15": RESOLVED_QUARTERS.format(
        hours=f"SELECT DISTINCT user_no, hour FROM h1_dev SEMI JOIN q15_users USING (user_no) WHERE {_LIVE_HOUR}"
    ),
    "d1": DAYS.format(source="SELECT * FROM h1"),
}
#: Counts the recomputed rows that are missing, the kept rows that should not exist, and the kept rows. A correct row
#: occurs once on each side.
_COMPARED = """
SELECT coalesce(sum(greatest(balance, 0)), 0), coalesce(sum(greatest(-balance, 0)), 0), coalesce(sum(kept_rows), 0)
FROM (
    SELECT * EXCLUDE (side), sum(side) AS balance, count(*) FILTER (side < 0) AS kept_rows
    FROM (SELECT *, 1 AS side FROM ({recomputed}) UNION ALL SELECT *, -1 FROM {table} WHERE {live})
    GROUP BY ALL
)
"""


_TABLES = "SELECT table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY table_name"
#: Makes the engine read every value of a table, and so verify the checksum of every block.
_EVERYTHING = "SELECT count(*), bit_xor(hash(everything)) FROM {table} AS everything"


def unreadable(database: Database) -> list[str]:
    """Say which tables have blocks that are not what was written. Blocks in the engine's memory are not read again."""
    with database.reading() as connection:
        tables = connection.execute(_TABLES).fetchall()
    problems = []
    for (table,) in tables:
        try:
            with database.reading() as connection:
                one_row(connection, _EVERYTHING.format(table=table))
        except StoreCorruptError as error:
            problems.append(f"{table}: {error}")
    return problems


def check(connection: duckdb.DuckDBPyConnection) -> CheckReport:
    """Compare every rollup with its recomputation, on one snapshot."""
    problems = []
    rollup_rows = 0
    for table, recomputed in _RECOMPUTED.items():
        row = one_row(connection, _COMPARED.format(recomputed=recomputed, table=table, live=_LIVE[table]))
        missing, surplus, kept = map(int, row or (0, 0, 0))
        rollup_rows += kept
        if missing or surplus:
            problems.append(f"{table}: {surplus} rows differ from the readings, {missing} recomputed rows are not kept")
    expired = _count(connection, "SELECT 1 FROM readings WHERE NOT second // 3600 >= (SELECT horizon_hour FROM state)")
    if expired:
        problems.append(f"readings: {expired} readings should have expired")
    doubles = _count(connection, "SELECT 1 FROM readings GROUP BY user_no, device_no, t HAVING count(*) > 1")
    if doubles:
        problems.append(f"readings: {doubles} readings are stored more than once")
    for column, table in ((_PERSON, "users"), ("h1_dev.device_no", "devices"), (_METRIC, "metrics")):
        key = _KEYS[table]
        lost = _count(connection, f"SELECT 1 FROM h1_dev ANTI JOIN {table} ON {column} = {table}.{key}")
        if lost:
            problems.append(f"{table}: {lost} hours belong to a number that has no row")
    ghosts = _count(
        connection, f"SELECT 1 FROM h1_dev JOIN users ON {_PERSON} = users.user_no WHERE user_id = '{FORGOTTEN}'"
    )
    if ghosts:
        problems.append(f"users: {ghosts} hours belong to somebody who was removed")
    return CheckReport(_count(connection, "SELECT 1 FROM readings"), rollup_rows, tuple(problems))


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = one_row(connection, f"SELECT count(*) FROM ({query})")
    return int(row[0]) if row else 0
