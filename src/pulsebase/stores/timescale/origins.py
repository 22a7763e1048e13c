"""Which origin a reading has after several writes of it, by the rule of `contract.Writer.write`, and how many readings
an origin has, of everybody or of a person.

The rows of a reading, in commit order, form a chain. The reading's origin is that of the last row that changed
something or that a device sent. Every merge and every query decides by this rule, so the origin does not depend on
which merges ran in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulsebase.stores.contract import OriginExtent
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.horizon import HORIZON
from pulsebase.stores.postgres.origins import PUSHES
from pulsebase.stores.postgres.series_keys import keys_of
from pulsebase.stores.timescale.raw_tables import RAW_TABLES, RawTable, readings
from pulsebase.stores.timescale.rollup_sql import APART, IN_ORDER, LAST_OF_EACH, bucket

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
) AS rows WHERE first OR changed OR settled OR origin IN ({PUSHES}) {IN_ORDER}"""


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
            WHERE {inside} AND origin NOT IN ({PUSHES})
        ) AS s CROSS JOIN LATERAL (
            {readings("i.user_id = s.user_id AND i.device_id = s.device_id AND i.timestamp = s.timestamp", tables)}
        ) AS r""")


def settle(connection: Connection, chain: str) -> None:
    """Give each row of `incoming` the origin that its reading has after the chain that ends with the row."""
    asked = f"SELECT user_id, device_id, timestamp FROM incoming WHERE origin NOT IN ({PUSHES})"
    found = _brought(f"SELECT c.* FROM ({chain}) AS c JOIN ({asked}) AS a USING (user_id, device_id, timestamp)")
    connection.execute(
        f"UPDATE incoming AS i SET origin = b.origin, settled = b.settled FROM ({found}) AS b "
        "WHERE b.user_id = i.user_id AND b.device_id = i.device_id AND b.timestamp = i.timestamp"
    )


_LIVE = f"start_at >= {HORIZON}"
#: Merged readings are counted by whole days and hours if those have a single origin, and one by one otherwise. Days and
#: hours before the horizon hold no readings any more.
_ORIGIN_READINGS = f"""
WITH staged AS ({staged()}),
counted AS (
    SELECT origin, n_all AS n FROM pulsebase.d1_dev WHERE origin = ANY(%(origins)s) AND {_LIVE}
    UNION ALL
    SELECT h.origin, h.n_all FROM pulsebase.d1_dev AS d CROSS JOIN LATERAL (
        SELECT * FROM pulsebase.h1_dev AS i
        WHERE i.user_id = d.user_id AND i.device_id = d.device_id
          AND i.start_at >= d.start_at AND i.start_at < d.start_at + INTERVAL '1 day' AND i.origin = ANY(%(origins)s)
        {APART}
    ) AS h WHERE d.origin IS NULL AND d.{_LIVE}
    UNION ALL
    SELECT r.origin, r.n FROM pulsebase.h1_dev AS h CROSS JOIN LATERAL (
        SELECT origin, count(*) AS n FROM (
            {
    readings(
        "i.user_id = h.user_id AND i.device_id = h.device_id "
        "AND i.timestamp >= h.start_at AND i.timestamp < h.start_at + INTERVAL '1 hour'"
    )
}
        ) AS of_hour GROUP BY origin
    ) AS r WHERE h.origin IS NULL AND h.{_LIVE}
    UNION ALL
    SELECT origin, 1 FROM staged
    UNION ALL
    SELECT r.origin, -1 FROM staged AS s CROSS JOIN LATERAL (
        {readings("i.user_id = s.user_id AND i.device_id = s.device_id AND i.timestamp = s.timestamp")}
    ) AS r
)
SELECT origin, sum(n)::bigint FROM counted WHERE origin = ANY(%(origins)s) GROUP BY origin
"""


#: The same of a person, reading by reading only in hours with staged readings or with several origins.
_ORIGIN_EXTENTS = f"""
WITH staged AS ({staged("user_id = ANY(%(users)s)")}),
dirty AS (SELECT DISTINCT user_id, {bucket("1 hour")} AS start_at FROM staged),
mixed AS (SELECT DISTINCT user_id, {bucket("1 day", "start_at")} AS start_at FROM dirty),
days AS (
    SELECT d.*, d.origin IS NULL OR EXISTS (
        SELECT FROM mixed WHERE mixed.user_id = d.user_id AND mixed.start_at = d.start_at
    ) AS divided
    FROM pulsebase.d1_dev AS d WHERE d.user_id = ANY(%(users)s) AND d.{_LIVE}
),
hours AS (
    SELECT h.*, EXISTS (SELECT FROM dirty WHERE dirty.user_id = h.user_id AND dirty.start_at = h.start_at) AS is_dirty
    FROM days AS d CROSS JOIN LATERAL (
        SELECT * FROM pulsebase.h1_dev AS i
        WHERE i.user_id = d.user_id AND i.device_id = d.device_id
          AND i.start_at >= d.start_at AND i.start_at < d.start_at + INTERVAL '1 day'
        {APART}
    ) AS h WHERE d.divided
),
found AS (
    SELECT origin, n_all, first_at, last_at FROM days WHERE NOT divided
    UNION ALL
    SELECT origin, n_all, first_at, last_at FROM hours WHERE origin IS NOT NULL AND NOT is_dirty
    UNION ALL
    SELECT r.origin, 1, r.timestamp, r.timestamp FROM hours AS h CROSS JOIN LATERAL (
        {
    readings(
        "i.user_id = h.user_id AND i.device_id = h.device_id "
        "AND i.timestamp >= h.start_at AND i.timestamp < h.start_at + INTERVAL '1 hour'"
    )
}
    ) AS r
    WHERE (h.origin IS NULL OR h.is_dirty) AND NOT EXISTS (
        SELECT FROM staged AS s
        WHERE s.user_id = r.user_id AND s.device_id = r.device_id AND s.timestamp = r.timestamp
    )
    UNION ALL
    SELECT origin, 1, timestamp, timestamp FROM staged
)
SELECT origin, sum(n_all)::bigint, min(first_at), max(last_at) FROM found GROUP BY origin ORDER BY origin
"""


def origin_extents(connection: Connection, user_id: str) -> list[OriginExtent]:
    """See `contract.Reader.origin_extents`."""
    keys = list(keys_of(connection, [user_id]))
    rows = connection.execute(_ORIGIN_EXTENTS, {"users": keys}, binary=True).fetchall()
    return [OriginExtent(*row) for row in rows]


def origin_readings(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """How many readings are stored under each of these numbers, if any are."""
    rows = connection.execute(_ORIGIN_READINGS, {"origins": list(numbers)}, binary=True).fetchall()
    return {int(number): int(readings) for number, readings in rows}
