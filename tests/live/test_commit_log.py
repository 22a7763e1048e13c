"""The ring of the last commits, and who is told what of it."""

from __future__ import annotations

from pulsebase.ingest import Ingestor
from pulsebase.live.commit_log import MOST_TOLD, ChangedRange, CommitLog
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.memory import MemoryStore


def batch(*rows: tuple[str, int, int]) -> ReadingBatch:
    """Readings of (person, second, beats)."""
    people, seconds, beats = zip(*rows, strict=True)
    times = [second * 1_000_000 for second in seconds]
    return ReadingBatch.of_columns(people, ["strap"] * len(rows), times, [100 * each for each in beats], None, 1)


def told(commit_log: CommitLog, place: int, *people: str) -> dict[str, list[int]] | None:
    news = commit_log.since(place, people)
    if news is None:
        return None
    return {user_id: (readings.values // 100).tolist() for (user_id, _), readings in news.readings.items()}


def test_commits_are_told_in_their_order_to_those_they_are_about() -> None:
    commit_log = CommitLog(100)
    commit_log.publish([batch(("ann", 1, 61), ("bob", 1, 71)), batch(("ann", 2, 62))])
    middle = commit_log.place
    commit_log.publish([batch(("ann", 1, 63))])
    assert told(commit_log, 0, "ann") == {"ann": [61, 62, 63]}
    assert told(commit_log, middle, "ann", "bob") == {"ann": [63]}
    assert told(commit_log, 0, "bob") == {"bob": [71]}
    assert told(commit_log, commit_log.place, "ann") == {}


def test_what_is_no_longer_kept_cannot_be_told() -> None:
    commit_log = CommitLog(3)
    for second in range(5):
        commit_log.publish([batch(("ann", second, 60 + second))])
    assert told(commit_log, 1, "ann") is None
    assert told(commit_log, 2, "ann") == {"ann": [62, 63, 64]}
    assert told(commit_log, 6, "ann") is None  # a place of the future is one of another feed
    commit_log.publish([batch(*(("ann", second, 70) for second in range(10)))])  # larger than all: kept, alone
    assert told(commit_log, 4, "ann") is None
    assert told(commit_log, 5, "ann") == {"ann": [70] * 10}


def test_of_many_readings_the_stretch_is_told() -> None:
    commit_log = CommitLog(10 * MOST_TOLD)
    commit_log.publish([batch(*(("ann", second, 70) for second in range(5, MOST_TOLD + 6)), ("bob", 1, 60))])
    news = commit_log.since(0, ["ann", "bob"])
    assert news is not None
    assert list(news.readings) == [("bob", "heart_rate")]
    assert news.changed == [ChangedRange("ann", TimeRange(5_000_000, (MOST_TOLD + 5) * 1_000_000 + 1), "heart_rate")]


def test_a_change_is_told_to_those_who_follow_its_metric() -> None:
    commit_log = CommitLog(10)
    everything = TimeRange(0, 10_000_000)
    of_one, of_all = ChangedRange("ann", everything, "hrv_rmssd"), ChangedRange("ann", everything)
    for change in (of_one, of_all):
        commit_log.publish_change(change)
    for metrics, told_of in ((["heart_rate"], [of_all]), (["heart_rate", "hrv_rmssd"], [of_one, of_all])):
        news = commit_log.since(0, ["ann"], metrics)
        assert news is not None
        assert news.changed == told_of


def test_the_ingestor_tells_what_it_committed_and_deleted() -> None:
    commit_log = CommitLog(100)
    ingestor = Ingestor(MemoryStore(), commit_log=commit_log)
    calls: list[int] = []
    with commit_log.watching(["ann"], lambda: calls.append(commit_log.place)):
        assert commit_log.watched == ["ann"]
        ingestor.write(batch(("ann", 1, 61), ("ann", 2, 62)))
        everything, nothing = TimeRange(0, 10_000_000), TimeRange(20_000_000, 30_000_000)
        ingestor.submit_delete("ann", nothing).result()
        ingestor.submit_delete("ann", everything).result()
        ingestor.close()
    assert commit_log.watched == []
    assert calls == [1, 2]
    news = commit_log.since(0, ["ann"])
    assert news is not None
    assert news.changed == [ChangedRange("ann", everything)]
    assert len(news.readings["ann", "heart_rate"].times_us) == 2
