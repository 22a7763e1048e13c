"""Laws 2 and 5: late, corrected, repeated and deleted readings change every answer they should, at once."""

from __future__ import annotations

import random

from pulsebase.model.timerange import (
    HOUR_US,
    MAX_US,
    MINUTE_US,
    SECOND_US,
    TimeRange,
)
from pulsebase.stores.contract import (
    Store,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import (
    ALWAYS,
    DAY,
    HOUR,
    MINUTE,
    QUARTER,
    SECOND,
    TEN,
    THAT_DAY,
    day_figures,
    figures,
    raw,
    settled_or_not,
    states,
    values_by_device,
)


class LateDataLaws(LawsOfOneStore):
    """Laws 2 and 5: late, corrected, repeated and deleted readings change every answer they should, at once."""

    @settled_or_not
    def test_a_late_reading_changes_every_rung_at_once(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 6000), Reading(TEN + 20 * MINUTE_US, 8000))
        if settled:
            harness.settle()
        assert day_figures(harness.store) == (2, 14000, 6000, 8000, 2)
        write(harness.store, Reading(TEN + 30 * SECOND_US, 9100), Reading(TEN - 1, 5900))
        for store in states(harness):
            assert raw(store) == [
                (-1, 5900, "device_a"),
                (0, 6000, "device_a"),
                (30 * SECOND_US, 9100, "device_a"),
                (20 * MINUTE_US, 8000, "device_a"),
            ]
            assert figures(store, SECOND) == [
                ("2024-01-15T09:59:59Z", 1, 5900, 5900, 5900, 1),
                ("2024-01-15T10:00:00Z", 1, 6000, 6000, 6000, 1),
                ("2024-01-15T10:00:30Z", 1, 9100, 9100, 9100, 1),
                ("2024-01-15T10:20:00Z", 1, 8000, 8000, 8000, 1),
            ]
            assert figures(store, MINUTE) == [
                ("2024-01-15T09:59:00Z", 1, 5900, 5900, 5900, 1),
                ("2024-01-15T10:00:00Z", 2, 15100, 6000, 9100, 1),
                ("2024-01-15T10:20:00Z", 1, 8000, 8000, 8000, 1),
            ]
            assert figures(store, QUARTER) == [
                ("2024-01-15T09:45:00Z", 1, 5900, 5900, 5900, 1),
                ("2024-01-15T10:00:00Z", 2, 15100, 6000, 9100, 1),
                ("2024-01-15T10:15:00Z", 1, 8000, 8000, 8000, 1),
            ]
            assert figures(store, HOUR) == [
                ("2024-01-15T09:00:00Z", 1, 5900, 5900, 5900, 1),
                ("2024-01-15T10:00:00Z", 3, 23100, 6000, 9100, 2),
            ]
            assert figures(store, DAY) == [("2024-01-15T00:00:00Z", 4, 29000, 5900, 9100, 3)]

    @settled_or_not
    def test_the_order_of_arrival_does_not_matter(self, harness: Harness, settled: bool) -> None:
        readings = [Reading(TEN + n * 7 * MINUTE_US, 6000 + n) for n in range(40)]
        for reading in random.Random(3).sample(readings, len(readings)):
            write(harness.store, reading)
            if settled and reading.value % 10 == 0:
                harness.settle()
        for store in states(harness):
            assert raw(store) == [(reading.time_us - TEN, reading.value, "device_a") for reading in readings]
            assert day_figures(store) == (40, 40 * 6000 + sum(range(40)), 6000, 6039, 40)

    @settled_or_not
    def test_a_corrected_reading_takes_its_old_value_out_of_every_rung(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 3000), Reading(TEN + 1, 22000), Reading(TEN + 2, 7000))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 7100), Reading(TEN + 1, 7200))
        for store in states(harness):
            assert day_figures(store) == (3, 21300, 7000, 7200, 1)

    @settled_or_not
    def test_a_correction_may_make_a_reading_uncounted_or_counted(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 9000), Reading(TEN + HOUR_US, 5000, confidence=0))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 9000, confidence=0), Reading(TEN + HOUR_US, 5000, confidence=1))
        for store in states(harness):
            assert figures(store, HOUR) == [("2024-01-15T11:00:00Z", 1, 5000, 5000, 5000, 1)]
            assert day_figures(store) == (1, 5000, 5000, 5000, 1)

    @settled_or_not
    def test_deleted_readings_leave_every_rung(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 6000), Reading(TEN + MINUTE_US, 9000), Reading(TEN + HOUR_US, 8000))
        if settled:
            harness.settle()
        assert harness.store.delete("ann", TimeRange(TEN + MINUTE_US, TEN + 2 * HOUR_US)) == 2
        for store in states(harness):
            assert [row[3] for row in harness.back_door()] == [6000]
            assert raw(store) == [(0, 6000, "device_a")]
            assert figures(store, HOUR) == [("2024-01-15T10:00:00Z", 1, 6000, 6000, 6000, 1)]
            assert day_figures(store) == (1, 6000, 6000, 6000, 1)

    @settled_or_not
    def test_a_deleted_reading_may_be_written_again(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 6000))
        if settled:
            harness.settle()
        assert harness.store.delete("ann", THAT_DAY) == 1
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 9000))
        for store in states(harness):
            assert [row[3] for row in harness.back_door()] == [9000]
            assert day_figures(store) == (1, 9000, 9000, 9000, 1)

    @settled_or_not
    def test_deletion_counts_each_stored_reading_once(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 6000), Reading(TEN, 6100), Reading(TEN + 1, 6000, confidence=0))
        write(harness.store, Reading(TEN, 6200), Reading(TEN, 7000, "device_b"))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + 1, 6300, confidence=0))
        assert harness.store.delete("ann", THAT_DAY) == 3
        assert harness.store.delete("ann", THAT_DAY) == 0
        for _ in states(harness):
            assert harness.back_door() == []

    @settled_or_not
    def test_deletion_is_half_open_and_keeps_to_its_person_and_device(self, harness: Harness, settled: bool) -> None:
        write(
            harness.store,
            *(Reading(TEN + n, 7000 + n, device) for n in range(4) for device in ("device_a", "device_b")),
            Reading(TEN + 1, 8000, user_id="bob"),
        )
        if settled:
            harness.settle()
        assert harness.store.delete("ann", TimeRange(TEN + 1, TEN + 3), "device_b") == 2
        assert harness.store.delete("ann", TimeRange(TEN, TEN + 1)) == 2
        for store in states(harness):
            assert values_by_device(store) == {"device_a": [7001, 7002, 7003], "device_b": [7003]}
            assert raw(store, user_id="bob") == [(1, 8000, "device_a")]

    def test_deleting_what_is_not_there_counts_nothing(self, store: Store) -> None:
        write(store, Reading(TEN, 7000))
        assert store.delete("nobody", ALWAYS) == 0
        assert store.delete("ann", ALWAYS, "no_such_device") == 0
        assert store.delete("ann", TimeRange(TEN + 1, MAX_US)) == 0
        assert store.user("nobody") is None
        assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    @settled_or_not
    def test_a_deleted_winner_gives_way_to_the_next_device(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN + 1, 9000, "device_b"))
        if settled:
            harness.settle()
        assert harness.store.delete("ann", THAT_DAY, "device_a") == 1
        for store in states(harness):
            assert raw(store) == [(1, 9000, "device_b")]
            assert day_figures(store) == (1, 9000, 9000, 9000, 1)
