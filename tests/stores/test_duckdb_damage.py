"""Damage that the embedded store meets while it works, and engines that fail: what goes on, and what is said."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

from pulsebase.model.errors import PulsebaseError, StoreCorruptError, StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import DAY_US, HOUR_US, SECOND_US
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.merge import maintenance
from pulsebase.stores.duckdb.people import expiry
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import write
from tests.support.process import wait_until
from tests.support.victim import BASE_US, run_of

BY_HAND = DuckdbOptions(memory_limit="256MiB", threads=1, merge_interval_s=3600)
MANY = 100_000
HEADS, BLOCK_BYTES = 3 * 4096, 256 << 10


def many(store: Store, value: int, count: int = MANY) -> None:
    times = BASE_US + np.arange(count) * 5 * SECOND_US
    values = (value + np.arange(count) * 7919 % 3000).astype(np.int16)
    store.write([ReadingBatch.of_columns(["ann"] * count, ["strap"] * count, times, values, None, 1)])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store of which everything is merged."""
    path = tmp_path_factory.mktemp("sound") / "store.duckdb"
    store = DuckdbStore(path, BY_HAND)
    many(store, 6000)
    store.settle()
    store.close()
    return path


def damaged(sound: Path, folder: Path, blocks: int = 1) -> Iterator[DuckdbStore]:
    """Stores with bytes of some blocks flipped, as far as they can be opened."""
    dice = random.Random(5)
    count = (sound.stat().st_size - HEADS) // BLOCK_BYTES
    for first in range(count):
        mine = folder / str(first)
        shutil.copytree(sound.parent, mine)
        with (mine / sound.name).open("r+b") as file:
            for block in range(first, min(first + blocks, count)):
                file.seek(HEADS + block * BLOCK_BYTES + dice.randrange(BLOCK_BYTES))
                file.write(b"\xa5\x5a\xa5")
        try:
            store = DuckdbStore(mine / sound.name, BY_HAND)
        except StoreCorruptError:
            continue
        yield store
        store.close()
        shutil.rmtree(mine)


def test_a_merge_that_meets_a_damage_keeps_what_was_acknowledged_and_devices_go_on(sound: Path, tmp_path: Path) -> None:
    met = 0
    for store in damaged(sound, tmp_path):
        many(store, 9000)  # every stored reading again: the merge has to bring them all
        try:
            store.merge()
        except StoreCorruptError:
            met += 1
            with pytest.raises(StoreCorruptError, match="restore a backup"):
                store.ping()
            assert store.statistics()["damaged"] == 1
            assert any("is damaged" in problem for problem in store.check().problems)
            assert store.statistics()["unmerged_rows"] == MANY
        else:
            assert store.stored().num_rows == MANY
        write(store, *run_of("eve", "band", BASE_US, 20, 7000))
        assert store.statistics()["unmerged_rows"] >= 20
        path = store.parts.database.path
        store.close()
        again = DuckdbStore(path, BY_HAND)  # the journal brings what no merge could
        assert len(again.parts.stage) >= 20
        again.close()
    assert met > 0


def test_the_thread_that_merges_waits_longer_and_longer_for_a_damage_that_does_not_mend(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_PAUSE_AFTER_FAILURE_S", 0.01)
    for store in damaged(sound, tmp_path):
        store.maintenance._pause_s = 0.01
        many(store, 9000)
        try:
            store.merge()
        except StoreCorruptError:
            break
    else:
        raise AssertionError("no damage was met")
    for _ in range(3):
        failures = store.maintenance.merge_failures
        store.parts.merge_due.set()
        wait_until(lambda failures=failures: store.maintenance.merge_failures > failures, "a merge that fails")
    wait_until(lambda: store.maintenance._pause_s >= 0.08, "a longer pause")
    store.close()


def test_while_merges_meet_a_damage_writes_are_refused_openly_once_too_much_waits(sound: Path, tmp_path: Path) -> None:
    options = DuckdbOptions(memory_limit="256MiB", threads=1, merge_interval_s=3600, most_unmerged=MANY)
    for store in damaged(sound, tmp_path):
        many(store, 9000)
        try:
            store.merge()
        except StoreCorruptError:
            break
    else:
        raise AssertionError("no damage was met")
    store.maintenance._options = options
    with pytest.raises(StoreCorruptError, match="restore a backup"):
        many(store, 9500)
    store.close()


def test_peoples_own_questions_tell_a_damage_from_a_wrong_statement(sound: Path, tmp_path: Path) -> None:
    met = 0
    for store in damaged(sound, tmp_path):
        try:
            store.select("SELECT sum(v), sum(t), sum(user_no) FROM readings", 10, None)
        except StoreCorruptError:
            met += 1
    assert met > 0


def test_a_person_missing_from_the_numbers_refuses_the_start_and_lets_go_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = DuckdbStore(path, BY_HAND)
    store.put_users([User("ann"), User("bob")])
    store.close()
    with duckdb.connect(str(path)) as database:
        database.execute("DELETE FROM users WHERE user_no = 0")
    with pytest.raises(StoreCorruptError, match="lost rows of users"):
        DuckdbStore(path, BY_HAND)
    with duckdb.connect(str(path)) as database:
        database.execute("INSERT INTO users (user_no, user_id) VALUES (0, 'ann')")
    store = DuckdbStore(path, BY_HAND)
    assert [each.user.user_id for each in store.users("", 10, None)] == ["ann", "bob"]
    store.close()


def test_an_engine_that_fails_in_a_commit_is_asked_what_it_kept(tmp_path: Path) -> None:
    """Whether the commit reached the disk or not, memory and file agree afterwards."""
    for reached in (True, False):
        store = DuckdbStore(tmp_path / str(reached) / "store.duckdb", BY_HAND)
        write(store, *run_of("ann", "strap", BASE_US, 20, 7000))
        store.parts.database._writer = FailingWriter(store.parts.database._writer, reached)  # type: ignore[assignment]
        with pytest.raises(StoreUnavailableError) as raised:
            store.put_priority(DevicePriority("zoe", "band", 3, 0))
        assert raised.value.kept == "unknown"
        with pytest.raises(StoreUnavailableError, match="opened again"):
            write(store, *run_of("eve", "band", BASE_US, 20, 7000))
        store.put_user(User("kim", "Kim"))
        write(store, *run_of("eve", "band", BASE_US, 20, 7000))
        store.merge()
        for _ in range(2):
            assert store.knows("zoe") == reached
            assert len(store.priorities("zoe")) == reached
            assert [each.user.user_id for each in store.users("", 10, None)] == sorted(
                ["ann", "eve", "kim", *(["zoe"] if reached else [])]
            )
            assert store.stored().num_rows == 40
            assert store.check().problems == ()
            path = store.parts.database.path
            store.close()
            store = DuckdbStore(path, BY_HAND)
        store.close()


class FailingWriter:
    """A connection whose next COMMIT ends the engine, before the commit or after it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, reached: bool) -> None:
        self._connection, self._reached = connection, reached

    def execute(self, statement: str, *values: object) -> object:
        if statement == "COMMIT":
            self._connection.execute("COMMIT" if self._reached else "ROLLBACK")
            raise duckdb.FatalException("FATAL Error: fsync failed!")
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


def test_an_expiry_that_was_broken_off_goes_on_when_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DuckdbStore(tmp_path / "store.duckdb", BY_HAND)
    for day in range(3):
        write(store, *run_of("ann", "strap", BASE_US + day * DAY_US, 20, 7000))
    real = expiry.expire_step

    def failing(*_: object) -> None:
        raise duckdb.IOException("IO Error: Could not write file: No space left on device")

    monkeypatch.setattr(maintenance, "expire_step", failing)
    before_us = BASE_US + 2 * DAY_US
    with pytest.raises(PulsebaseError, match="the rest goes when it is asked for again"):
        store.expire(before_us)
    monkeypatch.setattr(maintenance, "expire_step", real)
    assert store.expire(before_us).readings == 40
    assert store.stored().num_rows == 20
    assert store.check().problems == ()
    assert store.expire(before_us - HOUR_US).readings == 0
    store.close()
