"""How the embedded store comes to totals: piece by piece, remembered, and given up when nobody waits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsebase.model.errors import QueryCancelledError
from pulsebase.model.rollups import I64
from pulsebase.model.timerange import HOUR_US, MINUTE_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.contract import Cancellation, TotalsQuery
from pulsebase.stores.duckdb.merge.merge import MergeBounds
from pulsebase.stores.duckdb.merge.stage import Rows
from pulsebase.stores.duckdb.read import totals as totals_module
from pulsebase.stores.duckdb.read import unmerged
from pulsebase.stores.duckdb.store import DuckdbStore
from pulsebase.stores.memory import MemoryStore
from tests.stores.harness import Reading, at, span, totals, write
from tests.stores.test_duckdb import BY_HAND

DAYS = span("2024-01-01", "2024-03-01")
CUT = TimeRange(DAYS.start_us + 5 * MINUTE_US + 1, DAYS.end_us - HOUR_US - 17)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckdbStore]:
    store = DuckdbStore(tmp_path / "totals.duckdb", BY_HAND)
    yield store
    store.close()


def scattered(dice: random.Random, count: int) -> list[Reading]:
    """Readings of three people and two devices, a few to an hour, crowded at the edges of the range."""
    hours = [DAYS.start_us, DAYS.end_us - HOUR_US, *range(DAYS.start_us, DAYS.end_us, 31 * HOUR_US)]
    return [
        Reading(
            dice.choice(hours) + dice.randrange(0, HOUR_US, 7 * MINUTE_US),
            dice.randint(5000, 9000),
            dice.choice(["device_a", "device_b"]),
            dice.choice([None, 0, 2]),
            dice.choice(["ann", "Bob", "a-9"]),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(("piece_rows", "gap_hours"), [(1, 24), (40, 1), (2_000_000, 10_000)])
def test_pieces_of_any_size_come_to_the_same(
    store: DuckdbStore, monkeypatch: pytest.MonkeyPatch, piece_rows: int, gap_hours: int
) -> None:
    monkeypatch.setattr(totals_module, "_PIECE_ROWS", piece_rows)
    monkeypatch.setattr(totals_module, "_GAP_HOURS", gap_hours)
    dice, oracle = random.Random(5), MemoryStore()
    for merged in (True, False):
        rows = scattered(dice, 600 if merged else 150)
        for each in (store, oracle):
            write(each, *rows)
        if merged:
            store.merge()
    for asked in (CUT, DAYS, TimeRange(CUT.start_us, CUT.start_us + 20 * MINUTE_US)):
        assert totals(store, asked) == totals(oracle, asked) != []


def test_what_was_worked_out_is_not_looked_for_again_until_it_changes(
    store: DuckdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(6)
    write(store, *scattered(dice, 300))
    store.merge()
    write(store, *scattered(dice, 100))
    first = totals(store, CUT)
    searched: list[int] = []
    search = totals_module._stored_of_hours

    def counted(snapshot: totals_module.PeopleSnapshot, codes: I64) -> Rows:
        searched.append(len(codes))
        return search(snapshot, codes)

    monkeypatch.setattr(totals_module, "_stored_of_hours", counted)
    assert totals(store, CUT) == first
    assert searched == []
    write(store, Reading(DAYS.start_us + 31 * HOUR_US + 1, 5000))
    assert totals(store, CUT) != first
    assert searched == [1]
    store.put_priority(DevicePriority("ann", "device_b", 0))
    totals(store, CUT)
    assert sum(searched) > 20  # another person to believe: all of them again


def test_what_late_rows_change_is_worked_out_before_the_next_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DuckdbStore(tmp_path / "late.duckdb", replace(BY_HAND, bounds=MergeBounds(search_rows=0, fetch_rows=0)))
    dice, oracle = random.Random(7), MemoryStore()
    rows = scattered(dice, 300)
    for each in (store, oracle):
        write(each, *rows)
    store.merge()
    worked_out: list[int] = []
    work_out = totals_module._work_out

    def counted(*arguments: Any) -> None:
        worked_out.append(1)
        work_out(*arguments)

    monkeypatch.setattr(totals_module, "_work_out", counted)

    def late(count: int) -> None:
        rows = scattered(dice, count)
        for each in (store, oracle):
            write(each, *rows)
        store.maintenance.merge_staged()
        assert store.parts.cached.late_rows > 0
        store.maintenance.look_ahead()

    late(100)
    assert worked_out == []  # nobody has ever asked
    totals(store, DAYS)
    late(60)
    write(store, Reading(DAYS.end_us + HOUR_US, 5000))
    assert len(worked_out) == 2
    write(oracle, Reading(DAYS.end_us + HOUR_US, 5000))
    assert totals(store, DAYS) == totals(oracle, DAYS)
    assert len(worked_out) == 2
    store.close()


def test_changes_are_known_for_the_very_same_unmerged_rows_and_priorities_alone() -> None:
    """A merge of a part takes an hour's first rows: the last one is the same then, and the change is not."""
    known = unmerged.ChangeCache()
    numbers = [np.array([number], np.int64) for number in range(10)]
    known.keep(unmerged.DirtyHours(*numbers[7:10]), unmerged.Changes(*numbers[1:4]), epoch=5)
    for code, first_seq, last_seq, epoch, expected in (
        (7, 8, 9, 5, True),
        (6, 8, 9, 5, False),
        (7, 7, 9, 5, False),
        (7, 9, 9, 5, False),
        (7, 8, 8, 5, False),
        (7, 8, 9, 4, False),
        (7, 8, 9, 6, False),
    ):
        hours = unmerged.DirtyHours(numbers[code], numbers[first_seq], numbers[last_seq])
        same, changes = known.find(hours, epoch)
        assert same.tolist() == [expected]
        assert [changes.count[0], changes.sum[0], changes.minutes[0]] == ([1, 2, 3] if expected else [0, 0, 0])
    known.keep(unmerged.DirtyHours(*numbers[7:10]), unmerged.Changes.none(1), epoch=4)  # an older question's answer
    assert known.find(unmerged.DirtyHours(*numbers[7:10]), 5)[1].count.tolist() == [1]


def test_no_more_is_remembered_than_fits(store: DuckdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmerged, "_MOST_REMEMBERED", 10)
    write(store, *(Reading(at("2024-01-15") + n * HOUR_US, 6000 + n) for n in range(30)))
    for start, count in ((0, 20), (20, 10), (0, 30), (5, 10)):
        asked = TimeRange(at("2024-01-15") + start * HOUR_US, at("2024-01-15") + (start + count) * HOUR_US)
        assert totals(store, asked) == [("ann", count, sum(range(6000 + start, 6000 + start + count)), count)]
    assert len(store.parts.change_cache) == 10


def test_a_question_that_was_taken_back_is_given_up(store: DuckdbStore) -> None:
    write(store, Reading(DAYS.start_us, 6000))
    gone = Cancellation()
    gone.cancel()
    with pytest.raises(QueryCancelledError):
        store.totals(TotalsQuery(DAYS, cancellation=gone))
    assert totals(store, DAYS) == [("ann", 1, 6000, 1)]
