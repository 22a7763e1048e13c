"""The harness that a backend supplies to be tested, and helpers that the tests of stores share."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, TypedDict, Unpack
from zoneinfo import ZoneInfo

import pyarrow as pa

from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import TimeRange, local_day_starts, to_us
from pulsebase.stores.contract import SeriesQuery, Store, TotalsQuery

#: user_id, device_id, time_us, value, confidence, metric, origin: the columns of `STORED_SCHEMA`.
StoredRow = tuple[str, str, int, int, int | None, str, int]
#: What identifies a reading: user_id, device_id, time_us, metric.
ReadingKey = tuple[str, str, int, str]

#: A list with one entry, which every thread of a test sees.
_metric = [HEART_RATE.name]


def metric_under_test() -> str:
    """Return the metric of readings and questions that name none. Each law is tested with one drawn at random."""
    return _metric[0]


@contextlib.contextmanager
def testing_metric(metric: str) -> Iterator[None]:
    """Test with this metric during the block."""
    before, _metric[0] = _metric[0], metric
    try:
        yield
    finally:
        _metric[0] = before


class Harness(ABC):
    """One store under test and the place of its data. A new harness holds a new, empty, open store."""

    store: Store

    #: Whether the open store keeps something of what it answers in memory. One that asks its server each time does not:
    #: after background work, the laws ask it once it was opened again, and not before that as well.
    keeps_in_memory: bool = True

    @abstractmethod
    def reopen(self) -> None:
        """Close the store and open the same data again, as `self.store`."""

    @abstractmethod
    def back_door(self) -> list[StoredRow]:
        """Return every stored reading, in any order. It must not use the store's own queries, because a mistake in them
        could hide a wrong write.
        """

    def settle(self) -> None:  # noqa: B027 a store without background work has nothing to do here
        """Finish the store's background work, such as merges, by whatever means."""

    def discard(self) -> None:
        """Close the store, and remove files that the harness made."""
        self.store.close()


class Kept:
    """Computes by hand what a store should hold after a sequence of rows; see `contract.Writer.write`."""

    def __init__(self, pushes: Collection[int]) -> None:
        self._pushes = pushes
        self._rows: dict[ReadingKey, tuple[int, int | None, int]] = {}

    def add(self, key: ReadingKey, value: int, confidence: int | None, origin: int) -> None:
        """Add a later row, which may be of the same reading."""
        before = self._rows.get(key)
        if before is None or before[:2] != (value, confidence) or origin in self._pushes:
            self._rows[key] = (value, confidence, origin)

    def drop(self, key: ReadingKey) -> None:
        """Delete the reading if there is one."""
        self._rows.pop(key, None)

    def rows(self) -> list[StoredRow]:
        """Return what should be stored, in any order."""
        return [
            (*key[:3], value, confidence, key[3], origin) for key, (value, confidence, origin) in self._rows.items()
        ]


class GivenReading(NamedTuple):
    """A reading as the tests write it: value in hundredths of a bpm, time in microseconds since 1970, UTC."""

    time_us: int
    value: int
    device_id: str = "device_a"
    confidence: int | None = None
    user_id: str = "ann"


def at(text: str) -> int:
    """Return the microseconds of a time in UTC, written as in ISO 8601 without an offset."""
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


def span(start: str, end: str) -> TimeRange:
    """Return the range between two times, written as for `at`. The end is excluded."""
    return TimeRange(at(start), at(end))


def batch_of(readings: Sequence[GivenReading], origin: int, metric: str | None = None) -> ReadingBatch:
    """Return the readings as a batch of one origin, in this order; of the metric under test unless one is given."""
    return ReadingBatch.of_columns(
        [reading.user_id for reading in readings],
        [reading.device_id for reading in readings],
        [reading.time_us for reading in readings],
        [reading.value for reading in readings],
        [reading.confidence for reading in readings],
        origin,
        metric or metric_under_test(),
    )


def write(store: Store, *readings: GivenReading) -> None:
    """Write one batch, in this order."""
    store.write([batch_of(readings, store.register_origin("test", "laws"))])


class Choices(TypedDict, total=False):
    """What a question may state besides its rung and range. By default the person is ann and the zone UTC."""

    user_id: str
    device_id: str | None
    include_all: bool
    zone: str
    limit: int | None
    metric: str


def ask(store: Store, rung: Resolution, asked: TimeRange, **choices: Unpack[Choices]) -> pa.Table:
    """Return the series over the range, widened to whole buckets as the query layer does it."""
    zone = ZoneInfo(choices.get("zone", "UTC"))
    day_starts = local_day_starts(asked, zone) if rung is Resolution.DAY else []
    return store.series(
        SeriesQuery(
            user_id=choices.get("user_id", "ann"),
            range=TimeRange(day_starts[0], day_starts[-1]) if day_starts else asked.widened(rung.step_us),
            resolution=rung,
            device_id=choices.get("device_id"),
            include_all=choices.get("include_all", False),
            day_starts=day_starts,
            limit=choices.get("limit"),
            timeout_s=600,
            metric=choices.get("metric", metric_under_test()),
        )
    )


def ask_hours(store: Store, asked: TimeRange, **choices: Unpack[Choices]) -> pa.Table:
    """Return the hours over the exact range, which may cut the first and the last."""
    return store.series(
        SeriesQuery(
            user_id=choices.get("user_id", "ann"),
            range=asked,
            resolution=Resolution.HOUR,
            device_id=choices.get("device_id"),
            include_all=choices.get("include_all", False),
            timeout_s=600,
            metric=choices.get("metric", metric_under_test()),
        )
    )


def totals(
    store: Store,
    asked: TimeRange,
    genders: Collection[str] | None = None,
    born_by: date | None = None,
    metric: str | None = None,
    *,
    born_after: date | None = None,
) -> list[tuple[Any, ...]]:
    """Return (user_id, count, sum, minutes) of everybody asked for who has a counted reading in the range."""
    wanted = None if genders is None else frozenset(genders)
    question = TotalsQuery(
        asked, wanted, born_by, timeout_s=600, metric=metric or metric_under_test(), born_after=born_after
    )
    return rows_of(store.totals(question))


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """Return the rows of a table as tuples."""
    return [tuple(row.values()) for row in table.to_pylist()]


def last_time_us(store: Store, user_id: str, device_id: str) -> int | None:
    """Return the time of a device's last reading of the metric under test."""
    return store.last_time_us(user_id, device_id, metric_under_test())
