"""Totals of many people, and hours that the range cuts."""

from __future__ import annotations

import random
from datetime import date

from pulsebase.model.timerange import (
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    TimeRange,
)
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import (
    TOTALS_SCHEMA,
    Store,
    TotalsQuery,
)
from pulsebase.testing.harness import (
    Choices,
    Harness,
    ask,
    ask_hours,
    at,
    metric_under_test,
    rows_of,
    span,
    totals,
    write,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import RAW, TEN, THAT_DAY, bucket_of, scattered, settled_or_not, states, states_and


class TotalsLaws(LawsOfOneStore):
    """Totals of many people, and hours that the range cuts."""

    @settled_or_not
    def test_totals_are_of_the_minutes_winners_inside_the_exact_range(self, harness: Harness, settled: bool) -> None:
        """The device of the first minute is chosen before the range cuts off a part of that minute."""
        first = [
            Reading(TEN, 7000, "device_a"),
            Reading(TEN + 30 * SECOND_US, 9000, "device_b"),
            Reading(TEN + MINUTE_US, 8000, "device_b", 0),
            Reading(TEN + MINUTE_US + 1, 8001, "strap"),
            Reading(TEN + 25 * HOUR_US, 6000, "device_b"),
            Reading(TEN + 3 * 24 * HOUR_US, 6500),
            Reading(TEN + 3 * 24 * HOUR_US + 1, 6600),
        ]
        write(harness.store, *first)
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + HOUR_US // 2, 7100), Reading(TEN + 25 * HOUR_US, 6100, "device_b"))
        cut = TimeRange(TEN + 1, TEN + 3 * 24 * HOUR_US + 1)
        for store in states(harness):
            assert totals(store, cut) == [("ann", 4, 8001 + 7100 + 6100 + 6500, 4)]
            assert totals(store, TimeRange(TEN + 1, TEN + MINUTE_US)) == []
            assert totals(store, TimeRange(TEN, TEN + 1)) == [("ann", 1, 7000, 1)]

    def test_totals_equal_a_recomputation_from_raw(self, harness: Harness) -> None:
        """Test ranges cut anywhere, with late, corrected and deleted readings, before and after background work."""
        days = span("2024-01-10", "2024-01-20")
        dice = random.Random(21)
        for seed, user_id in enumerate(("ann", "Bob", "a-9")):
            write(harness.store, *(each._replace(user_id=user_id) for each in scattered(seed, 200, days)))
        harness.settle()
        write(harness.store, *scattered(8, 100, days))
        harness.store.delete("Bob", span("2024-01-12T03:30:00", "2024-01-13T05:45:30"))
        harness.store.put_priority(DevicePriority("a-9", "strap", 0, at("2024-01-15T10:30:00")))
        for store in states(harness):
            for _ in range(12):
                start_us, end_us = sorted(dice.sample(range(days.start_us, days.end_us, HOUR_US // 8), 2))
                cut = TimeRange(start_us + dice.choice([0, 0, 1, -1]), end_us + dice.choice([0, 0, 1, -1]))
                expected = []
                for user_id in ("Bob", "a-9", "ann"):
                    rows = [row for row in rows_of(ask(store, RAW, cut, user_id=user_id)) if row[3] != 0]
                    minutes = {row[0] // MINUTE_US for row in rows}
                    if rows:
                        expected.append((user_id, len(rows), sum(row[1] for row in rows), len(minutes)))
                assert totals(store, cut) == expected, cut

    def test_totals_asked_again_follow_every_change(self, harness: Harness) -> None:
        """A cached answer never survives a write, a correction, a deletion or a changed priority."""
        store = harness.store
        write(store, Reading(TEN, 7000), Reading(TEN + SECOND_US, 7100, "device_b"))
        harness.settle()
        write(store, Reading(TEN + 2 * SECOND_US, 7200))
        assert totals(store, THAT_DAY) == [("ann", 2, 14200, 1)]
        write(store, Reading(TEN + 2 * SECOND_US, 7300))
        assert totals(store, THAT_DAY) == [("ann", 2, 14300, 1)]
        store.put_priority(DevicePriority("ann", "device_b", 0))
        assert totals(store, THAT_DAY) == [("ann", 1, 7100, 1)]
        store.delete("ann", THAT_DAY, "device_b")
        assert totals(store, THAT_DAY) == [("ann", 2, 14300, 1)]
        harness.settle()
        assert totals(store, THAT_DAY) == [("ann", 2, 14300, 1)]
        write(store, Reading(TEN + MINUTE_US, 7400))
        assert totals(store, THAT_DAY) == [("ann", 3, 21700, 2)]
        store.delete("ann", THAT_DAY)
        assert totals(store, THAT_DAY) == []

    def test_totals_are_of_the_people_asked_for(self, harness: Harness) -> None:
        people = [
            User("ann", gender="female", birth_date=date(1992, 2, 29)),
            User("Bob", gender="male", birth_date=date(1992, 3, 1)),
            User("cy", gender="other"),
            User("dee", birth_date=date(1950, 1, 1)),
        ]
        for person in people:
            harness.store.put_user(person)
        ids = ["Bob", "ann", "cy", "dee", "eve"]
        write(harness.store, *(Reading(TEN, 7000 + n, user_id=user_id) for n, user_id in enumerate(ids)))
        harness.store.put_user(User("fay", gender="female"))

        def found(
            store: Store, genders: list[str] | None, born_by: date | None, born_after: date | None = None
        ) -> list[str]:
            return [row[0] for row in totals(store, THAT_DAY, genders, born_by, born_after=born_after)]

        for store in states(harness):
            assert found(store, None, None) == ids
            assert found(store, ["female"], None) == ["ann"]
            assert found(store, ["other", "male"], None) == ["Bob", "cy"]
            assert found(store, [], None) == []
            assert found(store, None, date(1992, 2, 29)) == ["ann", "dee"]
            assert found(store, None, date(1992, 2, 28)) == ["dee"]
            assert found(store, ["male"], date(1992, 3, 1)) == ["Bob"]
            assert found(store, None, None, date(1950, 1, 1)) == ["Bob", "ann"]
            assert found(store, None, None, date(1949, 12, 31)) == ["Bob", "ann", "dee"]
            assert found(store, None, date(1992, 2, 29), date(1992, 2, 28)) == ["ann"]
            assert found(store, ["female"], None, date(1992, 2, 29)) == []

    def test_totals_of_nothing_have_the_full_schema(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000, confidence=0))
        for store in states(harness):
            for asked in (THAT_DAY, TimeRange(TEN, TEN), span("1980-01-01", "1980-01-01T00:30:00")):
                answer = store.totals(TotalsQuery(asked, metric=metric_under_test()))
                assert (answer.schema, answer.num_rows) == (TOTALS_SCHEMA, 0)

    @settled_or_not
    def test_an_hour_that_the_range_cuts_counts_what_is_inside(self, harness: Harness, settled: bool) -> None:
        days = span("2024-01-15T08:00:00", "2024-01-15T14:00:00")
        write(harness.store, *scattered(31, 150, days))
        if settled:
            harness.settle()
            write(harness.store, *scattered(32, 20, days))
        cuts = [(1, 1), (90, 31), (-1, HOUR_US + 1), (MINUTE_US // 2, -MINUTE_US // 2), (HOUR_US // 4, -5 * HOUR_US)]
        cuts += [(HOUR_US // 4, -HOUR_US * 11 // 2), (HOUR_US // 2, -HOUR_US * 9 // 2)]
        every_way: list[Choices] = [{}, {"device_id": "device_b"}, {"include_all": True}]
        for store, choices in states_and(harness, every_way):
            for after_us, before_us in cuts:
                cut = TimeRange(days.start_us + after_us, days.end_us + before_us)
                groups: dict[int, list[tuple[int, int, str]]] = {}
                for time_us, value, device_id, confidence in rows_of(ask(store, RAW, cut, **choices)):
                    if confidence != 0:
                        start_us = time_us // HOUR_US * HOUR_US
                        groups.setdefault(start_us, []).append((time_us, value, device_id))
                expected = [bucket_of(start_us, rows, False) for start_us, rows in sorted(groups.items())]
                assert rows_of(ask_hours(store, cut, **choices)) == expected, (cut, choices)
