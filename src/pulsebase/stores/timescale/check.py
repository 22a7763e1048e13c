"""The check: compares every rollup with a recomputation from the merged readings."""

from __future__ import annotations

from pulsebase.stores.contract import CheckReport
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.horizon import HORIZON
from pulsebase.stores.postgres.series_keys import of_heart_rate, person_of
from pulsebase.stores.timescale.raw_tables import RAW_TABLES, count, readings
from pulsebase.stores.timescale.rollup_sql import (
    DEVICE_HOURS,
    DEVICE_MINUTES,
    MERGED,
    WON,
    bucket,
    buckets_of,
    coarser,
    device_days,
)

_ROWS = f"rows AS (SELECT {MERGED}, r.origin FROM ({readings('true')}) AS r)"
_RECOMPUTED = {
    "h1_dev": f"WITH {_ROWS}, minutes AS ({DEVICE_MINUTES}) {DEVICE_HOURS}",
    "d1_dev": device_days("pulsebase.h1_dev"),
    "q15": f"WITH {_ROWS}, {WON} {buckets_of('won', bucket('15 minutes'))}",
    "h1": f"WITH {_ROWS}, {WON} {buckets_of('won', bucket('1 hour'))}",
    "d1": coarser("pulsebase.h1", "1 day"),
}

#: What is computed from readings can be recomputed where they have not expired.
_FROM_READINGS = ("h1_dev", "q15", "h1")
_LIVE = f"start_at >= {HORIZON}"


def check(connection: Connection) -> CheckReport:
    """Compare every rollup with its recomputation, on one snapshot."""
    problems = []
    rollup_rows = 0
    for table, recomputed in _RECOMPUTED.items():
        kept = f"SELECT * FROM pulsebase.{table} WHERE {_LIVE if table in _FROM_READINGS else 'true'}"
        missing = _count(connection, f"({recomputed}) EXCEPT ALL ({kept})")
        surplus = _count(connection, f"({kept}) EXCEPT ALL ({recomputed})")
        rollup_rows += _count(connection, kept)
        if missing or surplus:
            problems.append(f"{table}: {surplus} rows differ from the readings, {missing} recomputed rows are not kept")
    nobody = _count(
        connection,
        "SELECT FROM pulsebase.h1_dev AS h WHERE NOT EXISTS (SELECT FROM pulsebase.devices AS d JOIN pulsebase.users "
        f"USING (user_id) WHERE d.user_id = {person_of('h.user_id')} AND d.device_id = h.device_id)",
    )
    if nobody:
        problems.append(f"devices: {nobody} hours belong to a person or device that is not known")
    of_none = _count(
        connection,
        f"SELECT FROM pulsebase.h1_dev AS h WHERE NOT {of_heart_rate('h.user_id')} "
        "AND NOT EXISTS (SELECT FROM pulsebase.series JOIN pulsebase.metrics USING (metric) WHERE key = h.user_id)",
    )
    if of_none:
        problems.append(f"series: {of_none} hours belong to a series that is not known")
    for raw in RAW_TABLES:
        if strangers := _count(connection, f"SELECT FROM {raw.full_name} WHERE NOT ({raw.has_keys})"):
            problems.append(f"{raw.full_name}: {strangers} readings are of another table's metrics")
    return CheckReport(count(connection), rollup_rows, tuple(problems))


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM ({query}) AS q", binary=True).fetchone()
    return int(row[0]) if row else 0
