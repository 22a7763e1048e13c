"""Expiry: deletes raw readings before the horizon and keeps their rollups.

Readings go a week at a time, each week in one transaction, so that a kill leaves whole days. Before that, quarters of
an hour are computed for everybody who has readings among them, so that every kept resolution exists for everybody; from
then on these people's quarters are kept as if they had been queried.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pulsebase.stores.duckdb.engine.transactions import one_row
from pulsebase.stores.duckdb.merge.rollup_sql import RESOLVED_QUARTERS

_HOUR_S = 3600
_STEP_HOURS = 7 * 24
_WITHOUT_QUARTERS = (
    "SELECT DISTINCT user_no FROM h1_dev ANTI JOIN q15_users USING (user_no) WHERE hour >= $first AND hour < $end"
)


@dataclass(slots=True)
class Horizon:
    """Since when readings are accepted and stored.

    Attributes:
        start_us: no reading before it is accepted.
        expired_us: every reading before it has expired.
    """

    start_us: int
    expired_us: int


def count_before(connection: duckdb.DuckDBPyConnection, first_hour: int, end_hour: int) -> int:
    """Count the merged readings in these hours."""
    row = one_row(
        connection,
        "SELECT coalesce(sum(n_all), 0)::BIGINT FROM h1_dev WHERE hour >= ? AND hour < ?",
        [first_hour, end_hour],
    )
    return int(row[0]) if row else 0


def next_horizon(connection: duckdb.DuckDBPyConnection, horizon_hour: int, end_hour: int) -> int:
    """Return the hour at which one step ends: after the week of the first reading, but no later than `end_hour`."""
    row = one_row(connection, "SELECT min(hour) FROM h1_dev WHERE hour >= ? AND hour < ?", [horizon_hour, end_hour])
    first = row[0] if row else None
    return end_hour if first is None else min((first // _STEP_HOURS + 1) * _STEP_HOURS, end_hour)


def expire_step(connection: duckdb.DuckDBPyConnection, horizon_hour: int, end_hour: int) -> None:
    """Delete the readings of these hours. Everything that was staged or late for them is merged."""
    for (user_no,) in connection.execute(_WITHOUT_QUARTERS, {"first": horizon_hour, "end": end_hour}).fetchall():
        keep_quarters(connection, user_no)
    connection.execute("DELETE FROM stored WHERE second < ?", [end_hour * _HOUR_S])
    connection.execute("UPDATE state SET horizon_hour = ?", [end_hour])


def keep_quarters(connection: duckdb.DuckDBPyConnection, user_no: int) -> None:
    """Compute a person's quarters of an hour and keep them from now on, unless they are kept already."""
    if one_row(connection, "SELECT 1 FROM q15_users WHERE user_no = ?", [user_no]):
        return
    connection.execute("INSERT INTO q15_users VALUES (?)", [user_no])
    hours = f"SELECT DISTINCT user_no, hour FROM h1_dev WHERE user_no = {user_no}"
    connection.execute("INSERT INTO q15 " + RESOLVED_QUARTERS.format(hours=hours))
