"""Files that come by HTTP, the list of imports, and taking one back."""

from __future__ import annotations

import gzip
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulsebase.etl import importer
from pulsebase.etl.import_jobs import MOST_WAITING
from tests.api.conftest import Api, reading
from tests.api.test_border import assert_problem
from tests.support.app_databases import GADGETBRIDGE, sqlite_file
from tests.support.health_files import apple_export, apple_record, at, takeout_csv, takeout_heart_rate, tarred, zipped
from tests.support.process import wait_until

TEN = at("2024-01-15T10:00:00")
SAMPLES = [(TEN + n, 60 + n % 40, n % 4) for n in range(300)]
FILES = {
    "Takeout/heart_rate-2024-01-15.json": takeout_heart_rate(SAMPLES[:200]),
    "Takeout/letter.txt": b"Dear diary",
    "Takeout/heart_rate-2024-01-16.json": takeout_heart_rate(SAMPLES[200:]),
}
SERIES = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15&interval=raw&include=all"


def upload(api: Api, data: bytes, name: str = "takeout.zip", **parameters: Any) -> dict[str, Any]:
    """An import that has ended."""
    answer = api.post("/v1/imports", params={"name": name, "user_id": "ann"} | parameters, content=data)
    assert answer.status_code == 202, answer.text
    detail: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/imports/{detail['id']}"
    assert detail["status"] in ("waiting", "running", "done", "failed")
    return ended(api, detail["id"])


def ended(api: Api, number: int) -> dict[str, Any]:
    wait_until(lambda: show(api, number)["status"] in ("done", "failed"), "the import ends")
    return show(api, number)


def show(api: Api, number: int) -> dict[str, Any]:
    answer = api.get(f"/v1/imports/{number}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_files_of_apps_are_read_by_a_decoder_as_others_are(api: Api) -> None:
    """A database needs a temporary file there, and room in the memory that a decoder has."""
    minutes = [{"TIMESTAMP": TEN + 60 * n, "DEVICE_ID": 1, "HEART_RATE": 60 + n} for n in range(9)]
    point = "<trkpt><time>2024-01-15T10:00:00Z</time><extensions><hr>61</hr></extensions></trkpt>"
    files = {
        "Gadgetbridge.db": sqlite_file(GADGETBRIDGE, {"MI_BAND_ACTIVITY_SAMPLE": minutes}),
        "a.gpx": f"<gpx>{point}</gpx>".encode(),
        "zepp.csv": b"date,time,heartRate\n2024-01-15,11:00,63\n",
        "page.json": b'{"date":"2024-01-15","heart_rate_samples":[{"heart_rate":62,"sample_time":"11:00:00"}]}',
    }
    detail = upload(api, zipped(files), tz="Europe/Berlin")
    assert [(kind["kind"], kind["written"]) for kind in detail["course"]["kinds"]] == [
        ("Gadgetbridge database", 9),
        ("GPX", 1),
        ("Zepp", 1),
        ("Polar continuous heart rate", 1),
    ]
    columns = api.get(SERIES).json()["columns"]
    found = set(zip(columns["device_id"], columns["timestamp"], columns["value"], strict=True))
    ten = "2024-01-15T10:00:00Z"
    assert {("gpx", ten, 61.0), ("zepp", ten, 63.0), ("polar", ten, 62.0), ("gadgetbridge", ten, 60.0)} <= found
    assert len(found) == 12


def test_any_csv_is_read_as_the_parameters_say_and_summed_up(api: Api) -> None:
    lines = b"day;clock;Puls;who\n15.01.2024;10:00;63,5;ann\n15.01.2024;10:01;250;bo\n16.01.2024;10:00;64;bo\n"
    said = {"time_column": ["day", "clock"], "value_column": "3", "metric": "heart_rate", "user_column": "who"}
    said |= {"time_format": "%d.%m.%Y %H:%M", "tz": "Europe/Berlin", "decimal_comma": "true", "delimiter": "semicolon"}
    detail = upload(api, lines, "strap.csv", **said)
    course = detail["course"]
    assert (detail["status"], course["people"], course["rejected"]) == ("done", 2, 1)
    assert (course["first_day"], course["last_day"], course["read_bytes"]) == ("2024-01-15", "2024-01-16", len(lines))
    assert course["refused"] == [{"reason": "heart_rate: out of range 30–220", "count": 1}]
    assert course["files"][0]["read_as"] == (
        "time from column day and column clock (%d.%m.%Y %H:%M), heart_rate from column Puls, people from column who, "
        "columns separated by semicolons"
    )
    near = upload(api, lines, "strap.csv", time_column="day", value_column="Puls", metric="heart_rate", user_id="ann")
    assert (near["status"], near["course"]["failure"]) == ("failed", "nothing was read")
    assert "say their layout with --time-format" in near["course"]["files"][0]["problem"]
    wrong = api.post("/v1/imports?name=a&time_format=soon", content=lines)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "time_format")


def test_an_upload_is_imported_in_the_background(any_api: Api) -> None:
    detail = upload(any_api, zipped(FILES))
    assert (detail["status"], detail["readings"]) == ("done", 300)
    assert detail["name"].startswith("takeout.zip 20")
    course = detail["course"]
    days = {"first_day": "2024-01-15", "last_day": "2024-01-15", "passed_over": {}}

    def counts(of: int) -> dict[str, int]:
        return {"read": of, "written": of, "rejected": 0, "unchanged": 0, "repeated": 0}

    assert course == {
        "size_bytes": len(zipped(FILES)),
        "read_bytes": len(zipped(FILES)),
        "file_count": 2,
        "files": [
            {
                "name": f"takeout.zip/Takeout/heart_rate-2024-01-{day}.json",
                "kind": "Takeout heart rate",
                "days": 0,
                "problem": None,
                "remark": None,
                "read_as": None,
                "metrics": [{"metric": "heart_rate"} | counts(count)],
                **counts(count),
                **days,
            }
            for day, count in ((15, 200), (16, 100))
        ],
        "kinds": [
            {
                "kind": "Takeout heart rate",
                "files": 2,
                "empty": 0,
                "days": 0,
                "read_as": {},
                "metrics": [{"metric": "heart_rate"} | counts(300)],
            }
            | counts(300)
            | days
        ],
        "unread": {
            "named_count": 0,
            "other_count": 1,
            "named": [],
            "alike": {},
            "others": ["takeout.zip/Takeout/letter.txt"],
            "endings": {".txt": 1},
        },
        "remark": None,
        "people": 1,
        "first_day": "2024-01-15",
        "last_day": "2024-01-15",
        "metrics": [{"metric": "heart_rate"} | counts(300)],
        "refused": [],
        "read": 300,
        "written": 300,
        "unchanged": 0,
        "repeated": 0,
        "rejected": 0,
        "days": 0,
        "errors": [],
        "failure": None,
    }
    assert any_api.get(SERIES).json()["count"] == 300


def test_refusals_and_damage_are_in_the_course(api: Api) -> None:
    records = [apple_record("2024-01-15 10:00:00 +0000", "72"), apple_record("2024-01-15 10:00:01 +0000", "500")]
    course = upload(api, apple_export(records)[:-20], "export.xml", device_id="watch")["course"]
    assert course["files"][0]["problem"].startswith("the file is cut short at line ")
    assert course["errors"] == [
        {
            "file": "export.xml",
            "counts": "record",
            "index": 2,
            "field": "heart_rate",
            "reason": "out of range 30–220",
        }
    ]
    assert (course["written"], course["rejected"], course["failure"]) == (1, 1, None)
    assert set(api.get(SERIES).json()["columns"]["device_id"]) == {"watch"}


def test_what_is_not_read_is_in_the_course(any_api: Api) -> None:
    files = FILES | {f"Takeout/oxygen_saturation_2024-01-{day}.csv": b"timestamp,value\n" for day in range(10, 20)}
    files |= {
        "day.json": b'{"Data Source": "raw:com.google.heart_rate.bpm:x"}',
        "deep.zip": zipped({"deeper.zip": zipped(FILES)}),
    }
    files["heart_rate_2024-01-17.csv"] = takeout_csv(
        [("2024-01-17T10:00:00Z", "", ""), ("2024-01-17T10:00:01Z", "70", "")]
    )
    detail = upload(any_api, zipped(files))
    assert (detail["status"], detail["course"]["failure"]) == ("done", None)
    unread = detail["course"]["unread"]
    name = "takeout.zip/Takeout/oxygen_saturation_2024-01-"
    assert unread["named"] == [
        *({"name": f"{name}{day}.csv", "what": "looks like vital signs"} for day in (10, 11, 12)),
        {"name": "takeout.zip/day.json", "what": "Google Fit"},
        {
            "name": "takeout.zip/deep.zip/deeper.zip",
            "what": "an archive that lies too deep in others; unpack it first",
        },
    ]
    assert unread["alike"] == {"takeout.zip/Takeout/oxygen_saturation_#.csv": 7}
    assert (unread["named_count"], unread["other_count"]) == (12, 1)
    passed_over = {each["kind"]: each["passed_over"] for each in detail["course"]["kinds"]}
    assert passed_over == {"Takeout heart rate": {}, "Takeout heart rate, CSV": {"lines without a value": 1}}
    assert detail["course"]["files"][-1]["passed_over"] == {"lines without a value": 1}


def test_a_tgz_is_read(api: Api) -> None:
    assert upload(api, tarred(FILES, pack=True), "takeout.tgz")["readings"] == 300


@pytest.mark.parametrize(
    ("data", "user_id", "failure"),
    [
        (b"Dear diary", "ann", "nothing was read"),
        (zipped({"a.txt": b"Dear diary"}), "ann", "nothing was read"),
        (zipped(FILES), None, "nothing was read"),
        (b"Id,Time,Value\n", None, "nothing was read"),
        (b"Id,Time,Value\nann,2024-01-15 10:00:00,7\n", None, "every record was refused"),
        (b"timestamp,beats per minute\n2024-01-15T10:00:00Z,70\n", "ann", "nothing was read"),
    ],
)
def test_an_import_that_comes_to_nothing_has_failed(api: Api, data: bytes, user_id: str | None, failure: str) -> None:
    asked = {"name": "upload"} | ({} if user_id is None else {"user_id": user_id})
    detail = ended(api, api.post("/v1/imports", params=asked, content=data).json()["id"])
    assert (detail["status"], detail["course"]["failure"], detail["readings"]) == ("failed", failure, 0)


def test_a_day_without_a_record_has_not_failed(api: Api) -> None:
    detail = upload(api, b"[]", "heart_rate-2024-01-15.json")
    assert (detail["status"], detail["course"]["kinds"][0]["empty"]) == ("done", 1)


def test_an_upload_may_be_packed_for_the_way(api: Api) -> None:
    answer = api.post(
        "/v1/imports",
        params={"name": "a.json", "user_id": "ann"},
        content=gzip.compress(FILES["Takeout/heart_rate-2024-01-15.json"]),
        headers={"Content-Encoding": "gzip"},
    )
    assert ended(api, answer.json()["id"])["readings"] == 200


def test_local_times_are_read_in_the_zone(api: Api) -> None:
    course = upload(api, b"Id,Time,Value\nann,2024-01-15 10:00:00,70\n", "day.csv", tz="America/Chicago")["course"]
    assert course["remark"] is None
    assert api.get(SERIES).json()["columns"]["timestamp"] == ["2024-01-15T16:00:00Z"]


def test_local_times_are_read_in_each_persons_own_zone(api: Api) -> None:
    api.put("/v1/users/ann", json={"time_zone": "Australia/Melbourne"})
    lines = b"ann,2024-01-15 10:00:00,70\nbob,2024-01-15 10:00:00,71\n"
    course = upload(api, b"Id,Time,Value\n" + lines, "day.csv")["course"]
    assert course["remark"] == (
        "local times of one person were read as UTC: no other zone is known of them, and none was named for the import"
    )
    assert api.parts.store.stored()["time_us"].to_pylist() == [
        (TEN - 11 * 3600) * 1_000_000,
        TEN * 1_000_000,
    ]


def test_imports_are_listed_newest_first_page_by_page(any_api: Api) -> None:
    any_api.store(reading(user_id="bob"))  # what devices push is no import
    numbers = [upload(any_api, zipped(FILES), name)["id"] for name in ("a.zip", "b.zip", "c.zip")]
    first = any_api.get("/v1/imports?limit=2").json()
    assert [each["id"] for each in first["data"]] == numbers[:0:-1]
    # The same readings came three times; they are of the first who brought them.
    assert [each["readings"] for each in first["data"]] == [0, 0]
    course = show(any_api, numbers[2])["course"]
    assert (course["read"], course["written"], course["unchanged"], course["rejected"]) == (300, 0, 300, 0)
    second = any_api.get(f"/v1/imports?limit=2&cursor={first['next_cursor']}").json()
    assert ([each["id"] for each in second["data"]], second["next_cursor"]) == (numbers[:1], None)
    assert second["data"][0]["readings"] == 300
    assert second["data"][0].keys() == {"id", "kind", "name", "received_at", "readings", "status"}


def test_undoing_an_accidental_second_import_leaves_everything(any_api: Api) -> None:
    first, second = (upload(any_api, zipped(FILES), name)["id"] for name in ("a.zip", "b.zip"))
    assert any_api.delete(f"/v1/imports/{second}").json() == {"deleted": 0}
    assert any_api.get(SERIES).json()["count"] == 300
    assert any_api.delete(f"/v1/imports/{first}").json() == {"deleted": 300}
    assert any_api.get(SERIES).json()["count"] == 0


def test_an_import_is_undone_but_for_what_came_again(any_api: Api) -> None:
    any_api.store(reading("2024-01-15T10:00:00Z", 50, device_id="takeout"), reading("2024-01-15T11:00:00Z", 51))
    number = upload(any_api, zipped(FILES))["id"]
    any_api.store(reading("2024-01-15T10:00:05Z", 55, device_id="takeout"))
    assert any_api.delete(f"/v1/imports/{number}").json() == {"deleted": 299}
    answer = any_api.get(SERIES).json()["columns"]
    assert list(zip(answer["timestamp"], answer["value"], strict=True)) == [
        ("2024-01-15T10:00:05Z", 55.0),
        ("2024-01-15T11:00:00Z", 51.0),
    ]
    assert any_api.delete(f"/v1/imports/{number}").json() == {"deleted": 0}
    assert show(any_api, number)["readings"] == 0


def test_imports_outlive_the_server_but_not_their_course(installed: Callable[..., Api], tmp_path: Path) -> None:
    path = f"duckdb:///{tmp_path / 'store.duckdb'}"
    api = installed(store_url=path)
    number = upload(api, zipped(FILES))["id"]
    api.parts.services.imports.close()
    api.parts.ingestor.close()
    api.parts.store.close()
    again = installed(store_url=path)
    detail = show(again, number)
    assert (detail["status"], detail["readings"], detail["course"]) == ("past", 300, None)
    assert again.delete(f"/v1/imports/{number}").json() == {"deleted": 300}


def test_nothing_else_is_an_import(api: Api) -> None:
    api.store(reading())
    push = api.parts.services.push_origin
    for path in (f"/v1/imports/{push}", "/v1/imports/999"):
        assert_problem(api.get(path), 404, "not-found")
        assert_problem(api.delete(path), 404, "not-found")
    assert_problem(api.get("/v1/imports/first"), 400, "invalid-request")
    assert api.get(SERIES).json()["count"] == 1


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a", "user_id": "n/a"}, "user_id"),
        ({"name": "a", "device_id": "my/band"}, "device_id"),
        ({"name": "a", "tz": "Mars"}, "tz"),
        ({"name": "a", "user": "ann"}, "user"),
    ],
)
def test_a_wrong_parameter_is_named_and_nothing_imported(api: Api, parameters: dict[str, str], field: str) -> None:
    body = assert_problem(api.post("/v1/imports", params=parameters, content=zipped(FILES)), 400, "invalid-request")
    assert [error["field"] for error in body["errors"]] == [field]
    assert api.get("/v1/imports").json()["data"] == []


def test_an_upload_beyond_the_limit_is_refused(installed: Callable[..., Api]) -> None:
    api = installed(import_limit_bytes=5_000)
    answer = api.post("/v1/imports", params={"name": "a"}, content=bytes(5_001))
    assert_problem(answer, 413, "body-too-large")
    assert api.get("/v1/imports").json()["data"] == []
    course = upload(api, gzip.compress(FILES["Takeout/heart_rate-2024-01-15.json"]), "a.gz")["course"]
    assert course["files"][0]["problem"] == "unpacked it is larger than 5000 bytes"


def test_a_name_may_hold_whatever_a_file_name_can(any_api: Api) -> None:
    detail = upload(any_api, takeout_heart_rate(SAMPLES[:1]), name="a\x00b\nc.json")
    assert (detail["status"], detail["name"][:8]) == ("done", "a\ufffdb\ufffdc.js")


def test_no_more_uploads_wait_than_there_is_room_for(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(uploads))
    gate = threading.Event()
    write = api.parts.ingestor.write
    monkeypatch.setattr(api.parts.ingestor, "write", lambda *given: gate.wait(30) and write(*given))
    data = takeout_heart_rate(SAMPLES)
    numbers = []
    for place in range(1 + MOST_WAITING):
        answer = api.post("/v1/imports", params={"name": "a", "user_id": "ann"}, content=data)
        numbers.append(answer.json()["id"])
        if place == 0:
            wait_until(lambda: show(api, numbers[0])["status"] == "running", "the first import runs")
    answer = api.post("/v1/imports", params={"name": "a", "user_id": "ann"}, content=data)
    assert_problem(answer, 503, "unavailable")
    assert api.parts.services.imports.busy
    gate.set()
    assert [ended(api, number)["status"] for number in numbers] == ["done"] * len(numbers)
    assert not api.parts.services.imports.busy
    assert list(uploads.iterdir()) == []


def test_an_import_that_waits_or_runs_is_cancelled_and_what_it_stored_removed_afterwards(
    installed: Callable[..., Api], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api = installed()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gate = threading.Event()
    write = api.parts.ingestor.write
    monkeypatch.setattr(api.parts.ingestor, "write", lambda *given: gate.wait(30) and write(*given))
    data = takeout_heart_rate(SAMPLES)
    running, waiting = (
        api.post("/v1/imports", params={"name": "a", "user_id": user_id}, content=data).json()["id"]
        for user_id in ("ann", "ben")
    )
    wait_until(lambda: show(api, running)["status"] == "running", "the first import runs")
    for number in (waiting, running):
        answer = api.delete(f"/v1/imports/{number}")
        assert (answer.status_code, answer.json()) == (202, {"deleted": 0})
    gate.set()
    for number in (running, waiting):
        detail = ended(api, number)
        assert (detail["status"], detail["course"]["failure"]) == ("failed", "it was cancelled")
        assert number == running or detail["readings"] == 0
        answer = api.delete(f"/v1/imports/{number}")
        assert (answer.status_code, answer.json()) == (200, {"deleted": detail["readings"]})
    assert api.parts.store.stored().num_rows == 0
    assert list(tmp_path.glob("pulsebase-import-*")) == []


def test_a_server_that_stops_ends_what_it_imports(
    installed: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = installed()
    gate = threading.Event()
    write = api.parts.ingestor.write
    monkeypatch.setattr(importer, "_READINGS_AT_ONCE", 1)
    monkeypatch.setattr(api.parts.ingestor, "write", lambda *given: gate.wait(30) and write(*given))
    files = {f"{n}.json": takeout_heart_rate([SAMPLES[n]]) for n in range(50)}
    answer = api.post("/v1/imports", params={"name": "a", "user_id": "ann"}, content=zipped(files))
    number = answer.json()["id"]
    wait_until(lambda: show(api, number)["status"] == "running", "the import runs")
    closing = threading.Thread(target=api.parts.services.imports.close)
    closing.start()
    gate.set()
    closing.join(30)
    assert not closing.is_alive()
    detail = show(api, number)
    assert (detail["status"], detail["course"]["failure"]) == ("failed", "the server stopped")
    assert detail["course"]["written"] < 50


def test_values_are_of_the_metric_that_the_upload_names(api: Api) -> None:
    data = (
        b"user_id,device_id,timestamp,value\nann,ring,2024-01-15T10:00:00Z,96.5\nann,ring,2024-01-15T10:01:00Z,0.96\n"
    )
    unsaid = upload(api, data, "ring.csv")
    assert (unsaid["status"], unsaid["readings"]) == ("failed", 0)
    assert unsaid["course"]["files"][0]["problem"].startswith("metric: is not said of these values")
    detail = upload(api, data, "ring.csv", metric="oxygen-saturation")
    assert (detail["status"], detail["readings"]) == ("done", 1)
    counted = {"metric": "oxygen_saturation", "read": 2, "written": 1, "unchanged": 0, "repeated": 0, "rejected": 1}
    (file,), (kind,) = detail["course"]["files"], detail["course"]["kinds"]
    assert file["metrics"] == kind["metrics"] == [counted]
    (refused,) = detail["course"]["errors"]
    assert (refused["index"], refused["field"]) == (2, "oxygen_saturation")
    minutes = {"user_id": "ann", "start": "2024-01-15", "end": "2024-01-15"}
    assert [each["value"] for each in api.get("/v1/metrics/spo2", params=minutes).json()["data"]] == [96.5]


@pytest.mark.parametrize("metric", ["SpO2", "hrv", "", "oxygen saturation"])
def test_an_upload_of_an_unknown_metric_is_refused_at_once(api: Api, metric: str) -> None:
    answer = api.post("/v1/imports", params={"name": "x", "metric": metric}, content=b"")
    assert_problem(answer, 400, "invalid-request")
    assert answer.json()["errors"][0]["field"] == "metric"
