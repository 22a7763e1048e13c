"""Wiping out merged rows that say that readings are gone, and the rows that they stand for.

The engine drops a replaced row when it likes, and changes one part of a table after the other. If the row that says
that a reading is gone went first, the row it replaced would be seen again. So first the replaced ones go, everywhere,
and then those that say so. Whatever interrupts this leaves every answer as it was; it is begun anew another time.
"""

from __future__ import annotations

from pulsebase.stores.clickhouse.chains import KEY
from pulsebase.stores.clickhouse.commits import PLACES
from pulsebase.stores.clickhouse.engine import Server

_FOUND = "SELECT _partition_id AS month, count() AS n FROM readings WHERE gone = 1 AND stamp < {end} GROUP BY month"
#: Readings whose last row says that they are gone. A later one that is not old enough to go may say so too.
_GONE = f"""
SELECT {KEY} FROM readings
WHERE _partition_id = '{{month}}' AND ({KEY}) IN (
    SELECT {KEY} FROM readings WHERE _partition_id = '{{month}}' AND gone = 1 AND stamp < {{end}}
)
GROUP BY {KEY} HAVING argMax(gone, stamp) = 1
"""
_STEPS = (
    f"ALTER TABLE readings DELETE IN PARTITION ID '{{month}}' "
    f"WHERE gone = 0 AND stamp < {{end}} AND ({KEY}) IN ({_GONE}) SETTINGS mutations_sync = 2",
    "ALTER TABLE readings DELETE IN PARTITION ID '{month}' "
    "WHERE gone = 1 AND stamp < {end} SETTINGS mutations_sync = 2",
)


def clean(server: Server, to: int, least: int, limit_s: float) -> int:
    """Wipe out what is gone by commits up to `to` on a shard, in months with at least so many such rows; return how
    many there were.

    No merge may still write rows of these commits: they have left the stage so long ago that none is under way.
    """
    end = (to + 1) * PLACES
    count = 0
    for row in server.ask(_FOUND.format(end=end), limit_s).to_pylist():
        if row["n"] >= least:
            for step in _STEPS:
                server.command(step.format(month=row["month"], end=end), limit_s)
            count += row["n"]
    return count
