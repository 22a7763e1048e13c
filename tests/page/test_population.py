"""A thousand people to choose from and to ask about, as `pulsebase fixtures` makes them.

`PULSEBASE_TEST_PAGE_READINGS=60000000` gives them the full sixty million readings, which takes minutes and some
gigabytes of memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from pulsebase.sources.fixtures import FixtureSpec
from tests.page.conftest import Opener, opener
from tests.page.server import fetched, population_server
from tests.page.visit import PHONE, box_of

READINGS = int(os.environ.get("PULSEBASE_TEST_PAGE_READINGS", "400000"))
SPEC = FixtureSpec(users=1_000, readings=READINGS)
PAGE_SIZE = 25


@pytest.fixture(scope="module")
def populated(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with population_server(tmp_path_factory.mktemp("population"), SPEC) as said:
        yield said


@pytest.fixture
def visit_population(browser: Browser, populated: str) -> Iterator[Opener]:
    yield from opener(browser, populated)


def period() -> dict[str, str]:
    """All the days there are readings on, in UTC."""
    first = datetime.combine(SPEC.first_day, datetime.min.time(), UTC)
    ends = (first - timedelta(days=1), datetime.combine(SPEC.end_day, datetime.min.time(), UTC))
    return {name: at.strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in zip(("start", "end"), ends, strict=True)}


def members(address: str, **conditions: str | int) -> list[dict[str, Any]]:
    """The cohort as the server has it, the highest average first."""
    query = period() | {"include": "averages", "limit": 1_000, "tz": "Europe/Berlin"} | conditions
    found: list[dict[str, Any]] = fetched(f"{address}/v1/cohorts/heart-rate?{urlencode(query)}")["data"]
    return found


def test_anybody_of_a_thousand_is_found_by_name_and_drawn(visit_population: Opener, populated: str) -> None:
    person = fetched(f"{populated}/v1/users/737")
    namesakes = fetched(f"{populated}/v1/users?{urlencode({'query': person['name'], 'limit': 100})}")["data"]
    seen = visit_population(f"/app/?people=&{urlencode(period())}")
    field = seen.page.get_by_role("searchbox")
    field.fill(person["name"].upper())
    rows = seen.page.locator(".person-name")
    expect(rows).to_have_count(len(namesakes))
    field.fill("737")
    expect(rows).to_have_text([person["name"]])
    rows.click()
    expect(seen.page).to_have_url(re.compile("people=737"))
    expect(seen.chart).to_have_attribute("data-pieces", re.compile(r'"737":\[\['))
    drawn = seen.pieces()["737"]
    first, last = (datetime.fromisoformat(person[name]).timestamp() for name in ("first_reading", "last_reading"))
    # A bucket is drawn at its middle, and the coarsest is a day.
    assert abs(drawn[0][0] / 1000 - first) < 86_400
    assert abs(drawn[-1][1] / 1000 - last) < 86_400


def test_a_cohort_of_the_thousand_is_what_the_server_says(visit_population: Opener, populated: str) -> None:
    everybody = members(populated, min_avg_heart_rate=60)
    seen = visit_population(f"/app/cohort?over=60&{urlencode(period())}")
    listed = seen.page.get_by_role("region", name="List")
    names = listed.get_by_role("rowheader")
    expect(names).to_have_text([one["user_id"] for one in everybody[:PAGE_SIZE]])
    status = seen.page.get_by_role("region", name="People of the cohort").get_by_role("status")
    expect(status).to_contain_text(f"{len(everybody):,} people")
    expect(listed.get_by_role("img").first).to_be_visible()
    seen.page.get_by_role("button", name="Show more").click()
    expect(names).to_have_text([one["user_id"] for one in everybody[: 2 * PAGE_SIZE]])
    older = members(populated, min_avg_heart_rate=70, min_age=60, gender="female")
    seen.page.get_by_label("Average above").fill("70")
    seen.page.get_by_label("Older than").fill("60")
    seen.page.get_by_label("female").check()
    seen.page.get_by_role("button", name="Find people").click()
    expect(names).to_have_text([one["user_id"] for one in older[:PAGE_SIZE]])
    assert 0 < len(older) < len(everybody)
    expect(status).to_contain_text(f"{len(older):,} p")
    first = older[0]["user_id"]
    listed.get_by_role("link", name=first, exact=True).click()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text(fetched(f"{populated}/v1/users/{first}")["name"])
    expect(seen.chart).to_have_attribute("data-pieces", re.compile(rf'"{first}":\[\['))


def test_on_a_phone_the_chart_of_many_people_begins_as_high_as_that_of_two(visit_population: Opener) -> None:
    people = [("people", str(number)) for number in range(1, 7)]
    for view in ({"range": "all"}, period()):
        seen = visit_population(f"/app/?{urlencode([*people, *view.items()])}", PHONE)
        expect(seen.page.locator(".legend-person")).to_have_count(6)
        expect(seen.resolution).to_be_visible()
        assert box_of(seen.chart)["y"] + 12 <= 300
        assert seen.overflow_px() <= 0
    # The last of them is reached by the keyboard, and comes into sight with it.
    last = seen.page.locator(".legend-person").last.get_by_role("button").first
    expect(last).not_to_have_text("6")
    last.focus()
    expect(last).to_be_focused()
    expect(last).to_be_in_viewport()
    assert seen.obstacles() == []
