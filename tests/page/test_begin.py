"""From an empty store to one's own chart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.page.conftest import Opener, opener
from tests.page.server import now_ms, push
from tests.support.health_files import at, takeout_heart_rate
from tests.support.process import Place, Server, serving


@pytest.fixture(scope="module")
def empty(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Place(tmp_path_factory.mktemp("empty"))) as running:
        yield running


@pytest.fixture
def visit_empty(browser: Browser, empty: Server) -> Iterator[Opener]:
    yield from opener(browser, empty.url)


def test_a_first_visitor_drops_a_folder_and_sees_the_chart_where_the_readings_are(
    visit_empty: Opener, empty: Server, tmp_path: Path
) -> None:
    # Names that need headers of their own in the archive the page makes of a folder.
    folder = tmp_path / "Takeout" / ("Grüße, " + "a long name " * 8)
    folder.mkdir(parents=True)
    day = takeout_heart_rate([(at("2024-01-15T10:00:00") + n, 60 + n, 2) for n in range(50)])
    (folder / "heart_rate-2024-01-15.json").write_bytes(day)
    (folder / "letter.txt").write_text("Dear diary")
    seen = visit_empty("/", locale="de-DE")
    page = seen.page
    expect(page).to_have_url(re.compile("/app/$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Begin")
    expect(page.get_by_role("region", name="A cloud").get_by_text("PULSEBASE_GOOGLE_CLIENT_ID")).to_be_visible()
    page.get_by_label("Choose a folder").set_input_files(tmp_path / "Takeout")
    done = page.get_by_role("region", name="Takeout.tar")
    expect(done.get_by_role("row").nth(1)).to_have_text(re.compile("Takeout heart rate.*50"))
    expect(done).to_contain_text("letter.txt")
    expect(page.get_by_role("button", name="Show the chart")).to_be_visible()
    done.get_by_role("link", name="Show me").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("me")
    expect(page).to_have_url(re.compile("people=me&range=all"))
    page.get_by_role("link", name="Compare").click()
    # Words are English, so dates are, in whatever language the browser is.
    expect(page.get_by_text("The newest reading is of 15 Jan 2024.")).to_be_visible()
    page.goto(f"{empty.url}/app/live")
    expect(page.get_by_text("last measured on 15 Jan 2024")).to_be_visible()
    push(empty.url, "awake", [(now_ms() - 1000, 71)])
    page.goto(f"{empty.url}/app/live")
    expect(page).to_have_url(re.compile("people=awake&people=me"))


def test_a_server_that_went_away_is_said_in_red(visit_empty: Opener, empty: Server) -> None:
    seen = visit_empty("/app/system")
    health = seen.page.get_by_role("region", name="Health")
    expect(health.get_by_text("Everything works")).to_be_visible()
    seen.bear("ERR_")
    empty.stop()
    expect(health.get_by_role("status")).to_have_text("The server does not answer")
    expect(seen.page.get_by_text("Everything works")).to_have_count(0)
