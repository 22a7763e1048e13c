"""Groups of times come from the coarsest resolution that fits, and are what the readings come to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.influxql.readings import ReadingBudget, Readings, SeriesOf
from pulsebase.influxql.times import windows_of
from pulsebase.influxql.values import I64
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.stores.contract import SeriesQuery
from pulsebase.stores.duckdb.store import DuckdbStore
from pulsebase.stores.wrapper import WrapperStore
from tests.influxql.conftest import START_S, Ours, Point, write

Rows = tuple[I64, I64]
START_US = START_S * 1_000_000
#: Clocks go forward in between.
SPRING_S = 1_711_670_400 - START_S  # 2024-03-29T00:00:00Z


def points(device: str, step_s: int, value: float) -> list[Point]:
    rng = np.random.default_rng(step_s)
    seconds = np.arange(SPRING_S, SPRING_S + 4 * 86_400, step_s)
    kept = seconds[rng.random(len(seconds)) < 0.7]
    return [("heart_rate", "ann", device, int(second), value + int(second) // 7 % 60) for second in kept]


class Watched(WrapperStore):
    """A store that notes what it is asked."""

    def __init__(self, inner: DuckdbStore) -> None:
        super().__init__(inner)
        self.asked: list[SeriesQuery] = []

    def series(self, query: SeriesQuery) -> pa.Table:
        """See `contract.Reader.series`."""
        self.asked.append(query)
        return self._inner.series(query)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckdbStore]:
    """Two devices that take turns, and readings that do not count."""
    made = DuckdbStore(tmp_path_factory.mktemp("plan") / "store.duckdb")
    write(made, points("device_a", 601, 60), confidence=3)
    write(made, points("device_b", 97, 90))
    write(made, points("device_b", 1_001, 150), confidence=0)
    made.settle()
    write(made, points("device_a", 7_919, 40), confidence=2)  # waits to be merged
    yield made
    made.close()


@pytest.fixture(scope="module")
def rows(store: DuckdbStore) -> Rows:
    """The readings that count."""
    everything = TimeRange(START_US, START_US + 120 * DAY_US)
    table = store.series(SeriesQuery("ann", everything, Resolution.RAW))
    return table["time_us"].to_numpy(), table["value"].to_numpy()


ZONES = [None, "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
STEPS = [MINUTE_US, 7 * MINUTE_US, 15 * MINUTE_US, HOUR_US, 6 * HOUR_US, DAY_US, 3 * DAY_US, 7 * DAY_US, 17_000_000]


ASKED = st.tuples(
    st.integers(0, 5 * 86_400_000),
    st.integers(1, 5 * 86_400_000),
    st.sampled_from(STEPS),
    st.sampled_from([0, 0, HOUR_US, -25 * MINUTE_US]),
    st.sampled_from(ZONES),
)


@settings(max_examples=100, deadline=None)
@given(ASKED)
def test_groups_are_what_their_readings_come_to(
    store: DuckdbStore, rows: Rows, asked: tuple[int, int, int, int, str | None]
) -> None:
    start_ms, length_ms, step_us, offset_us, zone = asked
    start_us = START_US + (SPRING_S * 1_000 + start_ms) * 1_000
    interval = TimeRange(start_us, start_us + length_ms * 1_000)
    windows = windows_of(interval, step_us, offset_us, None if zone is None else ZoneInfo(zone), 1_000_000)
    readings = Readings(store, ReadingBudget(None, lambda _: None))
    found = readings.totals([SeriesOf("ann")], HEART_RATE, windows)
    times_us, values = rows
    for number, (first_us, end_us) in enumerate(pairwise(windows.edges.tolist())):
        inside = (times_us >= max(first_us, interval.start_us)) & (times_us < min(end_us, interval.end_us))
        assert found.count[number] == inside.sum()
        if inside.any():
            group = values[inside].astype(np.int64)
            assert (found.sum[number], found.min[number], found.max[number]) == (group.sum(), group.min(), group.max())


YEAR = "user_id = 'ann' AND time >= '2023-06-01T00:00:00Z' AND time < '2024-06-01T00:00:00Z'"


@pytest.mark.parametrize(
    ("statement", "rungs", "most"),
    [
        (f"SELECT mean(value) FROM heart_rate WHERE {YEAR} GROUP BY time(1d)", {"1d"}, 6),
        (f"SELECT mean(value), max(value) FROM heart_rate WHERE {YEAR} GROUP BY time(1w)", {"1d"}, 6),
        (f"SELECT spread(value) FROM heart_rate WHERE {YEAR}", {"1d"}, 6),
        (f"SELECT mean(value) FROM heart_rate WHERE {YEAR} AND time > now() - 5001h", {"1h", "1d"}, 120),
        (f"SELECT mean(value) FROM heart_rate WHERE {YEAR} GROUP BY time(1d) tz('Europe/Berlin')", {"1h", "1d"}, 120),
        (f"SELECT mean(value) FROM heart_rate WHERE {YEAR} GROUP BY time(6h)", {"1h"}, 120),
        (f"SELECT mean(value) FROM heart_rate WHERE {YEAR} GROUP BY time(6h, 30m)", {"15m"}, 480),
        (f"SELECT last(value) FROM heart_rate WHERE {YEAR}", {"1d", "1h", "raw"}, 100),
        (f"SELECT max(value), user_id FROM heart_rate WHERE {YEAR}", {"1d", "1h", "raw"}, 100),
        ("SELECT * FROM heart_rate WHERE user_id = 'ann' ORDER BY time DESC LIMIT 1", {"raw"}, 60),
        ("SELECT first(value) FROM heart_rate WHERE user_id = 'ann'", {"1h", "raw"}, 160),
    ],
)
def test_a_long_range_reads_few_buckets(store: DuckdbStore, statement: str, rungs: set[str], most: int) -> None:
    watched = Watched(store)
    (answer,) = Ours(watched).answers(statement)
    assert answer.series
    assert {query.resolution.value for query in watched.asked} == rungs
    assert sum(store.series(query).num_rows for query in watched.asked) <= most
