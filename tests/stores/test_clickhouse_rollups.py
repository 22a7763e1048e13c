"""Merges keep what readings come to: the minutes and hours of each device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pulsebase.model.timerange import MINUTE_US, SECOND_US, TimeRange
from tests.stores.clickhouse import IMPORTED, PUSHED, SYNCED, Parts, new_store, opened
from tests.stores.harness import Reading, at

TEN = at("2024-01-15T10:00:00")


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(new_store()) as found:
        yield found


def kept(parts: Parts, table: str) -> list[dict[str, Any]]:
    """The rows of a table of rollups, by time."""
    shards = parts.cluster.shards().values()
    rows = [row for server in shards for row in server.ask(f"SELECT * FROM {table} FINAL", 30).to_pylist()]
    return sorted(rows, key=lambda row: row["version"])


def test_minutes_and_hours_tell_what_is_left_of_each_device(parts: Parts) -> None:
    parts.write(Reading(TEN, 7000, "a"), Reading(TEN + SECOND_US, 7200, "a"), origin=PUSHED)
    parts.write(Reading(TEN + 2 * SECOND_US, 9999, "a", 0), origin=SYNCED)
    parts.write(Reading(TEN, 6000, "b"), Reading(TEN + MINUTE_US, 6500, "b"), origin=IMPORTED)
    parts.merge()
    (hour,) = kept(parts, "hours")
    assert hour["of.present"] == [[1, 2], [1, 2], [2]]
    assert hour["of.device"] == [1, 2, 2]
    assert hour["of.minutes"] == [1, 1, 1]
    assert hour["of.n"] == [2, 1, 1]
    assert hour["of.sum"] == [14200, 6000, 6500]
    assert (hour["of.min"][0], hour["of.max"][0]) == (7000, 7200)
    assert hour["of.n_all"] == [3, 1, 1]
    assert (hour["of.first"][0], hour["of.last"][0]) == (TEN, TEN + 2 * SECOND_US)
    assert (hour["of.first_origin"], hour["of.last_origin"]) == ([1, 3, 3], [2, 3, 3])

    assert parts.writer.delete("ann", TimeRange(TEN, TEN + SECOND_US)) == 2
    parts.merge()
    (hour,) = kept(parts, "hours")
    assert (hour["of.present"], hour["of.device"], hour["of.n"]) == ([[1], [2]], [1, 2], [1, 1])
    assert hour["of.n_all"] == [2, 1]

    assert parts.writer.delete("ann", TimeRange(TEN, TEN + 2 * MINUTE_US)) == 3
    parts.merge()
    (hour,) = kept(parts, "hours")
    assert hour["of.device"] == []
    assert [row["of.device"] for row in kept(parts, "minutes")] == [[], []]
