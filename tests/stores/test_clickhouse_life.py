"""Readings expire, people are wiped out, and what is kept twice agrees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.clickhouse.check import Checker
from pulsebase.stores.clickhouse.expire import Expirer
from pulsebase.stores.clickhouse.extents import Overviews
from pulsebase.stores.clickhouse.numbers import metrics_by_number, people_by_number
from pulsebase.stores.clickhouse.stored import StoredReader
from pulsebase.stores.contract import Expiry
from tests.stores.clickhouse import OPTIONS, Parts, new_store, opened
from tests.stores.harness import Reading, ask, at, batch_of, rows_of
from tests.stores.test_clickhouse_stored import METRICS, Both

TEN = at("2024-01-15T10:00:00")
MIDNIGHT = at("2024-01-16T00:00:00")


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(new_store()) as found:
        yield found


def kept_quarters(parts: Parts) -> list[tuple[Any, ...]]:
    """What is kept of expired readings: person, metric, start, count, sum, min, max, minutes."""
    people, metrics = parts.database.read(people_by_number), parts.database.read(metrics_by_number)
    rows = parts.cluster.ask("SELECT * FROM all_kept FINAL", 30).to_pylist()
    return sorted(
        (
            *(people[row["person"]], metrics[row["metric"]], row["quarter"] * 15 * MINUTE_US),
            *(row[name] for name in ("n", "sum", "min", "max", "minutes")),
        )
        for row in rows
    )


def test_expired_readings_are_kept_as_they_were_resolved(parts: Parts) -> None:
    both, merges = Both(parts, 7), parts.merger.merge_all
    expirer = Expirer(parts.database, parts.cluster, OPTIONS, merges)
    overviews = Overviews(parts.database, parts.cluster, OPTIONS)
    for device, from_us, priority in (("b", TEN, 5), ("b", TEN + 2 * HOUR_US, 1000), ("Zb", TEN + 7 * MINUTE_US, 3)):
        entry = DevicePriority(both.people[0], device, priority, from_us)
        both.plain.put_priority(entry)
        both.registry.put_priority(entry)
    for _ in range(4):
        both.write()
    rows = [
        Reading(TEN + n * 7 * MINUTE_US // 2, 7000 + n, "ab"[n % 3 == 0], n % 4, both.people[n % 2]) for n in range(400)
    ]
    rows += [row._replace(device_id="Zb", value=row.value + 500) for row in rows[:200:2]]
    batch = batch_of(rows, both.origins[1], METRICS[0])
    both.plain.write([batch])
    parts.writer.write([batch], {both.pushed})
    before = [rows_of(both.plain.stored()), [overviews.overview(person) for person in both.people]]

    assert expirer.expire(MIDNIGHT, dry_run=True) == both.plain.expire(MIDNIGHT, dry_run=True)
    assert rows_of(StoredReader(parts.database, parts.cluster, OPTIONS).stored()) == before[0]
    assert expirer.expire(MIDNIGHT) == both.plain.expire(MIDNIGHT)
    assert expirer.expire(MIDNIGHT - DAY_US) == Expiry(MIDNIGHT, 0)
    expected = [
        (person, metric, *row[:-1])
        for person in both.people
        for metric in METRICS
        for row in rows_of(ask(both.plain, Resolution.QUARTER, TimeRange(TEN, MIDNIGHT), user_id=person, metric=metric))
    ]
    assert kept_quarters(parts) == sorted(expected)

    both.write()  # which has readings before the horizon too
    assert expirer.expire(MIDNIGHT + DAY_US) == both.plain.expire(MIDNIGHT + DAY_US)
    both.write()
    for _ in range(2):
        stored = StoredReader(parts.database, parts.cluster, OPTIONS).stored()
        assert rows_of(stored) == rows_of(both.plain.stored())
        for person in both.people:
            assert overviews.overview(person) == both.plain.overview(person)
            assert overviews.metrics(person) == both.plain.metrics(person)
            assert overviews.devices(person) == both.plain.devices(person)
        parts.merge()
    assert Checker(parts.database, parts.cluster, OPTIONS).check().problems == ()
    removed = both.plain.remove_user(both.people[0])
    assert both.registry.remove_user(both.people[0]) == removed


def test_an_expiry_that_was_cut_short_is_gone_on_with(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.write(*(Reading(TEN + n * HOUR_US, 7000 + n) for n in range(30)))
    expirer = Expirer(parts.database, parts.cluster, OPTIONS, parts.merger.merge_all)
    with monkeypatch.context() as patched:
        patched.setattr(Expirer, "_keep", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            expirer.expire(MIDNIGHT)
    assert len(parts.read("ann")) == 30, "questions do not see the horizon before what is kept is there"
    assert expirer.expire(MIDNIGHT) == Expiry(MIDNIGHT, 14)
    assert len(parts.read("ann")) == 16
    assert [row[3] for row in kept_quarters(parts)] == [1] * 14
