from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pulsebase.etl import Pipeline, extractors, loaders, transformers
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.model.timerange import HOUR_US, TimeRange
from pulsebase.sources.synthetic import DEMO_PEOPLE, samples_between
from pulsebase.stores.memory import MemoryStore

#: 2025-03-28T22:00Z: a day and a bit before the clocks of one of the two people change.
START_US = 1_743_199_200_000_000


@dataclass
class Clock:
    at_us: int

    def now_us(self) -> int:
        return self.at_us


@dataclass
class World:
    """A pipeline over a memory store, with a clock of its own."""

    store: MemoryStore
    ingestor: Ingestor
    clock: Clock

    def pipeline(self, start_us: int = START_US, batch_rows: int = 5_000) -> Pipeline:
        rules = ReadingRules(now_us=self.clock.now_us)
        return Pipeline(
            extractors(DEMO_PEOPLE),
            transformers(),
            loaders(self.ingestor, self.store, self.store, rules),
            start_us=start_us,
            batch_rows=batch_rows,
            now_us=self.clock.now_us,
        )

    def stored(self) -> list[tuple[str, str, int, int, int | None]]:
        columns = self.store.stored().to_pydict()
        names = ("user_id", "device_id", "time_us", "value", "confidence")
        return list(zip(*(columns[name] for name in names), strict=True))


def recorded(user_id: str, start_us: int, end_us: int) -> list[tuple[str, str, int, int, int | None]]:
    """What the synthetic person's devices hold, as the store should hold it."""
    person = next(person for person in DEMO_PEOPLE if person.user_id == user_id)
    rows = [
        (user_id, piece.device_id, time_us, round(bpm * 100), None if confidence < 0 else confidence)
        for piece in samples_between(person, TimeRange(start_us, end_us))
        for time_us, bpm, confidence in zip(
            piece.times_us.tolist(), piece.bpm.tolist(), piece.confidences.tolist(), strict=True
        )
    ]
    return sorted(rows, key=lambda row: row[:3])


@pytest.fixture
def world() -> Iterator[World]:
    store = MemoryStore()
    ingestor = Ingestor(store)
    yield World(store, ingestor, Clock(START_US + 30 * HOUR_US))
    ingestor.close()
    store.close()
