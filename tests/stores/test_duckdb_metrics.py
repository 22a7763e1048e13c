"""Metrics in the embedded store: their numbers, older stores, and stores of newer versions."""

from pathlib import Path

import duckdb
import pytest

from pulsebase.model.errors import StoreCorruptError, StoreVersionError
from pulsebase.model.metrics import METRICS
from pulsebase.stores.duckdb.store import DuckdbStore
from tests.stores.harness import Reading, at, batch_of, rows_of

TEN = at("2024-01-15T10:00")


def put(store: DuckdbStore, metric: str, value: int) -> None:
    store.write([batch_of([Reading(TEN, value)], store.register_origin("push", "watch"), metric)])


def test_a_metric_gets_its_number_with_its_first_reading(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = DuckdbStore(path)
    put(store, "heart_rate", 7000)
    assert store.parts.cached.metrics.names == ("heart_rate",)
    for place, metric in enumerate(reversed(list(METRICS))):
        put(store, metric, 5000 + place)
    names = tuple(store.parts.cached.metrics.names)
    store.close()
    again = DuckdbStore(path)
    assert tuple(again.parts.cached.metrics.names) == names
    assert sorted(names) == sorted(METRICS)
    assert {metric: value for _, _, _, value, _, metric, _ in rows_of(again.stored())} == {
        metric: 5000 + place for place, metric in enumerate(reversed(list(METRICS)))
    }
    again.close()


def test_peoples_own_sql_sees_each_metric_in_its_unit(tmp_path: Path) -> None:
    store = DuckdbStore(tmp_path / "store.duckdb")
    put(store, "heart_rate", 7000)
    put(store, "rr_interval", 8125)
    store.merge()
    shown = store.select("SELECT metric, value, unit, user_id FROM vital_signs ORDER BY metric", 10, 10).to_pylist()
    assert [tuple(row.values()) for row in shown] == [
        ("heart_rate", 70.0, "bpm", "ann"),
        ("rr_interval", 812.5, "ms", "ann"),
    ]
    assert store.select("SELECT count(*) AS n FROM activities_heart_intraday", 10, 10).to_pylist() == [{"n": 1}]
    for rung in ("1h", "1d"):
        found = store.select(f"SELECT metric, avg, count FROM vital_signs_{rung} ORDER BY metric", 10, 10).to_pylist()
        assert [tuple(row.values()) for row in found] == [("heart_rate", 70.0, 1), ("rr_interval", 812.5, 1)]
        table = f"activities_heart_intraday_{rung}"
        assert store.select(f"SELECT avg_heart_rate FROM {table}", 10, 10).to_pylist() == [{"avg_heart_rate": 70.0}]
    store.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "INSERT INTO metrics VALUES (1, 'blood_glucose', 'mmol/l', 100)",
            "the metric blood_glucose, which this version does not know: install a newer",
        ),
        ("INSERT INTO metrics VALUES (1, 'rr_interval', 'ms', 1)", "keeps rr_interval in parts of 1/1 ms"),
    ],
)
def test_a_store_with_metrics_of_a_newer_version_is_refused_by_name(tmp_path: Path, change: str, said: str) -> None:
    path = tmp_path / "store.duckdb"
    DuckdbStore(path).close()
    with duckdb.connect(str(path)) as database:
        database.execute(change)
    with pytest.raises(StoreVersionError, match=said):
        DuckdbStore(path)


def test_a_journal_with_a_metric_that_the_database_does_not_know_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = DuckdbStore(path)
    put(store, "oxygen_saturation", 9700)
    store.close()
    with duckdb.connect(str(path)) as database:
        database.execute("DELETE FROM metrics WHERE metric_no = 1")
    with pytest.raises(StoreCorruptError, match="of a metric that the database does not know"):
        DuckdbStore(path)
