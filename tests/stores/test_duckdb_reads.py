"""Answers beside everything that a store does at the same time: each is of the state before or after the change in
hand, never of anything between.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import HOUR_US, MINUTE_US, SECOND_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.merge.merge import MergeBounds
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from pulsebase.stores.memory import MemoryStore
from tests.stores.harness import Reading, ask, at, write

BASE_US = at("2024-03-01T00:00:00")
DAY = TimeRange(BASE_US, BASE_US + 24 * HOUR_US)
INSIDE = TimeRange(BASE_US + HOUR_US + 7 * SECOND_US, BASE_US + 2 * HOUR_US + 90 * SECOND_US)
DEVICES = ("device_a", "device_b", "strap")
CHANGES = 120
READERS = 2

QUESTIONS: list[Callable[[Store], Any]] = [
    *(lambda store, rung=rung: ask(store, rung, DAY) for rung in Resolution),
    lambda store: ask(store, Resolution.RAW, INSIDE, include_all=True),
    lambda store: ask(store, Resolution.MINUTE, INSIDE),
    lambda store: ask(store, Resolution.HOUR, DAY, device_id="device_b"),
    lambda store: ask(store, Resolution.DAY, DAY, zone="Asia/Kathmandu"),
    lambda store: store.stored(),
    lambda store: store.overview("ann"),
    lambda store: store.last_time_us("ann", "strap"),
]


def changes() -> list[Callable[[Store], object]]:
    """Writes of several batches, late and corrected ones, deletions and priorities, the same every time."""
    dice = random.Random(5)
    return [_change(dice) for _ in range(CHANGES)]


def _change(dice: random.Random) -> Callable[[Store], object]:
    kind = dice.random()
    start_us = BASE_US + dice.randrange(4 * 60) * MINUTE_US
    device_id = dice.choice(DEVICES)
    if kind < 0.65:
        value, step_us = dice.randrange(3000, 20_000), dice.choice([SECOND_US, 20 * SECOND_US, 5 * MINUTE_US])
        readings = [
            Reading(start_us + n * step_us, value + n, device, dice.choice([None, None, 0, 3]))
            for n in range(dice.choice([1, 10, 40]))
            for device in {device_id, "device_a"}
        ]
        readings.sort()
        return lambda store: write(store, *readings)
    if kind < 0.85:
        gone = TimeRange(start_us, start_us + dice.choice([1, MINUTE_US, HOUR_US]))
        of_device = dice.choice([None, device_id])
        return lambda store: store.delete("ann", gone, of_device)
    priority = DevicePriority("ann", device_id, dice.choice([None, 0, 1, 5]), dice.choice([0, start_us]))
    return lambda store: store.put_priority(priority)


class History:
    """What each question must be answered after each change, and how far the store has come."""

    def __init__(self) -> None:
        oracle = MemoryStore()
        write(oracle, Reading(BASE_US, 6000))
        self.truth = [[question(oracle) for question in QUESTIONS]]
        for change in changes():
            change(oracle)
            self.truth.append([question(oracle) for question in QUESTIONS])
        self.begun = self.done = 0
        self.over = threading.Event()
        self.wrong: list[str] = []
        self.asked = 0

    def read(self, store: Store, seed: int) -> None:
        """Ask until it is over. `done` is looked at before the question and `begun` after it."""
        dice = random.Random(seed)
        while not (self.over.is_set() or self.wrong):
            number = dice.randrange(len(QUESTIONS))
            oldest = self.done
            answer = QUESTIONS[number](store)
            newest = self.begun
            self.asked += 1
            if all(answer != self.truth[state][number] for state in range(oldest, newest + 1)):
                self.wrong.append(f"question {number} between the changes {oldest} and {newest}: {answer}")


@pytest.mark.parametrize("interval_s", [0.01, 3600], ids=["merging all the time", "merging when told"])
def test_every_answer_is_of_a_moment(tmp_path: Path, interval_s: float) -> None:
    history = History()
    by_hand = interval_s > 1
    # Old hours go through `late`, a few at a time.
    options = DuckdbOptions(
        memory_limit="256MiB",
        merge_interval_s=interval_s,
        checkpoint_bytes=64 << 10,
        bounds=MergeBounds(search_rows=100, fetch_rows=100),
    )
    store = DuckdbStore(tmp_path / "store.duckdb", options)
    try:
        write(store, Reading(BASE_US, 6000))
        with ThreadPoolExecutor(READERS) as pool:
            readers = [pool.submit(history.read, store, seed) for seed in range(READERS)]
            try:
                for number, change in enumerate(changes(), 1):
                    history.begun = number
                    change(store)
                    history.done = number
                    if by_hand and number % 4 == 0:
                        store.maintenance.merge_staged()
                        store.maintenance.build_quarters()
                    if by_hand and number % 16 == 0:
                        store.merge()
            finally:
                history.over.set()
            for reader in readers:
                reader.result()
        assert history.wrong == []
        assert history.asked > CHANGES / 4
        assert store.check().problems == ()
        assert [question(store) for question in QUESTIONS] == history.truth[-1]
        assert store.statistics()["merge_failures"] == 0
    finally:
        store.close()
