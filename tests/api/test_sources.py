from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.model.timerange import DAY_US, HOUR_US
from pulsebase.settings import Settings
from pulsebase.wiring import build
from tests.api.conftest import Api
from tests.support.clouds import FIRST_DAY, NOW_US, SimulatedCloud, consent, simulated


@pytest.fixture
def cloud() -> Iterator[SimulatedCloud]:
    with simulated("fitbit") as running:
        yield running


@pytest.fixture
def api(cloud: SimulatedCloud, tmp_path: Path) -> Iterator[Api]:
    with ExitStack() as opened:
        settings = {"store_url": "memory://", "start_date": FIRST_DAY} | cloud.settings()
        parts = opened.enter_context(build(Settings(_env_file=None, **settings), now_us=cloud.clock.now_us))
        yield Api(parts)


def begin(api: Api, user_id: str = "ann", source: str = "fitbit") -> httpx.URL:
    answer = api.get(f"/v1/sources/{source}/authorize", params={"user_id": user_id}, follow_redirects=False)
    assert answer.status_code == 302, answer.text
    return httpx.URL(answer.headers["location"])


def come_back(api: Api, came: dict[str, str], source: str = "fitbit") -> Any:
    return api.get(f"/v1/sources/{source}/callback", params=came | {"scope": "heartrate", "iss": "whoever"})


def connect(api: Api) -> None:
    answer = come_back(api, consent(str(begin(api)), "user1"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "ann is connected to fitbit." in answer.text


def test_connecting_over_the_browser(api: Api, cloud: SimulatedCloud) -> None:
    url = begin(api)
    assert str(url).startswith(f"{cloud.url}/oauth2/authorize?")
    assert url.params["redirect_uri"] == "http://localhost/v1/sources/fitbit/callback"
    assert (url.params["code_challenge_method"], url.params["response_type"]) == ("S256", "code")
    connect(api)
    (entry,) = api.get("/v1/users/ann/sources").json()["data"]
    assert entry == {
        "user_id": "ann",
        "source": "fitbit",
        "state": "new",
        "account": "user1",
        "connected": "2025-06-12T15:20:00Z",
        "last_reading": None,
        "last_run": None,
        "next_try": None,
        "problem": None,
    }


def test_a_state_is_good_once_for_a_while_and_for_its_source(api: Api, cloud: SimulatedCloud) -> None:
    came = consent(str(begin(api)), "user1")
    assert come_back(api, came | {"state": "x" * 43}).status_code == 400
    assert come_back(api, came, source="google").status_code == 400
    assert come_back(api, came).status_code == 200
    again = come_back(api, came)
    assert again.status_code == 400
    reason = "is unknown, was used before, or is too old; begin again"
    assert again.json()["errors"] == [{"field": "state", "reason": reason}]
    late = consent(str(begin(api)), "user1")
    cloud.clock.advance(601_000_000)
    assert come_back(api, late).json()["errors"][0]["field"] == "state"


def test_consents_under_way_are_limited(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsebase.etl.connections.CONSENTS_LIMIT", 2)
    urls = [begin(api) for _ in range(2)]
    answer = api.get("/v1/sources/fitbit/authorize", params={"user_id": "ann"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "600")
    assert come_back(api, consent(str(urls[0]), "user1")).status_code == 200
    begin(api)


def test_the_person_is_the_one_who_began(api: Api) -> None:
    ann, bob = begin(api, "ann"), begin(api, "bob")
    assert come_back(api, consent(str(bob), "user2")).status_code == 200
    assert come_back(api, consent(str(ann), "user1")).status_code == 200
    accounts = [api.get(f"/v1/users/{name}/sources").json()["data"][0]["account"] for name in ("ann", "bob")]
    assert accounts == ["user1", "user2"]


def test_who_says_no_is_not_connected(api: Api) -> None:
    answer = come_back(api, consent(str(begin(api)), "user1", "deny"))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "code")
    assert api.get("/v1/users/ann/sources").status_code == 404


def test_a_code_that_the_source_refuses_connects_nobody(api: Api) -> None:
    came = consent(str(begin(api)), "user1")
    answer = come_back(api, came | {"code": "made up"})
    assert answer.json()["errors"] == [{"field": "code", "reason": "was refused by the source"}]
    assert "made up" not in answer.text


def test_sources_that_are_not_there_are_named(api: Api) -> None:
    for source, reason in (("garmin", "must be fitbit or google"), ("google", "is not configured")):
        answer = api.get(f"/v1/sources/{source}/authorize", params={"user_id": "ann"})
        assert answer.status_code == 400
        assert reason in answer.json()["detail"]


def test_what_is_connected_and_what_is_wrong(api: Api, cloud: SimulatedCloud) -> None:
    connect(api)
    sync = api.parts.services.sync
    sync.run("ann", "fitbit")
    (entry,) = api.get("/v1/users/ann/sources").json()["data"]
    assert (entry["state"], entry["last_run"], entry["problem"]) == ("ok", "2025-06-12T15:20:00Z", None)
    assert entry["last_reading"].startswith("2025-06-12T15:")
    cloud.fault("server_error", 1.0)
    cloud.clock.advance(HOUR_US)
    sync.run("ann", "fitbit")
    (entry,) = api.get("/v1/users/ann/sources").json()["data"]
    assert (entry["state"], entry["next_try"]) == ("waiting", "2025-06-12T16:21:00Z")
    assert entry["problem"].startswith("the source answered 50")
    cloud.fault("refresh_refused", 1.0)
    cloud.clock.advance(9 * HOUR_US)
    sync.run("ann", "fitbit")
    (entry,) = api.get("/v1/users/ann/sources").json()["data"]
    assert (entry["state"], entry["next_try"]) == ("needs-person", None)
    assert entry["problem"].endswith("connect again")
    metrics = api.get("/metrics").text
    assert 'pulsebase_etl_connections{source="fitbit",state="needs-person"} 1.0' in metrics
    assert 'pulsebase_etl_freshness_seconds{source="fitbit"}' in metrics
    assert "user1" not in metrics
    assert '"ann"' not in metrics


def test_runs_are_shown_newest_first_by_page(api: Api, cloud: SimulatedCloud) -> None:
    connect(api)
    for _ in range(2):
        api.parts.services.sync.run("ann", "fitbit")
    whole = api.get("/v1/etl/runs").json()
    assert [run["data_set"] for run in whole["data"]] == ["heart_rate_summary", "heart_rate"] * 2
    last = whole["data"][1]
    assert (last["written"], last["rejected"], last["outcome"], last["error"]) == (0, 0, "done", None)
    assert last["read"] == last["unchanged"] > 0
    assert last["started"] == "2025-06-12T15:20:00Z"
    page = api.get("/v1/etl/runs", params={"limit": 3}).json()
    assert page["data"] == whole["data"][:3]
    rest = api.get("/v1/etl/runs", params={"limit": 3, "cursor": page["next_cursor"]}).json()
    assert (rest["data"], rest["next_cursor"]) == (whole["data"][3:], None)
    assert api.get("/v1/etl/runs", params={"user_id": "bob"}).json()["data"] == []
    assert len(api.get("/v1/etl/runs", params={"source": "fitbit"}).json()["data"]) == 4
    assert api.get("/v1/etl/runs", params={"cursor": "x"}).status_code == 400


def test_disconnecting(api: Api, cloud: SimulatedCloud) -> None:
    connect(api)
    assert api.delete("/v1/users/ann/sources/fitbit").json() == {"disconnected": True}
    assert vars(cloud.authorization)["_access"] == {}
    assert api.get("/v1/users/ann/sources").json()["data"] == []
    assert api.delete("/v1/users/ann/sources/fitbit").status_code == 404
    assert api.delete("/v1/users/ann/sources/elsewhere").status_code == 404


def test_a_cloud_that_is_gone_does_not_keep_anybody_connected(api: Api, cloud: SimulatedCloud) -> None:
    connect(api)
    cloud.fault("token_error", 1.0)
    assert api.delete("/v1/users/ann/sources/fitbit").status_code == 200


def test_the_owners_routes_are_nobody_elses(api: Api) -> None:
    assert api.get("/v1/admin/sources").status_code == 404
    assert api.post("/v1/admin/etl/runs", json={}).status_code == 404
    asked = {"user_id": "ann", "redirect_uri": "http://127.0.0.1:1/"}
    assert api.post("/v1/admin/sources/fitbit/authorize", json=asked).status_code == 404
    assert api.post("/v1/admin/sources/fitbit/callback", json={"state": "s"}).status_code == 404


def test_the_last_day_bounds_what_is_brought(cloud: SimulatedCloud) -> None:
    settings = {"store_url": "memory://", "start_date": "2025-06-11", "end_date": "2025-06-11", "user_id": "ann"}
    with build(Settings(_env_file=None, **settings | cloud.settings()), now_us=cloud.clock.now_us) as parts:
        api = Api(parts)
        connect(api)
        parts.services.sync.run("ann", "fitbit")
        overview = parts.store.overview("ann")
        assert overview is not None
        assert (overview.first_us or 0) // DAY_US == (overview.last_us or 0) // DAY_US == NOW_US // DAY_US - 1
        begun = begin(api, "bob")
        assert come_back(api, consent(str(begun), "user2")).status_code == 200
        assert [each.user_id for each in parts.services.sync.connections()] == ["ann"]  # USER_ID narrows
