from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.etl.load import LoadResult, ReadingLoader
from pulsebase.etl.state import Checkpoint, RunReport
from pulsebase.model.errors import ReconnectError
from pulsebase.model.timerange import HOUR_US
from pulsebase.settings import Settings
from pulsebase.sources.synthetic import DEMO_PEOPLE, day_range
from pulsebase.wiring import build
from tests.api.conftest import Api
from tests.support.clouds import DATA_SETS, FIRST_DAY, SimulatedCloud, consent, simulated
from tests.support.process import wait_until


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


def begin(api: Api, user_id: str = "ann", source: str = "fitbit", browser: Any = None) -> httpx.URL:
    """Where the source asks the person, reached as their browser does."""
    browser = browser or api
    answer = api.post(f"/v1/sources/{source}/authorize", json={"user_id": user_id})
    assert answer.status_code == 200, answer.text
    page = httpx.URL(answer.json()["url"])
    assert f"keep it as that of {user_id}." in browser.get(str(page)).text
    form = {"ticket": page.params["ticket"]}
    sent = browser.post(page.path, data=form, follow_redirects=False)
    assert sent.status_code == 303, sent.text
    return httpx.URL(sent.headers["location"])


def come_back(api: Api, came: dict[str, str], source: str = "fitbit") -> Any:
    return api.get(f"/v1/sources/{source}/callback", params=came | {"scope": "heartrate", "iss": "whoever"})


def connect(api: Api) -> None:
    answer = come_back(api, consent(str(begin(api)), "user1"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "ann is connected to fitbit." in answer.text


def readings_of(runs: Sequence[RunReport]) -> int:
    """How many readings the runs wrote."""
    return sum(run.written for run in runs if run.data_set != "heart_rate_summary")


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


def test_what_a_connection_brought_is_taken_back_and_comes_again(api: Api) -> None:
    connect(api)
    sync = api.parts.services.sync
    brought = readings_of(sync.run("ann", "fitbit"))
    (entry,) = api.get("/v1/imports").json()["data"]
    assert (entry["kind"], entry["name"], entry["readings"]) == ("sync", "fitbit/ann", brought)
    path = f"/v1/imports/{entry['id']}"
    with sync.kept_out("ann", "fitbit"):
        assert api.delete(path).status_code == 409
    assert api.delete(path).json() == {"deleted": brought}
    assert api.parts.store.stored().num_rows == 0
    assert len(api.parts.store.summaries("ann", date.min, date.max)) > 0
    assert readings_of(sync.run("ann", "fitbit")) == brought
    api.delete("/v1/users/ann/sources/fitbit")
    assert api.delete(path).json() == {"deleted": brought}
    assert sync.run("ann", "fitbit") == []
    assert api.get(path).json()["readings"] == 0


def test_a_state_is_good_once_for_a_while_and_for_its_source(api: Api, cloud: SimulatedCloud) -> None:
    came = consent(str(begin(api)), "user1")
    assert come_back(api, came | {"state": "x" * 43}).status_code == 400
    assert come_back(api, came, source="google").status_code == 400
    assert come_back(api, came).status_code == 200
    again = come_back(api, came)
    assert again.status_code == 400
    reason = "is not of a consent that this browser began, or was used; begin again"
    assert again.json()["errors"] == [{"field": "state", "reason": reason}]
    late = consent(str(begin(api)), "user1")
    cloud.clock.advance(601_000_000)
    assert come_back(api, late).json()["errors"][0]["field"] == "state"


def test_consents_that_are_begun_take_no_room(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsebase.etl.connections.CONSENTS_LIMIT", 0)  # of those that are kept
    urls = [begin(api) for _ in range(50)]
    assert come_back(api, consent(str(urls[0]), "user1")).status_code == 200


def test_a_request_without_a_body_is_told_so(api: Api) -> None:
    answer = api.post("/v1/sources/fitbit/authorize")
    assert (answer.status_code, answer.json()["errors"]) == (400, [{"field": "body", "reason": "is required"}])


def test_an_address_that_leads_to_the_page_begins_nothing(api: Api) -> None:
    answer = api.get("/v1/sources/fitbit/authorize", params={"user_id": "ann"}, follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("http://localhost/v1/sources/fitbit/consent?ticket=")
    assert "set-cookie" not in answer.headers


def test_a_ticket_is_good_for_its_source_and_for_a_while(api: Api, cloud: SimulatedCloud) -> None:
    page = httpx.URL(api.post("/v1/sources/fitbit/authorize", json={"user_id": "ann"}).json()["url"])
    ticket = page.params["ticket"]
    for wrong in (ticket[:-2] + "AA", "", "x", "é" * 20, ticket * 2):
        answer = api.get("/v1/sources/fitbit/consent", params={"ticket": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "ticket")
    assert api.post("/v1/sources/fitbit/consent", data={"ticket": ticket + "A"}).status_code == 400
    cloud.clock.advance(601_000_000)
    assert api.get(f"{page.path}", params={"ticket": ticket}).status_code == 400
    assert api.post(page.path, data={"ticket": ticket}).status_code == 400


def test_the_cookie_of_a_consent_is_kept_from_scripts_and_other_sites(api: Api) -> None:
    page = httpx.URL(api.post("/v1/sources/fitbit/authorize", json={"user_id": "ann"}).json()["url"])
    sent = api.post(page.path, data={"ticket": page.params["ticket"]}, follow_redirects=False)
    cookie = sent.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/v1/sources/fitbit/callback" in cookie
    assert "max-age=600" in cookie
    assert "ann" not in cookie


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
    for source, reason in (
        ("garmin", "must be fitbit or google or oura or polar or withings"),
        ("google", "is not configured"),
        ("oura", "is not configured"),
        ("polar", "is not configured"),
        ("withings", "is not configured"),
    ):
        answer = api.post(f"/v1/sources/{source}/authorize", json={"user_id": "ann"})
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
    data_sets = DATA_SETS["fitbit"]
    assert [run["data_set"] for run in whole["data"]] == [*reversed(data_sets)] * 2
    last = whole["data"][len(data_sets) - 1]
    assert (last["written"], last["rejected"], last["outcome"], last["error"]) == (0, 0, "done", None)
    assert last["read"] == last["unchanged"] > 0
    assert last["started"] == "2025-06-12T15:20:00Z"
    page = api.get("/v1/etl/runs", params={"limit": 3}).json()
    assert page["data"] == whole["data"][:3]
    rest = api.get("/v1/etl/runs", params={"limit": 100, "cursor": page["next_cursor"]}).json()
    assert (rest["data"], rest["next_cursor"]) == (whole["data"][3:], None)
    assert api.get("/v1/etl/runs", params={"user_id": "bob"}).json()["data"] == []
    assert len(api.get("/v1/etl/runs", params={"source": "fitbit"}).json()["data"]) == 2 * len(data_sets)
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


def assert_forgotten(api: Api, cloud: SimulatedCloud) -> None:
    sync = api.parts.services.sync
    assert api.get("/v1/users/ann").status_code == 404
    assert sync.state.connections() == []
    assert sync.state.checkpoint("ann", "fitbit", "heart_rate") == Checkpoint()
    assert api.get("/v1/etl/runs").json()["data"] == []
    assert vars(cloud.authorization)["_refresh"] == {}
    assert sync.run("ann", "fitbit") == []
    with pytest.raises(ReconnectError):
        api.parts.services.connections.client_of("fitbit", "ann").days(date(2025, 6, 11), date(2025, 6, 11))


def test_a_person_who_is_removed_is_forgotten_and_may_begin_anew(api: Api, cloud: SimulatedCloud) -> None:
    connect(api)
    first = readings_of(api.parts.services.sync.run("ann", "fitbit"))
    deleted = api.delete("/v1/users/ann").json()["deleted"]
    assert (deleted["readings"], deleted["connections"]) == (first, 1)
    assert_forgotten(api, cloud)
    assert api.delete("/v1/users/ann").status_code == 404
    assert api.post("/v1/users/ann/allow").status_code == 200
    connect(api)
    assert readings_of(api.parts.services.sync.run("ann", "fitbit")) == first


@pytest.mark.parametrize(
    "at", ["pulsebase.sources.tokens.Tokens.remove", "pulsebase.stores.metered.MeteredStore.remove_user"]
)
def test_a_crash_while_a_person_is_removed_brings_nothing_back(
    api: Api, cloud: SimulatedCloud, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("killed")

    connect(api)
    sync = api.parts.services.sync
    sync.run("ann", "fitbit")
    monkeypatch.setattr(at, crash)
    assert api.delete("/v1/users/ann").status_code == 500
    monkeypatch.undo()
    cloud.clock.advance(HOUR_US)
    assert sync.connections() == []
    assert sync.run("ann", "fitbit") == []
    assert api.delete("/v1/users/ann").status_code in (200, 404)  # again, unless it was done in the background
    assert_forgotten(api, cloud)


def test_a_run_under_way_brings_nobody_back(cloud: SimulatedCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"store_url": "memory://", "start_date": FIRST_DAY, "batch_size": 1}
    chosen = Settings(_env_file=None, **settings | cloud.settings())
    with build(chosen, now_us=cloud.clock.now_us) as parts, ThreadPoolExecutor(1) as pool:
        api = Api(parts)
        connect(api)
        load, loading = ReadingLoader.load, threading.Event()

        def held_up(self: ReadingLoader, *arguments: Any) -> LoadResult:
            loading.set()
            wait_until(lambda: not parts.services.connections.of("ann"), "the removal began")
            return load(self, *arguments)

        monkeypatch.setattr(ReadingLoader, "load", held_up)
        running = pool.submit(parts.services.sync.run, "ann", "fitbit")
        assert loading.wait(30)
        deleted = api.delete("/v1/users/ann").json()["deleted"]["readings"]
        (report,) = running.result()
        assert report.written == deleted == 0  # what was on its way was waited for, and not taken
        assert report.rejected > 0
        assert report.error == "there is no connection; connect first"
        assert_forgotten(api, cloud)


def test_nobody_is_connected_while_they_are_removed(api: Api, cloud: SimulatedCloud) -> None:
    came = consent(str(begin(api)), "user1")
    with ThreadPoolExecutor(1) as pool:
        with api.parts.services.connections.forgotten("ann"):
            coming = pool.submit(come_back, api, came)
            wait_until(lambda: vars(cloud.authorization)["_refresh"], "the tokens came")
            assert api.parts.services.sync.state.connections() == []
        assert coming.result().status_code == 200
    assert len(api.parts.services.sync.state.connections()) == 1


def test_connections_without_their_person_can_be_removed(api: Api) -> None:
    api.parts.services.sync.state.connect("ghost", "fitbit", None, 1)
    deleted = api.delete("/v1/users/ghost").json()["deleted"]
    assert (deleted["readings"], deleted["connections"]) == (0, 1)
    assert api.parts.services.sync.state.connections() == []
    assert api.delete("/v1/users/ghost").status_code == 404


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
        span = day_range(DEMO_PEOPLE[0], date(2025, 6, 11))  # the account has the zone
        assert span.start_us <= (overview.first_us or 0) < (overview.last_us or 0) < span.end_us
        begun = begin(api, "bob")
        assert come_back(api, consent(str(begun), "user2")).status_code == 200
        assert [each.user_id for each in parts.services.sync.connections()] == ["ann"]  # USER_ID narrows


def test_what_can_be_connected_is_listed_and_what_else_needs_a_setting(api: Api, cloud: SimulatedCloud) -> None:
    listed = {each.pop("source"): each for each in api.get("/v1/sources").json()["data"]}
    assert listed["fitbit"] == {"server": cloud.url, "missing": None}
    assert listed["google"] == {"server": None, "missing": "set PULSEBASE_GOOGLE_CLIENT_ID"}
    assert listed["oura"] == {"server": None, "missing": "set PULSEBASE_OURA_CLIENT_ID"}
