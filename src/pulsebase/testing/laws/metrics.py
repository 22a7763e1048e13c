"""Laws 1 and 6 across metrics: a series is one person's readings of one metric, independent of other metrics."""

from __future__ import annotations

from pulsebase.model.metrics import HEART_RATE, OXYGEN_SATURATION, RESPIRATORY_RATE, SKIN_TEMPERATURE_DELTA
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, MINUTE_US, TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, MetricOverview
from pulsebase.stores.contract import PUSH_KIND, Store
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, ask, batch_of, rows_of, totals
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import RAW, TEN, THAT_DAY, settled_or_not, states

HEART, OXYGEN, BREATHS = HEART_RATE.name, OXYGEN_SATURATION.name, RESPIRATORY_RATE.name


class MetricLaws(LawsOfOneStore):
    """A series is one person's readings of one metric."""

    def test_two_metrics_of_one_device_and_instant_stand_side_by_side(self, harness: Harness) -> None:
        origin = harness.store.register_origin(PUSH_KIND, "watch")
        batches = [batch_of([Reading(TEN, value)], origin, metric) for metric, value in _SAID.items()]
        harness.store.write(batches)
        for store in states(harness):
            found = {row[5]: row[3] for row in rows_of(store.stored())}
            assert found == _SAID
            assert sorted(row[3:6:2] for row in harness.back_door()) == sorted((v, m) for m, v in _SAID.items())
            for metric, value in _SAID.items():
                for rung in Resolution:
                    (row,) = rows_of(ask(store, rung, THAT_DAY, metric=metric))
                    assert value in row, (metric, rung)
                assert totals(store, THAT_DAY, metric=metric) == [("ann", 1, value, 1)]
                assert store.last_time_us("ann", "device_a", metric) == TEN
            assert store.last_time_us("ann", "device_a", BREATHS) is None
            assert rows_of(ask(store, RAW, THAT_DAY, metric=BREATHS)) == []
            assert totals(store, THAT_DAY, metric=BREATHS) == []
            assert store.metrics("ann") == [MetricOverview(metric, 1, TEN, TEN) for metric in sorted(_SAID)]
            assert store.devices("ann") == [DeviceOverview("device_a", len(_SAID), TEN, TEN)]
            overview = store.overview("ann")
            assert overview is not None
            assert overview.readings == len(_SAID)
            assert store.check().problems == ()

    @settled_or_not
    def test_devices_are_resolved_within_a_metric(self, harness: Harness, settled: bool) -> None:
        """An oximeter never competes with a chest strap, whatever their priorities."""
        store = harness.store
        origin = store.register_origin(PUSH_KIND, "all")
        store.write(
            [
                batch_of([Reading(TEN, 7000, "strap"), Reading(TEN, 7100, "watch")], origin, HEART),
                batch_of([Reading(TEN, 9700, "oximeter"), Reading(TEN, 9600, "watch")], origin, OXYGEN),
            ]
        )
        if settled:
            harness.settle()
        for device_id in ("oximeter", "strap"):
            store.put_priority(DevicePriority("ann", device_id, 1))
        store.put_priority(DevicePriority("ann", "watch", 2))
        for each in states(harness):
            assert _minute(each, HEART) == (7000, "strap")
            assert _minute(each, OXYGEN) == (9700, "oximeter")
        harness.store.put_priority(DevicePriority("ann", "watch", 0))
        for each in states(harness):
            assert _minute(each, HEART) == (7100, "watch")
            assert _minute(each, OXYGEN) == (9600, "watch")
            assert totals(each, THAT_DAY, metric=OXYGEN) == [("ann", 1, 9600, 1)]
            assert each.check().problems == ()

    @settled_or_not
    def test_a_deletion_may_be_of_one_metric(self, harness: Harness, settled: bool) -> None:
        _write_all(harness.store)
        if settled:
            harness.settle()
        assert harness.store.delete("ann", THAT_DAY, metric=OXYGEN) == 1
        for store in states(harness):
            assert {row[5] for row in rows_of(store.stored())} == _SAID.keys() - {OXYGEN}
            assert [each.metric for each in store.metrics("ann")] == sorted(_SAID.keys() - {OXYGEN})
        assert harness.store.delete("ann", THAT_DAY) == len(_SAID) - 1
        for store in states(harness):
            assert store.stored().num_rows == 0
            assert store.metrics("ann") == []

    def test_a_person_and_an_origin_go_with_every_metric(self, harness: Harness) -> None:
        _write_all(harness.store)
        harness.settle()
        _write_all(harness.store, "bob")
        assert harness.store.remove_user("ann") == len(_SAID)
        for store in states(harness):
            assert {row[0] for row in harness.back_door()} == {"bob"}
            assert store.metrics("ann") == []
            assert store.metrics("nobody") == []
        origin = harness.store.register_origin("import", "all")
        assert harness.store.delete_origin(origin, 100) == len(_SAID)
        for store in states(harness):
            assert store.stored().num_rows == 0

    @settled_or_not
    def test_an_export_may_be_of_some_metrics(self, harness: Harness, settled: bool) -> None:
        _write_all(harness.store)
        _write_all(harness.store, "bob")
        if settled:
            harness.settle()
        for store in states(harness):
            assert _exported(store, None, None) == {(user, metric) for user in ("ann", "bob") for metric in _SAID}
            assert _exported(store, None, [OXYGEN, BREATHS]) == {("ann", OXYGEN), ("bob", OXYGEN)}
            assert _exported(store, ["bob", "nobody"], [OXYGEN]) == {("bob", OXYGEN)}
            assert _exported(store, None, [BREATHS]) == _exported(store, None, []) == set()

    @settled_or_not
    def test_what_is_stored_is_looked_up_within_a_metric(self, harness: Harness, settled: bool) -> None:
        harness.store.write([batch_of([Reading(TEN, 7000)], harness.store.register_origin("import", "one"), HEART)])
        if settled:
            harness.settle()
        for store in states(harness):
            for metric, there in ((HEART, True), (OXYGEN, False)):
                assert store.stored_values(batch_of([Reading(TEN, 1)], 1, metric)).there.tolist() == [there]

    def test_readings_of_every_metric_expire(self, harness: Harness) -> None:
        _write_all(harness.store)
        horizon_us = TEN // DAY_US * DAY_US + DAY_US
        assert harness.store.expire(horizon_us).readings == len(_SAID)
        for store in states(harness):
            assert store.stored().num_rows == 0
            for metric, value in _SAID.items():
                assert rows_of(ask(store, RAW, THAT_DAY, metric=metric)) == []
                ((_, count, total, *_),) = rows_of(ask(store, Resolution.HOUR, THAT_DAY, metric=metric))
                assert (count, total) == (1, value)
            assert [each.readings for each in store.metrics("ann")] == [1] * len(_SAID)


#: What the tests write, by metric; a deviation may be below zero.
_SAID = {HEART: 7000, OXYGEN: 9700, SKIN_TEMPERATURE_DELTA.name: -40}


def _write_all(store: Store, user_id: str = "ann") -> None:
    origin = store.register_origin("import", "all")
    readings = {metric: [Reading(TEN, value, user_id=user_id)] for metric, value in _SAID.items()}
    store.write([batch_of(rows, origin, metric) for metric, rows in readings.items()])


def _minute(store: Store, metric: str) -> tuple[int, str]:
    (row,) = rows_of(ask(store, Resolution.MINUTE, TimeRange(TEN, TEN + MINUTE_US), metric=metric))
    return row[2], row[-1]


def _exported(store: Store, user_ids: list[str] | None, metrics: list[str] | None) -> set[tuple[str, str]]:
    batches = store.export(THAT_DAY, user_ids, metrics)
    return {(row["user_id"], row["metric"]) for batch in batches for row in batch.to_pylist()}
