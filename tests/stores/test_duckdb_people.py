"""What is particular to people in the embedded store: their numbers, and where rows of theirs lie."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pulsebase.model.annotations import Annotation
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import HOUR_US
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.duckdb.merge.merge import HourSizes
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers
from pulsebase.stores.duckdb.people.removal import TABLES_BY_PERSON, TABLES_BY_SERIES
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.stores.harness import Reading, ask, at, span, write
from tests.stores.test_duckdb import BY_HAND, LateHarness

TEN = at("2024-01-15T10:00:00")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckdbStore]:
    store = DuckdbStore(tmp_path / "store.duckdb", BY_HAND)
    yield store
    store.close()


def rows_by_table(store: DuckdbStore) -> dict[str, int]:
    """How many rows every table that knows people has, whatever it is called."""
    with store.parts.database.reading() as connection:
        tables = connection.execute(
            "SELECT table_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_name) "
            "WHERE column_name = 'user_no'"
        ).fetchall()
        counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for (name,) in tables}
    return counts


def test_no_table_keeps_a_row_of_somebody_who_was_removed() -> None:
    harness = LateHarness()
    try:
        store = harness.store
        write(store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        store.maintenance.merge_staged()
        write(store, Reading(TEN + 1, 7000))
        store.maintenance.merge_staged()  # into `late`
        store.put_priority(DevicePriority("ann", "device_b", 3))
        store.put_summaries([DailySummary("ann", date(2024, 1, 15), 55.0, None)])
        store.put_annotations([Annotation("ann", "run-1", TEN, None, "a run")])
        ask(store, Resolution.QUARTER, span("2024-01-15", "2024-01-16"))
        store.maintenance.build_quarters()
        before = rows_by_table(store)
        assert before.keys() == {*TABLES_BY_PERSON, *TABLES_BY_SERIES, "users"}
        assert all(before.values()), before
        assert store.remove_user("ann") == 3
        assert rows_by_table(store) == dict.fromkeys((*TABLES_BY_PERSON, *TABLES_BY_SERIES), 0) | {"users": 1}
        assert store.statistics()["unmerged_rows"] == 0
        with store.parts.database.reading() as connection:
            assert connection.execute("SELECT * FROM users").fetchall() == [(0, "", None, None, None, None, None)]
    finally:
        harness.discard()


def test_a_removal_takes_the_rows_off_the_estimate_of_merges(store: DuckdbStore) -> None:
    write(store, Reading(TEN, 7000), Reading(TEN + 2 * HOUR_US, 7000), Reading(TEN, 7000, user_id="bob"))
    store.merge()
    store.remove_user("ann")
    with store.parts.database.reading() as connection:
        counted = HourSizes.read(connection)
    assert {hour: rows for hour, rows in store.parts.hour_sizes.rows.items() if rows} == counted.rows


def test_a_number_is_never_given_again(store: DuckdbStore) -> None:
    for _ in range(2):
        for user_id in ("ann", "bob"):
            write(store, Reading(TEN, 7000, user_id=user_id))
        store.remove_user("ann")
    write(store, Reading(TEN, 7000))
    store.merge()
    with store.parts.database.reading() as connection:
        people = connection.execute("SELECT user_no, user_id FROM users ORDER BY user_no").fetchall()
    assert people == [(0, ""), (1, "bob"), (2, ""), (3, "ann")]


def test_a_forgotten_text_is_found_nowhere_and_gets_a_new_number() -> None:
    names = IdNumbers(["ann", "", "bob", ""])
    assert names.find("") is None
    names.forget(0)
    assert (names.find("ann"), names.text(0), len(names)) == (None, "", 4)
    assert names.number("ann") == 4


def test_a_name_given_right_behind_another_is_brought_to_the_database(
    store: DuckdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that waits for the lock on names gets it the moment somebody was put."""

    class Waited:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._first = True

        def __enter__(self) -> None:
            self._lock.acquire()

        def __exit__(self, *_: Any) -> None:
            self._lock.release()
            if self._first:
                self._first = False
                write(store, Reading(TEN, 7000, user_id="bob"))

    store.register_origin("test", "laws")
    monkeypatch.setattr(store.parts.cached, "commit_lock", Waited())
    store.put_user(User("ann"))
    store.merge()
    with store.parts.database.reading() as connection:
        people = connection.execute("SELECT user_id FROM users ORDER BY user_no").fetchall()
    assert people == [("ann",), ("bob",)]


def test_a_deletion_overtaken_by_a_removal_deletes_nothing(store: DuckdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, Reading(TEN, 7000))
    wait_for_room = store.maintenance.wait_for_room
    removed: list[int] = []

    def overtaken() -> None:
        wait_for_room()
        if not removed:
            removed.append(store.remove_user("ann"))

    monkeypatch.setattr(store.maintenance, "wait_for_room", overtaken)
    deleted = store.delete("ann", span("2024-01-15", "2024-01-16"))
    assert (removed, deleted) == ([1], 0)
    write(store, Reading(TEN, 7100))
    store.merge()
    assert store.stored().num_rows == 1
    assert store.check().problems == ()
