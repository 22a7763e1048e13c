"""People's own SQL: the views in the cluster show what the store answers, once it is merged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import urlsplit

import pytest
from clickhouse_connect.driver.client import Client

from pulsebase.model.errors import SettingsError, StopError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.migrate import set_up_both
from pulsebase.stores.clickhouse.own_sql import NamesAt
from pulsebase.stores.clickhouse.store import ClickHouseStore
from pulsebase.stores.contract import SeriesQuery
from pulsebase.stores.postgres.database import connect
from tests.stores.harness import Reading, at, batch_of, rows_of, write
from tests.stores.test_clickhouse import BY_HAND
from tests.support.clickhouse.cluster import two_shards
from tests.support.clickhouse.store import Urls, new_store
from tests.support.postgres import PASSWORDS, as_role, execute

TEN = at("2024-01-15T10:00:00")
SPAN = TimeRange(at("2023-12-01T00:00:00"), at("2024-03-01T00:00:00"))
#: They lie on both shards.
PEOPLE = ("ann", "o'bob")
READER = "reader_of_names"
STARTS = {"1m": ("minute", Resolution.MINUTE), "1h": ("hour", Resolution.HOUR), "1d": ("day", Resolution.DAY)}


@pytest.fixture(scope="module")
def urls() -> Urls:
    urls = new_store()
    execute(urls.postgres, f"CREATE ROLE {READER} LOGIN PASSWORD 'it''s'")
    for _ in range(2):  # doing it again makes them anew
        with connect(urls.postgres) as connection:
            set_up_both(connection, urls.cluster, PASSWORDS, as_role(urls.postgres, READER, "it's"))
    return urls


@pytest.fixture(scope="module")
def store(urls: Urls) -> Iterator[ClickHouseStore]:
    opened = ClickHouseStore(urls.postgres, urls.cluster, BY_HAND)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(urls: Urls) -> Iterator[Client]:
    with two_shards().shards[0].client(database=urlsplit(urls.cluster).path.strip("/")) as opened:
        yield opened


def instant(time_us: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=time_us)


def bpm(hundredths: int) -> Decimal:
    return Decimal(hundredths) / 100


def shown(client: Client, question: str) -> list[tuple[object, ...]]:
    """What a view shows, with times as they are in UTC."""
    rows = client.query(question).result_rows
    return sorted(
        tuple(value.replace(tzinfo=None) if isinstance(value, datetime) else value for value in row) for row in rows
    )


def readings(client: Client) -> list[tuple[object, ...]]:
    return shown(client, "SELECT user_id, device_id, timestamp, value, origin FROM activities_heart_intraday")


def buckets_of(store: ClickHouseStore, resolution: Resolution) -> list[tuple[object, ...]]:
    """What the store answers of all devices."""
    days = tuple(range(SPAN.start_us, SPAN.end_us, DAY_US))
    found: list[tuple[object, ...]] = []
    for person in PEOPLE:
        starts = days if resolution is Resolution.DAY else ()
        query = SeriesQuery(person, SPAN, resolution, include_all=True, day_starts=starts)
        for start_us, count, total, low, high, *_ in rows_of(store.series(query)):
            average = (Decimal(total) / 100 / count).quantize(Decimal("0.01"), ROUND_HALF_UP)
            found.append((person, instant(start_us), bpm(low), bpm(high), average, count))
    return sorted(found)


def assert_the_same(store: ClickHouseStore, client: Client) -> None:
    assert readings(client) == sorted(
        (user, device, instant(time_us), bpm(value), origin)
        for user, device, time_us, value, _, metric, origin in rows_of(store.stored())
        if metric == HEART_RATE.name
    )
    for name, (start, resolution) in STARTS.items():
        view = f"activities_heart_intraday_{name}"
        assert shown(client, f"SELECT * FROM {view}") == buckets_of(store, resolution), name
        assert client.query(f"SELECT * FROM {view}").column_names == (
            *("user_id", start, "min_heart_rate", "max_heart_rate", "avg_heart_rate", "record_count"),
        )


def test_views_show_what_the_store_answers(urls: Urls, store: ClickHouseStore, client: Client) -> None:
    times = [TEN, TEN + 1, TEN + MINUTE_US, TEN + HOUR_US, TEN + 3 * DAY_US]
    for person in PEOPLE:
        written = [Reading(time, 7000 + n, device, None, person) for n, time in enumerate(times) for device in "ab"]
        write(store, *written)
    other = batch_of(
        [Reading(TEN, 9700, user_id=PEOPLE[0])], store.register_origin("test", "other"), "oxygen_saturation"
    )
    store.write([other])
    store.put_priority(DevicePriority(PEOPLE[0], "b", 1))
    assert readings(client) == [], "readings are shown once they are merged"
    store.settle()
    assert_the_same(store, client)

    before = readings(client)
    write(store, Reading(TEN, 9001, "a", None, PEOPLE[0]))  # corrected
    write(store, Reading(TEN - 30 * DAY_US + 5, 5005, "a", 3, PEOPLE[1]), Reading(TEN + 7, 12345, "c", 2, PEOPLE[0]))
    assert store.delete(PEOPLE[1], TimeRange(TEN, TEN + HOUR_US), "a") == 3
    in_flight = store._database.change(lambda connection: commits.take(connection, 1, 3600))
    assert readings(client) == before
    store._database.change(lambda connection: commits.abort(connection, in_flight))
    store.settle()
    assert readings(client) != before
    assert_the_same(store, client)
    one = f"SELECT value FROM activities_heart_intraday WHERE user_id = '{PEOPLE[0]}' AND device_id = 'c'"
    assert client.query(one).result_rows == [(Decimal("123.45"),)]
    of_number = "SELECT user_id FROM activities_heart_intraday_1h WHERE person = 2"
    assert set(client.query(of_number).result_rows) == {(PEOPLE[1],)}

    store.expire(at("2024-01-16T00:00:00"))
    assert {row[2] for row in readings(client)} == {instant(TEN + 3 * DAY_US)}
    assert store.remove_user(PEOPLE[0])
    assert {row[0] for row in readings(client)} == {PEOPLE[1]}, "rows whose person is not known are shown to nobody"


def test_whoever_reads_names_may_do_nothing_else(urls: Urls) -> None:
    assert NamesAt.of("postgresql://u:p%27w@db.example/pulse") == NamesAt("db.example:5432", "pulse", "u", "p'w")
    for wrong in ("postgresql://db.example/pulse", "postgresql://u@/pulse", "clickhouse://u@h/d"):
        with pytest.raises(SettingsError, match="as the cluster reaches it"):
            NamesAt.of(wrong)
    with connect(urls.postgres) as connection:
        readable = (
            "SELECT relname FROM pg_class WHERE relnamespace = 'pulsebase'::regnamespace AND relkind IN ('r', 'v') "
            "AND has_table_privilege(%s, oid, 'SELECT') ORDER BY 1"
        )
        found = connection.execute(readable, [READER]).fetchall()
        assert [name for (name,) in found] == ["sql_devices", "sql_people", "sql_state"]
        with pytest.raises(StopError, match="no user nobody"):
            set_up_both(connection, urls.cluster, PASSWORDS, as_role(urls.postgres, "nobody"))
