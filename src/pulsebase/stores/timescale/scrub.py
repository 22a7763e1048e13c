"""Rewriting what may still hold bytes of people who were removed: the engine leaves them until it reuses their space.

Removals note where rows lay (`to_scrub`). Each chunk of readings that they touched, and every other table of ours, is
rewritten, one at a time, locked meanwhile. Who serves need not own them (see `roles`): a function of the owner does it,
except for aggregates, which belong to whoever serves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.timerange import DAY_US, TimeRange
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At
from pulsebase.stores.timescale.aggregates import AGGREGATES, refresh
from pulsebase.stores.timescale.raw_tables import RAW_TABLES, readings, tables_of

#: How long to wait for a table in use before giving up for now.
_LOCK_TIMEOUT_S = 30
#: How often to try aggregates that another session refreshes, and the first pause in between, which grows.
_ATTEMPTS = 4
_PAUSE_S = 0.5
_OURS = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname = 'pulsebase' AND tablename <> 'to_scrub'  -- which has times of nobody
UNION ALL SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname = 'public' AND tablename IN ('activities_heart_intraday', 'activities_heart_summary')
"""
_HYPERTABLES = (*(table.full_name for table in RAW_TABLES), "public.activities_heart_summary")
#: The chunks of our hypertables and aggregates that overlap a range, with the compressed chunks that hold their rows;
#: and whether they are an aggregate's.
_CHUNKS = """
WITH tables AS (
    SELECT split_part(table_name, '.', 1) AS schema, split_part(table_name, '.', 2) AS name, false AS aggregate
    FROM unnest(%(tables)s::text[]) AS table_name
    UNION ALL SELECT materialization_hypertable_schema, materialization_hypertable_name, true
    FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public' AND view_name = ANY(%(aggregates)s)
), chunks AS (
    SELECT c.id, c.schema_name, c.table_name, c.compressed_chunk_id, t.aggregate
    FROM tables AS t JOIN timescaledb_information.chunks AS i
        ON i.hypertable_schema = t.schema AND i.hypertable_name = t.name
    JOIN _timescaledb_catalog.chunk AS c ON c.schema_name = i.chunk_schema AND c.table_name = i.chunk_name
    WHERE i.range_start < %(end)s AND i.range_end > %(start)s
)
SELECT format('%%I.%%I', schema_name, table_name), aggregate FROM chunks
UNION ALL SELECT format('%%I.%%I', c.schema_name, c.table_name), aggregate
FROM chunks JOIN _timescaledb_catalog.chunk AS c ON c.id = chunks.compressed_chunk_id
"""


def note(connection: Connection, series: Sequence[str]) -> None:
    """Note where the readings and days of these series lie, whose person is removed in this transaction."""
    connection.execute(
        f"""
        INSERT INTO pulsebase.to_scrub
        SELECT coalesce(min(timestamp), 'epoch'), coalesce(max(timestamp), 'epoch') + interval '1 microsecond' FROM (
            SELECT timestamp FROM ({readings("i.user_id = ANY(%(series)s)", tables_of(series))}) AS merged
            UNION ALL SELECT timestamp FROM pulsebase.stage WHERE user_id = ANY(%(series)s)
            UNION ALL SELECT timestamp FROM public.activities_heart_summary WHERE user_id = ANY(%(series)s)
        ) AS times
        """,
        {"series": list(series)},
    )


def scrub(connection: Connection, *, hypertables: bool) -> None:
    """Rewrite what removals until now have touched. `connection` is in no transaction.

    Raises:
        StoreUnavailableError: the server is refreshing an aggregate.
    """
    noted = connection.execute("SELECT ctid::text, start_at, end_at FROM pulsebase.to_scrub", binary=True).fetchall()
    if not noted:
        return
    span = TimeRange(min(start for _, start, _ in noted), max(end for _, _, end in noted))
    names = [name for (name,) in connection.execute(_OURS).fetchall()]
    of_aggregates: list[str] = []
    if hypertables:
        if not _refreshed(connection, span.widened(DAY_US)):
            raise StoreUnavailableError("the server refreshes an aggregate just now", retry_after_s=60)
        names = [name for name in names if name not in _HYPERTABLES]
        chunks = {
            "tables": list(_HYPERTABLES),
            "aggregates": list(AGGREGATES),
            "start": At(span.start_us),
            "end": At(span.end_us),
        }
        for name, is_aggregate in connection.execute(_CHUNKS, chunks).fetchall():
            (of_aggregates if is_aggregate else names).append(name)
    connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
    try:
        for name in names:
            connection.execute("SELECT pulsebase.write_anew(%s::regclass)", [name])
        for name in of_aggregates:
            connection.execute(f"VACUUM (FULL, ANALYZE) {name}")
    finally:
        if not connection.closed:
            connection.execute("RESET lock_timeout")
    connection.execute("DELETE FROM pulsebase.to_scrub WHERE ctid::text = ANY(%s)", [[place for place, *_ in noted]])


def _refreshed(connection: Connection, interval: TimeRange) -> bool:
    for attempt in range(_ATTEMPTS):
        if refresh(connection, interval):
            return True
        time.sleep(_PAUSE_S * (attempt + 1))
    return False
