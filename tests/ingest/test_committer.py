"""Offers that wait together are checked together, and each gets its own outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from pulsebase import telemetry
from pulsebase.ingest import Candidates, Decoded, Ingestor, Outcome, ReadingRules, committer
from pulsebase.ingest.committer import IngestLimits
from pulsebase.model.errors import ErasedUserError, FieldError, NewPeopleShareError, StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.erased_users import ErasedUsers
from pulsebase.stores.erasures import mark_of
from pulsebase.stores.memory import MemoryStore

RULES = ReadingRules(now_us=lambda: 1_700_000_000_000_000)
#: The same bounds, but people of its own who were erased: what is offered under it is checked apart.
OTHER_RULES = ReadingRules(now_us=RULES.now_us)


class HeldStore(MemoryStore):
    """Holds each commit until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.commits: list[list[int]] = []
        self.full = False

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        self.begun.set()
        assert self.go_on.wait(30)
        if self.full:
            raise StoreUnavailableError("the disk is full")
        self.commits.append([len(batch) for batch in batches])
        super().write(batches)


@pytest.fixture
def store() -> HeldStore:
    return HeldStore()


@pytest.fixture
def ingestor(store: HeldStore) -> Iterator[Ingestor]:
    ingestor = Ingestor(store)
    yield ingestor
    store.go_on.set()
    ingestor.close()


def decoded(*values: float, times: Sequence[str] = (), user: str | int = "ann", first_position: int = 0) -> Decoded:
    times = times or [f"2023-01-01T00:00:{second:02}Z" for second in range(len(values))]
    none = [None] * len(values)
    return Decoded.of([user] * len(values), ["strap"] * len(values), times, values, none, first_position)


def columns(*values: float, positions: Sequence[int]) -> Candidates:
    count = len(values)
    times_us = np.arange(count, dtype=np.int64)
    none = np.full(count, -1, np.int8)
    return Candidates(["ann"] * count, ["clip"] * count, times_us, np.array(values), none, np.array(positions))


def held(store: HeldStore, ingestor: Ingestor) -> None:
    """From here on what is offered waits together."""
    ingestor.offer(decoded(60.0, user="first"), RULES, 1, "http")
    assert store.begun.wait(30)


def told(futures: Sequence[Future[Outcome]]) -> list[tuple[int, list[tuple[int | None, str]]]]:
    outcomes = [future.result(30) for future in futures]
    return [(each.accepted, [(error.index, error.field) for error in each.errors]) for each in outcomes]


def stored(store: HeldStore) -> list[tuple[str, str, int, int]]:
    rows = store.stored().to_pylist()
    return [
        (row["user_id"], row["device_id"], row["value"], row["origin"]) for row in rows if row["user_id"] != "first"
    ]


def test_each_offer_is_told_of_its_own_readings_by_their_own_places(store: HeldStore, ingestor: Ingestor) -> None:
    held(store, ingestor)
    futures = [
        ingestor.offer(decoded(60.0, 1.0, 61.0), RULES, 1, "http"),
        ingestor.offer(decoded(1.0, 2.0), RULES, 1, "http"),
        ingestor.offer(decoded(62.0, 63.0, times=["soon", "2023-01-02T00:00:00Z"]), RULES, 1, "http"),
        ingestor.offer(decoded(64.0, user="no id"), RULES, 1, "http"),
        ingestor.offer(
            decoded(65.0, 3.0, user=7, times=["2023-01-01T00:00:00.5Z", "2023-01-01T00:00:01Z"]), RULES, 1, "http"
        ),
    ]
    store.go_on.set()
    assert told(futures) == [
        (2, [(1, "heart_rate")]),
        (0, [(0, "heart_rate"), (1, "heart_rate")]),
        (1, [(0, "timestamp")]),
        (0, [(0, "user_id")]),
        (1, [(1, "heart_rate")]),
    ]
    assert store.commits == [[1], [4]]
    assert [row[2] for row in stored(store)] == [6500, 6000, 6100, 6300]


def test_what_cannot_be_checked_together_keeps_its_place_in_the_same_commit(
    store: HeldStore, ingestor: Ingestor
) -> None:
    held(store, ingestor)
    written = ingestor.submit(ReadingBatch.of_columns(["ann"], ["strap"], [1_672_531_200_000_000], [6200], None, 5))
    futures = [
        ingestor.offer(decoded(60.0), RULES, 1, "http"),
        ingestor.offer(decoded(61.0), RULES, 2, "http"),
        ingestor.offer(columns(1.0, 70.0, positions=[3, 9]), RULES, 2, "http"),
        ingestor.offer(decoded(63.0, 64.0), OTHER_RULES, 3, "http"),
        ingestor.offer(decoded(65.0, 1.0), OTHER_RULES, 3, "http"),
    ]
    store.go_on.set()
    assert told(futures) == [
        (1, []),
        (1, []),
        (1, [(3, "heart_rate")]),
        (2, []),
        (1, [(1, "heart_rate")]),
    ]
    assert written.result(30) == ()
    assert store.commits == [[1], [1, 1, 1, 1, 3]]
    # The last of each time wins: of five the one that was offered last.
    assert stored(store) == [("ann", "clip", 7000, 2), ("ann", "strap", 6500, 3), ("ann", "strap", 6400, 3)]


def test_readings_of_equal_rules_are_checked_together_and_of_other_people_apart(
    store: HeldStore, ingestor: Ingestor
) -> None:
    held(store, ingestor)
    # Two callers whose keys are for the same people, and one whose key is for others.
    keys = [RULES.of_people(frozenset(people)) for people in (["ann", "bob"], ["bob", "ann"], ["bob"])]
    assert keys[0] is not keys[1]
    futures = [ingestor.offer(decoded(60.0), rules, 1, "http") for rules in keys]
    store.go_on.set()
    assert told(futures) == [(1, []), (1, []), (0, [(0, "user_id")])]
    assert store.commits == [[1], [2]]
    assert RULES.of_people(None) is RULES


def counted(source: str) -> tuple[float, dict[str, float]]:
    """How many readings of a source were stored, and how many refused by field."""
    accepted = refused = None
    for metric in telemetry.REGISTRY.collect():
        mine = [each for each in metric.samples if each.labels.get("source") == source]
        if metric.name == "pulsebase_ingest_readings_accepted":
            accepted = sum(each.value for each in mine if each.name.endswith("_total"))
        if metric.name == "pulsebase_ingest_readings_rejected":
            refused = {each.labels["field"]: each.value for each in mine if each.name.endswith("_total")}
    assert accepted is not None
    assert refused is not None
    return accepted, refused


def test_what_is_offered_is_counted_by_source_before_it_is_told(store: HeldStore, ingestor: Ingestor) -> None:
    held(store, ingestor)
    futures = [
        ingestor.offer(decoded(60.0, 1.0, 61.0), RULES, 1, "test-a"),
        ingestor.offer(decoded(2.0, 62.0), RULES, 1, "test-b"),
        ingestor.offer(decoded(63.0, 64.0, times=["soon", "2023-01-02T00:00:00Z"]), RULES, 1, "test-a"),
    ]
    seen: list[tuple[float, dict[str, float]]] = []
    futures[0].add_done_callback(lambda _: seen.append(counted("test-a")))
    store.go_on.set()
    assert told(futures) == [(2, [(1, "heart_rate")]), (1, [(0, "heart_rate")]), (1, [(0, "timestamp")])]
    assert seen == [(3, {"heart_rate": 1, "timestamp": 1})]
    assert counted("test-b") == (1, {"heart_rate": 1})


def test_long_columns_are_checked_where_they_are_offered_and_again_if_somebody_was_erased(store: HeldStore) -> None:
    key = b"k" * 32
    erased_users = ErasedUsers(key)
    rules = ReadingRules(now_us=RULES.now_us, erased_users=erased_users)
    ingestor = Ingestor(store, erased_users=erased_users)
    try:
        held(store, ingestor)
        rows = committer._LONG_ROWS + 1
        users, devices = ["ann", *["bob"] * (rows - 1)], ["clip"] * rows
        values = np.full(rows, 60.0)
        values[2] = 1.0
        long = Candidates(users, devices, np.arange(rows, dtype=np.int64), values, np.full(rows, -1, np.int8))
        checked: list[str] = []

        def asked_us() -> int:
            checked.append(threading.current_thread().name)
            return 1_700_000_000_000_000

        asked = ReadingRules(now_us=asked_us, erased_users=erased_users)
        as_before, after = (ingestor.offer(long, each, 1, "test-d") for each in (asked, rules))
        assert checked == [threading.current_thread().name]
        erased_users.replace([mark_of(key, "ann")])
        store.go_on.set()
        for future in (as_before, after):
            assert told([future]) == [(rows - 2, [(0, "user_id"), (2, "heart_rate")])]
        assert checked[1:] == ["pulsebase-commit"]
        assert not store.knows("ann")
        assert counted("test-d") == (2 * (rows - 2), {"user_id": 2, "heart_rate": 2})
    finally:
        store.go_on.set()
        ingestor.close()


def test_of_a_commit_that_fails_only_what_was_refused_whole_is_counted(store: HeldStore, ingestor: Ingestor) -> None:
    held(store, ingestor)
    mixed, bad = (ingestor.offer(decoded(*values), RULES, 1, "test-c") for values in ((60.0, 1.0), (2.0, 3.0)))
    store.full = True
    store.go_on.set()
    with pytest.raises(StoreUnavailableError):
        mixed.result(30)
    assert bad.result(30).accepted == 0
    assert counted("test-c") == (0, {"heart_rate": 2})


def test_places_go_on_from_where_a_piece_of_a_body_began(store: HeldStore, ingestor: Ingestor) -> None:
    store.go_on.set()
    outcome = ingestor.offer(
        decoded(1.0, 60.0, times=["2023-01-01T00:00:00Z", "soon"], first_position=10), RULES, 1, "http"
    )
    assert told([outcome]) == [(0, [(10, "heart_rate"), (11, "timestamp")])]


def test_a_commit_that_fails_fails_what_was_to_be_stored_and_refusals_stay_refusals(
    store: HeldStore, ingestor: Ingestor
) -> None:
    held(store, ingestor)
    good, bad = ingestor.offer(decoded(60.0, 1.0), RULES, 1, "http"), ingestor.offer(decoded(1.0), RULES, 1, "http")
    store.full = True
    store.go_on.set()
    with pytest.raises(StoreUnavailableError):
        good.result(30)
    assert bad.result(30) == Outcome(0, [FieldError("heart_rate", "out of range 30–220", 0)])
    assert stored(store) == []


def test_the_last_commit_and_the_limit_of_the_queue_are_told(ingestor: Ingestor, store: HeldStore) -> None:
    def told(name: str) -> float:
        return telemetry.REGISTRY.get_sample_value(name) or 0.0

    assert told("pulsebase_ingest_queue_limit_readings") == IngestLimits().queue_readings
    telemetry.INGEST_LAST_COMMIT_TIMESTAMP_SECONDS.set(0)
    store.full = True
    store.go_on.set()
    with pytest.raises(StoreUnavailableError):
        ingestor.offer(decoded(60), RULES, 1, "http").result(30)
    assert told("pulsebase_ingest_last_commit_timestamp_seconds") == 0
    store.full = False
    before_s = time.time()
    ingestor.offer(decoded(60), RULES, 1, "http").result(30)
    assert before_s <= told("pulsebase_ingest_last_commit_timestamp_seconds") <= time.time()


def test_what_was_checked_before_somebody_was_erased_is_not_stored_afterwards(store: HeldStore) -> None:
    key = b"k" * 32
    erased_users = ErasedUsers(key)
    ingestor = Ingestor(store, erased_users=erased_users)
    try:
        of_ann, of_bob = (
            ReadingBatch.of_columns([user_id], ["strap"], [0], [7000], None, 1) for user_id in ("ann", "bob")
        )
        held = ingestor.submit(of_bob)
        assert store.begun.wait(30)
        waiting = [ingestor.submit(batch) for batch in (of_ann, of_bob)]
        erased_users.replace([mark_of(key, "ann")])
        store.go_on.set()
        ingestor.drain()
        assert (held.result(), waiting[1].result()) == ((), ())
        with pytest.raises(ErasedUserError):
            waiting[0].result()
        assert store.commits == [[1], [1]]
        assert not store.knows("ann")
    finally:
        store.go_on.set()
        ingestor.close()


class FullStore(MemoryStore):
    """Has no room until it is given some."""

    def __init__(self) -> None:
        super().__init__()
        self.room = threading.Event()
        self.asked = threading.Event()
        self.paced: list[tuple[int, float]] = []

    def has_room(self, max_wait_s: float) -> bool:
        self.asked.set()
        return self.room.wait(max_wait_s)

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        del within_turn, cancellation
        self.paced.append((readings, max_wait_s))
        if not self.room.is_set():
            raise StoreUnavailableError("too many readings wait for a merge")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FullStore, Ingestor]]:
    monkeypatch.setattr(committer, "SHORT_WAIT_S", 0.1)
    store = FullStore()
    ingestor = Ingestor(store)
    yield store, ingestor
    store.room.set()
    ingestor.close()


def batch_of(second: int) -> ReadingBatch:
    return ReadingBatch.of_columns(["ann"], ["strap"], [1_672_531_200_000_000 + second * 1_000_000], [6200], None, 5)


def waits(write: str, name: str = "pulsebase_ingest_room_wait_seconds_count") -> float:
    return telemetry.REGISTRY.get_sample_value(name, {"write": write}) or 0.0


def refusals(write: str) -> float:
    return waits(write, "pulsebase_ingest_room_refused_total")


def test_what_finds_no_room_in_time_is_refused_whole_and_the_next_is_stored(full: tuple[FullStore, Ingestor]) -> None:
    store, ingestor = full
    before = refusals("commit")
    waiting: list[Future[Any]] = [
        ingestor.offer(decoded(60.0, 61.0), RULES, 1, "http"),
        ingestor.submit(batch_of(9), 0.05),
    ]
    for future in waiting:
        with pytest.raises(StoreUnavailableError, match="nothing of this request was stored") as refused:
            future.result(30)
        assert refused.value.retry_after_s >= 1
    assert refusals("commit") == before + 2
    assert store.stored().num_rows == 0
    assert telemetry.REGISTRY.get_sample_value("pulsebase_ingest_queue_readings") == 0
    store.room.set()
    assert ingestor.offer(decoded(62.0), RULES, 1, "http").result(30) == Outcome(1, [])
    assert store.stored().num_rows == 1


def test_each_waits_for_room_as_long_as_it_may_and_keeps_its_place(full: tuple[FullStore, Ingestor]) -> None:
    """The blocks of a stream, and deletions, wait longer than a request that can be sent again."""
    store, ingestor = full
    first = ingestor.submit(batch_of(0), 30)
    short = ingestor.offer(decoded(60.0), RULES, 1, "http")
    deletion = ingestor.submit_delete("ann", TimeRange(0, 2_000_000_000_000_000))
    second = ingestor.submit(batch_of(1), 30)
    with pytest.raises(StoreUnavailableError):
        short.result(30)
    assert [future.done() for future in (first, deletion, second)] == [False] * 3
    store.room.set()
    assert (first.result(30), deletion.result(30), second.result(30)) == ((), 1, ())
    assert store.stored().num_rows == 1


def test_waiting_for_room_is_measured(full: tuple[FullStore, Ingestor]) -> None:
    store, ingestor = full
    commits, blocks, refused = waits("commit"), waits("block"), refusals("block")
    seconds = waits("commit", "pulsebase_ingest_room_wait_seconds_sum")
    with pytest.raises(StoreUnavailableError):
        ingestor.pace(7, 0.5)
    assert store.paced == [(7, 0.5)]
    assert (waits("block"), refusals("block")) == (blocks + 1, refused + 1)
    submitted = ingestor.submit(batch_of(0), 30)
    assert store.asked.wait(30)
    time.sleep(0.1)
    store.room.set()
    submitted.result(30)
    assert waits("commit") >= commits + 1
    assert waits("commit", "pulsebase_ingest_room_wait_seconds_sum") >= seconds + 0.1


def test_a_stream_asks_for_its_turn_before_each_batch(full: tuple[FullStore, Ingestor]) -> None:
    store, ingestor = full
    with pytest.raises(StoreUnavailableError):
        ingestor.write(batch_of(0))
    store.room.set()
    ingestor.write(batch_of(0))
    assert store.paced == [(1, committer.LONG_WAIT_S)] * 2
    assert store.stored().num_rows == 1


def test_once_the_server_leaves_nothing_waits_for_room_and_what_has_some_is_stored(
    full: tuple[FullStore, Ingestor],
) -> None:
    store, ingestor = full
    waiting: list[Future[Any]] = [
        ingestor.submit(batch_of(0), 3600),
        ingestor.submit_delete("ann", TimeRange(0, 2_000_000_000_000_000)),
    ]
    ingestor.leave()
    for future in waiting:
        with pytest.raises(StoreUnavailableError):
            future.result(30)
    store.room.set()
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        ingestor.pace(1, 3600)
    ingestor.submit(batch_of(1)).result(30)
    assert store.stored().num_rows == 1


def test_an_ingestor_that_closes_without_room_refuses_what_waits(full: tuple[FullStore, Ingestor]) -> None:
    _, ingestor = full
    waiting = ingestor.submit(batch_of(0), 0.1)
    ingestor.close()
    with pytest.raises(StoreUnavailableError):
        waiting.result(0)


class Few:
    """Lets so many new people come."""

    def __init__(self, people: int) -> None:
        self.left = people

    def take(self, people: int) -> None:
        if people > self.left:
            raise NewPeopleShareError("user_id: too many")
        self.left -= people

    def give_back(self, people: int) -> None:
        self.left += people


@pytest.fixture
def counting(store: HeldStore) -> Iterator[Ingestor]:
    """Commits wait behind a first one, so that what is sent meanwhile shares the next."""
    ingestor = Ingestor(store, unknown=store.unknown_users)
    ingestor.submit(_batch("first"))
    assert store.begun.wait(30)
    yield ingestor
    store.go_on.set()
    ingestor.close()


def _batch(*user_ids: str) -> ReadingBatch:
    count = len(user_ids)
    return ReadingBatch.of_columns(user_ids, ["d"] * count, [0] * count, [6000] * count, None, 1)


def _offered(*user_ids: str) -> Decoded:
    count = len(user_ids)
    return Decoded.of(user_ids, ["d"] * count, ["2020-01-01T00:00:00Z"] * count, [60.0] * count, [None] * count)


def test_somebody_who_comes_twice_in_a_commit_is_counted_for_who_brings_them_first(
    store: HeldStore, counting: Ingestor
) -> None:
    one, other = Few(2), Few(0)
    done = [
        counting.submit(_batch("ann", "bob"), allowance=one),
        counting.submit(_batch("bob", "ann", "first"), allowance=other),
    ]
    offered = counting.offer(_offered("ann", "first"), RULES, 1, "test", other)
    store.go_on.set()
    assert [each.result(30) for each in done] == [(), ()]
    assert offered.result(30).accepted == 2
    assert (one.left, other.left) == (0, 0)


def test_who_brings_too_many_is_refused_alone(store: HeldStore, counting: Ingestor) -> None:
    few = Few(1)
    refused: list[Future[Any]] = [
        counting.submit(_batch("first", "ann", "bob"), allowance=few),
        counting.offer(_offered("first", "cid", "dan"), RULES, 1, "test", few),
    ]
    kept = [
        counting.offer(_offered("first"), RULES, 1, "test", few),
        counting.offer(_offered("eve"), RULES, 1, "test", few),
        counting.offer(_offered("fay", "gus"), RULES, 1, "test", None),
    ]
    singles = counting.submit_singles(_batch("hal", "first", "ian"), [Few(0), Few(0), Few(1)])
    store.go_on.set()
    for each in refused:
        with pytest.raises(NewPeopleShareError):
            each.result(30)
    assert [each.result(30).accepted for each in kept] == [1, 1, 2]
    assert list(singles.result(30)) == [0]
    known = {"first", "eve", "fay", "gus", "ian"}
    assert store.unknown_users({"ann", "bob", "cid", "dan", "hal"} | known) == {"ann", "bob", "cid", "dan", "hal"}
    assert few.left == 0


def test_who_was_not_stored_is_not_counted(store: HeldStore, counting: Ingestor) -> None:
    few = Few(3)
    done = counting.submit(_batch("ann", "bob"), allowance=few)
    store.full = True
    store.go_on.set()
    with pytest.raises(StoreUnavailableError):
        done.result(30)
    assert few.left == 3
    store.full = False
    counting.submit(_batch("ann", "bob"), allowance=few).result(30)
    assert few.left == 1
    counting.submit(_batch("bob", "ann"), allowance=few).result(30)
    assert few.left == 1, "they are known"
