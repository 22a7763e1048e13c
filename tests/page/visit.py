"""One visit to the page: what a test reads off it, and what the browser complained about meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import ConsoleMessage, FloatRect, Locator, Page, Request, expect

#: On a busy machine an answer takes longer than the library waits of itself.
PATIENCE_MS = 20_000
DESKTOP = (1440, 900)
PHONE = (390, 844)
SERIES = "/v1/multi-user/timeseries"
AXE = Path(__file__).parents[2] / "client" / "node_modules" / "axe-core" / "axe.min.js"
#: What another colour scheme can change of what axe finds.
OF_COLOURS = ["color-contrast", "link-in-text-block"]

#: Keeps the scene that was last sent to be painted: texts cannot be read off a canvas.
KEEP_SCENES = """{
  const send = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message.scene) window.lastScene = message.scene;
    return send.call(this, message, ...rest);
  };
}"""

#: Waits until every chart shows what was last rendered: they are painted beside the page, a frame or more later.
PAINTED = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const unpainted = '.chart:not(.plain-chart):not([data-painted])';
  // The first frame may have been under way when something was rendered.
  for (let frames = 0; frames < 2; frames += 1) await frame();
  while (document.querySelector(unpainted)) await frame();
  await frame();
}"""

#: How many pixels of the chart have a colour, given as three bytes.
COUNT_PIXELS = """([red, green, blue]) => {
  const canvas = document.querySelector('.chart canvas');
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] === red && data[i + 1] === green && data[i + 2] === blue && data[i + 3] === 255) count += 1;
  }
  return count;
}"""

#: What stands in anybody's way, by axe: the rule, and where. Asked of some rules, or of all.
OBSTACLES = """async (rules) => {
  const only = rules.length ? { runOnly: { type: 'rule', values: rules } } : {};
  const found = await axe.run(document, { resultTypes: ['violations'], ...only });
  const grave = found.violations.filter(({ id, impact }) => {
    return ['serious', 'critical'].includes(impact) || id === 'landmark-unique';
  });
  return grave.map(({ id, nodes }) => [id, nodes.map(({ html }) => html.slice(0, 200))]);
}"""

#: Whether all charts have one span in view, which is another one than this.
IN_STEP = """former => {
  const spans = [...document.querySelectorAll('.chart')].map((one) => one.dataset.span);
  return spans.every((one) => one && one !== former && one === spans[0]);
}"""


class Visit:
    """A window on the page."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.paths: list[str] = []
        self.questions: list[dict[str, list[str]]] = []
        self.answers = 0
        self._borne: tuple[str, ...] = ()
        self._address = address
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_finished)

    def _on_console(self, message: ConsoleMessage) -> None:
        expected = any(part in message.text for part in self._borne)
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._address}/", "data:", "blob:")):
            self.complaints.append(f"asked {request.url}")
        self.paths.append(urlsplit(request.url).path)
        if self.paths[-1] == SERIES:
            self.questions.append(parse_qs(urlsplit(request.url).query))

    def _on_finished(self, request: Request) -> None:
        self.answers += urlsplit(request.url).path == SERIES

    def bear(self, *parts: str) -> None:
        """Complaints that hold one of these are what is tested; they may come when they like."""
        self._borne = parts

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Let the browser tell what happens until this holds."""
        give_up_at = time.monotonic() + PATIENCE_MS / 1000
        while not holds():
            assert time.monotonic() < give_up_at, f"did not come about: {what}"
            self.page.wait_for_timeout(20)

    def question(self, **said: str) -> dict[str, list[str]]:
        """The first question for series that says this, once it is asked."""

        def fitting() -> list[dict[str, list[str]]]:
            return [one for one in self.questions if all(one.get(name) == [text] for name, text in said.items())]

        self.wait_until(lambda: bool(fitting()), f"a question with {said}")
        return fitting()[0]

    def unfold(self, name: str) -> None:
        """Open one of the menus above the chart; it stays open until something outside it is clicked."""
        menu = self.page.locator("details.menu").filter(has=self.page.locator("summary", has_text=name))
        if menu.get_attribute("open") is None:
            menu.locator("summary").click()

    def choose(self, menu: str, name: str) -> None:
        """Press a button of a menu, and close the menu."""
        self.unfold(menu)
        self.page.locator("details.menu").get_by_role("button", name=name).click()
        self.page.keyboard.press("Escape")

    @property
    def chart(self) -> Locator:
        return self.page.locator(".chart")

    @property
    def resolution(self) -> Locator:
        return self.page.locator(".status div", has_text="Resolution").locator("dd")

    def pieces(self) -> dict[str, list[list[int]]]:
        """The unbroken stretches of each person's line, in milliseconds since 1970, once there is a line."""
        expect(self.chart).not_to_have_attribute("data-pieces", "{}")
        return cast("dict[str, list[list[int]]]", json.loads(self.chart.get_attribute("data-pieces") or "{}"))

    def wait_until_painted(self) -> None:
        """Wait until the charts show what was last rendered."""
        self.page.evaluate(PAINTED)

    def scene(self, of: str) -> Any:
        """Something of the scene that was painted last, by an expression over `lastScene`."""
        self.wait_until_painted()
        return self.page.evaluate(of)

    def time_marks(self) -> list[tuple[str, float]]:
        """The marks of the time axis: the text, and where it stands as a fraction of the width."""
        marks = self.scene("lastScene.timeMarks.map(({ text, at }) => [text, at / lastScene.plot.width])")
        return [(text, at) for text, at in marks]

    def pixels(self, colour: str) -> int:
        """How many pixels of the chart have the colour `rrggbb`."""
        self.wait_until_painted()
        return cast("int", self.page.evaluate(COUNT_PIXELS, list(bytes.fromhex(colour))))

    def span(self) -> tuple[int, int]:
        """What is in view, in milliseconds since 1970, as it last came to rest."""
        start, end = (self.chart.first.get_attribute("data-span") or "").split()
        return int(start), int(end)

    def place(self, fraction: float) -> tuple[float, float]:
        """Where a fraction of the chart's width lies in the window, halfway up."""
        box = box_of(self.chart)
        return box["x"] + fraction * box["width"], box["y"] + box["height"] / 2

    def drag(self, start: float, end: float) -> None:
        """Drag across the chart between two fractions of its width, once it is at rest."""
        hover(self.chart, start)
        self.page.mouse.down()
        self.page.mouse.move(*self.place(end), steps=4)
        self.page.mouse.up()

    def mark(self, start: float, end: float) -> None:
        """Mark a stretch of the chart, which then shows it alone."""
        self.page.keyboard.down("Shift")
        self.drag(start, end)
        self.page.keyboard.up("Shift")

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many questions for series were answered."""
        while self.answers < count:
            self.page.wait_for_event("requestfinished")

    def wait_for_step(self, former: tuple[int, int]) -> None:
        """Wait until all charts have come to rest on one other stretch."""
        self.page.wait_for_function(IN_STEP, arg="{} {}".format(*former))

    def overflow_px(self) -> int:
        """How far the page is wider than its window."""
        return cast("int", self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def obstacles(self) -> list[Any]:
        """What stands in anybody's way, in either colour scheme, by axe; once nothing is loading any more."""
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        schemes: Mapping[Literal["light", "dark"], Sequence[str]] = {"light": [], "dark": OF_COLOURS}
        found = []
        for scheme, rules in schemes.items():
            self.page.emulate_media(color_scheme=scheme)
            found += [(scheme, *one) for one in self.page.evaluate(OBSTACLES, rules)]
        return found


def expect_pieces(chart: Locator, pieces: Mapping[str, Sequence[Sequence[int]]]) -> None:
    """Wait until a chart's lines are unbroken over these stretches, in milliseconds since 1970."""
    expect(chart).to_have_attribute("data-pieces", json.dumps(pieces, separators=(",", ":")))


def cut_off_px(shown: Locator) -> int:
    """How much of what an element holds does not fit its width."""
    return cast("int", shown.evaluate("it => it.scrollWidth - it.clientWidth"))


def box_of(shown: Locator) -> FloatRect:
    """Where something stands in the window, once it is seen."""
    expect(shown).to_be_visible()
    box = shown.bounding_box()
    assert box is not None
    return box


def hover(chart: Locator, fraction: float, inset_px: tuple[float, float] = (0, 0)) -> None:
    """Point at a fraction of a chart's width between these insets, halfway up: once it stands still and nothing covers
    that place.
    """
    box = box_of(chart)
    left, right = inset_px
    chart.hover(position={"x": left + fraction * (box["width"] - left - right), "y": box["height"] / 2})
