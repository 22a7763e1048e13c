"""The pipeline: extract → transform → load for one person and data set, from where the store stands up to now."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

from pulsebase import telemetry
from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.load import Loader, LoadResult
from pulsebase.etl.transform.base import Transformer
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import RetryLaterError
from pulsebase.model.timerange import DAY_US, TimeRange, format_us

logger = logging.getLogger(__name__)

#: Rows that are gathered before they are loaded: large enough that a first fill of years is bound by the store alone.
BATCH_ROWS = 100_000
#: How often a load that the store cannot take now is tried before the run gives up.
LOAD_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: the interval it reads, up to where it is stored, and the rows written."""

    data_set: str
    user_id: str
    interval: TimeRange
    at_us: int
    written: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run. `reasons` counts the refusals (`field: reason`); `started_us` is in microseconds UTC."""

    source: str
    data_set: str
    user_id: str
    outcome: Literal["done", "stopped"]
    read: int
    written: int
    rejected: int
    reasons: Mapping[str, int]
    started_us: int
    duration_s: float


@dataclass(slots=True)
class _Tally:
    read: int = 0
    written: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, rows: int, result: LoadResult) -> None:
        self.read += rows
        self.written += result.written
        self.rejected += result.rejected
        self.reasons.update(result.reasons)


class Pipeline:
    """Runs the parts of the registry. A run may be repeated or broken off at any time.

    It resumes at the last stored time less a look-back, since sources learn of readings late, and reads on in slices of
    a UTC day. Slices are loaded in their order, each load after the one before it is durable, so that the last stored
    time never lies behind a gap; what was stored before is written again and thereby unchanged.
    """

    def __init__(
        self,
        extractors: Mapping[str, Extractor[Any]],
        transformers: Mapping[str, Transformer[Any, Any]],
        loaders: Mapping[str, Loader[Any]],
        *,
        start_us: int,
        batch_rows: int = BATCH_ROWS,
        now_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        self._extractors, self._transformers, self._loaders = extractors, transformers, loaders
        self._start_us, self._batch_rows, self._now_us = start_us, batch_rows, now_us

    @property
    def data_sets(self) -> tuple[str, ...]:
        """What can be run."""
        return tuple(self._extractors)

    def run(
        self,
        user_id: str,
        data_set: str,
        *,
        lookback_us: int = DAY_US,
        delta: bool = True,
        stop: threading.Event | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> RunReport:
        """Bring one person's data set up to now. `delta=False` reads everything from the start again.

        Raises:
            PulsebaseError: the source or the store failed; what was loaded stays, and the next run resumes there.
        """
        started_us, started = self._now_us(), perf_counter()
        source = self._extractors[data_set].source
        stop = stop or threading.Event()
        try:
            interval = self._interval(user_id, data_set, lookback_us, delta)
            tally = self._run(user_id, data_set, interval, stop, on_progress)
        except Exception:
            telemetry.ETL_RUNS.labels(source=source, data_set=data_set, outcome="failed").inc()
            raise
        outcome: Literal["done", "stopped"] = "stopped" if stop.is_set() else "done"
        telemetry.ETL_RUNS.labels(source=source, data_set=data_set, outcome=outcome).inc()
        return RunReport(
            source,
            data_set,
            user_id,
            outcome,
            tally.read,
            tally.written,
            tally.rejected,
            dict(tally.reasons),
            started_us,
            perf_counter() - started,
        )

    def _interval(self, user_id: str, data_set: str, lookback_us: int, delta: bool) -> TimeRange:
        start_us, now_us = self._start_us, self._now_us()
        if delta:
            last_us = self._loaders[data_set].resume_us(user_id, self._extractors[data_set].device_id)
            if last_us is not None:
                start_us = max(start_us, last_us - lookback_us)
        return TimeRange(start_us, max(start_us, now_us))

    def _run(
        self,
        user_id: str,
        data_set: str,
        interval: TimeRange,
        stop: threading.Event,
        on_progress: Callable[[Progress], None] | None,
    ) -> _Tally:
        extractor, transformer = self._extractors[data_set], self._transformers[data_set]
        tally = _Tally()
        gathered: list[Any] = []
        rows = 0
        for part in slices(interval):
            if stop.is_set():  # what is gathered and not loaded yet is read again by the next run
                return tally
            for page in extractor.extract(user_id, part):
                gathered.append(transformer.transform(page))
                rows += len(gathered[-1])
            if rows and (rows >= self._batch_rows or part.end_us == interval.end_us):
                result = self._load(user_id, data_set, gathered, stop)
                if result is None:
                    return tally
                tally.add(rows, result)
                gathered, rows = [], 0
                if on_progress is not None:
                    on_progress(Progress(data_set, user_id, interval, part.end_us, tally.written))
        logger.debug("%s of %s is stored up to %s", data_set, extractor.source, format_us(interval.end_us))
        return tally

    def _load(self, user_id: str, data_set: str, rows: list[Any], stop: threading.Event) -> LoadResult | None:
        """Load, patiently where the store asks for patience. None if it was stopped while waiting."""
        source = self._extractors[data_set].source
        for attempt in range(1, LOAD_ATTEMPTS + 1):
            try:
                return self._loaders[data_set].load(source, user_id, rows)
            except RetryLaterError as error:
                if attempt == LOAD_ATTEMPTS:
                    raise
                if stop.wait(error.retry_after_s):
                    return None
        raise AssertionError("unreachable")


def slices(interval: TimeRange) -> Iterator[TimeRange]:
    """The interval cut at every UTC midnight."""
    start_us = interval.start_us
    while start_us < interval.end_us:
        end_us = min(interval.end_us, (start_us // DAY_US + 1) * DAY_US)
        yield TimeRange(start_us, end_us)
        start_us = end_us
