"""The pages beside the series page, as readers use them."""

from __future__ import annotations

import gzip
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import FilePayload, expect

from tests.page.conftest import Opener
from tests.page.server import CROWD, now_ms, push, zulu
from tests.page.visit import DESKTOP, PHONE, cut_off_px, expect_pieces
from tests.page.wire import Wire
from tests.support.health_files import at, takeout_heart_rate, zipped

# One browser is enough for all of these.

PAGES = {"Compare": "/app/", "Person": "/app/person", "Cohort": "/app/cohort", "Live": "/app/live"} | {
    "Add data": "/app/import",
    "System": "/app/system",
}
FIRST_PAINT_BYTES = 150_000
HOUR_MS = 3_600_000
#: As long as the system page waits between two looks at the server.
SYSTEM_LOOK_MS = 5_000


def test_pages_are_gone_to_without_loading_anew_and_back_again(visit: Opener) -> None:
    seen = visit("/app/")
    expect(seen.resolution).to_have_text("1 minute")
    seen.page.evaluate("window.stayed = true")
    # The address is completed once the page knows its people.
    settled = {"Person": r"/person\?people=user1", "Live": r"/live\?range=24h&people=user1&people=user2"}
    for name, path in list(PAGES.items())[1:]:
        seen.page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(seen.page.get_by_role("heading", level=1)).to_be_visible()
        expect(seen.page).to_have_url(re.compile(settled.get(name, path)))
        expect(seen.page.locator("nav [aria-current=page]")).to_have_text(name)
        expect(seen.page).to_have_title(re.compile(r" · Pulsebase$"))
    for name in ("Add data", "Live", "Cohort", "Person"):
        seen.page.go_back()
        expect(seen.page.locator("nav [aria-current=page]")).to_have_text(name)
    seen.page.go_forward()
    expect(seen.page).to_have_url(re.compile("/app/cohort"))
    assert seen.page.evaluate("window.stayed")


def test_the_first_paint_is_small_and_other_pages_come_later(visit: Opener) -> None:
    seen = visit("/app/")
    expect(seen.resolution).to_have_text("1 minute")
    names = seen.page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assets = [name for name in names if "/app/assets/" in name]
    packed = {name: len(gzip.compress(seen.page.request.get(name).body())) for name in assets}
    assert any(name.endswith(".js") for name in packed)
    assert sum(packed.values()) < FIRST_PAINT_BYTES
    before = len(assets)
    seen.page.get_by_role("link", name="System").click()
    expect(seen.page.get_by_role("heading", name="Health")).to_be_visible()
    later = seen.page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert len([name for name in later if "/app/assets/" in name]) > before


def test_one_person_is_shown_with_everything_known_of_them(visit: Opener) -> None:
    seen = visit("/app/person?people=user1&range=7d")
    page = seen.page
    expect(page.get_by_role("heading", level=1)).not_to_have_text("One person")
    expect(seen.chart).to_have_attribute("data-pieces", re.compile("user1"))
    days = page.get_by_role("region", name="Daily summary")
    expect(days.get_by_role("row")).not_to_have_count(0)
    expect(page.get_by_role("region", name="Zones per day").get_by_role("img")).to_be_visible()
    expect(page.get_by_role("region", name="Top hours").get_by_role("listitem")).to_have_count(8)
    expect(page.get_by_role("region", name="Gaps")).to_contain_text("without readings")
    sources = page.get_by_role("region", name="Sources")
    expect(sources).to_contain_text("Fitbit")
    expect(sources.get_by_text("Working").first).to_be_visible()
    expect(page.get_by_role("region", name="Devices", exact=True).first).to_contain_text("fitbit")
    # An hour leads to that hour on the chart.
    page.get_by_role("region", name="Top hours").get_by_role("button").first.click()
    expect(seen.resolution).to_have_text("1 minute")
    expect(page).to_have_url(re.compile(r"start=.*Z&end=.*Z"))


def test_gaps_are_those_of_the_minutes_on_every_screen(visit_crowd: Opener, crowd: str) -> None:
    start = now_ms() // HOUR_MS * HOUR_MS - 48 * HOUR_MS
    # Twelve times five minutes are missing, each in another hour. With one more person who has readings, the demo would
    # have more than it shows at once, and pages that propose people would ask for all of them.
    push(crowd, "worn", [(start + 60_000 * n, 70) for n in range(1440) if not (n % 60 in range(10, 15) and n < 720)])
    for size in (PHONE, DESKTOP):
        seen = visit_crowd(f"/app/person?people=worn&start={zulu(start)}&end={zulu(start + 24 * HOUR_MS)}", size)
        gaps = seen.page.get_by_role("region", name="Gaps")
        expect(gaps).to_contain_text(re.compile("12 stretches without readings, 1 hr? in all"))


def test_somebody_unknown_is_said_to_be(visit: Opener) -> None:
    seen = visit("/app/person?people=nobody.of.that.id&range=24h", bears=["404"])
    expect(seen.page.get_by_text("Nobody of this id is known on this server.")).to_be_visible()


def test_days_instead_of_readings_and_both_can_be_saved(visit: Opener) -> None:
    seen = visit("/app/?people=user1&people=user2&range=7d")
    expect(seen.resolution).to_have_text("15 minutes")
    with seen.page.expect_download() as saving:
        seen.choose("Save", "Save CSV")
    lines = saving.value.path().read_text().splitlines()
    assert lines[0] == "user_id,start,end,avg,min,max,count"
    assert {line.split(",")[0] for line in lines[1:]} == {"user1", "user2"}
    seen.choose("Metrics", "Daily summary")
    expect(seen.page).to_have_url(re.compile("metric=activities_heart_summary"))
    expect(seen.chart).to_have_attribute("aria-label", re.compile("^Resting heart rate"))
    expect(seen.chart).to_have_attribute("data-pieces", re.compile("user2"))
    with seen.page.expect_download() as saving:
        seen.choose("Save", "Save CSV")
    assert saving.value.path().read_text().startswith("user_id,date,resting_heart_rate,")
    with seen.page.expect_download() as saving:
        seen.choose("Save", "Save PNG")
    assert saving.value.suggested_filename.endswith(".png")
    assert saving.value.path().read_bytes().startswith(b"\x89PNG")


def test_somebody_is_found_among_thousands_with_the_keyboard_alone(visit_crowd: Opener) -> None:
    seen = visit_crowd("/app/person")
    field = seen.page.get_by_role("combobox", name="Another person")
    expect(field).to_be_visible()
    field.focus()
    seen.page.keyboard.press("ArrowDown")
    options = seen.page.locator("[role=listbox] [role=option]")  # not those of the chart's resolutions
    expect(options.first).to_be_visible()
    for _ in range(60):  # past what one page of the list holds
        seen.page.keyboard.press("ArrowDown")
    expect(options).not_to_have_count(50)
    seen.page.keyboard.type(f"person {CROWD - 2}")
    expect(options).to_have_count(1)
    seen.page.keyboard.press("Enter")
    expect(seen.page.get_by_role("heading", level=1)).to_have_text(f"Person {CROWD - 2}")
    expect(seen.page).to_have_url(re.compile(f"people=p{CROWD - 2}"))
    expect(seen.page.get_by_text("No readings in this range")).to_be_visible()


def test_a_cohort_is_built_and_leads_to_its_people(visit_crowd: Opener, crowd: str) -> None:
    start = now_ms() // HOUR_MS * HOUR_MS - 2 * HOUR_MS
    for number in range(30):
        push(crowd, f"p{number:04}", [(start + 10_000 * step, 60 + number) for step in range(60)])
    seen = visit_crowd("/app/cohort?range=24h")
    listed = seen.page.get_by_role("region", name="List")
    expect(listed.get_by_role("row")).to_have_count(26)
    seen.page.get_by_role("button", name="Show more").click()
    expect(listed.get_by_role("row")).to_have_count(31)  # the head, and everybody with readings
    ages = listed.get_by_role("columnheader", name="Age", exact=True)
    ages.get_by_role("button").click()
    expect(seen.page).to_have_url(re.compile("&sort=-age$"))
    expect(ages).to_have_attribute("aria-sort", "descending")
    expect(listed.get_by_role("rowheader").first).to_have_text("p0029")
    expect(listed.get_by_role("img", name=re.compile("^89 bpm"))).to_be_visible()
    seen.page.get_by_label("Average above").fill("80")
    seen.page.get_by_label("Older than").fill("45")
    seen.page.get_by_label("female").check()
    seen.page.get_by_role("button", name="Find people").click()
    expect(seen.page).to_have_url(re.compile("over=80&age=45&gender=female$"))
    expect(listed.get_by_role("rowheader")).to_have_text(["p0028", "p0026"])
    people = seen.page.get_by_role("region", name="People of the cohort")
    expect(people.get_by_role("status")).to_contain_text("female, older than 45 years")
    expect(people.get_by_role("img", name=re.compile("^Averages from"))).to_be_visible()
    compare = people.get_by_role("link", name="Compare these 2")
    expect(compare).to_have_attribute("href", re.compile(r"/app/\?people=p0028&people=p0026&range=24h"))
    seen.page.get_by_label("Coverage at least").fill("200")
    seen.page.get_by_role("button", name="Find people").click()
    expect(seen.page.get_by_role("alert")).to_contain_text("0 to 100")
    listed.get_by_role("link", name="p0028").click()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("Person 0028")
    seen.page.go_back()
    expect(listed.get_by_role("rowheader")).to_have_text(["p0028", "p0026"])


def test_a_reading_is_on_the_live_page_also_after_the_connection_broke(
    visit_over_wire: Opener, wire: Wire, crowd: str
) -> None:
    now = now_ms()
    push(crowd, "p1000", [(now - 1000 * back, 71) for back in range(60, 10, -1)])
    seen = visit_over_wire("/app/live?people=p1000&window=5m")
    value = seen.page.locator(".live-value")
    expect(value).to_have_text("71")
    expect(seen.page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    push(crowd, "p1000", [(now - 9_000, 99)])
    expect(value).to_have_text("99")
    asked = len(seen.questions)
    seen.bear("ERR_")
    wire.cut()
    expect(seen.page.get_by_text("Reconnecting…")).to_be_visible()
    push(crowd, "p1000", [(now - 8_000, 55), (now - 30_000, 140)])
    expect(value).to_have_text("99")
    wire.mend()
    expect(value).to_have_text("55")
    expect(seen.page.get_by_text("Reconnecting…")).to_have_count(0)
    expect_pieces(seen.chart, {"p1000": [[now - 60_000, now - 8_000]]})
    assert len(seen.questions) == asked  # the stream went on where it had been; nothing was asked for again


def test_a_page_that_cannot_be_loaded_says_so_and_is_tried_again(visit: Opener) -> None:
    seen = visit("/app/?people=", bears=["ERR_FAILED"])
    expect(seen.page.get_by_text("Nobody is chosen")).to_be_visible()
    seen.page.route("**/SystemPage-*.js", lambda route: route.abort())
    seen.page.get_by_role("link", name="System").click()
    alert = seen.page.get_by_role("alert")
    expect(alert).to_contain_text("Pulsebase does not answer.")
    expect(seen.page.get_by_role("navigation")).to_be_visible()
    seen.page.unroute("**/SystemPage-*.js")
    alert.get_by_role("button", name="Try again").click()
    expect(seen.page.get_by_role("heading", name="Health")).to_be_visible()


def test_a_missing_network_is_said(visit: Opener) -> None:
    seen = visit("/app/system")
    expect(seen.page.get_by_text("Everything works")).to_be_visible()
    seen.bear("ERR_INTERNET_DISCONNECTED")
    seen.page.context.set_offline(True)
    expect(seen.page.get_by_text("This device is offline.")).to_be_visible()
    seen.page.context.set_offline(False)
    expect(seen.page.get_by_text("This device is offline.")).to_have_count(0)


def test_the_system_page_says_how_the_server_is(visit: Opener) -> None:
    seen = visit("/app/system")
    seen.page.clock.install()
    seen.page.reload()
    expect(seen.page.get_by_text("Everything works")).to_be_visible()
    ingestion = seen.page.get_by_role("region", name="Ingestion")
    expect(ingestion).to_contain_text("Fitbit")
    expect(seen.page.get_by_role("region", name="Freshness")).to_contain_text("Fitbit")
    runs = seen.page.get_by_role("region", name="Runs", exact=True)
    expect(runs.get_by_text("done").first).to_be_visible()
    stored = seen.page.get_by_role("region", name="Stored by person and metric")
    stored.locator("summary").first.click()
    expect(stored.get_by_role("rowheader", name="Heart rate, bpm")).to_be_visible()
    for _ in range(2):
        with seen.page.expect_response("**/metrics"):
            seen.page.clock.fast_forward(SYSTEM_LOOK_MS)
    expect(ingestion.get_by_role("img")).to_be_visible()  # a line of rates, from the third look on


def test_the_tables_of_a_person_fit_a_phone(visit: Opener) -> None:
    seen = visit(f"{PAGES['Person']}?range=30d", PHONE)
    for name in ("Days", "Rest by day"):
        table = seen.page.get_by_role("region", name=name, exact=True)
        expect(table.get_by_role("row").nth(1)).to_be_visible()
        assert cut_off_px(table) <= 0, name
    # A table that is wider all the same has a shade at the side where it goes on.
    days = seen.page.get_by_role("region", name="Days", exact=True)
    expect(days).to_have_css("background-attachment", "local, local, scroll, scroll")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_serious_stands_in_anybodys_way(visit: Opener, name: str) -> None:
    seen = visit(PAGES[name], PHONE)
    ready = {
        "Compare": ".status",
        "Person": ".zone-bars",
        "Cohort": "table.cohort",
        "Live": ".live-value",
        "Add data": ".drop-zone",
    }
    expect(seen.page.locator(ready.get(name, "table")).first).to_be_visible()
    assert seen.overflow_px() <= 0
    seen.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    assert seen.obstacles() == []


def test_every_page_can_be_opened_by_its_address(visit: Opener) -> None:
    seen = visit("/app/")
    for path in PAGES.values():
        answer = seen.page.request.get(urlsplit(seen.page.url)._replace(path=path, query="").geturl())
        assert answer.status == 200
        assert "text/html" in answer.headers["content-type"]


def test_files_are_imported_and_summed_up(visit: Opener) -> None:
    seen = visit("/app/import")
    page = seen.page
    page.get_by_label("Person", exact=True).fill("zoe")
    day = takeout_heart_rate([(at("2024-01-15T10:00:00") + n, 60 + n, 2) for n in range(50)])
    near = b"Time;Pulse\n15.01.2024 10:00:00;61\n"
    files = {"Takeout/heart_rate-2024-01-15.json": day, "Takeout/strap.csv": near, "Takeout/letter.txt": b"Dear diary"}
    archive = FilePayload(name="takeout.zip", mimeType="application/zip", buffer=zipped(files))
    page.get_by_label("Choose files").set_input_files([archive, FilePayload(name="a.csv", mimeType="", buffer=near)])
    done, failed = (page.get_by_role("region", name=name) for name in ("takeout.zip", "a.csv"))
    expect(failed).to_contain_text("nothing was read")
    expect(failed).to_contain_text("add “Times are written” '%d.%m.%Y %H:%M:%S'")
    expect(done.get_by_role("row").nth(1)).to_have_text(re.compile("Takeout heart rate.*50"))
    expect(done).to_contain_text("1 file that may hold vital signs, not read")
    expect(done).to_contain_text("takeout.zip/Takeout/letter.txt")
    for card in (done, failed):
        expect(card.get_by_role("progressbar")).to_have_attribute("value", "100")
    page.get_by_text("Columns of CSV files").click()
    page.get_by_label("Times are written").fill("%d.%m.%Y %H:%M:%S")
    page.get_by_label("Choose files").set_input_files([FilePayload(name="b.csv", mimeType="", buffer=near)])
    expect(page.get_by_role("region", name="b.csv")).to_contain_text("heart_rate from column Pulse")
    page.get_by_role("region", name="b.csv").get_by_role("link", name="Show zoe").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("zoe")
