"""What waits for what inside the embedded store."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.timerange import HOUR_US, SECOND_US, TimeRange
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.duckdb.journal.journal import Journal
from pulsebase.stores.duckdb.merge import maintenance
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.merge.merge import MergeBounds
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import Reading, at, write
from tests.support.process import wait_until
from tests.support.victim import run_of

TEN = at("2024-01-15T10:00:00")
BY_HAND = DuckdbOptions(memory_limit="256MiB", merge_interval_s=3600)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckdbStore]:
    store = DuckdbStore(tmp_path / "store.duckdb", BY_HAND)
    yield store
    store.close()


def test_people_and_priorities_change_while_a_long_question_runs(store: DuckdbStore) -> None:
    """The engine takes no checkpoint then; the changes hold all the same, and the next checkpoint has them."""
    write(store, *run_of("ann", "device_a", TEN, 50, 6000), *run_of("ann", "device_b", TEN, 50, 7000))
    store.merge()
    with store.parts.database.reading() as question:
        question.execute("SELECT count(*) FROM readings").fetchall()
        store.put_user(User("ann", "Ann"))
        store.put_priority(DevicePriority("ann", "device_b", 0, 0))
        assert store.user("ann") == User("ann", "Ann")
        assert store.parts.database.size_of_log() > 0
    store.maintenance.checkpoint()
    assert store.parts.database.size_of_log() == 0
    assert store.check().problems == ()


def test_a_checkpoint_waits_for_a_short_question(store: DuckdbStore) -> None:
    write(store, *run_of("ann", "device_a", TEN, 50, 6000))
    store.merge()
    asked, ended = threading.Event(), threading.Event()

    def ask() -> None:
        with store.parts.database.reading() as question:
            question.execute("SELECT count(*) FROM readings").fetchall()
            asked.set()
            ended.wait(0.2)

    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(ask)
        assert asked.wait(30)
        store.put_user(User("ann", "Ann"))
        ended.set()
        question.result()
    assert store.parts.database.size_of_log() == 0


def test_a_write_that_waits_for_room_and_a_new_person_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_ROOM_WAIT_S", 1.0)
    waits, wait_for_room = threading.Event(), Maintenance.wait_for_room

    def noted(of_full_store: Maintenance) -> None:
        if len(full_store.parts.stage) >= 50:
            waits.set()
        wait_for_room(of_full_store)

    monkeypatch.setattr(Maintenance, "wait_for_room", noted)
    full_store = DuckdbStore(tmp_path / "store.duckdb", replace(BY_HAND, most_unmerged=50))
    try:
        with ThreadPoolExecutor(1) as pool:
            with full_store.parts.write_lock:  # as a change of the registry holds it
                write(full_store, *run_of("ann", "device_a", TEN, 50, 6000))
                waiting = pool.submit(write, full_store, *run_of("ann", "device_a", TEN, 50, 7000))
                assert waits.wait(30)
                full_store.put_user(User("bob", "Bob"))
            waiting.result()  # a merge made room
    finally:
        full_store.close()


def run(second: int, count: int) -> list[Reading]:
    return [Reading(TEN + (second + step) * SECOND_US, 6000) for step in range(count)]


def test_a_stream_that_waits_for_its_turn_is_told_when_that_is_taken_back(tmp_path: Path) -> None:
    full_store = DuckdbStore(tmp_path / "store.duckdb", replace(BY_HAND, most_unmerged=800))
    cancellation = Cancellation()
    try:
        with full_store.parts.write_lock, ThreadPoolExecutor(2) as pool:  # as a long merge holds it
            write(full_store, *run(0, 700))
            waiting = [pool.submit(full_store.pace, 1, 3600, cancellation=cancellation) for _ in range(2)]
            wait_until(lambda: len(full_store.maintenance._pacer._waiting) == 2, "both wait")
            cancellation.cancel()
            for future in waiting:
                with pytest.raises(StoreUnavailableError):
                    future.result(30)
    finally:
        full_store.close()


def test_streams_leave_room_for_small_writes_until_a_merge_makes_more(tmp_path: Path) -> None:
    full_store = DuckdbStore(tmp_path / "store.duckdb", replace(BY_HAND, most_unmerged=800))
    try:
        with full_store.parts.write_lock:  # as a long merge holds it
            for block in range(7):
                full_store.pace(100, 30)
                write(full_store, *run(block * 100, 100))
            with pytest.raises(StoreUnavailableError):
                full_store.pace(100, 0)
            assert full_store.has_room(0)
            write(full_store, *run(700, 100))
            assert not full_store.has_room(0)
            told = full_store.statistics()
            assert (told["staged_rows"], told["staged_limit_rows"]) == (800, 800)
        assert full_store.has_room(30)  # asking has woken the merge
        full_store.pace(100, 30)
        write(full_store, *run(800, 100))
        full_store.merge()
        assert full_store.statistics()["staged_rows"] == 0
        assert full_store.check().readings == 900
        assert full_store.check().problems == ()
    finally:
        full_store.close()


def test_late_readings_find_their_place_while_a_flood_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each merge leaves enough behind for the next one to be due at once; late ones must not pile up all the same."""
    bounds = MergeBounds(search_rows=0, fetch_rows=10_000)
    options = replace(BY_HAND, bounds=bounds, merge_readings=100, late_readings=10)
    flooded = DuckdbStore(tmp_path / "store.duckdb", options)
    late: list[int] = []
    merge_staged, rounds = Maintenance.merge_staged, 20

    def beside_a_flood(maintenance: Maintenance) -> int:
        late.append(flooded.parts.cached.late_rows)
        done = merge_staged(maintenance)
        if len(late) < rounds:  # another hundred, of which 20 are late
            late_rows = [Reading(TEN + len(late) * 1000 + step, 6000) for step in range(20)]
            write(flooded, *run(10_000 + len(late) * 80, 80), *late_rows)
        return done

    try:
        write(flooded, *run(0, 3000))
        flooded.merge()
        monkeypatch.setattr(Maintenance, "merge_staged", beside_a_flood)
        write(flooded, *run(9_000, 100))  # wakes the thread
        while len(late) < rounds:
            time.sleep(0.01)
        assert max(late) <= 8 * 10 + 20
        assert any(late)
        flooded.merge()
        assert flooded.check().problems == ()
        assert flooded.check().readings == 3000 + 100 + (rounds - 1) * 100
    finally:
        flooded.close()


def test_a_deletion_while_the_journal_is_let_go_of_is_durable(
    store: DuckdbStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, *run_of("ann", "device_a", TEN, 50, 6000))
    store.merge()
    clear = Journal.clear
    with ThreadPoolExecutor(1) as pool:
        deletions: list[Future[int]] = []

        def slow_clear(journal: Journal) -> None:
            deletions.append(pool.submit(store.delete, "ann", TimeRange(TEN, TEN + HOUR_US)))
            futures.wait(deletions, timeout=0.5)  # in vain, if it waits for us
            clear(journal)

        monkeypatch.setattr(Journal, "clear", slow_clear)
        store.maintenance.trim_journal()
        assert [deletion.result() for deletion in deletions] == [30]
    shutil.copytree(tmp_path, tmp_path.with_name("killed"), ignore=shutil.ignore_patterns("*.lock"))
    killed = DuckdbStore(tmp_path.with_name("killed") / "store.duckdb", BY_HAND)
    try:
        assert killed.stored().num_rows == 20
    finally:
        killed.close()
