"""What small merges scattered is brought together: a person's rows lie side by side, and no answer changes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.stores.duckdb.merge import compaction
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import Reading, ask, at, write

BY_HAND = DuckdbOptions(memory_limit="256MiB", merge_interval_s=3600)
START_US = at("2024-03-01T00:00:00")
DAYS = TimeRange(START_US, START_US + 3 * DAY_US)
PEOPLE = [f"person-{number}" for number in range(12)]
TABLES = {"stored": "second", "h1_dev": "hour", "h1": "hour", "q15": "quarter", "d1": "day"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that a test can fill: the places counted are smaller than the engine's."""
    monkeypatch.setattr(compaction, "_ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(compaction, "_PIECE_ROWS", 100)
    monkeypatch.setattr(compaction, "_SMALL_ROWS", 10)
    monkeypatch.setattr(compaction, "_WINDOW_ROWS", 1000)
    monkeypatch.setattr(compaction, "_MAX_FRAGMENTATION", 1)


@pytest.fixture
def store(tmp_path: Path, small: None) -> Iterator[DuckdbStore]:
    """Three days of everybody, each hour of which was merged by itself."""
    store = DuckdbStore(tmp_path / "store.duckdb", BY_HAND)
    for hour in range(0, 72, 2):
        scatter(store, START_US + hour * HOUR_US)
    yield store
    store.close()


def scatter(store: DuckdbStore, start_us: int) -> None:
    """A few readings of everybody, in a merge of their own."""
    readings = [
        Reading(start_us + n * 7 * MINUTE_US, 6000 + number + n, device, user_id=user_id)
        for n in range(3)
        for number, user_id in enumerate(PEOPLE)
        for device in ("device_a", "device_b")[: 1 + number % 2]
    ]
    write(store, *readings)
    if start_us == START_US:  # people have to be known to have quarters kept
        for user_id in PEOPLE[:3]:
            ask(store, Resolution.QUARTER, DAYS, user_id=user_id)
    store.maintenance.merge_staged()
    store.maintenance.build_quarters()


def answers(store: DuckdbStore) -> list[Any]:
    said: list[Any] = [store.stored()]
    for user_id in PEOPLE:
        said += [ask(store, rung, DAYS, user_id=user_id) for rung in Resolution]
        said.append(store.overview(user_id))
    return said


def runs(store: DuckdbStore, table: str) -> int:
    """In how many stretches the people's rows lie."""
    with store.parts.database.reading() as connection:
        users = [row[0] for row in connection.execute(f"SELECT user_no FROM {table} ORDER BY rowid").fetchall()]
    return 1 + sum(int(left != right) for left, right in pairwise(users))


def test_a_persons_rows_come_to_lie_together_and_no_answer_changes(store: DuckdbStore) -> None:
    before = answers(store)
    scattered = {table: runs(store, table) for table in TABLES}
    store.settle()
    for table, count in scattered.items():
        # Readings lie apart by windows of time, here days.
        assert runs(store, table) <= len(PEOPLE) * (3 if table == "stored" else 1) < count, table
    assert answers(store) == before
    assert store.check().problems == ()


def test_what_lies_together_is_left_alone(store: DuckdbStore) -> None:
    store.settle()
    with store.parts.database.reading() as connection:
        lies = connection.execute("SELECT rowid, * FROM stored ORDER BY rowid").fetchall()
    store.settle()
    with store.parts.database.reading() as connection:
        assert connection.execute("SELECT rowid, * FROM stored ORDER BY rowid").fetchall() == lies


def test_late_rows_are_brought_in_once_there_are_enough(store: DuckdbStore) -> None:
    store.settle()
    for hour in range(0, 48, 4):  # not in the newest day, which still fills
        scatter(store, START_US + hour * HOUR_US + MINUTE_US)
    before, scattered = answers(store), runs(store, "stored")
    store.settle()
    assert runs(store, "stored") <= len(PEOPLE) * 3 < scattered
    assert answers(store) == before
    assert store.check().problems == ()


def test_a_question_that_began_before_keeps_its_answer(store: DuckdbStore) -> None:
    everything = "SELECT count(*), sum(t), sum(v) FROM readings"
    with store.parts.database.reading() as question:
        before = question.execute(everything).fetchall()
        while store.maintenance.compact():
            assert question.execute(everything).fetchall() == before
    with store.parts.database.reading() as question:
        assert question.execute(everything).fetchall() == before
