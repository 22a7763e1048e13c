"""Other metrics below heart rate: chosen, drawn on one time axis, read, saved."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.page.conftest import Opener, opener
from tests.page.server import crowd_server, push, push_values, zulu
from tests.page.test_pages import AXE, PHONE
from tests.page.visit import Visit

START = 1_704_146_400_000  # 22:00 on the first of January 2024, UTC
MINUTE_MS = 60_000
NIGHT = [START + minute * MINUTE_MS for minute in range(8 * 60)]
#: The finger clip fell off for an hour.
CLIP_OFF = (START + 180 * MINUTE_MS, START + 240 * MINUTE_MS)
OXYGEN = {at: 96.0 + (at // MINUTE_MS) % 3 for at in NIGHT if not CLIP_OFF[0] <= at < CLIP_OFF[1]}
BREATHS = {at: 14.5 + (at // MINUTE_MS) % 2 for at in NIGHT}
RANGE = f"start={zulu(START)}&end={zulu(NIGHT[-1] + MINUTE_MS)}&tz=UTC"
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
    expect(choice).to_have_text(["Oxygen saturation", "Respiratory rate"])
    expect(seen.page.locator(".pane")).to_have_count(0)
    choice.nth(0).focus()
    seen.page.keyboard.press("Enter")
    expect(choice.nth(0)).to_have_attribute("aria-pressed", "true")
    choice.nth(1).click()
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
    span = main.get_attribute("data-span") or ""
    expect(oxygen).to_have_attribute("data-span", span)
    expect(breaths).to_have_attribute("data-span", span)
    # Keys work in a pane too, and say the values of all.
    oxygen.focus()
    seen.page.keyboard.press(".")
    expect(seen.page.locator("[aria-live]")).to_contain_text(
        re.compile(r"Person 0001: \d+\. Oxygen saturation, Person 0001: 9\d\.0\. Respiratory rate, Person 0001: 1\d\.5")
    )


def test_what_is_not_there_is_said_and_offered_to_nobody_else(visit_night: Opener) -> None:
    seen = visit_night(f"/app/?people=p0002&{RANGE}")
    expect(seen.page.locator(".status")).to_be_visible()
    expect(seen.page.get_by_role("group", name="Shown below heart rate")).to_have_count(0)
    seen = visit_night(f"/app/?people=p0001&people=p0002&{RANGE}")
    choice = seen.page.get_by_role("group", name="Shown below heart rate").get_by_role("button")
    expect(choice).to_have_text(["Oxygen saturation", "Respiratory rate"])
    choice.nth(0).click()
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
    with seen.page.expect_download() as saving:
        seen.page.get_by_role("button", name="Save CSV").click()
    saving.value.save_as(tmp_path / "night.csv")
    with (tmp_path / "night.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {(row["metric"], row["unit"]): 0 for row in rows}
    assert set(found) == {("heart_rate", "bpm"), ("oxygen_saturation", "%"), ("respiratory_rate", "breaths/min")}
    oxygen = {row["start"]: float(row["avg"]) for row in rows if row["metric"] == "oxygen_saturation"}
    assert oxygen == {zulu(at): value for at, value in OXYGEN.items()}


def test_panes_fit_a_phone_and_stand_in_nobodys_way(visit_night: Opener) -> None:
    seen = visit_night(f"/app/person?people=p0001&{RANGE}&{BOTH}", PHONE)
    expect(chart_of(seen, "respiratory_rate")).not_to_have_attribute("data-pieces", "{}")
    assert seen.overflow_px() <= 0
    seen.page.evaluate(AXE.read_text(encoding="utf-8"))
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        seen.page.emulate_media(color_scheme=scheme)
        found = seen.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        grave = [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")]
        assert grave == []
