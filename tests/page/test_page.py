"""The page as a reader uses it."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Opener
from tests.page.server import MAX_PEOPLE, push, zulu
from tests.page.visit import DESKTOP, PHONE, SERIES, box_of, expect_pieces, hover

# One server and one browser are enough for all of these.

BOTH = "people=user1&people=user2"
#: The first two people's lines in the light scheme.
LINE_COLOURS = ("0072b2", "c04f00")
MINUTE_MS = 60_000
#: What is folded away on a phone.
FOLDED = ("Compare people", "24 hours", "Metrics", "Save")


def push_with_hole(address: str, user_id: str, start_ms: int) -> None:
    """Half an hour of readings, one each ten seconds, without the ten minutes in the middle."""
    seconds = [*range(0, 600, 10), *range(1200, 1800, 10)]
    push(address, user_id, [(start_ms + 1000 * second, 70) for second in seconds])


def test_two_people_are_listed_and_drawn(visit: Opener) -> None:
    seen = visit("/app/")
    expect(seen.page.locator(".person-name")).to_have_count(2)
    expect(seen.resolution).to_have_text("1 minute")
    expect(seen.page).to_have_url(re.compile(rf"\?{BOTH}&range=24h$"))
    both = re.compile(r'^\{"user1":\[\[.*\]\],"user2":\[\[.*\]\]\}$')
    expect(seen.chart).to_have_attribute("data-pieces", both)
    assert all(seen.pixels(colour) > 200 for colour in LINE_COLOURS)
    seen.page.get_by_role("button", name="Remove").first.click()
    expect(seen.chart).not_to_have_attribute("data-pieces", re.compile("user1"))
    expect(seen.page).to_have_url(re.compile(r"\?people=user2&range=24h$"))


@pytest.mark.parametrize(("minutes", "resolution"), [(30, "1 minute"), (22, "every reading")])
def test_a_gap_is_a_gap(visit: Opener, address: str, minutes: int, resolution: str) -> None:
    start = (int(time.time()) // 3600 - 48) * 3_600_000
    push_with_hole(address, "holed", start)
    end = start + minutes * MINUTE_MS
    seen = visit(f"/app/?people=holed&start={zulu(start)}&end={zulu(end)}")
    expect(seen.resolution).to_have_text(resolution)
    # Buckets are drawn at their middle, readings where they are; the last one here is ten seconds before the end.
    first, last = (30_000, -30_000) if minutes == 30 else (0, -10_000)
    hole = (start + 10 * MINUTE_MS, start + 20 * MINUTE_MS)
    expect_pieces(seen.chart, {"holed": [[start + first, hole[0] + last], [hole[1] + first, end + last]]})


def test_on_a_phone_nothing_is_cut_off_and_a_day_keeps_its_band(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h", PHONE)
    expect(seen.resolution).to_have_text("15 minutes")
    assert seen.overflow_px() <= 0
    expect(seen.page.locator(".menu")).to_have_count(3)
    summaries = seen.page.locator("summary")
    expect(summaries).to_have_text([re.compile(f"^{text}") for text in FOLDED])
    for place, text in enumerate(FOLDED):
        summaries.nth(place).click()
        expect(seen.page.get_by_role("textbox", name="From") if text == "24 hours" else seen.chart).to_be_visible()
        assert seen.overflow_px() <= 0
        seen.page.keyboard.press("Escape")


@pytest.mark.parametrize(("size", "most_px"), [((1440, 900), 200), (PHONE, 300)])
def test_the_chart_comes_first_and_tells_its_values_at_the_pointer(
    visit: Opener, size: tuple[int, int], most_px: int
) -> None:
    for path in (f"/app/person?{BOTH}&range=24h", f"/app/?{BOTH}&range=24h"):
        seen = visit(path, size)
        expect(seen.resolution).to_be_visible()
        assert box_of(seen.chart)["y"] + 12 <= most_px
    hover(seen.chart, 0.5)
    expect(seen.page.locator(".chart-tip")).to_have_text(re.compile(r"\d\d:\d\d.*Ada.*(bpm|no reading).*Ben"))
    expect(seen.page.locator(".hint")).to_be_visible(visible=size != PHONE)
    with seen.page.expect_download() as saving:
        seen.choose("Save", "Save SVG")
    drawn = saving.value.path().read_text(encoding="utf-8")
    assert drawn.startswith("<svg ")
    assert "Ada" in drawn
    seen.choose("Save", "Copy the address")
    expect(seen.page.locator(".copied")).not_to_be_empty()


@pytest.mark.parametrize("size", [DESKTOP, (1280, 720), PHONE])
def test_the_chart_is_asked_for_before_everything_else_and_once(visit: Opener, size: tuple[int, int]) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h", size)
    # Itself, the strip, and what may be looked at next.
    seen.wait_for_answers(5)
    assert next(path for path in seen.paths if path.startswith("/v1/")) == SERIES
    spans = [(asked["start_date"][0], asked["end_date"][0]) for asked in seen.questions]
    assert len(set(spans)) == len(spans) == 5, spans


def test_what_the_server_refuses_is_said(visit: Opener) -> None:
    # There is no user3 either.
    seen = visit(f"/app/?{BOTH}&people=user3&range=24h", bears=["400", "404"])
    alert = seen.page.get_by_role("alert")
    expect(alert).to_contain_text("The server did not accept this request.")
    expect(alert).to_contain_text(f"at most {MAX_PEOPLE} people at a time")


def test_a_busy_server_is_said_and_asked_again(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h", bears=["503"])
    expect(seen.resolution).to_have_text("1 minute")
    pattern = "**/v1/multi-user/timeseries?*"
    problem = {"title": "Service Unavailable", "status": 503, "detail": "Too much at once.", "request_id": "r-1"}
    seen.page.route(pattern, lambda route: route.fulfill(status=503, json=problem))
    seen.page.get_by_role("button", name="7 days").click()
    alert = seen.page.get_by_role("alert")
    expect(alert).to_contain_text("The server is busy.")
    expect(alert).to_contain_text("Request r-1")
    expect(seen.resolution).to_have_text("1 minute")
    seen.page.unroute(pattern)
    alert.get_by_role("button", name="Try again").click()
    expect(seen.resolution).to_have_text("15 minutes")
    expect(alert).to_have_count(0)


@pytest.mark.parametrize(
    ("path", "shown"), [("/docs", "/v1/multi-user/timeseries"), ("/redoc", "Download OpenAPI specification")]
)
def test_the_api_is_described_without_asking_anybody_else(visit: Opener, path: str, shown: str) -> None:
    seen = visit(path)
    expect(seen.page.get_by_text(shown).first).to_be_visible()
    seen.page.wait_for_load_state("networkidle")
