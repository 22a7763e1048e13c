"""Compares every rollup with a recomputation from the merged readings."""

from __future__ import annotations

from pulsebase.stores.contract import CheckReport
from pulsebase.stores.timescale.database import Connection
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

_ROWS = f"rows AS (SELECT {MERGED}, r.origin FROM public.activities_heart_intraday AS r)"
_RECOMPUTED = {
    "h1_dev": f"WITH {_ROWS}, minutes AS ({DEVICE_MINUTES}) {DEVICE_HOURS}",
    "d1_dev": device_days("pulsebase.h1_dev"),
    "q15": f"WITH {_ROWS}, {WON} {buckets_of('won', bucket('15 minutes'))}",
    "h1": f"WITH {_ROWS}, {WON} {buckets_of('won', bucket('1 hour'))}",
    "d1": coarser("pulsebase.h1", "1 day"),
}

#: Rollups computed from readings, which can be checked only where the readings have not expired.
_FROM_READINGS = ("h1_dev", "q15", "h1")
_LIVE = "start_at >= (SELECT start_at FROM pulsebase.horizon)"


def check(connection: Connection) -> CheckReport:
    """Compare every rollup with its recomputation, in one snapshot."""
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
        "USING (user_id) WHERE d.user_id = h.user_id AND d.device_id = h.device_id)",
    )
    if nobody:
        problems.append(f"devices: {nobody} hours belong to a person or device that is not known")
    return CheckReport(_count(connection, "SELECT FROM public.activities_heart_intraday"), rollup_rows, tuple(problems))


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM ({query}) AS q", binary=True).fetchone()
    return int(row[0]) if row else 0
