"""People, priorities and summaries in the database: small rows, read and written directly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

import duckdb
import msgspec
import pyarrow as pa

from pulsebase.model.annotations import Annotation
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DevicePriority, User, folded
from pulsebase.stores.duckdb.engine.transactions import one_row, relation
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN

#: The columns of the table `users`.
_USERS = pa.schema(
    {
        "user_no": pa.int32(),
        "user_id": pa.string(),
        "name": pa.string(),
        "gender": pa.string(),
        "birth_date": pa.date32(),
        "time_zone": pa.string(),
        "name_folded": pa.string(),
    }
)
_USER = "user_id, name, gender, birth_date, time_zone"


def put_users(connection: duckdb.DuckDBPyConnection, people: Sequence[tuple[int, User]]) -> None:
    """Insert or replace people, each with their number."""
    rows = [{"user_no": user_no, "name_folded": _folded(user.name)} | asdict(user) for user_no, user in people]
    with relation(connection, "incoming", pa.Table.from_pylist(rows, schema=_USERS)):
        connection.execute("INSERT OR REPLACE INTO users SELECT * FROM incoming")


def get_user(connection: duckdb.DuckDBPyConnection, user_no: int) -> User | None:
    """Read a person's row, if a merge or `put_users` made one; the id of a removed person is `FORGOTTEN`."""
    row = one_row(connection, f"SELECT {_USER} FROM users WHERE user_no = ?", [user_no])
    return User(*row) if row else None


def find_users(
    connection: duckdb.DuckDBPyConnection, text: str, limit: int, after: str | None
) -> list[tuple[int, User]]:
    """People by id whose id or name holds the text, with their numbers. Who was removed has no id, so none after ''."""
    rows = connection.execute(
        f"SELECT user_no, {_USER} FROM users WHERE user_id > $after "
        "AND (contains(lower(user_id), $text) OR contains(coalesce(name_folded, ''), $text)) "
        "ORDER BY user_id LIMIT $limit",  # ids are ASCII, which every engine folds alike
        {"after": after or FORGOTTEN, "text": folded(text), "limit": limit},
    ).fetchall()
    return [(user_no, User(*row)) for user_no, *row in rows]


def put_priority(connection: duckdb.DuckDBPyConnection, user_no: int, device_no: int, entry: DevicePriority) -> None:
    """Insert or replace an entry, and advance the epoch, so that readers load priorities anew."""
    connection.execute(
        "INSERT OR REPLACE INTO priorities VALUES (?, ?, ?, ?)",
        [user_no, device_no, entry.valid_from_us, entry.priority],
    )
    connection.execute("UPDATE state SET epoch = epoch + 1")


def remove_priorities(connection: duckdb.DuckDBPyConnection, user_no: int, device_no: int) -> int:
    """Delete a device's entries; return how many there were. If any, the epoch advances."""
    row = one_row(
        connection,
        "SELECT count(*) FROM priorities WHERE user_no = $user AND device_no = $device",
        {"user": user_no, "device": device_no},
    )
    count = int(row[0]) if row else 0
    if count:
        connection.execute("DELETE FROM priorities WHERE user_no = ? AND device_no = ?", [user_no, device_no])
        connection.execute("UPDATE state SET epoch = epoch + 1")
    return count


def get_priorities(connection: duckdb.DuckDBPyConnection, user_no: int) -> list[tuple[int, int, int | None]]:
    """Read a person's entries as (device_no, valid_from, priority)."""
    return connection.execute(
        "SELECT device_no, valid_from, priority FROM priorities WHERE user_no = ?", [user_no]
    ).fetchall()


def all_priorities(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int, int, int | None]]:
    """Read everybody's entries as (user_no, device_no, valid_from, priority), in that order."""
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
    """Read a person's days, by day, then method."""
    rows = connection.execute(
        "SELECT day, method, resting_heart_rate, zones, custom_zones FROM summaries "
        "WHERE user_no = ? AND day BETWEEN ? AND ? ORDER BY day, method",
        [user_no, first, last],
    ).fetchall()
    return [
        DailySummary(user_id, day, resting, method or None, _zones(zones), _zones(custom))
        for day, method, resting, zones, custom in rows
    ]


def put_annotations(connection: duckdb.DuckDBPyConnection, rows: Sequence[tuple[int, Annotation]]) -> None:
    """Insert or replace annotations, each with its person's number."""
    for user_no, each in rows:
        connection.execute(
            "INSERT OR REPLACE INTO annotations VALUES (?, ?, ?, ?, ?)",
            [user_no, each.annotation_id, each.start_us, each.end_us, each.text],
        )


def remove_annotation(connection: duckdb.DuckDBPyConnection, user_no: int, annotation_id: str) -> bool:
    """Delete an annotation; False if there is none."""
    deleted = connection.execute(
        "DELETE FROM annotations WHERE user_no = ? AND annotation_id = ? RETURNING user_no", [user_no, annotation_id]
    )
    return deleted.fetchone() is not None


def get_annotations(
    connection: duckdb.DuckDBPyConnection, user_no: int, user_id: str, interval: TimeRange | None
) -> list[Annotation]:
    """Read a person's annotations that touch the interval, or all of them, by start, then id."""
    inside, times = "", {}
    if interval is not None:
        inside = "AND start_us < $end AND coalesce(end_us > $start, start_us >= $start)"
        times = {"start": interval.start_us, "end": interval.end_us}
    rows = connection.execute(
        f"SELECT annotation_id, start_us, end_us, text FROM annotations WHERE user_no = $user {inside} "
        "ORDER BY start_us, annotation_id",
        {"user": user_no, **times},
    ).fetchall()
    return [Annotation(user_id, *row) for row in rows]


def _folded(name: str | None) -> str | None:
    return None if name is None else folded(name)


def _zones_text(zones: Sequence[HeartRateZone]) -> str:
    return msgspec.json.encode([asdict(zone) for zone in zones]).decode()


def _zones(text: str) -> tuple[HeartRateZone, ...]:
    return msgspec.json.decode(text, type=tuple[HeartRateZone, ...])
