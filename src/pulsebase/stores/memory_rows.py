"""The readings and buckets of the memory store, in plain Python, and the tables made of them.

They share no bucket arithmetic with the rest of the package, or one mistake would pass on both sides of a comparison.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from pulsebase.model.readings import READING_SCHEMA, ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    RAW_SCHEMA,
    SeriesQuery,
)
from pulsebase.stores.deadline import Deadline

MINUTE_US = 60 * 1_000_000
DAY_US = 24 * 60 * MINUTE_US
QUARTER_US, HOUR_US = 15 * MINUTE_US, 60 * MINUTE_US
_COLUMNS = [name for name in READING_SCHEMA.names if name != "time"]
_BUCKET_US = {"1s": 1_000_000, "1m": MINUTE_US, "15m": 15 * MINUTE_US, "1h": 60 * MINUTE_US}


@dataclass(frozen=True, slots=True)
class KeptReading:
    """A stored reading, and the number of what brought it."""

    user_id: str
    device_id: str
    time_us: int
    value: int
    confidence: int | None
    metric: str
    origin: int

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells it from the person's other readings."""
        return self.time_us, self.device_id, self.metric

    @property
    def counts(self) -> bool:
        """Whether it counts in buckets."""
        return self.confidence != 0

    @property
    def minute_us(self) -> int:
        """The start of its minute."""
        return self.time_us // MINUTE_US * MINUTE_US

    def says_what(self, known: KeptReading) -> bool:
        """Whether both state the same."""
        return (self.value, self.confidence) == (known.value, known.confidence)


@dataclass(frozen=True, slots=True)
class KeptBucket:
    """What readings came to that are gone."""

    start_us: int
    count: int
    sum: int
    min: int
    max: int
    minutes: int

    @classmethod
    def of(cls, start_us: int, readings: list[KeptReading]) -> KeptBucket:
        values = [reading.value for reading in readings]
        minutes = {reading.minute_us for reading in readings}
        return cls(start_us, len(values), sum(values), min(values), max(values), len(minutes))


def readings_of(batch: ReadingBatch) -> list[KeptReading]:
    """Return the rows of a batch."""
    columns = [batch.table[name].to_pylist() for name in ("user_id", "device_id", "value", "confidence")]
    times_us = batch.table["time"].cast(pa.int64()).to_pylist()
    return [
        KeptReading(user_id, device_id, time_us, value, confidence, batch.metric, batch.origin)
        for time_us, user_id, device_id, value, confidence in zip(times_us, *columns, strict=True)
    ]


def is_inside(reading: KeptReading, interval: TimeRange) -> bool:
    """Whether the reading is in the interval."""
    return interval.start_us <= reading.time_us < interval.end_us


def is_whole(at_us: int, step_us: int, interval: TimeRange) -> bool:
    """Whether the step in which the time lies is in the interval from its start to its end."""
    start_us = at_us // step_us * step_us
    return interval.start_us <= start_us and start_us + step_us <= interval.end_us


def totals_row(user_id: str, readings: list[KeptReading], frozen: list[KeptBucket]) -> dict[str, Any]:
    """Return a person's row of totals."""
    return {
        "user_id": user_id,
        "count": len(readings) + sum(bucket.count for bucket in frozen),
        "sum": sum(reading.value for reading in readings) + sum(bucket.sum for bucket in frozen),
        "minutes": len({reading.minute_us for reading in readings}) + sum(bucket.minutes for bucket in frozen),
    }


def summary_order(summary: DailySummary) -> tuple[date, bool, bytes]:
    """By day, then method; a day without a method first."""
    method = summary.resting_heart_rate_method
    return summary.day, method is not None, (method or "").encode()


def table_of(readings: Iterable[KeptReading], schema: pa.Schema) -> pa.Table:
    """Return readings as a table, with the columns of the schema."""
    rows = [{name: getattr(reading, name) for name in schema.names} for reading in readings]
    return pa.Table.from_pylist(rows, schema=schema)


def record_batch(readings: list[KeptReading]) -> pa.RecordBatch:
    """Return readings as a batch of an export."""
    rows = [{"time": reading.time_us} | {name: getattr(reading, name) for name in _COLUMNS} for reading in readings]
    return pa.RecordBatch.from_pylist(rows, schema=READING_SCHEMA)


def raw_table(readings: list[KeptReading], deadline: Deadline) -> pa.Table:
    """Return a raw series."""
    deadline.check()
    in_order = sorted(readings, key=lambda reading: (reading.time_us, reading.device_id.encode()))
    return table_of((each for part in deadline.parts(in_order) for each in part), RAW_SCHEMA)


def bucket_table(
    query: SeriesQuery, readings: list[KeptReading], frozen: list[KeptBucket], deadline: Deadline
) -> pa.Table:
    """Return a series of buckets: those of the readings, and what expired readings have left."""
    groups: dict[int, list[KeptReading]] = {}
    for part in deadline.parts(readings):
        for reading in part:
            groups.setdefault(bucket_start(query, reading.time_us), []).append(reading)
    names_device = query.resolution.value in ("1s", "1m") and not query.include_all
    parts = deadline.parts(list(groups.items()))
    rows = {start_us: bucket_row(start_us, group, names_device) for part in parts for start_us, group in part}
    for bucket in frozen:
        start_us = bucket_start(query, bucket.start_us)
        rows[start_us] = _joined(start_us, rows.get(start_us), bucket)
    return pa.Table.from_pylist([rows[start_us] for start_us in sorted(rows)], schema=BUCKET_SCHEMA)


def _joined(start_us: int, row: dict[str, Any] | None, bucket: KeptBucket) -> dict[str, Any]:
    """A row of an answer with another bucket in it, which shares no minute with it."""
    if row is None:
        return {name: getattr(bucket, name) for name in ("count", "sum", "min", "max", "minutes")} | {
            "time_us": start_us,
            "device_id": None,
        }
    return row | {
        "count": row["count"] + bucket.count,
        "sum": row["sum"] + bucket.sum,
        "min": min(row["min"], bucket.min),
        "max": max(row["max"], bucket.max),
        "minutes": row["minutes"] + bucket.minutes,
    }


def bucket_start(query: SeriesQuery, time_us: int) -> int:
    """Return where the bucket that holds a time begins."""
    if query.resolution.value == "1d":
        return max(start_us for start_us in query.day_starts if start_us <= time_us)
    step_us = _BUCKET_US[query.resolution.value]
    return time_us // step_us * step_us


def bucket_row(start_us: int, readings: list[KeptReading], names_device: bool) -> dict[str, Any]:
    """Return a bucket of these readings."""
    values = [reading.value for reading in readings]
    return {
        "time_us": start_us,
        "count": len(values),
        "sum": sum(values),
        "min": min(values),
        "max": max(values),
        "minutes": len({reading.minute_us for reading in readings}),
        "device_id": readings[0].device_id if names_device else None,
    }
