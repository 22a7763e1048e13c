"""Commands that take `--metric`, with a server on the store and without one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq
import pytest

from pulsebase.model.metrics import METRICS
from pulsebase.model.timerange import DAY_US, MINUTE_US, format_us
from tests.support.process import BASE_US, Place, serving

DAY = ("2024-01-01", "2024-01-01")
ALL = ("--metric", "heart-rate", "--metric", "spo2", "--metric", "respiratory_rate")


def readings(metric: str, values: Sequence[float], start_us: int = BASE_US) -> list[dict[str, Any]]:
    """One a minute, from a ring."""
    return [
        {"user_id": "ann", "device_id": "ring", "metric": metric, "timestamp": format_us(start_us + minute * MINUTE_US)}
        | {"value": value, "confidence": 2}
        for minute, value in enumerate(values)
    ]


SENT = [
    *readings("heart_rate", [54, 55.5]),
    *readings("oxygen_saturation", [97, 96.25, 95]),
    *readings("respiratory_rate", [14.5]),
    *readings("heart_rate", [61], BASE_US + DAY_US),
    *readings("oxygen_saturation", [94.5], BASE_US + DAY_US),
]


@pytest.fixture(scope="module", params=["server down", "server up"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("filled"))
    with serving(place) as server:
        answer = server.client.post("/v1/readings/batch", json={"readings": SENT})
        assert answer.json()["accepted"] == len(SENT), answer.text
        if request.param == "server up":
            yield place
    if request.param == "server down":
        yield place


def said(place: Place, *arguments: str) -> str:
    done = place.run(*arguments, COLUMNS="160")
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_query_asks_about_one_metric(filled: Place) -> None:
    answer = json.loads(said(filled, "query", "ann", *DAY, "--metric", "spo2", "--format", "json"))
    assert (answer["metric"], answer["unit"]) == ("oxygen_saturation", "%")
    assert answer["columns"]["avg"] == [(97 + 96.25 + 95) / 3]
    of_heart_rate = json.loads(said(filled, "query", "ann", *DAY, "--format", "json"))
    assert of_heart_rate == json.loads(said(filled, "query", "ann", *DAY, "--metric", "heart_rate", "--format", "json"))
    assert of_heart_rate["columns"]["avg"] == [54.75]


def test_query_shows_a_table_for_each_of_several_metrics(filled: Place) -> None:
    shown = said(filled, "query", "ann", *DAY, *ALL, "--interval", "raw")
    titles = [line for line in shown.splitlines() if line.startswith("ann, ")]
    assert [title.split(",")[1] for title in titles] == [
        " raw of activities_heart_intraday",
        " raw of oxygen_saturation",
        " raw of respiratory_rate",
    ]
    assert [line for line in shown.splitlines() if line.endswith(" rows")] == ["2 rows", "3 rows", "1 rows"]
    rows = list(csv.DictReader(io.StringIO(said(filled, "query", "ann", *DAY, *ALL[2:], "--format", "csv"))))
    assert [(row["metric"], row["avg"]) for row in rows] == [
        ("oxygen_saturation", "96.08333333333333"),
        ("respiratory_rate", "14.5"),
    ]


def test_query_shows_daily_summaries_alone(filled: Place) -> None:
    shown = said(filled, "query", "ann", *DAY, "--metric", "activities_heart_summary")
    assert "1d of activities_heart_summary" in shown
    refusal = filled.refusal("query", "ann", *DAY, "--metric", "activities_heart_summary", "--metric", "spo2")
    assert refusal.startswith("pulsebase: --metric: activities_heart_summary cannot")


@pytest.mark.parametrize(
    "command",
    [
        ("query", "ann", *DAY),
        ("top-hours", "ann", *DAY),
        ("export", "--format", "csv", "--out", "none.csv"),
    ],
    ids=lambda command: command[0],
)
def test_what_is_no_metric_is_refused_by_the_options_name_with_those_there_are(
    filled: Place, command: Sequence[str]
) -> None:
    known = ", ".join(METRICS)
    refusal = filled.refusal(*command, "--metric", "pulse_ox")
    assert refusal == f"pulsebase: --metric: pulse_ox is no metric; there are {known}"
    assert not (filled.folder / "none.csv").exists()


def test_top_hours_are_of_a_metric(filled: Place) -> None:
    answer = json.loads(said(filled, "top-hours", "ann", *DAY, "--metric", "oxygen-saturation", "--format", "json"))
    assert [(row["hour"], row["count"]) for row in answer["data"]] == [("2024-01-01T00:00:00Z", 3)]
    of_heart_rate = json.loads(said(filled, "top-hours", "ann", *DAY, "--format", "json"))
    assert [row["avg"] for row in of_heart_rate["data"]] == [54.75]


def test_a_person_is_shown_with_what_is_stored_by_metric(filled: Place) -> None:
    rows = [line.split("│")[1:-1] for line in said(filled, "users", "show", "ann").splitlines() if "│" in line]
    found = {row[0].strip(): row[2].strip() for row in rows if len(row) > 2}
    assert found == {"heart_rate": "3", "oxygen_saturation": "4", "respiratory_rate": "1"}


def lines_of(metric: str) -> list[dict[str, Any]]:
    """What was sent of a metric, as an export writes it."""
    columns = ["heart_rate"] if metric == "heart_rate" else ["metric", "value"]
    value = columns[-1]
    names = ["user_id", "device_id", *columns, "timestamp", "confidence"]
    sent = [reading | {value: reading["value"]} for reading in SENT if reading["metric"] == metric]
    return [{name: reading[name] for name in names} for reading in sent]


def test_an_export_has_a_folder_for_each_metric(filled: Place) -> None:
    said(filled, "export", "--format", "ndjson", "--out", "all", *ALL)
    folders = {
        "readings": "heart_rate",
        "readings-oxygen-saturation": "oxygen_saturation",
        "readings-respiratory-rate": "respiratory_rate",
    }
    assert {path.name for path in (filled.folder / "all").iterdir() if path.is_dir()} == set(folders)
    for folder, metric in folders.items():
        files = sorted((filled.folder / "all" / folder).glob("date=*/part-0.ndjson"))
        found = [(file, json.loads(line)) for file in files for line in file.read_text().splitlines()]
        assert [line for _, line in found] == lines_of(metric)
        assert all(line["timestamp"][:10] in str(file) for file, line in found)


def test_an_export_into_one_file_names_the_metric_in_each_line(filled: Place) -> None:
    assert "6 readings exported" in said(
        filled, "export", "--format", "ndjson", "--out", "day.ndjson", *ALL, "--end", DAY[1]
    )
    found = [json.loads(line) for line in (filled.folder / "day.ndjson").read_text().splitlines()]
    assert len(found) == 6
    assert {(line["metric"], line["value"]) for line in found} == {
        (each["metric"], each["value"]) for each in SENT if each["timestamp"] < "2024-01-02"
    }
    said(filled, "export", "--format", "csv", "--out", "one.csv", "--metric", "spo2")
    rows = list(csv.DictReader((filled.folder / "one.csv").read_text().splitlines()))
    assert [(row["metric"], float(row["value"])) for row in rows] == [
        (line["metric"], line["value"]) for line in lines_of("oxygen_saturation")
    ]


def test_an_export_as_parquet_has_values_in_units(filled: Place) -> None:
    said(filled, "export", "--format", "parquet", "--out", "some", *ALL[2:])
    table = pq.read_table(filled.folder / "some" / "readings-oxygen-saturation", partitioning=None)
    assert table.column_names == ["user_id", "device_id", "metric", "timestamp", "value", "confidence"]
    assert sorted(table["value"].to_pylist()) == [94.5, 95, 96.25, 97]
    assert not (filled.folder / "some" / "readings").exists()


def test_an_export_is_of_heart_rate_unless_told_otherwise(filled: Place) -> None:
    said(filled, "export", "--format", "ndjson", "--out", "usual.ndjson")
    found = [json.loads(line) for line in (filled.folder / "usual.ndjson").read_text().splitlines()]
    assert found == lines_of("heart_rate")
