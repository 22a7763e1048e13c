"""Exports of the embedded store in pieces so small that days and people are cut."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsebase.model.timerange import SECOND_US
from pulsebase.stores.duckdb.read import export_snapshot as whole
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.stores.harness import Reading, rows_of, span, write
from tests.stores.laws import ALWAYS, TEN, THAT_DAY, assert_in_order_of_export, exported, scattered
from tests.stores.test_duckdb import BY_HAND


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckdbStore]:
    store = DuckdbStore(tmp_path / "store.duckdb", BY_HAND)
    yield store
    store.close()


@pytest.mark.parametrize("piece_rows", [1, 50, 700, 100_000])
def test_an_export_in_small_pieces_is_the_same(
    store: DuckdbStore, monkeypatch: pytest.MonkeyPatch, piece_rows: int
) -> None:
    days = span("2024-01-15", "2024-01-25")
    people = [f"user-{number}" for number in range(9)]
    dice = random.Random(5)
    readings = [reading._replace(user_id=dice.choice(people)) for reading in scattered(21, 3000, days)]
    crowd = [Reading(TEN + n * SECOND_US, 7000 + n, user_id=dice.choice(people)) for n in range(600)]
    write(store, *readings, *crowd)
    expected = [row[:-1] for row in rows_of(store.stored())]
    monkeypatch.setattr(whole, "_PIECE_ROWS", piece_rows)
    batches = list(store.export(ALWAYS))
    assert sorted(exported(batches)) == expected
    assert_in_order_of_export(batches)
    asked = list(store.export(THAT_DAY, people[2:5]))
    inside = [row for row in expected if row[0] in people[2:5] and THAT_DAY.start_us <= row[2] < THAT_DAY.end_us]
    assert sorted(exported(asked)) == inside
    assert_in_order_of_export(asked)
