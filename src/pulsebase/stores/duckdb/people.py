"""People, priorities and summaries in the database: small rows, read and written directly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

import duckdb
import msgspec

from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.duckdb.database import one_row

_USER = "user_id, name, gender, birth_date, time_zone"


def put_user(connection: duckdb.DuckDBPyConnection, user_no: int, user: User) -> None:
    """Insert or replace a person."""
    connection.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?, ?, ?, ?)", [user_no, *asdict(user).values()])


def get_user(connection: duckdb.DuckDBPyConnection, user_id: str) -> User | None:
    """The person's row, if a merge or `put_user` made one."""
    row = one_row(connection, f"SELECT {_USER} FROM users WHERE user_id = ?", [user_id])
    return User(*row) if row else None


def find_users(connection: duckdb.DuckDBPyConnection, text: str, limit: int, after: str | None) -> list[User]:
    """People by id whose id or name holds the text."""
    rows = connection.execute(
        f"SELECT {_USER} FROM users WHERE user_id > $after "
        "AND (contains(lower(user_id), $text) OR contains(lower(coalesce(name, '')), $text)) "
        "ORDER BY user_id LIMIT $limit",
        {"after": after or "", "text": text.lower(), "limit": limit},
    ).fetchall()
    return [User(*row) for row in rows]


def put_priority(connection: duckdb.DuckDBPyConnection, user_no: int, device_no: int, entry: DevicePriority) -> None:
    """Insert or replace an entry, and tell readers that priorities changed."""
    connection.execute(
        "INSERT OR REPLACE INTO priorities VALUES (?, ?, ?, ?)",
        [user_no, device_no, entry.valid_from_us, entry.priority],
    )
    connection.execute("UPDATE state SET epoch = epoch + 1")


def all_priorities(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int, int, int | None]]:
    """(user_no, device_no, valid_from, priority), ordered."""
    return connection.execute("SELECT * FROM priorities ORDER BY user_no, device_no, valid_from").fetchall()


def put_summaries(connection: duckdb.DuckDBPyConnection, rows: Sequence[tuple[int, DailySummary]]) -> None:
    """Insert or replace days, each with its person's number."""
    for user_no, summary in rows:
        connection.execute(
            "INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?, ?)",
            [
                user_no,
                summary.day,
                summary.resting_heart_rate_method or "",
                summary.resting_heart_rate,
                _zones_text(summary.zones),
                _zones_text(summary.custom_zones),
            ],
        )


def get_summaries(
    connection: duckdb.DuckDBPyConnection, user_no: int, user_id: str, first: date, last: date
) -> list[DailySummary]:
    """A person's days, by day, then method."""
    rows = connection.execute(
        "SELECT day, method, resting_heart_rate, zones, custom_zones FROM summaries "
        "WHERE user_no = ? AND day BETWEEN ? AND ? ORDER BY day, method",
        [user_no, first, last],
    ).fetchall()
    return [
        DailySummary(user_id, day, resting, method or None, _zones(zones), _zones(custom))
        for day, method, resting, zones, custom in rows
    ]


def _zones_text(zones: Sequence[HeartRateZone]) -> str:
    return msgspec.json.encode([asdict(zone) for zone in zones]).decode()


def _zones(text: str) -> tuple[HeartRateZone, ...]:
    return msgspec.json.decode(text, type=tuple[HeartRateZone, ...])
