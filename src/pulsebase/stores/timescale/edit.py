"""Operations that change merged readings without new ones: deletions, removals, priorities. Each is one transaction."""

from __future__ import annotations

from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.model.users import DevicePriority, speaks_of
from pulsebase.stores.contract import origin_of_nobody
from pulsebase.stores.timescale import scrub
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.instants import At
from pulsebase.stores.timescale.merge import lock_merges, lock_stage, merge_staged, recompute, touch
from pulsebase.stores.timescale.people import get_user, make_known
from pulsebase.stores.timescale.people import put_priority as insert_priority
from pulsebase.stores.timescale.rollup_sql import APART, bucket

#: All tables by person besides readings. A deletion of readings leaves the rollups of expired ones.
TABLES_BY_PERSON = (
    *("pulsebase.h1_dev", "pulsebase.d1_dev", "pulsebase.q15", "pulsebase.h1", "pulsebase.d1"),
    *("pulsebase.users", "pulsebase.devices", "pulsebase.priorities", "public.activities_heart_summary"),
)
_SAME_KEY = "r.user_id = g.user_id AND r.device_id = g.device_id AND r.timestamp = g.timestamp"
#: More rows than any merge could take.
_EVERYTHING = 1 << 40
#: The keys of merged readings of an origin, searched only in days and hours that may hold some.
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
    SELECT * FROM public.activities_heart_intraday AS i
    WHERE i.user_id = h.user_id AND i.device_id = h.device_id
      AND i.timestamp >= h.start_at AND i.timestamp < h.start_at + INTERVAL '1 hour' AND i.origin = %(origin)s
    {APART}
) AS r
WHERE d.origin = %(origin)s OR d.origin IS NULL
LIMIT %(most)s
"""
_OF_PERSON = "WHERE user_id = %(user)s AND timestamp >= %(start)s AND timestamp < %(end)s"


def delete(connection: Connection, user_id: str, interval: TimeRange, device_id: str | None) -> int:
    """Delete readings from the stage and the hypertable. Return how many there were."""
    lock_merges(connection)
    lock_stage(connection)
    condition = _OF_PERSON + ("" if device_id is None else " AND device_id = %(device)s")
    values: dict[str, object] = {"user": user_id, "device": device_id}
    values |= {"start": At(interval.start_us), "end": At(interval.end_us)}
    row = connection.execute(
        "SELECT count(*) FROM ("
        f"SELECT device_id, timestamp FROM pulsebase.stage {condition} "
        f"UNION SELECT device_id, timestamp FROM public.activities_heart_intraday {condition}) AS keys",
        values,
        binary=True,
    ).fetchone()
    if row is None or row[0] == 0:
        return 0
    connection.execute(f"DELETE FROM pulsebase.stage {condition}", values)
    merged = f"FROM public.activities_heart_intraday {condition}"
    touch(connection, f"SELECT DISTINCT user_id, {bucket('1 hour')} {merged}", values)
    connection.execute(f"DELETE {merged}", values)
    recompute(connection)
    return int(row[0])


def delete_origin(connection: Connection, origin: int, most: int) -> int:
    """Delete at most `most` readings of an origin. Return how many were deleted. The stage is merged first, since only
    that decides which origin a reading has.
    """
    lock_merges(connection)
    lock_stage(connection)
    merge_staged(connection, _EVERYTHING)
    connection.execute(_OF_ORIGIN, {"origin": origin, "most": most})
    row = connection.execute("SELECT count(*) FROM gone", binary=True).fetchone()
    if row is None or row[0] == 0:
        return 0
    connection.execute("ANALYZE gone")
    touch(connection, f"SELECT DISTINCT user_id, {bucket('1 hour')} FROM gone")
    connection.execute(f"DELETE FROM public.activities_heart_intraday AS r USING gone AS g WHERE {_SAME_KEY}")
    recompute(connection)
    return int(row[0])


def remove_user(connection: Connection, user_id: str) -> int:
    """Remove a person and everything that is stored of them. Return how many readings were deleted."""
    lock_merges(connection)
    lock_stage(connection)
    person = get_user(connection, user_id)
    if person is None:
        return 0
    scrub.note(connection, user_id)
    gone = delete(connection, user_id, TimeRange(0, MAX_US), None)
    for table in TABLES_BY_PERSON:
        connection.execute(f"DELETE FROM {table} WHERE user_id = %s", [user_id])
    for origin, name in connection.execute("SELECT origin, name FROM pulsebase.origins", binary=True).fetchall():
        if speaks_of(name, person):
            changed = [origin_of_nobody(origin), origin]
            connection.execute("UPDATE pulsebase.origins SET name = %s WHERE origin = %s", changed)
    return gone


def expire(connection: Connection, before_us: int, *, hypertables: bool) -> int:
    """Delete the readings before the instant, and move the horizon there. Return how many. Their rollups stay."""
    lock_merges(connection)
    lock_stage(connection)
    merge_staged(connection, _EVERYTHING)
    gone = count_before(connection, before_us)
    connection.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    if hypertables:
        connection.execute("SELECT drop_chunks('public.activities_heart_intraday', older_than => %s)", [At(before_us)])
    connection.execute("DELETE FROM public.activities_heart_intraday WHERE timestamp < %s", [At(before_us)])
    connection.execute("UPDATE pulsebase.horizon SET start_at = greatest(start_at, %s)", [At(before_us)])
    return gone


def count_before(connection: Connection, before_us: int) -> int:
    """Return how many merged readings there are before the instant."""
    row = connection.execute(
        "SELECT count(*) FROM public.activities_heart_intraday WHERE timestamp < %s", [At(before_us)], binary=True
    ).fetchone()
    return int(row[0]) if row else 0


def put_priority(connection: Connection, entry: DevicePriority) -> None:
    """Insert or replace a priority, and recompute the hours in which both this device and another one count."""
    lock_merges(connection)
    lock_stage(connection)
    make_known(connection, [entry.user_id], [(entry.user_id, entry.device_id)])
    insert_priority(connection, entry)
    _decide_again(connection, entry.user_id, entry.device_id)


def remove_priorities(connection: Connection, user_id: str, device_id: str) -> int:
    """Remove every priority of a device, and recompute as `put_priority` does. Return how many were removed."""
    lock_merges(connection)
    lock_stage(connection)
    gone = connection.execute(
        "DELETE FROM pulsebase.priorities WHERE user_id = %s AND device_id = %s", [user_id, device_id]
    ).rowcount
    if gone:
        _decide_again(connection, user_id, device_id)
    return gone


def _decide_again(connection: Connection, user_id: str, device_id: str) -> None:
    touch(
        connection,
        "SELECT user_id, start_at FROM pulsebase.h1_dev WHERE user_id = %(user)s AND n > 0 "
        "AND start_at >= (SELECT start_at FROM pulsebase.horizon) GROUP BY user_id, start_at "
        "HAVING count(*) > 1 AND bool_or(device_id = %(device)s)",
        {"user": user_id, "device": device_id},
    )
    recompute(connection)
