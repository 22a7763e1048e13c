"""The simulated Withings speaks as the vendor documents it: asked with plain HTTP."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from pulsebase.sources.simulators.withings import CLIENT_SECRET
from pulsebase.sources.withings_status import unwrapped
from tests.stores.harness import at
from tests.support.clouds import SimulatedCloud, consent, simulated

BACK = "http://127.0.0.1:1/back"
START_S = at("2025-06-10T22:00:00") // 1_000_000


class Caller:
    def __init__(self, cloud: SimulatedCloud) -> None:
        self.cloud, self.http = cloud, httpx.Client(base_url=cloud.url, trust_env=False)

    def code(self, scope: str = "user.activity") -> str:
        asked = {"response_type": "code", "client_id": "me", "redirect_uri": BACK, "state": "s", "scope": scope}
        return consent(str(httpx.URL(f"{self.cloud.url}/oauth2_user/authorize2", params=asked)), "user1")["code"]

    def post(self, path: str, action: str, **form: str | int) -> dict[str, Any]:
        answer = self.http.post(path, data={"action": action} | form)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def tokens(self, **form: str) -> dict[str, Any]:
        return self.post("/v2/oauth2", "requesttoken", client_id="me", **({"client_secret": CLIENT_SECRET} | form))

    def sign_in(self, scope: str = "user.activity") -> dict[str, Any]:
        said = self.tokens(grant_type="authorization_code", code=self.code(scope), redirect_uri=BACK)
        assert said["status"] == 0
        self.http.headers["Authorization"] = f"Bearer {said['body']['access_token']}"
        body: dict[str, Any] = said["body"]
        return body

    def signed(self, path: str, action: str, name: str, value: str, secret: str, **more: str) -> dict[str, Any]:
        signature = hmac.new(secret.encode(), f"{action},me,{value}".encode(), hashlib.sha256).hexdigest()
        return self.post(path, action, client_id="me", signature=signature, **({name: value} | more))

    def intraday(self, **form: str | int) -> dict[str, Any]:
        asked: dict[str, str | int] = {"startdate": START_S, "enddate": START_S + 86_400, "data_fields": "heart_rate"}
        return self.post("/v2/measure", "getintradayactivity", **(asked | form))


@pytest.fixture
def caller() -> Iterator[Caller]:
    with simulated("withings", every_s=300) as cloud:
        one = Caller(cloud)
        yield one
        one.http.close()


def test_tokens_are_in_an_envelope_and_refreshed_once(caller: Caller) -> None:
    assert caller.tokens(grant_type="authorization_code", code="no", redirect_uri=BACK)["status"] == 503
    assert caller.tokens(grant_type="authorization_code", code=caller.code(), client_secret="no")["status"] == 503
    body = caller.sign_in()
    assert (body["userid"], body["expires_in"], body["token_type"]) == ("user1", 10_800, "Bearer")
    fresh = caller.tokens(grant_type="refresh_token", refresh_token=body["refresh_token"])
    assert fresh["body"]["refresh_token"] != body["refresh_token"]
    assert caller.tokens(grant_type="refresh_token", refresh_token=body["refresh_token"])["status"] == 503


def test_who_signs_may_revoke_and_nobody_else(caller: Caller) -> None:
    caller.sign_in()
    assert caller.signed("/v2/signature", "getnonce", "timestamp", "1", "guessed")["status"] == 401
    nonce = caller.signed("/v2/signature", "getnonce", "timestamp", "1", CLIENT_SECRET)["body"]["nonce"]
    assert caller.signed("/v2/oauth2", "revoke", "nonce", nonce, "guessed", userid="user1")["status"] == 401
    assert caller.intraday()["status"] == 0
    nonce = caller.signed("/v2/signature", "getnonce", "timestamp", "1", CLIENT_SECRET)["body"]["nonce"]
    assert caller.signed("/v2/oauth2", "revoke", "nonce", nonce, CLIENT_SECRET, userid="user1")["status"] == 0
    assert caller.intraday()["status"] == 401


def test_refusals_have_the_vendors_statuses(caller: Caller) -> None:
    assert caller.intraday()["status"] == 401
    caller.sign_in()
    assert caller.intraday(startdate="soon")["status"] == 503
    caller.sign_in("user.metrics")
    assert caller.intraday()["status"] == 277


def test_the_limit_is_that_of_the_application() -> None:
    with simulated("withings", every_s=300, limit=2) as cloud:
        callers = [Caller(cloud), Caller(cloud), Caller(cloud)]
        for each in callers:
            each.sign_in()
        assert [each.intraday()["status"] for each in callers] == [0, 0, 601]
        for each in callers:
            each.http.close()


def test_days_and_nights_are_apart_and_nothing_is_an_empty_list(caller: Caller) -> None:
    caller.sign_in()
    by_day = caller.intraday()["body"]["series"]
    asked: dict[str, str | int] = {"startdate": START_S, "enddate": START_S + 86_400, "data_fields": "hr,rmssd"}
    night = caller.post("/v2/sleep", "get", **asked)["body"]["series"]
    asleep = {second for phase in night for second in phase["hr"]}
    assert len(by_day) > 10
    assert len(asleep) > 5
    assert by_day.keys().isdisjoint(asleep)
    assert caller.intraday(startdate=START_S + 10 * 86_400, enddate=START_S + 11 * 86_400)["body"]["series"] == []
    summary = {"startdateymd": "2025-05-01", "enddateymd": "2025-06-12", "data_fields": "rr_average"}
    first = caller.post("/v2/sleep", "getsummary", **summary)["body"]
    second = caller.post("/v2/sleep", "getsummary", offset=first["offset"], **summary)["body"]
    assert (len(first["series"]), first["more"], first["offset"]) == (20, True, 20)
    assert second["series"][0]["date"] == "2025-05-21"
    assert second["series"][0]["timezone"] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0, 200), (401, 401), (101, 401), (503, 400), (601, 429), (277, 403), (2554, 501), (522, 504), (2557, 500)],
)
def test_each_status_means_one_of_http(status: int, expected: int) -> None:
    answer = unwrapped(httpx.Response(200, json={"status": status, "body": {"a": 1}}))
    assert (answer.status_code, answer.json()) == (expected, {"a": 1})
    assert ("insufficient_scope" in answer.headers.get("www-authenticate", "")) == (expected == 403)


def test_what_is_no_envelope_stays_as_it_is() -> None:
    for answer in (httpx.Response(200, content=b"[1"), httpx.Response(502, json={"status": 0})):
        assert unwrapped(answer) is answer
