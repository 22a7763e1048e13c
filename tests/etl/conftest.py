"""A pipeline over a store, a made-up source, and a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.load import ReadingLoader
from pulsebase.etl.pipeline import Pipeline
from pulsebase.etl.registry import HEART_RATE
from pulsebase.etl.state import RunReport, SqliteSyncState
from pulsebase.etl.transform.device import DevicePage, DeviceTransformer
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.model.timerange import DAY_US, HOUR_US, TimeRange
from pulsebase.stores.contract import Store
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.open import open_store
from tests.etl.desk import Desk
from tests.stores.harness import at
from tests.support.stores import named_store

START_US = at("2025-03-01T00:00:00")


@dataclass
class Clock:
    at_us: int

    def now_us(self) -> int:
        return self.at_us


@dataclass
class Cloud:
    """What a made-up source holds, by time, and what it was asked. An error comes at the first question in its day."""

    readings: dict[int, float] = field(default_factory=dict)
    asked: list[TimeRange] = field(default_factory=list)
    errors: dict[int, Exception] = field(default_factory=dict)

    def put(self, start_us: int, count: int, bpm: float = 60.0, step_us: int = HOUR_US) -> None:
        self.readings |= {start_us + place * step_us: bpm + place % 5 for place in range(count)}


class CloudExtractor(Extractor[DevicePage]):
    source = "made-up"
    device_id = "band"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DevicePage]:
        self._cloud.asked.append(interval)
        error = self._cloud.errors.pop(interval.start_us // DAY_US, None)
        if error is not None:
            raise error
        times = sorted(at for at in self._cloud.readings if interval.start_us <= at < interval.end_us)
        bpm = [self._cloud.readings[at] for at in times]
        none = np.full(len(times), -1, np.int8)
        yield DevicePage(user_id, self.device_id, np.array(times, np.int64), np.array(bpm, np.float64), none)


@dataclass
class World:
    store: Store
    ingestor: Ingestor
    state: SqliteSyncState
    clock: Clock
    cloud: Cloud

    def pipeline(self, *, batch_rows: int = 24, delta: bool = True, upsert: bool = True) -> Pipeline:
        loader = ReadingLoader(self.ingestor, self.store, ReadingRules(now_us=self.clock.now_us), upsert=upsert)
        return Pipeline(
            CloudExtractor.source,
            {HEART_RATE: CloudExtractor(self.cloud)},
            {HEART_RATE: DeviceTransformer()},
            {HEART_RATE: loader},
            self.state,
            batch_rows=batch_rows,
            delta=delta,
        )

    def run(self, pipeline: Pipeline | None = None, lookback_us: int = DAY_US) -> RunReport:
        """One run from `START_US` to now; `cloud.asked` then holds its questions alone."""
        self.cloud.asked.clear()
        within = TimeRange(START_US, self.clock.at_us)
        return (pipeline or self.pipeline()).run("ann", HEART_RATE, within, lookback_us=lookback_us).report

    def stored(self) -> dict[int, float]:
        columns = self.store.stored().to_pydict()
        return {time_us: value / 100 for time_us, value in zip(columns["time_us"], columns["value"], strict=True)}

    def asked_days(self) -> list[int]:
        """The days asked for, counted from the start."""
        return [(part.start_us - START_US) // DAY_US for part in self.cloud.asked]


@pytest.fixture(params=["memory", "duckdb"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    store = open_store(named_store(request.param, tmp_path)["store_url"])
    ingestor = Ingestor(store)
    state = SqliteSyncState(tmp_path / "state.sqlite")
    yield World(store, ingestor, state, Clock(START_US + 4 * DAY_US), Cloud())
    state.close()
    ingestor.close()
    store.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    store = MemoryStore()
    ingestor = Ingestor(store)
    yield Desk(store, ingestor)
    ingestor.close()
