"""A key for one person tries every route for another's data: the answer is that for somebody who never was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from starlette.routing import Mount

from pulsebase.access.scopes import NEEDS
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.summaries import DailySummary
from pulsebase.query import fhir
from pulsebase.query.runs import Run
from tests.support.process import wait_until
from tests.support.stores import named_store
from tests.threats.conftest import Guarded, fill, guarded, lines, reading, unzipped, zipped
from tests.threats.test_keys import AT_ROOT

#: Somebody nobody knows; as long as the victim's id, so that lengths tell nothing either.
NOBODY = "eve"
SPAN = {"start": "2024-01-15", "end": "2024-01-16"}
DAYS = {"start_date": "2024-01-15", "end_date": "2024-01-16"}


#: Ways to name somebody in InfluxQL, and to name nobody, so that everybody is meant.
STATEMENTS = """
SHOW DATABASES; CREATE DATABASE WHO;
SELECT mean(value) FROM heart_rate WHERE user_id = 'WHO';
SELECT * FROM heart_rate WHERE user_id =~ /^(WHO|x)$/;
SELECT value FROM heart_rate WHERE user_id =~ /WHO/ OR 1 = 1;
SELECT count(value) FROM heart_rate GROUP BY user_id;
SELECT m FROM (SELECT mean(value) AS m FROM /.*/ GROUP BY user_id) WHERE user_id != 'ann';
SHOW TAG VALUES WITH KEY IN (user_id, device_id);
SHOW TAG VALUES FROM heart_rate WITH KEY = device_id WHERE user_id = 'WHO'
"""


def vital_sign(user_id: str, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in reading(user_id).items() if name != "heart_rate"} | {"value": 97} | fields


def pushed_by_iphone() -> dict[str, Any]:
    points = [{"date": "2024-01-15 10:00:05 +0000", "qty": 70}]
    return {"data": {"metrics": [{"name": "heart_rate", "units": "bpm", "data": points}]}}


#: For each route what is sent to get at a person, or at what came from one.
NOTE = {"start": "2024-01-15T10:00:00Z", "text": "taken"}
ATTACKS: dict[str, Any] = {
    "POST /metrics/heart-rate": lambda who: {"json": reading(who)},
    "POST /metrics/heart-rate/batch": lambda who: {"json": {"readings": [reading(who), reading("ann")]}},
    "POST /metrics/heart-rate/bulk": lambda who: {
        "content": lines(who, "ann"),
        "headers": {"content-type": "application/x-ndjson"},
    },
    "POST /metrics/{metric}": lambda who: {"json": vital_sign(who)},
    "POST /metrics/{metric}/batch": lambda who: {"json": {"readings": [vital_sign(who), vital_sign("ann")]}},
    "POST /metrics/{metric}/bulk": lambda who: {
        "content": lines(who, "ann").replace(b"heart_rate", b"value"),
        "headers": {"content-type": "application/x-ndjson"},
    },
    "POST /readings": lambda who: {"json": vital_sign(who, metric="rr_interval", value=800)},
    "POST /readings/batch": lambda who: {
        "json": {"readings": [vital_sign(each, metric="rr_interval", value=800) for each in (who, "ann")]}
    },
    "POST /readings/bulk": lambda who: {
        "content": lines(who, "ann").replace(b'"heart_rate":', b'"metric": "heart-rate", "value":'),
        "headers": {"content-type": "application/x-ndjson"},
    },
    "POST /api/v2/write": lambda who: {
        "content": (
            f"heart_rate,user_id={who},device_id=d bpm=70 1705312800000000000\n"
            f"vital_signs,user_id={who},device_id=d spo2=97,heart_rate=70 1705312800000000000"
        ).encode()
    },
    "POST /push/health-auto-export": lambda who: {"params": {"user_id": who}, "json": pushed_by_iphone()},
    "POST /push/health-connect": lambda who: {
        "params": {"user_id": who, "device_id": "d"},
        "json": {"heart_rate": [{"bpm": 70, "time": "2024-01-15T10:00:00Z"}]},
    },
    "POST /write": lambda who: {
        "params": {"db": "anything"},
        "content": f"heart_rate,user_id={who},device_id=d bpm=70 1705312800000000000".encode(),
    },
    "GET /query": lambda who: {"params": {"q": STATEMENTS.replace("WHO", who)}},
    "POST /query": lambda who: {"params": {"q": STATEMENTS.replace("WHO", who)}},
    "POST /imports": lambda who: {"params": {"name": "x", "user_id": who}, "content": lines("ann")},
    "GET /sources/{source}/authorize": lambda who: {"params": {"user_id": who}},
    "POST /sources/{source}/authorize": lambda who: {"json": {"user_id": who}},
    "DELETE /users/{user_id}/sources/{source}": lambda _: {},
    "GET /metrics/heart-rate": lambda who: {"params": {"user_id": who} | SPAN},
    "GET /metrics/{metric}": lambda who: {"params": {"user_id": who} | SPAN},
    "DELETE /metrics/{metric}": lambda who: {"params": {"user_id": who} | SPAN},
    "GET /users/{user_id}/metrics": lambda _: {},
    "GET /users/{user_id}/{metric}/top-hours": lambda _: {"params": SPAN},
    "GET /timeseries": lambda who: {"params": {"user_id": who} | DAYS},
    "GET /multi-user/timeseries": lambda who: {"params": {"user_ids": ["ann", who]} | DAYS},
    "GET /cohorts/heart-rate": lambda who: {
        "params": {"min_avg_heart_rate": "0", "cursor": f"8000/1/{who}", "include": "averages"} | SPAN
    },
    "GET /cohorts/{metric}": lambda who: {
        "params": {"min_avg": "0", "cursor": f"8000/1/{who}", "include": "averages"} | SPAN
    },
    "GET /users": lambda who: {"params": {"query": who, "cursor": who}},
    "GET /users/{user_id}": lambda _: {},
    "GET /users/{user_id}/heart-rate/top-hours": lambda _: {"params": SPAN},
    "GET /users/{user_id}/hrv": lambda _: {"params": DAYS},
    "GET /users/{user_id}/resting-heart-rate": lambda _: {"params": DAYS},
    "GET /users/{user_id}/devices": lambda _: {},
    "GET /users/{user_id}/origins": lambda _: {},
    "GET /users/{user_id}/export": lambda _: {},
    "GET /users/{user_id}/sources": lambda _: {},
    "GET /etl/runs": lambda who: {"params": {"user_id": who}},
    "DELETE /metrics/heart-rate": lambda who: {"params": {"user_id": who} | SPAN},
    "POST /users": lambda who: {"json": {"user_id": who, "name": "taken"}},
    "PUT /users/{user_id}": lambda _: {"json": {"name": "taken"}},
    "PATCH /users/{user_id}": lambda _: {"json": {"name": "taken"}},
    "DELETE /users/{user_id}": lambda _: {},
    "POST /users/{user_id}/allow": lambda _: {},
    "PUT /users/{user_id}/devices/{device_id}/priority": lambda _: {"json": {"priority": 9}},
    "DELETE /users/{user_id}/devices/{device_id}/priority": lambda _: {},
    "GET /users/{user_id}/annotations": lambda _: {},
    "POST /users/{user_id}/annotations": lambda _: {"json": NOTE},
    "PUT /users/{user_id}/annotations/{annotation_id}": lambda _: {"json": NOTE},
    "DELETE /users/{user_id}/annotations/{annotation_id}": lambda _: {},
    "POST /signals": lambda who: {"json": {"metric": "heart_rate", "above": 100, "user_ids": [who]}},
    "POST /webhooks": lambda who: {
        "json": {"url": "https://192.0.2.1/", "events": ["readings.stored"], "user_ids": [who]}
    },
    "GET /audit": lambda who: {"params": {"user_id": who}},
    "POST /keys": lambda who: {"json": {"name": "thief", "user_ids": [who]}},
}
#: Not about a person in the request; tried below, or of nobody.
ELSEWHERE = {
    *("GET /imports", "GET /imports/{import_id}", "DELETE /imports/{import_id}", "GET /metrics"),
    *("GET /erasures", "GET /erasures/{erasure_id}", "GET /access", "GET /sources"),
    "GET /stream",  # see test_stream.py
    *("GET /webhooks", "GET /webhooks/{webhook_id}", "DELETE /webhooks/{webhook_id}"),  # see test_webhooks.py
    *("GET /webhooks/{webhook_id}/deliveries", "POST /webhooks/{webhook_id}/deliveries/retry"),
    *("GET /signals", "GET /signals/{signal_id}", "DELETE /signals/{signal_id}", "GET /signals/stream"),
}


def attempt(client: httpx.Client, route: str, who: str, prefix: str) -> tuple[int, str]:
    method, path = route.split(" ")
    path = path.replace("{user_id}", who).replace("{device_id}", "device_a").replace("{source}", "fitbit")
    path = path.replace("{metric}", "oxygen-saturation").replace("{annotation_id}", "run")
    place = path if path in AT_ROOT else prefix + path
    answer = client.request(method, place, follow_redirects=False, **ATTACKS[route](who))
    body = answer.json() if "json" in answer.headers.get("content-type", "") else answer.text
    if isinstance(body, dict):
        body.pop("request_id", None)
    return answer.status_code, str(body).replace(who, "<whom>")


def stored(place: Guarded, user_id: str) -> Any:
    parts = place.parts
    rows = [row for row in parts.store.stored().to_pylist() if row["user_id"] == user_id]
    return parts.store.user(user_id), parts.store.priorities(user_id), rows


def test_every_route_says_what_it_takes_and_is_tried(crowd: Guarded) -> None:
    assert names_in(crowd.parts.app.routes) == set(NEEDS)
    of_people = {name for name, need in NEEDS.items() if need not in ("open", "owner")}
    assert of_people == set(ATTACKS) | ELSEWHERE


def all_but_the_trail(client: httpx.Client) -> dict[str, bytes]:
    exported = unzipped(client.get("/v1/users/bob/export").content)
    exported.pop("audit.json")
    return exported


def names_in(routes: Sequence[Any], prefix: str = "") -> set[str]:
    """Every route by method and template, those with and without `/v1` as one."""
    found = set()
    for route in routes:
        if hasattr(route, "original_router"):  # the framework's own way of keeping a router that was included
            found |= names_in(route.original_router.routes, prefix + route.include_context.prefix)
        elif isinstance(route, Mount):
            found.add(f"GET {prefix}{route.path}/")
        else:
            path = prefix + route.path
            path = path.removeprefix("/v1") if path.startswith("/v1/") else path
            found |= {f"{method} {path}" for method in route.methods if method != "HEAD"}
    return found


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize("route", ATTACKS)
def test_another_person_is_unknown_to_a_key_for_one(crowd: Guarded, ann: httpx.Client, route: str, prefix: str) -> None:
    before = stored(crowd, "bob")
    there, nobody = attempt(ann, route, "bob", prefix), attempt(ann, route, NOBODY, prefix)
    assert there == nobody
    assert stored(crowd, "bob") == before
    assert crowd.parts.store.user(NOBODY) is None, "what may not be seen cannot be made either"


@pytest.mark.parametrize("route", [route for route in ATTACKS if route.startswith("GET ")])
def test_head_tells_of_another_person_no_more_than_get(crowd: Guarded, ann: httpx.Client, route: str) -> None:
    head = route.replace("GET", "HEAD")
    for who in ("bob", NOBODY):
        place = route.split(" ")[1]
        template = ("" if place in AT_ROOT else "/v1") + place.replace("{user_id}", who).replace("{device_id}", "strap")
        template = template.replace("{metric}", "oxygen-saturation")
        asked = ATTACKS[route](who)
        if "stream" in template:
            continue
        get = ann.request("GET", template, **asked)
        answer = ann.request("HEAD", template, **asked)
        assert (answer.status_code, answer.content) == (get.status_code, b""), head
        assert answer.headers.get("content-length") == get.headers.get("content-length")
        nobodys = crowd.client().request("HEAD", template, **asked)
        assert (nobodys.status_code, nobodys.content) == (401, b"")


def test_the_same_attempts_reach_who_the_key_is_for(crowd: Guarded, ann: httpx.Client) -> None:
    """Otherwise the test above would pass where nothing works at all."""
    for route in ("GET /metrics/heart-rate", "GET /timeseries", "GET /users/{user_id}", "GET /users/{user_id}/export"):
        assert attempt(ann, route, "ann", "/v1")[0] == 200
        assert attempt(crowd.owner, route, "bob", "/v1")[0] == 200
        assert attempt(ann, route, "bob", "/v1")[0] == 404


THRESHOLDS = ["0", "59.9", "69.5", "70", "75", "99.4", "99.5"]
LISTS = [
    "/v1/users",
    "/v1/users?limit=1",
    "/v1/users?query=bo",
    "/v1/users?query=Name",
    "/v1/users?cursor=ann",
    "/v1/users?cursor=an",
    "/v1/multi-user/timeseries?start_date=2024-01-15&end_date=2024-01-16",
    "/v1/multi-user/timeseries?start_date=2024-01-15&end_date=2024-01-16&limit=1",
    "/v1/multi-user/timeseries?start_date=2024-01-15&end_date=2024-01-16&interval=raw&cursor=a",
    "/v1/multi-user/timeseries?start_date=2024-01-15&end_date=2024-01-16&user_ids=ann&user_ids=bob",
    "/v1/multi-user/timeseries?start_date=2024-01-15&end_date=2024-01-16&metric=activities_heart_summary",
    "/v1/etl/runs",
    "/v1/imports",
    *(
        f"/v1/cohorts/heart-rate?start=2024-01-15&end=2024-01-16&min_avg_heart_rate={threshold}{more}"
        for threshold in THRESHOLDS
        for more in (
            "",
            "&include=averages&limit=1",
            "&gender=female&min_age=30",
            "&min_coverage=0.001",
            "&cursor=200/1/zzz",
            "&cursor=139/2/bob&limit=1",
        )
    ),
]


@pytest.mark.parametrize("store", ["memory", "duckdb", "clickhouse"])
def test_lists_are_those_of_a_server_that_has_nobody_else(store: str, tmp_path: Path) -> None:
    """Whatever others there are: data, counts, cursors, pages and tags are the same to the byte."""
    with guarded(**named_store(store, tmp_path)) as crowd, guarded() as alone:
        fill(crowd, {"ann": 60.0, "bob": 90.0, "bo": 40.0, "bobby": 60.0, "zed": 61.0})
        fill(alone, {"ann": 60.0})
        _compare(crowd, alone)


def _compare(crowd: Guarded, alone: Guarded) -> None:
    one, other = (place.client(place.key("ann", people=["ann"])) for place in (crowd, alone))
    for path in LISTS:
        seen, expected = one.get(path), other.get(path)
        assert (seen.status_code, seen.text) == (expected.status_code, expected.text), path
        assert seen.headers.get("etag") == expected.headers.get("etag")
        assert "bob" not in seen.text.replace('"missing":["bob"]', ""), path


def test_metrics_which_count_everybody_are_not_for_a_key_of_some_people(crowd: Guarded, ann: httpx.Client) -> None:
    assert ann.get("/metrics").status_code == 403
    assert crowd.client(crowd.key("scraper", ["metrics"])).get("/metrics").status_code == 200


# --- imports ---


def ended(client: httpx.Client, number: int) -> dict[str, Any]:
    body: dict[str, Any] = {}

    def has_ended() -> bool:
        body.update(client.get(f"/v1/imports/{number}").json())
        return body["status"] in ("done", "failed")

    wait_until(has_ended, "the end of the import", 60)
    return body


def test_an_import_takes_rows_of_the_keys_people_alone(crowd: Guarded, ann: httpx.Client) -> None:
    before = stored(crowd, "bob")
    file = zipped({"all.ndjson": lines("bob", NOBODY, "ann", timestamp="2024-02-01T10:00:00Z")})
    number = ann.post("/v1/imports?name=x", content=file).json()["id"]
    course = ended(ann, number)["course"]
    assert (course["written"], course["rejected"]) == (1, 2)
    assert len({error["reason"] for error in course["errors"]}) == 1, "known or not, the reason is one"
    assert stored(crowd, "bob") == before
    assert crowd.parts.store.user(NOBODY) is None


def test_observations_of_others_are_refused_their_resting_heart_rates_too(crowd: Guarded, ann: httpx.Client) -> None:
    before = stored(crowd, "bob")
    days = [DailySummary(who, date(2024, 2, 3), 61.5, "x") for who in ("bob", NOBODY, "ann")]
    resting = b"".join(fhir.ndjson(each for day in days if (each := fhir.resting_of(day)) is not None))
    times, values, none = np.array([1_706_781_600_000_000]), np.array([70.0]), np.array([-1], np.int8)
    runs = [Run(who, HEART_RATE, "strap", times, values, none) for who in ("bob", NOBODY, "ann")]
    lines = resting + b"".join(fhir.ndjson(map(fhir.observation_of, runs)))
    number = ann.post("/v1/imports?name=x", content=lines).json()["id"]
    course = ended(ann, number)["course"]
    assert (course["written"], course["rejected"]) == (2, 4)
    assert len({error["reason"] for error in course["errors"]}) == 1, "known or not, the reason is one"
    assert stored(crowd, "bob") == before
    assert crowd.parts.store.summaries("bob", date(2024, 2, 3), date(2024, 2, 3)) == []
    assert crowd.parts.store.user(NOBODY) is None


def test_an_export_tells_a_key_nothing_of_what_others_brought_and_is_in_the_trail_of_its_person() -> None:
    with guarded() as place:
        fill(place, {"ann": 60.0, "bob": 90.0})
        client = place.client(place.key("ann", people=["ann"]))
        number = client.post("/v1/imports?name=mine.ndjson", content=lines("ann")).json()["id"]
        ended(client, number)
        place.owner.get("/v1/users/bob/export")
        exported = unzipped(client.get("/v1/users/ann/export").content)
        brought = json.loads(exported["imports.json"])
        assert [(each["name"] or "")[:11] for each in brought] == ["", "mine.ndjson"]
        assert [each["readings"] for each in brought] == [19, 1], "one came again"
        assert b"bob" not in b"".join(exported.values())
        exported = unzipped(place.owner.get("/v1/users/ann/export").content)
        found = [entry for entry in json.loads(exported["audit.json"]) if entry["route"].endswith("/export")]
        assert [(entry["key"], entry["user_id"]) for entry in found] == [("ann", "ann")]
        assert json.loads(exported["imports.json"])[0]["name"] == "http"


def test_an_import_changes_what_is_known_of_the_keys_people_alone(crowd: Guarded, ann: httpx.Client) -> None:
    before = all_but_the_trail(crowd.owner)
    files: dict[str, list[dict[str, Any]]] = {
        "people.ndjson": [
            {"user_id": who, "name": "taken", "gender": None, "birth_date": None, "time_zone": None}
            for who in ("bob", NOBODY, "ann")
        ],
        "priorities.ndjson": [
            {"user_id": who, "device_id": "strap", "priority": 3, "valid_from": "2024-01-15T10:00:00Z"}
            for who in ("bob", NOBODY, "ann")
        ],
        "summaries.ndjson": [
            {"user_id": who, "day": "2024-01-15", "resting_heart_rate": 61, "resting_heart_rate_method": "x"}
            | {"zones": [], "custom_zones": []}
            for who in ("bob", NOBODY, "ann")
        ],
    }
    file = zipped({name: "".join(json.dumps(line) + "\n" for line in said).encode() for name, said in files.items()})
    send_only = crowd.client(crowd.key("phone", ["ingest", "read"], people=["ann"]))
    for client, written in ((send_only, [0, 0, 1]), (ann, [0, 1, 0])):  # the day was there by then
        number = client.post("/v1/imports?name=x", content=file).json()["id"]
        course = ended(client, number)["course"]
        assert [(each["read"], each["written"]) for each in course["files"]] == [(3, taken) for taken in written]
        outside = [error["reason"] for error in course["errors"] if error["index"] != 3]
        assert (len(outside), len(set(outside))) == (6, 1), "known or not, the reason is one"
    assert crowd.parts.store.user("ann").name == "Name of ann"  # type: ignore[union-attr]
    assert all_but_the_trail(crowd.owner) == before
    assert crowd.parts.store.user(NOBODY) is None


def test_imports_of_others_are_unknown_and_cannot_be_undone(crowd: Guarded, ann: httpx.Client) -> None:
    file = zipped({"all.ndjson": lines("bob", "ann", timestamp="2024-02-02T10:00:00Z")})
    number = crowd.owner.post("/v1/imports?name=secret-name", content=file).json()["id"]
    assert ended(crowd.owner, number)["readings"] == 2
    before = stored(crowd, "bob"), stored(crowd, "ann")
    for method in ("GET", "DELETE"):
        there, nowhere = ann.request(method, f"/v1/imports/{number}"), ann.request(method, "/v1/imports/123456")
        assert (there.status_code, there.json()["detail"]) == (nowhere.status_code, nowhere.json()["detail"])
        assert there.status_code == 404
    assert "secret-name" not in ann.get("/v1/imports").text
    assert (stored(crowd, "bob"), stored(crowd, "ann")) == before
    own = ann.post("/v1/imports?name=own", content=lines("ann", timestamp="2024-02-03T10:00:00Z")).json()["id"]
    assert ended(ann, own)["readings"] == 1
    assert ann.get("/v1/imports").json()["data"][0]["id"] == own
    assert ann.delete(f"/v1/imports/{own}").json() == {"deleted": 1}


# --- erasures ---


def test_receipts_of_others_are_not_listed() -> None:
    with guarded() as place:
        fill(place, {"ann": 60.0, "bob": 90.0})
        ann = place.client(place.key("ann", people=["ann"]))
        assert ann.delete("/v1/users/bob").status_code == 404
        receipt = place.owner.delete("/v1/users/bob").json()
        assert len(place.owner.get("/v1/erasures").json()["data"]) == 1
        assert ann.get("/v1/erasures").json()["data"] == []
        assert "bob" not in ann.get(f"/v1/erasures/{receipt['erasure_id']}").text
        assert ann.post("/v1/users/bob/allow").status_code == ann.post("/v1/users/eve/allow").status_code == 404
        assert place.owner.post("/v1/users/bob/allow").status_code == 200


# --- the trail ---


def test_the_trail_shows_a_key_what_was_done_to_its_people_alone(crowd: Guarded, ann: httpx.Client) -> None:
    crowd.owner.get("/v1/users/bob")
    crowd.owner.get("/v1/users/ann")
    ann.get("/v1/users/bob")
    seen = ann.get("/v1/audit?limit=1000").json()["data"]
    assert {entry["user_id"] for entry in seen} == {"ann"}
    tried = crowd.owner.get("/v1/audit?user_id=bob&key=ann").json()["data"]
    assert any((entry["route"], entry["status"]) == ("/users/{user_id}", 404) for entry in tried), "the attempt shows"
