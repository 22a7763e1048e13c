"""Law 11: readings expire, and their buckets stay."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import (
    DAY_US,
    HOUR_US,
    TimeRange,
)
from pulsebase.model.users import DevicePriority
from pulsebase.stores.contract import (
    Expiry,
    Store,
)
from pulsebase.testing.harness import GivenReading as Reading
from pulsebase.testing.harness import Harness, ask, ask_hours, at, batch_of, last_time_us, rows_of, span, totals, write
from pulsebase.testing.laws.base import LawsOfOneStore
from pulsebase.testing.laws.words import (
    DAY,
    HOUR,
    MINUTE,
    QUARTER,
    RAW,
    SECOND,
    TEN,
    bucket_rows,
    day_figures,
    scattered,
    settled_or_not,
    states,
)


class RetentionLaws(LawsOfOneStore):
    """Law 11: readings expire, and their buckets stay."""

    @settled_or_not
    def test_readings_expire_and_what_they_came_to_stays(self, harness: Harness, settled: bool) -> None:
        store, days, horizon_us = harness.store, span("2024-01-10", "2024-01-20"), at("2024-01-15")
        for user_id in ("ann", "bob"):
            write(store, *(row._replace(user_id=user_id) for row in scattered(41, 400, days)))
        store.put_priority(DevicePriority("ann", "strap", 0))
        whole = TimeRange(at("2024-01-11T03:00:00"), at("2024-01-18T07:00:00"))
        asked: list[Callable[[Store], object]] = [
            *(partial(bucket_rows, rung=rung, asked=days) for rung in (QUARTER, HOUR, DAY)),
            partial(bucket_rows, rung=DAY, asked=days, zone="Asia/Kathmandu"),
            partial(bucket_rows, rung=DAY, asked=days, zone="Europe/Berlin"),
            partial(bucket_rows, rung=HOUR, asked=days, device_id="device_b"),
            lambda each: totals(each, whole),
            lambda each: each.overview("ann"),
            lambda each: each.devices("ann"),
            lambda each: last_time_us(each, "ann", "device_a"),
        ]
        origin = store.register_origin("import", "expiring")
        store.write([batch_of([row._replace(user_id="cyd") for row in scattered(43, 60, days)], origin)])
        before = [question(store) for question in asked]
        if settled:
            harness.settle()
        old = [row for row in rows_of(store.stored()) if row[2] < horizon_us]
        assert store.expire(horizon_us, dry_run=True) == Expiry(horizon_us, len(old))
        assert store.horizon_us() == 0
        assert [question(store) for question in asked] == before
        assert store.expire(horizon_us) == Expiry(horizon_us, len(old))
        assert store.expire(horizon_us - DAY_US) == Expiry(horizon_us, 0)
        for each in states(harness):
            assert each.horizon_us() == horizon_us
            assert [question(each) for question in asked] == before
            assert {row[2] >= horizon_us for row in rows_of(each.stored())} == {True}
            live = sum(row[0] == "cyd" for row in rows_of(each.stored()))
            assert each.origin_readings([origin]) == {origin: live}
            (extent,) = each.origin_extents("cyd")
            assert (extent.number, extent.readings) == (origin, live)
            assert extent.first_us >= horizon_us
            assert {row[2] >= horizon_us for row in harness.back_door()} == {True}
            assert each.check().problems == ()

    def test_nothing_reaches_behind_the_horizon_but_a_removal(self, harness: Harness) -> None:
        store, days, horizon_us = harness.store, span("2024-01-10", "2024-01-20"), at("2024-01-15")
        write(store, *scattered(42, 300, days))
        ask(store, QUARTER, days)
        store.expire(horizon_us)
        old = TimeRange(days.start_us, horizon_us)
        before = [rows_of(ask(store, rung, old)) for rung in (QUARTER, HOUR, DAY)]
        assert all(before)
        write(store, Reading(TEN - DAY_US, 9000), Reading(horizon_us - 1, 9000, user_id="eve"))
        late = [Reading(TEN - DAY_US + n, 9000, "late") for n in range(4)]
        write(
            store, *late, Reading(horizon_us + HOUR_US + 1, 9000, "late", user_id="bob")
        )  # more than some stores stage
        assert [device.device_id for device in store.devices("bob")] == ["late"]
        assert "late" not in {device.device_id for device in store.devices("ann")}
        store.put_priority(DevicePriority("ann", "strap", 0))
        store.put_priority(DevicePriority("ann", "device_a", 5000))
        reached = [row for row in rows_of(store.stored()) if row[2] == horizon_us]
        assert store.delete("ann", TimeRange(days.start_us, horizon_us + 1)) == len(reached)
        for each in states(harness):
            assert [rows_of(ask(each, rung, old)) for rung in (QUARTER, HOUR, DAY)] == before
            for rung in (RAW, SECOND, MINUTE):
                assert ask(each, rung, old).num_rows == 0
            assert ask(each, HOUR, old, include_all=True).num_rows == 0
            cut = TimeRange(days.start_us + 1, horizon_us - 1)
            hours = {row[0]: row for row in before[1]}
            inside = [
                hours[at_us] for at_us in sorted(hours) if cut.start_us <= at_us and at_us + HOUR_US <= cut.end_us
            ]
            assert rows_of(ask_hours(each, cut)) == inside
            assert each.user("eve") is None
            assert each.check().problems == ()
        assert harness.store.remove_user("bob") == 1
        live = harness.store.stored().num_rows
        assert harness.store.remove_user("ann") == live
        for each in states(harness):
            assert [ask(each, rung, days).num_rows for rung in Resolution] == [0] * len(Resolution)
            assert each.check().problems == ()
        write(harness.store, Reading(TEN, 7000))
        assert day_figures(harness.store) == (1, 7000, 7000, 7000, 1)
