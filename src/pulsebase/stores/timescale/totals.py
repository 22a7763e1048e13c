"""Answer `TotalsQuery`: whole days and hours from rollups, partial or staged ones from raw readings."""

from __future__ import annotations

import pyarrow as pa

from pulsebase.model.timerange import DAY_US, HOUR_US, TimeRange
from pulsebase.stores.contract import TOTALS_SCHEMA, TotalsQuery
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At
from pulsebase.stores.postgres.series_keys import person_of
from pulsebase.stores.timescale.raw_tables import HEART_RATES, readings, table_of
from pulsebase.stores.timescale.rollup_sql import APART, IN_ORDER, LAST_OF_EACH, MERGED, WON, bucket

_TOTALS = f"""
WITH asked AS (
    {{series}}
    WHERE (%(genders)s::text[] IS NULL OR gender = ANY(%(genders)s))
      AND (%(born_by)s::date IS NULL OR birth_date <= %(born_by)s)
      AND (%(born_after)s::date IS NULL OR birth_date > %(born_after)s)
),
-- The hours that rollups cannot answer: those with staged readings, and those that the range cuts.
apart AS (
    SELECT DISTINCT user_id, {bucket("1 hour")} AS start_at FROM pulsebase.stage JOIN asked USING (user_id)
    WHERE timestamp >= %(first)s AND timestamp < %(last)s
    UNION
    SELECT user_id, start_at FROM asked CROSS JOIN unnest(%(cut)s::timestamptz[]) AS start_at
),
staged AS MATERIALIZED (
    SELECT {LAST_OF_EACH} user_id, device_id, timestamp, v, confidence
    FROM pulsebase.stage JOIN asked USING (user_id)
    WHERE timestamp >= %(first)s AND timestamp < %(last)s
    {IN_ORDER}
),
rows AS (
    SELECT {MERGED} FROM apart CROSS JOIN LATERAL (
        {{readings}}
    ) AS r
    WHERE NOT EXISTS (
        SELECT FROM staged AS s
        WHERE s.user_id = r.user_id AND s.device_id = r.device_id AND s.timestamp = r.timestamp
    )
    UNION ALL SELECT * FROM staged
),
{WON},
torn_days AS (SELECT DISTINCT user_id, {bucket("1 day", "start_at")} AS start_at FROM apart),
whole_days AS (
    SELECT d.user_id, n, sum, minutes FROM pulsebase.d1 AS d JOIN asked USING (user_id)
    WHERE d.start_at >= %(first_day)s AND d.start_at < %(last_day)s
      AND NOT EXISTS (SELECT FROM torn_days AS t WHERE t.user_id = d.user_id AND t.start_at = d.start_at)
),
-- Hours are looked for where no whole day answers, person by person: there are far more of them than are needed.
beside_days AS (
    SELECT user_id, since, until FROM asked CROSS JOIN unnest(%(since)s::timestamptz[], %(until)s::timestamptz[])
        AS edges (since, until)
    UNION ALL
    SELECT user_id, start_at, start_at + INTERVAL '24 hours' FROM torn_days
    WHERE start_at >= %(first_day)s AND start_at < %(last_day)s
),
whole_hours AS (
    SELECT h.user_id, n, sum, minutes FROM beside_days AS b CROSS JOIN LATERAL (
        SELECT * FROM pulsebase.h1 AS kept
        WHERE kept.user_id = b.user_id AND kept.start_at >= b.since AND kept.start_at < b.until
        {APART}
    ) AS h
    WHERE NOT EXISTS (SELECT FROM apart WHERE apart.user_id = h.user_id AND apart.start_at = h.start_at)
)
SELECT {person_of()} AS user_id, sum(n)::bigint, sum(sum)::bigint, sum(minutes)::bigint FROM (
    SELECT * FROM whole_days
    UNION ALL SELECT * FROM whole_hours
    UNION ALL
    SELECT user_id, count(*), sum(v), count(DISTINCT minute) FROM won
    WHERE timestamp >= %(start)s AND timestamp < %(end)s GROUP BY user_id
) AS parts
GROUP BY parts.user_id ORDER BY parts.user_id COLLATE "C"
"""
#: Where the keys of everybody's series come from.
_HEARTS = "SELECT user_id FROM pulsebase.users"
_OTHERS = (
    "SELECT key AS user_id FROM pulsebase.users JOIN (SELECT key, user_id FROM pulsebase.series "
    "WHERE metric = %(metric)s) AS of_metric USING (user_id)"
)
_OF_HOUR = (
    "i.user_id = apart.user_id "
    "AND i.timestamp >= apart.start_at AND i.timestamp < apart.start_at + INTERVAL '1 hour' "
    "AND i.timestamp >= %(first)s AND i.timestamp < %(last)s"
)


def answer(connection: Connection, query: TotalsQuery) -> pa.Table:
    """Return the `TOTALS_SCHEMA` rows."""
    hours, asked = query.range.widened(HOUR_US), query.range
    cut = {at_us // HOUR_US * HOUR_US for at_us in (asked.start_us, asked.end_us) if at_us % HOUR_US}
    first_day_us, last_day_us = -(-asked.start_us // DAY_US) * DAY_US, asked.end_us // DAY_US * DAY_US
    edges = [TimeRange(hours.start_us, first_day_us), TimeRange(last_day_us, hours.end_us)]
    if first_day_us >= last_day_us:
        edges = [hours]
    table = table_of(query.metric)
    statement = _TOTALS.format(
        series=_HEARTS if table is HEART_RATES else _OTHERS, readings=readings(_OF_HOUR, [table])
    )
    values = {
        "metric": query.metric,
        "genders": None if query.genders is None else sorted(query.genders),
        "born_by": query.born_by,
        "born_after": query.born_after,
        "start": At(asked.start_us),
        "end": At(asked.end_us),
        "first": At(hours.start_us),
        "last": At(hours.end_us),
        "first_day": At(first_day_us),
        "last_day": At(last_day_us),
        "since": [At(edge.start_us) for edge in edges],
        "until": [At(edge.end_us) for edge in edges],
        "cut": [At(at_us) for at_us in sorted(cut)],
    }
    rows = connection.execute(statement, values, binary=True).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(TOTALS_SCHEMA)
    return pa.table([list(column) for column in columns], schema=TOTALS_SCHEMA)
