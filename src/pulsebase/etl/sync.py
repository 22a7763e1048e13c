"""Synchronisation: fetch the data of one person from one source, and record the result."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pulsebase import telemetry
from pulsebase.etl.pipeline import Pipeline, RunResult
from pulsebase.etl.registry import READINGS
from pulsebase.etl.state import Connection, RunReport, SyncState
from pulsebase.files.locks import FolderLocks
from pulsebase.model.errors import (
    DataSetMissingError,
    PulsebaseError,
    ReconnectError,
    RetryLaterError,
    SourceForbiddenError,
    StopError,
)
from pulsebase.model.timerange import DAY_US, SECOND_US, TimeRange, format_us, to_us

logger = logging.getLogger(__name__)

#: The lock of a person's runs from a source: this, the person, the source.
RUN_LOCK = "run"
#: How far back a first run goes where no start date is set.
FIRST_DAYS = 365
#: The first and the longest pause in seconds after failures in a row, doubling each time; and after denied access.
_FAULT_S = (300, 6 * 3_600)
_FORBIDDEN_S = (3_600, 24 * 3_600)


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What is fetched. Days are the person's civil days, both included; None means a year back, and up to now.

    `user_id` limits it to one person.
    """

    first_day: date | None = None
    last_day: date | None = None
    lookback_us: int = DAY_US
    user_id: str | None = None


class Synchronizer:
    """Runs the sources' pipelines for connected people. On one machine, each person and source runs once at a time.

    The result of every run and the problem of a connection are recorded; a failing connection does not delay others.
    `schedule` is the thread that starts due runs, if this process has one, and `caught_up` whether it has fetched
    everybody's data once.
    """

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        *,
        state: SyncState,
        locks: FolderLocks,
        zone_of: Callable[[str], ZoneInfo],
        now_us: Callable[[], int],
        options: SyncOptions | None = None,
        told: Callable[[Connection], object] = lambda _: None,
    ) -> None:
        """`told` hears of a connection that fails after it worked, or that needs its person, before that is stored."""
        self._told = told
        self._pipelines, self.state, self._locks = pipelines, state, locks
        self.zone_of, self.now_us, self._options = zone_of, now_us, options or SyncOptions()
        self.schedule: threading.Thread | None = None
        self.caught_up = threading.Event()

    def connections(self) -> Sequence[Connection]:
        """The connections that are run here."""
        wanted = self.state.connections(self._options.user_id)
        return [connection for connection in wanted if connection.source in self._pipelines]

    def run(
        self,
        user_id: str,
        source: str,
        stop: threading.Event | None = None,
        data_sets: Collection[str] | None = None,
    ) -> Sequence[RunReport]:
        """Fetch everything of one person from one source, or these data sets alone. Return no report if another run of
        it is under way.

        If some were left out, the connection is as due as it was before.
        """
        stop = stop or threading.Event()
        with self._locks.held_if_free(RUN_LOCK, user_id, source) as mine:
            connection = self.state.connection(user_id, source)
            if not mine or connection is None:
                return []
            offered = self._pipelines[source].data_sets if source in self._pipelines else ()
            wanted = [each for each in offered if data_sets is None or each in data_sets]
            tried_us = self.now_us()
            within = self._within(user_id, tried_us)
            results: list[RunResult] = []
            for data_set in wanted:
                result = self._run_one(connection, data_set, within, tried_us, stop)
                results.append(result)
                if stop.is_set() or isinstance(result.failure, RetryLaterError | StopError):
                    break
            if not stop.is_set():
                judged = self._judged(connection, tried_us, results)
                if len(wanted) < len(offered):
                    judged = replace(judged, succeeded_us=connection.succeeded_us)
                if judged.problem is not None and (
                    connection.problem is None or (judged.needs_person and not connection.needs_person)
                ):
                    self._told(judged)
                self.state.update(judged)
            return [result.report for result in results]

    @contextlib.contextmanager
    def kept_out(self, user_id: str, source: str) -> Iterator[bool]:
        """Prevent runs for the person and source during the block. Yields False if a run is under way."""
        with self._locks.held_if_free(RUN_LOCK, user_id, source) as mine:
            yield mine

    def _run_one(
        self, connection: Connection, data_set: str, within: TimeRange, tried_us: int, stop: threading.Event
    ) -> RunResult:
        pipeline = self._pipelines[connection.source]
        result = pipeline.run(connection.user_id, data_set, within, lookback_us=self._options.lookback_us, stop=stop)
        result = RunResult(replace(result.report, started_us=tried_us), result.failure)
        self.state.add_run(result.report)
        if isinstance(result.failure, DataSetMissingError):
            logger.info("%s of %s is missing: %s", data_set, connection.source, result.failure)
        elif isinstance(result.failure, PulsebaseError):
            logger.warning("a run of %s from %s ended early: %s", data_set, connection.source, result.failure)
        elif result.failure is not None:
            logger.error("a run of %s from %s failed", data_set, connection.source, exc_info=result.failure)
        return result

    def _judged(self, connection: Connection, tried_us: int, results: Sequence[RunResult]) -> Connection:
        """Return the state of the connection after a run."""
        tried = replace(connection, tried_us=tried_us, due_us=None, problem=None, needs_person=False)
        missing = [result for result in results if isinstance(result.failure, DataSetMissingError)]
        if results and len(missing) == len(results):
            problem = f"none of the data sets can be brought: {missing[0].report.error}"
            return replace(tried, failures=connection.failures + 1, problem=problem, needs_person=True)
        failed = next((each for each in results if each.failure is not None and each not in missing), None)
        if failed is None:
            return replace(tried, succeeded_us=tried_us, failures=0)
        error, words, failures = failed.failure, failed.report.error, connection.failures + 1
        if isinstance(error, ReconnectError):
            return replace(tried, failures=failures, problem=words, needs_person=True)
        wait_s = _backed_off(_FAULT_S, failures)
        if isinstance(error, SourceForbiddenError):
            # Once may be a mistake of the source; from the second time on it is taken seriously.
            wait_s = error.retry_after_s if failures == 1 else _backed_off(_FORBIDDEN_S, failures - 1)
        elif isinstance(error, RetryLaterError):
            wait_s, failures = error.retry_after_s, connection.failures
        due_us = self.now_us() + wait_s * SECOND_US
        problem = f"{words}; it is tried again at {format_us(due_us // SECOND_US * SECOND_US)}"
        return replace(tried, failures=failures, problem=problem, due_us=due_us)

    def _within(self, user_id: str, now_us: int) -> TimeRange:
        zone, options = self.zone_of(user_id), self._options
        start_us = (now_us // DAY_US - FIRST_DAYS) * DAY_US
        if options.first_day is not None:
            start_us = _midnight_us(options.first_day, zone)
        end_us = now_us
        if options.last_day is not None:
            end_us = min(now_us, _midnight_us(options.last_day + timedelta(days=1), zone))
        return TimeRange(start_us, max(start_us, end_us))

    def last_us(self, connection: Connection) -> int | None:
        """Return the time of the last reading that came over the connection, None before the first."""
        return self.state.latest_us(connection.user_id, connection.source, READINGS)

    def measure(self) -> None:
        """Update the metrics."""
        telemetry.ETL_CONNECTIONS.clear()
        telemetry.ETL_FRESHNESS_SECONDS.clear()
        now_us = self.now_us()
        ages: dict[str, float] = {}
        for connection in self.connections():
            telemetry.ETL_CONNECTIONS.labels(connection.source, state_of(connection)).inc()
            last_us = self.last_us(connection)
            if last_us is not None:
                age_s = (now_us - last_us) / SECOND_US
                ages[connection.source] = max(age_s, ages.get(connection.source, age_s))
        for source, age_s in ages.items():
            telemetry.ETL_FRESHNESS_SECONDS.labels(source).set(age_s)


def state_of(connection: Connection) -> str:
    """Return `ok`, `new` before the first successful run, `waiting` for the next try, or `needs-person`."""
    if connection.needs_person:
        return "needs-person"
    if connection.problem is not None:
        return "waiting"
    return "ok" if connection.succeeded_us is not None else "new"


def _backed_off(bounds_s: tuple[int, int], times: int) -> int:
    return int(min(bounds_s[1], bounds_s[0] * 2 ** min(times - 1, 16)))


def _midnight_us(day: date, zone: ZoneInfo) -> int:
    return to_us(datetime.combine(day, time(), zone))
