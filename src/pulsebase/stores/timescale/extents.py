"""What is stored of people: how many readings, the first and the last, by metric and device."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from pulsebase.model.users import DeviceOverview, MetricOverview, User, UserOverview
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.priorities import get_priorities
from pulsebase.stores.postgres.series_keys import keys_of, parts_of, require_known_metrics
from pulsebase.stores.timescale.raw_tables import RAW_TABLES, readings, tables_of
from pulsebase.stores.timescale.rollup_sql import APART, bucket


class TimescaleExtent(NamedTuple):
    """What is stored of a person's device in one metric: at least one reading, or one that has expired."""

    user_id: str
    metric: str
    device_id: str
    readings: int
    first_us: int
    last_us: int


def extents(
    connection: Connection, user_ids: Sequence[str], metrics: Sequence[str] | None = None
) -> list[TimescaleExtent]:
    """Return what is stored of each device of the people in these metrics or in all, all readings included."""
    keys = keys_of(connection, user_ids, metrics)
    of_dirty_hours = readings(
        "i.user_id = dirty.user_id "
        "AND i.timestamp >= dirty.start_at AND i.timestamp < dirty.start_at + INTERVAL '1 hour'",
        tables_of(keys) or RAW_TABLES,
    )
    rows = connection.execute(
        f"""
        WITH dirty AS (
            SELECT DISTINCT user_id, {bucket("1 hour")} AS start_at
            FROM pulsebase.stage WHERE user_id = ANY(%(users)s)
        ),
        fresh AS (
            SELECT user_id, device_id, timestamp FROM pulsebase.stage WHERE user_id = ANY(%(users)s)
            UNION
            SELECT r.user_id, r.device_id, r.timestamp FROM dirty CROSS JOIN LATERAL (
                {of_dirty_hours}
            ) AS r
        ),
        mixed AS (SELECT DISTINCT user_id, {bucket("1 day", "start_at")} AS start_at FROM dirty),
        found AS (
            SELECT user_id, device_id, n_all, first_at, last_at FROM pulsebase.d1_dev AS d
            WHERE user_id = ANY(%(users)s)
              AND NOT EXISTS (SELECT FROM mixed WHERE mixed.user_id = d.user_id AND mixed.start_at = d.start_at)
            UNION ALL
            SELECT h.user_id, h.device_id, h.n_all, h.first_at, h.last_at FROM mixed CROSS JOIN LATERAL (
                SELECT * FROM pulsebase.h1_dev AS i
                WHERE i.user_id = mixed.user_id
                  AND i.start_at >= mixed.start_at AND i.start_at < mixed.start_at + INTERVAL '1 day'
                {APART}
            ) AS h
            WHERE NOT EXISTS (SELECT FROM dirty WHERE dirty.user_id = h.user_id AND dirty.start_at = h.start_at)
            UNION ALL
            SELECT user_id, device_id, count(*), min(timestamp), max(timestamp) FROM fresh GROUP BY 1, 2
        )
        SELECT user_id, device_id, sum(n_all)::bigint, min(first_at), max(last_at) FROM found GROUP BY 1, 2
        """,
        {"users": list(keys)},
        binary=True,
    ).fetchall()
    return [TimescaleExtent(*parts_of(key), *rest) for key, *rest in rows]


def overviews(connection: Connection, users: Sequence[User]) -> list[UserOverview]:
    """The people and what is stored of them."""
    of_user: dict[str, list[TimescaleExtent]] = {user.user_id: [] for user in users}
    for extent in extents(connection, list(of_user)):
        of_user[extent.user_id].append(extent)
    return [_overview(user, of_user[user.user_id]) for user in users]


def _overview(user: User, found: Sequence[TimescaleExtent]) -> UserOverview:
    return UserOverview(user, *_together(found))


def _together(found: Collection[TimescaleExtent]) -> tuple[int, int | None, int | None]:
    """Return how many readings there are, the first and the last."""
    return (
        sum(each.readings for each in found),
        min((each.first_us for each in found), default=None),
        max((each.last_us for each in found), default=None),
    )


def metrics(connection: Connection, user_id: str) -> list[MetricOverview]:
    """The metrics with readings, by name.

    Raises:
        StoreVersionError: a newer version beside this one has stored a metric that this one does not know.
    """
    require_known_metrics(connection)
    of_metric: dict[str, list[TimescaleExtent]] = {}
    for extent in extents(connection, [user_id]):
        of_metric.setdefault(extent.metric, []).append(extent)
    return [MetricOverview(metric, *_together(of_metric[metric])) for metric in sorted(of_metric)]


def devices(connection: Connection, user_id: str) -> list[DeviceOverview]:
    """The devices with readings or priorities."""
    of_device: dict[str, list[TimescaleExtent]] = {entry.device_id: [] for entry in get_priorities(connection, user_id)}
    for extent in extents(connection, [user_id]):
        of_device.setdefault(extent.device_id, []).append(extent)
    return [
        DeviceOverview(device_id, *_together(of_device[device_id])) for device_id in sorted(of_device, key=str.encode)
    ]
