"""People, devices, priorities, summaries and origins: small rows, read and written directly."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import DAY_US, to_us
from pulsebase.model.users import DeviceOverview, DevicePriority, MetricOverview, User, UserOverview, folded
from pulsebase.stores.contract import Origin
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At
from pulsebase.stores.postgres.series_keys import keys_of, parts_of, require_known_metrics
from pulsebase.stores.timescale.origins import staged
from pulsebase.stores.timescale.raw_tables import RAW_TABLES, readings, tables_of
from pulsebase.stores.timescale.rollup_sql import APART, bucket

_USER = "user_id, name, gender, birth_date, time_zone"


_LIVE = "start_at >= (SELECT start_at FROM pulsebase.horizon)"
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


def make_known(connection: Connection, user_ids: Iterable[str], devices: Iterable[tuple[str, str]] = ()) -> None:
    """Create the missing rows of people, and of devices given as (person, device).

    The ids are sent as one text separated by spaces, which no id contains: sending lists of texts costs a client more
    than the rest of a write. Known people are not inserted again, since each attempt uses up a sequence number.
    """
    connection.execute(
        "INSERT INTO pulsebase.users (user_id) SELECT user_id FROM string_to_table(%s, ' ') AS new (user_id) "
        "WHERE NOT EXISTS (SELECT FROM pulsebase.users AS old WHERE old.user_id = new.user_id) ON CONFLICT DO NOTHING",
        [" ".join(sorted(set(user_ids)))],
    )
    pairs = sorted(set(devices))
    if pairs:
        connection.execute(
            "INSERT INTO pulsebase.devices "
            "SELECT * FROM unnest(string_to_array(%s, ' '), string_to_array(%s, ' ')) AS new (user_id, device_id) "
            "WHERE NOT EXISTS (SELECT FROM pulsebase.devices AS old "
            "WHERE old.user_id = new.user_id AND old.device_id = new.device_id) ON CONFLICT DO NOTHING",
            [" ".join(user_id for user_id, _ in pairs), " ".join(device_id for _, device_id in pairs)],
        )


def put_users(connection: Connection, users: Sequence[User]) -> None:
    """Insert or replace people. Of several with the same id the last one is stored."""
    with connection.cursor() as cursor:
        cursor.executemany(
            f"""
            INSERT INTO pulsebase.users ({_USER}, name_folded) VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (user_id) DO UPDATE
            SET (name, gender, birth_date, time_zone, name_folded)
              = (excluded.name, excluded.gender, excluded.birth_date, excluded.time_zone, excluded.name_folded)
            """,
            [
                [
                    user.user_id,
                    user.name,
                    user.gender,
                    user.birth_date,
                    user.time_zone,
                    None if user.name is None else folded(user.name),
                ]
                for user in users
            ],
        )


def fold_names(connection: Connection) -> None:
    """Fill `name_folded` of everybody with a name."""
    rows = connection.execute("SELECT user_no, name FROM pulsebase.users WHERE name IS NOT NULL").fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE pulsebase.users SET name_folded = %s WHERE user_no = %s",
            [(folded(name), user_no) for user_no, name in rows],
        )


def knows(connection: Connection, user_id: str) -> bool:
    """Whether somebody has this id."""
    found = connection.execute("SELECT FROM pulsebase.users WHERE user_id = %s", [user_id], binary=True)
    return found.fetchone() is not None


def unknown_users(connection: Connection, user_ids: Collection[str]) -> set[str]:
    """Return those of the ids that nobody has."""
    rows = connection.execute(
        "SELECT user_id FROM pulsebase.users WHERE user_id = ANY(%s)", [list(user_ids)], binary=True
    ).fetchall()
    return set(user_ids) - {user_id for (user_id,) in rows}


def known_numbers(connection: Connection, numbers: Sequence[int]) -> set[int]:
    """Return those of the numbers whose people have not been removed."""
    rows = connection.execute(
        "SELECT user_no FROM pulsebase.users WHERE user_no = ANY(%s)", [list(numbers)], binary=True
    ).fetchall()
    return {int(number) for (number,) in rows}


def get_user(connection: Connection, user_id: str) -> User | None:
    """The person, if known."""
    row = connection.execute(
        f"SELECT {_USER} FROM pulsebase.users WHERE user_id = %s", [user_id], binary=True
    ).fetchone()
    return User(*row) if row else None


def find_users(connection: Connection, text: str, limit: int, after: str | None) -> list[User]:
    """People by id (bytes) whose id or name holds the text. The engine takes no text with a zero byte: nobody's id or
    name has one, and every id that comes after such a text comes after what is before its zero.
    """
    if "\0" in text:
        return []
    rows = connection.execute(
        f"""
        SELECT {_USER} FROM pulsebase.users
        WHERE user_id COLLATE "C" > %(after)s AND (
            strpos(lower(user_id COLLATE "C"), %(text)s) > 0 OR strpos(name_folded, %(text)s) > 0
        )
        ORDER BY user_id COLLATE "C" LIMIT %(limit)s
        """,
        {"after": (after or "").partition("\0")[0], "text": folded(text), "limit": limit},
        binary=True,
    ).fetchall()
    return [User(*row) for row in rows]


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


def put_summaries(connection: Connection, summaries: Sequence[DailySummary]) -> None:
    """Insert or replace days."""
    for summary in summaries:
        connection.execute(
            """
            INSERT INTO public.activities_heart_summary
                (user_id, timestamp, method, resting_heart_rate, heart_rate_zones, custom_heart_rate_zones)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (user_id, timestamp, method) DO UPDATE
            SET resting_heart_rate = excluded.resting_heart_rate, heart_rate_zones = excluded.heart_rate_zones,
                custom_heart_rate_zones = excluded.custom_heart_rate_zones
            """,
            [
                summary.user_id,
                _midnight(summary.day),
                summary.resting_heart_rate_method or "",
                summary.resting_heart_rate,
                Jsonb([_zone_json(zone) for zone in summary.zones]),
                Jsonb([_zone_json(zone) for zone in summary.custom_zones]),
            ],
        )


def get_summaries(connection: Connection, user_id: str, first: date, last: date) -> list[DailySummary]:
    """A person's days, by day, then method."""
    rows = connection.execute(
        "SELECT timestamp, method, resting_heart_rate, heart_rate_zones, custom_heart_rate_zones "
        "FROM public.activities_heart_summary WHERE user_id = %s AND timestamp >= %s AND timestamp <= %s "
        'ORDER BY timestamp, method COLLATE "C"',
        [user_id, _midnight(first), _midnight(last)],
        binary=True,
    ).fetchall()
    return [
        DailySummary(user_id, _day(at_us), resting, method or None, _zones(zones), _zones(custom))
        for at_us, method, resting, zones, custom in rows
    ]


def find_origin(connection: Connection, kind: str, name: str) -> int | None:
    """The number of an origin, if it has one."""
    row = connection.execute(
        "SELECT origin FROM pulsebase.origins WHERE kind = %s AND name = %s", [kind, name], binary=True
    ).fetchone()
    return None if row is None else int(row[0])


def add_origin(connection: Connection, kind: str, name: str) -> int:
    """Add an origin and return its number. The caller holds a lock, so that nobody else adds one meanwhile."""
    ((number,),) = connection.execute(
        "INSERT INTO pulsebase.origins (origin, kind, name) "
        "SELECT coalesce(max(origin), 0) + 1, %s, %s FROM pulsebase.origins RETURNING origin",
        [kind, name],
        binary=True,
    ).fetchall()
    return int(number)


def origins(connection: Connection) -> list[Origin]:
    """Every origin, by number."""
    rows = connection.execute(
        "SELECT origin, kind, name, received_at FROM pulsebase.origins ORDER BY origin", binary=True
    ).fetchall()
    return [Origin(*row) for row in rows]


def origin_readings(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """How many readings are stored under each of these numbers, if any are."""
    rows = connection.execute(_ORIGIN_READINGS, {"origins": list(numbers)}, binary=True).fetchall()
    return {int(number): int(readings) for number, readings in rows}


def _midnight(day: date) -> At:
    return At(to_us(datetime(day.year, day.month, day.day, tzinfo=UTC)))


def _day(at_us: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + at_us // DAY_US)


def _zone_json(zone: HeartRateZone) -> dict[str, Any]:
    """Return a zone with the vendor's field names, which people's own SQL on this table expects."""
    stated = {"minutes": zone.minutes, "caloriesOut": zone.calories}
    return {"name": zone.name, "min": zone.min_bpm, "max": zone.max_bpm} | {
        key: value for key, value in stated.items() if value is not None
    }


def _zones(found: list[dict[str, Any]] | None) -> tuple[HeartRateZone, ...]:
    return tuple(
        HeartRateZone(zone["name"], zone["min"], zone["max"], zone.get("minutes"), zone.get("caloriesOut"))
        for zone in found or []
    )
