"""Rows come into the order of storage, the last arrival of each key kept, whole or in pieces: against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from pulsebase.model.timerange import DAY_US, SECOND_US
from pulsebase.stores.duckdb.merge import ordering
from pulsebase.stores.duckdb.merge.ordering import in_pieces, storage_order
from pulsebase.stores.duckdb.merge.stage import Rows

START_US = 19_000 * DAY_US - 30 * SECOND_US  # across midnight


def arrived(seed: int, count: int, *, people: int = 5, far: int = 0) -> Rows:
    """Rows mostly in order of time, some late or again, `far` of them days away; `origin` numbers them."""
    rng = np.random.default_rng(seed)
    times_us = START_US + np.arange(count) // 4 * SECOND_US
    late = rng.random(count) < 0.2
    times_us[late] -= rng.integers(0, 40, late.sum()) * SECOND_US
    away = rng.integers(0, count, far)
    times_us[away] += rng.integers(-5000, 5000, far) * DAY_US
    return Rows(
        rng.integers(0, people, count).astype(np.int32),
        rng.integers(0, 2, count).astype(np.int32),
        times_us,
        rng.integers(3000, 22000, count).astype(np.int16),
        rng.integers(-1, 4, count).astype(np.int8),
        np.arange(count, dtype=np.int32),
    )


def by_hand(rows: Rows) -> list[int]:
    """The places that stay, in the order of storage."""
    last: dict[tuple[int, int, int, int], int] = {}
    keys = zip(
        (rows.t // DAY_US).tolist(), rows.user_no.tolist(), rows.device_no.tolist(), rows.t.tolist(), strict=True
    )
    for place, key in enumerate(keys):
        last[key] = place
    return [last[key] for key in sorted(last)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("people", "far"), [(1, 0), (5, 0), (5, 9), (300_000, 50)])
def test_the_last_of_each_key_stays_in_the_order_of_storage(seed: int, people: int, far: int) -> None:
    rows = arrived(seed, 400, people=people, far=far)
    order = storage_order(rows)
    assert order.kept.tolist() == by_hand(rows)
    assert sorted([*order.kept.tolist(), *order.replaced.tolist()]) == list(range(len(rows)))


@pytest.mark.parametrize("seed", range(20))
def test_pieces_hold_every_row_once_and_no_day_of_a_person_twice(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_PIECE_ROWS", 50)
    monkeypatch.setattr(ordering, "_SAMPLE_STRIDE", 3)
    rows = arrived(seed, 600, people=40, far=5)
    stored, parts = rows.take(slice(0, 150)), [rows.take(slice(150, 170)), rows.take(slice(170, 600))]
    kept: list[int] = []
    pieces = list(in_pieces(stored, parts))
    assert len(pieces) > 4
    for stored_count, piece in pieces:
        assert (piece.origin[:stored_count] < 150).all()
        assert (piece.origin[stored_count:] >= 150).all()
        kept += piece.origin[storage_order(piece).kept].tolist()
    assert sum(len(piece) for _, piece in pieces) == len(rows)
    assert kept == by_hand(rows)
