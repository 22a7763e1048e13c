"""The bulk door for readings that name their metrics: the same for every kind of body, over every store."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pulsebase.ingest.blocks import BLOCK_READINGS, METRIC_FIELDS, Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.ingest.metric_blocks import of_metrics
from pulsebase.model.metrics import METRICS
from tests.api.conftest import Api

BULK = "/v1/readings/bulk"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
NDJSON, CSV = "application/x-ndjson", "text/csv"
KINDS = (ARROW, PARQUET, NDJSON, CSV)
START_US = 1_705_312_800_000_000  # 2024-01-15T10:00:00Z


def row(second: int, metric: Any, value: Any, **fields: Any) -> dict[str, Any]:
    at = f"2024-01-15T10:{second // 60:02}:{second % 60:02}Z"
    return {"user_id": "ann", "device_id": "ring", "metric": metric, "timestamp": at, "value": value} | fields


def body_of(kind: str, rows: list[dict[str, Any]], metric: pa.DataType | None = None) -> bytes:
    """The rows as a body of this kind; columns of metrics are a dictionary unless said otherwise."""
    if kind == NDJSON:
        return "\n".join(map(json.dumps, rows)).encode()
    if kind == CSV:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    table = pa.Table.from_pylist(rows)
    column = table["metric"].cast(metric or pa.dictionary(pa.int32(), pa.string()))
    table = table.set_column(table.schema.get_field_index("metric"), "metric", column)
    out = io.BytesIO()
    if kind == PARQUET:
        pq.write_table(table, out)
    else:
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
    return out.getvalue()


def send(api: Api, kind: str, body: bytes) -> Any:
    return api.post(BULK, content=body, headers={"Content-Type": kind})


def stored(api: Api) -> list[tuple[Any, ...]]:
    rows = api.parts.store.stored().to_pylist()
    return sorted((each["metric"], (each["time_us"] - START_US) // 1_000_000, each["value"]) for each in rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_may_be_of_several_metrics(any_api: Api, kind: str) -> None:
    rows = [
        row(0, "heart_rate", 61),
        row(0, "oxygen_saturation", 96.5),
        row(1, "spo2", 97),
        row(2, "oxygen-saturation", 0.97),
        row(3, "steps", 5000),
        row(4, "Respiratory Rate", 14),
        row(5, "respiratory_rate", 14.5),
        row(6, "skin_temperature_delta", -0.4),
        row(7, "heart_rate", 300),
    ]
    answer = send(any_api, kind, body_of(kind, rows))
    counts = answer.json()
    assert (answer.status_code, counts["accepted"], counts["rejected"], counts["total"]) == (202, 5, 4, 9)
    assert counts["errors"] == [
        {"index": 3, "field": "value", "reason": "out of range 50–100; send percent, 97 rather than 0.97"},
        {"index": 4, "field": "metric", "reason": f"is no metric; there are {', '.join(METRICS)}"},
        {"index": 5, "field": "metric", "reason": "is no metric; do you mean respiratory_rate?"},
        {"index": 8, "field": "value", "reason": "out of range 30–220"},
    ]
    kept = [
        ("heart_rate", 0, 6100),
        ("oxygen_saturation", 0, 9650),
        ("oxygen_saturation", 1, 9700),
        ("respiratory_rate", 5, 1450),
        ("skin_temperature_delta", 6, -40),
    ]
    assert stored(any_api) == kept
    again = send(any_api, kind, body_of(kind, rows)).json()
    assert again == counts
    assert stored(any_api) == kept


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
@pytest.mark.parametrize("metric", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_a_column_of_metrics_may_be_of_texts(api: Api, kind: str, metric: pa.DataType) -> None:
    if kind == PARQUET and metric == pa.string_view():
        pytest.skip("Parquet has no such type")
    rows = [row(0, "heart_rate", 61), row(1, "rr_interval", 812.4)]
    assert send(api, kind, body_of(kind, rows, metric)).json()["accepted"] == 2
    assert stored(api) == [("heart_rate", 0, 6100), ("rr_interval", 1, 8124)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reading_must_name_its_metric(api: Api, kind: str) -> None:
    rows = [row(0, "heart_rate", 61), row(1, None, 62)]
    counts = send(api, kind, body_of(kind, rows)).json()
    assert (counts["accepted"], counts["rejected"]) == (1, 1)
    (error,) = counts["errors"]
    assert (error["index"], error["field"]) == (1, "metric")
    nameless = [{name: value for name, value in each.items() if name != "metric"} for each in rows]
    if kind in (NDJSON, CSV):
        refused = send(api, kind, body_of(kind, nameless))
        assert refused.status_code == 400
        assert "metric" in {each["field"] for each in refused.json()["errors"]}


def test_columns_that_are_none_of_readings_are_refused(api: Api) -> None:
    table = pa.table({"user_id": ["ann"], "device_id": ["a"], "timestamp": ["2024-01-15T10:00:00Z"], "value": [60]})

    def said(table: pa.Table) -> list[tuple[str, str]]:
        out = io.BytesIO()
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
        answer = send(api, ARROW, out.getvalue())
        assert answer.status_code == 400
        return [(error["field"], error["reason"]) for error in answer.json()["errors"]]

    assert said(table) == [("metric", "is required")]
    assert said(table.append_column("metric", pa.array([1]))) == [("metric", "must be a column of texts")]
    named = table.append_column("metric", pa.array(["heart_rate"]))
    assert said(named.rename_columns({"value": "heart_rate"})) == [
        ("heart_rate", "is not a known column"),
        ("value", "is required"),
    ]


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ({"metric": 7}, "metric", "must be a text"),
        ({"metric": "spo2", "value": "97"}, "value", "must be a number"),
        ({"metric": "spo2", "spo2": 97}, "spo2", "is not a known field"),
        ({"metric": "\ud800", "value": 97}, "metric", f"is no metric; there are {', '.join(METRICS)}"),
        ({"metric": "heart_rate" * 10_000}, "metric", f"is no metric; there are {', '.join(METRICS)}"),
    ],
)
def test_a_bad_line_leaves_the_others(api: Api, line: Mapping[str, Any], field: str, reason: str) -> None:
    rows = [row(0, "heart_rate", 61), {**row(1, "spo2", 97), **line}, row(2, "spo2", 98)]
    counts = send(api, NDJSON, body_of(NDJSON, rows)).json()
    assert counts["errors"] == [{"index": 1, "field": field, "reason": reason}]
    assert stored(api) == [("heart_rate", 0, 6100), ("oxygen_saturation", 2, 9800)]


def test_many_blocks_of_many_metrics_are_counted_once(api: Api) -> None:
    count = 2 * BLOCK_READINGS + 5
    names = ["heart_rate", "spo2", "rr_interval", "no metric"]
    table = pa.table(
        {
            "user_id": pa.array(["ann"]).take(pa.array([0] * count)),
            "device_id": pa.array(["ring"]).take(pa.array([0] * count)),
            "metric": pa.DictionaryArray.from_arrays(pa.array([n % 4 for n in range(count)]), pa.array(names)),
            "timestamp": pa.array([START_US // 1000 + n for n in range(count)], pa.timestamp("ms")),
            "value": [(60, 97, 800, 1)[n % 4] for n in range(count)],
        }
    )
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    counts = send(api, ARROW, out.getvalue()).json()
    unknown = count // 4
    assert (counts["accepted"], counts["rejected"], counts["total"]) == (count - unknown, unknown, count)
    assert [error["index"] for error in counts["errors"]] == list(range(3, 400, 4))
    listed = api.get("/v1/users/ann/metrics").json()["data"]
    assert {each["metric"]: each["readings"] for each in listed} == {
        "heart_rate": -(-count // 4),
        "oxygen_saturation": count // 4,
        "rr_interval": count // 4,
    }


def test_of_many_names_that_are_no_metrics_only_some_are_explained() -> None:
    names = [f"heart_rat{number}" for number in range(150)]
    rows = Candidates(["ann"] * 150, ["a"] * 150, np.arange(150), np.ones(150), np.zeros(150, np.int8))
    (block,) = of_metrics(Block(rows, [], 150), METRIC_FIELDS, names, 0)
    assert (len(block.candidates), block.total) == (0, 150)
    reasons = [error.reason for error in block.errors]
    assert reasons == ["is no metric; do you mean heart_rate?"] * 100 + ["is no metric"] * 50
    assert [error.index for error in block.errors] == list(range(150))
