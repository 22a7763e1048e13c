"""Room is given out to streams as merges free it. Time stands still here unless a test moves it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.stores.pacer import Pacer


class Scene:
    """A stage with room for 8,000 rows, and a clock. Merges take 1,000 rows a second."""

    def __init__(self) -> None:
        self.now, self.staged = 1000.0, 0
        self.pacer = Pacer(8_000, lambda: self.staged, lambda: self.now)
        for _ in range(30):
            self.pacer.note_merge(2_000, 2.0)
        self.now += 2.0  # all of what the last one freed is given out

    def passes(self, rows: int = 100) -> bool:
        """Whether a block may pass now, without any wait."""
        try:
            self.pacer.wait(rows, 0)
        except StoreUnavailableError:
            return False
        return True

    def passed_in(self, seconds: float, rows: int = 10) -> int:
        """How many rows pass in this time, asked for again and again while nothing else changes."""
        passed = 0
        for _ in range(round(seconds * 1000)):
            self.now += 0.001
            passed += rows * self.passes(rows)
        return passed


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_up_to_half_of_the_room_streams_do_not_wait(scene: Scene) -> None:
    scene.staged = 4_000
    assert all(scene.passes(1_000) for _ in range(10))
    assert not scene.pacer.holds_back
    scene.staged = 4_001
    assert scene.pacer.holds_back


@pytest.mark.parametrize(("staged", "rows_per_s"), [(4_300, 1_800), (5_500, 1_000), (6_700, 200)])
def test_the_fuller_the_slower(scene: Scene, staged: int, rows_per_s: int) -> None:
    """From twice what merges take at half to nothing at seven eighths."""
    scene.staged = staged
    assert scene.passed_in(2) == pytest.approx(2 * rows_per_s, rel=0.03)


def test_the_last_eighth_is_not_for_streams(scene: Scene) -> None:
    scene.staged = 7_000
    scene.now += 3600
    assert not scene.passes(1)
    scene.staged = 6_900
    assert scene.passes(1)


def test_the_pace_follows_that_of_merges(scene: Scene) -> None:
    for _ in range(30):
        scene.pacer.note_merge(2_000, 8.0)
    scene.now += 8
    scene.staged = 5_500
    assert scene.passed_in(4) == pytest.approx(1_000, rel=0.05)


def test_a_merge_of_a_few_rows_says_little_of_the_pace(scene: Scene) -> None:
    for _ in range(10):
        scene.pacer.note_merge(1, 1.0)
    scene.now += 1
    scene.staged = 5_500
    assert scene.passed_in(2) == pytest.approx(2_000, rel=0.05)


def test_what_a_merge_freed_is_given_out_over_the_time_it_took(scene: Scene) -> None:
    """Before and after it as much passes as before: nothing is due at once."""
    scene.staged = 5_500
    before = scene.passed_in(1)
    scene.pacer.note_merge(2_000, 2.0)
    scene.staged = 3_500
    passed = 0
    for _ in range(100):  # a tenth of a second, in which what passes is staged
        passed += scene.passed_in(0.001)
        scene.staged = 3_500 + passed
    assert passed == pytest.approx(before / 10, rel=0.15)
    scene.now += 2.0
    scene.staged = 3_500
    assert scene.passed_in(0.1) == 1_000  # nothing of it is held back any more: each that asks passes


def test_while_a_merge_takes_long_streams_slow_down_before_they_stop(scene: Scene) -> None:
    scene.staged = 4_500
    seconds = []
    for _ in range(5):
        before = scene.staged
        for _ in range(1_000):
            scene.staged += scene.passed_in(0.001)
        seconds.append(scene.staged - before)
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] > 2 * seconds[-1] > 0
    assert scene.staged <= 7_000


def test_whoever_would_wait_too_long_is_told_at_once_and_when_to_come_again() -> None:
    pacer = Pacer(8_000, lambda: 8_000)
    for _ in range(60):
        pacer.note_merge(8_000, 8.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(pacer.wait, 5_000, 3.0)  # five seconds of merging
        _wait_until_held(pacer)
        asked = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="nothing of this request was stored") as refused:
            pacer.wait(10, 4.0)
        assert time.monotonic() - asked < 3.9
        assert refused.value.retry_after_s in (5, 6)
        with pytest.raises(StoreUnavailableError):
            first.result(30)
    assert not pacer._waiting


def test_what_passes_within_a_turn_makes_the_next_turn_later(scene: Scene) -> None:
    scene.staged = 5_500
    assert scene.passes(100)
    scene.pacer.wait(900, 0, within_turn=True)
    scene.now += 0.98  # of 1,000 rows a second
    assert not scene.passes(1)
    scene.now += 0.02
    assert scene.passes(1)


def test_nothing_passes_within_a_turn_either_where_there_is_no_room(scene: Scene) -> None:
    scene.staged = 7_000
    with pytest.raises(StoreUnavailableError):
        scene.pacer.wait(1, 0, within_turn=True)


def test_blocks_pass_in_the_order_in_which_they_came() -> None:
    staged, passed = 8_000, []
    pacer = Pacer(8_000, lambda: staged)
    lock = threading.Lock()

    def come(number: int) -> None:
        pacer.wait(1, 30)
        with lock:
            passed.append(number)

    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(come, number)
            while len(pacer._waiting) <= number:
                time.sleep(0.001)
        staged = 6_999  # so little room that each has to wait for a moment behind the one before
        pacer.note_merge(1, 0.001)
    assert passed == [0, 1, 2, 3, 4]


def test_one_that_gives_up_lets_the_next_one_pass() -> None:
    staged = 8_000
    pacer = Pacer(8_000, lambda: staged)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(pacer.wait, 1, 0.2)
        _wait_until_held(pacer)
        second = pool.submit(pacer.wait, 1, 30)
        with pytest.raises(StoreUnavailableError):
            first.result(30)
        assert not second.done()
        staged = 0
        second.result(30)


def _wait_until_held(pacer: Pacer) -> None:
    while not pacer._waiting:
        time.sleep(0.001)
