"""An export holds every reading, from one snapshot of the store."""

from __future__ import annotations

import random

from pulsebase.model.timerange import (
    MAX_US,
    TimeRange,
)
from pulsebase.stores.contract import (
    STORED_SCHEMA,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, batch_of, metric_under_test, rows_of, span, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import (
    ALWAYS,
    TEN,
    assert_in_order_of_export,
    exported,
    scattered,
    settled_or_not,
    states,
)


class ExportLaws(LawsOfOneStore):
    """An export holds every reading, from one snapshot of the store."""

    def test_the_export_is_by_person_device_and_time(self, harness: Harness) -> None:
        ids = ["10", "9", "Ann", "_x", "a-9", "aB", "ab"]
        origin = harness.store.register_origin("test", "export")
        expected = [
            (user, device, TEN + n, 7000, None, metric_under_test(), origin)
            for user in ids
            for device in ids
            for n in (0, 1)
        ]
        readings = [Reading(time_us, value, device, None, user) for user, device, time_us, value, *_ in expected]
        random.Random(4).shuffle(readings)
        harness.store.write([batch_of(readings[:50], origin)])
        harness.settle()
        harness.store.write([batch_of(readings[50:], origin)])
        for store in states(harness):
            assert rows_of(store.stored()) == expected
            assert sorted(harness.back_door()) == expected

    def test_an_export_is_every_reading_by_day(self, harness: Harness) -> None:
        days = span("2024-01-15", "2024-01-19")
        readings = [reading._replace(user_id=user) for user in ("ann", "bob") for reading in scattered(11, 400, days)]
        write(harness.store, *readings[:300])
        harness.settle()
        write(harness.store, *readings[300:])
        harness.store.delete("bob", span("2024-01-16T05:00:00", "2024-01-16T09:00:00"))
        for store in states(harness):
            expected = [row[:-1] for row in rows_of(store.stored())]
            batches = list(store.export(ALWAYS))
            assert sorted(exported(batches)) == sorted(expected)
            assert_in_order_of_export(batches)
            part = span("2024-01-16T12:00:00", "2024-01-18T00:00:00")
            asked = list(store.export(part, ["bob", "nobody", "bob"]))
            assert sorted(exported(asked)) == sorted(
                row for row in expected if row[0] == "bob" and part.start_us <= row[2] < part.end_us
            )
            assert list(store.export(ALWAYS, [])) == list(store.export(ALWAYS, ["nobody"])) == []

    def test_an_export_is_of_one_state(self, harness: Harness) -> None:
        days = span("2024-01-15", "2024-01-19")
        write(harness.store, *scattered(12, 100, days))
        before = [row[:-1] for row in rows_of(harness.store.stored())]
        batches = harness.store.export(ALWAYS)
        found = [next(batches)]
        write(harness.store, *scattered(13, 100, days))
        harness.store.delete("ann", span("2024-01-17", "2024-01-18"))
        assert sorted(exported([*found, *batches])) == sorted(before)

    def test_who_is_removed_is_in_no_export_and_no_origin(self, harness: Harness) -> None:
        store = harness.store
        origin = store.register_origin("import", "file")
        days = span("2024-01-15", "2024-01-25")
        of_ann, of_bob = ([row._replace(user_id=name) for row in scattered(15, 100, days)] for name in ("ann", "bob"))
        store.write([batch_of([*of_ann, *of_bob], origin)])
        batches = store.export(ALWAYS)
        assert {user for user, *_ in exported([next(batches), next(batches)])} == {"ann", "bob"}
        store.remove_user("ann")
        assert {user for user, *_ in exported(batches)} == {"bob"}
        for each in states(harness):
            assert sorted(exported(each.export(ALWAYS))) == sorted(row[:-1] for row in rows_of(each.stored()))
            assert list(each.export(ALWAYS, ["ann"])) == []
            assert each.origin_readings([origin]) == {origin: each.stored().num_rows}
        left = harness.store.stored().num_rows
        assert left > 0
        assert harness.store.delete_origin(origin, 1000) == left

    def test_an_export_that_is_left_half_way_holds_nothing_up(self, harness: Harness) -> None:
        write(harness.store, *scattered(14, 100, span("2024-01-15", "2024-01-19")))
        batches = harness.store.export(ALWAYS)
        next(batches)
        batches.close()  # type: ignore[attr-defined]
        for store in states(harness):
            assert store.check().problems == ()

    @settled_or_not
    def test_one_persons_readings_are_exported_piece_by_piece(self, harness: Harness, settled: bool) -> None:
        origin = harness.store.register_origin("test", "export")
        write(harness.store, Reading(TEN, 7000, user_id="bob"), Reading(TEN, 7000), Reading(TEN + 9, 7100))
        if settled:
            harness.settle()
        rows = [Reading(TEN, 7200, "b", 2), Reading(TEN + 1, 7300, "B", 0), Reading(TEN, 7400)]
        harness.store.write([batch_of(rows, origin)])
        for store in states(harness):
            assert rows_of(store.readings("ann", TimeRange(TEN, TEN + 9))) == [
                ("ann", "B", TEN + 1, 7300, 0, metric_under_test(), origin),
                ("ann", "b", TEN, 7200, 2, metric_under_test(), origin),
                ("ann", "device_a", TEN, 7400, None, metric_under_test(), origin),
            ]
            for user_id, start_us in (("ann", TEN + 10), ("nobody", TEN)):
                empty = store.readings(user_id, TimeRange(start_us, MAX_US))
                assert empty.num_rows == 0
                assert empty.schema.equals(STORED_SCHEMA, check_metadata=True)
