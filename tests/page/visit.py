"""One visit to the page: what a test reads off it, and what the browser complained about meanwhile."""

from __future__ import annotations

import json
from typing import cast
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import ConsoleMessage, Locator, Page, Request

SERIES = "/v1/multi-user/timeseries"

#: Keeps the scene that was last sent to be painted: texts cannot be read off a canvas.
KEEP_SCENES = """{
  const send = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message.scene) window.lastScene = message.scene;
    return send.call(this, message, ...rest);
  };
}"""

#: How many pixels of the chart have a colour, given as three bytes.
COUNT_PIXELS = """async ([red, green, blue]) => {
  const frame = () => new Promise(requestAnimationFrame);
  // It is painted beside the page: what was asked for last has to be there, and on the screen.
  await frame();
  while (!('painted' in document.querySelector('.chart').dataset)) await frame();
  await frame();
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


class Visit:
    """A window on the page."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.questions: list[dict[str, list[str]]] = []
        self.answers = 0
        self._address = address
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_finished)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._address}/", "data:", "blob:")):
            self.complaints.append(f"asked {request.url}")
        if urlsplit(request.url).path == SERIES:
            self.questions.append(parse_qs(urlsplit(request.url).query))

    def _on_finished(self, request: Request) -> None:
        self.answers += urlsplit(request.url).path == SERIES

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
        """The unbroken stretches of each person's line, in milliseconds since 1970."""
        return cast("dict[str, list[list[int]]]", json.loads(self.chart.get_attribute("data-pieces") or "{}"))

    def time_marks(self) -> list[tuple[str, float]]:
        """The marks of the time axis: the text, and where it stands as a fraction of the width."""
        marks = self.page.evaluate("lastScene.timeMarks.map(({ text, at }) => [text, at / lastScene.plot.width])")
        return [(text, at) for text, at in marks]

    def pixels(self, colour: str) -> int:
        """How many pixels of the chart have the colour `rrggbb`."""
        return cast("int", self.page.evaluate(COUNT_PIXELS, list(bytes.fromhex(colour))))

    def span(self) -> tuple[float, float]:
        """What is in view, in milliseconds since 1970, as it last came to rest."""
        start, end = (self.chart.get_attribute("data-span") or "").split()
        return float(start), float(end)

    def place(self, fraction: float) -> tuple[float, float]:
        """Where a fraction of the chart's width lies in the window, halfway up."""
        box = self.chart.bounding_box()
        assert box is not None
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

    def overflow_px(self) -> int:
        """How far the page is wider than its window."""
        return cast("int", self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def hover(chart: Locator, fraction: float, inset_px: tuple[float, float] = (0, 0)) -> None:
    """Point at a fraction of a chart's width between these insets, halfway up: once it stands still and nothing covers
    that place.
    """
    box = chart.bounding_box()
    assert box is not None
    left, right = inset_px
    chart.hover(position={"x": left + fraction * (box["width"] - left - right), "y": box["height"] / 2})
