"""The simulated AccessLink speaks as the vendor documents it: asked with plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.support.clouds import SimulatedCloud, consent, simulated

BACK = "http://127.0.0.1:1/back"
DAYS = {"from": "2025-06-10", "to": "2025-06-11"}
HEART = "/v3/users/continuous-heart-rate"


class Caller:
    def __init__(self, cloud: SimulatedCloud) -> None:
        self.cloud, self.http = cloud, httpx.Client(base_url=cloud.url, trust_env=False)

    def sign_in(self) -> dict[str, object]:
        asked = {"response_type": "code", "client_id": "me", "redirect_uri": BACK, "scope": "accesslink.read_all"}
        code = consent(str(httpx.URL(f"{self.cloud.url}/oauth2/authorization", params=asked)), "user1")["code"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": "me", "redirect_uri": BACK}
        pair: dict[str, object] = self.http.post("/v2/oauth2/token", data=form).json()
        self.http.headers["Authorization"] = f"Bearer {pair['access_token']}"
        return pair

    def register(self) -> int:
        return self.http.post("/v3/users", json={"member-id": "ann"}).status_code


@pytest.fixture
def caller() -> Iterator[Caller]:
    with simulated("polar", every_s=300, limit=7) as cloud:
        one = Caller(cloud)
        yield one
        one.http.close()


def test_tokens_live_for_years_and_are_not_renewed(caller: Caller) -> None:
    pair = caller.sign_in()
    assert (pair["x_user_id"], pair["expires_in"], "refresh_token" in pair) == ("user1", 315_359_999, False)


def test_nothing_is_read_of_who_is_not_registered(caller: Caller) -> None:
    caller.sign_in()
    assert caller.http.get(HEART, params=DAYS).status_code == 403
    assert [caller.register(), caller.register()] == [200, 409]
    days = caller.http.get(HEART, params=DAYS).json()["heart_rates"]
    assert [day["date"] for day in days] == ["2025-06-10", "2025-06-11"]
    assert days[0]["heart_rate_samples"][0]["sample_time"] < "01"
    assert caller.http.get(HEART, params={"from": "2025-07-01", "to": "2025-07-02"}).status_code == 204
    assert caller.http.get(HEART, params={"from": "2025-01-01", "to": "2025-07-02"}).status_code == 400


def test_who_is_removed_is_known_no_more(caller: Caller) -> None:
    caller.sign_in()
    caller.register()
    assert caller.http.delete("/v3/users/user2").status_code == 403
    assert caller.http.delete("/v3/users/user1").status_code == 204
    assert caller.register() == 401


def test_the_limit_is_that_of_the_application_and_headers_tell_it(caller: Caller) -> None:
    caller.sign_in()
    answers = [caller.http.get("/v3/users/nightly-recharge") for _ in range(8)]
    assert [answer.status_code for answer in answers] == [403] * 7 + [429]
    assert answers[6].headers["ratelimit-usage"] == "7, 7"
    assert answers[6].headers["ratelimit-limit"] == "7, 700"
