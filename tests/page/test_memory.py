"""A page that is left open does not grow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import sleep

from playwright.sync_api import CDPSession, expect

from tests.page.conftest import Opener
from tests.page.server import now_ms, push

PERSON = "p2000"
#: Every step costs some memory of its own: the test's clock, which lives in the page, keeps a log of them.
STEP_S = 60
WARM_UP_STEPS, STEPS = 100, 160
MOST_GROWTH = 0.05


def heap_bytes(session: CDPSession) -> int:
    """What is in use once everything that can go is gone: the least of some looks, since something always goes on."""
    looks = []
    for _ in range(5):
        session.send("HeapProfiler.collectGarbage")
        session.send("HeapProfiler.collectGarbage")
        looks.append(int(session.send("Runtime.getHeapUsage")["usedSize"]))
        sleep(0.1)
    return min(looks)


def test_an_hour_of_live_readings_leaves_the_heap_as_it_was(visit_crowd: Opener, crowd: str) -> None:
    """A hundred and sixty minutes by a clock of the test's own, a reading a second; a hundred of them to get warm."""
    start = now_ms() - STEPS * STEP_S * 1000
    seen = visit_crowd("/app/system")
    page = seen.page
    page.clock.install(time=datetime.fromtimestamp(start / 1000, UTC))
    page.goto(f"{crowd}/app/live?people={PERSON}&window=5m")
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    session = page.context.new_cdp_session(page)
    before = 0
    for step in range(STEPS):
        at = start + step * STEP_S * 1000
        beats = 60 + step % 50
        push(crowd, PERSON, [(at + 1000 * second, beats) for second in range(STEP_S)])
        page.clock.fast_forward(timedelta(seconds=STEP_S).seconds * 1000)
        if step % 10 == 9:
            expect(page.locator(".live-value")).to_have_text(str(beats))
        if step + 1 == WARM_UP_STEPS:
            before = heap_bytes(session)
    growth = heap_bytes(session) / before - 1
    assert growth < MOST_GROWTH
