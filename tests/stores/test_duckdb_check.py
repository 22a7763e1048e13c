"""What the check of an embedded store finds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulsebase.model.resolution import Resolution
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.stores.harness import ask
from tests.stores.test_duckdb import DuckdbHarness
from tests.support.victim import DAYS, begin


@pytest.fixture(scope="module")
def store() -> Iterator[DuckdbStore]:
    """Merged readings and every rollup of them."""
    harness = DuckdbHarness()
    begin(harness.store)
    harness.store.merge()
    ask(harness.store, Resolution.QUARTER, DAYS)
    harness.store.maintenance.build_quarters()
    yield harness.store
    harness.discard()


@pytest.mark.parametrize("table", ["h1_dev", "h1", "q15", "d1"])
@pytest.mark.parametrize(
    ("damage", "surplus", "missing"),
    [
        ("DELETE FROM {table} WHERE {one}", 0, 1),
        ("INSERT INTO {table} SELECT * FROM {table} WHERE {one}", 1, 0),
        ("UPDATE {table} SET n = n + 1 WHERE {one}", 1, 1),
    ],
    ids=["lost", "twice", "wrong"],
)
def test_a_rollup_that_is_not_of_the_readings_is_counted(
    store: DuckdbStore, table: str, damage: str, surplus: int, missing: int
) -> None:
    assert store.check().problems == ()
    with store.parts.database.writing() as connection:
        connection.execute(f"CREATE TEMP TABLE good AS SELECT * FROM {table}")
        connection.execute(damage.format(table=table, one=f"rowid = (SELECT min(rowid) FROM {table})"))
    said = f"{table}: {surplus} rows differ from the readings, {missing} recomputed rows are not kept"
    assert said in store.check().problems
    with store.parts.database.writing() as connection:
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} SELECT * FROM good")
        connection.execute("DROP TABLE good")
