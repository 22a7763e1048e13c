"""What is stored is told as a plain store tells it, whatever is merged and whatever waits for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pulsebase.model.metrics import HEART_RATE, OXYGEN_SATURATION
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DevicePriority
from pulsebase.stores.clickhouse.export import Exporter
from pulsebase.stores.clickhouse.extents import Overviews
from pulsebase.stores.clickhouse.origins import OriginCounter
from pulsebase.stores.clickhouse.removal import ClickHousePeoplesReadings
from pulsebase.stores.clickhouse.stored import StoredReader
from pulsebase.stores.contract import PUSH_KIND
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.postgres.registry import PostgresRegistry
from pulsebase.testing.laws.words import assert_in_order_of_export, exported
from tests.stores.clickhouse import EVER, OPTIONS, Parts, empty_store, opened
from tests.stores.harness import Reading, at, batch_of, rows_of

TEN = at("2024-01-15T10:00:00")
SECOND = 1_000_000
METRICS = (HEART_RATE.name, OXYGEN_SATURATION.name)
PEOPLE = ("ann", "Bob", "cleo")


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    with opened(empty_store()) as found:
        yield found


class Both:
    """A cluster and a plain store to which the same happens."""

    def __init__(self, parts: Parts, seed: int) -> None:
        self.parts, self.plain, self.random = parts, MemoryStore(), random.Random(seed)
        self.pushed = self.plain.register_origin(PUSH_KIND, "watch")
        self.origins = [self.pushed, *(self.plain.register_origin("sync", name) for name in "ab")]
        self.people = [f"{name}{seed}" for name in PEOPLE]
        self.registry = PostgresRegistry(parts.database, ClickHousePeoplesReadings(parts.cluster, OPTIONS))

    def write(self) -> None:
        rows = [
            Reading(
                TEN + self.random.randrange(40) * SECOND * 3600,
                self.random.choice([7000, 7100]),
                self.random.choice(["b", "Zb", "a"]),
                self.random.choice([None, 0, 3]),
                self.random.choice(self.people),
            )
            for _ in range(self.random.randrange(1, 120))
        ]
        batch = batch_of(rows, self.random.choice(self.origins), self.random.choice(METRICS))
        afresh = self.random.random() < 0.2
        (self.plain.write_afresh if afresh else self.plain.write)([batch])
        self.parts.writer.write([batch], {self.pushed}, afresh=afresh)

    def delete(self) -> None:
        start_us = TEN + self.random.randrange(40) * SECOND * 3600
        asked = (self.random.choice(self.people), TimeRange(start_us, start_us + 8 * 3600 * SECOND))
        assert self.parts.writer.delete(*asked, "b") == self.plain.delete(*asked, "b")

    def put_priority(self) -> None:
        entry = DevicePriority(self.random.choice(self.people), self.random.choice(["b", "ranked"]), 1)
        self.plain.put_priority(entry)
        self.registry.put_priority(entry)

    def remove(self) -> None:
        person = self.random.choice(self.people)
        assert self.registry.remove_user(person) == self.plain.remove_user(person)

    def happen(self) -> None:
        self.random.choice([self.write, self.write, self.write, self.delete, self.parts.merge])()

    def more(self) -> None:
        self.random.choice([self.write, self.write, self.delete, self.parts.merge, self.put_priority, self.remove])()


@pytest.mark.parametrize("seed", range(2))
def test_readings_are_stored_under_the_origins_that_brought_them(parts: Parts, seed: int) -> None:
    both, reader = Both(parts, seed), StoredReader(parts.database, parts.cluster, OPTIONS)
    for _ in range(8):
        both.happen()
        expected = rows_of(both.plain.stored())
        assert [row for row in rows_of(reader.stored()) if row[0] in both.people] == expected
    exporter = Exporter(parts.database, parts.cluster, OPTIONS)
    part = TimeRange(TEN + 5 * 3600 * SECOND, TEN + 20 * 3600 * SECOND)
    for person in [*both.people, "nobody"]:
        assert reader.readings(person, part).equals(both.plain.readings(person, part))
    for people, metrics in ((both.people, None), ([both.people[1], "nobody"], METRICS[1:]), (both.people, [])):
        batches = list(exporter.export(part, people, metrics))
        if metrics:
            assert_in_order_of_export(batches)
        expected_rows = exported(both.plain.export(part, people, metrics))
        assert sorted(exported(batches), key=str) == sorted(expected_rows, key=str)
    rows = [
        Reading(TEN + hour * 3600 * SECOND, 1, device, None, person)
        for hour in range(0, 40, 3)
        for device in ("b", "a", "unknown")
        for person in [*both.people, "nobody"]
    ]
    for metric in METRICS:
        asked = batch_of([*rows, rows[0]], 1, metric)
        found, expected_values = reader.stored_values(asked), both.plain.stored_values(asked)
        for name in ("there", "values", "confidences", "origins"):
            assert np.array_equal(getattr(found, name), getattr(expected_values, name))


@pytest.mark.parametrize("seed", range(2, 4))
def test_what_is_stored_of_people_is_counted(parts: Parts, seed: int) -> None:
    both = Both(parts, seed)
    overviews = Overviews(parts.database, parts.cluster, OPTIONS)
    counter = OriginCounter(parts.database, parts.cluster, OPTIONS)
    before = counter.origin_readings(both.origins)
    for _ in range(6):
        both.more()
        both.more()
        assert overviews.users(str(seed), 10, None) == both.plain.users("", 10, None)
        expected = both.plain.origin_readings(both.origins)
        counted = counter.origin_readings([*both.origins, 99])
        assert counted == {number: before[number] + expected[number] for number in both.origins} | {99: 0}
        for person in [*both.people, "nobody"]:
            assert overviews.overview(person) == both.plain.overview(person)
            assert overviews.metrics(person) == both.plain.metrics(person)
            assert overviews.devices(person) == both.plain.devices(person)
            for metric in METRICS:
                assert overviews.last_time_us(person, "b", metric) == both.plain.last_time_us(person, "b", metric)


class Meanwhile(Exporter):
    """An export during which something else happens before each question for readings."""

    happens: Callable[[], object]

    def _of_group(self, *asked: Any) -> pa.Table:
        self.happens()
        return super()._of_group(*asked)


def test_merges_do_not_pass_an_export(parts: Parts) -> None:
    people = ["held", "other"]
    days = [TEN + day * 24 * 3600 * SECOND for day in range(3)]
    parts.write(*(Reading(day, 7000, user_id=person) for day in days for person in people))
    parts.merge()
    parts.write(*(Reading(day, 7100, user_id="held") for day in days))
    merged = []

    def happens() -> None:
        parts.write(*(Reading(day, 7200, user_id=person) for day in days for person in people))
        parts.writer.delete("held", EVER)
        merged.append(parts.merge())

    export = Meanwhile(parts.database, parts.cluster, OPTIONS)
    export.happens = happens
    found = exported(export.export(EVER, people))
    assert [(user, value) for user, _, _, value, *_ in found] == [("held", 7100), ("other", 7000)] * 3
    assert merged == [1, 0, 0], "what the export sees may be merged"
    assert parts.merger.step() > 0, "the export has let go of its state"


def test_nothing_is_found_in_an_empty_store() -> None:
    with opened(empty_store()) as parts:
        reader = StoredReader(parts.database, parts.cluster, OPTIONS)
        assert rows_of(reader.stored()) == rows_of(reader.readings("ann", EVER)) == []
        assert not reader.stored_values(batch_of([Reading(TEN, 1)], 1, HEART_RATE.name)).there.any()
