"""Every vital sign through the same doors as heart rate."""

import io
import json
import zipfile
from typing import Any

import pyarrow as pa
import pytest

from pulsebase.model.metrics import METRICS, bounds_in
from tests.api.conftest import Api, reading

DAY = {"start": "2024-01-15", "end": "2024-01-15"}
SERIES = {"user_id": "ann", "start_date": "2024-01-15", "end_date": "2024-01-15"}


def value(number: Any, timestamp: str = "2024-01-15T10:00:00Z", **fields: Any) -> dict[str, Any]:
    return {"device_id": "device_a", "user_id": "ann", "timestamp": timestamp, "value": number} | fields


def test_the_metrics_are_listed_with_the_bounds_in_force(any_api: Api) -> None:
    listed = {each["metric"]: each for each in any_api.get("/v1/metrics").json()["data"]}
    assert list(listed) == list(METRICS)
    assert listed["oxygen_saturation"] == {
        "metric": "oxygen_saturation",
        "title": "Oxygen saturation",
        "unit": "%",
        "min": 50,
        "max": 100,
    }


def test_at_the_root_that_path_stays_prometheus(any_api: Api) -> None:
    assert any_api.get("/metrics").headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["oxygen-saturation", "oxygen_saturation", "spo2"])
def test_a_reading_of_a_metric_is_in_the_next_answer(any_api: Api, path: str) -> None:
    assert any_api.post(f"/v1/metrics/{path}", json=value(97.25)).status_code == 202
    batch = {"readings": [value(96, "2024-01-15T10:01:00Z"), value(0.97, "2024-01-15T10:02:00Z")]}
    answer = any_api.post(f"/v1/metrics/{path}/batch", json=batch)
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)
    reason = "out of range 50–100; send percent, 97 rather than 0.97"
    assert answer.json()["errors"] == [{"index": 1, "field": "value", "reason": reason}]
    minutes = any_api.get(f"/v1/metrics/{path}", params={"user_id": "ann"} | DAY)
    assert minutes.json()["data"] == [
        {"timestamp": "2024-01-15T10:00:00Z", "value": 97.25, "device_id": "device_a"},
        {"timestamp": "2024-01-15T10:01:00Z", "value": 96.0, "device_id": "device_a"},
    ]
    series = any_api.get("/v1/timeseries", params=SERIES | {"metric": path, "interval": "1h"}).json()
    assert {name: series[name] for name in ("metric", "unit", "table", "count")} == {
        "metric": "oxygen_saturation",
        "unit": "%",
        "table": "oxygen_saturation_1h",
        "count": 1,
    }
    assert series["columns"]["avg"] == [(97.25 + 96) / 2]
    assert any_api.get("/v1/timeseries", params=SERIES).json()["count"] == 0  # no heart rate


def test_heart_rate_keeps_its_field_however_its_path_is_written(any_api: Api) -> None:
    assert any_api.post("/v1/metrics/heart_rate", json=reading()).status_code == 202
    refused = any_api.post("/v1/metrics/heart_rate", json=value(75))
    assert refused.status_code == 400
    assert refused.json()["errors"] == [{"field": "value", "reason": "is not a known field"}]


def test_one_batch_may_be_of_several_metrics(any_api: Api) -> None:
    readings = [
        value(72, metric="heart_rate"),
        value(97, metric="oxygen_saturation"),
        value(14.5, metric="respiratory-rate"),
        value(812.4, metric="rr_interval"),
        value(-0.4, metric="skin_temperature_delta"),
        value(5000, metric="steps"),
        value(97),
        value("97", metric="oxygen_saturation"),
        "no reading",
        value(98.6, metric="body_temperature"),
    ]
    answer = any_api.post("/v1/readings/batch", json={"readings": readings}).json()
    assert (answer["accepted"], answer["rejected"], answer["total"]) == (5, 5, 10)
    shown = [(error["index"], error["field"]) for error in answer["errors"]]
    assert shown == [(5, "metric"), (6, "metric"), (7, "value"), (8, "reading"), (9, "value")]
    assert answer["errors"][-1]["reason"].endswith("send degrees Celsius, 36.8 rather than 98.2")
    listed = any_api.get("/v1/users/ann/metrics").json()["data"]
    assert [each["metric"] for each in listed] == [
        "heart_rate",
        "oxygen_saturation",
        "respiratory_rate",
        "rr_interval",
        "skin_temperature_delta",
    ]
    names = ["heart_rate", "rr_interval", "skin_temperature_delta"]
    several = any_api.get("/v1/timeseries", params=SERIES | {"metric": names, "interval": "raw"}).json()
    assert [(each["metric"], each["unit"], each["columns"]["value"]) for each in several["series"]] == [
        ("activities_heart_intraday", "bpm", [72.0]),
        ("rr_interval", "ms", [812.4]),
        ("skin_temperature_delta", "°C", [-0.4]),
    ]
    both = {"user_ids": ["ann", "nobody"], "metric": names} | DAY
    both = {"start_date": both.pop("start"), "end_date": both.pop("end")} | both
    shared = any_api.get("/v1/multi-user/timeseries", params=both).json()
    assert [(each["user_id"], each["metric"]) for each in shared["series"]] == [
        ("ann", "activities_heart_intraday"),
        ("ann", "rr_interval"),
        ("ann", "skin_temperature_delta"),
    ]
    assert shared["missing"] == ["nobody"]
    csv = any_api.get("/v1/timeseries", params=SERIES | {"metric": names}, headers={"Accept": "text/csv"}).text
    assert csv.splitlines()[0].startswith("user_id,metric,timestamp,")
    assert len(csv.splitlines()) == 4


def test_one_reading_may_name_its_metric(any_api: Api) -> None:
    assert any_api.post("/v1/readings", json=value(14, metric="respiratory_rate")).status_code == 202
    refused = any_api.post("/v1/readings", json=value(14, metric="respiratory rate"))
    assert refused.json()["errors"] == [{"field": "metric", "reason": "is no metric; do you mean respiratory_rate?"}]


@pytest.mark.parametrize("kind", ["arrow", "ndjson", "csv"])
def test_a_bulk_body_is_of_one_metric(any_api: Api, kind: str) -> None:
    rows = [value(90 + n, f"2024-01-15T10:{n:02}:00Z") for n in range(10)]
    if kind == "arrow":
        sink = pa.BufferOutputStream()
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body, media_type = sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream"
    elif kind == "ndjson":
        body, media_type = "\n".join(map(json.dumps, rows)).encode(), "application/x-ndjson"
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        body, media_type = "\n".join(lines).encode(), "text/csv"
    answer = any_api.post("/v1/metrics/oxygen-saturation/bulk", content=body, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 10)
    refused = any_api.post("/v1/metrics/heart-rate/bulk", content=body, headers={"Content-Type": media_type})
    assert refused.status_code == 400
    top = any_api.get("/v1/users/ann/oxygen-saturation/top-hours", params=DAY).json()
    assert top["data"] == [94.5]


@pytest.mark.parametrize(
    ("method", "path"),
    [("post", "/v1/metrics/steps"), ("get", "/v1/metrics/steps"), ("delete", "/v1/metrics/steps")],
)
def test_a_metric_that_is_none_is_no_route(any_api: Api, method: str, path: str) -> None:
    parameters = None if method == "post" else {"user_id": "ann"} | DAY
    answer = any_api.request(method, path, params=parameters, json=value(1) if method == "post" else None)
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("metric: is no metric; there are heart_rate, ")


def test_deleting_a_metric_leaves_the_others(any_api: Api) -> None:
    any_api.store(reading())
    any_api.post("/v1/metrics/oxygen-saturation", json=value(97))
    gone = any_api.delete("/v1/metrics/heart-rate", params={"user_id": "ann"} | DAY)
    assert gone.json() == {"deleted": 1}
    assert [each["metric"] for each in any_api.get("/v1/users/ann/metrics").json()["data"]] == ["oxygen_saturation"]
    assert any_api.delete("/v1/metrics/spo2", params={"user_id": "ann"} | DAY).json() == {"deleted": 1}


def test_an_export_of_a_person_has_every_metric(any_api: Api) -> None:
    any_api.store(reading())
    any_api.post("/v1/metrics/oxygen-saturation", json=value(97.5, confidence=2))
    archive = zipfile.ZipFile(io.BytesIO(any_api.get("/v1/users/ann/export").content))
    assert json.loads(archive.read("readings.ndjson")) == {**reading(heart_rate=75.0), "confidence": None}
    assert json.loads(archive.read("readings-oxygen-saturation.ndjson")) == value(
        97.5, metric="oxygen_saturation", confidence=2
    )
    assert sum(origin["readings"] for origin in json.loads(archive.read("imports.json"))) >= 2


def test_a_setting_overrides_bounds(installed: Any) -> None:
    api = installed(metric_bounds="oxygen_saturation=60:99.5, skin_temperature_delta=-2:2")
    listed = {each["metric"]: (each["min"], each["max"]) for each in api.get("/v1/metrics").json()["data"]}
    assert listed["oxygen_saturation"] == (60, 99.5)
    assert listed["skin_temperature_delta"] == (-2, 2)
    assert api.post("/v1/metrics/oxygen-saturation", json=value(99.6)).status_code == 400
    assert api.post("/v1/metrics/oxygen-saturation", json=value(99.5)).status_code == 202


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("heart_rate=30:200", "have settings of their own"),
        ("oxygen_saturation=90", "write it as"),
        ("oxygen_saturation=90:80", "must be below"),
        ("rr_interval=1:5000", "can be stored"),
        ("steps=1:2", "is no metric"),
        ("spo2=60:100, oxygen_saturation=50:90", "oxygen_saturation are stated twice"),
    ],
)
def test_bounds_that_are_none_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bounds_in(text)
