"""Helpers of the laws: moments, states of a store, and answers in short forms."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar, Unpack
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from pulsebase.model.readings import READING_SCHEMA
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import (
    DAY_US,
    HOUR_US,
    MAX_US,
    MINUTE_US,
    SECOND_US,
    TimeRange,
    format_us,
    local_day_starts,
)
from pulsebase.stores.contract import (
    EXPORT_BATCH_READINGS,
    Store,
)
from pulsebase.testing.harness import Choices, Harness, ask, at, rows_of, span
from pulsebase.testing.harness import GivenReading as Reading

T = TypeVar("T")

RAW, SECOND, MINUTE, QUARTER, HOUR, DAY = Resolution
BUCKETED = [SECOND, MINUTE, QUARTER, HOUR, DAY]
TEN = at("2024-01-15T10:00:00")
THAT_DAY = span("2024-01-15", "2024-01-16")
ALWAYS = TimeRange(0, MAX_US)

#: Whether the store's background work had caught up with the first write when the second came.
settled_or_not = pytest.mark.parametrize("settled", [False, True], ids=["unsettled", "settled"])


def states(harness: Harness) -> Iterator[Store]:
    """Yield the store at once, after its background work, and reopened. The answers must be the same each time. What
    keeps nothing in memory is not asked between the last two.
    """
    yield harness.store
    harness.settle()
    if harness.keeps_in_memory:
        yield harness.store
    harness.reopen()
    yield harness.store


def states_and(harness: Harness, values: Iterable[T]) -> Iterator[tuple[Store, T]]:
    """Yield the store with each of the values, in one state after the other."""
    values = list(values)
    for store in states(harness):
        for value in values:
            yield store, value


def raw(store: Store, asked: TimeRange = THAT_DAY, **choices: Unpack[Choices]) -> list[tuple[int, int, str]]:
    """Return raw rows as (microseconds after ten o'clock, value, device)."""
    rows = rows_of(ask(store, RAW, asked, **choices))
    return [(time_us - TEN, value, device_id) for time_us, value, device_id, _ in rows]


def figures(
    store: Store, rung: Resolution, asked: TimeRange = THAT_DAY, **choices: Unpack[Choices]
) -> list[tuple[str, int, int, int, int, int]]:
    """Return buckets as (time, count, sum, min, max, minutes)."""
    rows = rows_of(ask(store, rung, asked, **choices))
    return [(format_us(time_us), *numbers) for time_us, *numbers, _ in rows]


def day_figures(store: Store, **choices: Unpack[Choices]) -> tuple[int, int, int, int, int]:
    """Return (count, sum, min, max, minutes) of the day that holds all readings. Also check that every rung agrees with
    raw.
    """
    assert_rungs_follow_from_raw(store, THAT_DAY, **choices)
    ((_, count, total, low, high, minutes),) = figures(store, DAY, **choices)
    return count, total, low, high, minutes


def assert_rungs_follow_from_raw(
    store: Store, asked: TimeRange, rungs: Sequence[Resolution] = BUCKETED, **choices: Unpack[Choices]
) -> None:
    """Check law 5: every bucketed answer is what a plain loop computes from the counted readings in the raw answer."""
    day_starts = local_day_starts(asked, ZoneInfo(choices.get("zone", "UTC")))
    hours = asked.widened(HOUR_US)
    widest = TimeRange(min(day_starts[0], hours.start_us), max(day_starts[-1], hours.end_us))
    counted = [row for row in rows_of(ask(store, RAW, widest, **choices)) if row[3] != 0]
    for rung in rungs:
        whole = TimeRange(day_starts[0], day_starts[-1]) if rung is DAY else asked.widened(rung.step_us)
        groups: dict[int, list[tuple[int, int, str]]] = {}
        for time_us, value, device_id, _ in counted:
            if whole.start_us <= time_us < whole.end_us:
                step_us = rung.step_us
                at_day = day_starts[bisect_right(day_starts, time_us) - 1]
                start_us = at_day if rung is DAY else time_us // step_us * step_us
                groups.setdefault(start_us, []).append((time_us, value, device_id))
        names_device = rung in (SECOND, MINUTE) and not choices.get("include_all")
        expected = [bucket_of(start_us, rows, names_device) for start_us, rows in sorted(groups.items())]
        assert rows_of(ask(store, rung, asked, **choices)) == expected, rung


def bucket_of(start_us: int, rows: list[tuple[int, int, str]], names_device: bool) -> tuple[int | str | None, ...]:
    """Return the bucket of these rows of (time, value, device), in the form of `BUCKET_SCHEMA`."""
    values = [value for _, value, _ in rows]
    minutes = {time_us // MINUTE_US for time_us, *_ in rows}
    device_id = rows[0][2] if names_device else None
    return start_us, len(values), sum(values), min(values), max(values), len(minutes), device_id


def bucket_rows(
    store: Store, rung: Resolution, asked: TimeRange, **choices: Unpack[Choices]
) -> list[tuple[int | str | None, ...]]:
    """Return buckets in the form of `BUCKET_SCHEMA`."""
    return rows_of(ask(store, rung, asked, **choices))


def values_by_device(store: Store) -> dict[str, list[int]]:
    """Return what `stored` answers about ann."""
    found: dict[str, list[int]] = {}
    for user_id, device_id, _, value, *_ in rows_of(store.stored()):
        if user_id == "ann":
            found.setdefault(device_id, []).append(value)
    return found


def scattered(seed: int, count: int, days: TimeRange) -> list[Reading]:
    """Return reproducible readings of three devices: some at edges, some uncounted, some twice."""
    dice = random.Random(seed)
    edges = [0, 1, -1, SECOND_US, MINUTE_US - 1, MINUTE_US // 2]
    return [
        Reading(
            dice.randrange(days.start_us, days.end_us, HOUR_US // 4) + dice.choice(edges),
            dice.randint(3000, 22000),
            dice.choice(["device_a", "device_b", "strap"]),
            dice.choice([None, 0, 1, 2, 3]),
        )
        for _ in range(count)
    ]


def exported(batches: Iterable[pa.RecordBatch]) -> list[tuple[str, str, int, int, int | None, str]]:
    """Return the rows of an export as (person, device, time, value, confidence, metric)."""
    found = []
    for batch in batches:
        assert batch.schema.equals(READING_SCHEMA)
        assert 0 < batch.num_rows <= EXPORT_BATCH_READINGS
        table = pa.Table.from_batches([batch])
        table = table.set_column(2, "time", table["time"].cast(pa.int64()))
        found += rows_of(table)
    return found


def assert_in_order_of_export(batches: Sequence[pa.RecordBatch]) -> None:
    """Check the order of an export: days ascend, no batch spans two days, and within a day the readings are grouped by
    person and in order of time for each device.
    """
    days = []
    groups: dict[int, list[tuple[str, str, int]]] = {}
    for batch in batches:
        rows = [(user, device, time_us) for user, device, time_us, *_ in exported([batch])]
        (day,) = {time_us // DAY_US for *_, time_us in rows}
        days.append(day)
        groups.setdefault(day, []).extend(rows)
    assert days == sorted(days)
    for rows in groups.values():
        for place in (0, 1):
            runs = [key for key, _ in groupby(row[: place + 1] for row in rows)]
            assert len(runs) == len(set(runs))
        for _, run in groupby(rows, key=lambda row: row[:2]):
            times_us = [time_us for *_, time_us in run]
            assert times_us == sorted(times_us)
