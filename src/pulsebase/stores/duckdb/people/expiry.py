"""Raw readings that expire, while what they came to stays.

Days go a week at a time, each in one transaction, so that a kill leaves whole days. Before readings go, quarters of an
hour are worked out for whoever has some among them, so that every kept rung is there for everybody; from then on these
people keep quarters as if they had been asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pulsebase.stores.duckdb.engine.database import one_row
from pulsebase.stores.duckdb.merge.rollup_sql import RESOLVED_QUARTERS

_HOUR_S = 3600
_STEP_HOURS = 7 * 24
_WITHOUT_QUARTERS = (
    "SELECT DISTINCT user_no FROM h1_dev ANTI JOIN q15_users USING (user_no) WHERE hour >= $first AND hour < $end"
)


@dataclass(slots=True)
class Horizon:
    """Where readings begin.

    Attributes:
        start_us: no reading before it is accepted.
        expired_us: every reading before it has expired.
    """

    start_us: int
    expired_us: int


def count_before(connection: duckdb.DuckDBPyConnection, first_hour: int, end_hour: int) -> int:
    """How many merged readings lie in these hours."""
    row = one_row(
        connection,
        "SELECT coalesce(sum(n_all), 0)::BIGINT FROM h1_dev WHERE hour >= ? AND hour < ?",
        [first_hour, end_hour],
    )
    return int(row[0]) if row else 0


def next_horizon(connection: duckdb.DuckDBPyConnection, horizon_hour: int, end_hour: int) -> int:
    """The hour up to which one step goes: through the week of the first reading, but no further than `end_hour`."""
    row = one_row(connection, "SELECT min(hour) FROM h1_dev WHERE hour >= ? AND hour < ?", [horizon_hour, end_hour])
    first = row[0] if row else None
    return end_hour if first is None else min((first // _STEP_HOURS + 1) * _STEP_HOURS, end_hour)


def expire_step(connection: duckdb.DuckDBPyConnection, horizon_hour: int, end_hour: int) -> None:
    """Let the readings of these hours go. Everything that was staged or late for them is merged."""
    for (user_no,) in connection.execute(_WITHOUT_QUARTERS, {"first": horizon_hour, "end": end_hour}).fetchall():
        keep_quarters(connection, user_no)
    connection.execute("DELETE FROM stored WHERE second < ?", [end_hour * _HOUR_S])
    connection.execute("UPDATE state SET horizon_hour = ?", [end_hour])


def keep_quarters(connection: duckdb.DuckDBPyConnection, user_no: int) -> None:
    """Keep quarters of an hour of a person from now on, if they are not kept yet."""
    if one_row(connection, "SELECT 1 FROM q15_users WHERE user_no = ?", [user_no]):
        return
    connection.execute("INSERT INTO q15_users VALUES (?)", [user_no])
    hours = f"SELECT DISTINCT user_no, hour FROM h1_dev WHERE user_no = {user_no}"
    connection.execute("INSERT INTO q15 " + RESOLVED_QUARTERS.format(hours=hours))
