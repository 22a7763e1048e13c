"""Setting up a database for the server store: from nothing, from other programs' tables, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg
import pytest

from pulsebase.model.errors import StopError, StoreVersionError
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import HeartRateZone
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.postgres.database import connect
from pulsebase.stores.timescale.migrate import require_community, set_up
from pulsebase.stores.timescale.options import Policies
from pulsebase.stores.timescale.store import TimescaleStore
from tests.stores.harness import Reading, ask, at, batch_of, rows_of, span, write
from tests.stores.test_timescale import BY_HAND
from tests.support.postgres import bare_timescale, empty_timescale, execute, plain_postgres

TEN = at("2024-01-15T10:00:00")
THAT_DAY = span("2024-01-15", "2024-01-16")

#: The tables as a program without devices makes them, chunks, keys, aggregates and all.
WITHOUT_DEVICES = """
CREATE TABLE activities_heart_intraday (
    timestamp TIMESTAMPTZ NOT NULL, value NUMERIC(5,2) NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY (timestamp, user_id)
);
SELECT create_hypertable('activities_heart_intraday', 'timestamp', if_not_exists => TRUE);
CREATE UNIQUE INDEX IF NOT EXISTS idx_activities_heart_intraday_timestamp_user_id
    ON activities_heart_intraday (timestamp, user_id);
CREATE TABLE activities_heart_summary (
    timestamp TIMESTAMPTZ NOT NULL, resting_heart_rate INTEGER, heart_rate_zones JSONB, custom_heart_rate_zones JSONB,
    user_id TEXT NOT NULL, PRIMARY KEY (timestamp, user_id)
);
SELECT create_hypertable('activities_heart_summary', 'timestamp', if_not_exists => TRUE);
CREATE MATERIALIZED VIEW activities_heart_intraday_1m WITH (timescaledb.continuous) AS
SELECT user_id, time_bucket('1 minute', timestamp) as minute, ROUND(MIN(value)::numeric, 2) AS min_heart_rate,
       ROUND(MAX(value)::numeric, 2) AS max_heart_rate, ROUND(AVG(value)::numeric, 2) AS avg_heart_rate,
       COUNT(*) AS record_count
FROM activities_heart_intraday GROUP BY user_id, minute WITH NO DATA;
INSERT INTO activities_heart_intraday (timestamp, value, user_id)
SELECT TIMESTAMPTZ '2024-01-15 10:00:00Z' + n * INTERVAL '30 seconds', 60 + n * 0.25, 'user' || (1 + n % 2)
FROM generate_series(0, 399) AS n;
INSERT INTO activities_heart_summary VALUES
    ('2024-01-15 00:00:00Z', 61, '[{"name": "Peak", "min": 150, "max": 220, "minutes": 3, "caloriesOut": 12.5}]', '[]',
     'user1'),
    ('2024-01-16 00:00:00Z', NULL, NULL, NULL, 'user3');
"""


@pytest.fixture
def bare() -> Iterator[str]:
    yield bare_timescale()
    bare_timescale()


def prepared(url: str) -> list[int]:
    with connect(url) as connection:
        return set_up(connection, Policies())


def question(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        return connection.execute(statement).fetchall()


def test_setting_up_twice_is_setting_up_once(bare: str) -> None:
    assert prepared(bare) == [1, 2, 3, 4, 5, 6, 9, 10]
    assert prepared(bare) == []
    hypertables = question(
        bare,
        "SELECT hypertable_name::text, compression_enabled FROM timescaledb_information.hypertables "
        "WHERE hypertable_schema IN ('public', 'pulsebase') ORDER BY 1",
    )
    assert hypertables == [
        ("activities_heart_intraday", True),
        ("activities_heart_summary", False),
        ("other_readings", True),
    ]
    jobs = "SELECT proc_name::text FROM timescaledb_information.jobs WHERE hypertable_schema IS NOT NULL ORDER BY 1"
    refreshing = [("policy_refresh_continuous_aggregate",)] * 3
    assert question(bare, jobs) == [("policy_compression",)] * 2 + refreshing
    # Readings of years may come in first; and who sets up at every start must not put it off for ever.
    compression = (
        "SELECT job_id, initial_start > now() + INTERVAL '23 hours' FROM timescaledb_information.jobs "
        "WHERE proc_name = 'policy_compression' AND hypertable_schema IN ('public', 'pulsebase') ORDER BY 1"
    )
    at_first = question(bare, compression)
    assert [is_later for _, is_later in at_first] == [True, True]
    assert prepared(bare) == []
    assert question(bare, compression) == at_first
    with connect(bare) as connection:
        set_up(connection, Policies(compress_after_days=0))
    assert question(bare, jobs) == refreshing


def test_a_store_opens_only_in_a_database_that_is_set_up(bare: str) -> None:
    with pytest.raises(StopError, match="run pulsebase db init"):
        TimescaleStore(bare, BY_HAND)
    prepared(bare)
    execute(bare, "DELETE FROM pulsebase.migrations WHERE number >= 2")
    with pytest.raises(StopError, match="schema version 1, 10 is needed: run pulsebase db init"):
        TimescaleStore(bare, BY_HAND)
    execute(bare, "INSERT INTO pulsebase.migrations (number) VALUES (2), (3), (4), (5), (6), (9), (10), (99)")
    with pytest.raises(StoreVersionError, match="version 99"):
        TimescaleStore(bare, BY_HAND)


def test_tables_of_a_program_without_devices_are_brought_forward_with_all_they_hold(bare: str) -> None:
    execute(bare, WITHOUT_DEVICES)
    prepared(bare)
    store = TimescaleStore(bare, BY_HAND)
    try:
        assert store.check().problems == ()
        assert [(each.user.user_id, each.readings) for each in store.users("", 9, None)] == [
            ("user1", 200),
            ("user2", 200),
            ("user3", 0),
        ]
        first, *_ = rows_of(ask(store, Resolution.HOUR, THAT_DAY, user_id="user2"))
        assert first[:6] == (TEN, 60, sum(6025 + 50 * n for n in range(60)), 6025, 8975, 60)
        ((day,), other) = (store.summaries(name, date.min, date.max) for name in ("user1", "user3"))
        assert day.resting_heart_rate == 61
        assert day.zones == (HeartRateZone("Peak", 150, 220, 3, 12.5),)
        assert other[0].zones == ()
        # Another device at the same instant is another reading now.
        write(store, Reading(TEN, 9900, "device_a", user_id="user1"), Reading(TEN, 5000, "fitbit", user_id="user1"))
        store.settle()
        assert store.check().problems == ()
        ((_, value, device, _), *_) = rows_of(ask(store, Resolution.RAW, THAT_DAY, user_id="user1"))
        assert (value, device) == (9900, "device_a")
    finally:
        store.close()


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("CREATE VIEW activities_heart_intraday AS SELECT 1 AS value", "is not a table"),
        (
            "CREATE TABLE activities_heart_intraday (timestamp timestamp, value numeric, user_id text)",
            "timestamp is timestamp without time zone",
        ),
        (
            "CREATE TABLE activities_heart_intraday (timestamp timestamptz, value numeric, user_id integer)",
            "user_id is integer, not text",
        ),
        ("CREATE TABLE activities_heart_intraday (timestamp timestamptz, user_id text)", "value is missing"),
        (
            "CREATE TABLE activities_heart_intraday "
            "(timestamp timestamptz, value numeric, user_id text, site text NOT NULL)",
            "site must be filled",
        ),
        (
            "CREATE TABLE activities_heart_intraday (timestamp timestamptz, value numeric, user_id text); "
            "INSERT INTO activities_heart_intraday VALUES (now(), 400, 'ann')",
            "1 rows have a value outside",
        ),
    ],
)
def test_a_table_that_differs_is_refused_by_the_difference_and_left_alone(bare: str, table: str, named: str) -> None:
    execute(bare, table)
    try:
        with pytest.raises(StopError, match=named):
            prepared(bare)
        assert question(bare, "SELECT to_regclass('pulsebase.users')") == [(None,)]
        columns = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'device_id'"
        assert question(bare, columns) == [(0,)]
    finally:
        execute(bare, "DROP VIEW IF EXISTS activities_heart_intraday" if "VIEW" in table else "SELECT 1")


def test_a_server_without_the_extension_is_told_what_is_missing() -> None:
    with connect(plain_postgres().url) as connection:
        with pytest.raises(StopError, match="no TimescaleDB: install the extension timescaledb"):
            set_up(connection, Policies())
        assert connection.execute("SELECT to_regclass('pulsebase.users')").fetchone() == (None,)


def test_the_apache_edition_is_told_what_is_missing() -> None:
    """Plain PostgreSQL with the setting of that edition: no engine of it can be had here."""
    with connect(plain_postgres().url) as connection:
        require_community(connection)
        connection.execute("SET timescaledb.license = 'apache'")
        with pytest.raises(StopError, match=r"Apache edition.*continuous\s+aggregates"):
            require_community(connection)


def test_a_user_without_rights_is_told_so() -> None:
    server = plain_postgres()
    execute(server.url, "DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN")
    url = server.url.replace("postgres:@", "guest:@")
    with connect(url) as connection, pytest.raises(StopError, match="may not do what is needed"):
        set_up(connection, Policies(), hypertables=False)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://nobody@127.0.0.1:1/pulse", "cannot be reached"),
        ("postgresql://postgres@/no_such_database", "no_such_database"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_and_the_password_is_not(url: str, named: str) -> None:
    host = plain_postgres().url.split("?", 1)[1]
    url = url.replace("@", ":secret@") + ("" if "127.0.0.1" in url else f"?{host}")
    with pytest.raises(StopError, match=named) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


# --- people's own SQL ----------------------------------------------------------------------------------------------


@pytest.fixture
def asked() -> str:
    """A database with two people of two devices, merged and refreshed."""
    url = empty_timescale()
    store = TimescaleStore(url, BY_HAND)
    write(
        store,
        *(Reading(TEN + n * 1_000_000, 6000 + n, "device_a", user_id="user1") for n in range(120)),
        *(Reading(TEN + n * 1_000_000, 8000, "device_b", user_id="user2") for n in range(60)),
        Reading(TEN, 10000, "device_b", user_id="user1"),
    )
    store.settle()
    store._refresh()
    store.close()
    return url


def test_the_statements_that_programs_use_on_such_a_database_run_unchanged(asked: str) -> None:
    # Making what is there already changes nothing, and above all makes no key that knows no devices.
    execute(asked, "SELECT create_hypertable('activities_heart_intraday', 'timestamp', if_not_exists => TRUE)")
    execute(
        asked,
        "CREATE UNIQUE INDEX IF NOT EXISTS idx_activities_heart_intraday_timestamp_user_id "
        "ON activities_heart_intraday (timestamp, user_id)",
    )
    execute(
        asked,
        "CREATE MATERIALIZED VIEW IF NOT EXISTS activities_heart_intraday_1h WITH (timescaledb.continuous) AS "
        "SELECT user_id, time_bucket('1 hour', timestamp) as hour, COUNT(*) AS record_count "
        "FROM activities_heart_intraday GROUP BY user_id, hour",
    )
    counts = "SELECT user_id, COUNT(*) FROM activities_heart_intraday GROUP BY user_id"
    assert sorted(question(asked, counts)) == [("user1", 121), ("user2", 60)]
    latest = "SELECT extract(epoch FROM MAX(timestamp))::int FROM activities_heart_intraday WHERE user_id = 'user1'"
    assert question(asked, latest) == [(TEN // 1_000_000 + 119,)]


@pytest.mark.parametrize(("table", "time"), [("1m", "minute"), ("1h", "hour"), ("1d", "day")])
def test_aggregates_show_every_stored_reading_in_bpm(asked: str, table: str, time: str) -> None:
    execute(asked, f"CALL refresh_continuous_aggregate('activities_heart_intraday_{table}', NULL, NULL)")
    rows = question(
        asked,
        f"SELECT time_bucket('1 day', {time}) AS timestamp, ROUND(AVG(avg_heart_rate), 2) AS value, user_id, "
        f"sum(record_count)::int, min(min_heart_rate), max(max_heart_rate) FROM activities_heart_intraday_{table} "
        f"WHERE {time} >= '2024-01-15'::timestamp AND {time} <= '2024-01-16'::timestamp AND user_id = 'user1' "
        f"GROUP BY time_bucket('1 day', {time}), user_id ORDER BY timestamp",
    )
    ((_, value, user_id, count, low, high),) = rows
    assert (user_id, count, low, high) == ("user1", 121, 60, 100)
    assert 60 < value < 61.5


def test_a_refresh_after_a_merge_brings_late_readings_to_the_aggregates(asked: str) -> None:
    store = TimescaleStore(asked, BY_HAND)
    try:
        write(store, Reading(TEN + 500_000, 20000, "device_b", user_id="user2"))
        store.settle()
        before = question(asked, "SELECT max(max_heart_rate) FROM activities_heart_intraday_1m WHERE user_id = 'user2'")
        store._refresh()
    finally:
        store.close()
    after = question(asked, "SELECT max(max_heart_rate) FROM activities_heart_intraday_1m WHERE user_id = 'user2'")
    assert (before, after) == ([(80,)], [(200,)])


def test_large_writes_go_into_chunks_whether_something_is_stored_there_or_not() -> None:
    store = TimescaleStore(empty_timescale(), replace(BY_HAND, merge_at_once=3))
    readings = [
        Reading(TEN + n * 600_000_000, 5000 + n * 7 % 9000, device_id="ring" if n % 3 else "watch", confidence=n % 4)
        for n in range(3_000)
    ]
    try:
        store.put_priority(DevicePriority("ann", "ring", 1, TEN + 600_000_000 * 500))
        write(store, *readings[:2_000])
        write(store, *readings[1_500:])
        assert sorted(row[2:4] for row in rows_of(store.stored())) == [(each.time_us, each.value) for each in readings]
        assert store.check().problems == ()
    finally:
        store.close()


def test_readings_in_compressed_chunks_are_asked_corrected_and_deleted_like_others() -> None:
    url = empty_timescale()
    store = TimescaleStore(url, BY_HAND)
    try:
        write(store, *(Reading(TEN + n * 1_000_000, 7000 + n % 50) for n in range(5000)))
        store.settle()
        before = rows_of(ask(store, Resolution.MINUTE, THAT_DAY))
        compressed = question(url, "SELECT compress_chunk(c)::text FROM show_chunks('activities_heart_intraday') AS c")
        assert len(compressed) == 1
        assert rows_of(ask(store, Resolution.MINUTE, THAT_DAY)) == before
        write(store, Reading(TEN, 22000), Reading(TEN + 500, 3000))
        store.settle()
        assert store.delete("ann", span("2024-01-15T10:10:00", "2024-01-15T10:20:00")) == 600
        assert store.check().problems == ()
        assert rows_of(ask(store, Resolution.DAY, THAT_DAY))[0][1] == 4401
        assert rows_of(ask(store, Resolution.MINUTE, THAT_DAY))[0][3:5] == (3000, 22000)
        # What looks for readings by where they came from, or for all of them, finds those too.
        store.write([batch_of([Reading(TEN + 1_000_000, 9900)], store.register_origin("import", "file"))])
        store.settle()
        assert store.origin_readings([1, 2]) == {1: 4400, 2: 1}
        assert sum(batch.num_rows for batch in store.export(TimeRange(0, MAX_US))) == 4401
        assert [store.delete_origin(1, 4000), store.delete_origin(1, 4000)] == [4000, 400]
        assert store.origin_readings([1, 2]) == {1: 0, 2: 1}
        assert store.check().problems == ()
    finally:
        store.close()
