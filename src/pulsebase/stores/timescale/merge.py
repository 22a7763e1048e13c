"""The merge: moves staged readings into the hypertables, and recomputes every rollup of the hours they touch.

It is one transaction on the server, so rollups equal a recomputation from the hypertables in every state that anybody
can see. One process at a time merges, deletes or changes a priority (`lock_merges`); one at a time adds to the stage
(`lock_commits`), so that commit numbers ascend in the order of commits.
"""

from __future__ import annotations

from collections.abc import Iterable

from pulsebase.model.timerange import HOUR_US
from pulsebase.stores.postgres.binary_copy import copy_in
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At
from pulsebase.stores.postgres.locks import lock_merges
from pulsebase.stores.postgres.origins import push_origins
from pulsebase.stores.timescale.aggregates import note_stale
from pulsebase.stores.timescale.origins import settle
from pulsebase.stores.timescale.raw_tables import HEART_RATES, RAW_TABLES, RawTable, readings
from pulsebase.stores.timescale.rollup_sql import (
    DEVICE_HOURS,
    DEVICE_MINUTES,
    IN_ORDER,
    LAST_OF_EACH,
    MERGED,
    QUARTERS,
    bucket,
    coarser,
    device_days,
)

_PIECE = "7 days"
#: Later than every commit.
_LAST_SEQ = (1 << 63) - 1


def _stretches(step: str, touched: str = "touched") -> str:
    """Write the query for the touched buckets of `step`, adjacent ones joined, as `user_id`, `start_at` and `end_at`.

    Searching for each bucket separately would cost as much as everything else.
    """
    return f"""(
        SELECT user_id, min(start_at) AS start_at, max(start_at) + INTERVAL '{step}' AS end_at
        FROM (
            SELECT user_id, start_at,
                   start_at - INTERVAL '{step}' * row_number() OVER (PARTITION BY user_id ORDER BY start_at) AS row_of
            FROM (SELECT DISTINCT user_id, {bucket(step, "start_at")} AS start_at FROM {touched}) AS buckets
        ) AS numbered GROUP BY user_id, row_of
    )"""


_TOUCHED_MINUTES = f"""
WITH piece AS (SELECT * FROM touched WHERE start_at >= %(first)s AND start_at < %(last)s AND {{chosen}}),
rows AS (
    SELECT {MERGED}, r.origin
    FROM {_stretches("1 hour", "piece")} AS t CROSS JOIN LATERAL (
        {{readings}}
    ) AS r
)
{DEVICE_MINUTES}
"""
_OF_STRETCH = (
    "i.user_id = t.user_id AND i.timestamp >= t.start_at AND i.timestamp < t.end_at "
    "AND i.timestamp >= %(first)s AND i.timestamp < %(last)s"
)
_INSIDE = "kept.user_id = t.user_id AND kept.start_at >= t.start_at AND kept.start_at < t.end_at"
#: The one good plan for `_INSIDE` looks each stretch up in the index. Another one, which the planner may prefer while
#: its statistics of quickly growing tables are old, compares every hour of a person with every other.
_BY_INDEX = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
_AS_EVER = "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on"
_NOWHERE = {"first": At(0), "last": At(0)}


def merge_staged(connection: Connection, most_rows: int) -> int:
    """Merge the oldest staged commits, whole ones with about `most_rows` rows together; return how many rows."""
    lock_merges(connection)
    upto = connection.execute(
        "SELECT coalesce(min(seq) FILTER (WHERE rows >= %(most)s), max(seq)), "
        "coalesce(min(rows) FILTER (WHERE rows >= %(most)s), max(rows))::bigint FROM ("
        "SELECT seq, sum(count(*)) OVER (ORDER BY seq) AS rows FROM pulsebase.stage GROUP BY seq) AS commits",
        {"most": most_rows},
        binary=True,
    ).fetchone()
    if upto is None or upto[0] is None:
        return 0
    merged = f"FROM pulsebase.stage WHERE seq <= {int(upto[0])}"
    readings = connection.execute(
        f"""
        CREATE TEMP TABLE incoming ON COMMIT DROP AS
        SELECT {LAST_OF_EACH} user_id, device_id, timestamp, v, confidence, origin, false AS settled {merged} {IN_ORDER}
        """
    ).rowcount
    if readings < upto[1]:
        settle(connection, f"SELECT *, false AS settled {merged}")
    _take_in(connection)
    return connection.execute(f"DELETE {merged}").rowcount


def take_in_at_once(connection: Connection, blocks: Iterable[bytes]) -> None:
    """Merge rows, encoded as the columns of `incoming` below, each reading once, without staging them.

    `settled` says that the row's origin applies whatever is stored.

    Staged rows of the same readings are older and are dropped. Rows staged meanwhile stay and take precedence: neither
    write was acknowledged when the other one began, so either order is right.
    """
    lock_merges(connection)
    connection.execute(
        "CREATE TEMP TABLE incoming (user_id text, device_id text, timestamp timestamptz, v smallint, "
        "confidence smallint, origin integer, settled boolean) ON COMMIT DROP; "
        "CREATE TEMP TABLE older (LIKE pulsebase.stage) ON COMMIT DROP"
    )
    copy_in(connection, "incoming", blocks)
    older = connection.execute(
        "WITH gone AS (DELETE FROM pulsebase.stage AS s USING incoming AS i "
        "WHERE s.user_id = i.user_id AND s.device_id = i.device_id AND s.timestamp = i.timestamp RETURNING s.*) "
        "INSERT INTO older SELECT * FROM gone"
    ).rowcount
    if older:
        latest = (
            f"SELECT {_LAST_SEQ} AS seq, user_id, device_id, timestamp, v, confidence, origin, settled FROM incoming"
        )
        settle(connection, f"SELECT *, false AS settled FROM older UNION ALL {latest}")
    connection.execute("DROP TABLE older")
    _take_in(connection)


def _take_in(connection: Connection) -> None:
    """Merge the rows of `incoming`, each under its own origin or the one under which the reading is stored."""
    touch(connection, f"SELECT DISTINCT user_id, {bucket('1 hour')} FROM incoming")
    pushes = push_origins(connection)
    for table, chosen in _touched_tables(connection):
        unchanged = (
            f"kept.{table.value} = excluded.{table.value} AND kept.confidence IS NOT DISTINCT FROM excluded.confidence"
        )
        lasting = f"{unchanged} AND excluded.origin <> ALL (%(pushes)s::int[])"
        for settled, origin in (
            (False, f"CASE WHEN {lasting} THEN kept.origin ELSE excluded.origin END"),
            (True, "excluded.origin"),
        ):
            connection.execute(
                f"""
                INSERT INTO {table.full_name} AS kept {table.columns}
                SELECT timestamp, {table.from_v}, user_id, device_id, confidence, origin
                FROM incoming WHERE settled = {settled} AND {chosen}
                ON CONFLICT (user_id, timestamp, device_id) DO UPDATE
                SET {table.value} = excluded.{table.value}, confidence = excluded.confidence, origin = {origin}
                """,
                {"pushes": pushes},
            )
    connection.execute("DROP TABLE incoming")
    recompute(connection)


def touch(connection: Connection, hours: str, values: dict[str, object] | None = None) -> None:
    """Note the hours (`user_id`, start) whose rollups `recompute` has to update."""
    connection.execute("CREATE TEMP TABLE touched (user_id text, start_at timestamptz) ON COMMIT DROP")
    connection.execute(f"INSERT INTO touched {hours}", values)
    connection.execute("ANALYZE touched")


def recompute(connection: Connection) -> None:
    """Recompute every rollup of the touched hours from the hypertables, and forget which they were."""
    _work_out_minutes(connection)
    minutes = "WITH minutes AS (SELECT * FROM touched_minutes)"
    replacing = [
        _replacing("h1_dev", "1 hour", f"{minutes} {DEVICE_HOURS}"),
        _replacing("d1_dev", "1 day", device_days(_touched("h1_dev", "1 day"))),
        _replacing("q15", "1 hour", f"{minutes} {QUARTERS}"),
        _replacing("h1", "1 hour", coarser(_touched("q15", "1 hour"), "1 hour")),
        _replacing("d1", "1 day", coarser(_touched("h1", "1 day"), "1 day")),
    ]
    statements = ["ANALYZE touched_minutes", _BY_INDEX, *replacing, _AS_EVER, "DROP TABLE touched_minutes, touched"]
    connection.execute("; ".join(statements))


def _work_out_minutes(connection: Connection) -> None:
    """Compute the minutes of the touched hours, a few chunks at a time, so that no statement searches all of them."""
    statement = _minutes_of(HEART_RATES, "true")
    connection.execute(f"CREATE TEMP TABLE touched_minutes ON COMMIT DROP AS {statement} WITH NO DATA", _NOWHERE)
    for table, chosen in _touched_tables(connection):
        pieces = connection.execute(
            f"SELECT min(start_at), max(start_at) FROM touched WHERE {chosen} GROUP BY {bucket_of_piece()} ORDER BY 1",
            binary=True,
        ).fetchall()
        if table is HEART_RATES:
            note_stale(connection, pieces[0][0], pieces[-1][1])
        for first, last in pieces:
            values = {"first": At(first), "last": At(last + HOUR_US)}
            connection.execute(f"INSERT INTO touched_minutes {_minutes_of(table, chosen)}", values)


def _minutes_of(table: RawTable, chosen: str) -> str:
    return _TOUCHED_MINUTES.format(readings=readings(_OF_STRETCH, [table]), chosen=chosen)


def _touched_tables(connection: Connection) -> list[tuple[RawTable, str]]:
    """Return the tables that hold the readings of touched hours, each with the condition for its keys among them.

    If only one table holds any, its condition is left out, because it would distort the server's estimates.
    """
    row = connection.execute(
        "SELECT " + ", ".join(f"EXISTS (SELECT FROM touched WHERE {table.has_keys})" for table in RAW_TABLES),
        binary=True,
    ).fetchone()
    found = [table for table, is_touched in zip(RAW_TABLES, row or (), strict=True) if is_touched]
    return [(table, "true" if len(found) == 1 else table.has_keys) for table in found]


def bucket_of_piece() -> str:
    """Write the expression for a time's piece, about a chunk of a hypertable."""
    return bucket(_PIECE, "start_at")


def _touched(table: str, step: str) -> str:
    """Write the subquery for the rows of a rollup inside the touched buckets of `step`."""
    return f"(SELECT kept.* FROM pulsebase.{table} AS kept JOIN {_stretches(step)} AS t ON {_INSIDE}) AS finer"


def _replacing(table: str, step: str, rows: str) -> str:
    return (
        f"DELETE FROM pulsebase.{table} AS kept USING {_stretches(step)} AS t WHERE {_INSIDE}; "
        f"INSERT INTO pulsebase.{table} {rows}"
    )
