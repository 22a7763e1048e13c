"""A server that was killed with many readings unmerged serves all of them as soon as it is up again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import SECOND_US
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.support.process import BASE_US, Place, serving
from tests.support.victim import killed_after

PEOPLE = 10
A_COMMIT = 10_000
COMMITS = 30


def leave_unmerged(path: Path) -> None:
    """Commits of one person each, in turn."""
    store = DuckdbStore(path, DuckdbOptions(merge_interval_s=3600, merge_readings=1 << 40, merge_scattered=1 << 40))
    for commit in range(COMMITS):
        n = np.arange(A_COMMIT) + commit // PEOPLE * A_COMMIT
        values = (6000 + n % 3000).astype(np.int16)
        people = [f"person-{commit % PEOPLE}"] * A_COMMIT
        columns = (people, ["device_a"] * A_COMMIT, BASE_US + n * SECOND_US, values, None, 1)
        store.write([ReadingBatch.of_columns(*columns)])


def test_a_start_with_many_unmerged_readings_serves_every_one(tmp_path: Path) -> None:
    place = Place(tmp_path, merge_interval_s="3600", merge_readings="1000000000")
    killed_after(leave_unmerged, place.database)
    n = np.arange(COMMITS // PEOPLE * A_COMMIT)
    truth = dict(zip((BASE_US + n * SECOND_US).tolist(), ((6000 + n % 3000) / 100).tolist(), strict=True))
    with serving(place) as server:
        assert server.client.get("/health").status_code == 200
        assert server.raw("person-0") == truth
        assert server.metric("pulsebase_store_unmerged_readings") == COMMITS * A_COMMIT
        assert server.raw(f"person-{PEOPLE - 1}") == truth
        server.kill()
    done = place.run("check")
    assert f"{COMMITS * A_COMMIT:,} readings" in done.stdout
    assert "The store is sound." in done.stdout
