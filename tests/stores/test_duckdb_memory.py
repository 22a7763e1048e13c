"""The engine's memory limit is kept: work fits into it or is refused in clear words, and everything goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pulsebase.model.errors import RejectedError, StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import HOUR_US, SECOND_US, TimeRange
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import ask, at

LIMIT_BYTES = 128 << 20
BASE_US = at("2024-03-01T00:00:00")
COUNT = 400_000
#: Columns of 20 million integers, which have to be in memory at once.
TOO_MUCH = "SELECT list(t) AS times FROM readings, range(50)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckdbStore]:
    options = DuckdbOptions(memory_limit=f"{LIMIT_BYTES >> 20}MiB", merge_interval_s=3600)
    store = DuckdbStore(tmp_path / "store.duckdb", options)
    yield store
    store.close()


def fill(store: DuckdbStore, device_id: str) -> None:
    n = np.arange(COUNT)
    values = (6000 + n * 7919 % 3000).astype(np.int16)
    columns = (["ann"] * COUNT, [device_id] * COUNT, BASE_US + n * SECOND_US, values, None, 1)
    store.write([ReadingBatch.of_columns(*columns)])


def used_bytes(store: DuckdbStore) -> int:
    table = store.select("SELECT sum(memory_usage_bytes)::BIGINT AS used FROM duckdb_memory()", 1, 60)
    return int(table["used"][0].as_py())


def test_merges_and_large_questions_fit_into_a_small_memory(store: DuckdbStore) -> None:
    for device_id in ("device_a", "device_b"):
        fill(store, device_id)
        store.merge()
        assert used_bytes(store) <= LIMIT_BYTES
    asked = TimeRange(BASE_US, BASE_US + 200 * HOUR_US)
    assert ask(store, Resolution.SECOND, asked).num_rows == COUNT
    assert ask(store, Resolution.HOUR, asked).num_rows == -(-COUNT // 3600)
    ordered = store.select("SELECT t, row_number() OVER (ORDER BY v, t) FROM readings ORDER BY v", 2 * COUNT, 60)
    assert ordered.num_rows == 2 * COUNT
    assert used_bytes(store) <= LIMIT_BYTES
    assert store.check().problems == ()


def test_what_does_not_fit_is_refused_and_everything_goes_on(store: DuckdbStore) -> None:
    fill(store, "device_a")
    with pytest.raises(RejectedError, match="Out of Memory"):
        store.select(TOO_MUCH, 1, 60)
    with pytest.raises(StoreUnavailableError, match="memory limit"), store.parts.database.reading() as connection:
        connection.execute(TOO_MUCH).fetchall()
    fill(store, "device_b")
    assert store.check().readings == 2 * COUNT
    assert used_bytes(store) <= LIMIT_BYTES
