"""What server stores share, on plain PostgreSQL under a store that keeps its readings elsewhere: in a dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import psycopg
import pytest

from pulsebase.model.annotations import Annotation
from pulsebase.model.errors import StopError, StoreVersionError
from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import origin_of_nobody
from pulsebase.stores.erasures import Erasure, mark_of
from pulsebase.stores.postgres.database import Connection, PostgresDatabase, connect
from pulsebase.stores.postgres.horizon import horizon_us, move_horizon
from pulsebase.stores.postgres.migrations import PostgresMigration, migrating, migrations_with, require_migrated
from pulsebase.stores.postgres.options import PoolOptions
from pulsebase.stores.postgres.registry import PostgresRegistry
from pulsebase.stores.postgres.roles import API, OWNER, RolePasswords, StoreRights, apply_roles
from pulsebase.stores.postgres.scrub import forget, note_times, noted, tables_of_ours, waiting_briefly, write_anew
from pulsebase.stores.postgres.series_keys import key_of, register_series
from tests.support.postgres import as_role, execute, plain_postgres

ANN = User("ann", "Ann Example")
DAY = date(2024, 1, 15)


class ReadingsElsewhere:
    """Numbers of readings by the key of their series, and what was asked of the store."""

    def __init__(self) -> None:
        self.readings = {"ann": 3, key_of("ann", "rr_interval"): 4, "bob": 5}
        self.resolved: list[tuple[str, str]] = []
        self.seen_at_removal: list[tuple[Any, ...]] = []
        self.fails = False

    def resolve_again(self, connection: Connection, user_id: str, device_id: str) -> None:
        if self.fails:
            raise RuntimeError("the other database is gone")
        self.resolved.append((user_id, device_id))

    def remove(self, connection: Connection, series: Sequence[str]) -> int:
        if self.fails:
            raise RuntimeError("the other database is gone")
        self.seen_at_removal = connection.execute("SELECT user_id FROM pulsebase.users ORDER BY 1").fetchall()
        note_times(connection, "SELECT to_timestamp(5) AS timestamp WHERE %(yes)s", {"yes": True})
        return sum(self.readings.pop(key, 0) for key in series)


def set_up(url: str) -> list[int]:
    with connect(url) as connection:
        with migrating(connection) as done:
            todo = [each for each in migrations_with() if each.number not in done]
            for migration in todo:
                migration.apply(connection)
        apply_roles(connection, RolePasswords("of-the-api"), StoreRights())
    return [migration.number for migration in todo]


def migrate(connection: Connection, *migrations: PostgresMigration) -> set[int]:
    with migrating(connection) as done:
        for migration in migrations:
            migration.apply(connection)
        return done


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def url() -> str:
    url = plain_postgres().bare_database()
    assert set_up(url) == [each.number for each in migrations_with()]
    assert set_up(url) == []
    return url


@pytest.fixture
def database(url: str) -> Iterator[PostgresDatabase]:
    """As the role that serves, in tables without people."""
    execute(
        url,
        "TRUNCATE pulsebase.users, pulsebase.devices, pulsebase.priorities, pulsebase.origins, pulsebase.series, "
        "pulsebase.to_scrub, public.activities_heart_summary",
    )
    database = PostgresDatabase(as_role(url, API, "of-the-api"), PoolOptions(size=1, overflow=2))
    yield database
    database.close()


@pytest.fixture
def readings() -> ReadingsElsewhere:
    return ReadingsElsewhere()


@pytest.fixture
def registry(database: PostgresDatabase, readings: ReadingsElsewhere) -> PostgresRegistry:
    return PostgresRegistry(database, readings)


def filled(registry: PostgresRegistry, database: PostgresDatabase) -> None:
    registry.put_users([ANN, User("bob")])
    for user_id in ("ann", "bob"):
        registry.put_priority(DevicePriority(user_id, "ring", 1))
        registry.put_summaries([DailySummary(user_id, DAY, 50.0, None)])
        registry.put_annotations([Annotation(user_id, "run", 1, None, "a run")])
    registry.register_origin("sync", "cloud/ann")
    database.change(lambda connection: register_series(connection, [key_of("ann", "rr_interval")]))


def test_the_room_makes_the_tables_of_people_and_none_of_readings(url: str) -> None:
    tables = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('pulsebase', 'public')"
    in_schema = [
        "annotations",
        "commit_notes",
        "commit_notes_wanted",
        "devices",
        "erased",
        "erasure_key",
        "erasure_receipts",
        "horizon",
        "metrics",
        "migrations",
        "origins",
    ]
    in_schema += ["priorities", "series", "to_scrub", "users"]
    ours = {f"pulsebase.{name}" for name in in_schema} | {"public.activities_heart_summary"}
    assert {name for (name,) in rows(url, tables)} == ours
    owners = rows(url, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('pulsebase', 'public')")
    assert owners == [(OWNER,)]


def test_a_removal_takes_what_is_kept_of_the_person_here_and_what_the_store_has(
    url: str, database: PostgresDatabase, registry: PostgresRegistry, readings: ReadingsElsewhere
) -> None:
    filled(registry, database)
    assert registry.remove_user("ann") == 7
    assert readings.seen_at_removal == [("ann",), ("bob",)]
    assert readings.readings == {"bob": 5}
    for table in ("users", "devices", "priorities", "series", "annotations"):
        assert rows(url, f"SELECT count(*) FROM pulsebase.{table} WHERE user_id = 'ann'") == [(0,)]
    assert (registry.user("ann"), registry.summaries("ann", date.min, date.max)) == (None, [])
    assert [each.name for each in registry.origins()] == [origin_of_nobody(1)]
    assert (registry.knows("bob"), len(registry.priorities("bob"))) == (True, 1)
    assert len(registry.summaries("bob", DAY, DAY)) == 1
    assert registry.remove_user("ann") == 0


def test_where_the_store_fails_nothing_has_changed(
    database: PostgresDatabase, registry: PostgresRegistry, readings: ReadingsElsewhere
) -> None:
    filled(registry, database)
    assert readings.resolved == [("ann", "ring"), ("bob", "ring")]
    readings.fails = True
    with pytest.raises(RuntimeError):
        registry.remove_user("ann")
    with pytest.raises(RuntimeError):
        registry.put_priority(DevicePriority("cleo", "watch", 2))
    with pytest.raises(RuntimeError):
        registry.remove_priorities("ann", "ring")
    assert registry.user("ann") == ANN
    assert registry.unknown_users(["ann", "bob", "cleo"]) == {"cleo"}
    assert len(registry.priorities("ann")) == 1
    assert [each.name for each in registry.origins()] == ["cloud/ann"]
    readings.fails = False
    assert registry.remove_priorities("ann", "ring") == 1
    assert registry.remove_priorities("ann", "ring") == 0
    assert readings.resolved == [("ann", "ring"), ("bob", "ring"), ("ann", "ring")]


def test_tables_of_people_are_written_anew_by_the_role_that_serves(
    url: str, database: PostgresDatabase, registry: PostgresRegistry
) -> None:
    filled(registry, database)
    places = "SELECT relname::text, relfilenode FROM pg_class WHERE relname IN ('users', 'activities_heart_summary')"
    before = dict(rows(url, places))
    with connect(as_role(url, API, "of-the-api")) as connection:
        assert noted(connection) is None
        registry.remove_user("ann")
        notes = noted(connection)
        assert notes is not None
        assert (notes.span.start_us, notes.span.end_us) == (5_000_000, 5_000_001)
        with waiting_briefly(connection):
            write_anew(connection, tables_of_ours(connection))
        forget(connection, notes)
        assert noted(connection) is None
    after = dict(rows(url, places))
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)
    assert registry.knows("bob")


def test_origins_horizon_and_erasures_are_there(database: PostgresDatabase, registry: PostgresRegistry) -> None:
    numbers = [registry.register_origin(*each) for each in (("push", "watch"), ("import", "file"), ("push", "watch"))]
    assert numbers == [1, 2, 1]
    assert registry.push_origins() == [1]
    assert registry.horizon_us() == 0
    database.change(lambda connection: move_horizon(connection, 7_000_000))
    database.change(lambda connection: move_horizon(connection, 6_000_000))
    assert registry.horizon_us() == database.read(horizon_us) == 7_000_000
    log = registry.erasure_log()
    key = log.key()
    assert key is not None
    log.add(mark_of(key, "ann"), Erasure("a", 1))
    assert log.marks() == {mark_of(key, "ann")}
    assert log.find("a") == Erasure("a", 1)


def test_what_lacks_a_migration_or_has_one_too_many_is_refused() -> None:
    url = plain_postgres().bare_database()
    *older, newest = migrations_with()
    with connect(url) as connection:
        with pytest.raises(StopError, match="not set up"):
            require_migrated(connection, migrations_with())
        assert migrate(connection, *older) == set()
        with pytest.raises(StopError, match=f"schema version {older[-1].number}, {newest.number} is needed"):
            require_migrated(connection, migrations_with())
        of_tomorrow = PostgresMigration(newest.number + 1, "CREATE TABLE pulsebase.of_tomorrow ()")
        assert migrate(connection, newest, of_tomorrow) == {each.number for each in older}
        with pytest.raises(StoreVersionError, match=f"version {newest.number + 1}"):
            require_migrated(connection, migrations_with())


def test_a_migration_that_fails_leaves_nothing() -> None:
    url = plain_postgres().bare_database()
    first, *_ = migrations_with()
    wrong = PostgresMigration(99, "SELECT 1 / 0")
    with connect(url) as connection, pytest.raises(psycopg.errors.DivisionByZero):
        migrate(connection, first, wrong)
    assert rows(url, "SELECT to_regnamespace('pulsebase')::text") == [(None,)]


def test_a_migration_has_the_rooms_statements_and_then_the_stores() -> None:
    of_room = {each.number: each.sql for each in migrations_with()}
    of_both = {each.number: each.sql for each in migrations_with("pulsebase.stores.timescale")}
    assert of_room.keys() <= of_both.keys()
    assert all(of_both[number].startswith(sql) for number, sql in of_room.items())
    assert list(of_both) == sorted(of_both)
