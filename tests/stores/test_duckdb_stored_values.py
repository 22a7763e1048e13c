"""What is stored of readings about to be written, where the embedded store answers without asking its engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import HOUR_US
from pulsebase.stores.duckdb.merge.merge import MergeBounds
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore

HOUR = 474_000


def batch(*hours: int, user_id: str = "ann", value: int = 7000) -> ReadingBatch:
    count = len(hours)
    times = [hour * HOUR_US + 1_000_000 for hour in hours]
    return ReadingBatch.of_columns([user_id] * count, ["a"] * count, times, [value] * count, None, 1)


def there(store: DuckdbStore, *hours: int, user_id: str = "ann") -> list[bool]:
    return list(store.stored_values(batch(*hours, user_id=user_id)).there.tolist())


@pytest.mark.parametrize("late", [False, True], ids=["searched for", "late"])
def test_readings_are_found_staged_merged_late_and_after_a_start(tmp_path: Path, *, late: bool) -> None:
    bounds = MergeBounds(search_rows=0, fetch_rows=0) if late else MergeBounds()
    options = DuckdbOptions(merge_interval_s=3600, memory_limit="512MiB", bounds=bounds)
    store = DuckdbStore(tmp_path / "store.duckdb", options)
    store.write([batch(HOUR)])
    assert there(store, HOUR, HOUR + 1) == [True, False]
    assert there(store, HOUR + 1, HOUR + 2) == [False, False]
    store.merge()
    assert there(store, HOUR, HOUR + 1) == [True, False]
    store.write([batch(HOUR - 24), batch(HOUR, value=7100), batch(HOUR + 5, user_id="bob")])
    for step in range(3):
        if step:
            (store.merge if step == 1 else store.settle)()
        assert there(store, HOUR - 24, HOUR) == [True, True]
        assert there(store, HOUR - 24) == [True]
        assert there(store, HOUR + 5) == [False], "somebody else's"
        assert there(store, HOUR + 5, user_id="bob") == [True]
        assert there(store, HOUR + 9, HOUR + 10) == [False, False]
        assert there(store, 0, HOUR) == [False, True], "over centuries"
    store.close()
    store = DuckdbStore(tmp_path / "store.duckdb", options)
    assert there(store, HOUR - 24, HOUR + 1) == [True, False]
    store.close()
