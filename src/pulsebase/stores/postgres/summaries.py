"""Daily summaries, in the table that people's own SQL knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from psycopg.types.json import Jsonb

from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import DAY_US, to_us
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At

#: The table, with its schema.
SUMMARIES = "public.activities_heart_summary"


def put_summaries(connection: Connection, summaries: Sequence[DailySummary]) -> None:
    """Insert or replace days."""
    for summary in summaries:
        connection.execute(
            f"""
            INSERT INTO {SUMMARIES}
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
        f"FROM {SUMMARIES} WHERE user_id = %s AND timestamp >= %s AND timestamp <= %s "
        'ORDER BY timestamp, method COLLATE "C"',
        [user_id, _midnight(first), _midnight(last)],
        binary=True,
    ).fetchall()
    return [
        DailySummary(user_id, _day(at_us), resting, method or None, _zones(zones), _zones(custom))
        for at_us, method, resting, zones, custom in rows
    ]


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
