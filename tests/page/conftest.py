"""The real page in a real browser: a demo server for each file, and headless Chromium, started once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.page.server import crowd_server, demo_server
from tests.page.visit import DESKTOP, KEEP_SCENES, PATIENCE_MS, Visit
from tests.page.wire import Wire, wire_to
from tests.support.browser import ABSENT, FLAGS, browser_path

Opener = Callable[..., Visit]


def _browser_path() -> str:
    found = browser_path()
    if found is None:
        # Where changes are judged, a test that was not run must not look like one that passed.
        if os.environ.get("CI"):
            pytest.fail(ABSENT, pytrace=False)
        pytest.skip(ABSENT)
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = _browser_path()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")  # what a test pushes stays, and the page offers whoever is there
def address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with demo_server(tmp_path_factory.mktemp("page")) as said:
        yield said


@pytest.fixture(scope="module")
def crowd(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with thousands of people; what a test pushes stays."""
    with crowd_server(tmp_path_factory.mktemp("crowd")) as said:
        yield said


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Opener]:
    """Opens a path of the demo."""
    yield from opener(browser, address)


@pytest.fixture
def visit_crowd(browser: Browser, crowd: str) -> Iterator[Opener]:
    """The same of the server with thousands of people."""
    yield from opener(browser, crowd)


@pytest.fixture
def wire(crowd: str) -> Iterator[Wire]:
    """A way to the server with thousands of people that can be cut."""
    with wire_to(crowd) as made:
        yield made


@pytest.fixture
def visit_over_wire(browser: Browser, wire: Wire) -> Iterator[Opener]:
    yield from opener(browser, wire.address)


def opener(browser: Browser, address: str) -> Iterator[Opener]:
    """Opens paths of a server in windows of their own. In the end, nobody may have complained."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_path(path: str, size: tuple[int, int] = DESKTOP, bears: Sequence[str] = (), **options: Any) -> Visit:
        viewport = {"width": size[0], "height": size[1]}
        given = {"viewport": viewport, "locale": "en-GB", "timezone_id": "Europe/Berlin"} | options
        context = browser.new_context(**given)
        context.add_init_script(KEEP_SCENES)
        contexts.append(context)
        visits.append(Visit(context.new_page(), address))
        visits[-1].bear(*bears)
        visits[-1].page.goto(address + path)
        return visits[-1]

    yield open_path
    complaints = [complaint for one in visits for complaint in one.complaints]
    for context in contexts:
        context.close()
    assert complaints == []
