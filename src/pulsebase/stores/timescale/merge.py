"""The merge: move staged readings into the hypertable, and recompute every rollup of the touched hours.

It is one transaction on the server, so that rollups equal a recomputation from the hypertable in every visible state.
One process at a time merges, deletes or changes a priority (`lock_merges`), and one at a time adds to the stage
(`lock_stage`), so that commit numbers grow in the order of commits. Code that needs both locks takes `lock_merges`
first.
"""

from __future__ import annotations

from collections.abc import Iterable

from pulsebase.model.timerange import HOUR_US
from pulsebase.stores.timescale.aggregates import note_stale
from pulsebase.stores.timescale.binary_copy import copy_in
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.instants import At
from pulsebase.stores.timescale.origins import push_origins, settle
from pulsebase.stores.timescale.rollup_sql import (
    APART,
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

#: Keys of the advisory locks, in a space of their own: "Puls".
_LOCKS = 0x50756C73
_STAGE_LOCK, _MERGE_LOCK = 1, 2
_PIECE = "7 days"
#: Later than every commit.
_LAST_SEQ = (1 << 63) - 1


def _stretches(step: str, touched: str = "touched") -> str:
    """Return SQL for the touched buckets of `step`, adjacent ones joined, as `user_id`, `start_at` and `end_at`.
    Looking up each bucket by itself would cost as much as the rest of the merge.
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
WITH piece AS (SELECT * FROM touched WHERE start_at >= %(first)s AND start_at < %(last)s),
rows AS (
    SELECT {MERGED}, r.origin
    FROM {_stretches("1 hour", "piece")} AS t CROSS JOIN LATERAL (
        SELECT * FROM public.activities_heart_intraday AS i
        WHERE i.user_id = t.user_id AND i.timestamp >= t.start_at AND i.timestamp < t.end_at
          AND i.timestamp >= %(first)s AND i.timestamp < %(last)s
        {APART}
    ) AS r
)
{DEVICE_MINUTES}
"""
_INSIDE = "kept.user_id = t.user_id AND kept.start_at >= t.start_at AND kept.start_at < t.end_at"
#: The only good plan for `_INSIDE` looks each range up in the index. With outdated statistics of a quickly growing
#: table the planner may prefer one that compares every hour of a person with every other.
_BY_INDEX = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
_AS_EVER = "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on"
_NOWHERE = {"first": At(0), "last": At(0)}


def lock_stage(connection: Connection) -> None:
    """Lock the stage: no other process adds to it until the end of this transaction."""
    connection.execute(f"SELECT pg_advisory_xact_lock({_LOCKS}, {_STAGE_LOCK})")


def lock_merges(connection: Connection) -> None:
    """Lock merges: no other process changes merged readings until the end of this transaction."""
    connection.execute(f"SELECT pg_advisory_xact_lock({_LOCKS}, {_MERGE_LOCK})")


def merge_staged(connection: Connection, most_rows: int) -> int:
    """Merge the oldest staged commits, whole commits of about `most_rows` rows in all. Return how many rows."""
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
    """Merge rows without staging them, encoded as the columns of `incoming` below, each reading once. `settled` rows
    keep their origin whatever is stored.

    Staged rows of the same readings are older and are removed. Rows staged meanwhile stay and win: neither write was
    acknowledged when the other one began, so that either order is correct.
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
    """Move the rows of `incoming` into the hypertable, each under its own origin or that of the stored reading."""
    unchanged = "kept.value = excluded.value AND kept.confidence IS NOT DISTINCT FROM excluded.confidence"
    lasting = f"{unchanged} AND excluded.origin <> ALL (%(pushes)s::int[])"
    values = {"pushes": push_origins(connection)}
    for settled, origin in (
        (False, f"CASE WHEN {lasting} THEN kept.origin ELSE excluded.origin END"),
        (True, "excluded.origin"),
    ):
        connection.execute(
            f"""
            INSERT INTO public.activities_heart_intraday AS kept
                (timestamp, value, user_id, device_id, confidence, origin)
            SELECT timestamp, v * 0.01, user_id, device_id, confidence, origin FROM incoming WHERE settled = {settled}
            ON CONFLICT (user_id, timestamp, device_id) DO UPDATE
            SET value = excluded.value, confidence = excluded.confidence, origin = {origin}
            """,
            values,
        )
    touch(connection, f"SELECT DISTINCT user_id, {bucket('1 hour')} FROM incoming")
    connection.execute("DROP TABLE incoming")
    recompute(connection)


def touch(connection: Connection, hours: str, values: dict[str, object] | None = None) -> None:
    """Collect the hours (`user_id`, start) whose rollups `recompute` will update."""
    connection.execute("CREATE TEMP TABLE touched (user_id text, start_at timestamptz) ON COMMIT DROP")
    connection.execute(f"INSERT INTO touched {hours}", values)
    connection.execute("ANALYZE touched")


def recompute(connection: Connection) -> None:
    """Recompute every rollup of the touched hours from the hypertable, and clear the list of hours."""
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
    """Compute the minutes of the touched hours. Readings are read a few chunks at a time, so that no statement searches
    all chunks.
    """
    pieces = connection.execute(
        f"SELECT min(start_at), max(start_at) FROM touched GROUP BY {bucket_of_piece()} ORDER BY 1", binary=True
    ).fetchall()
    if pieces:
        note_stale(connection, pieces[0][0], pieces[-1][1])
    connection.execute(f"CREATE TEMP TABLE touched_minutes ON COMMIT DROP AS {_TOUCHED_MINUTES} WITH NO DATA", _NOWHERE)
    for first, last in pieces:
        values = {"first": At(first), "last": At(last + HOUR_US)}
        connection.execute(f"INSERT INTO touched_minutes {_TOUCHED_MINUTES}", values)


def bucket_of_piece() -> str:
    """Return SQL for the piece that an hour belongs to, about a chunk of the hypertable."""
    return bucket(_PIECE, "start_at")


def _touched(table: str, step: str) -> str:
    """Return SQL for the rows of a rollup inside the touched buckets of `step`."""
    return f"(SELECT kept.* FROM pulsebase.{table} AS kept JOIN {_stretches(step)} AS t ON {_INSIDE}) AS finer"


def _replacing(table: str, step: str, rows: str) -> str:
    return (
        f"DELETE FROM pulsebase.{table} AS kept USING {_stretches(step)} AS t WHERE {_INSIDE}; "
        f"INSERT INTO pulsebase.{table} {rows}"
    )
