"""Somebody who has another person's consent count for an id of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2 as httpx
import pytest

from tests.support.clouds import SimulatedCloud, consent, simulated
from tests.support.in_process import InProcessClient
from tests.threats.conftest import Guarded, guarded


@pytest.fixture
def cloud() -> Iterator[SimulatedCloud]:
    with simulated("fitbit") as running:
        yield running


@pytest.fixture
def place(cloud: SimulatedCloud) -> Iterator[Guarded]:
    with ExitStack() as opened:
        yield opened.enter_context(guarded(**cloud.settings()))


def page_for(place: Guarded, user_id: str) -> httpx.URL:
    """What whoever has a key for somebody can make."""
    client = place.client(place.key(user_id, people=[user_id]))
    return httpx.URL(client.post("/v1/sources/fitbit/authorize", json={"user_id": user_id}).json()["url"])


def agreed_in(browser: InProcessClient, page: httpx.URL, **headers: str) -> Any:
    form = {"ticket": page.params["ticket"]}
    return browser.post(page.path, data=form, headers=headers, follow_redirects=False)


def test_a_consent_counts_for_the_browser_that_began_it_alone(place: Guarded) -> None:
    attackers, victims = place.client(), place.client()
    begun = agreed_in(attackers, page_for(place, "ann")).headers["location"]
    came = consent(begun, "user2")  # the victim, who was sent the address of the source, agrees there
    answer = victims.get("/v1/sources/fitbit/callback", params=came)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "state"
    assert place.parts.services.connections.of("ann") == []
    assert attackers.get("/v1/sources/fitbit/callback", params=came).status_code == 200


def test_who_opens_anothers_address_is_told_whose_id_it_is(place: Guarded) -> None:
    page = page_for(place, "ann")
    answer = place.client().get(str(page))
    assert "keep it as that of ann." in answer.text
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_page_of_another_site_agrees_to_nothing(place: Guarded) -> None:
    page = page_for(place, "ann")
    answer = agreed_in(place.client(), page, **{"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert agreed_in(place.client(), page, **{"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_a_ticket_is_made_for_people_within_reach_alone(place: Guarded) -> None:
    ann = place.client(place.key("for-ann", people=["ann"]))
    assert ann.post("/v1/sources/fitbit/authorize", json={"user_id": "bob"}).status_code in (403, 404)
    assert place.client().post("/v1/sources/fitbit/authorize", json={"user_id": "ann"}).status_code == 401


def test_who_was_connected_is_in_the_trail_and_what_came_back_is_nowhere(
    place: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    browser = place.client()
    page = page_for(place, "ann")
    assert browser.get(str(page)).status_code == 200
    came = consent(agreed_in(browser, page).headers["location"], "user2")
    assert browser.get("/v1/sources/fitbit/callback", params=came).status_code == 200
    assert browser.get("/v1/sources/fitbit/callback", params=came | {"state": "wrong"}).status_code == 400
    entries = place.owner.get("/v1/audit", params={"key": "nobody"}).json()["data"]
    noted = [(each["method"], each["route"], each["status"], each["user_id"]) for each in entries]
    template = "/sources/{source}"
    assert sorted(noted) == [
        ("GET", f"{template}/callback", 200, "ann"),
        ("GET", f"{template}/consent", 200, "ann"),
        ("POST", f"{template}/consent", 303, "ann"),
    ]
    logged = "".join(each.getMessage() for each in caplog.records if each.name.startswith("pulsebase"))
    assert "/callback" in logged
    said = place.owner.get("/v1/audit").text + logged + place.owner.get("/metrics").text
    for secret in (came["code"], came["state"], page.params["ticket"]):
        assert secret not in said
