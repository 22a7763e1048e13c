"""The chart under mouse, wheel, fingers and keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect

from tests.page.conftest import Opener
from tests.page.server import now_ms, push, zulu
from tests.page.visit import Visit, box_of, expect_pieces

BOTH = "people=user1&people=user2"
SERIES = "**/v1/multi-user/timeseries?*"
#: The first person's line in the light scheme.
FIRST_COLOUR = "0072b2"
HOUR_MS = 3_600_000


def length_of(seen: Visit) -> int:
    start, end = seen.span()
    return end - start


def at_rest(seen: Visit, resolution: str) -> None:
    expect(seen.resolution).to_have_text(resolution)
    expect(seen.page.locator(".panel")).to_have_attribute("aria-busy", "false")


#: Whether what came to rest in view is shorter than so many milliseconds.
IS_SHORTER = """limit => {
  const [start, end] = document.querySelector('.chart').dataset.span.split(' ').map(Number);
  return end - start < limit;
}"""


def settle(seen: Visit) -> None:
    """Wait for all that is asked for with a day up to now: itself, the strip, closer, further out and the past."""
    seen.wait_for_answers(5)


def test_marking_zooms_down_to_every_reading_and_back_restores_each_view(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=7d")
    addresses: list[str] = []
    lengths: list[float] = []
    resolutions = ["15 minutes", "1 minute", "1 minute", "every reading"]
    for step, resolution in enumerate(resolutions):
        if step > 0:
            seen.mark(0.75, 0.85)
            expect(seen.page).not_to_have_url(addresses[-1])
        at_rest(seen, resolution)
        addresses.append(seen.page.url)
        lengths.append(length_of(seen))
    # A tenth of the whole width each time, of which the axis takes a part.
    assert all(9 < wide / narrow < 10 for wide, narrow in pairwise(lengths))
    assert all(asked["max_points"] for asked in seen.questions)
    for url, resolution in list(zip(addresses, resolutions, strict=True))[-2::-1]:
        seen.page.go_back()
        expect(seen.page).to_have_url(url)
        expect(seen.resolution).to_have_text(resolution)


def test_dragging_moves_and_the_wheel_zooms_about_the_cursor(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h")
    at_rest(seen, "1 minute")
    start, end = seen.span()
    seen.drag(0.2, 0.7)
    expect(seen.page).to_have_url(re.compile("start="))
    moved_start, moved_end = seen.span()
    assert moved_end - moved_start == end - start
    assert 11 * HOUR_MS < start - moved_start < 14 * HOUR_MS
    for _ in range(3):
        seen.page.mouse.wheel(0, -400)
    # On a busy machine the turns are far apart, and the view comes to rest after each.
    seen.page.wait_for_function(IS_SHORTER, arg=0.1 * (end - start))
    at_rest(seen, "1 minute")
    closer_start, _ = seen.span()
    # The cursor stood at seven tenths.
    assert 0.6 < (closer_start - moved_start) / (moved_end - moved_start) < 0.75


def test_two_fingers_zoom_and_one_moves(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h", (390, 844))
    at_rest(seen, "15 minutes")
    seen.chart.evaluate("it => it.scrollIntoView({ block: 'center' })")  # fingers reach what is on the screen
    before = seen.span()
    session = seen.page.context.new_cdp_session(seen.page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def touch(kind: str, *fractions: float) -> None:
        points = [dict(zip(("x", "y"), seen.place(fraction), strict=True)) for fraction in fractions]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.45, 0.65)
    for spread in (0.05, 0.1, 0.2):
        touch("touchMove", 0.45 - spread, 0.65 + spread)
    touch("touchEnd")
    expect(seen.page).to_have_url(re.compile("start="))
    assert 2.5 < (before[1] - before[0]) / length_of(seen) < 3.5
    pinched = seen.span()
    touch("touchStart", 0.3)
    touch("touchMove", 0.5)
    touch("touchMove", 0.8)
    touch("touchEnd")
    seen.wait_for_step(pinched)
    assert seen.span()[0] < pinched[0]
    assert length_of(seen) == pinched[1] - pinched[0]


def test_keys_alone_move_zoom_and_read_values(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h")
    at_rest(seen, "1 minute")
    before = seen.span()
    seen.chart.focus()
    seen.page.keyboard.press("ArrowUp")
    expect(seen.page).to_have_url(re.compile("start="))
    assert round((before[1] - before[0]) / length_of(seen)) == 2
    closer = seen.page.url
    # Keys in a row are one step in the history; two that are pressed one by one are far apart on a busy machine.
    seen.chart.evaluate(TWICE_LEFT)
    expect(seen.page).not_to_have_url(closer)
    seen.page.keyboard.press(".")
    spoken = seen.page.locator("[aria-live]")
    expect(spoken).to_have_text(re.compile(r"\d\d:\d\d.*: (\d+|no reading)"))
    first = spoken.inner_text()
    seen.page.keyboard.press(".")
    expect(spoken).not_to_have_text(first)
    seen.page.go_back()
    expect(seen.page).to_have_url(closer)


TWICE_LEFT = """it => {
  const key = { key: 'ArrowLeft', shiftKey: true, bubbles: true, cancelable: true };
  for (let times = 0; times < 2; times += 1) it.dispatchEvent(new KeyboardEvent('keydown', key));
}"""

#: Days in Berlin on which the clocks are changed: the first instant, the length, and the first marks.
CLOCK_CHANGES = {
    "spring": (datetime(2025, 3, 29, 23, tzinfo=UTC), 23, ["00:00\n30 Mar 2025", "03:00\nUTC+2", "04:00"]),
    "autumn": (datetime(2025, 10, 25, 22, tzinfo=UTC), 25, ["00:00\n26 Oct 2025", "03:00\nUTC+1", "06:00"]),
}


@pytest.mark.parametrize("season", CLOCK_CHANGES)
def test_a_day_on_which_the_clocks_are_changed_is_as_long_as_it_is(visit: Opener, address: str, season: str) -> None:
    first, hours, marks = CLOCK_CHANGES[season]
    start, end = [round(1000 * (first + timedelta(hours=count)).timestamp()) for count in (0, hours)]
    minutes = range(start - 24 * HOUR_MS, end + 24 * HOUR_MS, 600_000)
    # The day itself has a rate of its own, so that a minute of another one in it would show.
    push(address, season, [(at, 90 if start <= at < end else 60) for at in minutes])
    here = f"/app/?people={season}&start={zulu(start)}&end={zulu(end)}"
    seen = visit(f"{here}&resolution=1h")
    at_rest(seen, "1 hour")
    expect_pieces(seen.chart, {season: [[start + HOUR_MS // 2, end - HOUR_MS // 2]]})
    found = seen.time_marks()
    assert [text for text, _ in found[:3]] == marks
    told = [int(text[:2]) for text, _ in found[:3]]
    passed = [told[0], *(hour - (24 - hours if hour > 2 else 0) for hour in told[1:])]
    assert [round(hours * at, 3) for _, at in found[:3]] == passed
    assert found[-1][0].startswith("00:00")
    seen.page.get_by_role("button", name="As a table").click()
    rows = seen.page.get_by_role("table").get_by_role("rowheader")
    expect(rows).to_have_count(hours)
    changing = {"spring": ["01:00 UTC+1–03:00 UTC+2"], "autumn": ["02:00 UTC+2–02:00 UTC+1", "02:00 UTC+1–03:00 UTC+1"]}
    for place, text in enumerate(changing[season], 1 if season == "spring" else 2):
        expect(rows.nth(place)).to_have_text(re.compile(f", {re.escape(text)}$"))
    expect(rows.last).to_have_text(re.compile(", 23:00–00:00$"))
    seen.page.goto(seen.page.url.replace("resolution=1h", "resolution=1d"))
    expect(rows).to_have_count(1)
    expect(seen.page.get_by_role("table").get_by_role("cell")).to_have_text(["90"])


def test_everybodys_own_clock_and_days_of_the_calendar(visit: Opener) -> None:
    """user1 lives in Berlin, and user2 in Chicago."""
    seen = visit(f"/app/?{BOTH}&start=2024-11-21T00:00:00&end=2024-11-22T00:00:00&tz=own")
    expect(seen.resolution).to_be_visible()
    asked = [seen.question(tz=zone)["start_date"][0] for zone in ("America/Chicago", "Europe/Berlin")]
    begun = [datetime.fromisoformat(at) for at in asked]
    assert begun[0] - begun[1] == timedelta(hours=7)
    zones = seen.page.get_by_role("combobox", name="Times")
    expect(zones).to_have_value("own")
    # A day of one clock stays that day on another.
    zones.select_option("UTC")
    expect(seen.page).to_have_url(re.compile(r"start=2024-11-21T00:00:00&end=2024-11-22T00:00:00&tz=UTC$"))
    seen.page.get_by_role("button", name="Later").click()
    expect(seen.page).to_have_url(re.compile(r"start=2024-11-22T00:00:00Z&end=2024-11-23T00:00:00Z&tz=UTC$"))
    zones.select_option("Europe/Berlin")
    seen.choose("Dates", "Month")
    expect(seen.page).to_have_url(re.compile(r"start=2024-10-31T23:00:00Z&end=2024-11-30T23:00:00Z"))
    # Another page keeps both, and so does another person.
    seen.page.get_by_role("link", name="Person").click()
    expect(seen.page).to_have_url(re.compile(r"/person\?people=user1&start=2024-10-31T23:00:00Z.*&tz=Europe/Berlin$"))


def test_an_hour_that_comes_twice_has_its_marks_twice(visit: Opener, address: str) -> None:
    first = CLOCK_CHANGES["autumn"][0]
    start = round(1000 * first.timestamp())
    push(address, "twice", [(start + 600_000 * step, 70) for step in range(36)])
    seen = visit(f"/app/?people=twice&start={zulu(start)}&end={zulu(start + 6 * HOUR_MS)}")
    at_rest(seen, "1 minute")
    texts = [text.split("\n")[0] for text, _ in seen.time_marks()]
    twice = texts.index("02:00")
    assert texts[twice : twice + 5] == ["02:00", "02:30", "02:00", "02:30", "03:00"]


def test_an_answer_nobody_waits_for_is_cancelled_and_the_picture_stays_till_the_next(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h")
    at_rest(seen, "1 minute")
    settle(seen)
    held: list[Route] = []
    cancelled: list[str] = []
    seen.page.on("requestfailed", lambda request: cancelled.append(request.url))

    def hold(route: Route) -> None:
        """The first question that reaches further back than the demo is that for the year."""
        asked_from = parse_qs(urlsplit(route.request.url).query)["start_date"][0]
        if held or asked_from > zulu(now_ms() - 300 * 86_400_000):
            route.continue_()
        else:
            held.append(route)

    seen.page.route(SERIES, hold)
    seen.page.get_by_role("button", name="1 year").click()
    expect(seen.page.locator(".panel")).to_have_attribute("aria-busy", "true")
    seen.wait_until(lambda: bool(held), "the question for the year")
    # In a year a day is so narrow that no pixel need have the pure colour of a line.
    drawn = seen.scene("lastScene.lines.map(({ columns }) => columns.length)")
    assert len(drawn) == 2
    assert min(drawn) > 0
    expect(seen.resolution).to_have_text("1 minute")
    seen.page.get_by_role("button", name="7 days").click()
    at_rest(seen, "15 minutes")
    seen.wait_until(lambda: held[0].request.url in cancelled, "that question is cancelled")


def test_the_next_step_is_there_before_it_is_taken(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h")
    at_rest(seen, "1 minute")
    before = seen.span()
    settle(seen)
    seen.bear("ERR_FAILED")
    seen.page.route(SERIES, lambda route: route.abort())
    seen.page.get_by_role("button", name="Zoom in").click()
    seen.wait_for_step(before)
    at_rest(seen, "1 minute")
    start, end = seen.span()
    for pieces in seen.pieces().values():
        # The demo's people take their devices off now and then.
        assert pieces[0][0] - start < 2 * HOUR_MS
        assert end - pieces[-1][1] < 2 * HOUR_MS
    expect(seen.page.get_by_role("alert")).to_have_count(0)


def test_the_strip_shows_the_whole_history_and_moves_the_view(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h")
    at_rest(seen, "1 minute")
    strip = seen.page.get_by_role("slider")
    # Until it is known how far the history goes, the strip is what is in view, with its middle in the middle.
    expect(strip).not_to_have_attribute("aria-valuenow", "50")
    box = box_of(strip)
    before = seen.span()
    # A click by the locator waits until the strip stands still: what comes above it moves it down.
    strip.click(position={"x": 0.3 * box["width"], "y": box["height"] / 2})
    expect(seen.page).to_have_url(re.compile("start="))
    assert seen.span()[0] < before[0] - 12 * HOUR_MS
    assert round(length_of(seen) / HOUR_MS) == 24
    at_rest(seen, "1 minute")
    strip.focus()
    address = seen.page.url
    seen.page.keyboard.press("ArrowRight")
    expect(seen.page).not_to_have_url(address)
    expect(strip).to_have_attribute("aria-valuetext", re.compile("20"))


def test_the_chart_as_a_table_has_its_numbers_and_a_line_can_be_hidden(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h")
    at_rest(seen, "1 minute")
    seen.page.locator(".legend-toggle").first.click()
    expect(seen.page).to_have_url(re.compile("muted=user1"))
    expect(seen.chart).to_have_attribute("data-pieces", re.compile(r'^\{"user2":[^"]*\}$'))
    assert seen.pixels(FIRST_COLOUR) == 0
    seen.page.get_by_role("button", name="As a table").click()
    table = seen.page.get_by_role("table")
    expect(table.get_by_role("columnheader")).to_have_count(2)
    expect(table.get_by_role("row").nth(100)).to_be_attached()
    seen.page.go_back()
    expect(seen.chart).to_be_visible()


def test_zones_by_age_of_whom_no_birth_date_is_known_say_what_they_need(visit: Opener, address: str) -> None:
    push(address, "worn", [(now_ms() - 60_000 * back, 70) for back in range(30, 0, -1)])
    seen = visit("/app/?people=worn&range=1h&layers=zones&zones=age")
    expect(seen.page.locator(".panel-note")).to_contain_text("Zones by age need a birth date")
    seen.question(zones="age")


def test_layers_and_another_resolution_are_asked_for_and_stay_in_the_address(visit: Opener) -> None:
    seen = visit(f"/app/?{BOTH}&range=24h&layers=resting,zones&resolution=1h")
    at_rest(seen, "1 hour")
    expect(seen.page.get_by_role("button", name="Resting heart rate")).to_have_attribute("aria-pressed", "true")
    seen.question(metric="activities_heart_summary")
    seen.question(interval="1h")
    seen.page.get_by_role("combobox", name="Resolution").select_option("Automatic")
    at_rest(seen, "1 minute")
    expect(seen.page).not_to_have_url(re.compile("resolution="))
