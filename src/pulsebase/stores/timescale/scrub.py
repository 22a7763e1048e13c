"""Rewrite tables that may still hold bytes of removed people: the engine leaves deleted rows in place until it needs
the space.

Removals record where rows were (`to_scrub`). Every touched chunk of readings, and all our other tables, are rewritten
by `VACUUM FULL`, one after the other, each locked meanwhile.
"""

from __future__ import annotations

import time

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.timerange import DAY_US, TimeRange
from pulsebase.stores.timescale.aggregates import AGGREGATES, refresh
from pulsebase.stores.timescale.database import Connection
from pulsebase.stores.timescale.instants import At

#: How long to wait for a table that is in use before the scrub is put off.
_LOCK_TIMEOUT_S = 30
#: How often to try aggregates that another session refreshes, and the first pause in between, which grows.
_ATTEMPTS = 4
_PAUSE_S = 0.5
_OURS = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'pulsebase'
UNION ALL SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname = 'public' AND tablename IN ('activities_heart_intraday', 'activities_heart_summary')
"""
#: The chunks of our hypertables and aggregates that overlap a range, and where they are compressed what they became.
_CHUNKS = """
WITH tables AS (
    SELECT 'public' AS schema, name FROM unnest(%(tables)s::text[]) AS name
    UNION ALL SELECT materialization_hypertable_schema, materialization_hypertable_name
    FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public' AND view_name = ANY(%(aggregates)s)
), chunks AS (
    SELECT c.id, c.schema_name, c.table_name, c.compressed_chunk_id
    FROM tables AS t JOIN timescaledb_information.chunks AS i
        ON i.hypertable_schema = t.schema AND i.hypertable_name = t.name
    JOIN _timescaledb_catalog.chunk AS c ON c.schema_name = i.chunk_schema AND c.table_name = i.chunk_name
    WHERE i.range_start < %(end)s AND i.range_end > %(start)s
)
SELECT format('%%I.%%I', schema_name, table_name) FROM chunks
UNION ALL SELECT format('%%I.%%I', c.schema_name, c.table_name)
FROM chunks JOIN _timescaledb_catalog.chunk AS c ON c.id = chunks.compressed_chunk_id
"""


def note(connection: Connection, user_id: str) -> None:
    """Record where the readings and days of a person are who is about to be removed in this transaction."""
    connection.execute(
        """
        INSERT INTO pulsebase.to_scrub
        SELECT coalesce(min(timestamp), 'epoch'), coalesce(max(timestamp), 'epoch') + interval '1 microsecond' FROM (
            SELECT timestamp FROM public.activities_heart_intraday WHERE user_id = %(user)s
            UNION ALL SELECT timestamp FROM pulsebase.stage WHERE user_id = %(user)s
            UNION ALL SELECT timestamp FROM public.activities_heart_summary WHERE user_id = %(user)s
        ) AS times
        """,
        {"user": user_id},
    )


def scrub(connection: Connection, *, hypertables: bool) -> None:
    """Rewrite everything that removals so far have touched. `connection` must not be in a transaction.

    Raises:
        StoreUnavailableError: the server is refreshing an aggregate at the moment.
    """
    noted = connection.execute("SELECT ctid::text, start_at, end_at FROM pulsebase.to_scrub", binary=True).fetchall()
    if not noted:
        return
    span = TimeRange(min(start for _, start, _ in noted), max(end for _, _, end in noted))
    names = [name for (name,) in connection.execute(_OURS).fetchall()]
    if hypertables:
        if not _refreshed(connection, span.widened(DAY_US)):
            raise StoreUnavailableError("the server refreshes an aggregate just now", retry_after_s=60)
        names = [name for name in names if not name.startswith("public.")]
        chunks = {
            "tables": ["activities_heart_intraday", "activities_heart_summary"],
            "aggregates": list(AGGREGATES),
            "start": At(span.start_us),
            "end": At(span.end_us),
        }
        names += [name for (name,) in connection.execute(_CHUNKS, chunks).fetchall()]
    connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
    try:
        for name in names:
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
