"""Where access is on, the page asks for a key, asks with it, and forgets it with the tab."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.process import Place, Server, reading, serving


@pytest.fixture(scope="module")
def guarded(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Place(tmp_path_factory.mktemp("login"), access="on")) as running:
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
    while guarded.client.post("/v1/metrics/heart-rate", json=reading("ann", 0), headers=headers).status_code == 401:
        time.sleep(0.2)  # the server looks for new keys twice a second, and takes few wrong ones a minute
    guarded.client.post("/v1/metrics/heart-rate", json=reading("bob", 0), headers=headers)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{guarded.url}/app/")
    field = page.get_by_label("Key")
    field.fill("pulsebase_wrong")
    page.get_by_role("button", name="Go on").click()
    expect(field).to_have_value("")
    field.fill(keys["ann"])
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("ann", exact=True).first).to_be_visible()
    expect(page.get_by_text("bob", exact=True)).to_have_count(0)
    page.reload()
    expect(page.get_by_text("ann", exact=True).first).to_be_visible()
    assert keys["ann"] not in page.url
    other = context.new_page()
    other.goto(f"{guarded.url}/app/")
    other.get_by_label("Key").fill(keys["cleo"])
    other.get_by_role("button", name="Go on").click()
    # Whoever sees nobody yet is led to where files come in.
    other.get_by_text("There is nobody here yet.").wait_for()
    other.locator(".people").get_by_role("link", name="Import files").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("Import files")
    context.close()
