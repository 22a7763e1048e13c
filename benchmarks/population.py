"""A whole population and what is asked of it: the readings of `pulsebase fixtures`, in every system the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from benchmarks.system import Running, System
from benchmarks.workloads import DAY_S, WEEK_S
from pulsebase.sources.fixtures import DEVICES, FixtureReadings, FixtureSpec, fixture_readings

HOUR_S = 3_600
#: The people of a question: (older than, of these genders, with an average above). `men` is the example of the
#: specification.
COHORTS = {"everybody": (17, ("female", "male", "other"), 75.0), "men": (24, ("male",), 60.0)}


@dataclass(frozen=True, slots=True)
class CohortQuestion:
    """Who of these people has an average above `min_average` over [start_s, end_s)?"""

    kind: str
    min_age: int
    genders: tuple[str, ...]
    min_average: float
    start_s: int
    end_s: int


@dataclass(frozen=True, slots=True)
class TopHoursQuestion:
    """What are a person's highest hourly averages in [start_s, end_s)?"""

    person: int
    start_s: int
    end_s: int


@runtime_checkable
class Populated(System, Protocol):
    """A system that holds populations and is asked about them."""

    def populate(self, running: Running, spec: FixtureSpec) -> None:
        """Store the people and their readings, and bring to its end whatever follows that in the background."""
        ...

    def late(self, body: bytes) -> bytes:
        """Readings as an Arrow stream, as a request."""
        ...

    def ask_cohort(self, question: CohortQuestion) -> bytes: ...

    def ask_top_hours(self, question: TopHoursQuestion) -> bytes: ...


def span_s(spec: FixtureSpec) -> tuple[int, int]:
    """The first midnight in UTC and the time of the last reading, in seconds."""
    start_s = int(datetime.combine(spec.first_day, time(), UTC).timestamp())
    last_us = max(int(piece.times_us.max()) for piece in fixture_readings(spec, 1_000_000))
    return start_s, last_us // 1_000_000


def cohort_questions(
    seed: int, span: tuple[int, int], count: int, *, step_s: int, name: str = ""
) -> Iterator[CohortQuestion]:
    """Questions over most of the time: the start in its first third, the end in its last, both on whole steps."""
    rng = np.random.default_rng([seed, 4, step_s])
    start_s, end_s = span
    third_s = (end_s - start_s) // 3
    for _ in range(count):
        for kind, people in COHORTS.items():
            first_s = start_s + int(rng.integers(third_s)) // step_s * step_s
            last_s = (end_s - int(rng.integers(third_s))) // step_s * step_s
            yield CohortQuestion(f"{name}{kind}", *people, first_s, max(last_s, first_s + step_s))


def top_hours_questions(seed: int, people: int, span: tuple[int, int], count: int) -> Iterator[TopHoursQuestion]:
    """Random people, and periods of a day up to a year."""
    rng = np.random.default_rng([seed, 5])
    start_s, end_s = span
    for _ in range(count):
        first_s, last_s = np.sort(rng.integers(start_s, end_s - DAY_S, 2)).tolist()
        yield TopHoursQuestion(int(rng.integers(1, people + 1)), first_s, last_s + DAY_S)


def late_readings(seed: int, people: int, end_s: int, count: int) -> FixtureReadings:
    """Readings of anybody, from anywhere in the last week."""
    rng = np.random.default_rng([seed, 6])
    return FixtureReadings(
        rng.integers(1, people + 1, count).astype(np.int32),
        np.full(count, DEVICES.index("device_b"), np.int8),
        end_s * 1_000_000 - rng.integers(1, WEEK_S * 1_000_000, count),
        rng.integers(50, 120, count).astype(np.int16),
        np.full(count, 3, np.int8),
    )


def arrow_body(readings: FixtureReadings) -> bytes:
    """The readings as the Arrow stream of our bulk door."""
    ids = pa.array([str(number) for number in range(int(readings.people.max()) + 1)])
    batch = pa.record_batch(
        {
            "user_id": pa.DictionaryArray.from_arrays(pa.array(readings.people), ids),
            "device_id": pa.DictionaryArray.from_arrays(pa.array(readings.devices), pa.array(DEVICES)),
            "timestamp": pa.array(readings.times_us).cast(pa.timestamp("us", "UTC")),
            "heart_rate": pa.array(readings.bpm.astype(np.float64)),
            "confidence": pa.array(readings.confidences),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())
