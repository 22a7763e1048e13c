"""What other processes commit to a shared store is seen: here two writers over one store, each knowing only its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulsebase.ingest import Ingestor
from pulsebase.live.commit_log import CommitLog
from pulsebase.live.follower import StoreFollower
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.memory import MemoryStore
from tests.support.process import wait_until


def readings(first_second: int, count: int = 1, user_id: str = "ann") -> ReadingBatch:
    times = [(first_second + place) * 1_000_000 for place in range(count)]
    return ReadingBatch.of_columns([user_id] * count, ["strap"] * count, times, [7000] * count, None, 1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def elsewhere(store: MemoryStore) -> Iterator[Ingestor]:
    """Another process's way into the store."""
    ingestor = Ingestor(store)
    yield ingestor
    ingestor.close()


@pytest.fixture
def commit_log() -> CommitLog:
    return CommitLog(100_000)


@pytest.fixture
def follower(store: MemoryStore, commit_log: CommitLog) -> Iterator[StoreFollower]:
    made = StoreFollower(store, commit_log, poll_s=0.01)
    yield made
    made.close()


def test_new_readings_of_others_are_told_while_somebody_watches(
    commit_log: CommitLog, follower: StoreFollower, elsewhere: Ingestor
) -> None:
    elsewhere.write(readings(10))
    with commit_log.watching(["ann"], lambda: None):
        follower.begin(["ann"])
        elsewhere.write(readings(11, 3))
        wait_until(lambda: commit_log.place > 0, "news")
        elsewhere.write(readings(20, user_id="bob"))
        follower.look()
    news = commit_log.since(0, ["ann", "bob"])
    assert news is not None
    assert {who: found.times_us.tolist() for (who, _), found in news.readings.items()} == {
        "ann": [11_000_000, 12_000_000, 13_000_000]
    }
    assert news.changed == []


def test_what_is_not_at_the_end_is_told_as_a_stretch(
    commit_log: CommitLog, follower: StoreFollower, elsewhere: Ingestor
) -> None:
    elsewhere.write(readings(100, 10))
    with commit_log.watching(["ann"], lambda: None):
        follower.begin(["ann"])
        for change in (
            lambda: elsewhere.write(readings(50)),
            lambda: elsewhere.submit_delete("ann", TimeRange(0, 60_000_000)).result(),
            lambda: elsewhere.write(readings(200, 5_000)),
        ):
            place = commit_log.place
            change()
            wait_until(lambda place=place: commit_log.place > place, "news")
    news = commit_log.since(0, ["ann"])
    assert news is not None
    assert news.readings == {}
    late, deleted, many = (change.range for change in news.changed)
    assert late == deleted == TimeRange(50_000_000, 109_000_001)
    assert many == TimeRange(100_000_000, 5_199_000_001)
