"""The server's clock jumps by a day, forward or back: what is accepted follows it, and nothing else does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pulsebase.ingest import Candidates, ReadingRules, validate
from pulsebase.ingest.committer import Ingestor
from pulsebase.model.errors import QueryTimeoutError
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, MINUTE_US, SECOND_US, TimeRange
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from tests.stores.harness import ask, rows_of
from tests.support.process import wait_until

DAY_S = 86_400
#: Hours of work, unless something stops it.
ENDLESS = "SELECT sum(hash(a.i + b.i)) FROM range(10000000) AS a(i), range(1000000) AS b(i)"

JUMPS = pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["a day forward", "a day back"])


class Clock:
    """What the process takes for the time of day."""

    def __init__(self) -> None:
        self.ahead_s = 0
        self.time, self.time_ns = time.time, time.time_ns

    def now_us(self) -> int:
        return self.time_ns() // 1000 + self.ahead_s * SECOND_US


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: clock.time() + clock.ahead_s)
    monkeypatch.setattr(time, "time_ns", lambda: clock.time_ns() + clock.ahead_s * 1_000_000_000)
    return clock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckdbStore]:
    store = DuckdbStore(tmp_path / "store.duckdb", DuckdbOptions(memory_limit="256MiB", merge_interval_s=0.05))
    yield store
    store.close()


def candidates(*times_us: int) -> Candidates:
    count = len(times_us)
    columns = (np.array(times_us, np.int64), np.full(count, 70.0), np.full(count, -1, np.int8))
    return Candidates(["ann"] * count, ["device_a"] * count, *columns)


@JUMPS
@pytest.mark.parametrize("given", [False, True], ids=["the system's clock", "a clock that is given"])
def test_the_bound_of_the_future_follows_the_clock(clock: Clock, jump_s: int, given: bool) -> None:
    rules, before_us = ReadingRules(now_us=clock.now_us) if given else ReadingRules(), clock.now_us()
    after_us = before_us + jump_s * SECOND_US
    near, far = 9 * MINUTE_US, 12 * MINUTE_US
    assert validate(candidates(before_us + near), rules, 1).errors == []
    assert validate(candidates(before_us + far), rules, 1).accepted is None
    clock.ahead_s = jump_s
    assert validate(candidates(after_us + near, after_us), rules, 1).errors == []
    verdict = validate(candidates(after_us + far, after_us - DAY_US), rules, 1)
    assert [(error.field, error.index) for error in verdict.errors] == [("timestamp", 0)]
    assert verdict.accepted is not None


@JUMPS
def test_nothing_is_stored_twice_and_merges_go_on(store: DuckdbStore, clock: Clock, jump_s: int) -> None:
    rules, start_us = ReadingRules(), clock.now_us() - 3 * DAY_US
    times_us = [start_us + n * SECOND_US for n in range(100)]
    ingestor = Ingestor(store)
    for turn in range(4):
        clock.ahead_s = jump_s * (turn % 2)
        batch = validate(candidates(*times_us), rules, store.register_origin("test", f"clock {turn}")).accepted
        assert batch is not None
        ingestor.write(batch)
        merges = store.statistics()["merges"]
        # The first one may have begun before the write.
        wait_until(lambda: store.statistics()["unmerged_rows"] == 0, f"a merge after {merges}")
    ingestor.close()
    assert [row[2] for row in rows_of(store.stored())] == times_us
    asked = TimeRange(start_us, start_us + MINUTE_US * 2)
    assert ask(store, Resolution.RAW, asked).num_rows == 100
    assert store.check().problems == ()
    assert store.statistics()["merges"] >= 4


def test_the_lag_of_merges_is_that_of_the_oldest_reading_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0
    monkeypatch.setattr(time, "monotonic", lambda: float(now_s))
    batch = validate(candidates(1_705_312_800_000_000), ReadingRules(), 1).accepted
    assert batch is not None
    with contextlib.closing(DuckdbStore(tmp_path / "store.duckdb", DuckdbOptions(merge_interval_s=3_600))) as store:
        lags = []
        for step in ("nothing", "write", "write", "merge", "write"):
            now_s += 10
            if step == "write":
                store.write([batch])
            elif step == "merge":
                store.merge()
            now_s += 1
            lags.append(store.statistics()["merge_lag_seconds"])
        assert lags == [0, 1, 12, 0, 1]


@JUMPS
def test_time_limits_of_questions_hold(store: DuckdbStore, clock: Clock, jump_s: int) -> None:
    clock.ahead_s = jump_s
    with pytest.raises(QueryTimeoutError):
        store.select(ENDLESS, 1, 0.3)
    back = threading.Timer(0.1, setattr, (clock, "ahead_s", 0))  # while the next one runs
    back.start()
    with pytest.raises(QueryTimeoutError):
        store.select(ENDLESS, 1, 0.5)
    back.join()
    clock.ahead_s = jump_s
    assert store.select("SELECT 1 AS one", 1, 60).to_pylist() == [{"one": 1}]
    store.ping()
