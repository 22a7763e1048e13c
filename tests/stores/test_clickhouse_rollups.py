"""Merges keep what readings come to: the minutes, hours and days of each device."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pulsebase.model.errors import QueryTimeoutError
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange
from pulsebase.stores.clickhouse import later_rollups, migrate
from pulsebase.stores.clickhouse.check import Checker
from pulsebase.stores.clickhouse.engine import Server
from pulsebase.stores.clickhouse.migrate import set_up_both
from pulsebase.stores.clickhouse.removal import ClickHousePeoplesReadings
from pulsebase.stores.postgres.database import connect
from pulsebase.stores.postgres.registry import PostgresRegistry
from tests.stores.clickhouse import IMPORTED, OPTIONS, PUSHED, SYNCED, Parts, new_store, opened
from tests.stores.harness import Reading, at
from tests.support.postgres import PASSWORDS, execute
from tests.support.process import wait_until

TEN = at("2024-01-15T10:00:00")


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(new_store()) as found:
        yield found


def kept(parts: Parts, table: str) -> list[dict[str, Any]]:
    """The rows of a table of rollups, by time."""
    shards = parts.cluster.shards().values()
    rows = [row for server in shards for row in server.ask(f"SELECT * FROM {table} FINAL", 30).to_pylist()]
    return sorted(rows, key=lambda row: row["version"])


def test_minutes_and_hours_tell_what_is_left_of_each_device(parts: Parts) -> None:
    parts.write(Reading(TEN, 7000, "a"), Reading(TEN + SECOND_US, 7200, "a"), origin=PUSHED)
    parts.write(Reading(TEN + 2 * SECOND_US, 9999, "a", 0), origin=SYNCED)
    parts.write(Reading(TEN, 6000, "b"), Reading(TEN + MINUTE_US, 6500, "b"), origin=IMPORTED)
    parts.merge()
    (hour,) = kept(parts, "hours")
    assert hour["of.present"] == [[1, 2], [1, 2], [2]]
    assert hour["of.device"] == [1, 2, 2]
    assert hour["of.minutes"] == [1, 1, 1]
    assert hour["of.n"] == [2, 1, 1]
    assert hour["of.sum"] == [14200, 6000, 6500]
    assert (hour["of.min"][0], hour["of.max"][0]) == (7000, 7200)
    assert hour["of.n_all"] == [3, 1, 1]
    assert (hour["of.first"][0], hour["of.last"][0]) == (TEN, TEN + 2 * SECOND_US)
    assert (hour["of.first_origin"], hour["of.last_origin"]) == ([1, 3, 3], [2, 3, 3])

    assert parts.writer.delete("ann", TimeRange(TEN, TEN + SECOND_US)) == 2
    parts.merge()
    (hour,) = kept(parts, "hours")
    assert (hour["of.present"], hour["of.device"], hour["of.n"]) == ([[1], [2]], [1, 2], [1, 1])
    assert hour["of.n_all"] == [2, 1]

    assert parts.writer.delete("ann", TimeRange(TEN, TEN + 2 * MINUTE_US)) == 3
    parts.merge()
    (hour,) = kept(parts, "hours")
    assert hour["of.device"] == []
    assert [row["of.device"] for row in kept(parts, "minutes")] == [[], []]


def test_days_are_what_their_hours_come_to_for_each_set_of_devices(parts: Parts) -> None:
    parts.write(*(Reading(TEN + n * HOUR_US, 7000 + n, "a") for n in range(3)), Reading(TEN, 6000, "b", 0))
    parts.write(Reading(TEN + HOUR_US, 6000, "b"), Reading(TEN + DAY_US, 6500, "b"))
    parts.merge()
    first, second = sorted(kept(parts, "days"), key=lambda row: row["day"])
    assert (first["day"], second["day"]) == (TEN // DAY_US, TEN // DAY_US + 1)
    found = list(zip(first["of.present"], first["of.device"], first["of.minutes"], first["of.sum"], strict=True))
    assert found == [([1], 1, 2, 14002), ([1, 2], 1, 1, 7001), ([1, 2], 2, 1, 6000)]
    assert (first["of.min"][0], first["of.max"][0], second["of.n"]) == (7000, 7002, [1])
    parts.writer.delete("ann", TimeRange(TEN, TEN + 2 * DAY_US))
    parts.merge()
    assert [row["of.device"] for row in kept(parts, "days")] == [[], []]


def test_a_cluster_that_was_set_up_before_there_were_days_gets_them_of_all_hours(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [f"p{n}" for n in range(7)]
    parts.write(
        *(Reading(TEN + n * 9 * HOUR_US, 7000 + n, "ab"[n % 2], None, user) for user in people for n in range(200))
    )
    parts.merge()
    tables = ("days", "hours_by_time")
    before = {table: [dict(row, version=0) for row in _by_place(kept(parts, table))] for table in tables}
    assert len(before["days"]) == 7 * 76
    for server in parts.cluster.shards().values():
        for table in ("hours_by_time_too", "hours_by_time"):
            server.command(f"DROP TABLE {table} SYNC", 30)
        # What is left of a fill that was interrupted.
        server.command("RENAME TABLE days TO days_unfilled", 30)
        server.command("INSERT INTO days_unfilled SELECT * REPLACE (9 AS person) FROM days_unfilled", 30)
    command, done = Server.command, list[int]()

    def hasty(server: Server, statement: str, *rest: Any, **named: Any) -> None:
        if found := re.search(r"INSERT INTO days_unfilled .* person >= (\d+) AND person < (\d+)", statement, re.DOTALL):
            first, end = map(int, found.groups())
            if end - first > 2:
                raise QueryTimeoutError("too much at once")
            done.append(end - first)
        command(server, statement, *rest, **named)

    with monkeypatch.context() as patched, connect(parts.urls.postgres) as connection:
        patched.setattr(Server, "command", hasty)
        assert set_up_both(connection, parts.urls.cluster, PASSWORDS)[0] == []
    assert sorted(set(done)) == [1, 2]
    after = {table: [dict(row, version=0) for row in _by_place(kept(parts, table))] for table in tables}
    assert after == before
    parts.write(*(Reading(TEN + n * HOUR_US, 7000 + n, "ab"[n % 2], None, user) for user in people for n in range(20)))
    parts.merge()
    assert Checker(parts.database, parts.cluster, OPTIONS).check().problems == ()


def test_tables_that_came_later_have_nobody_who_was_erased_while_they_were_filled(parts: Parts) -> None:
    parts.write(*(Reading(TEN, 7000, user_id=person) for person in ("ann", "bob", "cleo")))
    parts.merge()
    PostgresRegistry(parts.database, ClickHousePeoplesReadings(parts.cluster, OPTIONS)).remove_user("bob")
    # Who erased them listed the tables before there were these, and wiped hours after they had been copied.
    execute(parts.urls.postgres, "DELETE FROM pulsebase.removed_people")
    for server in parts.cluster.shards().values():
        for table in ("hours_by_time_too", "hours_by_time", "days"):
            server.command(f"DROP TABLE {table} SYNC", 30)
    with connect(parts.urls.postgres) as connection:
        set_up_both(connection, parts.urls.cluster, PASSWORDS)
    for table in ("days", "hours_by_time"):
        assert {row["person"] for row in kept(parts, table)} == {1, 3}
        for server in parts.cluster.shards().values():
            replaced = f"SELECT name FROM system.parts WHERE table = '{table}' AND database = currentDatabase() "
            assert server.ask(f"{replaced} AND NOT active", 30).num_rows == 0


def test_who_sets_the_store_up_waits_for_whoever_does(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in parts.cluster.shards().values():
        server.command("RENAME TABLE days TO days_unfilled", 30)
    begun: list[str] = []
    make_days, failed = later_rollups.make_days, list[BaseException]()

    def slowly(server: Server, *rest: Any) -> None:
        begun.append(server.name)
        if len(begun) == 1:
            second.start()
            wait_until(lambda: waits() or len(begun) > 1, "the second waits for the first, or does not")
            assert len(begun) == 1
        make_days(server, *rest)

    def waits() -> bool:
        asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return parts.database.read(lambda connection: connection.execute(asked).fetchone()) == (1,)

    def set_up() -> None:
        with connect(parts.urls.postgres) as connection:
            set_up_both(connection, parts.urls.cluster, PASSWORDS)

    def set_up_too() -> None:
        try:
            set_up()
        except BaseException as error:
            failed.append(error)

    second = threading.Thread(target=set_up_too)
    monkeypatch.setattr(migrate, "make_days", slowly)
    try:
        set_up()
    finally:
        second.join(60)
    assert failed == []
    assert len(begun) == 4


def test_who_works_out_no_days_cannot_say_that_it_has_merged(parts: Parts) -> None:
    parts.write(Reading(TEN, 7000))
    with connect(parts.urls.postgres) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("UPDATE pulsebase.commit_marks SET (merging_to, merged) = (1, 1) WHERE merged = 0")


def _by_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["person"], row.get("day", 0), row.get("hour", 0)))
