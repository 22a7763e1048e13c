"""The merge: staged readings go into the ordered ones and every rollup of the touched hours is computed again.

One transaction, so rollups equal a recomputation from `readings` at every moment that anybody can see.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from pulsebase.model.users import default_priority
from pulsebase.stores.duckdb.database import one_row
from pulsebase.stores.duckdb.stage import DTYPES, NO_CONFIDENCE, TOMBSTONE, Rows

_INCOMING = f"""
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT (t // 604800000000)::INTEGER AS chunk, (t // 3600000000)::INTEGER AS hour, user_no, device_no, t, v,
       nullif(confidence, {NO_CONFIDENCE}::TINYINT) AS confidence, origin
FROM staged
"""

# Only readings inside the known span of their device's hour can be there already.
_REPLACED = """
CREATE OR REPLACE TEMP TABLE replaced AS
SELECT chunk, user_no, device_no, t FROM incoming JOIN h1_dev USING (user_no, device_no, hour)
WHERE t BETWEEN first_t AND last_t
"""

_DELETE_REPLACED = """
DELETE FROM readings USING replaced AS gone
WHERE readings.chunk = gone.chunk AND readings.user_no = gone.user_no AND readings.device_no = gone.device_no
  AND readings.t = gone.t
"""

_INSERT = f"""
INSERT INTO readings
SELECT chunk, user_no, device_no, t, v, confidence, origin FROM incoming WHERE v <> {TOMBSTONE}
ORDER BY chunk, user_no, t, device_no
"""

_TOUCHED = "CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT user_no, hour FROM incoming"

#: The rollup of each device and hour, from raw. `{source}` is any relation with the columns of `readings` and `hour`.
DEVICE_HOURS = """
SELECT user_no, device_no, hour,
       count(*) FILTER (counted)::INTEGER AS n, coalesce(sum(v) FILTER (counted), 0)::BIGINT AS sum,
       min(v) FILTER (counted) AS min, max(v) FILTER (counted) AS max,
       count(DISTINCT t // 60000000) FILTER (counted)::SMALLINT AS minutes,
       count(*)::INTEGER AS n_all, min(t) AS first_t, max(t) AS last_t
FROM (SELECT *, confidence IS DISTINCT FROM 0 AS counted FROM ({source}))
GROUP BY user_no, device_no, hour
"""

_READINGS_OF_TOUCHED = """
SELECT r.*, touched.hour FROM readings AS r
JOIN touched ON r.user_no = touched.user_no AND r.t // 3600000000 = touched.hour
WHERE r.chunk BETWEEN (SELECT min(hour) // 168 FROM touched) AND (SELECT max(hour) // 168 FROM touched)
"""

#: The resolved rollup of each hour of `{hours}` (user_no, hour): the device's own where only one counts, else by
#: minute.
RESOLVED_HOURS = """
WITH asked AS ({hours}),
device AS (SELECT * FROM h1_dev SEMI JOIN asked USING (user_no, hour) WHERE n > 0),
contested AS (SELECT user_no, hour FROM device GROUP BY ALL HAVING count(*) > 1),
counted AS (
    SELECT r.user_no, r.device_no, contested.hour, r.t // 60000000 AS minute, r.v
    FROM readings AS r JOIN contested ON r.user_no = contested.user_no AND r.t // 3600000000 = contested.hour
    WHERE r.confidence IS DISTINCT FROM 0
      AND r.chunk BETWEEN (SELECT min(hour) // 168 FROM contested) AND (SELECT max(hour) // 168 FROM contested)
),
present AS (SELECT DISTINCT user_no, minute, device_no FROM counted),
winners AS (
    SELECT m.user_no, m.minute,
           arg_min(m.device_no, {{'priority': coalesce(p.priority, d.default_priority), 'id': d.device_id}}) AS
           device_no
    FROM present AS m JOIN devices AS d USING (device_no)
    ASOF LEFT JOIN priorities AS p
      ON m.user_no = p.user_no AND m.device_no = p.device_no AND m.minute * 60000000 >= p.valid_from
    GROUP BY m.user_no, m.minute
)
SELECT user_no, hour, n, sum, min, max, minutes FROM device ANTI JOIN contested USING (user_no, hour)
UNION ALL
SELECT user_no, hour, count(*)::INTEGER, sum(v)::BIGINT, min(v), max(v), count(DISTINCT minute)::SMALLINT
FROM counted SEMI JOIN winners USING (user_no, minute, device_no)
GROUP BY user_no, hour
"""

#: The rollup of each day from its hours. `{source}` has the columns of `h1`.
DAYS = """
SELECT user_no, (hour // 24)::INTEGER AS day, sum(n)::INTEGER AS n, sum(sum)::BIGINT AS sum,
       min(min) AS min, max(max) AS max, sum(minutes)::SMALLINT AS minutes
FROM ({source}) GROUP BY user_no, hour // 24
"""


def merge(connection: duckdb.DuckDBPyConnection, staged: Rows, upto_seq: int) -> None:
    """Take the staged rows (in order of arrival, all below `upto_seq`) into the database. Inside one transaction."""
    rows = staged.last_of_each_key()
    connection.register("staged", pa.table({name: getattr(rows, name) for name in DTYPES}))
    connection.execute(_INCOMING)
    connection.unregister("staged")
    connection.execute(_REPLACED)
    if one_row(connection, "SELECT count(*) FROM replaced") != (0,):
        connection.execute(_DELETE_REPLACED)
    connection.execute(_INSERT)
    connection.execute(_TOUCHED)
    connection.execute(
        "DELETE FROM h1_dev USING touched WHERE h1_dev.user_no = touched.user_no AND h1_dev.hour = touched.hour"
    )
    connection.execute("INSERT INTO h1_dev " + DEVICE_HOURS.format(source=_READINGS_OF_TOUCHED))
    resolve_touched(connection)
    connection.execute("UPDATE state SET merged_seq = ?", [upto_seq])


def resolve_touched(connection: duckdb.DuckDBPyConnection) -> None:
    """Compute the resolved hours and days again for the temporary table `touched` (user_no, hour)."""
    connection.execute("DELETE FROM h1 USING touched WHERE h1.user_no = touched.user_no AND h1.hour = touched.hour")
    connection.execute("INSERT INTO h1 " + RESOLVED_HOURS.format(hours="SELECT user_no, hour FROM touched"))
    connection.execute(
        "DELETE FROM d1 USING (SELECT DISTINCT user_no, hour // 24 AS day FROM touched) AS gone "
        "WHERE d1.user_no = gone.user_no AND d1.day = gone.day"
    )
    touched_days = (
        "SELECT h1.* FROM h1 SEMI JOIN touched ON h1.user_no = touched.user_no AND h1.hour // 24 = touched.hour // 24"
    )
    connection.execute("INSERT INTO d1 " + DAYS.format(source=touched_days))


def touch_contested(connection: duckdb.DuckDBPyConnection, user_no: int, device_no: int) -> None:
    """Fill `touched` with the hours of a person in which this device and another one count."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE touched AS "
        "SELECT user_no, hour FROM h1_dev WHERE user_no = $user AND n > 0 GROUP BY user_no, hour "
        "HAVING count(*) > 1 AND bool_or(device_no = $device)",
        {"user": user_no, "device": device_no},
    )


def persist_names(
    connection: duckdb.DuckDBPyConnection, users: Sequence[tuple[int, str]], devices: Sequence[tuple[int, str]]
) -> None:
    """Bring numbers that only the journal knows to the database. The caller notes it after the commit."""
    if users:
        table = pa.table({"number": [number for number, _ in users], "text": [text for _, text in users]})
        connection.register("new_users", table)
        connection.execute("INSERT INTO users (user_no, user_id) SELECT number, text FROM new_users")
        connection.unregister("new_users")
    for number, text in devices:
        connection.execute("INSERT INTO devices VALUES (?, ?, ?)", [number, text, default_priority(text)])
