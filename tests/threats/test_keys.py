"""Keys that open nothing, keys that open less, and keys that must not be found anywhere."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.access.keys import SCOPES
from pulsebase.access.scopes import NEEDS
from tests.threats.conftest import Guarded, guarded, reading

CLOSED = [name for name, need in NEEDS.items() if need != "open"]


#: Routes that are at the root alone.
AT_ROOT = {"/metrics", "/api/v2/write", "/write", "/query"}


def path_of(name: str) -> tuple[str, str]:
    """Method and address of a route, with ids in place."""
    method, path = name.split(" ")
    path = re.sub(r"\{import_id\}", "1", path)
    return method, ("" if path in AT_ROOT else "/v1") + re.sub(r"\{\w+\}", "ann", path)


def wrong_keys(place: Guarded) -> dict[str, dict[str, str]]:
    good, revoked = place.key(f"good-{time.monotonic_ns()}"), place.key("revoked")
    place.parts.services.access.state.revoke_key("revoked", 1)
    soon = time.time_ns() // 1000 + 500_000  # ahead when the key is made, even on a busy machine
    expired = place.key("expired", expires_us=soon)
    while time.time_ns() // 1000 <= soon:
        time.sleep(0.01)
    place.parts.services.access.ring.refresh()
    other = good[:-1] + ("0" if good[-1] != "0" else "1")
    return {
        "missing": {},
        "empty": {"authorization": "Bearer "},
        "wrong": {"authorization": f"Bearer {other}"},
        "cut": {"authorization": f"Bearer {good[:-1]}"},
        "revoked": {"authorization": f"Bearer {revoked}"},
        "expired": {"authorization": f"Bearer {expired}"},
        "basic": {"authorization": f"Basic {good}"},
        "token": {"authorization": f"Token {good}"},
        "cookie": {"cookie": f"key={good}"},
        "bytes": {"authorization": "Bearer \xff\xfe"},
        "hash": {"authorization": f"Bearer {place.parts.services.access.state.all_keys()[0][0].hex()}"},
    }


@pytest.fixture(scope="module")
def place() -> Any:
    with guarded(wrong_keys_per_min=100_000, address_requests_per_s=100_000) as made:
        yield made


def test_no_route_answers_a_key_that_is_missing_wrong_revoked_or_expired(place: Guarded) -> None:
    keys = wrong_keys(place)
    client = place.client()
    for name in CLOSED:
        method, path = path_of(name)
        for kind, headers in keys.items():
            if kind == "token" and path == "/api/v2/write":
                continue  # what clients of that protocol say
            sent = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
            answer = client.request(method, path, headers=sent, content=b"{}")
            assert answer.status_code == 401, (name, kind)
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_in_the_address_opens_nothing(place: Guarded) -> None:
    """It would lie in logs and histories."""
    key = place.key("address")
    for name in ("key", "token", "access_token", "api_key"):
        assert place.client().get(f"/v1/users?{name}={key}").status_code == 401


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_does_what_its_scopes_say_and_nothing_else(place: Guarded, scope: str) -> None:
    client = place.client(place.key(f"only-{scope}", [scope]))
    for name, need in NEEDS.items():
        method, path = path_of(name)
        if need == "open":
            continue
        method = "HEAD" if path.endswith("/signals/stream") else method  # whose answer would not end
        status = client.request(method, path, content=b"{").status_code
        if need == "owner":
            assert status == 404, name
        elif need == "key" or scope in (*need.split(" or "), "admin") or (scope, need) == ("read", "aggregate"):
            assert status not in (401, 403), name
        else:
            assert status == 403, name


def test_a_key_without_people_left_is_for_nobody_rather_than_for_everybody(place: Guarded) -> None:
    place.owner.post("/v1/metrics/heart-rate/batch", json={"readings": [reading("gone"), reading("left")]})
    client = place.client(place.key("for-gone", people=["gone"]))
    assert client.get("/v1/users/gone").status_code == 200
    assert place.owner.delete("/v1/users/gone").status_code == 200
    place.parts.services.access.ring.refresh()
    assert client.get("/v1/users").json()["data"] == []
    assert client.get("/v1/users/left").status_code == 404
    answer = client.post("/v1/metrics/heart-rate", json=reading("gone"))
    assert answer.status_code == 400, "who was removed does not come back by an old key"


def test_no_key_is_in_an_answer_a_log_a_metric_or_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with guarded(store_url=f"duckdb:///{tmp_path / 'store.duckdb'}") as place:
        key, wrong = place.key("kept"), "pulsebase_" + "ab" * 32
        answers = []
        for used in (key, wrong):
            client: httpx.Client = place.client(used)
            answers += [client.get("/v1/users"), client.get(f"/v1/users/{used}"), client.get("/v1/nowhere")]
            answers.append(client.post("/v1/metrics/heart-rate", content=b"{"))
            answers.append(client.get("/v1/sources/fitbit/authorize?user_id=ann"))
        place.parts.services.access.audit.flush()
        told = "".join(answer.text + str(answer.headers) for answer in answers) + place.owner.get("/metrics").text
        told += place.owner.get("/v1/audit?limit=1000").text
        # The client of this test has a log of its own, which is not the server's.
        logged = [line for line in caplog.records if not line.name.startswith("httpx")]
        for secret in (key, wrong):
            assert secret not in told
            assert [line.name for line in logged if secret in line.getMessage()] == []
            for path in tmp_path.rglob("*"):
                assert not path.is_file() or secret.encode() not in path.read_bytes(), path
