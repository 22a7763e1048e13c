"""A check compares what is kept twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulsebase.model.timerange import HOUR_US, MINUTE_US, TimeRange
from pulsebase.stores.clickhouse.check import Checker
from pulsebase.stores.clickhouse.numbers import people_by_number
from tests.stores.clickhouse import OPTIONS, Parts, new_store, opened
from tests.stores.harness import Reading, at
from tests.stores.test_clickhouse_stored import METRICS

TEN = at("2024-01-15T10:00:00")


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(new_store()) as found:
        yield found


def test_a_check_finds_rollups_that_differ_and_rows_of_nobody(parts: Parts) -> None:
    checker = Checker(parts.database, parts.cluster, OPTIONS)
    assert checker.check().problems == ()
    for metric in METRICS:
        parts.write(
            *(Reading(TEN + n * MINUTE_US, 7000, "ab"[n % 2], None, f"p{n % 3}") for n in range(90)), metric=metric
        )
    parts.write(Reading(TEN, 7000))
    parts.writer.delete("p0", TimeRange(TEN, TEN + HOUR_US))
    assert checker.check().problems == ()
    parts.merger.merge_all()
    parts.write(Reading(TEN, 7100))
    report = checker.check()
    assert (report.readings, report.problems) == (2 * 60 + 2 * 10 + 1, ())
    assert report.rollup_rows > 100
    (shard, *_) = [
        server
        for server in parts.cluster.shards().values()
        if server.ask("SELECT count() AS n FROM hours WHERE notEmpty(of.device)", 30)["n"][0].as_py() > 2
    ]
    shard.command(
        "ALTER TABLE minutes UPDATE `of.n` = arrayMap(n -> n + 1, `of.n`) WHERE minute % 7 = 0 "
        "SETTINGS mutations_sync = 2",
        30,
    )
    assert any("minutes of shard" in problem for problem in checker.check().problems)
    for table, called in (("hours_by_time", "hours by time"), ("days", "days")):
        shard.command(
            f"ALTER TABLE {table} UPDATE `of.sum` = arrayMap(s -> s + 1, `of.sum`) WHERE true "
            "SETTINGS mutations_sync = 2",
            30,
        )
        assert any(f"{called} of shard" in problem for problem in checker.check().problems)
    person = max(parts.database.read(people_by_number))
    shard.command(f"INSERT INTO hours SELECT * REPLACE ({person} + 1000 AS person) FROM hours LIMIT 1", 30)
    assert any("not known" in problem for problem in checker.check().problems)
