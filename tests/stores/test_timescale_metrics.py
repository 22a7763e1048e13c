"""Several metrics in one database of the server store: where they lie, and what people's own SQL shows of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from pulsebase.model.errors import StopError, StoreVersionError
from pulsebase.model.metrics import HEART_RATE, METRICS, RR_INTERVAL, SKIN_TEMPERATURE_DELTA, MetricSpec
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US
from pulsebase.model.users import MetricOverview
from pulsebase.stores.contract import Store
from pulsebase.stores.postgres.database import connect
from pulsebase.stores.postgres.series_keys import key_of, parts_of
from pulsebase.stores.timescale import migrate
from pulsebase.stores.timescale.migrate import require_current, set_up
from pulsebase.stores.timescale.options import Policies, TimescaleOptions
from pulsebase.stores.timescale.raw_tables import HEART_RATES
from pulsebase.stores.timescale.store import TimescaleStore
from tests.stores.harness import Reading, ask, at, batch_of, rows_of, span
from tests.stores.test_timescale import BY_HAND, PostgresHarness
from tests.support.postgres import bare_timescale, empty_timescale, execute, plain_postgres, timescale_url

TEN = at("2024-01-15T10:00:00")
THAT_DAY = span("2024-01-15", "2024-01-16")
HEART, RR, DELTA = HEART_RATE.name, RR_INTERVAL.name, SKIN_TEMPERATURE_DELTA.name
#: In stored units: 70 bpm, 1 200.5 ms, 0.4 °C below the usual temperature.
SAID = {HEART: 7000, RR: 12005, DELTA: -40}


@pytest.fixture(params=[1, 1000], ids=["at once", "staged"])
def options(request: pytest.FixtureRequest) -> TimescaleOptions:
    """How small writes are merged: by themselves, or by way of the stage."""
    return replace(BY_HAND, merge_at_once=request.param)


@pytest.fixture
def store(options: TimescaleOptions) -> Iterator[TimescaleStore]:
    opened = TimescaleStore(empty_timescale(), options)
    yield opened
    opened.close()


def write_all(store: Store, *times_us: int, user_id: str = "ann") -> None:
    origin = store.register_origin("import", "all")
    store.write(
        [
            batch_of([Reading(time_us, value, user_id=user_id) for time_us in times_us], origin, metric)
            for metric, value in SAID.items()
        ]
    )


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        return connection.execute(statement).fetchall()


def test_a_key_says_whose_and_of_what_and_keeps_a_persons_series_together() -> None:
    keys = [key_of(user_id, metric) for user_id in ("ann", "ann!", "anna") for metric in METRICS]
    assert [parts_of(key) for key in keys] == [(user, metric) for user in ("ann", "ann!", "anna") for metric in METRICS]
    assert key_of("ann", HEART) == "ann"
    assert [parts_of(key)[0] for key in sorted(keys)] == [parts_of(key)[0] for key in keys]


def test_the_tables_of_heart_rate_show_heart_rate_alone(store: TimescaleStore) -> None:
    write_all(store, TEN, TEN + 1)
    store.settle()
    store._refresh()
    url = timescale_url()
    assert rows(url, "SELECT user_id, value FROM activities_heart_intraday") == [("ann", Decimal("70.00"))] * 2
    for table in ("1m", "1h", "1d"):
        execute(url, f"CALL refresh_continuous_aggregate('activities_heart_intraday_{table}', NULL, NULL)")
        shown = rows(url, f"SELECT DISTINCT user_id, min_heart_rate FROM activities_heart_intraday_{table}")
        assert shown == [("ann", Decimal("70.00"))]


def test_the_views_show_every_metric_in_its_unit(store: TimescaleStore) -> None:
    write_all(store, TEN, TEN + 1)
    write_all(store, TEN, user_id="bob")
    store.settle()
    url = timescale_url()
    values = [(HEART, Decimal(70), "bpm"), (RR, Decimal("1200.5"), "ms"), (DELTA, Decimal("-0.4"), "°C")]
    asked = "SELECT metric, value, unit FROM vital_signs WHERE user_id = '{}' ORDER BY value DESC"
    assert sorted(rows(url, asked.format("bob"))) == sorted(values)
    assert sorted(rows(url, asked.format("ann"))) == sorted(values * 2)
    for table, time in (("vital_signs_1h", "hour"), ("vital_signs_1d", "day")):
        start_us = TEN if time == "hour" else TEN // DAY_US * DAY_US
        shown = rows(
            url,
            f"SELECT metric, (extract(epoch FROM {time}) * 1000000)::bigint, min, max, avg, count FROM {table} "
            "WHERE user_id = 'ann'",
        )
        assert sorted(shown) == sorted((metric, start_us, value, value, value, 2) for metric, value, _ in values)


def test_compressed_readings_of_any_metric_are_asked_corrected_and_deleted(store: TimescaleStore) -> None:
    times_us = [TEN + n * 1_000_000 for n in range(100)]
    write_all(store, *times_us)
    store.settle()
    url = timescale_url()
    assert len(rows(url, "SELECT compress_chunk(c)::text FROM show_chunks('pulsebase.other_readings') AS c")) == 1
    before = rows_of(ask(store, Resolution.MINUTE, THAT_DAY, metric=DELTA))
    assert sum(row[1] for row in before) == 100
    write_all(store, TEN, TEN + 500)
    origin = store.register_origin("import", "file")
    store.write([batch_of([Reading(times_us[1], -1000)], origin, DELTA)])
    store.settle()
    assert store.check().problems == ()
    ((_, count, total, low, *_),) = rows_of(ask(store, Resolution.DAY, THAT_DAY, metric=DELTA))
    assert (count, total, low) == (101, -40 * 100 - 1000, -1000)
    assert store.origin_readings([1, 2]) == {1: 302, 2: 1}
    assert store.delete("ann", span("2024-01-15T10:01:00", "2024-01-15T11:00:00"), metric=RR) == 40
    assert [each.readings for each in store.metrics("ann")] == [101, 61, 101]
    assert store.delete_origin(origin, 10) == 1
    assert store.check().problems == ()


# --- versions ------------------------------------------------------------------------------------------------------


def test_a_database_of_heart_rate_is_brought_forward_without_writing_a_row_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = bare_timescale()
    try:
        every = migrate.migrations()
        monkeypatch.setattr(migrate, "migrations", lambda: [each for each in every if each.number < 6])
        monkeypatch.setattr(migrate, "RAW_TABLES", [HEART_RATES])
        with connect(url) as connection:
            assert set_up(connection, Policies()) == [1, 2, 3, 4, 5]
        execute(url, _BEFORE)
        places = "SELECT ctid::text, xmin::text FROM {} ORDER BY 1"
        tables = ("activities_heart_intraday", "pulsebase.h1", "pulsebase.h1_dev", "pulsebase.stage")
        before = [rows(url, places.format(table)) for table in tables]
        monkeypatch.undo()
        with connect(url) as connection:
            with pytest.raises(StopError, match="schema version 5, 10 is needed: run pulsebase db init"):
                require_current(connection)
            assert set_up(connection, Policies()) == [6, 9, 10]
        assert [rows(url, places.format(table)) for table in tables] == before
        store = TimescaleStore(url, BY_HAND)
        try:
            assert store.metrics("ann") == [MetricOverview(HEART, 2, TEN, TEN + 1)]
            write_all(store, TEN + HOUR_US)
            assert store.check().problems == ()
            found = {row[2:6:3] for row in rows_of(store.stored())}
            assert found == {(TEN, HEART), (TEN + 1, HEART), *((TEN + HOUR_US, metric) for metric in SAID)}
        finally:
            store.close()
    finally:
        bare_timescale()


#: A merged reading and a staged one, as the version before wrote them.
_BEFORE = """
INSERT INTO pulsebase.users (user_id) VALUES ('ann');
INSERT INTO pulsebase.devices VALUES ('ann', 'watch');
INSERT INTO pulsebase.origins (origin, kind, name) VALUES (1, 'push', 'watch');
INSERT INTO activities_heart_intraday VALUES ('2024-01-15 10:00:00Z', 70, 'ann', 'watch', NULL, 1);
INSERT INTO pulsebase.h1_dev VALUES
    ('ann', 'watch', '2024-01-15 10:00:00Z', 1, 7000, 7000, 7000, 1, 1, '2024-01-15 10:00Z', '2024-01-15 10:00Z', 1);
INSERT INTO pulsebase.d1_dev VALUES
    ('ann', 'watch', '2024-01-15 00:00:00Z', 1, '2024-01-15 10:00:00Z', '2024-01-15 10:00:00Z', 1);
INSERT INTO pulsebase.q15 VALUES ('ann', '2024-01-15 10:00:00Z', 1, 7000, 7000, 7000, 1);
INSERT INTO pulsebase.h1 SELECT * FROM pulsebase.q15;
INSERT INTO pulsebase.d1 VALUES ('ann', '2024-01-15 00:00:00Z', 1, 7000, 7000, 7000, 1);
INSERT INTO pulsebase.stage VALUES
    (nextval('pulsebase.stage_seq'), 'ann', 'watch', '2024-01-15 10:00:00.000001Z', 7100, NULL, 1);
"""


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("INSERT INTO pulsebase.metrics VALUES ('blood_glucose', 'mmol/l', 100)", "the metric blood_glucose, which"),
        ("INSERT INTO pulsebase.metrics VALUES ('rr_interval', 'ms', 1)", "keeps rr_interval in parts of 1/1 ms"),
    ],
)
def test_a_metric_that_this_version_does_not_know_is_refused_by_name(statement: str, named: str) -> None:
    url = plain_postgres().new_database()
    execute(url, statement)
    with pytest.raises(StoreVersionError, match=named):
        TimescaleStore(url, PostgresHarness.options)


def test_a_newer_version_beside_this_one_takes_nothing_from_what_this_one_knows(
    store: TimescaleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would have to leave something out is refused; heart rate is answered as ever, whoever merges."""
    glucose = MetricSpec("blood_glucose", "Blood glucose", "mmol/l", 100, 1, 40, "blood_glucose")
    write_all(store, TEN)
    with monkeypatch.context() as newer:
        newer.setitem(METRICS, glucose.name, glucose)
        origin = store.register_origin("push", "meter")
        store.write([batch_of([Reading(TEN, 550)], origin, glucose.name)])
    write_all(store, TEN + 1)
    store.settle()
    assert store.check().problems == ()
    assert len(ask(store, Resolution.RAW, THAT_DAY)) == 2
    assert store.overview("ann").readings == 7  # type: ignore[union-attr]
    with pytest.raises(StoreVersionError, match="the metric blood_glucose, which this version does not know: install"):
        store.metrics("ann")
    with pytest.raises(StoreVersionError, match="blood_glucose"):
        list(store.export(THAT_DAY, ["ann"]))
    assert sum(map(len, store.export(THAT_DAY, ["ann"], list(SAID)))) == 6
    assert store.remove_user("ann")
    with psycopg.connect(timescale_url(), autocommit=True, prepare_threshold=None) as connection:
        assert connection.execute("SELECT count(*) FROM pulsebase.other_readings").fetchall() == [(0,)]


def test_a_table_that_has_the_name_of_a_view_is_refused_by_name() -> None:
    url = plain_postgres().bare_database()
    execute(url, "CREATE TABLE vital_signs (mine int)")
    with connect(url) as connection:
        with pytest.raises(StopError, match=r"public\.vital_signs exists already"):
            set_up(connection, Policies(), hypertables=False)
        assert connection.execute("SELECT to_regclass('pulsebase.users')").fetchone() == (None,)
