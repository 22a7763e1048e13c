"""Laws 4 and 8: half-open ranges, microseconds, and civil days of any zone."""

from __future__ import annotations

import pytest

from pulsebase.model.resolution import Resolution
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
    DAY,
    HOUR,
    RAW,
    TEN,
    assert_rungs_follow_from_raw,
    every_bucketed_rung,
    figures,
    raw,
    scattered,
    states,
)


class TimeLaws(LawsOfOneStore):
    """Laws 4 and 8: half-open ranges, microseconds, and civil days of any zone."""

    def test_a_range_holds_its_start_and_not_its_end(self, harness: Harness) -> None:
        write(harness.store, *(Reading(TEN + n, 7000 + n) for n in range(-1, 3)))
        for store in states(harness):
            assert raw(store, TimeRange(TEN, TEN + 2)) == [(0, 7000, "device_a"), (1, 7001, "device_a")]

    @every_bucketed_rung
    def test_an_instant_belongs_to_the_bucket_that_starts_at_or_before_it(
        self, harness: Harness, rung: Resolution
    ) -> None:
        start, step = at("2024-01-15"), rung.step_us
        offsets = [-1, 0, 1, step - 1, step, 2 * step - 1, 2 * step]
        write(harness.store, *(Reading(start + offset, 7000 + n) for n, offset in enumerate(offsets)))
        for store in states(harness):
            rows = rows_of(ask(store, rung, TimeRange(start, start + 2 * step)))
            assert [(row[0] - start, *row[1:5]) for row in rows] == [
                (0, 3, 7001 + 7002 + 7003, 7001, 7003),
                (step, 2, 7004 + 7005, 7004, 7005),
            ]

    def test_the_first_and_the_last_instant_can_be_stored(self, harness: Harness) -> None:
        write(harness.store, Reading(0, 7000), Reading(MAX_US - 1, 8000))
        for store in states(harness):
            assert [row[:2] for row in rows_of(ask(store, RAW, ALWAYS))] == [(0, 7000), (MAX_US - 1, 8000)]
            assert figures(store, HOUR, TimeRange(0, 1)) == [("1970-01-01T00:00:00Z", 1, 7000, 7000, 7000, 1)]
            assert last_time_us(store, "ann", "device_a") == MAX_US - 1

    @pytest.mark.parametrize(
        ("zone", "starts"),
        [
            ("Europe/Berlin", ("2024-03-30T23:00", "2024-03-31T22:00", "2024-04-01T22:00")),
            ("Europe/Berlin", ("2024-10-26T22:00", "2024-10-27T23:00", "2024-10-28T23:00")),
            ("Asia/Kolkata", ("2024-01-14T18:30", "2024-01-15T18:30", "2024-01-16T18:30")),
            ("Asia/Kathmandu", ("2024-01-14T18:15", "2024-01-15T18:15", "2024-01-16T18:15")),
            ("Australia/Lord_Howe", ("2024-04-06T13:00", "2024-04-07T13:30", "2024-04-08T13:30")),
        ],
    )
    def test_days_are_civil_days_of_the_zone(self, harness: Harness, zone: str, starts: tuple[str, str, str]) -> None:
        """Test days of 23, 25, 24 and 24.5 hours, and offsets that are not whole hours."""
        first, second, end = map(at, starts)
        edges = [first - 1, first, second - 1, second, end - 1, end]
        write(harness.store, *(Reading(time_us, 7000 + n) for n, time_us in enumerate(edges)))
        asked = TimeRange(first + HOUR_US, end - HOUR_US)
        for store in states(harness):
            assert rows_of(ask(store, DAY, asked, zone=zone)) == [
                (first, 2, 14003, 7001, 7002, 2, None),
                (second, 2, 14007, 7003, 7004, 2, None),
            ]

    @pytest.mark.parametrize(
        "zone", ["UTC", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"]
    )
    def test_local_days_equal_a_recomputation_from_raw(self, harness: Harness, zone: str) -> None:
        fortnight = span("2024-03-28", "2024-04-11")
        write(harness.store, *scattered(8, 200, fortnight))
        harness.settle()
        write(harness.store, *scattered(9, 200, fortnight))
        for store in states(harness):
            assert_rungs_follow_from_raw(store, fortnight, zone=zone)
            assert_rungs_follow_from_raw(store, fortnight, zone=zone, include_all=True)

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
