"""What a store is asked, and the columns of its answers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa

from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import TimeRange

#: A raw answer: one row a reading, by time, then device. `value` in hundredths of the unit.
RAW_SCHEMA = pa.schema(
    [
        pa.field("time_us", pa.int64(), nullable=False),
        pa.field("value", pa.int16(), nullable=False),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("confidence", pa.int8()),
    ]
)


#: A bucketed answer: one row a bucket with at least one counted reading, by time. `sum`, `min`, `max` in hundredths.
#: `device_id` is the device of the readings where a bucket can have only one: 1s and 1m without `include_all`, else
#: null.
BUCKET_SCHEMA = pa.schema(
    [
        pa.field("time_us", pa.int64(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("sum", pa.int64(), nullable=False),
        pa.field("min", pa.int16(), nullable=False),
        pa.field("max", pa.int16(), nullable=False),
        pa.field("minutes", pa.int64(), nullable=False),
        pa.field("device_id", pa.string()),
    ]
)


#: What people's readings of a period come to: one row a person with at least one counted reading, by id (bytes).
TOTALS_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("sum", pa.int64(), nullable=False),
        pa.field("minutes", pa.int64(), nullable=False),
    ]
)


#: Every stored reading, as the back door of the tests and exports see it.
STORED_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("time_us", pa.int64(), nullable=False),
        pa.field("value", pa.int16(), nullable=False),
        pa.field("confidence", pa.int8()),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("origin", pa.int32(), nullable=False),
    ]
)


class Cancellation:
    """Lets whoever asked a question take it back while it is answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop what runs now and whatever would come after it."""
        with self._lock:
            self._cancelled = True
            for stop in self._stops:
                stop()

    @contextlib.contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` if the question is taken back during the block."""
        with self._lock:
            self._stops.append(stop)
            if self._cancelled:
                stop()
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """One person's series of one metric.

    Attributes:
        user_id: the person.
        metric: the name of the metric. What was never stored is no error: nothing is found.
        range: half-open; already widened to whole buckets of `resolution` (`day_starts[0]`, `day_starts[-1]` for days).
            Hours alone may be cut: an hour at the edge then counts only its readings inside the range.
        resolution: the rung.
        device_id: this device alone, no resolution between devices.
        include_all: the readings of every device, or of `device_id` alone when both are given; raw then also shows
            those of confidence 0, which nothing else shows and buckets never count. `minutes` are distinct over all
            devices.
        day_starts: for `Resolution.DAY`: where the days start, ascending, and the end of the last one.
        limit: at most this many rows; one more row than that raises `TooManyRowsError`.
        cancellation: stops the query when it is taken back, with `QueryCancelledError`.
        timeout_s: the time after which the query is cancelled; None for no limit.
        kind: what the question is called where questions are timed; it changes no answer.
    """

    user_id: str
    range: TimeRange
    resolution: Resolution
    device_id: str | None = None
    include_all: bool = False
    day_starts: Sequence[int] = field(default=())
    limit: int | None = None
    timeout_s: float | None = None
    cancellation: Cancellation | None = None
    kind: str = "series"
    metric: str = HEART_RATE.name


@dataclass(frozen=True, slots=True)
class TotalsQuery:
    """What the readings of many people in one metric come to over one period.

    Attributes:
        metric: the name of the metric.
        range: half-open, exact: nothing is widened.
        genders: people of one of these alone; None for anybody.
        born_by: people born on this day or before alone, which leaves out those whose birth date is not known; None
            for anybody.
        born_after: people born after this day alone, which leaves out the same people; None for anybody.
        timeout_s: the time after which the query is cancelled; None for no limit.
        cancellation: stops the query when it is taken back, with `QueryCancelledError`.
    """

    range: TimeRange
    genders: frozenset[str] | None = None
    born_by: date | None = None
    timeout_s: float | None = None
    cancellation: Cancellation | None = None
    metric: str = HEART_RATE.name
    born_after: date | None = None
