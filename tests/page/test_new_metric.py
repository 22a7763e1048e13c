"""A metric that the product does not know, added in one entry: everything works with it, in every process."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.page.conftest import opener
from tests.page.server import newer_server, zulu
from tests.support.postgres import empty_timescale
from tests.support.process import run_command

NOON = 1_705_320_000_000  # 12:00 on the fifteenth of January 2024, UTC
MINUTE_MS = 60_000
#: From 12:00 to 14:00, a value a minute: 4.25 mmol/l, and 0.25 more with each, three times over.
VALUES = {NOON + n * MINUTE_MS: 4.25 + n % 40 * 0.25 for n in range(120)}
DAY = {"start_date": "2024-01-15", "end_date": "2024-01-15"}
PERIOD = {"start": "2024-01-15", "end": "2024-01-15"}
#: Asks as the owner's commands do, and prints the rows of the stream that answers.
EXPORT = """
import json, sys, pyarrow as pa
from pulsebase.cli.session import session
from pulsebase.settings import Settings

with session(Settings()) as owner:
    answer = owner.get("/v1/admin/export", params={"metric": "blood_glucose", "user_ids": sys.argv[1]})
    rows = pa.ipc.open_stream(answer.content).read_all()
print(json.dumps(rows.drop_columns("time").to_pylist()))
"""


@dataclass(frozen=True)
class Newer:
    """A server with the entry: its client, and the environment of its commands."""

    http: httpx.Client
    address: str
    folder: Path
    environment: Mapping[str, str]

    def store(self, user_id: str, values: Mapping[int, float] = VALUES) -> None:
        """Send a person's values in a batch."""
        readings = [value(at, user_id, each) for at, each in values.items()]
        answer = self.http.post("/v1/metrics/blood-glucose/batch", json={"readings": readings})
        assert answer.json()["accepted"] == len(readings), answer.text

    def run(self, *command: str) -> str:
        """What a command of the same version prints."""
        done = run_command(command, cwd=self.folder, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout


def value(at_ms: int, user_id: str, number: float, **more: Any) -> dict[str, Any]:
    return {"user_id": user_id, "device_id": "meter", "timestamp": zulu(at_ms), "value": number} | more


@pytest.fixture(scope="module", params=["duckdb", "timescale"])
def newer(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Newer]:
    settings = {"PULSEBASE_METRIC_BOUNDS": "blood_glucose=2:30"}
    if request.param == "timescale":
        settings |= {"PULSEBASE_STORE_URL": empty_timescale(), "PULSEBASE_POOL_SIZE": "1"}
    folder = tmp_path_factory.mktemp("newer")
    settings |= {"XDG_DATA_HOME": str(folder)}
    with (
        newer_server(folder, settings) as (address, environment),
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        yield Newer(http, address, folder, environment)


def test_it_is_listed_as_its_entry_has_it(newer: Newer) -> None:
    listed = newer.http.get("/v1/metrics").json()["data"]
    assert listed[-1] == {"metric": "blood_glucose", "title": "Blood glucose", "unit": "mmol/l", "min": 2, "max": 30}
    assert len(listed) == 10
    assert "blood_glucose" in newer.run("openapi")


def test_it_comes_in_by_every_door(newer: Newer) -> None:
    http = newer.http
    assert http.post("/v1/metrics/blood-glucose", json=value(NOON, "ann", 5.55)).status_code == 202
    assert http.post("/v1/metrics/glucose", json=value(NOON + 1000, "ann", 5.5)).status_code == 202
    batch = [value(NOON + 2000, "ann", 5.25), value(NOON + 3000, "ann", 99)]
    answer = http.post("/v1/metrics/blood_glucose/batch", json={"readings": batch}).json()
    assert (answer["accepted"], answer["errors"]) == (
        1,
        [{"index": 1, "field": "value", "reason": "out of range 2–30; send millimoles per litre, 5.5 rather than 99"}],
    )
    one = value(NOON + 4000, "ann", 5, metric="blood_glucose")
    assert http.post("/v1/readings", json=one).status_code == 202
    several = [value(NOON + 5000, "ann", 6, metric="blood-glucose"), value(NOON, "ann", 97, metric="spo2")]
    assert http.post("/v1/readings/batch", json={"readings": several}).json()["accepted"] == 2
    lines = io.StringIO()
    rows = csv.DictWriter(lines, list(value(NOON, "ann", 6)))
    rows.writeheader()
    rows.writerows(value(NOON + second * 1000, "ann", 7) for second in range(6, 10))
    csv_type = {"Content-Type": "text/csv"}
    answer = http.post("/v1/metrics/blood-glucose/bulk", content=lines.getvalue(), headers=csv_type)
    assert answer.json()["accepted"] == 4, answer.text
    asked = DAY | {"user_id": "ann", "metric": "blood_glucose", "interval": "raw"}
    found = http.get("/v1/timeseries", params=asked).json()
    assert found["columns"]["value"] == [5.55, 5.5, 5.25, 5, 6, 7, 7, 7, 7]
    assert http.get("/v1/timeseries", params=DAY | {"user_id": "ann"}).json()["count"] == 0  # no heart rate


def test_it_is_imported_from_files(newer: Newer, tmp_path: Path) -> None:
    named, plain = tmp_path / "named.csv", tmp_path / "plain.csv"
    for file, rows in (
        (named, [value(NOON + n * 1000, "gus", 5 + n, metric="blood_glucose") for n in range(3)]),
        (plain, [value(NOON + n * 1000, "gus", 5 + n) for n in range(3, 5)]),
    ):
        with file.open("w", newline="") as text:
            lines = csv.DictWriter(text, list(rows[0]))
            lines.writeheader()
            lines.writerows(rows)
    assert "blood_glucose: 3 read, 3 written" in newer.run("import", str(named))
    assert "2 written" in newer.run("import", str(plain), "--metric", "glucose")
    asked = DAY | {"user_id": "gus", "metric": "blood_glucose", "interval": "raw"}
    assert newer.http.get("/v1/timeseries", params=asked).json()["columns"]["value"] == [5, 6, 7, 8, 9]
    moved = tmp_path / "gus.zip"
    moved.write_bytes(newer.http.get("/v1/users/gus/export").content)
    assert "blood_glucose: 5 read, 0 written, 5 already there" in newer.run("import", str(moved))


def test_it_is_asked_for_at_every_rung(newer: Newer) -> None:
    newer.store("bob")
    values = list(VALUES.values())
    for user_id, checked in (("bob", False), ("bob", True)):
        if checked:  # which merges what waits
            assert "The store is sound." in newer.run("check")
        for interval, size in (("raw", 1), ("1m", 1), ("15m", 15), ("1h", 60), ("1d", 120)):
            asked = DAY | {"user_id": user_id, "metric": "blood_glucose", "interval": interval}
            found = newer.http.get("/v1/timeseries", params=asked).json()
            parts = [values[first : first + size] for first in range(0, 120, size)]
            table = "blood_glucose" if interval == "raw" else f"blood_glucose_{interval}"
            assert (found["metric"], found["unit"], found["table"]) == ("blood_glucose", "mmol/l", table)
            columns = found["columns"]
            if interval == "raw":
                assert columns["value"] == values
                continue
            assert columns["avg"] == pytest.approx([sum(part) / size for part in parts])
            assert columns["min"] == list(map(min, parts))
            assert columns["max"] == list(map(max, parts))
            assert columns["count"] == [size] * len(parts)
    minutes = newer.http.get("/v1/metrics/blood-glucose", params=PERIOD | {"user_id": "bob"}).json()["data"]
    assert [each["value"] for each in minutes] == values
    top = newer.http.get("/v1/users/bob/blood-glucose/top-hours", params=PERIOD).json()["data"]
    assert top == pytest.approx(sorted((sum(values[:60]) / 60, sum(values[60:]) / 60), reverse=True))
    (had,) = newer.http.get("/v1/users/bob/metrics").json()["data"]
    assert (had["metric"], had["title"], had["readings"]) == ("blood_glucose", "Blood glucose", 120)


def test_the_page_shows_it_in_its_unit(newer: Newer, browser: Browser) -> None:
    newer.store("cy")
    heart = [
        {"user_id": "cy", "device_id": "strap", "timestamp": zulu(at), "heart_rate": 60 + n % 30}
        for n, at in enumerate(VALUES)
    ]
    assert newer.http.post("/v1/metrics/heart-rate/batch", json={"readings": heart}).json()["accepted"] == 120
    visits = opener(browser, newer.address)
    seen = next(visits)(f"/app/person?people=cy&start={zulu(NOON)}&end={zulu(NOON + 120 * MINUTE_MS)}&tz=UTC")
    choice = seen.page.get_by_role("group", name="Shown below heart rate").get_by_role("button")
    seen.unfold("Metrics")
    expect(choice).to_have_text(["Blood glucose"])
    seen.choose("Metrics", "Blood glucose")
    expect(seen.page).to_have_url(re.compile("&metric=blood_glucose$"))
    pane = seen.page.get_by_role("region", name="Blood glucose", exact=True)
    expect(pane.get_by_role("heading")).to_have_text("Blood glucose mmol/l")
    chart = seen.page.locator(".pane[data-metric=blood_glucose] .chart")
    expect(chart).to_have_attribute("data-pieces", re.compile(r'^\{"cy":\[\[\d+,\d+\]\]\}$'))
    seen.page.get_by_role("button", name="Table").click()
    expect(pane.get_by_role("table")).to_contain_text("Blood glucose in mmol/l")
    expect(pane.get_by_role("table")).to_contain_text("4.5")
    with pytest.raises(StopIteration):
        next(visits)


def test_it_is_exported_for_the_person_and_for_the_owner(newer: Newer) -> None:
    some = dict(list(VALUES.items())[:3])
    newer.store("di", some)
    archive = zipfile.ZipFile(io.BytesIO(newer.http.get("/v1/users/di/export").content))
    lines = archive.read("readings-blood-glucose.ndjson").decode().splitlines()
    expected = [value(at, "di", each, metric="blood_glucose", confidence=None) for at, each in some.items()]
    assert [json.loads(line) for line in lines] == expected
    row = {"user_id": "di", "device_id": "meter", "confidence": None, "metric": "blood_glucose"}
    command = [sys.executable, "-c", EXPORT, "di"]
    exported = json.loads(subprocess.run(command, env=newer.environment, capture_output=True, check=True).stdout)
    assert exported == [row | {"value": round(each * 100)} for each in some.values()]


def test_it_is_deleted_and_erased_with_the_person(newer: Newer) -> None:
    http = newer.http
    newer.store("eve")
    assert http.post("/v1/metrics/spo2", json=value(NOON, "eve", 97)).status_code == 202
    half = {"user_id": "eve", "start": zulu(NOON), "end": zulu(NOON + 60 * MINUTE_MS)}
    assert http.delete("/v1/metrics/blood-glucose", params=half).json() == {"deleted": 60}
    had = {each["metric"]: each["readings"] for each in http.get("/v1/users/eve/metrics").json()["data"]}
    assert had == {"oxygen_saturation": 1, "blood_glucose": 60}
    receipt = http.delete("/v1/users/eve")
    assert receipt.status_code in (200, 202), receipt.text
    asked = DAY | {"user_id": "eve", "metric": "blood_glucose"}
    assert http.get("/v1/timeseries", params=asked).status_code == 404
    assert "The store is sound." in newer.run("check")


def test_a_version_without_the_entry_says_what_it_does_not_know(newer: Newer, tmp_path: Path) -> None:
    newer.store("fay", dict(list(VALUES.items())[:1]))
    if "duckdb" in newer.environment["PULSEBASE_STORE_URL"]:  # one process has it open: a copy is asked
        newer.run("backup", str(tmp_path / "copy"))
        store_url = f"duckdb:///{next((tmp_path / 'copy').glob('*.duckdb'))}"
    else:
        store_url = newer.environment["PULSEBASE_STORE_URL"]
    older = {
        name: text for name, text in newer.environment.items() if name not in ("PYTHONPATH", "PULSEBASE_METRIC_BOUNDS")
    }
    for command in (("serve", "--port", "0"), ("check",)):
        done = run_command(command, cwd=tmp_path, env=older | {"PULSEBASE_STORE_URL": store_url})
        assert done.returncode == 1
        said = "has readings of the metric blood_glucose, which this version does not know: install a newer Pulsebase"
        assert said in done.stderr
