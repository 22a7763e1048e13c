"""Which origin a reading has after several writes of it, by the rule of `contract.Writer.write`.

The rows of a reading, in commit order, form a chain. The reading's origin is that of the last row that changed
something or that a device sent. Every merge and every query decides by this rule, so the origin does not depend on
which merges ran in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulsebase.stores.contract import PUSH_KIND
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.timescale.raw_tables import RAW_TABLES, RawTable, readings
from pulsebase.stores.timescale.rollup_sql import IN_ORDER, LAST_OF_EACH

_PUSHES = f"SELECT origin FROM pulsebase.origins WHERE kind = '{PUSH_KIND}'"
_OF_EACH = 'PARTITION BY user_id COLLATE "C", device_id COLLATE "C", timestamp ORDER BY seq'


def _brought(chain: str) -> str:
    """Write the query for the row of each chain that gave the reading its origin.

    Its column `settled` says that the row would do so whatever was stored before the chain.
    """
    return f"""
SELECT {LAST_OF_EACH} user_id, device_id, timestamp, v, confidence, origin, settled OR NOT first AS settled
FROM (
    SELECT *, row_number() OVER each = 1 AS first,
           v <> lag(v) OVER each OR confidence IS DISTINCT FROM lag(confidence) OVER each AS changed
    FROM ({chain}) AS chain WINDOW each AS ({_OF_EACH})
) AS rows WHERE first OR changed OR settled OR origin IN ({_PUSHES}) {IN_ORDER}"""


def staged(inside: str = "true", tables: Sequence[RawTable] = RAW_TABLES) -> str:
    """Write the query for staged readings, each once, under its origin; all are of series of these tables.

    A row that a device sent keeps its origin whatever is merged; for the others the merged row is looked up.
    """
    rows = "seq, user_id, device_id, timestamp, v, confidence, origin"
    return _brought(f"""
        SELECT {rows}, false AS settled FROM pulsebase.stage WHERE {inside}
        UNION ALL
        SELECT 0, r.user_id, r.device_id, r.timestamp, r.v, r.confidence, r.origin, false
        FROM (
            SELECT DISTINCT user_id, device_id, timestamp FROM pulsebase.stage
            WHERE {inside} AND origin NOT IN ({_PUSHES})
        ) AS s CROSS JOIN LATERAL (
            {readings("i.user_id = s.user_id AND i.device_id = s.device_id AND i.timestamp = s.timestamp", tables)}
        ) AS r""")


def push_origins(connection: Connection) -> list[int]:
    """Return the numbers of the origins by which devices push."""
    return [origin for (origin,) in connection.execute(_PUSHES, binary=True).fetchall()]


def settle(connection: Connection, chain: str) -> None:
    """Give each row of `incoming` the origin that its reading has after the chain that ends with the row."""
    asked = f"SELECT user_id, device_id, timestamp FROM incoming WHERE origin NOT IN ({_PUSHES})"
    found = _brought(f"SELECT c.* FROM ({chain}) AS c JOIN ({asked}) AS a USING (user_id, device_id, timestamp)")
    connection.execute(
        f"UPDATE incoming AS i SET origin = b.origin, settled = b.settled FROM ({found}) AS b "
        "WHERE b.user_id = i.user_id AND b.device_id = i.device_id AND b.timestamp = i.timestamp"
    )
