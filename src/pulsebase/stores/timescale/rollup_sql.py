"""Rollups in SQL, of any relation of readings: the same text serves merges, queries and the check.

A relation of readings, `rows`, has `user_id` (the key of a series, see `series_keys`), `device_id`, `timestamp`, `v`
(stored units) and `confidence`, each reading once, and holds whole minutes. The property tests compare all of it with
the memory store.
"""

from __future__ import annotations

from pulsebase.model.users import DEFAULT_PRIORITIES, UNKNOWN_PRIORITY
from pulsebase.stores.postgres.series_keys import person_of

_EPOCH = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"
#: A relation of readings: the merged ones, by the alias `r`.
MERGED = "r.user_id, r.device_id, r.timestamp, r.v, r.confidence"

#: Selects the last of several staged rows of a reading. Sorted by bytes, the cheapest order for a server.
LAST_OF_EACH = 'DISTINCT ON (user_id COLLATE "C", device_id COLLATE "C", timestamp)'
IN_ORDER = 'ORDER BY user_id COLLATE "C", device_id COLLATE "C", timestamp, seq DESC'

#: Ends a lateral subquery that finds readings by person and hour, so that it is planned on its own, as an index search,
#: rather than turned into a join that reads everything these people have.
APART = "OFFSET 0"


def bucket(step: str, column: str = "timestamp") -> str:
    """Write the expression for the start of a time's bucket; `step` is an interval of at most a day."""
    return f"date_bin(INTERVAL '{step}', {column}, {_EPOCH})"


def priority() -> str:
    """Write the expression for the device's priority in the minute of a row `m`.

    Most people have no priorities of their own and are not looked up minute by minute.
    """
    cases = " ".join(f"WHEN '{device_id}' THEN {priority}" for device_id, priority in DEFAULT_PRIORITIES.items())
    return f"""coalesce(
        CASE WHEN {person_of("m.user_id")} IN (SELECT user_id FROM pulsebase.priorities) THEN (
            SELECT p.priority FROM pulsebase.priorities AS p
            WHERE p.user_id = {person_of("m.user_id")} AND p.device_id = m.device_id AND p.valid_from <= m.minute
            ORDER BY p.valid_from DESC LIMIT 1
        ) END,
        CASE m.device_id {cases} ELSE {UNKNOWN_PRIORITY} END
    )"""


#: The counted readings, and those of them from their minute's winner. Follows the relation `rows`.
COUNTED = f"""
counted AS (
    SELECT user_id, device_id, timestamp, v, confidence, {bucket("1 minute")} AS minute
    FROM rows WHERE confidence IS DISTINCT FROM 0
)"""
WON = f"""{COUNTED},
winners AS (
    SELECT DISTINCT ON (user_id COLLATE "C", minute) user_id, minute, device_id
    FROM (SELECT DISTINCT user_id, minute, device_id FROM counted) AS m
    ORDER BY user_id COLLATE "C", minute, {priority()}, device_id COLLATE "C"
),
won AS (SELECT counted.* FROM counted JOIN winners USING (user_id, minute, device_id))"""


def buckets_of(source: str, start_at: str, keys: str = "user_id", condition: str = "true") -> str:
    """Write the query for buckets of counted readings; `source` has a column `minute`.

    Minutes are counted by a second grouping, which is cheaper than counting distinct ones.
    """
    return f"""
SELECT {keys}, start_at, sum(n)::bigint AS n, sum(sum)::bigint AS sum, min(min) AS min, max(max) AS max,
       count(*)::bigint AS minutes
FROM (
    SELECT {keys}, {start_at} AS start_at, minute, count(*) AS n, sum(v) AS sum, min(v) AS min, max(v) AS max
    FROM {source} WHERE {condition} GROUP BY {keys}, {2 + keys.count(",")}, minute
) AS by_minute
GROUP BY {keys}, start_at"""


def coarser(source: str, step: str) -> str:
    """Write the query that combines finer buckets, `source`, no two of which may share a minute."""
    return f"""
SELECT user_id, {bucket(step, "start_at")} AS start_at, sum(n)::bigint AS n, sum(sum)::bigint AS sum, min(min) AS min,
       max(max) AS max, sum(minutes)::bigint AS minutes
FROM {source} GROUP BY 1, 2"""


def device_days(source: str) -> str:
    """Write the query for rows of `d1_dev` from those of `h1_dev`."""
    return f"""
SELECT user_id, device_id, {bucket("1 day", "start_at")} AS start_at, sum(n_all)::bigint AS n_all,
       min(first_at) AS first_at, max(last_at) AS last_at,
       CASE WHEN min(origin) = max(origin) AND count(*) = count(origin) THEN min(origin) END AS origin
FROM {source} GROUP BY 1, 2, 3"""


#: The minutes of each device, for which a merge reads every reading once. Follows the relation `rows`, which has
#: `origin` too. `n` to `max` are of counted readings, the rest of all.
DEVICE_MINUTES = f"""
SELECT user_id, device_id, {bucket("1 minute")} AS minute, count(*) FILTER (WHERE counts) AS n,
       sum(v) FILTER (WHERE counts) AS sum, min(v) FILTER (WHERE counts) AS min, max(v) FILTER (WHERE counts) AS max,
       count(*) AS n_all, min(timestamp) AS first_at, max(timestamp) AS last_at,
       min(origin) AS first_origin, max(origin) AS last_origin
FROM (SELECT *, confidence IS DISTINCT FROM 0 AS counts FROM rows) AS judged
GROUP BY 1, 2, 3"""

#: The rows of `h1_dev`. Follows the relation `minutes`, as `DEVICE_MINUTES` has them.
DEVICE_HOURS = f"""
SELECT user_id, device_id, {bucket("1 hour", "minute")} AS start_at, sum(n)::bigint AS n,
       coalesce(sum(sum), 0)::bigint AS sum, coalesce(min(min), 0)::smallint AS min,
       coalesce(max(max), 0)::smallint AS max, count(*) FILTER (WHERE n > 0)::bigint AS minutes,
       sum(n_all)::bigint AS n_all, min(first_at) AS first_at, max(last_at) AS last_at,
       CASE WHEN min(first_origin) = max(last_origin) THEN min(first_origin) END AS origin
FROM minutes GROUP BY 1, 2, 3"""

#: The rows of `q15`. Follows the relation `minutes`, as `DEVICE_MINUTES` has them.
QUARTERS = f"""
SELECT user_id, {bucket("15 minutes", "minute")} AS start_at, sum(n)::bigint AS n, sum(sum)::bigint AS sum,
       min(min) AS min, max(max) AS max, count(*)::bigint AS minutes
FROM (
    SELECT DISTINCT ON (user_id COLLATE "C", minute) user_id, minute, n, sum, min, max
    FROM minutes AS m WHERE n > 0 ORDER BY user_id COLLATE "C", minute, {priority()}, device_id COLLATE "C"
) AS won
GROUP BY 1, 2"""
