"""Law 6: of several devices one wins each minute, by priorities that change over time."""

from __future__ import annotations

import random

from pulsebase.model.timerange import (
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    TimeRange,
)
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import (
    Store,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, ask, rows_of, write
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


class DeviceLaws(LawsOfOneStore):
    """Law 6: of several devices one wins each minute, by priorities that change over time."""

    def test_the_lowest_priority_number_wins_its_minute(self, harness: Harness) -> None:
        write(
            harness.store,
            *(Reading(TEN, value, device) for value, device in ((9000, "aaa"), (8000, "device_b"), (7000, "device_a"))),
            *(Reading(TEN + MINUTE_US, value, device) for value, device in ((9100, "aaa"), (8100, "device_b"))),
            Reading(TEN + 2 * MINUTE_US, 9200, "aaa"),
        )
        for store in states(harness):
            assert raw(store) == [
                (0, 7000, "device_a"),
                (MINUTE_US, 8100, "device_b"),
                (2 * MINUTE_US, 9200, "aaa"),
            ]
            assert [row[6] for row in rows_of(ask(store, MINUTE, THAT_DAY))] == ["device_a", "device_b", "aaa"]
            assert [row[6] for row in rows_of(ask(store, SECOND, THAT_DAY))] == ["device_a", "device_b", "aaa"]
            assert day_figures(store) == (3, 24300, 7000, 9200, 3)

    def test_a_winner_hides_the_others_for_the_whole_minute_only(self, harness: Harness) -> None:
        others = [Reading(TEN + n * SECOND_US, 9000, "device_b") for n in (-1, 0, 29, 31, 59, 60)]
        write(harness.store, *others, Reading(TEN + 30 * SECOND_US, 7000))
        for store in states(harness):
            assert raw(store) == [
                (-SECOND_US, 9000, "device_b"),
                (30 * SECOND_US, 7000, "device_a"),
                (60 * SECOND_US, 9000, "device_b"),
            ]
            assert day_figures(store) == (3, 25000, 7000, 9000, 3)

    @settled_or_not
    def test_losers_stay_stored(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 9000, "device_b"))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + 1, 7000))
        for store in states(harness):
            assert sorted(row[3] for row in harness.back_door()) == [7000, 9000]
            assert values_by_device(store) == {"device_a": [7000], "device_b": [9000]}
            assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    def test_the_winner_is_known_before_the_range_is_cut(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN + 10 * SECOND_US, 9000, "device_b"), Reading(TEN + 50 * SECOND_US, 7000))
        for store in states(harness):
            assert raw(store, TimeRange(TEN, TEN + 30 * SECOND_US)) == []
            assert rows_of(ask(store, SECOND, TimeRange(TEN, TEN + 30 * SECOND_US))) == []
            assert raw(store, TimeRange(TEN + 40 * SECOND_US, TEN + MINUTE_US)) == [(50 * SECOND_US, 7000, "device_a")]

    def test_ties_go_to_the_smallest_device_id_by_bytes(self, harness: Harness) -> None:
        ordered = ["10", "9", "Zebra", "_x", "a-10", "a-9", "a.1", "aB", "ab"]
        for n in range(len(ordered)):
            contenders = ordered[n:]
            random.Random(n).shuffle(contenders)
            write(harness.store, *(Reading(TEN + n * MINUTE_US, 7000 + n, device) for device in contenders))
        for store in states(harness):
            assert [device for _, _, device in raw(store)] == ordered

    def test_ties_between_ranked_devices_go_by_bytes_too(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "Strap"), Reading(TEN, 8000, "device_b"))
        harness.store.put_priority(DevicePriority("ann", "device_b", 1))
        harness.store.put_priority(DevicePriority("ann", "Strap", 1))
        for store in states(harness):
            assert raw(store) == [(0, 9000, "Strap")]

    @settled_or_not
    def test_a_changed_priority_changes_every_rung_at_once(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"), Reading(TEN + 1, 9100, "device_b"))
        if settled:
            harness.settle()
        assert day_figures(harness.store) == (1, 7000, 7000, 7000, 1)
        harness.store.put_priority(DevicePriority("ann", "device_b", 0))
        for store in states(harness):
            assert raw(store) == [(0, 9000, "device_b"), (1, 9100, "device_b")]
            assert figures(store, HOUR) == [("2024-01-15T10:00:00Z", 2, 18100, 9000, 9100, 1)]
            assert day_figures(store) == (2, 18100, 9000, 9100, 1)

    @settled_or_not
    def test_a_priority_holds_from_its_instant_until_the_next(self, harness: Harness, settled: bool) -> None:
        for hour in range(4):
            time_us = TEN + hour * HOUR_US
            write(harness.store, Reading(time_us, 7000 + hour), Reading(time_us, 9000 + hour, "device_b"))
        if settled:
            harness.settle()
        # Not in the order of time, and the middle one is replaced.
        harness.store.put_priority(DevicePriority("ann", "device_b", 5, TEN + 3 * HOUR_US))
        harness.store.put_priority(DevicePriority("ann", "device_b", 7, TEN + HOUR_US))
        harness.store.put_priority(DevicePriority("ann", "device_b", 0, TEN + HOUR_US))
        for store in states(harness):
            assert [value for _, value, _ in raw(store)] == [7000, 9001, 9002, 7003]
            assert [row[2] for row in figures(store, HOUR)] == [7000, 9001, 9002, 7003]
            assert day_figures(store) == (4, 32006, 7000, 9002, 4)

    def test_the_priority_at_the_start_of_the_minute_decides(self, harness: Harness) -> None:
        write(
            harness.store,
            *(
                Reading(TEN + n * MINUTE_US + 59 * SECOND_US, value + n, device)
                for n in range(3)
                for value, device in ((7000, "device_a"), (9000, "device_b"))
            ),
        )
        harness.store.put_priority(DevicePriority("ann", "device_b", 0, TEN + 1))
        for store in states(harness):
            assert [value for _, value, _ in raw(store)] == [7000, 9001, 9002]
            assert day_figures(store) == (3, 25003, 7000, 9002, 3)
        harness.store.put_priority(DevicePriority("ann", "device_b", 3, TEN + 2 * MINUTE_US))
        for store in states(harness):
            assert [value for _, value, _ in raw(store)] == [7000, 9001, 7002]
            assert figures(store, HOUR) == [("2024-01-15T10:00:00Z", 3, 23003, 7000, 9001, 3)]
            assert day_figures(store) == (3, 23003, 7000, 9001, 3)

    @settled_or_not
    def test_a_priority_taken_back_is_the_default_again(self, harness: Harness, settled: bool) -> None:
        for hour in range(3):
            time_us = TEN + hour * HOUR_US
            write(harness.store, Reading(time_us, 7000 + hour), Reading(time_us, 9000 + hour, "device_b"))
        if settled:
            harness.settle()
        harness.store.put_priority(DevicePriority("ann", "device_a", 50, TEN + HOUR_US))
        harness.store.put_priority(DevicePriority("ann", "device_a", None, TEN + 2 * HOUR_US))
        for store in states(harness):
            assert [value for _, value, _ in raw(store)] == [7000, 9001, 7002]
            assert day_figures(store) == (3, 23003, 7000, 9001, 3)

    def test_a_priority_is_of_one_person(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        harness.store.put_priority(DevicePriority("bob", "device_b", 0))
        for store in states(harness):
            assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    def test_priorities_come_back_by_device_then_time(self, harness: Harness) -> None:
        entries = [
            DevicePriority("ann", "Zed", None, 0),
            DevicePriority("ann", "a-10", 2, 5),
            DevicePriority("ann", "a-9", 3, TEN),
            DevicePriority("ann", "a-9", 1, TEN + 1),
        ]
        for entry in (entries[3], entries[1], DevicePriority("ann", "a-9", 9, TEN), entries[0], entries[2]):
            harness.store.put_priority(entry)
        harness.store.put_priority(DevicePriority("bob", "a-9", 4))
        for store in states(harness):
            assert store.priorities("ann") == entries
            assert store.priorities("nobody") == []

    @settled_or_not
    def test_priorities_taken_back_leave_the_default_at_all_times(self, harness: Harness, settled: bool) -> None:
        for hour in range(2):
            time_us = TEN + hour * HOUR_US
            write(harness.store, Reading(time_us, 7000 + hour), Reading(time_us, 9000 + hour, "device_b"))
        if settled:
            harness.settle()
        for valid_from_us, priority in ((0, 0), (TEN + HOUR_US, None), (TEN + HOUR_US + 1, 5)):
            harness.store.put_priority(DevicePriority("ann", "device_b", priority, valid_from_us))
        kept = [DevicePriority("ann", "device_a", 1, TEN), DevicePriority("bob", "device_b", 3)]
        for entry in kept:
            harness.store.put_priority(entry)
        assert day_figures(harness.store) == (2, 16001, 7001, 9000, 2)
        assert harness.store.remove_priorities("ann", "device_b") == 3
        for store in states(harness):
            assert raw(store) == [(0, 7000, "device_a"), (HOUR_US, 7001, "device_a")]
            assert day_figures(store) == (2, 14001, 7000, 7001, 2)
            assert [*store.priorities("ann"), *store.priorities("bob")] == kept

    def test_taking_back_what_was_never_set_changes_nothing(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        assert harness.store.remove_priorities("ann", "device_a") == 0
        assert harness.store.remove_priorities("ann", "no_such_device") == 0
        assert harness.store.remove_priorities("nobody", "device_a") == 0
        for store in states(harness):
            assert store.user("nobody") is None
            assert [device.device_id for device in store.devices("ann")] == ["device_a"]

    def test_a_priority_outlives_the_readings_and_makes_a_person_known(self, harness: Harness) -> None:
        harness.store.put_priority(DevicePriority("ann", "device_b", 0))
        assert harness.store.user("ann") == User("ann")
        write(harness.store, Reading(TEN, 7000))
        harness.store.delete("ann", ALWAYS)
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        for store in states(harness):
            assert raw(store) == [(0, 9000, "device_b")]

    @settled_or_not
    def test_a_device_without_a_counted_reading_never_wins(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000, confidence=0), Reading(TEN + 1, 9000, "device_b", 1))
        if settled:
            harness.settle()
        for store in states(harness):
            assert raw(store) == [(1, 9000, "device_b")]
            assert day_figures(store) == (1, 9000, 9000, 9000, 1)
        write(harness.store, Reading(TEN + 2, 7100, confidence=3))
        for store in states(harness):
            assert raw(store) == [(2, 7100, "device_a")]
            assert day_figures(store) == (1, 7100, 7100, 7100, 1)

    def test_a_device_alone_is_shown_where_it_lost_too(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN + 1, 9000, "device_b"), Reading(TEN + 2, 1, "device_b", 0))
        for store in states(harness):
            assert raw(store, device_id="device_b") == [(1, 9000, "device_b")]
            assert day_figures(store, device_id="device_b") == (1, 9000, 9000, 9000, 1)
            assert raw(store, device_id="device_a") == [(0, 7000, "device_a")]

    def test_all_readings_of_all_devices_can_be_asked_for(self, harness: Harness) -> None:
        write(
            harness.store,
            Reading(TEN + 1, 5000, "strap", 0),
            Reading(TEN, 9000, "device_b"),
            Reading(TEN, 7000),
            Reading(TEN, 8000, "Strap"),
            Reading(TEN + MINUTE_US, 9100, "device_b"),
        )
        for store in states(harness):
            assert raw(store, include_all=True) == [
                (0, 8000, "Strap"),
                (0, 7000, "device_a"),
                (0, 9000, "device_b"),
                (1, 5000, "strap"),
                (MINUTE_US, 9100, "device_b"),
            ]
            assert day_figures(store, include_all=True) == (4, 33100, 7000, 9100, 2)
            minutes = rows_of(ask(store, MINUTE, THAT_DAY, include_all=True))
            assert [row[1:] for row in minutes] == [
                (3, 24000, 7000, 9000, 1, None),
                (1, 9100, 9100, 9100, 1, None),
            ]

    def test_all_readings_of_one_device_can_be_asked_for(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"), Reading(TEN + 1, 9100, "device_b", 0))
        for store in states(harness):
            assert raw(store, device_id="device_b", include_all=True) == [(0, 9000, "device_b"), (1, 9100, "device_b")]
            assert figures(store, DAY, device_id="device_b", include_all=True) == [
                ("2024-01-15T00:00:00Z", 1, 9000, 9000, 9000, 1)
            ]

    def test_a_bucket_longer_than_a_minute_names_no_device(self, store: Store) -> None:
        write(store, Reading(TEN, 7000))
        for rung in (QUARTER, HOUR, DAY):
            assert ask(store, rung, THAT_DAY)["device_id"].to_pylist() == [None], rung
            assert ask(store, rung, THAT_DAY, device_id="device_a")["device_id"].to_pylist() == [None], rung

    def test_a_bucket_up_to_a_minute_names_its_device_unless_all_are_asked_for(self, store: Store) -> None:
        write(store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        for rung in (SECOND, MINUTE):
            assert ask(store, rung, THAT_DAY)["device_id"].to_pylist() == ["device_a"], rung
            assert ask(store, rung, THAT_DAY, device_id="device_b")["device_id"].to_pylist() == ["device_b"], rung
            assert ask(store, rung, THAT_DAY, include_all=True)["device_id"].to_pylist() == [None], rung
