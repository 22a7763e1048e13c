"""Loaders: they check and store rows, and know up to where the store already holds them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from itertools import chain
from time import sleep
from typing import Generic, TypeVar

import numpy as np

from pulsebase import telemetry
from pulsebase.ingest import Candidates, Ingestor, ReadingRules, validate
from pulsebase.model.errors import FieldError, RetryLaterError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import to_us
from pulsebase.stores.contract import Reader, Registry, Store

RowsT = TypeVar("RowsT")

#: How often an import asks a store that takes nothing now.
LOAD_ATTEMPTS = 5
#: A server that stops waits no longer than this for an import that waits.
_LONGEST_WAIT_S = 5
_IMPORT = "import"

#: The zone furthest ahead of UTC, where a civil day ends first.
_FIRST_ZONE = timezone(timedelta(hours=14))


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How many rows were written and how many refused, with the reasons (`field: reason`) and how often each."""

    written: int
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


class Loader(ABC, Generic[RowsT]):
    """Stores the rows of one data set. Loading the same rows again changes nothing."""

    @abstractmethod
    def resume_us(self, user_id: str, device_id: str) -> int | None:
        """The time up to which the person's rows are stored, in microseconds; None if there are none."""

    @abstractmethod
    def load(self, source: str, user_id: str, rows: Sequence[RowsT]) -> LoadResult:
        """Check the rows and keep the good ones, in one commit; they are durable and visible on return.

        Raises:
            RetryLaterError: nothing was kept, the same call may succeed later.
        """


class HeartRateLoader(Loader[Candidates]):
    """Readings, through the single write path. Each person's sync from a source has its own origin."""

    def __init__(self, ingestor: Ingestor, reader: Reader, rules: ReadingRules) -> None:
        self._ingestor, self._reader, self._rules = ingestor, reader, rules
        self._origins: dict[tuple[str, str], int] = {}

    def resume_us(self, user_id: str, device_id: str) -> int | None:
        return self._reader.last_time_us(user_id, device_id)

    def load(self, source: str, user_id: str, rows: Sequence[Candidates]) -> LoadResult:
        key = (source, user_id)
        if key not in self._origins:
            self._origins[key] = self._ingestor.register_origin("sync", f"{source}/{user_id}")
        verdict = validate(joined(rows), self._rules, self._origins[key])
        written = 0
        if verdict.accepted is not None:
            self._ingestor.write(verdict.accepted)
            written = len(verdict.accepted)
        telemetry.INGEST_ACCEPTED.labels(source=source).inc(written)
        for name, count in Counter(error.field for error in verdict.errors).items():
            telemetry.INGEST_REJECTED.labels(source=source, field=name).inc(count)
        reasons = Counter(f"{error.field}: {error.reason}" for error in verdict.errors)
        return LoadResult(written, len(verdict.errors), dict(reasons))


class SummaryLoader(Loader[Sequence[DailySummary]]):
    """Daily summaries: the same day and method again replaces what was said; what already stands is not written."""

    def __init__(self, registry: Registry, reader: Reader) -> None:
        self._registry, self._reader = registry, reader

    def resume_us(self, user_id: str, device_id: str) -> int | None:
        del device_id  # a summary is of a person
        days = self._reader.summaries(user_id, date.min, date.max)
        if not days:
            return None
        # When the day ended at the earliest, whatever the person's zone: no later day can have ended before.
        return to_us(datetime.combine(days[-1].day + timedelta(days=1), time(), _FIRST_ZONE))

    def load(self, source: str, user_id: str, rows: Sequence[Sequence[DailySummary]]) -> LoadResult:
        del source  # a summary's method says what it stands for
        summaries = list(chain.from_iterable(rows))
        if not summaries:
            return LoadResult(0)
        days = [summary.day for summary in summaries]
        stored = set(self._reader.summaries(user_id, min(days), max(days)))
        # A run every few seconds must not commit the same day every few seconds.
        changed = [summary for summary in summaries if summary not in stored]
        if changed:
            self._registry.put_summaries(changed)
        return LoadResult(len(changed))


class ImportSink:
    """What an import brings: readings under its origin, and days put together with what is stored of them.

    See `importer.Sink`.
    """

    def __init__(self, ingestor: Ingestor, store: Store, rules: ReadingRules, origin: int) -> None:
        self._ingestor, self._store, self._rules, self._origin = ingestor, store, rules, origin

    def readings(self, rows: Candidates) -> tuple[int, Sequence[FieldError]]:
        """See `importer.Sink.readings`. While others fill the queue it waits, as their senders do.

        Raises:
            RetryLaterError: nothing was kept; the store has been asked `LOAD_ATTEMPTS` times.
        """
        verdict = validate(rows, self._rules, self._origin)
        written = 0
        if verdict.accepted is not None:
            self._write(verdict.accepted)
            written = len(verdict.accepted)
        telemetry.INGEST_ACCEPTED.labels(source=_IMPORT).inc(written)
        for name, count in verdict.refusals.by_field().items():
            telemetry.INGEST_REJECTED.labels(source=_IMPORT, field=name).inc(count)
        return written, verdict.errors

    def summaries(self, days: Sequence[DailySummary]) -> None:
        """See `importer.Sink.summaries`."""
        put_together(self._store, days)

    def _write(self, batch: ReadingBatch) -> None:
        for _ in range(LOAD_ATTEMPTS - 1):
            try:
                self._ingestor.write(batch)
            except RetryLaterError as error:
                sleep(min(error.retry_after_s, _LONGEST_WAIT_S))
            else:
                return
        self._ingestor.write(batch)


def put_together(store: Store, days: Sequence[DailySummary]) -> None:
    """Keep days of which each file of a source may know a part."""
    stored: dict[tuple[str, date, str | None], DailySummary] = {}
    for user_id in {day.user_id for day in days}:
        asked = [day.day for day in days if day.user_id == user_id]
        known = store.summaries(user_id, min(asked), max(asked))
        stored |= {(user_id, day.day, day.resting_heart_rate_method): day for day in known}
    before = dict(stored)
    for day in days:
        key = (day.user_id, day.day, day.resting_heart_rate_method)
        stored[key] = stored[key].completed_by(day) if key in stored else day
    changed = [day for key, day in stored.items() if before.get(key) != day]
    if changed:
        store.put_summaries(changed)


def joined(parts: Sequence[Candidates]) -> Candidates:
    """The candidates of all parts, in order, as one."""
    if len(parts) == 1:
        return parts[0]
    return Candidates(
        list(chain.from_iterable(part.user_ids for part in parts)),
        list(chain.from_iterable(part.device_ids for part in parts)),
        np.concatenate([part.times_us for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.confidences for part in parts]),
    )
