"""Other metrics below heart rate: chosen, drawn on one time axis, read, saved."""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.page.conftest import Opener, opener
from tests.page.server import crowd_server, now_ms, push, push_values, zulu
from tests.page.visit import PHONE, Visit, box_of, cut_off_px, expect_pieces, hover

START = 1_704_146_400_000  # 22:00 on the first of January 2024, UTC
MINUTE_MS = 60_000
NIGHT = [START + minute * MINUTE_MS for minute in range(8 * 60)]
#: The finger clip fell off for an hour.
CLIP_OFF = (START + 180 * MINUTE_MS, START + 240 * MINUTE_MS)
OXYGEN = {at: 96.0 + (at // MINUTE_MS) % 3 for at in NIGHT if not CLIP_OFF[0] <= at < CLIP_OFF[1]}
BREATHS = {at: 14.5 + (at // MINUTE_MS) % 2 for at in NIGHT}
RANGE = f"start={zulu(START)}&end={zulu(NIGHT[-1] + MINUTE_MS)}&tz=UTC"
NIGHT_SPAN = (START, NIGHT[-1] + MINUTE_MS)
BOTH = "metric=oxygen_saturation&metric=respiratory_rate"


@pytest.fixture(scope="module")
def night(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server where p0001 wore everything for a night and p0002 a strap alone."""
    with crowd_server(tmp_path_factory.mktemp("night")) as address:
        for person in ("p0001", "p0002"):
            push(address, person, [(at, 50 + (at // MINUTE_MS) % 20) for at in NIGHT])
        push_values(address, "p0001", "oxygen_saturation", OXYGEN)
        push_values(address, "p0001", "respiratory_rate", BREATHS)
        yield address


@pytest.fixture
def visit_night(browser: Browser, night: str) -> Iterator[Opener]:
    yield from opener(browser, night)


def pane(seen: Visit, name: str) -> Locator:
    return seen.page.get_by_role("region", name=name, exact=True)


def chart_of(seen: Visit, metric: str) -> Locator:
    return seen.page.locator(f".pane[data-metric={metric}] .chart")


def test_metrics_that_a_person_has_are_chosen_and_the_address_keeps_them(visit_night: Opener) -> None:
    seen = visit_night(f"/app/person?people=p0001&{RANGE}")
    choice = seen.page.get_by_role("group", name="Shown below heart rate").get_by_role("button")
    seen.unfold("Metrics")
    expect(choice).to_have_text(["Oxygen saturation", "Respiratory rate"])
    expect(seen.page.locator(".pane")).to_have_count(0)
    choice.nth(0).focus()
    seen.page.keyboard.press("Enter")
    expect(choice.nth(0)).to_have_attribute("aria-pressed", "true")
    choice.nth(1).click()
    seen.page.keyboard.press("Escape")
    expect(seen.page).to_have_url(re.compile(f"{BOTH}$"))
    expect(pane(seen, "Oxygen saturation").get_by_role("heading")).to_have_text("Oxygen saturation %")
    expect(pane(seen, "Oxygen saturation")).to_contain_text("97.0")
    expect(pane(seen, "Respiratory rate")).to_contain_text("breaths/min")
    seen.page.reload()
    expect(seen.page.locator(".pane")).to_have_count(2)
    seen.page.get_by_role("button", name="Remove Oxygen saturation").click()
    expect(seen.page).to_have_url(re.compile("&metric=respiratory_rate$"))
    expect(seen.page.locator(".pane")).to_have_count(1)


def test_panes_have_one_time_axis_and_a_gap_stays_a_gap(visit_night: Opener) -> None:
    seen = visit_night(f"/app/?people=p0001&{RANGE}&{BOTH}")
    oxygen, breaths = chart_of(seen, "oxygen_saturation"), chart_of(seen, "respiratory_rate")
    two_pieces = re.compile(r"^\{\"p0001\":\[\[\d+,\d+\],\[\d+,\d+\]\]\}$")
    expect(oxygen).to_have_attribute("data-pieces", two_pieces)
    expect(breaths).not_to_have_attribute("data-pieces", "{}")
    main = seen.page.locator(".chart").first
    main.focus()
    seen.page.keyboard.press("ArrowUp")
    expect(seen.page).not_to_have_url(re.compile(re.escape(RANGE)))
    seen.wait_for_step(NIGHT_SPAN)
    # Keys work in a pane too, and say the values of all.
    oxygen.focus()
    seen.page.keyboard.press(".")
    expect(seen.page.locator("[aria-live]")).to_contain_text(
        re.compile(r"Person 0001: \d+\. Oxygen saturation, Person 0001: 9\d\.0\. Respiratory rate, Person 0001: 1\d\.5")
    )


def test_values_of_every_five_minutes_are_one_line_and_an_hour_without_them_is_a_gap(
    visit_night: Opener, night: str
) -> None:
    missing = (START + 120 * MINUTE_MS, START + 180 * MINUTE_MS)
    every_five = [at for at in NIGHT[::5] if not missing[0] <= at < missing[1]]
    push_values(night, "p0004", "hrv_rmssd", {at: 40 + (at // MINUTE_MS) % 9 for at in every_five})
    push(night, "p0004", [(at, 55) for at in NIGHT])
    seen = visit_night(f"/app/person?people=p0004&{RANGE}&resolution=1m&metric=hrv_rmssd")
    middle = MINUTE_MS // 2
    last_before, first_after = missing[0] - 5 * MINUTE_MS + middle, missing[1] + middle
    pieces = [[START + middle, last_before], [first_after, every_five[-1] + middle]]
    expect_pieces(chart_of(seen, "hrv_rmssd"), {"p0004": pieces})


def test_the_lowest_pane_alone_repeats_the_times(visit_night: Opener) -> None:
    seen = visit_night(f"/app/person?people=p0001&{RANGE}&{BOTH}")
    expect(chart_of(seen, "respiratory_rate")).not_to_have_attribute("data-pieces", "{}")
    frames = seen.page.locator(".pane-frame")
    expect(frames.nth(0)).to_have_attribute("data-bare", "true")
    expect(frames.nth(1)).to_have_attribute("data-bare", "false")
    for place, height in enumerate(("160px", "190px")):
        expect(frames.nth(place)).to_have_css("height", height)
    seen.page.get_by_role("button", name="Remove Respiratory rate").click()
    expect(frames).to_have_count(1)
    expect(frames).to_have_attribute("data-bare", "false")


def test_what_is_not_there_is_said_and_offered_to_nobody_else(visit_night: Opener) -> None:
    seen = visit_night(f"/app/?people=p0002&{RANGE}")
    expect(seen.page.locator(".status")).to_be_visible()
    seen.unfold("Metrics")
    expect(seen.page.get_by_role("button", name="Daily summary")).to_be_visible()
    expect(seen.page.get_by_role("group", name="Shown below heart rate")).to_have_count(0)
    seen = visit_night(f"/app/?people=p0001&people=p0002&{RANGE}")
    choice = seen.page.get_by_role("group", name="Shown below heart rate").get_by_role("button")
    seen.unfold("Metrics")
    expect(choice).to_have_text(["Oxygen saturation", "Respiratory rate"])
    seen.choose("Metrics", "Oxygen saturation")
    expect(pane(seen, "Oxygen saturation").get_by_role("listitem")).to_have_count(2)
    expect(pane(seen, "Oxygen saturation")).to_contain_text("no reading")
    later = "start=2024-01-05T00:00:00Z&end=2024-01-06T00:00:00Z"
    seen = visit_night(f"/app/person?people=p0001&{later}&metric=oxygen_saturation")
    expect(pane(seen, "Oxygen saturation")).to_contain_text("No readings in this range")


def test_the_table_and_the_file_hold_every_chosen_metric(visit_night: Opener, tmp_path: Path) -> None:
    seen = visit_night(
        f"/app/person?people=p0001&{RANGE}&metric=oxygen_saturation,respiratory_rate&resolution=1m&as=table"
    )
    table = seen.page.get_by_role("region", name="Oxygen saturation as a table").get_by_role("table")
    expect(table).to_contain_text("Oxygen saturation in %")
    expect(table.get_by_role("row").nth(1)).to_contain_text(f"{OXYGEN[NIGHT[0]]:.1f}")
    expect(seen.page.get_by_role("region", name="Respiratory rate as a table")).to_contain_text("14.5")
    expect(seen.page.get_by_role("region", name="Chart", exact=True)).to_have_attribute("aria-busy", "false")
    with seen.page.expect_download() as saving:
        seen.choose("Save", "Save CSV")
    saving.value.save_as(tmp_path / "night.csv")
    with (tmp_path / "night.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {(row["metric"], row["unit"]): 0 for row in rows}
    assert set(found) == {("heart_rate", "bpm"), ("oxygen_saturation", "%"), ("respiratory_rate", "breaths/min")}
    oxygen = {row["start"]: float(row["avg"]) for row in rows if row["metric"] == "oxygen_saturation"}
    assert oxygen == {zulu(at): value for at, value in OXYGEN.items()}


#: The picture's size, and how many pixels of a colour there are in each of so many bands from its top, as fractions.
BANDS = """async ([bytes, colour, bands]) => {
  const blob = await (await fetch(`data:image/png;base64,${bytes}`)).blob();
  const image = await createImageBitmap(blob);
  const drawing = new OffscreenCanvas(image.width, image.height).getContext('2d', { willReadFrequently: true });
  drawing.drawImage(image, 0, 0);
  const [red, green, blue] = colour.match(/\\d+/g).map(Number);
  const counts = bands.map(([top, bottom]) => {
    const [from, to] = [Math.round(top), Math.round(bottom)];
    const { data } = drawing.getImageData(0, from, image.width, to - from);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] === red && data[i + 1] === green && data[i + 2] === blue) count += 1;
    }
    return count;
  });
  return { width: image.width, height: image.height, counts };
}"""


def saved_picture(seen: Visit, bands: list[tuple[float, float]]) -> dict[str, Any]:
    """What is saved as PNG: its size, and the pixels of the first person's colour in bands of it."""
    expect(seen.page.locator(".chart[data-pieces='{}']")).to_have_count(0)
    seen.wait_until_painted()
    with seen.page.expect_download() as saving:
        seen.choose("Save", "Save PNG")
    assert saving.value.suggested_filename.endswith(".png")
    colour = seen.page.locator(".legend-swatch").first.evaluate("it => getComputedStyle(it).backgroundColor")
    picture = base64.b64encode(saving.value.path().read_bytes()).decode()
    found: dict[str, Any] = seen.page.evaluate(BANDS, [picture, colour, bands])
    return found


def test_a_picture_has_every_pane_below_the_chart(visit_night: Opener) -> None:
    seen = visit_night(f"/app/person?people=p0001&{RANGE}", bypass_csp=True)
    expect(seen.chart).to_be_visible()
    alone = saved_picture(seen, [])
    seen = visit_night(f"/app/person?people=p0001&{RANGE}&{BOTH}", bypass_csp=True)
    charts = seen.page.locator(".chart")
    expect(charts).to_have_count(3)
    heights = [box_of(charts.nth(place))["height"] for place in range(3)]
    first = alone["height"] - 14  # without the edge below
    second = first + 20 + heights[1]
    third = second + 20 + heights[2]
    bands = [(0.0, first), (first + 20, second), (second + 20, third)]
    both = saved_picture(seen, bands)
    assert (both["width"], both["height"]) == (alone["width"], round(third + 14))
    assert all(count > 100 for count in both["counts"]), both


def test_the_cross_hair_and_the_wheel_are_of_all_panes(visit_night: Opener) -> None:
    seen = visit_night(f"/app/?people=p0001&{RANGE}&{BOTH}")
    oxygen = chart_of(seen, "oxygen_saturation")
    expect(chart_of(seen, "respiratory_rate")).not_to_have_attribute("data-pieces", "{}")
    cross_hairs = seen.page.locator(".chart > canvas:nth-of-type(2):not([hidden])")
    seen.page.mouse.move(0, 0)
    expect(cross_hairs).to_have_count(0)
    hover(oxygen, 0.8)
    expect(cross_hairs).to_have_count(3)
    # Under the cross-hair every pane has the values of one instant: where the clip had fallen off there is none.
    expect(pane(seen, "Respiratory rate").get_by_role("listitem")).to_contain_text(re.compile(r"1\d\.5"))
    inside = (CLIP_OFF[0] + CLIP_OFF[1]) / 2
    at = (inside - NIGHT[0]) / (NIGHT[-1] + MINUTE_MS - NIGHT[0])
    hover(oxygen, at, inset_px=(42, 14))
    expect(pane(seen, "Oxygen saturation").get_by_role("listitem")).to_contain_text("no reading")
    expect(pane(seen, "Respiratory rate").get_by_role("listitem")).to_contain_text(re.compile(r"1\d\.5"))
    seen.page.mouse.wheel(0, -240)
    seen.wait_for_step(NIGHT_SPAN)


def test_panes_have_names_and_are_reached_with_the_keyboard(visit_night: Opener) -> None:
    seen = visit_night(f"/app/?people=p0001&{RANGE}&{BOTH}")
    for title, unit in (("Oxygen saturation", "%"), ("Respiratory rate", "breaths/min")):
        chart = pane(seen, title).get_by_role("application")
        expect(chart).to_have_accessible_name(re.compile(f"^{title} in {unit} of Person 0001, .* resolution"))
        expect(chart).to_have_accessible_description(re.compile("Keys: arrows move and zoom"))
        chart.focus()
        expect(chart).to_be_focused()
    # From the chart of heart rate one comes to each pane in turn: its button, then its chart.
    seen.page.locator(".chart").first.focus()
    for name in (
        "Remove Oxygen saturation",
        "Oxygen saturation in %",
        "Remove Respiratory rate",
        "Respiratory rate in",
    ):
        seen.page.keyboard.press("Tab")
        expect(seen.page.locator(":focus")).to_have_accessible_name(re.compile(f"^{name}"))


def test_the_live_page_shows_chosen_metrics_as_they_come(visit_night: Opener, night: str) -> None:
    now = now_ms()
    push(night, "p0003", [(now - 1000 * back, 71) for back in range(60, 10, -1)])
    push_values(night, "p0003", "oxygen_saturation", {now - 20_000: 96.4, now - 15_000: 96.4})
    seen = visit_night("/app/live?people=p0003&window=15m")
    expect(seen.page.locator(".live-value")).to_have_text("71")
    choice = seen.page.get_by_role("group", name="Shown below heart rate").get_by_role("button")
    expect(choice).to_have_text(["Oxygen saturation"])
    choice.click()
    expect(seen.page).to_have_url(re.compile(r"people=p0003&window=15m&metric=oxygen_saturation$"))
    oxygen = pane(seen, "Oxygen saturation")
    expect(oxygen.get_by_role("heading")).to_have_text("Oxygen saturation %")
    expect(oxygen.locator(".live-value")).to_have_text("96.4")
    expect(oxygen.get_by_role("img")).to_have_accessible_name(re.compile("^Oxygen saturation in % of Person 0003"))
    push_values(night, "p0003", "oxygen_saturation", {now - 5_000: 88.8})
    expect(oxygen.locator(".live-value")).to_have_text("88.8")
    push(night, "p0003", [(now - 4_000, 99)])
    values = seen.page.locator(".live-value")
    expect(values).to_have_text(["99", "88.8"])
    # A metric of which there is nothing yet can be waited for; the address holds all of them.
    seen.page.goto(f"{night}/app/live?people=p0003&window=15m&{BOTH}&metric=steps")
    expect(seen.page.get_by_role("status").filter(has_text="No metric of this server")).to_contain_text("steps")
    expect(pane(seen, "Respiratory rate")).to_contain_text("No readings in these minutes")
    push_values(night, "p0003", "respiratory_rate", {now - 3_000: 14.5})
    expect(values).to_have_text(["99", "88.8", "14.5"])
    expect(chart_of(seen, "oxygen_saturation")).to_have_attribute("data-pieces", re.compile(rf",{now - 5_000}\]\]\}}$"))
    seen.page.get_by_role("button", name="Remove Oxygen saturation").click()
    expect(seen.page).to_have_url(re.compile(r"&metric=respiratory_rate&metric=steps$"))
    expect(values).to_have_text(["99", "14.5"])
    assert seen.obstacles() == []


def test_a_cohort_by_another_metric_leads_to_its_people_and_their_pane(visit_night: Opener, tmp_path: Path) -> None:
    seen = visit_night(f"/app/cohort?{RANGE}")
    metric = seen.page.get_by_label("Metric")
    expect(metric).to_have_value("heart_rate")
    expect(seen.page.get_by_label("Average above")).to_have_value("")
    metric.select_option(label="Oxygen saturation")
    seen.page.get_by_label("Average up to").fill("97.5")
    expect(seen.page.locator(".cohort-field", has_text="Average up to")).to_contain_text("%")
    seen.page.get_by_role("button", name="Find people").click()
    expect(seen.page).to_have_url(re.compile("&metric=oxygen_saturation&upto=97.5$"))
    people = seen.page.get_by_role("region", name="People of the cohort")
    expect(people.get_by_role("status")).to_contain_text("1 person, Oxygen saturation: average up to 97.5 %")
    listed = seen.page.get_by_role("region", name="List")
    expect(listed.get_by_role("columnheader", name="Average, %")).to_be_visible()
    expect(listed.get_by_role("row").nth(1)).to_contain_text("97.0")
    expect(listed.get_by_role("img", name="97.0 %")).to_be_visible()
    with seen.page.expect_download() as saving:
        people.get_by_role("button", name="Save CSV").click()
    assert saving.value.suggested_filename == "pulsebase-cohort-oxygen-saturation-2024-01-01.csv"
    saving.value.save_as(tmp_path / "cohort.csv")
    with (tmp_path / "cohort.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["user_id"], row["metric"], row["unit"]) == ("p0001", "oxygen_saturation", "%")
    assert float(row["avg"]) == pytest.approx(sum(OXYGEN.values()) / len(OXYGEN))
    assert int(row["count"]) == len(OXYGEN)
    seen.page.reload()
    expect(metric).to_have_value("oxygen_saturation")
    expect(seen.page.get_by_label("Average up to")).to_have_value("97.5")
    listed.get_by_role("link", name="p0001").click()
    expect(seen.page).to_have_url(re.compile(r"/person\?people=p0001&.*&metric=oxygen_saturation$"))
    expect(pane(seen, "Oxygen saturation")).to_contain_text("97.0")
    seen.page.go_back()
    # Back to heart rate; bounds of another metric mean nothing here, and without any everybody is in.
    metric.select_option(label="Heart rate")
    expect(seen.page.get_by_label("Average up to")).to_have_value("")
    seen.page.get_by_role("button", name="Find people").click()
    expect(people.get_by_role("status")).to_contain_text("with any average")
    seen.page.get_by_label("Average above").fill("50.5")
    seen.page.get_by_role("button", name="Find people").click()
    expect(seen.page).to_have_url(re.compile("tz=UTC&over=50.5$"))
    expect(people.get_by_role("status")).to_contain_text("people with an average above 50.5 bpm")
    expect(listed.get_by_role("columnheader", name="Average, bpm")).to_be_visible()


def test_a_cohort_by_what_is_no_metric_says_so(visit_night: Opener) -> None:
    seen = visit_night(f"/app/cohort?{RANGE}&metric=steps", bears=["404"])
    expect(seen.page.get_by_role("alert")).to_contain_text("is no metric")
    expect(seen.page.get_by_label("Metric")).to_have_value("steps")


def test_panes_fit_a_phone_and_stand_in_nobodys_way(visit_night: Opener) -> None:
    seen = visit_night(f"/app/?people=p0001&people=p0002&{RANGE}&{BOTH}", PHONE)
    expect(chart_of(seen, "respiratory_rate")).not_to_have_attribute("data-pieces", "{}")
    assert seen.overflow_px() <= 0
    heads = seen.page.locator(".pane-head")
    expect(heads).to_have_count(2)
    assert [cut_off_px(heads.nth(place)) for place in range(2)] == [0, 0]
    assert seen.obstacles() == []
