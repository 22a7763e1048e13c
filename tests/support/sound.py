"""Checks of embedded stores that hold what others held before them.

A check works every rollup out again, which takes longer than all else that tests ask of a small store, and stores that
are left by kills come to the same few contents once they are merged.
"""

from __future__ import annotations

from pulsebase.stores.duckdb.store import DuckdbStore

_TABLES = "SELECT table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY table_name"
#: What differs between stores of the same content: ids of the file and of journal files, and counts of what was done.
_OF_ONE_STORE = {
    "meta": "SELECT 0 AS nothing",
    "state": "SELECT * EXCLUDE (merged_seq, merged_file, changes, epoch) FROM state",
}
#: Reads every value, as a check does, and so every block.
_CONTENT = "SELECT '{table}', count(*), sum(hash(everything)::HUGEINT) FROM ({rows}) AS everything"


class SoundContents:
    """The contents of merged stores in which a check found nothing. Each is checked the first time it is met."""

    def __init__(self) -> None:
        self._sound: set[tuple[object, ...]] = set()

    def problems(self, store: DuckdbStore) -> tuple[str, ...]:
        """What a check finds in the store, which is merged as a check does it."""
        store.merge()
        content = _content_of(store)
        if content in self._sound:
            return ()
        problems = store.check().problems
        if not problems:
            self._sound.add(content)
        return problems


def _content_of(store: DuckdbStore) -> tuple[object, ...]:
    with store.parts.database.reading() as connection:
        tables = [table for (table,) in connection.execute(_TABLES).fetchall()]
        rows = {table: _OF_ONE_STORE.get(table, f"SELECT * FROM {table}") for table in tables}
        asked = " UNION ALL ".join(_CONTENT.format(table=table, rows=of_it) for table, of_it in rows.items())
        return tuple(sorted(connection.execute(asked).fetchall()))
