"""A removed person is gone, together with everything that was stored about them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from pulsebase.model.annotations import Annotation
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import (
    DAY_US,
    SECOND_US,
    TimeRange,
)
from pulsebase.model.users import DevicePriority, User, UserOverview
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, ask, last_time_us, rows_of, span, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import QUARTER, TEN, THAT_DAY, day_figures, raw, scattered, settled_or_not, states


class RemovalLaws(LawsOfOneStore):
    """A removed person is gone, together with everything that was stored about them."""

    @settled_or_not
    def test_a_removed_person_is_gone_with_all_there_was_of_them(self, harness: Harness, settled: bool) -> None:
        for user_id in ("ann", "bob"):
            harness.store.put_user(User(user_id, "Somebody", "other", date(1980, 2, 29), "UTC"))
            harness.store.put_summaries([DailySummary(user_id, date(2024, 1, 15), 55.0, "vendor")])
            harness.store.put_annotations([Annotation(user_id, "a", TEN, None, "fever")])
            harness.store.put_priority(DevicePriority(user_id, "device_b", 0))
            write(harness.store, Reading(TEN, 7000, user_id=user_id), Reading(TEN, 9000, "device_b", user_id=user_id))
        ask(harness.store, QUARTER, THAT_DAY)
        if settled:
            harness.settle()
        # One of these is written again, one never counts, one is deleted.
        write(harness.store, Reading(TEN, 7100), Reading(TEN + 1, 7000, "strap", 0), Reading(TEN + 2, 7000))
        harness.store.delete("ann", TimeRange(TEN + 2, TEN + 3))
        before = [harness.store.overview("bob"), harness.store.devices("bob"), harness.store.priorities("bob")]
        assert harness.store.remove_user("ann") == 3
        assert harness.store.remove_user("ann") == 0
        for store in states(harness):
            assert store.user("ann") is None
            assert store.overview("ann") is None
            assert store.devices("ann") == []
            assert store.priorities("ann") == []
            assert store.summaries("ann", date.min, date.max) == []
            assert store.annotations("ann") == []
            assert last_time_us(store, "ann", "device_a") is None
            for rung in Resolution:
                assert ask(store, rung, THAT_DAY, include_all=True).num_rows == 0
                assert ask(store, rung, THAT_DAY).num_rows == 0
            assert {row[0] for row in harness.back_door()} == {"bob"}
            assert [each.user.user_id for each in store.users("", 10, None)] == ["bob"]
            assert store.users("", 10, "") == store.users("", 10, None)
            assert store.stored().num_rows == 2
            assert [store.overview("bob"), store.devices("bob"), store.priorities("bob")] == before
            assert len(store.summaries("bob", date.min, date.max)) == 1
            assert len(store.annotations("bob")) == 1
            assert raw(store, user_id="bob") == [(0, 9000, "device_b")]
            report = store.check()
            assert (report.problems, report.readings) == ((), 2)

    @settled_or_not
    def test_after_a_removal_the_same_id_is_somebody_new(self, harness: Harness, settled: bool) -> None:
        harness.store.put_user(User("ann", "Ann"))
        harness.store.put_priority(DevicePriority("ann", "device_b", 0))
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"))
        if settled:
            harness.settle()
        for round_no in range(3):
            assert harness.store.remove_user("ann") == 2
            write(harness.store, Reading(TEN + 1, 7001 + round_no), Reading(TEN + 1, 9001, "device_b"))
            if settled:
                harness.settle()
        for store in states(harness):
            assert store.user("ann") == User("ann")
            assert store.overview("ann") == UserOverview(User("ann"), 2, TEN + 1, TEN + 1)
            assert store.priorities("ann") == []
            assert raw(store) == [(1, 7003, "device_a")]
            assert day_figures(store) == (1, 7003, 7003, 7003, 1)
            assert len(harness.back_door()) == 2

    def test_a_person_without_readings_can_be_removed_and_put_again(self, harness: Harness) -> None:
        harness.store.put_user(User("ann", "Ann"))
        assert harness.store.remove_user("ann") == 0
        assert harness.store.user("ann") is None
        harness.store.put_user(User("ann", "Anna"))
        for store in states(harness):
            assert [each.user for each in store.users("a", 10, None)] == [User("ann", "Anna")]

    def test_removing_nobody_removes_nothing(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        assert harness.store.remove_user("nobody") == 0
        for store in states(harness):
            assert store.user("nobody") is None
            assert day_figures(store) == (1, 7000, 7000, 7000, 1)

    @settled_or_not
    def test_a_scrub_changes_no_answer(self, harness: Harness, settled: bool) -> None:
        days = span("2024-01-15", "2024-01-19")
        write(
            harness.store, *scattered(31, 100, days), *(row._replace(user_id="bob") for row in scattered(32, 50, days))
        )
        ask(harness.store, QUARTER, days)
        if settled:
            harness.settle()
        write(harness.store, *scattered(33, 20, days))
        harness.store.remove_user("bob")
        before, figure = harness.store.stored(), [rows_of(ask(harness.store, rung, days)) for rung in Resolution]
        harness.store.scrub()
        write(harness.store, Reading(TEN + 100 * DAY_US, 7000, user_id="cid"))
        harness.store.scrub()
        harness.store.remove_user("cid")
        for store in states(harness):
            assert store.stored() == before
            assert [rows_of(ask(store, rung, days)) for rung in Resolution] == figure
            assert store.check().problems == ()

    def test_origins_that_name_somebody_lose_their_names_with_them(self, harness: Harness) -> None:
        names = ["cloud/ann", "ann.csv", "Ann Smith's export.zip", "joanna.csv", "cloud/bob"]
        numbers = [harness.store.register_origin("import", name) for name in names]
        harness.store.put_user(User("ann", "ANN Smith"))
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 7000, user_id="bob"))
        harness.store.remove_user("ann")
        for store in states(harness):
            kept = {origin.number: origin.name for origin in store.origins()}
            assert [kept[number] for number in numbers] == [*(f"erased {n}" for n in numbers[:3]), *names[3:]]
            assert store.register_origin("import", "cloud/bob") == numbers[4]
        assert harness.store.register_origin("import", "cloud/ann") not in numbers

    def test_a_commit_during_a_removal_is_before_or_after_it(self, harness: Harness) -> None:
        """Commits are never split: the readings that removals counted and those that are left are whole commits."""
        store = harness.store
        written, size = 60, 40
        begun = threading.Event()

        def write_all() -> None:
            for n in range(written):
                write(store, *(Reading(TEN + n * SECOND_US + part, 7000) for part in range(size)))
                begun.set()

        removed = []
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write_all)
            begun.wait(60)
            while not writing.done():
                removed.append(store.remove_user("ann"))
            writing.result()
        left = store.overview("ann")
        kept = left.readings if left else 0
        assert [count % size for count in (*removed, kept)] == [0] * (len(removed) + 1)
        assert sum(removed) + kept == written * size
        for again in states(harness):
            assert len(harness.back_door()) == again.stored().num_rows == kept
