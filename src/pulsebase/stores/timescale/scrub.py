"""Rewriting what may still hold bytes of people who were removed, see `stores.postgres.scrub`.

Of hypertables only the chunks are rewritten that removals touched. A function of the owner does it, except for
aggregates, which belong to whoever serves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.timerange import DAY_US, TimeRange
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.instants import At
from pulsebase.stores.postgres.scrub import forget, note_times, noted, tables_of_ours, waiting_briefly, write_anew
from pulsebase.stores.postgres.summaries import SUMMARIES
from pulsebase.stores.timescale.aggregates import AGGREGATES, refresh
from pulsebase.stores.timescale.raw_tables import HEART_RATES, RAW_TABLES, readings, tables_of

#: How often to try aggregates that another session refreshes, and the first pause in between, which grows.
_ATTEMPTS = 4
_PAUSE_S = 0.5
_HYPERTABLES = (*(table.full_name for table in RAW_TABLES), SUMMARIES)
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
    times = f"""
        SELECT timestamp FROM ({readings("i.user_id = ANY(%(series)s)", tables_of(series))}) AS merged
        UNION ALL SELECT timestamp FROM pulsebase.stage WHERE user_id = ANY(%(series)s)
        UNION ALL SELECT timestamp FROM {SUMMARIES} WHERE user_id = ANY(%(series)s)
    """
    note_times(connection, times, {"series": list(series)})


def scrub(connection: Connection, *, hypertables: bool) -> None:
    """Rewrite what removals until now have touched. `connection` is in no transaction.

    Raises:
        StoreUnavailableError: the server is refreshing an aggregate.
    """
    notes = noted(connection)
    if notes is None:
        return
    names = [*tables_of_ours(connection), HEART_RATES.full_name]
    of_aggregates: list[str] = []
    if hypertables:
        if not _refreshed(connection, notes.span.widened(DAY_US)):
            raise StoreUnavailableError("the server refreshes an aggregate just now", retry_after_s=60)
        names = [name for name in names if name not in _HYPERTABLES]
        chunks = {
            "tables": list(_HYPERTABLES),
            "aggregates": list(AGGREGATES),
            "start": At(notes.span.start_us),
            "end": At(notes.span.end_us),
        }
        for name, is_aggregate in connection.execute(_CHUNKS, chunks).fetchall():
            (of_aggregates if is_aggregate else names).append(name)
    with waiting_briefly(connection):
        write_anew(connection, names)
        for name in of_aggregates:
            connection.execute(f"VACUUM (FULL, ANALYZE) {name}")
    forget(connection, notes)


def _refreshed(connection: Connection, interval: TimeRange) -> bool:
    for attempt in range(_ATTEMPTS):
        if refresh(connection, interval):
            return True
        time.sleep(_PAUSE_S * (attempt + 1))
    return False
