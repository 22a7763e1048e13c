"""Where access is on, the page asks for a key, asks with it, and forgets it with the tab or when it is told to."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.process import Place, Server, reading, serving, wait_until


@pytest.fixture(scope="module")
def guarded(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # It looks for new keys twice a second: until then they are wrong ones, of which it takes few a minute.
    with serving(Place(tmp_path_factory.mktemp("login"), access="on", wrong_keys_per_min="6000")) as running:
        yield running


def test_the_page_asks_for_a_key_and_shows_what_it_is_for(browser: Browser, guarded: Server) -> None:
    keys = {}
    for name, more in (
        ("cleo", ["--scope", "read", "--user", "cleo"]),
        ("ann", ["--scope", "read", "--user", "ann"]),
        ("gateway", ["--scope", "ingest"]),
    ):
        keys[name] = guarded.place.run("keys", "create", name, *more).stdout.strip()
    headers = {"authorization": f"Bearer {keys['gateway']}"}

    def stored(name: str) -> bool:
        answer = guarded.client.post("/v1/metrics/heart-rate", json=reading(name, 0), headers=headers)
        return answer.status_code == 202

    wait_until(lambda: stored("ann"), "the server knows the new keys")
    assert stored("bob")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{guarded.url}/app/")
    field = page.get_by_role("textbox", name="Key", exact=True)
    field.fill("pulsebase_wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("This key opens nothing here")
    expect(field).to_have_value("")
    field.fill(keys["ann"])
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("ann", exact=True).first).to_be_visible()
    expect(page.get_by_text("bob", exact=True)).to_have_count(0)
    page.reload()
    expect(page.get_by_text("ann", exact=True).first).to_be_visible()
    assert keys["ann"] not in page.url
    # A key that adds nothing is not offered to.
    expect(page.get_by_role("link", name="Add data")).to_have_count(0)
    page.get_by_role("button", name="Forget the key").click()
    expect(field).to_be_visible()
    other = context.new_page()
    other.goto(f"{guarded.url}/app/")
    other.get_by_label("Key", exact=True).fill(keys["cleo"])
    other.get_by_role("button", name="Go on").click()
    other.get_by_text("There is nobody here yet.").wait_for()
    expect(other.get_by_text("does not add readings")).to_be_visible()
    context.close()


def test_a_key_is_remembered_where_that_is_wanted_and_makes_one_for_a_phone(browser: Browser, guarded: Server) -> None:
    key = guarded.place.run("keys", "create", "boss", "--scope", "admin").stdout.strip()
    headers = {"authorization": f"Bearer {key}"}
    wait_until(lambda: guarded.client.get("/v1/access", headers=headers).status_code == 200, "the server knows the key")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{guarded.url}/app/import")
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_label("Remember the key on this device").check()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Add data")
    page.close()
    page = context.new_page()
    page.goto(f"{guarded.url}/app/import")
    card = page.get_by_role("region", name="Send readings here")
    card.get_by_label("Stored under this person").fill("dora")
    card.get_by_label("What the key is for").fill("doras-phone")
    card.get_by_role("button", name="Make a key").click()
    made = card.locator("code").filter(has_text=re.compile("^pulsebase_")).inner_text()
    expect(card.locator("code").filter(has_text="curl")).to_contain_text(made)
    sent = guarded.client.post(
        "/v1/metrics/heart-rate", json=reading("dora", 0), headers={"authorization": f"Bearer {made}"}
    )
    assert sent.status_code == 202
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    context.close()
