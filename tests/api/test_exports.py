"""Everything of one person, and the export over the owner's socket."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable, Generator
from datetime import date
from typing import Any

import pytest

from pulsebase.access.caller import Caller
from pulsebase.access.keys import Principal
from pulsebase.access.service import KeyRequest, create_key
from pulsebase.api.border import bounded_response as held
from pulsebase.api.border.bounded_response import BoundedResponse
from pulsebase.etl.extract.unread import unread
from pulsebase.etl.state import RunReport
from pulsebase.model.annotations import Annotation
from pulsebase.model.metrics import METRICS
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.users import DevicePriority, User
from pulsebase.sources.oauth import TokenPair
from tests.api.conftest import Api, reading
from tests.api.test_border import assert_problem
from tests.api.test_imports import upload


def test_a_person_can_be_taken_along_whole(any_api: Api, installed: Callable[..., Api]) -> None:
    readings = [reading(f"2024-01-1{n}T10:00:00.5Z", 70 + n / 4, device_id="device_b") for n in range(9)]
    readings += [reading(f"2024-01-1{n}T10:00:00Z", 80, confidence=n % 4) for n in range(9)]
    any_api.store(*readings, reading(user_id="bob"))
    store = any_api.parts.store
    store.put_user(User("ann", "Ann", "female", date(1990, 4, 1), "Europe/Berlin"))
    store.put_priority(DevicePriority("ann", "device_b", 0, 1_000_000))
    store.put_annotations([Annotation("ann", "run", 1_705_312_800_000_000, 1_705_312_800_500_000, "a run")])
    store.put_annotations([Annotation("bob", "run", 1_705_312_800_000_000, None, "his own")])
    store.put_summaries([DailySummary("ann", date(2024, 1, 10), 54.5, "fitbit", (HeartRateZone("Peak", 153, 220, 7),))])
    state = any_api.parts.services.sync.state
    state.connect("ann", "fitbit", "account of ann", 1)
    state.add_run(RunReport("fitbit", "heart_rate", "ann", "done", 3, 3, 0, 0, {}, 1, 0.5))
    state.add_run(RunReport("fitbit", "heart_rate", "bob", "done", 4, 4, 0, 0, {}, 1, 0.5))
    any_api.parts.services.connections._tokens.keep("ann", "fitbit", TokenPair("to be sealed", "to be sealed", 1, None))
    answer = any_api.get("/v1/users/ann/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name).decode() for name in archive.namelist()}
    records = {name: [json.loads(line) for line in found[name].splitlines()] for name in found if "ndjson" in name}
    assert json.loads(found["manifest.json"]) == {"format": "pulsebase-export", "version": 1}
    assert records["people.ndjson"] == [
        {
            "user_id": "ann",
            "name": "Ann",
            "gender": "female",
            "birth_date": "1990-04-01",
            "time_zone": "Europe/Berlin",
        }
    ]
    assert records["priorities.ndjson"] == [
        {"user_id": "ann", "device_id": "device_b", "priority": 0, "valid_from": "1970-01-01T00:00:01Z"}
    ]
    assert records["annotations.ndjson"] == [
        {
            "user_id": "ann",
            "annotation_id": "run",
            "start": "2024-01-15T10:00:00Z",
            "end": "2024-01-15T10:00:00.5Z",
            "text": "a run",
        }
    ]
    (day,) = records["summaries.ndjson"]
    assert (day["day"], day["resting_heart_rate"], day["zones"][0]["minutes"]) == ("2024-01-10", 54.5, 7)
    assert [(each["device_id"], each["readings"]) for each in json.loads(found["devices.json"])] == [
        ("device_a", 9),
        ("device_b", 9),
    ]
    (connection,) = json.loads(found["connections.json"])
    assert (connection["source"], connection["account"]) == ("fitbit", "account of ann")
    (run,) = json.loads(found["runs.json"])
    assert (run["source"], run["read"], run["user_id"]) == ("fitbit", 3, "ann")
    assert "to be sealed" not in "".join(found.values())
    lines = records["readings.ndjson"]
    expected = [{"confidence": None} | each for each in readings]
    assert sorted(lines, key=_identity) == sorted(expected, key=_identity)
    (pushed,) = json.loads(found["imports.json"])
    assert (pushed["kind"], pushed["name"], pushed["readings"]) == ("push", "http", 18)
    assert json.loads(found["audit.json"]) == [], "access is off"
    elsewhere = installed()
    for place in range(2):  # the second time changes nothing
        course = upload(elsewhere, answer.content)["course"]
        came = [[each[count] for count in ("written", "unchanged", "rejected")] for each in course["files"]]
        assert [each["name"].split("/")[-1] for each in course["files"]] == [
            "people.ndjson",
            "priorities.ndjson",
            "summaries.ndjson",
            "annotations.ndjson",
            "readings.ndjson",
        ]
        assert came == [[0, count, 0] if place else [count, 0, 0] for count in (1, 1, 1, 1, 18)]
        assert (course["unread"]["named"], course["unread"]["other_count"]) == ([], 5)
        for path in ("", "/devices", "/annotations", "/heart-rate/top-hours?start=2024-01-01&end=2024-02-01"):
            there, here = (place.get(f"/v1/users/ann{path}") for place in (elsewhere, any_api))
            assert (there.status_code, there.content) == (200, here.content)
        again = elsewhere.get("/v1/users/ann/export")
        with zipfile.ZipFile(io.BytesIO(again.content)) as archive:
            for name in found.keys() - {"connections.json", "runs.json", "imports.json", "audit.json"}:
                assert sorted(archive.read(name).decode().splitlines()) == sorted(found[name].splitlines())


def test_every_metric_of_a_person_can_be_taken_along(any_api: Api, installed: Callable[..., Api]) -> None:
    """Imported into an empty store, each of them gives the same answers; undone, nothing is left of any."""
    decimals = {name: spec.decimals for name, spec in METRICS.items()}
    for name, spec in METRICS.items():
        step = (spec.high - spec.low) / 40
        readings = [
            {
                "user_id": "ann",
                "device_id": f"device_{'ab'[n % 2]}",
                "metric": name,
                "timestamp": f"2024-01-{10 + n // 8}T{n % 24:02}:00:{n:02}.{n:06}Z",
                "value": round(spec.low + n * step, decimals[name]),
                "confidence": (None, 0, 1, 2, 3)[n % 5],
            }
            for n in range(40)
        ]
        assert any_api.post("/v1/readings/batch", json={"readings": readings}).json()["accepted"] == 40
    packed = any_api.get("/v1/users/ann/export").content
    elsewhere = installed()
    detail = upload(elsewhere, packed)
    assert (detail["status"], detail["readings"]) == ("done", 40 * len(METRICS))
    assert detail["course"]["unread"]["named"] == []
    (kind,) = (each for each in detail["course"]["kinds"] if each["kind"] == "NDJSON export")
    assert kind["files"] == len(METRICS)
    assert sorted((each["metric"], each["read"], each["written"]) for each in kind["metrics"]) == [
        (name, 40, 40) for name in sorted(METRICS)
    ]
    asked = {"user_id": "ann", "start_date": "2024-01-09", "end_date": "2024-01-16", "tz": "Asia/Kathmandu"}
    for name in METRICS:
        for interval in ("raw", "1m", "1h", "1d"):
            there, here = (
                place.get("/v1/timeseries", params=asked | {"metric": name, "interval": interval})
                for place in (elsewhere, any_api)
            )
            assert here.json()["count"] > 0
            assert there.content == here.content
    for path in ("", "/devices", "/respiratory-rate/top-hours?start=2024-01-01&end=2024-02-01"):
        assert elsewhere.get(f"/v1/users/ann{path}").content == any_api.get(f"/v1/users/ann{path}").content
    assert _readings_in(elsewhere.get("/v1/users/ann/export").content) == _readings_in(packed)
    again = upload(elsewhere, packed)
    assert [again["course"][count] for count in ("written", "unchanged")] == [0, 40 * len(METRICS) + 1]
    assert elsewhere.delete(f"/v1/imports/{detail['id']}").json() == {"deleted": 40 * len(METRICS)}
    for name in METRICS:
        assert elsewhere.get("/v1/timeseries", params=asked | {"metric": name}).json()["count"] == 0


def _readings_in(packed: bytes) -> dict[str, list[str]]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        names = [name for name in archive.namelist() if name.startswith("readings")]
        return {name: sorted(archive.read(name).decode().splitlines()) for name in names}


def test_a_person_is_told_what_brought_their_readings_and_who_asked_about_them(any_api: Api) -> None:
    any_api.store(reading(), reading("2024-01-16T10:00:00Z"), reading(user_id="bob"))
    rows = b"user_id,device_id,timestamp,heart_rate\n" + b"".join(
        b"%b,strap,2024-02-%02dT10:00:00Z,70\n" % (user_id, day) for user_id in (b"ann", b"bob") for day in range(1, 21)
    )
    number = upload(any_api, rows, "heart_rate of the ward.csv")["id"]
    audit = any_api.parts.services.access.audit
    key, _ = create_key(any_api.parts.services.access.state, KeyRequest("ward", ["read"]))
    for user_id in ("ann", "ann", "bob"):
        caller = Caller(Principal(key.number, key.name, key.scopes))
        caller.reaches(user_id)
        audit.note(caller, "GET", "/metrics/heart-rate", 200)
    with zipfile.ZipFile(io.BytesIO(any_api.get("/v1/users/ann/export").content)) as archive:
        brought, asked = json.loads(archive.read("imports.json")), json.loads(archive.read("audit.json"))
        told = [archive.read(name) for name in ("imports.json", "audit.json")]
    assert [(each["kind"], each["readings"]) for each in brought] == [("push", 2), ("import", 20)]
    assert (brought[1]["id"], brought[1]["name"].startswith("heart_rate of the ward.csv 20")) == (number, True)
    assert any_api.get("/v1/users/ann/origins").json() == {"user_id": "ann", "data": brought}
    first_and_last = [(each["first_reading"], each["last_reading"]) for each in brought]
    assert first_and_last == [
        ("2024-01-15T10:00:00Z", "2024-01-16T10:00:00Z"),
        ("2024-02-01T10:00:00Z", "2024-02-20T10:00:00Z"),
    ]
    assert_problem(any_api.get("/v1/users/nobody/origins"), 404, "not-found")
    (entry,) = asked
    assert (entry["key"], entry["route"], entry["user_id"], entry["requests"]) == (
        "ward",
        "/metrics/heart-rate",
        "ann",
        2,
    )
    assert [unread("x.json", text).named for text in told] == [False, False], "nobody is told that they miss them"


def _identity(line: dict[str, Any]) -> tuple[str, str]:
    return line["device_id"], line["timestamp"]


def test_a_person_without_readings_has_an_export_and_nobody_has_none(api: Api) -> None:
    api.parts.store.put_user(User("ann"))
    with zipfile.ZipFile(io.BytesIO(api.get("/v1/users/ann/export").content)) as archive:
        assert archive.read("readings.ndjson") == b""
    assert_problem(api.get("/v1/users/nobody/export"), 404, "not-found")
    assert_problem(api.get("/v1/users/n%21/export"), 400, "invalid-request")


@pytest.mark.parametrize(("timeout_s", "stall_s"), [(0.01, 60.0), (60.0, 0.01)], ids=["too long", "nobody reads"])
def test_an_export_that_takes_too_long_lets_go_of_the_store(
    timeout_s: float, stall_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "STALL_S", stall_s)
    ended: list[str] = []

    def pieces() -> Generator[bytes, None, None]:
        try:
            yield from [b"one", b"two", b"three"]
        finally:
            ended.append("source")

    async def send(message: dict[str, Any]) -> None:
        if message.get("body") == b"two":
            await asyncio.sleep(3_600)

    response = BoundedResponse(pieces(), timeout_s, media_type="text/plain")
    asyncio.run(response.stream_response(send))  # type: ignore[arg-type]
    assert ended == ["source"]


def test_the_owners_export_is_not_on_the_network(api: Api) -> None:
    assert_problem(api.get("/v1/admin/export"), 404, "not-found")
