"""The pipeline: extract → transform → load for one person and data set, from where the last run ended up to now."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from pulsebase import telemetry
from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.load import LOAD_ATTEMPTS, Loader, LoadResult
from pulsebase.etl.state import Checkpoint, Outcome, RunReport, SyncState
from pulsebase.etl.transform.base import Transformer
from pulsebase.model.errors import DataSetMissingError, PulsebaseError, RejectedError, RetryLaterError
from pulsebase.model.timerange import DAY_US, TimeRange, format_us

logger = logging.getLogger(__name__)

#: After so many unreadable slices the run fails: the fault is then with the source, not with single slices.
UNREADABLE_SLICES = 3
#: Devices sync days to weeks late, so a more recent slice without rows may have been fetched too early.
RECENT_US = 30 * DAY_US


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run's record, and the error that ended it, if one did."""

    report: RunReport
    failure: Exception | None


@dataclass(slots=True)
class _Run:
    """A run under way."""

    user_id: str
    data_set: str
    stop: threading.Event
    checkpoint: Checkpoint
    recent_us: int
    #: Pages that are not loaded yet, their number of rows, and the end of the last whole slice fetched.
    gathered: list[Any] = field(default_factory=list)
    rows: int = 0
    reached_us: int | None = None
    #: Recent slices without rows; and those to fetch again, since rows followed: the device may have synced in between.
    empty: list[TimeRange] = field(default_factory=list)
    again: list[TimeRange] = field(default_factory=list)
    latest: TimeRange | None = None
    #: The start of the first unreadable slice, and the errors.
    unreadable_us: int | None = None
    unreadable: list[RejectedError] = field(default_factory=list)
    read: int = 0
    written: int = 0
    unchanged: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, result: LoadResult) -> None:
        self.read += self.rows
        self.written += result.written
        self.unchanged += result.unchanged
        self.rejected += result.rejected
        self.reasons.update(result.reasons)

    def position_us(self) -> int | None:
        """Return the time before which everything was fetched and stored, so that it need not be fetched again."""
        if self.unreadable_us is not None:
            return self.unreadable_us
        doubtful = (*self.again, *self.empty)
        return min(part.start_us for part in doubtful) if doubtful else self.reached_us


class Pipeline:
    """Fetches one source's data sets, with the parts of the registry. A run may be repeated or interrupted at any time.

    A run resumes at the last stored time less a look-back, since sources receive readings late, and goes on in slices
    of UTC days. An empty slice that is followed by rows is fetched twice. The checkpoint is written once the data it
    covers is durable; a crash in between only means that a slice is fetched again and found unchanged. A checkpoint
    beyond the end of the store is not trusted: after a restored backup or a deletion, the run begins where the store
    ends. A data set without any row, of which a device has no sensor perhaps, is asked for the recent past alone from
    its second run on.
    """

    def __init__(
        self,
        source: str,
        extractors: Mapping[str, Extractor[Any]],
        transformers: Mapping[str, Transformer[Any, Any]],
        loaders: Mapping[str, Loader[Any]],
        state: SyncState,
        *,
        batch_rows: int,
        delta: bool = True,
    ) -> None:
        self.source = source
        self._extractors, self._transformers, self._loaders = extractors, transformers, loaders
        self._state, self._batch_rows, self._delta = state, batch_rows, delta
        for data_set in extractors:  # at 0 from the start, so that the first failure shows as an increase
            telemetry.ETL_RUNS.labels(source=source, data_set=data_set, outcome="failed")

    @property
    def data_sets(self) -> tuple[str, ...]:
        """Return the data sets that can be run."""
        return tuple(self._extractors)

    def run(
        self, user_id: str, data_set: str, within: TimeRange, *, lookback_us: int, stop: threading.Event | None = None
    ) -> RunResult:
        """Fetch one person's data set up to the end of `within`; the first run begins at its start.

        If the run ends early, what was loaded stays, and the next run continues from there.
        """
        started = perf_counter()
        checkpoint = self._state.checkpoint(user_id, self.source, data_set)
        run = _Run(user_id, data_set, stop or threading.Event(), checkpoint, within.end_us - RECENT_US)
        failure: Exception | None = None
        try:
            start_us = self._start_us(run, within, lookback_us)
            self._bring(run, TimeRange(start_us, max(start_us, within.end_us)))
        except Exception as error:
            failure = error
        if failure is None and run.unreadable:
            failure = run.unreadable[0]
        report = self._report(run, within.end_us, perf_counter() - started, failure)
        return RunResult(report, failure)

    def _start_us(self, run: _Run, within: TimeRange, lookback_us: int) -> int:
        if not self._delta:
            return within.start_us
        checkpoint = run.checkpoint
        resume_us = checkpoint.last_us if checkpoint.position_us is None else checkpoint.position_us
        if resume_us is not None and checkpoint.last_us is not None:
            loader, device_id = self._loaders[run.data_set], self._extractors[run.data_set].device_id
            stored_us = loader.stored_us(self.source, run.user_id, device_id)
            if stored_us is None or stored_us < checkpoint.last_us:
                resume_us = stored_us
        return within.start_us if resume_us is None else max(within.start_us, resume_us - lookback_us)

    def _bring(self, run: _Run, interval: TimeRange) -> None:
        extractor = self._extractors[run.data_set]
        for part in slices(interval, extractor.slice_days * DAY_US):
            if run.stop.is_set():
                break
            try:
                self._gather(run, part)
            except PulsebaseError:
                self._load(run)  # so that what came before the error need not be fetched again
                raise
            if run.rows >= self._batch_rows or not run.rows:
                self._load(run)
        else:
            self._look_again(run)
            self._load(run)
            if run.unreadable_us is None and not run.stop.is_set():
                # Of a data set that has no row so far, the distant past was asked for and need not be again.
                none_yet = run.checkpoint.last_us is None
                position_us = max(interval.start_us, min(run.recent_us, interval.end_us)) if none_yet else None
                self._save(run, replace(run.checkpoint, position_us=position_us))
                logger.debug("%s of %s was brought up to %s", run.data_set, self.source, format_us(interval.end_us))

    def _look_again(self, run: _Run) -> None:
        for part in tuple(run.again):
            if not run.stop.is_set():
                self._gather(run, part)
        run.again, run.empty = [], []

    def _gather(self, run: _Run, part: TimeRange) -> None:
        """Fetch a slice. It is kept completely or not at all."""
        transformer = self._transformers[run.data_set]
        try:
            pages = [transformer.transform(page) for page in self._extractors[run.data_set].extract(run.user_id, part)]
        except RejectedError as error:
            run.unreadable.append(error)
            run.rejected += 1
            run.reasons[str(error)] += 1
            if run.unreadable_us is None:
                run.unreadable_us = part.start_us
            if len(run.unreadable) >= UNREADABLE_SLICES:
                raise
            return
        rows = sum(map(len, pages))
        if rows:
            run.again, run.empty = run.again + run.empty, []
            run.latest = part
        elif part.end_us > run.recent_us:
            # The device may have stopped syncing in the middle of the slice before the first empty one.
            run.empty += [run.latest, part] if run.latest and not run.empty else [part]
        run.gathered += pages
        run.rows += rows
        run.reached_us = max(part.end_us, run.reached_us or 0)

    def _load(self, run: _Run) -> None:
        """Load the fetched rows, then write the checkpoint."""
        last_us = run.checkpoint.last_us
        if run.rows:
            result = self._loaded(run)
            if result is None:
                return
            run.add(result)
            last_us = max((at_us for at_us in (last_us, result.last_us) if at_us is not None), default=None)
        run.gathered, run.rows = [], 0
        position_us = run.position_us()
        if position_us is not None:
            self._save(run, Checkpoint(last_us, position_us))

    def _loaded(self, run: _Run) -> LoadResult | None:
        """Load, and try again while what the store lacks may soon be there. Return None if the run was stopped."""
        for attempt in range(1, LOAD_ATTEMPTS + 1):
            try:
                return self._loaders[run.data_set].load(self.source, run.user_id, run.gathered)
            except RetryLaterError as error:
                if attempt == LOAD_ATTEMPTS or not error.passes_soon:
                    raise
                if run.stop.wait(error.retry_after_s):
                    return None
        raise AssertionError("unreachable")

    def _save(self, run: _Run, checkpoint: Checkpoint) -> None:
        if checkpoint != run.checkpoint:
            self._state.save_checkpoint(run.user_id, self.source, run.data_set, checkpoint)
            run.checkpoint = checkpoint

    def _report(self, run: _Run, now_us: int, duration_s: float, failure: Exception | None) -> RunReport:
        outcome: Outcome = "stopped" if run.stop.is_set() else "done"
        if failure is not None:
            outcome = "postponed" if isinstance(failure, RetryLaterError) else "failed"
            outcome = "missing" if isinstance(failure, DataSetMissingError) else outcome
        labels = {"source": self.source, "data_set": run.data_set}
        telemetry.ETL_RUNS.labels(**labels, outcome=outcome).inc()
        telemetry.ETL_RUN_SECONDS.labels(**labels).observe(duration_s)
        for result, count in (("written", run.written), ("unchanged", run.unchanged), ("rejected", run.rejected)):
            telemetry.ETL_ROWS.labels(**labels, result=result).inc(count)
        return RunReport(
            self.source,
            run.data_set,
            run.user_id,
            outcome,
            run.read,
            run.written,
            run.unchanged,
            run.rejected,
            dict(run.reasons),
            now_us,
            duration_s,
            None if failure is None else _in_words(failure),
        )


def _in_words(failure: Exception) -> str:
    """Return the text of our own errors, which hold no secret. Other errors may hold anything, so only their type is
    given; the log has the rest.
    """
    return str(failure) if isinstance(failure, PulsebaseError) else f"a fault of the program: {type(failure).__name__}"


def slices(interval: TimeRange, step_us: int = DAY_US) -> Iterator[TimeRange]:
    """Cut the interval at whole steps, counted from the UTC midnight before its start."""
    start_us = interval.start_us
    first_us = start_us // DAY_US * DAY_US
    while start_us < interval.end_us:
        end_us = min(interval.end_us, first_us + ((start_us - first_us) // step_us + 1) * step_us)
        yield TimeRange(start_us, end_us)
        start_us = end_us
