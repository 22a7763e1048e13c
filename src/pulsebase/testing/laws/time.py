"""Laws 4 and 8: half-open ranges, microseconds, and civil days of any zone."""

from __future__ import annotations

from pulsebase.model.timerange import (
    HOUR_US,
    MAX_US,
    MINUTE_US,
    SECOND_US,
    TimeRange,
)
from pulsebase.stores.contract import (
    SeriesQuery,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, ask, at, last_time_us, metric_under_test, rows_of, span, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import (
    ALWAYS,
    BUCKETED,
    DAY,
    HOUR,
    RAW,
    TEN,
    assert_rungs_follow_from_raw,
    figures,
    raw,
    scattered,
    states,
    states_and,
)

#: The starts of two days in a row of a zone, and the end of the second.
TURNS = [
    ("Europe/Berlin", "2024-03-30T23:00", "2024-03-31T22:00", "2024-04-01T22:00"),
    ("Europe/Berlin", "2024-10-26T22:00", "2024-10-27T23:00", "2024-10-28T23:00"),
    ("Asia/Kolkata", "2024-01-14T18:30", "2024-01-15T18:30", "2024-01-16T18:30"),
    ("Asia/Kathmandu", "2024-01-14T18:15", "2024-01-15T18:15", "2024-01-16T18:15"),
    ("Australia/Lord_Howe", "2024-04-06T13:00", "2024-04-07T13:30", "2024-04-08T13:30"),
]
ZONES = ["Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"]


class TimeLaws(LawsOfOneStore):
    """Laws 4 and 8: half-open ranges, microseconds, and civil days of any zone."""

    def test_a_range_holds_its_start_and_not_its_end(self, harness: Harness) -> None:
        write(harness.store, *(Reading(TEN + n, 7000 + n) for n in range(-1, 3)))
        for store in states(harness):
            assert raw(store, TimeRange(TEN, TEN + 2)) == [(0, 7000, "device_a"), (1, 7001, "device_a")]

    def test_an_instant_belongs_to_the_bucket_that_starts_at_or_before_it(self, harness: Harness) -> None:
        """Each rung has a person of its own, with readings at the edges of its buckets."""
        start = at("2024-01-15")
        edges = {
            rung: [-1, 0, 1, rung.step_us - 1, rung.step_us, 2 * rung.step_us - 1, 2 * rung.step_us]
            for rung in BUCKETED
        }
        for rung, offsets in edges.items():
            given = [Reading(start + offset, 7000 + n, user_id=f"of_{rung.value}") for n, offset in enumerate(offsets)]
            write(harness.store, *given)
        for store, rung in states_and(harness, BUCKETED):
            step = rung.step_us
            rows = rows_of(ask(store, rung, TimeRange(start, start + 2 * step), user_id=f"of_{rung.value}"))
            assert [(row[0] - start, *row[1:5]) for row in rows] == [
                (0, 3, 7001 + 7002 + 7003, 7001, 7003),
                (step, 2, 7004 + 7005, 7004, 7005),
            ], rung

    def test_the_first_and_the_last_instant_can_be_stored(self, harness: Harness) -> None:
        write(harness.store, Reading(0, 7000), Reading(MAX_US - 1, 8000))
        for store in states(harness):
            assert [row[:2] for row in rows_of(ask(store, RAW, ALWAYS))] == [(0, 7000), (MAX_US - 1, 8000)]
            assert figures(store, HOUR, TimeRange(0, 1)) == [("1970-01-01T00:00:00Z", 1, 7000, 7000, 7000, 1)]
            assert last_time_us(store, "ann", "device_a") == MAX_US - 1

    def test_days_are_civil_days_of_the_zone(self, harness: Harness) -> None:
        """Test days of 23, 25, 24 and 24.5 hours, and offsets that are not whole hours; each case has a person."""
        cases = {f"person_{n}": (zone, [at(start) for start in starts]) for n, (zone, *starts) in enumerate(TURNS)}
        for user_id, (_, (first, second, end)) in cases.items():
            edges = [first - 1, first, second - 1, second, end - 1, end]
            write(harness.store, *(Reading(at_us, 7000 + n, user_id=user_id) for n, at_us in enumerate(edges)))
        for store, (user_id, (zone, (first, second, end))) in states_and(harness, cases.items()):
            asked = TimeRange(first + HOUR_US, end - HOUR_US)
            assert rows_of(ask(store, DAY, asked, zone=zone, user_id=user_id)) == [
                (first, 2, 14003, 7001, 7002, 2, None),
                (second, 2, 14007, 7003, 7004, 2, None),
            ], zone

    def test_local_days_equal_a_recomputation_from_raw(self, harness: Harness) -> None:
        fortnight = span("2024-03-28", "2024-04-11")
        write(harness.store, *scattered(8, 200, fortnight))
        harness.settle()
        write(harness.store, *scattered(9, 200, fortnight))
        for store in states(harness):
            assert_rungs_follow_from_raw(store, fortnight)
            assert_rungs_follow_from_raw(store, fortnight, include_all=True)
            for zone in ZONES:  # of which days alone depend
                assert_rungs_follow_from_raw(store, fortnight, [DAY], zone=zone)
                assert_rungs_follow_from_raw(store, fortnight, [DAY], zone=zone, include_all=True)

    def test_days_may_start_inside_a_minute(self, harness: Harness) -> None:
        """Offsets before 1972 had odd seconds. Devices are still resolved by whole UTC minutes."""
        seconds = {"device_b": (10, 40), "device_a": (50,)}
        write(
            harness.store,
            *(Reading(TEN + second * SECOND_US, 7000, device) for device in seconds for second in seconds[device]),
            *(Reading(TEN + MINUTE_US + second * SECOND_US, 7000 + second) for second in (0, 29, 30, 59)),
        )
        starts = [TEN + 30 * SECOND_US, TEN + 90 * SECOND_US, TEN + 110 * SECOND_US]
        query = SeriesQuery("ann", TimeRange(starts[0], starts[-1]), DAY, day_starts=starts, metric=metric_under_test())
        for store in states(harness):
            assert rows_of(store.series(query)) == [
                (starts[0], 3, 21029, 7000, 7029, 2, None),
                (starts[1], 1, 7030, 7030, 7030, 1, None),
            ]
