"""What changes merged readings without new ones: deletions, removals, priorities. One transaction each."""

from __future__ import annotations

from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.instants import At
from pulsebase.stores.timescale.merge import lock_merges, lock_stage, recompute, touch
from pulsebase.stores.timescale.people import make_known
from pulsebase.stores.timescale.people import put_priority as insert_priority
from pulsebase.stores.timescale.rollup_sql import bucket

_OF_PERSON = "WHERE user_id = %(user)s AND timestamp >= %(start)s AND timestamp < %(end)s"


def delete(connection: Connection, user_id: str, interval: TimeRange, device_id: str | None) -> int:
    """Remove readings from the stage and the hypertable; how many there were."""
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
    connection.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    connection.execute(f"DELETE {merged}", values)
    recompute(connection)
    return int(row[0])


def remove_user(connection: Connection, user_id: str) -> int:
    """Remove a person and everything that is stored of them; how many readings went."""
    gone = delete(connection, user_id, TimeRange(0, MAX_US), None)
    for table in ("pulsebase.users", "pulsebase.devices", "pulsebase.priorities", "public.activities_heart_summary"):
        connection.execute(f"DELETE FROM {table} WHERE user_id = %s", [user_id])
    return gone


def put_priority(connection: Connection, entry: DevicePriority) -> None:
    """Insert or replace a priority, and decide again where this device and another one count in the same hour."""
    lock_merges(connection)
    lock_stage(connection)
    make_known(connection, [entry.user_id], [(entry.user_id, entry.device_id)])
    insert_priority(connection, entry)
    touch(
        connection,
        "SELECT user_id, start_at FROM pulsebase.h1_dev WHERE user_id = %(user)s AND n > 0 GROUP BY user_id, start_at "
        "HAVING count(*) > 1 AND bool_or(device_id = %(device)s)",
        {"user": entry.user_id, "device": entry.device_id},
    )
    recompute(connection)
