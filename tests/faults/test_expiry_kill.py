"""Readings expire and the process is killed at every single step of it: whole weeks have gone, or nothing has."""

from __future__ import annotations

from pathlib import Path

from pulsebase.model.timerange import DAY_US, HOUR_US, SECOND_US
from tests.faults.test_merge_kill import every_kill, truth_of
from tests.stores.harness import write
from tests.support.victim import BASE_US, Op, prepared, run_of


def script() -> list[Op]:
    """Two of three days of readings, late and staged ones among them, go; then some come for hours that are gone."""
    late = run_of("ann", "strap", BASE_US + HOUR_US + SECOND_US, 12, 10_000)
    new = run_of("eve", "device_a", BASE_US + 47 * HOUR_US, 40, 8000)
    horizon_us = BASE_US + 2 * DAY_US
    return [
        Op("late", lambda store: write(store, *late)),
        Op("merge", work=lambda store: store.maintenance.merge_staged()),
        Op("new", lambda store: write(store, *new)),
        Op("expired", lambda store: store.expire(horizon_us)),
        Op("too late", lambda store: write(store, *late, *new)),
        Op("merge after", work=lambda store: store.merge()),
        Op("close", work=lambda store: store.close()),
    ]


def test_a_kill_at_any_step_of_an_expiry_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    prepared(tmp_path / "template" / "store.duckdb", script()[:3])
    met = list(every_kill(tmp_path, truth_of(script), 3, 7, script))
    for step in ("INSERT INTO q15", "DELETE FROM stored", "UPDATE state SET horizon_hour", "COMMIT", "CHECKPOINT"):
        assert any(where.startswith(step) for where in met), f"no kill before {step}: {met}"
