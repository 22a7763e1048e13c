"""Resting heart rate and the variability of nights on a person's page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.page.conftest import Opener, opener
from tests.page.server import crowd_server, push, push_values, zulu
from tests.page.visit import PHONE, Visit

START = 1_704_146_400_000  # 22:00 on the first of January 2024, UTC
MINUTE_MS = 60_000
DAY = [START + minute * MINUTE_MS for minute in range(13 * 60)]
#: The calmest half hour, from two in the morning on.
CALM = range(START + 240 * MINUTE_MS, START + 270 * MINUTE_MS)
#: A beat a second, the intervals 10 ms shorter and longer in turns.
BEATS = {START + n * 1_000: 990 + n % 2 * 20 for n in range(3_100)}
RANGE = f"start={zulu(START)}&end={zulu(DAY[-1] + MINUTE_MS)}&tz=UTC"


@pytest.fixture(scope="module")
def slept(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server where p0001 wore a strap from an evening to the next noon and p0002 for an hour."""
    with crowd_server(tmp_path_factory.mktemp("slept")) as address:
        push(address, "p0001", [(at, 52 if at in CALM else 64) for at in DAY])
        push(address, "p0002", [(at, 64) for at in DAY[:60]])
        push_values(address, "p0001", "rr_interval", BEATS)
        yield address


@pytest.fixture
def visit_slept(browser: Browser, slept: str) -> Iterator[Opener]:
    yield from opener(browser, slept)


def card(seen: Visit) -> Locator:
    return seen.page.get_by_role("region", name="Rest", exact=True)


def test_days_and_nights_stand_in_one_table(visit_slept: Opener) -> None:
    seen = visit_slept(f"/app/person?people=p0001&{RANGE}")
    rows = card(seen).get_by_role("row")
    expect(rows.nth(0).get_by_role("columnheader")).to_have_text(["Day", "Resting", "By sources", "RMSSD", "SDNN"])
    # Of the first of January there are two hours, which say nothing.
    expect(rows).to_have_count(2)
    expect(rows.nth(1).get_by_role("cell")).to_have_text(["52.0", "–", "20.0", "10.0"])
    expect(rows.nth(1).get_by_role("rowheader")).to_contain_text("2")


def test_who_wore_it_too_briefly_is_told_so(visit_slept: Opener) -> None:
    seen = visit_slept(f"/app/person?people=p0002&{RANGE}")
    expect(card(seen)).to_contain_text("No day with ten hours of readings")
    expect(card(seen).get_by_role("table")).to_have_count(0)


def test_the_table_fits_a_phone_and_stands_in_nobodys_way(visit_slept: Opener) -> None:
    seen = visit_slept(f"/app/person?people=p0001&{RANGE}", PHONE)
    expect(card(seen).get_by_role("table")).to_be_visible()
    assert seen.overflow_px() <= 0
    assert seen.obstacles() == []


def test_the_table_is_asked_once_for_the_days_up_to_the_end_of_the_range(visit_slept: Opener) -> None:
    asked: list[str] = []
    seen = visit_slept("/app/person?people=p0002&range=24h&tz=UTC")
    # Whoever was there first may still be asked for.
    wanted = "/p0001/resting-heart-rate"
    seen.page.on("request", lambda request: asked.append(request.url) if wanted in request.url else None)
    seen.page.goto(seen.page.url.replace("p0002", "p0001").replace("range=24h", RANGE.removesuffix("&tz=UTC")))
    expect(card(seen).get_by_role("table")).to_be_visible()
    assert len(asked) == 1, asked
    assert "start_date=2023-12-03&end_date=2024-01-02&tz=UTC" in asked[0]
