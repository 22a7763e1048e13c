"""People and their devices over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import httpx2 as httpx
import pytest

from pulsebase.api.schemas.common import Gender
from pulsebase.api.schemas.people import PersonFields
from pulsebase.model.users import GENDERS, PERSON_FIELDS, User
from tests.api.conftest import Api, reading
from tests.api.test_border import assert_problem

ANN = {"name": "Ann Ærø", "gender": "female", "birth_date": "1980-02-29", "time_zone": "Europe/Berlin"}
UNSAID = dict.fromkeys(ANN)
NOTHING_STORED = {"readings": 0, "first_reading": None, "last_reading": None}
ANNS_DEVICE = "/v1/users/ann/devices/device_b"
TEN = "2024-01-15T10:00:00Z"


def faults(answer: httpx.Response) -> dict[str, str]:
    """The fields at fault, with the reasons."""
    return {error["field"]: error["reason"] for error in assert_problem(answer, 400, "invalid-request")["errors"]}


@pytest.mark.parametrize("prefix", ["/v1", ""], ids=["v1", "root"])
def test_people_are_listed_with_what_is_stored_of_them(any_api: Api, prefix: str) -> None:
    assert any_api.get(f"{prefix}/users").json() == {"data": [], "next_cursor": None}
    any_api.store(reading(), reading("2024-01-15T10:00:01.5Z", confidence=0), reading(user_id="Zoe"))
    any_api.parts.store.put_user(User("bob", "Robert", "male", date(1980, 2, 29), "Europe/Berlin"))
    assert any_api.get(f"{prefix}/users").json() == {
        "data": [
            {
                "user_id": "Zoe",
                "name": None,
                "gender": None,
                "birth_date": None,
                "time_zone": None,
                "readings": 1,
                "first_reading": "2024-01-15T10:00:00Z",
                "last_reading": "2024-01-15T10:00:00Z",
            },
            {
                "user_id": "ann",
                "name": None,
                "gender": None,
                "birth_date": None,
                "time_zone": None,
                "readings": 2,
                "first_reading": "2024-01-15T10:00:00Z",
                "last_reading": "2024-01-15T10:00:01.5Z",
            },
            {
                "user_id": "bob",
                "name": "Robert",
                "gender": "male",
                "birth_date": "1980-02-29",
                "time_zone": "Europe/Berlin",
                "readings": 0,
                "first_reading": None,
                "last_reading": None,
            },
        ],
        "next_cursor": None,
    }


def test_people_come_in_pages_and_can_be_searched(any_api: Api) -> None:
    any_api.store(*[reading(user_id=f"{name}{place}") for name in ("Ann", "bob") for place in range(3)])
    found: list[str] = []
    url = "/v1/users?limit=2"
    while True:
        page = any_api.get(url).json()
        found += [entry["user_id"] for entry in page["data"]]
        if page["next_cursor"] is None:
            break
        url = f"/v1/users?limit=2&cursor={page['next_cursor']}"
    assert found == ["Ann0", "Ann1", "Ann2", "bob0", "bob1", "bob2"]
    for query, count in (("aNN", 3), ("0", 2), ("%", 0), ("_", 0), ("'", 0), ("\x00", 0), ("😀", 0), ("", 6)):
        assert len(any_api.get("/v1/users", params={"query": query}).json()["data"]) == count


def test_a_person_is_created_shown_replaced_changed_and_removed(any_api: Api) -> None:
    created = any_api.post("/v1/users", json={"user_id": "ann"} | ANN)
    assert (created.status_code, created.json()) == (201, {"user_id": "ann"} | ANN | NOTHING_STORED)
    assert any_api.get("/v1/users/ann").json() == created.json()
    any_api.store(reading(), reading("2024-01-15T10:00:01Z", device_id="device_b"))
    stored = {"readings": 2, "first_reading": TEN, "last_reading": "2024-01-15T10:00:01Z"}

    replaced = any_api.put("/v1/users/ann", json={"name": "Anna"})
    assert (replaced.status_code, replaced.json()) == (200, {"user_id": "ann"} | UNSAID | {"name": "Anna"} | stored)
    changed = any_api.patch("/v1/users/ann", json={"birth_year": 1980, "name": None, "gender": "other"})
    expected = {"user_id": "ann", "name": None, "gender": "other", "birth_date": "1980-07-01", "time_zone": None}
    assert (changed.status_code, changed.json()) == (200, expected | stored)
    assert any_api.patch("/v1/users/ann", json={}).json() == changed.json()
    assert any_api.patch("/v1/users/ann", json={"birth_year": None}).json()["birth_date"] is None

    removed = any_api.delete("/v1/users/ann")
    assert (removed.status_code, removed.json()["deleted"]["readings"]) == (200, 2)
    for method in ("GET", "DELETE", "PATCH"):
        body: dict[str, Any] | None = {} if method == "PATCH" else None
        assert_problem(any_api.request(method, "/v1/users/ann", json=body), 404, "not-found")
    assert any_api.get("/v1/users").json()["data"] == []
    assert any_api.post("/v1/users/ann/allow").json() == {"user_id": "ann"}
    any_api.store(reading())
    assert any_api.get("/v1/users/ann").json()["readings"] == 1


def test_put_creates_whom_nobody_knows_and_post_refuses_whom_somebody_knows(any_api: Api) -> None:
    created = any_api.put("/v1/users/7", json=ANN)
    assert (created.status_code, created.json()) == (201, {"user_id": "7"} | ANN | NOTHING_STORED)
    assert any_api.put("/v1/users/7", json=ANN).status_code == 200
    assert_problem(any_api.post("/v1/users", json={"user_id": 7}), 409, "already-known")
    any_api.store(reading(user_id="bob"))
    assert_problem(any_api.post("/v1/users", json={"user_id": "bob"}), 409, "already-known")
    assert any_api.get("/v1/users/7").json()["name"] == ANN["name"]


def test_of_many_who_create_the_same_person_one_succeeds(any_api: Api) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: any_api.post("/v1/users", json={"user_id": "ann"}).status_code, range(8))
    assert sorted(answers) == [201, *[409] * 7]


def test_routes_at_the_root_are_the_same(api: Api) -> None:
    assert api.post("/users", json={"user_id": "ann"}).status_code == 201
    assert api.put("/users/ann/devices/strap/priority", json={"priority": 3}).json()["priority"] == 3
    assert api.get("/users/ann/devices").json() == api.get("/v1/users/ann/devices").json()
    assert api.delete("/users/ann").json()["deleted"]["readings"] == 0


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"name": "tab\there"}, "name"),
        ({"name": 5}, "name"),
        ({"gender": "Female"}, "gender"),
        ({"gender": ["male"]}, "gender"),
        ({"birth_date": "1899-12-31"}, "birth_date"),
        ({"birth_date": "1980-02-30"}, "birth_date"),
        ({"birth_date": "2024-W03-1"}, "birth_date"),
        ({"birth_date": 1980}, "birth_date"),
        ({"birth_date": (datetime.now(UTC) + timedelta(days=2)).date().isoformat()}, "birth_date"),
        ({"birth_year": 1899}, "birth_year"),
        ({"birth_year": "1980"}, "birth_year"),
        ({"birth_year": 10**30}, "birth_year"),
        ({"birth_year": True}, "birth_year"),
        ({"birth_date": "1980-01-01", "birth_year": 1980}, "birth_year"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "europe/berlin"}, "time_zone"),
        ({"time_zone": 1}, "time_zone"),
        ({"age": 30}, "age"),
        ({"user_id": "ann", "nme": "Ann"}, "nme"),
    ],
    ids=str,
)
def test_a_field_at_fault_is_named_and_nothing_changes(api: Api, fields: dict[str, Any], at_fault: str) -> None:
    api.put("/v1/users/ann", json=ANN)
    before = api.get("/v1/users").json()
    said = {name: value for name, value in fields.items() if name != "user_id"}
    for answer in (
        api.post("/v1/users", json={"user_id": "new"} | said),
        api.put("/v1/users/ann", json=said),
        api.patch("/v1/users/ann", json=said),
    ):
        assert set(faults(answer)) == {at_fault}
    assert api.get("/v1/users").json() == before


def test_every_fault_of_a_request_is_named_at_once(api: Api) -> None:
    answer = api.put("/v1/users/ann", json={"name": "", "gender": "x", "time_zone": "y", "colour": "red"})
    assert set(faults(answer)) == {"name", "gender", "time_zone", "colour"}


def test_an_id_has_to_be_one(api: Api) -> None:
    assert faults(api.post("/v1/users", json={})) == {"user_id": "is required"}
    for user_id in ("a b", "", True, None, "x" * 129):
        assert set(faults(api.post("/v1/users", json={"user_id": user_id}))) == {"user_id"}
    assert set(faults(api.put("/v1/users/a%20b", json={}))) == {"user_id"}
    assert set(faults(api.put("/v1/users/ann", json={"user_id": "ann"}))) == {"user_id"}
    assert set(faults(api.get("/v1/users/a%20b/devices"))) == {"user_id"}
    api.put("/v1/users/ann", json={})
    assert set(faults(api.put("/v1/users/ann/devices/a%20b/priority", json={"priority": 1}))) == {"device_id"}
    assert api.put("/v1/users/a+b@c.d:e", json={}).json()["user_id"] == "a+b@c.d:e"


def test_bodies_that_are_no_objects_are_refused(api: Api) -> None:
    for send in (api.put, api.patch):
        for body in (b"[]", b"null", b'"name"'):
            assert set(faults(send("/v1/users/ann", content=body))) == {"body"}
        for body in (b"", b"{", b"\xff"):
            assert_problem(send("/v1/users/ann", content=body), 400, "malformed-body")
        headers = {"Content-Type": "text/csv"}
        assert_problem(send("/v1/users/ann", content=b"{}", headers=headers), 415, "unsupported-media-type")


def test_text_that_is_none_is_refused(api: Api) -> None:
    assert set(faults(api.put("/v1/users/ann", content=b'{"\\ud800": 1}'))) == {"?"}
    assert set(faults(api.put("/v1/users/ann", content=b'{"name": "\\ud800"}'))) == {"name"}
    assert set(faults(api.post("/v1/users", content=b'{"user_id": "\\ud800"}'))) == {"user_id"}


def test_parameters_are_refused_by_name(api: Api) -> None:
    api.put("/v1/users/ann", json={})
    asked = {"when": "now"}
    for answer in (
        api.get("/v1/users/ann", params=asked),
        api.delete("/v1/users/ann", params=asked),
        api.post("/v1/users", params=asked, json={"user_id": "bob"}),
        api.get("/v1/users/ann/devices", params=asked),
        api.put(f"{ANNS_DEVICE}/priority", params=asked, json={"priority": 1}),
        api.delete(f"{ANNS_DEVICE}/priority", params=asked),
    ):
        assert set(faults(answer)) == {"when"}
    assert [entry["user_id"] for entry in api.get("/v1/users").json()["data"]] == ["ann"]


def test_the_document_shows_the_fields_that_are_read() -> None:
    assert tuple(PersonFields.model_fields) == PERSON_FIELDS
    assert get_args(Gender) == GENDERS


# --- devices -----------------------------------------------------------------------------------------------------


def values(api: Api) -> list[float]:
    asked = {"user_id": "ann", "start_date": "2024-01-15", "end_date": "2024-01-15", "interval": "raw"}
    found: list[float] = api.get("/v1/timeseries", params=asked).json()["columns"]["value"]
    return found


def test_a_priority_is_set_shown_and_taken_back_and_answers_follow(any_api: Api) -> None:
    later = "2024-01-15T11:00:00Z"
    for at in (TEN, later):
        any_api.store(reading(at, 60), reading(at, 90, device_id="device_b"))
    first = {"device_id": "device_a", "readings": 2, "first_reading": TEN, "last_reading": later, "priority": 1}
    second = first | {"device_id": "device_b", "priority": 2}
    listed = any_api.get("/v1/users/ann/devices").json()
    assert listed == {"user_id": "ann", "data": [first | {"priorities": []}, second | {"priorities": []}]}
    assert values(any_api) == [60, 60]

    always = any_api.put(f"{ANNS_DEVICE}/priority", json={"priority": 0})
    history = [{"valid_from": "1970-01-01T00:00:00Z", "priority": 0}]
    assert (always.status_code, always.json()) == (200, second | {"priority": 0, "priorities": history})
    assert values(any_api) == [90, 90]
    again = any_api.put(f"{ANNS_DEVICE}/priority", json={"priority": None, "valid_from": "2024-01-15T12:00:00+01:00"})
    history.append({"valid_from": later, "priority": None})
    assert again.json() == second | {"priorities": history}
    assert values(any_api) == [90, 60]
    assert any_api.get("/v1/users/ann/devices").json()["data"][1] == again.json()

    assert any_api.delete(f"{ANNS_DEVICE}/priority").json() == {"removed_entries": 2}
    assert any_api.delete(f"{ANNS_DEVICE}/priority").json() == {"removed_entries": 0}
    assert any_api.get("/v1/users/ann/devices").json() == listed
    assert values(any_api) == [60, 60]


def test_a_priority_to_come_does_not_hold_now(any_api: Api) -> None:
    any_api.put("/v1/users/ann", json={})
    setting = {"priority": 7, "valid_from": "2199-01-01"}
    device = any_api.put("/v1/users/ann/devices/strap/priority", json=setting).json()
    assert (device["priority"], device["readings"], device["first_reading"]) == (999, 0, None)
    assert device["priorities"] == [{"valid_from": "2199-01-01T00:00:00Z", "priority": 7}]


@pytest.mark.parametrize(
    ("setting", "at_fault"),
    [
        ({}, "priority"),
        ({"priority": -1}, "priority"),
        ({"priority": 1_000_001}, "priority"),
        ({"priority": 1.0}, "priority"),
        ({"priority": "1"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 1, "valid_from": "1969-12-31"}, "valid_from"),
        ({"priority": 1, "valid_from": "2200-01-01"}, "valid_from"),
        ({"priority": 1, "valid_from": "yesterday"}, "valid_from"),
        ({"priority": 1, "valid_from": None}, "valid_from"),
        ({"priority": 1, "valid_from": 5}, "valid_from"),
        ({"priority": 1, "until": "2024-01-01"}, "until"),
    ],
    ids=str,
)
def test_a_setting_at_fault_is_named_and_nothing_changes(api: Api, setting: dict[str, Any], at_fault: str) -> None:
    api.put("/v1/users/ann", json={})
    assert set(faults(api.put(f"{ANNS_DEVICE}/priority", json=setting))) == {at_fault}
    assert api.get("/v1/users/ann/devices").json()["data"] == []


def test_nobody_has_no_devices_and_does_not_come_into_being(any_api: Api) -> None:
    for answer in (
        any_api.get("/v1/users/ann/devices"),
        any_api.put(f"{ANNS_DEVICE}/priority", json={"priority": 1}),
        any_api.delete(f"{ANNS_DEVICE}/priority"),
    ):
        assert_problem(answer, 404, "not-found")
    assert any_api.get("/v1/users").json()["data"] == []


def test_imports_of_people_are_unknown_on_the_network(api: Api) -> None:
    assert_problem(api.post("/v1/admin/users", json={"users": [{"user_id": "ann"}]}), 404, "not-found")
