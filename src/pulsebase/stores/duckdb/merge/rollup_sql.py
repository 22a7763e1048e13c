"""Rollups in SQL: for changes without new readings (priorities), and for the check of everything else."""

from __future__ import annotations

from pulsebase.stores.duckdb.people.series_numbers import PERSON_OF

#: Selects readings of [$start, $end) in microseconds. By `second` the engine skips row groups outside.
IN_RANGE = "second >= $start // 1000000 AND second <= ($end - 1) // 1000000 AND t >= $start AND t < $end"

#: The rollup of each device and hour. `{source}` is any relation with the columns of `readings`.
DEVICE_HOURS = """
SELECT user_no, device_no, (t // 3600000000)::INTEGER AS hour,
       count(*) FILTER (counted)::INTEGER AS n, coalesce(sum(v) FILTER (counted), 0)::BIGINT AS sum,
       coalesce(min(v) FILTER (counted), 0)::SMALLINT AS min, coalesce(max(v) FILTER (counted), 0)::SMALLINT AS max,
       count(DISTINCT t // 60000000) FILTER (counted)::SMALLINT AS minutes,
       count(*)::INTEGER AS n_all, min(t) AS first_t, max(t) AS last_t
FROM (SELECT *, confidence <> 0 AS counted FROM ({source}))
GROUP BY user_no, device_no, t // 3600000000
"""

#: The counted readings of each minute's winner, in those of the hours `{hours}` (user_no, hour) that devices share.
_SHARED = (
    """
asked AS ({hours}),
device AS (SELECT * FROM h1_dev SEMI JOIN asked USING (user_no, hour) WHERE n > 0),
contested AS (SELECT user_no, hour FROM device GROUP BY ALL HAVING count(*) > 1),
counted AS (
    SELECT r.user_no, r.device_no, contested.hour, r.t, r.t // 60000000 AS minute, r.v
    FROM readings AS r JOIN contested ON r.user_no = contested.user_no AND r.second // 3600 = contested.hour
    WHERE r.confidence <> 0
      AND r.second >= (SELECT min(hour) FROM contested)::BIGINT * 3600
      AND r.second < (SELECT max(hour) + 1 FROM contested)::BIGINT * 3600
),
present AS (SELECT DISTINCT user_no, minute, device_no FROM counted),
winners AS (
    SELECT m.user_no, m.minute,
           arg_min(m.device_no, {{'p': coalesce(p.priority, d.default_priority), 'id': d.device_id}}) AS device_no
    FROM present AS m JOIN devices AS d USING (device_no)
    ASOF LEFT JOIN priorities AS p
      ON """
    + PERSON_OF.format(column="m.user_no")
    + """ = p.user_no AND m.device_no = p.device_no AND m.minute * 60000000 >= p.valid_from
    GROUP BY m.user_no, m.minute
),
won AS (SELECT * FROM counted SEMI JOIN winners USING (user_no, minute, device_no))
"""
)

#: The resolved rollup of each of the hours `{hours}`: the device's own where only one counts, else minute by minute.
RESOLVED_HOURS = (
    "WITH "
    + _SHARED
    + """
SELECT user_no, hour, n, sum, min, max, minutes FROM device ANTI JOIN contested USING (user_no, hour)
UNION ALL
SELECT user_no, hour, count(*)::INTEGER, sum(v)::BIGINT, min(v), max(v), count(DISTINCT minute)::SMALLINT
FROM won GROUP BY user_no, hour
"""
)

#: The resolved quarters of the hours `{hours}`.
RESOLVED_QUARTERS = (
    "WITH "
    + _SHARED
    + """,
sole AS (
    SELECT r.user_no, r.t, r.t // 60000000 AS minute, r.v
    FROM readings AS r JOIN (SELECT user_no, hour FROM device ANTI JOIN contested USING (user_no, hour)) AS single
      ON r.user_no = single.user_no AND r.second // 3600 = single.hour
    WHERE r.confidence <> 0
)
SELECT user_no, (t // 900000000)::INTEGER AS quarter, count(*)::INTEGER AS n, sum(v)::BIGINT AS sum,
       min(v) AS min, max(v) AS max, count(DISTINCT minute)::SMALLINT AS minutes
FROM (SELECT user_no, t, minute, v FROM won UNION ALL SELECT * FROM sole)
GROUP BY user_no, t // 900000000
"""
)

#: The rollup of each day from its hours. `{source}` has the columns of `h1`.
DAYS = """
SELECT user_no, (hour // 24)::INTEGER AS day, sum(n)::INTEGER AS n, sum(sum)::BIGINT AS sum,
       min(min) AS min, max(max) AS max, sum(minutes)::SMALLINT AS minutes
FROM ({source}) GROUP BY user_no, hour // 24
"""
