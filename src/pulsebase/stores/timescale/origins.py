"""Decide which origin a reading has after several writes, by the rule stated at `contract.Writer.write`.

The rows of a reading, in commit order, form a chain. The reading's origin is that of the last row that changed
something or that a device sent. Every merge and every query follows this rule, so that the result does not depend on
when merges happen.
"""

from __future__ import annotations

from pulsebase.stores.contract import PUSH_KIND
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.rollup_sql import APART, IN_ORDER, LAST_OF_EACH

_PUSHES = f"SELECT origin FROM pulsebase.origins WHERE kind = '{PUSH_KIND}'"
_OF_EACH = 'PARTITION BY user_id COLLATE "C", device_id COLLATE "C", timestamp ORDER BY seq'


def _brought(chain: str) -> str:
    """Return SQL for the last row of each chain, with the origin that the chain gives the reading. `settled` says that
    the origin does not depend on what was stored before the chain.
    """
    return f"""
SELECT {LAST_OF_EACH} user_id, device_id, timestamp, v, confidence, origin, settled OR NOT first AS settled
FROM (
    SELECT *, row_number() OVER each = 1 AS first,
           v <> lag(v) OVER each OR confidence IS DISTINCT FROM lag(confidence) OVER each AS changed
    FROM ({chain}) AS chain WINDOW each AS ({_OF_EACH})
) AS rows WHERE first OR changed OR settled OR origin IN ({_PUSHES}) {IN_ORDER}"""


def staged(inside: str = "true") -> str:
    """Return SQL for the staged readings, each once, under its origin. A reading sent by a device keeps that origin;
    for all others the merged row is looked up.
    """
    rows = "seq, user_id, device_id, timestamp, v, confidence, origin"
    return _brought(f"""
        SELECT {rows}, false AS settled FROM pulsebase.stage WHERE {inside}
        UNION ALL
        SELECT 0, r.user_id, r.device_id, r.timestamp, (r.value * 100)::smallint, r.confidence, r.origin, false
        FROM (
            SELECT DISTINCT user_id, device_id, timestamp FROM pulsebase.stage
            WHERE {inside} AND origin NOT IN ({_PUSHES})
        ) AS s CROSS JOIN LATERAL (
            SELECT * FROM public.activities_heart_intraday AS i
            WHERE i.user_id = s.user_id AND i.device_id = s.device_id AND i.timestamp = s.timestamp
            {APART}
        ) AS r""")


def push_origins(connection: Connection) -> list[int]:
    """Return the numbers of the origins under which devices push readings."""
    return [origin for (origin,) in connection.execute(_PUSHES, binary=True).fetchall()]


def settle(connection: Connection, chain: str) -> None:
    """Set the origins of the rows of `incoming`, given the chains of rows that end with them."""
    asked = f"SELECT user_id, device_id, timestamp FROM incoming WHERE origin NOT IN ({_PUSHES})"
    found = _brought(f"SELECT c.* FROM ({chain}) AS c JOIN ({asked}) AS a USING (user_id, device_id, timestamp)")
    connection.execute(
        f"UPDATE incoming AS i SET origin = b.origin, settled = b.settled FROM ({found}) AS b "
        "WHERE b.user_id = i.user_id AND b.device_id = i.device_id AND b.timestamp = i.timestamp"
    )
