"""A short one of the runs in which shards, writers and PostgreSQL die; `clickhouse_kills` says what holds."""

from __future__ import annotations

from tests.faults.clickhouse_kills import kill_at_random
from tests.support.clickhouse.cluster import two_shards

KILLS = 6


def test_whatever_dies_nothing_acknowledged_is_lost_and_nothing_is_half_there() -> None:
    run = kill_at_random(KILLS, two_shards(), seed=5)
    assert run.kills.total() == KILLS
    assert set(run.kills) == {"shard", "writer", "postgres"}
    assert run.outcomes["done"] > KILLS
    assert run.readings > 0
