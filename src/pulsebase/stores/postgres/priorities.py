"""Priorities of devices. Functions take part in the transaction of their caller, who resolves the devices anew."""

from __future__ import annotations

from pulsebase.model.users import DevicePriority
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At


def put_priority(connection: Connection, entry: DevicePriority) -> None:
    """Insert or replace an entry."""
    connection.execute(
        "INSERT INTO pulsebase.priorities VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (user_id, device_id, valid_from) DO UPDATE SET priority = excluded.priority",
        [entry.user_id, entry.device_id, At(entry.valid_from_us), entry.priority],
    )


def get_priorities(connection: Connection, user_id: str) -> list[DevicePriority]:
    """A person's own priorities, by device, then time."""
    rows = connection.execute(
        "SELECT user_id, device_id, priority, valid_from FROM pulsebase.priorities WHERE user_id = %s "
        'ORDER BY device_id COLLATE "C", valid_from',
        [user_id],
        binary=True,
    ).fetchall()
    return [DevicePriority(*row) for row in rows]


def remove_priorities(connection: Connection, user_id: str, device_id: str) -> int:
    """Remove every priority of a device; return how many there were."""
    return connection.execute(
        "DELETE FROM pulsebase.priorities WHERE user_id = %s AND device_id = %s", [user_id, device_id]
    ).rowcount
