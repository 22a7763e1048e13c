"""What is written is read, and stays what it was through merges: on two shards, with one commit after the other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from pulsebase.model.errors import StopError, TooManyRowsError
from pulsebase.model.metrics import HEART_RATE, OXYGEN_SATURATION
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.address import Address
from pulsebase.stores.clickhouse.engine import ClickHouse, Server
from pulsebase.stores.clickhouse.migrate import require_current, set_up
from pulsebase.stores.postgres.database import Connection, connect
from tests.stores.clickhouse import EVER, IMPORTED, PUSHED, SYNCED, Parts, empty_store, new_store, opened
from tests.stores.harness import Kept, Reading, at, batch_of, rows_of
from tests.support.clickhouse.cluster import two_shards
from tests.support.postgres import plain_postgres

TEN = at("2024-01-15T10:00:00")
SECOND = 1_000_000


def people_by_number(connection: Connection) -> dict[int, str]:
    """Everybody, by number."""
    return dict(connection.execute("SELECT user_no, user_id FROM pulsebase.users").fetchall())


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(empty_store()) as found:
        yield found


@pytest.fixture
def own_parts() -> Iterator[Parts]:
    """The same for tests that change the tables."""
    with opened(new_store()) as found:
        yield found


def test_readings_of_people_on_both_shards_are_read_back(parts: Parts) -> None:
    people = ["ann", "bob", "cleo"]
    parts.write(*(Reading(TEN + n * SECOND, 7000 + n, "watch", n % 4, people[n % 3]) for n in range(30)))
    parts.write(Reading(TEN, 5000, "band", None, "ann"))
    assert parts.read("ann")[:3] == [
        (TEN, 5000, "band", None),
        (TEN, 7000, "watch", 0),
        (TEN + 3 * SECOND, 7003, "watch", 3),
    ]
    assert [len(parts.read(person)) for person in [*people, "nobody"]] == [11, 10, 10, 0]
    for server in parts.cluster.shards().values():
        assert server.ask("SELECT count() AS n FROM stage", 30)["n"][0].as_py() > 0


def test_rows_go_to_the_shards_of_their_people_without_a_server_in_between(parts: Parts) -> None:
    people = ["ann", "bob", "cleo", "dora"]
    parts.write(*(Reading(TEN, 7000, user_id=person) for person in people))
    before = [shard.asked() for shard in two_shards().shards]
    parts.write(*(Reading(TEN + SECOND, 7000, user_id=person) for person in people))
    assert [shard.asked() for shard in two_shards().shards] == before, "a server sent rows to another one"
    for number, person in parts.database.read(people_by_number).items():
        statement = f"SELECT count() AS n FROM all_stage WHERE person = {number}"
        found = next(iter(parts.cluster.shards().values())).ask(statement, 30)
        assert sum(found["n"].to_pylist()) == 2, f"{person} is found where the cluster looks for them"


def test_the_last_write_wins_by_commit_then_by_place(parts: Parts) -> None:
    parts.write(Reading(TEN, 7000), Reading(TEN, 7100))
    assert parts.read("ann") == [(TEN, 7100, "device_a", None)]
    parts.write(Reading(TEN, 6000))
    assert parts.read("ann") == [(TEN, 6000, "device_a", None)]
    assert parts.merge() == 2
    assert parts.read("ann") == [(TEN, 6000, "device_a", None)]
    parts.write(Reading(TEN, 6500, confidence=2))
    assert parts.read("ann") == [(TEN, 6500, "device_a", 2)]


def test_metrics_and_devices_are_kept_apart(parts: Parts) -> None:
    parts.write(Reading(TEN, 7000, "a"), Reading(TEN, 7100, "b"))
    parts.write(Reading(TEN, 9700, "a"), metric=OXYGEN_SATURATION.name)
    for _ in range(2):
        assert parts.read("ann") == [(TEN, 7000, "a", None), (TEN, 7100, "b", None)]
        assert parts.read("ann", OXYGEN_SATURATION.name) == [(TEN, 9700, "a", None)]
        of_b = parts.reader.readings("ann", HEART_RATE.name, EVER, device_id="b")
        assert rows_of(of_b) == [(TEN, 7100, "b", None)]
        assert parts.reader.readings("ann", HEART_RATE.name, EVER, device_id="c").num_rows == 0
        parts.merge()


def test_ranges_are_half_open_and_limits_are_kept(parts: Parts) -> None:
    parts.write(*(Reading(TEN + n * SECOND, 7000) for n in range(10)))
    cut = TimeRange(TEN + SECOND, TEN + 4 * SECOND)
    assert parts.reader.readings("ann", HEART_RATE.name, cut, limit=3).num_rows == 3
    with pytest.raises(TooManyRowsError):
        parts.reader.readings("ann", HEART_RATE.name, cut, limit=2)


def test_a_deletion_counts_what_was_there_and_later_readings_come_again(parts: Parts) -> None:
    parts.write(*(Reading(TEN + n * SECOND, 7000, device) for n in range(5) for device in "ab"))
    parts.merge()
    parts.write(Reading(TEN + SECOND, 7500, "a"), Reading(TEN + 9 * SECOND, 7000, "a"))
    cut = TimeRange(TEN + SECOND, TEN + 10 * SECOND)
    assert parts.writer.delete("ann", cut, "a") == 5
    assert parts.writer.delete("ann", cut, "a") == 0
    assert parts.writer.delete("ann", cut, metric=OXYGEN_SATURATION.name) == 0
    assert parts.writer.delete("nobody", cut) == 0
    expected = [(TEN, 7000, "a", None), *((TEN + n * SECOND, 7000, "b", None) for n in range(5))]
    for _ in range(2):
        assert parts.read("ann") == sorted(expected, key=lambda row: (row[0], row[2]))
        parts.merge()
    parts.write(Reading(TEN + SECOND, 8000, "a"))
    expected.append((TEN + SECOND, 8000, "a", None))
    for _ in range(2):
        assert parts.read("ann") == sorted(expected, key=lambda row: (row[0], row[2]))
        parts.merge()


def test_merged_readings_keep_the_origin_that_brought_them(parts: Parts) -> None:
    def write(place: int, value: int, origin: int) -> None:
        parts.write(Reading(TEN + place * SECOND, value), origin=origin)

    for merged in (False, True):
        for place, rows in enumerate(
            [
                [(7000, SYNCED), (7000, IMPORTED)],  # says the same: stays
                [(7000, SYNCED), (7100, IMPORTED), (7100, SYNCED)],  # a change takes it over
                [(7000, SYNCED), (7000, PUSHED)],  # a device takes it over
                [(7000, PUSHED), (7000, SYNCED)],
            ]
        ):
            for value, origin in rows:
                write(place + 4 * merged, value, origin)
                if merged:
                    parts.merge()
    parts.merge()
    assert parts.origins() == [SYNCED, IMPORTED, PUSHED, PUSHED] * 2
    parts.writer.write([batch_of([Reading(TEN, 7000)], IMPORTED, HEART_RATE.name)], {PUSHED}, afresh=True)
    parts.writer.delete("ann", TimeRange(TEN + SECOND, TEN + 2 * SECOND))
    write(1, 7100, SYNCED)
    parts.merge()
    assert parts.origins() == [IMPORTED, SYNCED, PUSHED, PUSHED, SYNCED, IMPORTED, PUSHED, PUSHED]


def test_rows_that_settle_what_they_say_are_merged_without_a_look_at_what_was_there(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, looks = Server.ask, list[str]()

    def noting(server: Server, statement: str, *rest: Any) -> pa.Table:
        looks.append(statement)
        return ask(server, statement, *rest)

    def merge_looks() -> bool:
        looks.clear()
        parts.merge()
        return any("HAVING count() > 1" in statement for statement in looks)

    monkeypatch.setattr(Server, "ask", noting)
    for value in (7000, 7100):
        parts.write(*(Reading(TEN + n * SECOND, value) for n in range(3)), origin=SYNCED)
    assert merge_looks()
    for value in (7200, 7100):
        parts.write(Reading(TEN, value), Reading(TEN + SECOND, value), origin=PUSHED)
    parts.writer.delete("ann", TimeRange(TEN + SECOND, TEN + 2 * SECOND))
    assert not merge_looks()
    assert [row[:2] for row in parts.read("ann")] == [(TEN, 7100), (TEN + 2 * SECOND, 7100)]
    assert parts.origins() == [PUSHED, SYNCED]
    parts.write(Reading(TEN, 7100), Reading(TEN + SECOND, 7100), origin=IMPORTED)
    parts.write(Reading(TEN + 2 * SECOND, 7100), origin=PUSHED)
    assert merge_looks()
    assert parts.origins() == [PUSHED, IMPORTED, PUSHED]


@pytest.mark.parametrize("seed", range(3))
def test_any_row_of_writes_deletions_and_merges_leaves_what_it_should(parts: Parts, seed: int) -> None:
    dice, kept = random.Random(seed), Kept({PUSHED})
    for _ in range(25):
        step = dice.random()
        person = dice.choice(["ann", "bob"])
        if step < 0.6:
            origin = dice.choice([PUSHED, SYNCED, IMPORTED])
            rows = [
                Reading(TEN + dice.randrange(8) * SECOND, 7000 + dice.randrange(2), dice.choice("ab"), None, person)
                for _ in range(dice.randrange(1, 6))
            ]
            parts.write(*rows, origin=origin)
            for row in rows:
                kept.add((person, row.device_id, row.time_us, HEART_RATE.name), row.value, None, origin)
        elif step < 0.75:
            first = dice.randrange(8)
            cut = TimeRange(TEN + first * SECOND, TEN + (first + dice.randrange(1, 4)) * SECOND)
            doomed = [
                (user_id, device, time_us, metric)
                for user_id, device, time_us, _, _, metric, _ in kept.rows()
                if user_id == person and cut.start_us <= time_us < cut.end_us
            ]
            assert parts.writer.delete(person, cut) == len(doomed)
            for key in doomed:
                kept.drop(key)
        else:
            parts.merge()
        assert_holds(parts, kept)
    parts.merge()
    assert_holds(parts, kept)
    found = {(row[0], row[1], row[2]): row[6] for row in kept.rows()}
    numbers = parts.database.read(
        lambda connection: connection.execute(
            "SELECT user_no, device_no, user_id, device_id FROM pulsebase.users JOIN pulsebase.devices USING (user_id)"
        ).fetchall()
    )
    names = {(person, device): (user_id, device_id) for person, device, user_id, device_id in numbers}
    merged = {}
    for server in parts.cluster.shards().values():
        for row in server.ask("SELECT person, device, time, origin FROM readings FINAL WHERE gone = 0", 30).to_pylist():
            merged[(*names[row["person"], row["device"]], row["time"])] = row["origin"]
    assert merged == found


def assert_holds(parts: Parts, kept: Kept) -> None:
    for person in ("ann", "bob"):
        expected = [(row[2], row[3], row[1], row[4]) for row in kept.rows() if row[0] == person]
        assert parts.read(person) == sorted(expected, key=lambda row: (row[0], row[2]))


def test_setting_up_twice_does_no_harm_and_a_cluster_that_does_not_sync_is_refused(own_parts: Parts) -> None:
    own_parts.write(Reading(TEN, 7000))
    with connect(own_parts.urls.postgres) as connection:
        assert set_up(connection, own_parts.cluster) == []
        assert len(own_parts.read("ann")) == 1
        first = next(iter(own_parts.cluster.shards().values()))
        first.command("ALTER TABLE stage MODIFY SETTING fsync_after_insert = 0", 30)
        with pytest.raises(StopError, match=r"stage .* has not fsync_after_insert = 1"):
            require_current(connection, own_parts.cluster)


def test_halves_that_were_not_set_up_for_each_other_are_refused(own_parts: Parts) -> None:
    with connect(new_store().postgres) as other, pytest.raises(StopError, match="belongs to another database"):
        require_current(other, own_parts.cluster)
    first = next(iter(own_parts.cluster.shards().values()))
    first.command("ALTER TABLE belongs UPDATE shards = 3 WHERE true SETTINGS mutations_sync = 2", 30)
    with (
        connect(own_parts.urls.postgres) as own,
        pytest.raises(StopError, match="shard 1 of 3, and is shard 1 of 2 now"),
    ):
        require_current(own, own_parts.cluster)


def test_a_cluster_of_another_database_is_as_it_was_after_it_was_refused(own_parts: Parts) -> None:
    first, second = own_parts.cluster.shards().values()
    empty = plain_postgres().bare_database()
    for server in (first, second):
        server.command("RENAME TABLE days TO days_unfilled", 30)
        server.command("DROP TABLE kept SYNC", 30)

    def tables() -> list[str]:
        asked = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name"
        return [name for server in (first, second) for name in server.ask(asked, 30)["name"].to_pylist()]

    before = tables()
    for other in (new_store().postgres, empty):
        with connect(other) as connection, pytest.raises(StopError, match="belongs to another database"):
            set_up(connection, own_parts.cluster)
    first.command("TRUNCATE TABLE belongs", 30)
    with connect(empty) as connection:
        with pytest.raises(StopError, match="belongs to another database"):
            set_up(connection, own_parts.cluster)
        assert connection.execute("SELECT to_regnamespace('pulsebase')").fetchone() == (None,)
    assert tables() == before
    assert first.ask("SELECT count() AS n FROM belongs", 30)["n"][0].as_py() == 0


def test_a_database_that_holds_readings_itself_gets_no_cluster(parts: Parts) -> None:
    with connect(plain_postgres().new_database()) as connection, pytest.raises(StopError, match="database of its own"):
        set_up(connection, parts.cluster)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h/d?cluster=c", "begins with clickhouse"),
        ("clickhouse://h/?cluster=c", "needs /database"),
        ("clickhouse://h/d", "needs \\?cluster=name"),
        ("clickhouse://h/d?cluster=a;b", "needs \\?cluster=name"),
        ("clickhouse://h:x/d?cluster=c", "needs servers"),
    ],
)
def test_a_url_that_names_no_cluster_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Address.of(url)


def test_a_url_names_servers_database_and_cluster() -> None:
    address = Address.of("clickhouses://me:p%40ss@one:1,two,[::1]:3/d?cluster=c")
    assert address == Address((("one", 1), ("two", 8443), ("::1", 3)), "me", "p@ss", "d", "c", encrypted=True)


def test_a_cluster_is_refused_if_the_url_leaves_a_shard_out(parts: Parts) -> None:
    address = parts.cluster.address
    half = ClickHouse(Address(address.hosts[:1], "default", "", address.database, address.cluster, encrypted=False))
    with pytest.raises(StopError, match="no server of the shards 2"):
        half.shards()
    half.close()


def test_a_state_is_no_longer_sure_once_a_merge_passes_what_it_did_not_see() -> None:
    state = commits.Snapshot(last=9, merged=3, hidden=(5, 7), first_in_flight=7)
    assert state.holds(commits.Marks(merging_to=6, merged=6, dropped_to=3))
    assert not state.holds(commits.Marks(merging_to=7, merged=6, dropped_to=3))
    assert not state.holds(commits.Marks(merging_to=6, merged=6, dropped_to=4))
