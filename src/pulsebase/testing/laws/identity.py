"""Law 1: a reading is (person, metric, device, time); a write is seen whole or not at all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import (
    DAY_US,
    HOUR_US,
    SECOND_US,
)
from pulsebase.stores.contract import (
    Store,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, ask, batch_of, metric_under_test, rows_of, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import DAY, RAW, TEN, THAT_DAY, day_figures, raw, scattered, settled_or_not, states


class IdentityLaws(LawsOfOneStore):
    """Law 1: a reading is (person, metric, device, time); a write is seen whole or not at all."""

    def test_a_reading_comes_back_as_it_was_written(self, harness: Harness) -> None:
        origin = harness.store.register_origin("push", "watch")
        harness.store.write([batch_of([Reading(TEN + 123456, 7550, "watch", 2)], origin)])
        for store in states(harness):
            assert harness.back_door() == [("ann", "watch", TEN + 123456, 7550, 2, metric_under_test(), origin)]
            assert rows_of(store.stored()) == [("ann", "watch", TEN + 123456, 7550, 2, metric_under_test(), origin)]
            assert rows_of(ask(store, RAW, THAT_DAY)) == [(TEN + 123456, 7550, "watch", 2)]

    @settled_or_not
    def test_writing_the_same_batch_twice_is_writing_it_once(self, harness: Harness, settled: bool) -> None:
        readings = [Reading(TEN + n * SECOND_US, 7000 + n) for n in range(90)]
        write(harness.store, *readings)
        if settled:
            harness.settle()
        write(harness.store, *readings)
        for store in states(harness):
            assert len(harness.back_door()) == 90
            assert day_figures(store) == (90, 7000 * 90 + sum(range(90)), 7000, 7089, 2)

    def test_the_last_of_a_batch_wins(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 9000), Reading(TEN, 6000, confidence=1), Reading(TEN, 7000, confidence=3))
        for store in states(harness):
            assert [row[3:5] for row in harness.back_door()] == [(7000, 3)]
            assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    def test_the_last_batch_of_a_write_wins(self, harness: Harness) -> None:
        origins = [harness.store.register_origin("push", name) for name in ("one", "two", "three")]
        values = (6000, 9000, 8000)
        harness.store.write(
            [batch_of([Reading(TEN, value)], origin) for value, origin in zip(values, origins, strict=True)]
        )
        for store in states(harness):
            assert harness.back_door() == [("ann", "device_a", TEN, 8000, None, metric_under_test(), origins[2])]
            assert day_figures(store) == (1, 8000, 8000, 8000, 1)

    @settled_or_not
    def test_the_last_commit_wins_with_all_it_says(self, harness: Harness, settled: bool) -> None:
        first, second = (harness.store.register_origin("sync", name) for name in ("first", "second"))
        harness.store.write([batch_of([Reading(TEN, 9000, confidence=3)], second)])
        if settled:
            harness.settle()
        harness.store.write([batch_of([Reading(TEN, 6000, confidence=None)], first)])
        for store in states(harness):
            assert harness.back_door() == [("ann", "device_a", TEN, 6000, None, metric_under_test(), first)]
            assert day_figures(store) == (1, 6000, 6000, 6000, 1)

    def test_commits_keep_their_order_through_settling_and_reopening(self, harness: Harness) -> None:
        for value in (9000, 8000, 7000):
            write(harness.store, Reading(TEN, value))
            harness.settle()
            write(harness.store, Reading(TEN, value - 100))
            harness.reopen()
        for store in states(harness):
            assert [row[3] for row in harness.back_door()] == [6900]
            assert day_figures(store) == (1, 6900, 6900, 6900, 1)

    def test_another_person_device_or_microsecond_is_another_reading(self, harness: Harness) -> None:
        write(
            harness.store,
            Reading(TEN, 7000),
            Reading(TEN, 7001, "device_b"),
            Reading(TEN, 7002, "Device_a"),
            Reading(TEN + 1, 7003),
            Reading(TEN, 7004, user_id="Ann"),
        )
        for store in states(harness):
            assert sorted(row[3] for row in harness.back_door()) == [7000, 7001, 7002, 7003, 7004]
            assert raw(store) == [(0, 7000, "device_a"), (1, 7003, "device_a")]
            assert raw(store, user_id="Ann") == [(0, 7004, "device_a")]

    def test_a_write_that_fails_keeps_nothing(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        good = batch_of([Reading(TEN, 9000), Reading(TEN, 9000, user_id="bob")], origin=1)
        hollow = object.__new__(ReadingBatch)  # it has no table to read
        with pytest.raises(AttributeError):
            harness.store.write([good, hollow])
        for store in states(harness):
            assert [row[3] for row in harness.back_door()] == [7000]
            assert store.user("bob") is None

    def test_a_store_with_little_to_merge_has_room_for_streams_and_others(self, harness: Harness) -> None:
        for day in range(1, 4):
            harness.store.pace(2, 0)
            assert harness.store.has_room(0)
            write(harness.store, Reading(TEN + day * DAY_US, 6000), Reading(TEN + day * DAY_US + 1, 6100))
        harness.settle()
        assert harness.store.has_room(0)
        assert len(harness.back_door()) == 6

    def test_writing_nothing_changes_nothing(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        harness.store.write([])
        harness.store.write([batch_of([], origin=1)])
        for store in states(harness):
            assert len(harness.back_door()) == 1
            assert [each.user.user_id for each in store.users("", 10, None)] == ["ann"]

    def test_a_write_of_many_batches_is_seen_whole_or_not_at_all(self, harness: Harness) -> None:
        """Each write sets every reading of two devices to one value, one batch each; no reader may see two values."""
        store = harness.store
        done = threading.Event()
        torn: list[object] = []

        def write_all(value: int) -> None:
            origin = store.register_origin("test", "laws")
            times = range(TEN, TEN + 2 * HOUR_US, 8 * SECOND_US)
            devices = ("device_a", "device_b")
            store.write([batch_of([Reading(t, value, device) for t in times], origin) for device in devices])

        def read_all() -> None:
            while not done.is_set():
                days = rows_of(ask(store, DAY, THAT_DAY, include_all=True))
                torn.extend(row for row in days if row[1] != 1800 or row[3] != row[4])
                if len({row[3] for row in rows_of(store.stored())}) != 1:
                    torn.append("stored")

        write_all(5000)
        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read_all) for _ in range(2)]
            try:
                for value in range(5001, 5011):
                    write_all(value)
                    if value % 5 == 0:
                        harness.settle()
            finally:
                done.set()
            for reader in readers:
                reader.result()
        assert torn == []
        assert day_figures(store) == (900, 900 * 5010, 5010, 5010, 120)

    def test_many_threads_may_ask_at_once(self, store: Store) -> None:
        write(store, *scattered(1, 200, THAT_DAY))
        alone = [ask(store, rung, THAT_DAY) for rung in Resolution]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda rung: ask(store, rung, THAT_DAY), list(Resolution) * 5))
        assert all(answer.equals(alone[n % len(alone)]) for n, answer in enumerate(together))
