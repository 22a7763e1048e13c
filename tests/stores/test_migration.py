"""An older file is brought forward after it was copied; a migration that fails changes nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from pulsebase.model.timerange import HOUR_US
from pulsebase.stores.duckdb.engine import migrate
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import Reading, at, write

OPTIONS = DuckdbOptions(merge_interval_s=3600, memory_limit="512MiB")
READING = Reading(at("2024-01-15T10:00:00"), 7200)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of today's schema with a merged and an unmerged reading."""
    path = tmp_path / "store.duckdb"
    store = DuckdbStore(path, OPTIONS)
    write(store, READING)
    store.merge()
    write(store, READING._replace(time_us=READING.time_us + 1))
    store.close()
    return path


def test_a_file_of_the_first_schema_is_brought_forward_with_every_reading(tmp_path: Path) -> None:
    """Times with microseconds, values with hundredths."""
    path = tmp_path / "old.duckdb"
    hour = READING.time_us // HOUR_US
    times_us = [READING.time_us, READING.time_us + 1, READING.time_us + 1_999_999]
    with duckdb.connect(str(path)) as old:
        old.execute(dict(migrate.migrations())[1])
        old.execute("INSERT INTO meta VALUES ('schema_version', '1'), ('instance_id', gen_random_uuid()::VARCHAR)")
        old.execute("INSERT INTO users (user_no, user_id, name) VALUES (0, 'ann', 'Ann Strauß')")
        old.execute("INSERT INTO devices VALUES (0, 'device_a', 1)")
        old.execute("INSERT INTO origins VALUES (1, 'test', 'laws', 0)")
        for time_us, value in zip(times_us, (7200, 7201, 9999), strict=True):
            old.execute("INSERT INTO readings VALUES (0, 0, ?, ?, -1, 1)", [time_us, value])
        counts = "3, 24400, 7200, 9999, 1"
        old.execute(f"INSERT INTO h1_dev VALUES (0, 0, {hour}, {counts}, 3, {times_us[0]}, {times_us[-1]})")
        old.execute(f"INSERT INTO h1 VALUES (0, {hour}, {counts})")
        old.execute(f"INSERT INTO d1 VALUES (0, {hour // 24}, {counts})")
    store = DuckdbStore(path, OPTIONS)
    try:
        assert store.check().problems == ()
        found = store.stored().to_pydict()
        assert found["time_us"] == times_us
        assert found["value"] == [7200, 7201, 9999]
        assert [each.user.user_id for each in store.users("STRAUSS", 10, None)] == ["ann"]
        said = store.select("SELECT timestamp, value FROM activities_heart_intraday ORDER BY timestamp", 10, None)
        assert said["value"].to_pylist() == [72.0, 72.01, 99.99]
        assert said["timestamp"].to_pylist()[0] == datetime(2024, 1, 15, 10)
        write(store, READING._replace(value=5000))  # in place of the first one
        store.settle()
        assert store.stored()["value"].to_pylist() == [5000, 7201, 9999]
        assert store.check().problems == ()
    finally:
        store.close()


def with_migration(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    known = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: [*known, (known[-1][0] + 1, sql)])


def test_an_older_file_is_copied_and_brought_forward(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = migrate.migrations()[-1][0]
    with_migration(monkeypatch, "ALTER TABLE users ADD COLUMN note VARCHAR; UPDATE users SET note = 'kept'")
    store = DuckdbStore(path, OPTIONS)
    assert store.stored().num_rows == 2
    assert store.select("SELECT note FROM users", 10, None).to_pylist() == [{"note": "kept"}]
    assert store.check().problems == ()
    store.close()
    copy = path.with_name(f"{path.name}.before-schema-{newest + 1}")
    with duckdb.connect(str(copy)) as before:
        version = before.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
        assert version == [(str(newest),)]
        assert before.execute("SELECT count(*) FROM readings").fetchall() == [(1,)]


def test_a_file_is_brought_forward_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_migration(monkeypatch, "ALTER TABLE users ADD COLUMN note VARCHAR")
    DuckdbStore(path, OPTIONS).close()
    store = DuckdbStore(path, OPTIONS)
    assert store.stored().num_rows == 2
    store.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        with_migration(patched, "ALTER TABLE users ADD COLUMN note VARCHAR; SELECT no_such_column FROM users")
        with pytest.raises(duckdb.Error):
            DuckdbStore(path, OPTIONS)
    store = DuckdbStore(path, OPTIONS)
    assert "note" not in store.select("SELECT * FROM users", 10, None).column_names
    assert store.stored().num_rows == 2
    store.close()
