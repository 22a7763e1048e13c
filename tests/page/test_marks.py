"""Notes, changes of device, imports and signals: on a person's chart and on the system page."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.page.conftest import Opener, opener
from tests.page.server import fetched, now_ms, push, zulu
from tests.page.visit import Visit, hover
from tests.support.process import Place, serving, wait_until

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
#: Of two events that wait for a receiver, the second is given up at once.
WEBHOOKS = {"webhook_private_networks": '["127.0.0.0/8"]', "webhook_queue": "1"}


@pytest.fixture(scope="module")
def worn(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A server, and when Ann's readings begin: an hour from her watch, then an hour from her strap."""
    start = now_ms() // HOUR_MS * HOUR_MS - 2 * HOUR_MS
    with serving(Place(tmp_path_factory.mktemp("marks"), **WEBHOOKS)) as running:
        for hour, device in enumerate(("watch", "strap")):
            first = start + hour * HOUR_MS
            push(running.url, "ann", [(first + n * 10_000, 70 + n % 5) for n in range(360)], device)
        yield running.url, start


@pytest.fixture
def visit_worn(browser: Browser, worn: tuple[str, int]) -> Iterator[Opener]:
    yield from opener(browser, worn[0])


def test_notes_and_changes_of_device_are_marked_told_and_changed(visit_worn: Opener, worn: tuple[str, int]) -> None:
    address, start = worn
    seen = visit_worn(f"/app/person?people=ann&start={zulu(start)}&end={zulu(start + 2 * HOUR_MS)}&tz=UTC")
    page = seen.page
    expect(seen.chart).to_have_attribute("data-marks", "device")
    # By the keyboard: to the mark, and a note there.
    seen.chart.focus()
    page.keyboard.press("m")
    tip = page.locator(".chart-tip")
    expect(tip).to_contain_text("From watch to strap")
    page.keyboard.press("n")
    dialog = page.get_by_role("dialog", name="Add a note about ann")
    expect(dialog.get_by_label("Text")).to_be_focused()
    page.keyboard.type("a new strap")
    dialog.get_by_role("button", name="Save").press("Enter")
    expect(dialog).to_have_count(0)
    expect(seen.chart).to_be_focused()
    notes = page.get_by_role("region", name="Notes")
    expect(notes).to_contain_text("a new strap")
    kept = fetched(f"{address}/v1/users/ann/annotations")["data"]
    assert [(one["start"], one["end"], one["text"]) for one in kept] == [(zulu(start + HOUR_MS), None, "a new strap")]
    expect(seen.chart).to_have_attribute("data-marks", re.compile("^(note device|device note)$"))
    assert seen.scene("lastScene.markers.flags.length") == 2
    expect(page.locator("[aria-live=polite]").last).to_contain_text("a new strap. From watch to strap. ann: 7")
    # At the pointer, and changed into a stretch.
    hover(seen.chart, 0.51)
    expect(tip).to_contain_text("a new strap")
    notes.get_by_role("button", name=re.compile("^Change the note")).click()
    dialog = page.get_by_role("dialog", name="Change a note about ann")
    dialog.get_by_label("A stretch of time").check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_have_text("The end must lie after the start.")
    dialog.get_by_label("To").fill(zulu(start + HOUR_MS + 20 * MINUTE_MS)[:-1])
    dialog.get_by_role("button", name="Save").click()
    expect(seen.chart).to_have_attribute("data-marks", re.compile("note-stretch"))
    # Marks are switched off one kind at a time, and that stays in the address.
    page.get_by_role("button", name="Devices", exact=True).click()
    expect(seen.chart).to_have_attribute("data-marks", "note-stretch")
    expect(page).to_have_url(re.compile("marks=note%2Csource%2Cimport%2Csignal"))
    notes.get_by_role("button", name=re.compile("^Change the note")).click()
    dialog.get_by_role("button", name="Delete: this note").click()
    dialog.get_by_role("button", name="Really delete: this note").click()
    expect(notes).to_contain_text("Nothing is noted in this range.")
    expect(notes.get_by_role("button", name="Add a note")).to_be_focused()
    assert fetched(f"{address}/v1/users/ann/annotations")["data"] == []


def test_where_the_readings_of_an_imported_file_begin_and_end_is_marked(
    visit_worn: Opener, worn: tuple[str, int]
) -> None:
    address, start = worn
    rows = [f"cyd,strap,{zulu(start + n * MINUTE_MS)},5{n % 10}" for n in range(60)]
    content = "\n".join(["user_id,device_id,timestamp,heart_rate", *rows]).encode()
    sent = urllib.request.Request(f"{address}/v1/imports?name=ward.csv", content, method="POST")
    with urllib.request.urlopen(sent) as answer:
        number = json.load(answer)["id"]
    wait_until(lambda: fetched(f"{address}/v1/imports/{number}")["status"] == "done", "the file is imported")
    view = f"people=cyd&start={zulu(start - HOUR_MS)}&end={zulu(start + 3 * HOUR_MS)}&tz=UTC"
    seen = visit_worn(f"/app/person?{view}")
    expect(seen.chart).to_have_attribute("data-marks", "import import")
    seen.chart.focus()
    seen.page.keyboard.press("m")
    tip = seen.page.locator(".chart-tip-mark[data-kind=import]")
    expect(tip).to_contain_text("First reading from ward.csv, imported ")
    seen.page.keyboard.press("m")
    expect(tip).to_contain_text("Last reading from ward.csv, imported ")
    seen.page.get_by_role("button", name="Imports", exact=True).click()
    expect(seen.chart).to_have_attribute("data-marks", "")


def test_signals_are_made_and_seen_on_the_chart_of_whom_they_hold(visit_worn: Opener) -> None:
    seen = visit_worn("/app/system")
    page = seen.page
    card = page.get_by_role("region", name="Signals", exact=True)
    expect(card).to_contain_text("There are no signals.")
    card.get_by_text("Make a signal").click()
    card.get_by_role("button", name="Make the signal").click()
    expect(card.get_by_role("alert")).to_contain_text("Above or below which value?")
    card.get_by_label("Value in bpm").fill("60")
    card.get_by_label("For at least").fill("2m")
    card.get_by_role("button", name="Make the signal").click()
    expect(card.get_by_text("Raised for 1 person")).to_be_visible()
    expect(card.get_by_role("region", name="Signals lately")).to_contain_text("ann Heart rate above 60 bpm")
    card.get_by_role("link", name="ann").first.click()
    expect(seen.chart).to_have_attribute("data-marks", re.compile("signal-stretch"))
    hover(seen.chart, 0.97)
    expect(page.locator(".chart-tip-mark[data-kind=signal]")).to_contain_text("Heart rate above 60")
    page.go_back()
    card.get_by_role("button", name=re.compile("^Remove: Heart rate")).click()
    card.get_by_role("button", name=re.compile("^Really remove")).click()
    expect(card).to_contain_text("There are no signals.")


def test_webhooks_are_made_and_what_they_did_not_take_is_shown(visit_worn: Opener, worn: tuple[str, int]) -> None:
    address, start = worn
    seen = visit_worn("/app/system")
    page = seen.page
    card = page.get_by_role("region", name="Webhooks")
    card.get_by_text("Make a webhook").click()
    card.get_by_label("Address that is called").fill("http://127.0.0.1:9/in")  # nobody listens there
    card.get_by_role("button", name="Make the webhook").click()
    expect(card.get_by_role("status").locator("code")).to_have_text(re.compile("^whsec_"))
    [made] = fetched(f"{address}/v1/webhooks")["data"]
    assert (made["url"], made["events"]) == ("http://127.0.0.1:9/in", ["readings.stored"])
    deliveries = f"{address}/v1/webhooks/{made['webhook_id']}/deliveries"
    for name in ("bob", "cleo"):
        push(address, name, [(start, 70)])
    wait_until(lambda: fetched(f"{deliveries}?state=dead")["data"], "a delivery is given up")
    page.reload()
    row = card.locator("details.import-row")
    expect(row).to_contain_text("1 given up")
    expect(row).to_contain_text("1 waiting")
    row.locator("summary").click()
    expect(row.get_by_role("region", name=re.compile("^Given up"))).to_contain_text("Readings were stored")
    row.get_by_role("button", name=re.compile("^Remove")).click()
    row.get_by_role("button", name=re.compile("^Really remove")).click()
    expect(card).to_contain_text("There are no webhooks.")


#: What has the focus: its name, and whether that is seen; the name is empty where it is on nothing.
FOCUS = """async () => {
  const element = document.activeElement;
  if (!element || element === document.body) return ['', false];
  const name = element.ariaLabel || element.labels?.[0]?.innerText || element.innerText || element.className;
  const seen = () => {
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const { top, bottom, width } = element.getBoundingClientRect();
    const drawn = outlineStyle !== 'none' && parseFloat(outlineWidth) > 0;
    return drawn && width > 0 && bottom > 0 && top < innerHeight;
  };
  // The browser scrolls to it with one of the next frames, while answers may still move what is around it.
  for (let frames = 0; frames < 60 && !seen(); frames += 1) await new Promise(requestAnimationFrame);
  return [name.trim(), seen()];
}"""
#: More than any page has places for the focus.
MOST_TABS = 150


class _Keyboard:
    """Somebody who has no pointer, and has to see where they are."""

    def __init__(self, seen: Visit) -> None:
        self._page = seen.page

    def step(self, key: str = "Tab") -> str:
        self._page.keyboard.press(key)
        name, visible = self._page.evaluate(FOCUS)
        assert visible or not name, f"the focus on {name!r} is not seen"
        return str(name)

    def go(self, name: str, key: str = "Tab") -> None:
        """Move the focus on until it is on something of this name."""
        passed = []
        for _ in range(MOST_TABS):
            passed.append(self.step(key))
            if re.match(name, passed[-1]):
                return
        raise AssertionError(f"{name!r} is not reached: {passed}")

    def press(self, *keys: str) -> None:
        for key in keys:
            self._page.keyboard.press(key)

    def visit(self, page: str) -> None:
        self.go(f"{page}$", "Shift+Tab")
        self.press("Enter")
        expect(self._page.locator("nav [aria-current=page]")).to_have_text(page)


def test_everything_is_reached_without_a_pointer(visit_worn: Opener, worn: tuple[str, int]) -> None:
    address, _ = worn
    push(address, "bob", [(now_ms() - 26 * HOUR_MS + n * MINUTE_MS, 64) for n in range(60)])
    seen = visit_worn("/app/?people=ann")
    page, hands = seen.page, _Keyboard(seen)
    expect(seen.chart).to_have_attribute("data-pieces", re.compile("ann"))
    expect(page.locator(".person-name", has_text="bob")).to_be_visible()
    assert hands.step() == "Skip to the content"
    hands.go("bob")
    hands.press("Space")
    expect(page).to_have_url(re.compile("people=ann&people=bob"))
    hands.go("7 days")
    hands.press("Enter")
    expect(page).to_have_url(re.compile("range=7d"))
    hands.go("Dates")
    hands.press("Enter")
    hands.go("Day")
    hands.press("Enter", "Escape")
    expect(page).to_have_url(re.compile("start="))
    today = page.url
    hands.go("Earlier", "Shift+Tab")
    hands.press("Enter")
    expect(page).not_to_have_url(today)
    hands.go("Heart rate of")
    yesterday = page.url
    hands.press("ArrowUp")
    expect(page).not_to_have_url(yesterday)
    hands.visit("Person")
    expect(seen.chart).to_have_attribute("data-pieces", re.compile("ann"))
    hands.go("Heart rate of")
    hands.press("n")
    page.keyboard.type("noted by hand")
    hands.go("Save")
    hands.press("Enter")
    expect(page.get_by_role("region", name="Notes")).to_contain_text("noted by hand")
    for place in ("Cohort", "Compare", "System"):
        hands.visit(place)
    expect(page.get_by_role("region", name="Signals", exact=True)).to_be_visible()
    # Nothing holds the focus: after the last place comes the browser's own, and then the first again.
    hands.go("Skip to the content")
