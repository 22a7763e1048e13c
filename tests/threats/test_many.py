"""Much of what is kept of one person, which answers about everybody look at."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from pulsebase.api.routes import people_edits as people
from pulsebase.model import users
from pulsebase.model.exported import fields_of
from pulsebase.model.timerange import DAY_US
from pulsebase.model.users import DevicePriority
from tests.support.process import wait_until
from tests.threats.conftest import Guarded, fill, guarded, reading

MOST = 5


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    monkeypatch.setattr(users, "MOST_PRIORITIES", MOST)
    with guarded() as place:
        fill(place, {"ann": 60.0})  # one setting is made there
        yield place


def settings_of(place: Guarded) -> int:
    return len(place.parts.store.priorities("ann"))


def test_a_person_has_so_many_settings_of_priorities(place: Guarded) -> None:
    path = "/v1/users/ann/devices/{}/priority"
    for number in range(MOST - 1):
        said = {"priority": 1, "valid_from": f"2024-01-0{number + 1}"}
        assert place.owner.put(path.format(f"d{number % 2}"), json=said).status_code == 200
    refused = place.owner.put(path.format("d9"), json={"priority": 1})
    assert refused.status_code == 400
    assert refused.json()["errors"] == [
        {"field": "priority", "reason": f"the person has {MOST} settings already; take some back first"}
    ]
    assert place.owner.put(path.format("device_a"), json={"priority": 7}).status_code == 200, "in place of another"
    assert settings_of(place) == MOST
    assert place.owner.delete(path.format("d0")).status_code == 200
    assert place.owner.put(path.format("d9"), json={"priority": 1}).status_code == 200


def test_an_import_brings_no_more_settings_than_that(place: Guarded) -> None:
    settings = [DevicePriority("ann", "watch", 4, day * DAY_US) for day in range(1, 21)]
    body = b"".join(msgspec.json.encode(fields_of(each)) + b"\n" for each in settings)
    sent = place.owner.post("/v1/imports?name=settings", content=body)
    assert sent.status_code == 202
    show = f"/v1/imports/{sent.json()['id']}"
    wait_until(lambda: place.owner.get(show).json()["status"] not in ("waiting", "running"), "it is read")
    course = place.owner.get(show).json()["course"]
    assert (course["read"], course["rejected"]) == (20, 20 - MOST + 1)
    assert settings_of(place) == MOST


def test_devices_without_end_are_not_listed(place: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MOST_DEVICES", MOST)
    devices = "/v1/users/ann/devices"
    readings = [reading("ann") | {"device_id": f"d{number}"} for number in range(MOST)]
    batch = "/v1/metrics/heart-rate/batch"
    assert place.owner.post(batch, json={"readings": readings[: MOST - 1]}).status_code == 202
    assert len(place.owner.get(devices).json()["data"]) == MOST
    assert place.owner.post(batch, json={"readings": readings}).status_code == 202
    refused = place.owner.get(devices)
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:pulsebase:problem:too-many-rows")
    said = place.owner.put(f"{devices}/d1/priority", json={"priority": 1})
    assert (said.status_code, said.json()["priority"], said.json()["readings"]) == (200, 1, 1), "one can be set still"
