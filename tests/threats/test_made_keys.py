"""Keys that are made over HTTP send readings, and open nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.threats.conftest import Guarded, guarded, reading


@pytest.fixture(scope="module")
def place() -> Iterator[Guarded]:
    with guarded() as made:
        yield made


def test_a_made_key_sends_readings_of_its_people_and_does_nothing_else(place: Guarded) -> None:
    answer = place.owner.post("/v1/keys", json={"name": "anns-phone", "user_ids": ["ann"]})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    assert {**made, "key": ""} == {"name": "anns-phone", "scopes": ["ingest"], "user_ids": ["ann"], "key": ""}
    phone = place.client(made["key"])
    assert phone.post("/v1/metrics/heart-rate", json=reading("ann")).status_code == 202
    assert phone.post("/v1/metrics/heart-rate", json=reading("bob")).status_code == 400
    assert phone.get("/v1/users/ann").status_code == 403
    assert phone.post("/v1/keys", json={"name": "more"}).status_code == 403
    told = {"access": "on", "name": "anns-phone", "scopes": ["ingest"], "for_everybody": False, "max_people": 100}
    assert phone.get("/v1/access").json() == told


def test_nobody_makes_a_key_that_reaches_further_than_their_own(place: Guarded) -> None:
    anns = place.client(place.key("ann-admin", ["admin"], ["ann"]))
    assert anns.post("/v1/keys", json={"name": "for-bob", "user_ids": ["ann", "bob"]}).status_code == 404
    assert anns.post("/v1/keys", json={"name": "for-all"}).status_code == 404
    assert anns.post("/v1/keys", json={"name": "for-ann", "user_ids": ["ann"]}).status_code == 201
    for wrong in ({"name": "for-ann"}, {"name": ""}, {"name": "x", "scopes": ["read"]}, {"name": "x", "user_ids": []}):
        assert place.owner.post("/v1/keys", json=wrong).status_code == 400, wrong


def test_what_a_caller_may_do_is_told(place: Guarded) -> None:
    assert place.client().get("/v1/access").status_code == 401
    assert place.client("pulsebase_wrong").get("/v1/access").status_code == 401
    reader = place.client(place.key("reader", ["read"])).get("/v1/access").json()
    assert (reader["scopes"], reader["for_everybody"]) == (["read", "aggregate"], True)
    with guarded(access="off") as open_place:
        everything = open_place.client().get("/v1/access").json()
        assert (everything["access"], everything["name"], "admin" in everything["scopes"]) == ("off", None, True)
        assert open_place.client().post("/v1/keys", json={"name": "phone"}).status_code == 409
