"""The continuous aggregates that users' own SQL reads: refreshed after merges, in addition to the server's policies.

Which times merges have changed since the last refresh is kept in the database, so that it outlives the process.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import errors

from pulsebase.model.timerange import DAY_US, TimeRange
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At

AGGREGATES = ("activities_heart_intraday_1m", "activities_heart_intraday_1h", "activities_heart_intraday_1d")


@dataclass(frozen=True, slots=True)
class Stale:
    """The times between which something changed, how many changes there were, and when this was read."""

    interval: TimeRange
    changes: int
    asked_us: int


def note_stale(connection: Connection, first_us: int, last_us: int) -> None:
    """Record that hours between these times have changed."""
    connection.execute(
        """
        INSERT INTO pulsebase.stale (first_at, last_at) VALUES (%s, %s)
        ON CONFLICT (one) DO UPDATE SET first_at = least(stale.first_at, excluded.first_at),
            last_at = greatest(stale.last_at, excluded.last_at), changes = stale.changes + 1
        """,
        [At(first_us), At(last_us)],
    )


def find_stale(connection: Connection) -> Stale | None:
    """Return what has to be refreshed."""
    row = connection.execute("SELECT first_at, last_at, changes, now() FROM pulsebase.stale", binary=True).fetchone()
    return None if row is None else Stale(TimeRange(row[0], row[1] + 1).widened(DAY_US), row[2], row[3])


def forget_stale(connection: Connection, stale: Stale) -> None:
    """Note that it was refreshed; what has changed since stays noted."""
    connection.execute("DELETE FROM pulsebase.stale WHERE changes = %s", [stale.changes])
    connection.execute("UPDATE pulsebase.stale SET since = greatest(since, %s)", [At(stale.asked_us)])


def refresh(connection: Connection, interval: TimeRange) -> bool:
    """Recompute the changed buckets inside the interval.

    Returns False if another session is refreshing an aggregate, so that this has to be done later.
    """
    try:
        for name in AGGREGATES:
            connection.execute(
                f"CALL refresh_continuous_aggregate('public.{name}', %s, %s)",
                [At(interval.start_us), At(interval.end_us)],
            )
    except errors.LockNotAvailable:
        return False
    return True
