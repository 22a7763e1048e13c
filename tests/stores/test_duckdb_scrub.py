"""How a file is written anew while the store is in use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import MAX_US, SECOND_US, TimeRange
from pulsebase.stores.duckdb.engine import database
from pulsebase.stores.duckdb.engine.rewrite import copy_all
from pulsebase.stores.duckdb.engine.shared_lock import SharedLock
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.stores.harness import Reading, ask, at, span, write
from tests.stores.test_duckdb import BY_HAND
from tests.support.disk import mounted

TEN = at("2024-01-15T10:00:00")
THAT_DAY = span("2024-01-15", "2024-01-16")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckdbStore]:
    store = DuckdbStore(tmp_path / "store.duckdb", BY_HAND)
    write(store, *(Reading(TEN + n * SECOND_US, 7000 + n) for n in range(200)))
    yield store
    store.close()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_commits_and_questions_go_on_while_the_file_is_written_anew(store: DuckdbStore) -> None:
    done = threading.Event()

    def ask_on() -> int:
        count = 0
        while not done.is_set():
            found = ask(store, Resolution.RAW, THAT_DAY, user_id="ann")
            assert found.num_rows >= 200
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask_on) for _ in range(2)]
        try:
            for n in range(3):
                write(store, Reading(TEN - (n + 1) * SECOND_US, 6000 + n))
                store.scrub()
        finally:
            done.set()
        assert all(each.result() for each in asking)
    assert store.stored().num_rows == 203
    assert store.check().problems == ()


def test_a_question_that_does_not_end_puts_a_scrub_off(store: DuckdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_SWAP_PATIENCE_S", 0.01)
    batches: Any = store.export(TimeRange(0, MAX_US))
    next(batches)
    with pytest.raises(StoreUnavailableError, match="a long question runs"):
        store.scrub()
    assert "store.duckdb.next" not in names_in(store.parts.database.path.parent)
    assert ask(store, Resolution.RAW, THAT_DAY).num_rows == 200
    batches.close()
    store.scrub()
    assert store.stored().num_rows == 200


def test_a_disk_without_room_puts_a_scrub_off(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=24m") as disk:
        store = DuckdbStore(disk.folder / "store.duckdb", BY_HAND)
        try:
            write(store, Reading(TEN, 7000))
            store.merge()
            store.maintenance.checkpoint()
            disk.fill(left_bytes=1 << 20)
            with pytest.raises(StoreUnavailableError):
                store.scrub()
            assert ".next" not in "".join(names_in(disk.folder))
            disk.make_room()
            store.scrub()
            assert store.stored().num_rows == 1
        finally:
            store.close()


def test_a_disk_that_fills_up_while_the_file_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "disk", "size=24m") as disk:
        store = DuckdbStore(disk.folder / "store.duckdb", BY_HAND)
        try:
            write(store, Reading(TEN, 7000))
            store.merge()
            store.maintenance.checkpoint()

            def fill_and_copy(*connections: duckdb.DuckDBPyConnection) -> None:
                disk.fill(left_bytes=8192)
                copy_all(*connections)

            monkeypatch.setattr(database, "copy_all", fill_and_copy)
            with pytest.raises(StoreUnavailableError, match="cannot be rewritten"):
                store.scrub()
            disk.make_room()
            monkeypatch.undo()
            write(store, Reading(TEN + 1, 7000))
            assert store.check().problems == ()
            store.scrub()
            assert store.stored().num_rows == 2
        finally:
            store.close()


def test_copies_from_before_a_migration_go_with_a_scrub(store: DuckdbStore) -> None:
    path = store.parts.database.path
    copy = path.with_name(f"{path.name}.before-schema-2")
    copy.write_bytes(b"what was stored then")
    store.scrub()
    assert not copy.exists()


def test_a_gate_lets_nobody_in_while_one_is_alone_and_everybody_afterwards() -> None:
    gate = SharedLock()
    entered = threading.Event()

    def enter() -> None:
        with gate.shared():
            entered.set()

    with gate.shared(), gate.exclusive(0.01) as is_alone:
        assert not is_alone
    with ThreadPoolExecutor(1) as pool:
        with gate.exclusive(10) as is_alone:
            assert is_alone
            entering = pool.submit(enter)
            assert not entered.wait(0.05)
        entering.result(60)
    assert entered.is_set()
