"""`import`, `imports` and `export` as commands, with a server on the store and without one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest

from pulsebase.etl.extract.parts import FileOwner, everybody_in
from pulsebase.etl.importer import Importer
from pulsebase.etl.load import ImportSink
from pulsebase.etl.records import RecordKeeper
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.model.health_codes import METRIC_OF_SCHEMA
from pulsebase.model.metrics import METRICS
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import Store
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.open import open_store
from pulsebase.stores.records import KINDS, everybody, records_of
from tests.cli.files import ISO_FILE, ISO_ROWS, US_FILE, US_ROWS, write_files
from tests.support.fit import activity
from tests.support.forks import fork_command
from tests.support.health_files import apple_export, apple_record, at, takeout_heart_rate, takeout_resting, zipped
from tests.support.process import Place, Server, serving, wait_until

TEN = at("2024-01-15T10:00:00")
SAMPLES = [(TEN + 3600 * n, 60 + n, n % 4) for n in range(60)]
#: Of every other metric than heart rate, at the edges of what is accepted, of two people and days.
NIGHT = [
    json.dumps(
        {
            "user_id": user_id,
            "device_id": "ring",
            "metric": name,
            "timestamp": f"2024-01-1{day}T03:00:00.{place:06}Z",
            "value": value,
            "confidence": confidence,
        }
    )
    + "\n"
    for day in (5, 8)
    for user_id in ("ann", "cat")
    for name, spec in METRICS.items()
    if name != "heart_rate"
    for place, (value, confidence) in enumerate(
        ((spec.low, None), (spec.high, 0), (spec.low + 1 / spec.scale, 3), (spec.high - 1 / spec.scale, 1))
    )
]
#: Every stored reading: who, on what, when, what, how sure.
ROWS = "SELECT user_id, device_id, timestamp::VARCHAR t, value, confidence FROM activities_heart_intraday ORDER BY ALL"


def stored(place: Place) -> list[dict[str, object]]:
    done = place.run("sql", ROWS, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Readings of three people, with confidences, halves of beats and fractions of seconds."""
    place = Place(tmp_path_factory.mktemp("full"))
    write_files(place.folder)
    (place.folder / "takeout.zip").write_bytes(zipped({"heart_rate-2024-01-15.json": takeout_heart_rate(SAMPLES)}))
    (place.folder / "more.ndjson").write_text(
        '{"user_id":"cat","device_id":"a+b","timestamp":"2024-01-15T23:59:59.999999Z","heart_rate":72.35}\n'
        '{"user_id":"cat","device_id":"a@b","timestamp":"2024-01-16T00:00:00Z","heart_rate":72,"confidence":0}\n'
    )
    (place.folder / "night.ndjson").write_text("".join(NIGHT))
    (place.folder / "resting.json").write_bytes(takeout_resting([("01/15/24", 54.5), ("01/20/24", 53.0)]))
    files = ("takeout.zip", US_FILE, "more.ndjson", "night.ndjson", "resting.json")
    assert place.run("import", *files, "--user", "ann").returncode == 0
    with opened(place) as store:
        store.put_user(User("dan", "Dan “D” Døe, Jr.", "other", date(1980, 2, 29), "Asia/Kathmandu"))
        store.put_user(User("ann", birth_date=date(1990, 4, 1)))
        store.put_priority(DevicePriority("cat", "a+b", 0, 1_705_312_800_500_000))
        store.put_priority(DevicePriority("cat", "a+b", None, 1_805_312_800_000_000))
        store.put_priority(DevicePriority("dan", "strap", 7))
        zones = (HeartRateZone("Fat Burn", 90, 120, 30, 123.456), HeartRateZone("Peak", None, None))
        store.put_summaries([DailySummary("dan", date(2023, 5, 6), None, None, zones, zones[:1])])
    return place


def everything_in(store: Store) -> dict[str, Any]:
    """What is stored, but for what brought it, in the answers that say it."""
    people = [each.user for each in everybody(store)]
    return {
        "people": list(everybody(store)),
        "records": {kind: [records_of(store, kind, user) for user in people] for kind in KINDS},
        "devices": [store.devices(user.user_id) for user in people],
        "readings": store.stored().drop_columns(["origin"]).to_pylist(),
    }


@contextlib.contextmanager
def opened(place: Place) -> Iterator[Store]:
    """The store of a place where no server runs."""
    store = open_store(f"duckdb:///{place.database}")
    try:
        yield store
    finally:
        store.close()


def test_files_of_any_kind_are_told_apart_by_what_is_in_them(place: Place) -> None:
    (place.folder / "a").write_bytes(takeout_heart_rate(SAMPLES))
    (place.folder / "b").write_bytes(apple_export([apple_record("2024-01-15 10:00:00 +0000", "72")]))
    (place.folder / "c").write_bytes(activity([(TEN, 70), (TEN + 1, 0)]))
    (place.folder / "d").write_bytes(takeout_resting([("01/15/24", 54.5)]))
    done = place.run("import", "a", "b", "c", "d", "--user", "ann")
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "a: 60 read, 60 written, 0 rejected",
        "b: 1 read, 1 written, 0 rejected",
        "c: 1 read, 1 written, 0 rejected",
        "d: 1 read, 0 written, 0 rejected, 1 day",
    ):
        assert line in done.stdout
    devices = {row["device_id"] for row in stored(place)}
    assert devices == {"takeout", "Ann-s-Apple-Watch", "garmin-3113-987654321"}


def test_every_refusal_is_written_to_the_file_asked_for(place: Place) -> None:
    lines = ["Id,Time,Value", *(f"7,2016-04-12 07:{n:02}:00,{n}" for n in range(60))]
    (place.folder / "low.csv").write_text("\n".join(lines) + "\n")
    done = place.run("import", "low.csv", "--rejects", "rejects.ndjson")
    assert "low.csv: 60 read, 30 written, 30 rejected" in done.stdout
    assert "… and 20 more" in done.stdout
    rejects = [json.loads(line) for line in (place.folder / "rejects.ndjson").read_text().splitlines()]
    assert rejects == [
        {"file": "low.csv", "line": 2 + n, "field": "heart_rate", "reason": "out of range 30–220"} for n in range(30)
    ]


def test_a_damaged_file_fails_the_command_and_keeps_its_good_part(place: Place) -> None:
    (place.folder / "cut.json").write_bytes(takeout_heart_rate(SAMPLES)[:-100])
    done = place.run("import", "cut.json", ISO_FILE, "--user", "ann")
    assert done.returncode == 1
    assert re.search(r"cut.json: 5\d read, 5\d written, 0 rejected", done.stdout)
    assert "cut.json: the file is cut short behind record 5" in done.stdout
    assert f"{ISO_FILE}: 1,080 read" in done.stdout


def test_what_cannot_be_imported_is_said_before_a_store_is_made(place: Place) -> None:
    assert place.refusal("import", "nowhere.json") == "pulsebase: nowhere.json: No such file or directory"
    assert "--user" in place.refusal("import", ISO_FILE, "--user", "n/a")
    assert "--tz" in place.refusal("import", ISO_FILE, "--tz", "Mars")
    assert not place.database.exists()


def test_imports_are_listed_and_undone(stocked: Place) -> None:
    (stocked.folder / "day.json").write_bytes(takeout_heart_rate(SAMPLES))
    done = stocked.run("import", "day.json", "--user", "undone")
    found = re.search(r"day.json is import (\d+)", done.stdout)
    assert found
    listed = stocked.run("imports", "list", COLUMNS="200").stdout
    assert re.search(rf"│ {found[1]} +│ import │ day.json 20\S+ +│ +60 +│ past", listed)
    assert f"{ISO_FILE} 20" in listed
    undone = stocked.run("imports", "undo", found[1])
    assert (
        undone.stdout
        == "60 readings removed. What they had replaced does not come back; people and daily summaries stay.\n"
    )
    assert [row for row in stored(stocked) if row["user_id"] == "undone"] == []
    assert stocked.run("check").returncode == 0
    assert stocked.refusal("imports", "undo", "99999") == "pulsebase: there is no import of that id"


def test_an_import_that_runs_is_not_undone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "small.csv").write_text("Id,Time,Value\nann,2024-01-15 10:00:00,70\n")
    header, line = "user_id,device_id,timestamp,heart_rate\n", "ann,a,2024-01-15T10:00:00Z,70\n"
    (tmp_path / "large.csv").write_text(header + line * 400_000)  # for many seconds, of which it is given few
    with serving(place) as server, (tmp_path / "out").open("wb") as out:
        command = ("import", "small.csv", "large.csv")
        running = fork_command(command, cwd=tmp_path, env=place.environment, stdout=out, stderr=out)
        wait_until(lambda: len(imports_of(server)) == 2, "some of it is stored")
        os.kill(running.pid, signal.SIGSTOP)
        large, small = imports_of(server)
        assert [large["status"], small["status"]] == ["running", "past"]
        assert server.client.delete(f"/v1/imports/{small['id']}").json() == {"deleted": 1}
        assert "the import still runs" in place.refusal("imports", "undo", str(large["id"]))
        running.kill()
        running.wait(30)
        assert imports_of(server)[0]["status"] == "past"
        assert server.client.delete(f"/v1/imports/{large['id']}").json() == {"deleted": 1}


def imports_of(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.client.get("/v1/imports").json()["data"]
    return found


def test_an_export_imported_elsewhere_gives_the_same_store(full: Place, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    done = full.run("export", "--format", "parquet", "--out", out)
    assert done.stdout == f"4 people and {122 + len(NIGHT)} readings exported to {out}\n"
    elsewhere = Place(tmp_path / "elsewhere")
    with opened(full) as store:
        expected = everything_in(store)
    for again in (False, True):  # a second time nothing is refused and nothing changes
        done = elsewhere.run("import", out)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"[1-9]\d* rejected", done.stdout) is None
        assert (re.search(r"[1-9]\d* written", done.stdout) is None) == again
        assert ("already there" in done.stdout) == again
        with opened(elsewhere) as store:
            assert everything_in(store) == expected
            assert store.check().problems == ()


@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        ("parquet", "parquet"),
        ("csv", "csv"),
        ("ndjson", "ndjson"),
        ("fhir", "ndjson"),
        ("fhir", "json"),
        ("omh", "json"),
    ],
)
def test_every_format_gives_the_same_store(full: Place, tmp_path: Path, form: str, suffix: str) -> None:
    with opened(full) as store:
        expected = everything_in(store)
    if form == "omh":  # what it cannot hold is said
        left_out = set(METRICS) - {metric.name for metric in METRIC_OF_SCHEMA.values()}
        expected["readings"] = [each for each in expected["readings"] if each["metric"] not in left_out]
    for name in ("out", f"out.{suffix}"):
        done = full.run("export", "--format", form, "--out", str(tmp_path / name))
        assert (done.returncode, done.stderr) == (0, "")
        told = re.findall(r"not exported: 16 readings of (\w+), for which Open mHealth has no schema", done.stdout)
        assert set(told) == (left_out if (form, name) == ("omh", "out") else set())
        store, rules = MemoryStore(), ReadingRules()
        with contextlib.closing(Ingestor(store)) as ingestor:
            sink = ImportSink(ingestor, store, RecordKeeper(store, rules, contextlib.nullcontext), rules, origin=1)
            owner = FileOwner(None, None, everybody_in(ZoneInfo("UTC")))
            results = list(Importer(sink, owner, 1 << 30).path(tmp_path / name))
        assert [(result.rejected, result.problem) for result in results] == [(0, None)] * len(results)
        there = everything_in(store)
        if name == "out":
            same = ["readings"] if form == "omh" else list(expected)
            assert {each: there[each] for each in same} == {each: expected[each] for each in same}
        else:  # one file holds the heart rates alone
            assert there["readings"] == [each for each in expected["readings"] if each["metric"] == "heart_rate"]
    assert len(store.stored()) == 122


def test_what_is_known_of_people_already_stays_and_is_said(full: Place, tmp_path: Path) -> None:
    assert full.run("export", "--format", "csv", "--out", str(tmp_path / "all")).returncode == 0
    elsewhere = Place(tmp_path / "elsewhere")
    assert elsewhere.run("users", "add", "dan", "--name", "Dana", "--time-zone", "Asia/Kathmandu").returncode == 0
    assert elsewhere.run("devices", "priority", "dan", "strap", "3").returncode == 0
    done = elsewhere.run("import", str(tmp_path / "all"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "all/people.ndjson: 4 read, 3 written, 1 rejected" in done.stdout
    assert "  line 4: name: is known otherwise here; what is known stays" in done.stdout
    assert "  line 3: priority: is known otherwise here; what is known stays" in done.stdout
    with opened(elsewhere) as store:
        assert store.user("dan") == User("dan", "Dana", "other", date(1980, 2, 29), "Asia/Kathmandu")
        assert store.priorities("dan") == [DevicePriority("dan", "strap", 3)]
    (tmp_path / "all" / "manifest.json").write_text('{"format":"pulsebase-export","version":99}')
    done = elsewhere.run("import", str(tmp_path / "all"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == (
        "all/manifest.json: the export was written by another version of the program; nothing of it was read"
    )
    assert "people" not in done.stdout


def test_an_export_by_day_is_read_by_others(full: Place) -> None:
    assert full.run("export", "--format", "parquet", "--out", "out").returncode == 0
    folder = full.folder / "out"
    assert {path.name for path in folder.iterdir()} == {
        *("annotations.ndjson", "manifest.json", "people.ndjson", "priorities.ndjson", "readings", "summaries.ndjson"),
        *(f"readings-{name.replace('_', '-')}" for name in METRICS if name != "heart_rate"),
    }
    days = [path.parent.name for path in sorted((folder / "readings").rglob("part-0.parquet"))]
    assert days == [f"date={day}" for day in ("2016-04-12", "2024-01-15", "2024-01-16", "2024-01-17")]
    others = f"SELECT metric, count(*) FROM '{folder}/readings-*/*/*.parquet' GROUP BY metric ORDER BY metric"
    assert duckdb.execute(others).fetchall() == [(name, 16) for name in sorted(METRICS) if name != "heart_rate"]
    frame = (
        pl.scan_parquet(folder / "readings", hive_partitioning=True)
        .filter(pl.col("date") == date(2024, 1, 16))
        .collect()
    )
    assert frame["user_id"].unique().sort().to_list() == ["ann", "cat"]
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert set(frame["timestamp"].dt.date()) == {date(2024, 1, 16)}
    asked = (
        f"SELECT count(*), min(heart_rate), max(heart_rate) FROM '{folder}/readings/*/*.parquet' WHERE user_id = 'ann'"
    )
    assert duckdb.execute(asked).fetchall() == [(60, 60.0, 119.0)]


def test_an_export_may_be_of_some_people_and_a_period(stocked: Place) -> None:
    asked = ("--user", "8", "--start", "2016-04-12T21:10", "--end", "2016-04-12")
    done = stocked.run("export", "--format", "csv", "--out", "some.csv", *asked)
    assert done.returncode == 0, done.stderr
    ten_past = datetime(2016, 4, 12, 21, 10, tzinfo=UTC)
    rows = [f"8,csv,{at:%Y-%m-%dT%H:%M:%SZ},{bpm}," for at, bpm in US_ROWS if at >= ten_past]
    lines = (stocked.folder / "some.csv").read_text().replace('"', "").splitlines()
    assert lines == ["user_id,device_id,timestamp,heart_rate,confidence", *rows]
    done = stocked.run("export", "--format", "ndjson", "--out", "both.ndjson", "--user", "8", "--user", "7")
    assert done.stdout == f"{len(ISO_ROWS) + len(US_ROWS):,} readings exported to both.ndjson\n"


def test_a_bundle_of_nothing_has_no_empty_list(stocked: Place) -> None:
    done = stocked.run("export", "--format", "fhir", "--start", "2030-01-01", "--out", "nothing.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((stocked.folder / "nothing.json").read_text()) == {"resourceType": "Bundle", "type": "collection"}


def test_an_export_that_cannot_be_leaves_nothing(stocked: Place) -> None:
    before = sorted(path.name for path in stocked.folder.iterdir())
    assert "exists already" in stocked.refusal("export", "--format", "csv", "--out", ISO_FILE)
    assert "exists already" in stocked.refusal("export", "--format", "csv", "--out", ".")
    assert "--format" in stocked.refusal("export", "--format", "xml", "--out", "new")
    refusal = stocked.refusal("export", "--format", "omh", "--out", "new", "--metric", "hrv_rmssd")
    assert "--metric: Open mHealth has no schema for hrv_rmssd" in refusal
    assert "nobody of that id" in stocked.refusal("export", "--format", "csv", "--out", "new", "--user", "nobody")
    assert "start" in stocked.refusal("export", "--format", "csv", "--out", "new", "--start", "soon")
    after = sorted(path.name for path in stocked.folder.iterdir())
    assert [name for name in after if not name.startswith(("store", "server"))] == [
        name for name in before if not name.startswith(("store", "server"))
    ]


def test_a_folder_of_another_programs_parquet_files_is_read(place: Place) -> None:
    """Days as a program that keeps readings with Polars writes them: times with a zone, without one, and as texts."""
    folder = place.folder / "data"
    folder.mkdir()
    rows = {"user_id": ["user_123", "user_123"], "device_id": ["device_a", "device_b"], "heart_rate": [75, 80]}
    for day, kind in ((15, pl.Datetime("us", "UTC")), (16, pl.Datetime("ns")), (17, pl.String())):
        times = pl.Series([f"2024-01-{day}T10:00:00Z", f"2024-01-{day}T10:00:01Z"])
        if isinstance(kind, pl.Datetime):
            times = times.str.to_datetime(time_zone="UTC").dt.replace_time_zone(kind.time_zone).cast(kind)
        frame = pl.DataFrame(rows).with_columns(pl.col("device_id").cast(pl.Categorical), times.alias("timestamp"))
        frame.write_parquet(folder / f"heart_rate_metrics_2024-01-{day}.parquet")
    done = place.run("import", "data")
    assert (done.returncode, done.stderr) == (0, "")
    line = "data: Parquet: 3 files, 6 read, 6 written, 0 rejected, 2024-01-15 to 2024-01-17"
    assert line in done.stdout.splitlines()
    found = {(str(row["t"])[:19], row["device_id"], row["value"]) for row in stored(place)}
    assert found == {
        (f"2024-01-{day} 10:00:0{second}", device_id, value)
        for day in (15, 16, 17)
        for second, device_id, value in ((0, "device_a", 75), (1, "device_b", 80))
    }
