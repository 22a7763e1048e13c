"""The dashboard in a headless browser: the first chart, steps of the zoom, live readings, and what panning costs."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.bench import Bench, Figures, SkippedError
from benchmarks.processes import fetch
from benchmarks.pulsebase_system import Pulsebase, iso
from benchmarks.sizes import Sizes
from benchmarks.system import System
from benchmarks.workloads import DAY_S, NOW_S, Readings, beats_at, readings_of, user_id
from tests.support.browser import ABSENT, FLAGS, browser_path

#: Before the days of a reading a second, one an hour.
_YEARS_S = 10 * 365 * DAY_S
_WINDOW = {"width": 1440, "height": 900}
_WATCH = Path(__file__).with_name("dashboard.js")
_RESOLUTIONS = ("1m", "1s", "raw")
#: From a day to a quarter of a minute, to the ten years, and back to the day.
_WALK = ["ArrowUp"] * 12 + ["ArrowDown"] * 23 + ["ArrowUp"] * 11
_REST_S = 0.6
_TRACED = ["toplevel", "devtools.timeline"]


def dashboard(bench: Bench, system: System) -> Figures:
    if type(system) is not Pulsebase:
        raise SkippedError("has no such page")
    path = browser_path()
    if path is None:
        raise SkippedError(ABSENT)
    sizes = bench.sizes
    with bench.started(system) as running, sync_playwright() as playwright:
        stored = bench.fill(system, running, _history(sizes))
        bench.wait_merged(running, sizes.merge_wait_s)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        with contextlib.closing(browser):
            look = _Look(browser, running.port, sizes.dashboard_people)
            return {
                "people": sizes.dashboard_people,
                "stored_readings": stored,
                "first_chart_ms": _spread(look.first_charts(sizes.dashboard_visits)),
                "zoom_step_ms": _spread(look.zoom_steps(_REST_S, sizes.dashboard_steps)),
                "zoom_step_in_a_row_ms": _spread(look.zoom_steps(0, sizes.dashboard_steps)),
                "live_ms": _spread(look.live(sizes.dashboard_live_readings)),
                "panning": {
                    name: look.panning(name, sizes.dashboard_strokes, sizes.dashboard_stroke_steps)
                    for name in _RESOLUTIONS
                },
            }


def _history(sizes: Sizes) -> Iterator[Readings]:
    days_from_s = NOW_S - sizes.dashboard_days * DAY_S
    times_s = np.concatenate([np.arange(NOW_S - _YEARS_S, days_from_s, 3_600), np.arange(days_from_s, NOW_S)])
    for person in range(sizes.dashboard_people):
        bpm = beats_at(np.random.default_rng([sizes.seed, person]), times_s)
        yield readings_of(np.full(len(times_s), person), np.ones(len(times_s)), times_s, bpm)


class _Look:
    """Visits to the page of one server; each has a browser's store of its own, so nothing is there yet."""

    def __init__(self, browser: Browser, port: int, people: int) -> None:
        self._browser, self._port, self._people = browser, port, people

    @contextlib.contextmanager
    def _visit(self, path: str, **query: str) -> Iterator[Page]:
        # The watch asks the page what it sees, which its policy would forbid.
        given: Any = {"viewport": _WINDOW, "locale": "en-GB", "timezone_id": "UTC", "bypass_csp": True}
        context = self._browser.new_context(**given)
        context.add_init_script(path=_WATCH)
        people = [("people", user_id(person)) for person in range(self._people)]
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{self._port}/app/{path}?{urlencode([*people, *query.items()])}")
        yield page
        context.close()

    @contextlib.contextmanager
    def _day(self, **query: str) -> Iterator[Page]:
        middle = NOW_S - DAY_S
        with self._visit("", start=iso(middle - DAY_S // 2), end=iso(middle + DAY_S // 2), **query) as page:
            page.wait_for_function("watched.first > 0 && document.querySelector('.panel').ariaBusy === 'false'")
            time.sleep(_REST_S)
            yield page

    def first_charts(self, visits: int) -> list[float]:
        """From the start of the navigation on."""
        found = []
        for _ in range(visits):
            with self._day() as page:
                found.append(float(page.evaluate("watched.first")))
        return found

    def zoom_steps(self, rest_s: float, most: int) -> list[float]:
        """From the key to the picture, at its own resolution."""
        with self._day() as page:
            page.locator(".chart").focus()
            for number, key in enumerate(_WALK[:most], start=1):
                page.keyboard.press(key)
                page.wait_for_function(f"watched.steps.length === {number}", polling=5)
                time.sleep(rest_s)
            return [float(one) for one in page.evaluate("watched.steps")]

    def live(self, readings: int) -> list[float]:
        """From the acknowledgement to the figure on the page."""
        acknowledged = {}
        with self._visit("live", window="5m") as page:
            page.get_by_text("Live", exact=True).and_(page.get_by_role("status")).wait_for()
            for number in range(readings):
                beats = str(60 + number)
                acknowledged[beats] = self._push(int(beats))
                page.wait_for_function(f"watched.live.at(-1)?.value === '{beats}'", polling=5)
                time.sleep(1.05)  # a reading of its own second
            seen = {one["value"]: float(one["at"]) for one in page.evaluate("watched.live")}
        return [max(0.0, seen[beats] - at_ms) for beats, at_ms in acknowledged.items()]

    def _push(self, beats: int) -> float:
        reading = {"device_id": "strap", "user_id": user_id(0), "timestamp": iso(int(time.time())), "heart_rate": beats}
        status, answer = fetch(
            self._port, "/v1/metrics/heart-rate/batch", method="POST", body=json.dumps({"readings": [reading]}).encode()
        )
        if status != 202:
            raise RuntimeError(f"a reading was not taken: {answer.decode()}")
        return time.time() * 1_000

    def panning(self, resolution: str, strokes: int, steps: int) -> Figures:
        """The tasks of the page's own thread while the chart is dragged to and fro by most of its width."""
        with self._day(resolution=resolution) as page:
            box = page.locator(".chart").bounding_box()
            assert box is not None
            left, right, y = box["x"] + 100, box["x"] + box["width"] - 100, box["y"] + box["height"] / 2
            page.mouse.move(left, y)
            self._browser.start_tracing(page=page, categories=_TRACED)
            for stroke in range(strokes):
                page.mouse.down()
                page.mouse.move(*((right, y) if stroke % 2 == 0 else (left, y)), steps=steps)
                page.mouse.up()
            page.wait_for_function("document.querySelector('.panel').ariaBusy === 'false'")
            time.sleep(_REST_S)
            return _tasks(json.loads(self._browser.stop_tracing())["traceEvents"])


def _tasks(events: list[dict[str, Any]]) -> Figures:
    """Of the thread that drew the frames: its tasks, and for each the processor time beside the time it took."""
    drawing = [(one["pid"], one["tid"]) for one in events if one["name"] == "FireAnimationFrame"]
    thread = max(set(drawing), key=drawing.count)
    tasks = [
        one
        for one in events
        if (one["pid"], one["tid"]) == thread and one["ph"] == "X" and one["name"].endswith("RunTask")
    ]
    return {
        "frames": drawing.count(thread),
        "task_ms": _spread([one["dur"] / 1_000 for one in tasks]),
        "task_cpu_ms": _spread([one.get("tdur", 0) / 1_000 for one in tasks]),
    }


def _spread(values: list[float]) -> dict[str, float]:
    percentiles = np.percentile(values, [50, 95, 100])
    return {name: round(float(value), 2) for name, value in zip(("p50", "p95", "most"), percentiles, strict=True)}
