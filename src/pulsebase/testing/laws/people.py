"""People and their fields, lists of their devices, and their daily summaries."""

from __future__ import annotations

from datetime import date

from pulsebase.model.annotations import Annotation
from pulsebase.model.summaries import DailySummary, HeartRateZone
from pulsebase.model.timerange import (
    DAY_US,
    HOUR_US,
    TimeRange,
)
from pulsebase.model.users import DeviceOverview, DevicePriority, User, UserOverview
from pulsebase.stores.contract import (
    Store,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, ask, last_time_us, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import ALWAYS, HOUR, TEN, THAT_DAY, settled_or_not, states


class PeopleLaws(LawsOfOneStore):
    """People and their fields, lists of their devices, and their daily summaries."""

    def test_a_reading_a_summary_and_a_person_put_make_a_person_known(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        harness.store.put_summaries([DailySummary("bob", date(2024, 1, 15), 55.0, "vendor")])
        cid = User("cid", "Cid Ærø", "other", date(1980, 2, 29), "Asia/Kathmandu")
        harness.store.put_user(cid)
        for store in states(harness):
            assert store.user("ann") == User("ann")
            assert store.user("bob") == User("bob")
            assert store.user("cid") == cid
            assert [store.knows(user_id) for user_id in ("ann", "bob", "cid", "dan")] == [True, True, True, False]
            assert store.unknown_users(["ann", "bob", "dan", "eve"]) == {"dan", "eve"}
            assert store.overview("ann") == UserOverview(User("ann"), 1, TEN, TEN)
            assert store.overview("cid") == UserOverview(cid, 0, None, None)

    def test_people_put_together_are_put_each(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        people = [User("bob", "Bob"), User("ann", "Ann", "female", date(1990, 1, 1), "Europe/Berlin")]
        harness.store.put_users(people)
        harness.store.put_users([])
        harness.store.put_users([User("bob", "Robert"), User("bob", "Bob", "male")])
        for store in states(harness):
            assert [store.user(user_id) for user_id in ("ann", "bob")] == [people[1], User("bob", "Bob", "male")]
            assert store.overview("ann") == UserOverview(people[1], 1, TEN, TEN)

    def test_a_person_put_again_is_replaced_and_keeps_the_readings(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        harness.store.put_user(User("ann", "Ann", "female", date(1990, 1, 1), "Europe/Berlin"))
        harness.store.put_user(User("ann", "Anna"))
        write(harness.store, Reading(TEN + 1, 7100))
        for store in states(harness):
            assert store.user("ann") == User("ann", "Anna")
            assert store.overview("ann") == UserOverview(User("ann", "Anna"), 2, TEN, TEN + 1)

    def test_people_put_together_are_kept_together(self, harness: Harness) -> None:
        write(harness.store, Reading(TEN, 7000))
        people = [User("ann", "Ann", "female", date(1990, 1, 1), "UTC"), User("bob"), User("cid", "Cid"), User("cid")]
        harness.store.put_users(people)
        harness.store.put_users([])
        for store in states(harness):
            assert [each.user for each in store.users("", 10, None)] == [people[0], people[1], people[3]]
            assert store.overview("ann") == UserOverview(people[0], 1, TEN, TEN)

    @settled_or_not
    def test_devices_are_those_with_readings_or_priorities(self, harness: Harness, settled: bool) -> None:
        write(
            harness.store,
            Reading(TEN, 7000, "strap"),
            Reading(TEN + 5, 7000, "strap"),
            Reading(TEN + 5 * HOUR_US, 7000, "Zed", 0),
            Reading(TEN, 7000, "gone"),
            Reading(TEN, 7000, "hers", user_id="bob"),
        )
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + 5, 7100, "strap"), Reading(TEN + 9, 7000, "strap"), Reading(TEN, 7000))
        harness.store.delete("ann", TimeRange(TEN, TEN + 1), "gone")
        harness.store.put_priority(DevicePriority("ann", "ranked", 4))
        harness.store.put_priority(DevicePriority("ann", "Zed", 4))
        for store in states(harness):
            assert store.devices("ann") == [
                DeviceOverview("Zed", 1, TEN + 5 * HOUR_US, TEN + 5 * HOUR_US),
                DeviceOverview("device_a", 1, TEN, TEN),
                DeviceOverview("ranked", 0, None, None),
                DeviceOverview("strap", 3, TEN, TEN + 9),
            ]
            assert store.devices("bob") == [DeviceOverview("hers", 1, TEN, TEN)]
            assert store.devices("nobody") == []

    def test_a_page_of_people_counts_each_ones_readings(self, harness: Harness) -> None:
        """Merged, unmerged and mixed readings give one answer."""
        for n, user_id in enumerate(("ann", "bob", "cid", "dan")):
            write(harness.store, *(Reading(TEN + at_us, 7000, user_id=user_id) for at_us in range(n)))
        harness.settle()
        for user_id in ("bob", "dan", "eve"):
            write(harness.store, Reading(TEN, 7100, user_id=user_id), Reading(TEN + DAY_US, 7000, user_id=user_id))
        harness.store.delete("dan", TimeRange(TEN + 1, TEN + 2))
        harness.store.put_user(User("fay"))
        expected = [
            ("bob", 2, TEN, TEN + DAY_US),
            ("cid", 2, TEN, TEN + 1),
            ("dan", 3, TEN, TEN + DAY_US),
            ("eve", 2, TEN, TEN + DAY_US),
            ("fay", 0, None, None),
        ]
        for store in states(harness):
            listed = store.users("", 9, None)
            assert [(each.user.user_id, each.readings, each.first_us, each.last_us) for each in listed] == expected
            assert [store.overview(user_id) for user_id, *_ in expected] == listed

    @settled_or_not
    def test_an_overview_counts_every_stored_reading(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN, 9000, "device_b"), Reading(TEN - 1, 5000, "watch", 0))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN, 7100), Reading(TEN + 5, 7200))
        harness.store.delete("ann", TimeRange(TEN, TEN + 1), "device_b")
        for store in states(harness):
            expected = UserOverview(User("ann"), 3, TEN - 1, TEN + 5)
            assert store.overview("ann") == expected
            assert store.users("", 10, None) == [expected]

    @settled_or_not
    def test_a_person_without_readings_left_stays_known(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000))
        if settled:
            harness.settle()
        harness.store.delete("ann", ALWAYS)
        for store in states(harness):
            assert store.overview("ann") == UserOverview(User("ann"), 0, None, None)
            assert [each.user.user_id for each in store.users("", 10, None)] == ["ann"]
            assert ask(store, HOUR, THAT_DAY).num_rows == 0

    def test_people_are_listed_by_bytes_page_by_page(self, harness: Harness) -> None:
        ordered = ["10", "9", "Ann", "Zoe", "_x", "a-10", "a-9", "a.b", "aB", "ab", "b"]
        write(harness.store, *(Reading(TEN, 7000, user_id=user_id) for user_id in reversed(ordered[::2])))
        for user_id in ordered[1::2]:
            harness.store.put_user(User(user_id))
        for store in states(harness):
            listed: list[str] = []
            while page := store.users("", 4, listed[-1] if listed else None):
                assert len(page) <= 4
                listed += [each.user.user_id for each in page]
            assert listed == ordered

    def test_a_page_starts_after_an_id_that_need_not_exist(self, store: Store) -> None:
        for user_id in ("a", "c"):
            store.put_user(User(user_id))
        assert [each.user.user_id for each in store.users("", 10, "b")] == ["c"]
        assert store.users("", 10, "c") == []

    def test_people_are_found_by_part_of_id_or_name_whatever_the_case(self, harness: Harness) -> None:
        for user_id, name in (("u1", "Änne Müller"), ("MULE", None), ("u_2", "50% off"), ("ux2", "Bob")):
            harness.store.put_user(User(user_id, name))
        for store in states(harness):
            for text, expected in (
                ("MÜLL", ["u1"]),
                ("änne m", ["u1"]),
                ("mul", ["MULE"]),
                ("u", ["MULE", "u1", "u_2", "ux2"]),
                ("U_2", ["u_2"]),
                ("0%", ["u_2"]),
                ("%", ["u_2"]),
                ("\\", []),
                ("'", []),
                ("x", ["ux2"]),
            ):
                assert [each.user.user_id for each in store.users(text, 10, None)] == expected, text
            assert [each.user.user_id for each in store.users("u", 2, "MULE")] == ["u1", "u_2"]

    def test_names_are_found_whatever_the_case_in_every_script(self, harness: Harness) -> None:
        people = (("s1", "Johann Strauß"), ("i1", "İpek"), ("e1", "Ame\u0301lie"), ("g1", "Σίσυφος"))
        for user_id, name in people:
            harness.store.put_user(User(user_id, name))
        harness.store.put_users([User("f1", "ﬁona"), User("s1", "Johann Strauß")])
        for store in states(harness):
            for text, expected in (
                *(("STRAUSS", "s1"), ("strauß", "s1"), ("İPEK", "i1"), ("İpek", "i1"), ("AM\u00c9L", "e1")),
                *(("ΣΊΣΥΦΟΣ", "g1"), ("σίσυφος", "g1"), ("FIONA", "f1")),
            ):
                assert [each.user.user_id for each in store.users(text, 10, None)] == [expected], text
        assert harness.store.users("", 1, "f1")[0].user.name == "Σίσυφος"  # as it was written

    @settled_or_not
    def test_the_last_time_is_the_devices_last_stored_reading(self, harness: Harness, settled: bool) -> None:
        write(harness.store, Reading(TEN, 7000), Reading(TEN + 9, 7000, "device_b"), Reading(TEN + 5, 7000, "watch", 0))
        write(harness.store, Reading(TEN + 7, 7000), Reading(TEN + 99, 7000, user_id="bob"))
        if settled:
            harness.settle()
        write(harness.store, Reading(TEN + 3, 7000))
        for store in states(harness):
            assert last_time_us(store, "ann", "device_a") == TEN + 7
            assert last_time_us(store, "ann", "watch") == TEN + 5
            assert last_time_us(store, "bob", "device_b") is None
        harness.store.delete("ann", TimeRange(TEN + 4, TEN + 9))
        for store in states(harness):
            assert last_time_us(store, "ann", "device_a") == TEN + 3
            assert last_time_us(store, "ann", "watch") is None
            assert last_time_us(store, "ann", "device_b") == TEN + 9

    def test_summaries_come_back_whole_by_day_then_method(self, harness: Harness) -> None:
        zones = (HeartRateZone("Fat Burn", 90, 120, 30, 123.456), HeartRateZone("Peak", 150, 220))
        days = [
            DailySummary("ann", date(2024, 1, 14), None, None, zones=zones),
            DailySummary("ann", date(2024, 1, 15), 61.5, None),
            DailySummary("ann", date(2024, 1, 15), 60.1, "Vendor", custom_zones=zones[:1]),
            DailySummary("ann", date(2024, 1, 15), 0.1 + 0.2, "sleep", zones, zones),
            DailySummary("ann", date(2024, 1, 16), 59.0, "sleep"),
        ]
        harness.store.put_summaries(days[::-1])
        harness.store.put_summaries([])
        for store in states(harness):
            assert store.summaries("ann", date(2024, 1, 14), date(2024, 1, 16)) == days
            assert store.summaries("ann", date(2024, 1, 15), date(2024, 1, 15)) == days[1:4]
            assert store.summaries("bob", date.min, date.max) == []

    def test_annotations_come_back_by_start_and_those_that_touch_a_range(self, harness: Harness) -> None:
        run = Annotation("ann", "run", TEN, TEN + 3_600_000_000, "A run, uphill\nthen rain ☔")
        fever = Annotation("ann", "b", TEN + 5, None, "fever")
        strap = Annotation("ann", "a", TEN + 5, None, "a new strap")
        harness.store.put_annotations([strap, run, fever])
        harness.store.put_annotations([Annotation("bob", "run", TEN, None, "his own")])
        harness.store.put_annotations([])
        for store in states(harness):
            assert store.annotations("ann") == [run, strap, fever]
            assert store.annotations("ann", TimeRange(TEN + 6, TEN + 7)) == [run]
            assert store.annotations("ann", TimeRange(TEN + 5, TEN + 6)) == [run, strap, fever]
            assert store.annotations("ann", TimeRange(TEN - 1, TEN)) == []
            assert store.annotations("ann", TimeRange(TEN + 3_600_000_000, TEN + 3_600_000_001)) == []
            assert store.annotations("nobody") == []
        moved = Annotation("ann", "b", TEN - 9, None, "fever, from the evening on")
        harness.store.put_annotations([moved])
        assert harness.store.remove_annotation("ann", "run")
        assert not harness.store.remove_annotation("ann", "run")
        assert not harness.store.remove_annotation("nobody", "run")
        for store in states(harness):
            assert store.annotations("ann") == [moved, strap]
            assert [each.text for each in store.annotations("bob")] == ["his own"]

    def test_a_summary_put_again_is_replaced(self, harness: Harness) -> None:
        day = date(2024, 1, 15)
        zones = (HeartRateZone("Peak", 150, 220, 3),)
        for method in ("sleep", None):
            harness.store.put_summaries([DailySummary("ann", day, 61.0, method, zones)])
            harness.reopen()
            harness.store.put_summaries(
                [DailySummary("ann", day, 62.0, method, zones), DailySummary("ann", day, 63.0, method)]
            )
        for store in states(harness):
            assert store.summaries("ann", day, day) == [
                DailySummary("ann", day, 63.0, None),
                DailySummary("ann", day, 63.0, "sleep"),
            ]
