"""Changes of merged readings without new ones: deletions, removals, expiry, priorities; one transaction each."""

from __future__ import annotations

from collections.abc import Sequence

from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.stores.postgres.commit_notes import Change, note
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.horizon import HORIZON, move_horizon
from pulsebase.stores.postgres.instants import At
from pulsebase.stores.postgres.locks import lock_commits, lock_merges
from pulsebase.stores.postgres.series_keys import keys_of, parts_of
from pulsebase.stores.timescale import scrub
from pulsebase.stores.timescale.merge import merge_staged, recompute, touch
from pulsebase.stores.timescale.raw_tables import RAW_TABLES, count, readings, tables_of
from pulsebase.stores.timescale.rollup_sql import APART, bucket

#: After a deletion they still hold rollups of readings that have expired.
_ROLLUPS = ("pulsebase.h1_dev", "pulsebase.d1_dev", "pulsebase.q15", "pulsebase.h1", "pulsebase.d1")
_SAME_KEY = "r.user_id = g.user_id AND r.device_id = g.device_id AND r.timestamp = g.timestamp"
#: More rows than are ever staged, so that a merge takes all of them.
_EVERYTHING = 1 << 40
_RAW = readings(
    "i.user_id = h.user_id AND i.device_id = h.device_id "
    "AND i.timestamp >= h.start_at AND i.timestamp < h.start_at + INTERVAL '1 hour' AND i.origin = %(origin)s"
)
#: The keys of readings merged under an origin, searched in the days and hours that may hold some.
_OF_ORIGIN = f"""
CREATE TEMP TABLE gone ON COMMIT DROP AS
SELECT r.user_id, r.device_id, r.timestamp
FROM pulsebase.d1_dev AS d CROSS JOIN LATERAL (
    SELECT * FROM pulsebase.h1_dev AS i
    WHERE i.user_id = d.user_id AND i.device_id = d.device_id
      AND i.start_at >= d.start_at AND i.start_at < d.start_at + INTERVAL '1 day'
      AND (i.origin = %(origin)s OR i.origin IS NULL)
    {APART}
) AS h CROSS JOIN LATERAL (
    {_RAW}
) AS r
WHERE d.origin = %(origin)s OR d.origin IS NULL
LIMIT %(most)s
"""
_OF_SERIES = "WHERE user_id = ANY(%(series)s) AND timestamp >= %(start)s AND timestamp < %(end)s"


def delete(
    connection: Connection, user_id: str, interval: TimeRange, device_id: str | None, metric: str | None = None
) -> int:
    """Remove readings from the stage and the hypertables; return how many there were."""
    lock_merges(connection)
    lock_commits(connection)
    series = keys_of(connection, [user_id], None if metric is None else [metric])
    gone = _delete_of(connection, series, interval, device_id)
    if gone:
        note(connection, lambda: [(user_id, metric, interval.start_us, interval.end_us, 0)])
    return gone


def _delete_of(connection: Connection, series: Sequence[str], interval: TimeRange, device_id: str | None) -> int:
    tables = tables_of(series)
    condition = _OF_SERIES + ("" if device_id is None else " AND device_id = %(device)s")
    values: dict[str, object] = {"series": list(series), "device": device_id}
    values |= {"start": At(interval.start_us), "end": At(interval.end_us)}
    merged = [f"FROM {table.full_name} {condition}" for table in tables]
    unions = "".join(f" UNION SELECT user_id, device_id, timestamp {each}" for each in merged)
    row = connection.execute(
        f"SELECT count(*) FROM (SELECT user_id, device_id, timestamp FROM pulsebase.stage {condition}{unions}) AS keys",
        values,
        binary=True,
    ).fetchone()
    if row is None or row[0] == 0:
        return 0
    connection.execute(f"DELETE FROM pulsebase.stage {condition}", values)
    touch(connection, " UNION ".join(f"SELECT user_id, {bucket('1 hour')} {each}" for each in merged), values)
    for each in merged:
        connection.execute(f"DELETE {each}", values)
    recompute(connection)
    return int(row[0])


def delete_origin(connection: Connection, origin: int, most: int) -> int:
    """Remove readings stored under an origin, a limited number at most; return how many.

    What is staged is merged first, since that decides under which origin a reading is stored.
    """
    lock_merges(connection)
    lock_commits(connection)
    merge_staged(connection, _EVERYTHING)
    connection.execute(_OF_ORIGIN, {"origin": origin, "most": most})
    row = connection.execute("SELECT count(*) FROM gone", binary=True).fetchone()
    if row is None or row[0] == 0:
        return 0
    connection.execute("ANALYZE gone")
    touch(connection, f"SELECT DISTINCT user_id, {bucket('1 hour')} FROM gone")
    for table in RAW_TABLES:
        connection.execute(f"DELETE FROM {table.full_name} AS r USING gone AS g WHERE {_SAME_KEY}")
    note(connection, lambda: _spans_of_gone(connection))
    recompute(connection)
    return int(row[0])


def _spans_of_gone(connection: Connection) -> list[Change]:
    """Return between which times readings of each series went, while their keys are still listed."""
    rows = connection.execute(
        "SELECT user_id, (extract(epoch FROM min(timestamp)) * 1000000)::bigint, "
        "(extract(epoch FROM max(timestamp)) * 1000000)::bigint + 1 FROM gone GROUP BY user_id"
    ).fetchall()
    return [(*parts_of(key), start_us, end_us, 0) for key, start_us, end_us in rows]


def expire(connection: Connection, before_us: int, *, hypertables: bool) -> int:
    """Delete the readings before the instant and move the horizon there; return how many. Their rollups stay."""
    lock_merges(connection)
    lock_commits(connection)
    merge_staged(connection, _EVERYTHING)
    gone = count_before(connection, before_us)
    connection.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    move_horizon(connection, before_us)
    if hypertables:
        connection.execute("SELECT pulsebase.drop_expired_chunks()")
    for table in RAW_TABLES:
        connection.execute(f"DELETE FROM {table.full_name} WHERE timestamp < %s", [At(before_us)])
    return gone


def count_before(connection: Connection, before_us: int) -> int:
    """Count the merged readings before the instant."""
    return count(connection, "timestamp < %s", [At(before_us)])


class TimescalePeoplesReadings:
    """See `PeoplesReadings`."""

    def resolve_again(self, connection: Connection, user_id: str, device_id: str) -> None:
        """Resolve anew the hours in which this device and another one count."""
        touch(
            connection,
            "SELECT user_id, start_at FROM pulsebase.h1_dev WHERE user_id = ANY(%(series)s) AND n > 0 "
            f"AND start_at >= {HORIZON} GROUP BY user_id, start_at "
            "HAVING count(*) > 1 AND bool_or(device_id = %(device)s)",
            {"series": list(keys_of(connection, [user_id])), "device": device_id},
        )
        recompute(connection)

    def remove(self, connection: Connection, series: Sequence[str]) -> int:
        """Note where the readings lie, for a scrub, and remove them and their rollups."""
        scrub.note(connection, series)
        gone = _delete_of(connection, series, TimeRange(0, MAX_US), None)
        for table in _ROLLUPS:
            connection.execute(f"DELETE FROM {table} WHERE user_id = ANY(%s)", [list(series)])
        return gone
