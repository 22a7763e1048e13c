"""Readings expire, people are wiped out, and what is kept twice agrees."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.clickhouse import rollups, scrub
from pulsebase.stores.clickhouse.check import Checker
from pulsebase.stores.clickhouse.engine import Server
from pulsebase.stores.clickhouse.expire import Expirer
from pulsebase.stores.clickhouse.extents import Overviews
from pulsebase.stores.clickhouse.numbers import metrics_by_number, people_by_number
from pulsebase.stores.clickhouse.removal import ClickHousePeoplesReadings, removed_people
from pulsebase.stores.clickhouse.scrub import Scrubber
from pulsebase.stores.clickhouse.stored import StoredReader
from pulsebase.stores.clickhouse.wipe import wipe_out
from pulsebase.stores.contract import Cancellation, Expiry
from pulsebase.stores.postgres.registry import PostgresRegistry
from tests.stores.clickhouse import OPTIONS, Parts, new_store, opened
from tests.stores.harness import Reading, ask, at, batch_of, rows_of
from tests.stores.test_clickhouse_stored import METRICS, Both
from tests.support.process import wait_until

TEN = at("2024-01-15T10:00:00")
MIDNIGHT = at("2024-01-16T00:00:00")


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(new_store()) as found:
        yield found


def kept_quarters(parts: Parts) -> list[tuple[Any, ...]]:
    """What is kept of expired readings: person, metric, start, count, sum, min, max, minutes."""
    people, metrics = parts.database.read(people_by_number), parts.database.read(metrics_by_number)
    rows = parts.cluster.ask("SELECT * FROM all_kept FINAL", 30).to_pylist()
    return sorted(
        (
            *(people[row["person"]], metrics[row["metric"]], row["quarter"] * 15 * MINUTE_US),
            *(row[name] for name in ("n", "sum", "min", "max", "minutes")),
        )
        for row in rows
    )


def test_expired_readings_are_kept_as_they_were_resolved(parts: Parts) -> None:
    both, merges = Both(parts, 7), parts.merger.merge_all
    expirer = Expirer(parts.database, parts.cluster, OPTIONS, merges)
    overviews = Overviews(parts.database, parts.cluster, OPTIONS)
    for device, from_us, priority in (("b", TEN, 5), ("b", TEN + 2 * HOUR_US, 1000), ("Zb", TEN + 7 * MINUTE_US, 3)):
        entry = DevicePriority(both.people[0], device, priority, from_us)
        both.plain.put_priority(entry)
        both.registry.put_priority(entry)
    for _ in range(4):
        both.write()
    rows = [
        Reading(TEN + n * 7 * MINUTE_US // 2, 7000 + n, "ab"[n % 3 == 0], n % 4, both.people[n % 2]) for n in range(400)
    ]
    rows += [row._replace(device_id="Zb", value=row.value + 500) for row in rows[:200:2]]
    batch = batch_of(rows, both.origins[1], METRICS[0])
    both.plain.write([batch])
    parts.writer.write([batch], {both.pushed})
    before = [rows_of(both.plain.stored()), [overviews.overview(person) for person in both.people]]

    assert expirer.expire(MIDNIGHT, dry_run=True) == both.plain.expire(MIDNIGHT, dry_run=True)
    assert rows_of(StoredReader(parts.database, parts.cluster, OPTIONS).stored()) == before[0]
    assert expirer.expire(MIDNIGHT) == both.plain.expire(MIDNIGHT)
    assert expirer.expire(MIDNIGHT - DAY_US) == Expiry(MIDNIGHT, 0)
    expected = [
        (person, metric, *row[:-1])
        for person in both.people
        for metric in METRICS
        for row in rows_of(ask(both.plain, Resolution.QUARTER, TimeRange(TEN, MIDNIGHT), user_id=person, metric=metric))
    ]
    assert kept_quarters(parts) == sorted(expected)

    both.write()  # which has readings before the horizon too
    assert expirer.expire(MIDNIGHT + DAY_US) == both.plain.expire(MIDNIGHT + DAY_US)
    both.write()
    for _ in range(2):
        stored = StoredReader(parts.database, parts.cluster, OPTIONS).stored()
        assert rows_of(stored) == rows_of(both.plain.stored())
        for person in both.people:
            assert overviews.overview(person) == both.plain.overview(person)
            assert overviews.metrics(person) == both.plain.metrics(person)
            assert overviews.devices(person) == both.plain.devices(person)
        parts.merge()
    assert Checker(parts.database, parts.cluster, OPTIONS).check().problems == ()
    removed = both.plain.remove_user(both.people[0])
    assert both.registry.remove_user(both.people[0]) == removed


def test_an_expiry_that_was_cut_short_is_gone_on_with(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.write(*(Reading(TEN + n * HOUR_US, 7000 + n) for n in range(30)))
    expirer = Expirer(parts.database, parts.cluster, OPTIONS, parts.merger.merge_all)
    with monkeypatch.context() as patched:
        patched.setattr(Expirer, "_keep", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            expirer.expire(MIDNIGHT)
    assert len(parts.read("ann")) == 30, "questions do not see the horizon before what is kept is there"
    assert parts.writer.delete("ann", TimeRange(0, TEN + 3 * HOUR_US)) == 0
    assert parts.writer.delete("ann", TimeRange(TEN + 12 * HOUR_US, TEN + 15 * HOUR_US)) == 1
    parts.write(Reading(TEN, 9000), Reading(MIDNIGHT + HOUR_US // 2, 9000))
    assert expirer.expire(MIDNIGHT) == Expiry(MIDNIGHT, 14)
    assert len(parts.read("ann")) == 16 - 1 + 1
    assert [row[4] for row in kept_quarters(parts)] == [7000 + n for n in range(14)]


def parts_on_disk(parts: Parts) -> dict[str, set[str]]:
    """The folders of parts that the files of every shard hold, by table."""
    found: dict[str, set[str]] = {}
    for server in parts.cluster.shards().values():
        for row in server.ask(
            "SELECT name, data_paths[1] AS path FROM system.tables "
            "WHERE database = currentDatabase() AND engine LIKE '%MergeTree'",
            30,
        ).to_pylist():
            folders = {each.name for each in Path(row["path"]).iterdir() if each.is_dir()} - {"detached"}
            found.setdefault(row["name"], set()).update(f"{server.name}/{name}" for name in folders)
    return found


def parts_in_use(parts: Parts) -> dict[str, set[str]]:
    """The parts of every shard that questions read, by table."""
    found: dict[str, set[str]] = {}
    for server in parts.cluster.shards().values():
        for row in server.ask(
            "SELECT table, name FROM system.parts WHERE database = currentDatabase() AND active", 30
        ).to_pylist():
            found.setdefault(row["table"], set()).add(f"{server.name}/{row['name']}")
    return found


def rows_of_person(parts: Parts, person: int) -> dict[str, int]:
    """In which tables there are rows of a person, replaced and deleted ones too, and how many."""
    found = {}
    for table in ("stage", "readings", "minutes", "hours", "hours_by_time", "days", "kept"):
        asked = f"SELECT count() AS n FROM {table} WHERE person = {person}"
        found[table] = sum(server.ask(asked, 30)["n"][0].as_py() for server in parts.cluster.shards().values())
    return found


def test_after_a_scrub_no_file_of_a_shard_has_a_row_of_who_was_removed(parts: Parts) -> None:
    registry = PostgresRegistry(parts.database, ClickHousePeoplesReadings(parts.cluster, OPTIONS))
    scrubber = Scrubber(parts.database, parts.cluster, OPTIONS)
    people = ("ann", "bob", "cleo")
    for hour in range(0, 40, 10):
        parts.write(*(Reading(TEN + hour * HOUR_US + n, 7000, "watch", None, who) for n in range(20) for who in people))
        parts.merger.merge_all()
    Expirer(parts.database, parts.cluster, OPTIONS, parts.merger.merge_all).expire(MIDNIGHT)
    numbers = {user_id: number for number, user_id in parts.database.read(people_by_number).items()}
    parts.write(Reading(MIDNIGHT, 7000, user_id="ann"))
    assert all(rows_of_person(parts, numbers["ann"]).values())
    assert registry.remove_user("ann") == 41
    parts.write(Reading(MIDNIGHT, 7100, user_id="ann"))
    parts.merger.merge_all()
    before = rows_of_person(parts, numbers["bob"])

    report = scrubber.scrub()
    assert report.after_bytes > 0
    assert not any(rows_of_person(parts, numbers["ann"]).values())
    on_disk, in_use = parts_on_disk(parts), parts_in_use(parts)
    for table in ("stage", "readings", "minutes", "hours", "hours_by_time", "days", "kept"):
        assert on_disk[table] <= in_use.get(table, set())
    assert rows_of_person(parts, numbers["bob"]) == before
    assert parts.read("ann") == [(MIDNIGHT, 7100, "device_a", None)]
    assert parts.database.read(removed_people) == ()
    again = scrubber.scrub()
    assert again.before_bytes >= again.after_bytes


def test_copies_that_are_made_while_a_scrub_runs_are_wiped_too(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = PostgresRegistry(parts.database, ClickHousePeoplesReadings(parts.cluster, OPTIONS))
    parts.write(Reading(TEN, 7000, user_id="ann"))
    ((number, _),) = parts.database.read(people_by_number).items()
    shard = parts.cluster.shards()[number % 2 + 1]
    shard.command(f"INSERT INTO hours (person, metric, hour, version) VALUES ({number}, 1, 456000, 1)", 30)
    registry.remove_user("ann")
    command, copied = Server.command, list[int]()

    def copying_before(server: Server, statement: str, *rest: Any, **named: Any) -> None:
        if statement.startswith("ALTER TABLE hours DELETE"):
            command(server, "CREATE TABLE days_unfilled AS days", 30)
            for copy in (rollups.days_of_hours("days_unfilled"), rollups.days_of_hours("days"), rollups.HOURS_BY_TIME):
                command(server, copy.format(which="true"), 30)
            copied.append(server.ask(unfilled, 30)["n"][0].as_py())
        command(server, statement, *rest, **named)

    unfilled = f"SELECT count() AS n FROM days_unfilled WHERE person = {number}"
    with monkeypatch.context() as patched:
        patched.setattr(Server, "command", copying_before)
        Scrubber(parts.database, parts.cluster, OPTIONS).scrub()
    assert copied == [1]
    assert not any(rows_of_person(parts, number).values())
    assert shard.ask(unfilled, 30)["n"][0].as_py() == 0


def test_a_scrub_waits_for_insertions_that_may_have_read_what_it_has_wiped(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = PostgresRegistry(parts.database, ClickHousePeoplesReadings(parts.cluster, OPTIONS))
    parts.write(Reading(TEN, 7000, user_id="ann"))
    ((number, _),) = parts.database.read(people_by_number).items()
    registry.remove_user("ann")
    late: list[threading.Thread] = []
    run_when_wiped: dict[str, int] = {}

    def insert(server: Server) -> None:
        row = f"SELECT {number}, 1, 19000, 1 FROM numbers(1) WHERE sleep(2) = 0"
        server.command(f"INSERT INTO days (person, metric, day, version) {row}", 30)

    def running(server: Server) -> int:
        asked = "SELECT count() AS n FROM system.processes WHERE query LIKE 'INSERT INTO days%'"
        return int(server.ask(asked, 30)["n"][0].as_py())

    def wiping(server: Server, table: str, *rest: Any) -> None:
        if server is shard:
            run_when_wiped[table] = running(server)
        wipe_out(server, table, *rest)
        if server is shard and table in ("stage", "hours"):
            late.append(threading.Thread(target=insert, args=[server]))
            late[-1].start()
            wait_until(functools.partial(running, server), "it inserts")

    shard = parts.cluster.shards()[number % 2 + 1]
    monkeypatch.setattr(scrub, "wipe_out", wiping)
    Scrubber(parts.database, parts.cluster, OPTIONS).scrub()
    for thread in late:
        thread.join(60)
    assert len(late) == 2
    assert sum(run_when_wiped.values()) == 0
    assert list(run_when_wiped)[:4] == ["stage", "readings", "minutes", "hours"]
    assert not any(rows_of_person(parts, number).values())


def test_a_scrub_waits_for_writes_that_began_before(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "_QUIET_LIMIT_S", 0.0)
    registry = PostgresRegistry(parts.database, ClickHousePeoplesReadings(parts.cluster, OPTIONS))
    scrubber = Scrubber(parts.database, parts.cluster, OPTIONS)
    parts.write(Reading(TEN, 7000), Reading(TEN, 7000, user_id="bob"))
    registry.remove_user("ann")
    with parts.database.outside(Cancellation()) as connection:
        connection.execute("UPDATE pulsebase.commits SET state = 'in flight', ends_at = 'infinity'")
        with pytest.raises(StoreUnavailableError, match="began before"):
            scrubber.scrub()
        connection.execute("UPDATE pulsebase.commits SET state = 'done'")
        connection.execute("UPDATE pulsebase.commit_marks SET merging_to = last")
        connection.execute("UPDATE pulsebase.removed_people SET merging_to = last")
        with pytest.raises(StoreUnavailableError, match="began before"):
            scrubber.scrub()
    parts.merger.merge_all()
    scrubber.scrub()
    assert parts.database.read(removed_people) == ()
    assert parts.read("bob") == [(TEN, 7000, "device_a", None)]
