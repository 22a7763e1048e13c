"""Files of our own with readings of several metrics: each is told by its column, or by whoever brings the file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.etl.extract.parts import FileOwner, everybody_in
from pulsebase.etl.results import MetricCount
from pulsebase.model.metrics import METRICS
from tests.etl.desk import Desk
from tests.support.health_files import at, takeout_heart_rate, zipped

TEN_US = at("2024-01-15T10:00:00") * 1_000_000
Line = Mapping[str, Any]


def line(metric: str, value: Any, second: int = 0, **fields: Any) -> Line:
    names = {"user_id": "ann", "device_id": "ring", "metric": metric}
    return names | {"timestamp": f"2024-01-15T10:00:{second:02}Z", "value": value} | fields


def as_ndjson(lines: Sequence[Line]) -> bytes:
    return "".join(json.dumps(each) + "\n" for each in lines).encode()


def as_csv(lines: Sequence[Line]) -> bytes:
    header = ",".join(lines[0])
    return "\n".join([header, *(",".join(map(str, each.values())) for each in lines)]).encode()


def as_parquet(lines: Sequence[Line]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({name: [each[name] for each in lines] for name in lines[0]}), out)
    return out.getvalue()


FORMS = pytest.mark.parametrize("written", [as_ndjson, as_csv, as_parquet], ids=["ndjson", "csv", "parquet"])
Written = Callable[[Sequence[Line]], bytes]


def of_metric(metric: str | None) -> FileOwner:
    return FileOwner(None, None, everybody_in(ZoneInfo("UTC")), metric)


@FORMS
def test_readings_that_name_their_metric_are_stored_exactly(desk: Desk, written: Written) -> None:
    values = {name: [spec.low, (spec.low + spec.high) / 2, spec.high] for name, spec in METRICS.items()}
    lines = [line(name, number, second) for second in range(3) for name, numbers in values.items()
             for number in numbers[second : second + 1]]  # fmt: skip
    result = desk.bring_one(written(lines), of_metric(None))
    assert (result.read, result.written, result.rejected, result.problem) == (27, 27, 0, None)
    assert result.metrics == [MetricCount(name, read=3, written=3) for name in METRICS]
    assert desk.readings == [
        (name, "ann", "ring", TEN_US + second * 1_000_000, number)
        for name in sorted(METRICS)
        for second, number in enumerate(values[name])
    ]
    again = desk.bring_one(written(lines), of_metric(None))
    assert (again.written, again.unchanged) == (0, 27)
    assert again.metrics == [MetricCount(name, read=3, unchanged=3) for name in METRICS]


@FORMS
def test_what_is_wrong_is_said_by_field_and_counted_by_metric(desk: Desk, written: Written) -> None:
    lines = [
        line("SpO2", 97.0, 0),
        line("hrv", 42.0, 1),
        line("blood_pressure", 120.0, 2),
        line("oxygen_saturation", 0.97, 3),
        line("body_temperature", 98.2, 4),
        line("rr_interval", 0.812, 5),
        line("spo2", 96.5, 6),
        line("oxygen-saturation", 95.0, 7),
        line("heart_rate", 62.0, 8),
        line("heart_rate", 20.0, 9),
        line("respiratory_rate", 14.0, 10, timestamp="soon"),
    ]
    result = desk.bring_one(written(lines), of_metric(None))
    assert sorted(desk.reasons, key=lambda each: each[0] or 0) == [
        (1, "metric", "is no metric; do you mean oxygen_saturation?"),
        (2, "metric", "is no metric; do you mean hrv_rmssd or hrv_sdnn?"),
        (3, "metric", f"is no metric; there are {', '.join(METRICS)}"),
        (4, "oxygen_saturation", "out of range 50–100; send percent, 97 rather than 0.97"),
        (5, "body_temperature", "out of range 30–45; send degrees Celsius, 36.8 rather than 98.2"),
        (6, "rr_interval", "out of range 250–2500; send milliseconds from beat to beat, 812 rather than 0.812"),
        (10, "heart_rate", "out of range 30–220"),
        (11, "timestamp", next(reason for place, _, reason in desk.reasons if place == 11)),
    ]
    assert (result.read, result.written, result.rejected) == (11, 3, 8)
    assert {each.metric: (each.read, each.written, each.rejected) for each in result.metrics} == {
        "oxygen_saturation": (3, 2, 1),
        "body_temperature": (1, 0, 1),
        "rr_interval": (1, 0, 1),
        "heart_rate": (2, 1, 1),
        "respiratory_rate": (1, 0, 1),
    }
    assert [(metric, value) for metric, *_, value in desk.readings] == [
        ("heart_rate", 62.0),
        ("oxygen_saturation", 96.5),
        ("oxygen_saturation", 95.0),
    ]


def test_a_line_without_a_metric_is_refused_alone(desk: Desk) -> None:
    lines = [line("spo2", 97), {k: v for k, v in line("spo2", 96, 1).items() if k != "metric"}, line("spo2", 95, 2)]
    lines += [{**line("spo2", 94, 3), "metric": 7}, line("spo2", None, 4), {**line("spo2", 93, 5), "unit": "%"}]
    desk.bring_one(as_ndjson(lines) + b"[]\nno JSON\n", of_metric(None))
    assert sorted(desk.reasons, key=lambda each: each[0] or 0) == [
        (2, "metric", "is required"),
        (4, "metric", "must be a text"),
        (5, "value", "must be a number"),
        (6, "unit", "is not a known field"),
        (7, "reading", "must be an object, not a list of them"),
        (8, "reading", "is not JSON; a line holds one reading"),
    ]
    assert [value for *_, value in desk.readings] == [97.0, 95.0]


def test_rows_of_a_table_may_lack_a_metric(desk: Desk) -> None:
    lines = [line("spo2", 97.0), {**line("spo2", 96.0, 1), "metric": None}, {**line("spo2", 95.0, 2), "value": None}]
    desk.bring_one(as_parquet(lines), of_metric(None))
    assert desk.reasons == [(2, "metric", "is required"), (3, "value", "is required")]
    uneven = b"user_id,device_id,metric,timestamp,value\nann,ring,spo2,2024-01-15T11:00:00Z\n"
    desk.bring_one(uneven + b"ann,ring,,2024-01-15T11:00:01Z,96\nann,ring,spo2,2024-01-15T11:00:02Z,96\n")
    assert [(place, field) for place, field, _ in desk.reasons[2:]] == [(1, "reading"), (2, "metric")]
    assert [value for *_, value in desk.readings] == [97.0, 96.0]


@FORMS
@pytest.mark.parametrize("named", ["respiratory_rate", "heart_rate"])
def test_a_file_of_one_metric_is_of_the_one_that_is_named(desk: Desk, written: Written, named: str) -> None:
    """A file without a column for it."""
    lines = [{k: v for k, v in line(named, 40.5 + n, n).items() if k != "metric"} for n in range(3)]
    nobody = desk.bring_one(written(lines), of_metric(None))
    assert nobody.problem == (
        "metric: is not said of these values; add a column metric, or name the metric with --metric, "
        "over HTTP with metric"
    )
    assert nobody.written == 0
    desk.bring_one(written(lines), of_metric(named))
    assert desk.readings == [(named, "ann", "ring", TEN_US + n * 1_000_000, 40.5 + n) for n in range(3)]


@FORMS
def test_what_a_file_says_itself_counts(desk: Desk, written: Written) -> None:
    beats = [
        {k: v for k, v in line("", 0, n).items() if k not in ("metric", "value")} | {"heart_rate": 60} for n in (0, 1)
    ]
    for data in (written(beats), written([line("spo2", 97.0)])):
        desk.bring_one(data, of_metric("respiratory_rate"))
    assert [metric for metric, *_ in desk.readings] == ["heart_rate", "heart_rate", "oxygen_saturation"]


def test_research_csv_is_of_the_metric_that_is_named(desk: Desk) -> None:
    data = b"Id,Time,Value\nann,2024-01-15 10:00:00,96.5\nann,2024-01-15 10:01:00,0.96\nann,2024-01-15 10:02:00,x\n"
    result = desk.bring_one(data, of_metric("oxygen_saturation"))
    assert desk.readings == [("oxygen_saturation", "ann", "csv", TEN_US, 96.5)]
    assert [(place, field) for place, field, _ in desk.reasons] == [(3, "oxygen_saturation"), (4, "oxygen_saturation")]
    assert result.metrics == [MetricCount("oxygen_saturation", read=3, written=1, rejected=2)]
    desk.bring_one(data, of_metric(None))
    assert [(metric, value) for metric, *_, value in desk.readings] == [
        ("heart_rate", 96.5),
        ("oxygen_saturation", 96.5),
    ]


def test_undoing_an_import_takes_back_its_readings_of_every_metric(desk: Desk) -> None:
    """One archive, several files and metrics; what another import brought stays."""
    lines = [line(name, spec.low, n) for n, (name, spec) in enumerate(METRICS.items())]
    files = {"a.ndjson": as_ndjson(lines[:5]), "b.csv": as_csv(lines[5:])}
    desk.bring_one(as_ndjson([line("spo2", 99, 30)]), of_metric(None))
    files["heart_rate-2024-01-15.json"] = takeout_heart_rate([(at("2024-01-15T10:00:00"), 60, 2)])
    owner = FileOwner("ann", None, everybody_in(ZoneInfo("UTC")))
    results = desk.bring(zipped(files), owner=owner)
    assert [(each.written, each.problem) for each in results] == [(5, None), (4, None), (1, None)]
    first, second = (origin.number for origin in desk.store.origins())
    assert desk.store.origin_readings([first, second]) == {first: 1, second: 10}
    assert desk.store.delete_origin(second, 100) == 10
    assert desk.readings == [("oxygen_saturation", "ann", "ring", TEN_US + 30_000_000, 99.0)]
