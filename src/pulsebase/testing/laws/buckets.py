"""Laws 5 and 7: buckets are exact, and a reading of confidence 0 does not count."""

from __future__ import annotations

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import (
    DAY_US,
    SECOND_US,
)
from pulsebase.testing.harness import Choices, Harness, ask, metric_under_test, span, write
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import (
    DAY,
    HOUR,
    MINUTE,
    RAW,
    TEN,
    THAT_DAY,
    assert_rungs_follow_from_raw,
    day_figures,
    figures,
    scattered,
    states,
)


class BucketLaws(LawsOfOneStore):
    """Laws 5 and 7: buckets are exact, and a reading of confidence 0 does not count."""

    def test_a_bucket_carries_count_sum_min_max_and_minutes(self, harness: Harness) -> None:
        seconds = [(0, 6001), (1, 6002), (59, 22000), (60, 3000), (125, 7777)]
        write(harness.store, *(Reading(TEN + second * SECOND_US, value) for second, value in seconds))
        for store in states(harness):
            assert figures(store, MINUTE) == [
                ("2024-01-15T10:00:00Z", 3, 34003, 6001, 22000, 1),
                ("2024-01-15T10:01:00Z", 1, 3000, 3000, 3000, 1),
                ("2024-01-15T10:02:00Z", 1, 7777, 7777, 7777, 1),
            ]
            assert figures(store, HOUR) == [("2024-01-15T10:00:00Z", 5, 44780, 3000, 22000, 3)]
            assert day_figures(store) == (5, 44780, 3000, 22000, 3)

    def test_sums_outgrow_small_integers(self, harness: Harness) -> None:
        count = 100_000  # at 220 bpm, more hundredths than 32 bits hold
        times_us = range(TEN, TEN + count * 10_000, 10_000)
        batch = ReadingBatch.of_columns(
            ["ann"] * count, ["watch"] * count, times_us, [22000] * count, None, 1, metric_under_test()
        )
        harness.store.register_origin("test", "laws")
        harness.store.write([batch])
        for store in states(harness):
            assert figures(store, DAY) == [("2024-01-15T00:00:00Z", 100_000, 2_200_000_000, 22000, 22000, 17)]

    def test_every_rung_equals_a_recomputation_from_raw(self, harness: Harness) -> None:
        week = span("2024-03-28", "2024-04-02")
        for part in range(4):
            write(harness.store, *scattered(part, 150, week))
            if part == 1:
                harness.settle()
            harness.store.delete("ann", span(f"2024-03-29T0{part}:00:00", f"2024-03-29T0{part}:50:00"))
        for store in states(harness):
            for asked in (week, span("2024-03-29T00:30:00", "2024-03-31T13:07:30.5")):
                assert_rungs_follow_from_raw(store, asked)
                assert_rungs_follow_from_raw(store, asked, include_all=True)
                assert_rungs_follow_from_raw(store, asked, device_id="strap")

    def test_a_check_finds_a_store_sound(self, harness: Harness) -> None:
        write(harness.store, *scattered(5, 300, THAT_DAY))
        harness.settle()
        harness.store.delete("ann", span("2024-01-15T03:00:00", "2024-01-15T05:30:00"))
        write(harness.store, *scattered(6, 50, THAT_DAY))
        for store in states(harness):
            report = store.check()
            assert report.problems == ()
            assert report.readings == len(harness.back_door()) == store.stored().num_rows

    def test_confidence_is_kept_and_zero_does_not_count(self, harness: Harness) -> None:
        confidences = [0, 1, 2, 3, None]
        write(harness.store, *(Reading(TEN + n, 7000 + n, "device_a", kept) for n, kept in enumerate(confidences)))
        for store in states(harness):
            assert [row[4] for row in sorted(harness.back_door())] == confidences
            assert ask(store, RAW, THAT_DAY, include_all=True)["confidence"].to_pylist() == confidences
            assert ask(store, RAW, THAT_DAY)["confidence"].to_pylist() == [1, 2, 3, None]
            assert day_figures(store) == (4, 28010, 7001, 7004, 1)
            assert day_figures(store, include_all=True) == (4, 28010, 7001, 7004, 1)

    def test_a_bucket_without_a_counted_reading_is_left_out(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000, confidence=0), Reading(TEN + DAY_US, 7100))
        days = span("2024-01-15", "2024-01-17")
        for store in states(harness):
            every_way: list[Choices] = [{}, {"include_all": True}, {"device_id": "device_a"}]
            for choices in every_way:
                assert_rungs_follow_from_raw(store, days, **choices)
                assert len(figures(store, DAY, days, **choices)) == 1
