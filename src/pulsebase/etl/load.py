"""Loaders: they check and store rows, leave out what is stored already, and know how far the store reaches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from itertools import chain
from time import sleep
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from pulsebase import telemetry
from pulsebase.etl.records import RecordKeeper
from pulsebase.ingest import Candidates, Ingestor, ReadingRules, validate
from pulsebase.model.errors import ErasedUserError, FieldError, RetryLaterError
from pulsebase.model.exported import Record
from pulsebase.model.readings import NO_CONFIDENCE, ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange, to_us
from pulsebase.stores.contract import Origin, Reader, Registry, SeriesQuery

RowsT = TypeVar("RowsT")

#: How often an import asks a store that takes nothing now.
LOAD_ATTEMPTS = 5
#: A server that stops waits no longer than this for an import that waits.
_LONGEST_WAIT_S = 5
#: The kinds under which origins of files and of connections are registered.
IMPORT_KIND, SYNC_KIND = "import", "sync"

#: The zone furthest ahead of UTC, where a civil day begins first.
_FIRST_ZONE = timezone(timedelta(hours=14))


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What became of rows: written; unchanged, since the store had them already; or rejected, with the reasons
    (`field: reason`) and how often each. `last_us` is the time of the last one that is stored now.
    """

    written: int = 0
    unchanged: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    last_us: int | None = None


class Loader(ABC, Generic[RowsT]):
    """Stores the rows of one data set. Loading the same rows again changes nothing."""

    @abstractmethod
    def stored_us(self, source: str, user_id: str, device_id: str) -> int | None:
        """The time of the last of the person's rows that is stored, in microseconds; None if there is none."""

    @abstractmethod
    def load(self, source: str, user_id: str, rows: Sequence[RowsT]) -> LoadResult:
        """Check the rows and keep the good ones that are new or changed, in one commit; they are durable and visible
        on return.

        Raises:
            RetryLaterError: nothing was kept, or that is not known (`OutcomeUnknownError`); the same call may succeed
                later.
        """


class HeartRateLoader(Loader[Candidates]):
    """Readings, through the single write path. Each person's sync from a source has its own origin.

    Without `upsert` a reading whose time is stored already is left as it is, whatever the source says of it now.
    """

    def __init__(self, ingestor: Ingestor, reader: Reader, rules: ReadingRules, *, upsert: bool = True) -> None:
        self._ingestor, self._reader, self._rules, self._upsert = ingestor, reader, rules, upsert

    def stored_us(self, source: str, user_id: str, device_id: str) -> int | None:
        del source  # its readings lie under a device of their own
        return self._reader.last_time_us(user_id, device_id)

    def load(self, source: str, user_id: str, rows: Sequence[Candidates]) -> LoadResult:
        origin = self._ingestor.register_origin(SYNC_KIND, f"{source}/{user_id}")
        verdict = validate(Candidates.joined(rows), self._rules, origin)
        written = unchanged = 0
        last_us = None
        if verdict.accepted is not None:
            changed = self._changed(user_id, verdict.accepted)
            if len(changed):
                self._ingestor.write(changed)
            written, unchanged = len(changed), len(verdict.accepted) - len(changed)
            last_us = int(verdict.accepted.times_us.max())
        telemetry.INGEST_ACCEPTED.labels(source=source).inc(written)
        for name, count in Counter(error.field for error in verdict.errors).items():
            telemetry.INGEST_REJECTED.labels(source=source, field=name).inc(count)
        reasons = Counter(f"{error.field}: {error.reason}" for error in verdict.errors)
        return LoadResult(written, unchanged, len(verdict.errors), dict(reasons), last_us)

    def _changed(self, user_id: str, batch: ReadingBatch) -> ReadingBatch:
        """The readings that the store does not have, or has otherwise; of a time that comes twice the last one."""
        keep = np.zeros(len(batch), np.bool_)
        for code in np.unique(batch.devices.codes).tolist():
            places = np.flatnonzero(batch.devices.codes == code)
            _, from_behind = np.unique(batch.times_us[places][::-1], return_index=True)
            places = places[::-1][from_behind]
            keep[places[self._is_new(user_id, batch.devices.texts[code], batch.take(places))]] = True
        return batch if keep.all() else batch.take(np.flatnonzero(keep))

    def _is_new(self, user_id: str, device_id: str, rows: ReadingBatch) -> npt.NDArray[np.bool_]:
        """Which of one device's rows, by time, are."""
        times, last_us = rows.times_us, self._reader.last_time_us(user_id, device_id)
        if last_us is None or last_us < times[0]:
            return np.ones(len(times), np.bool_)
        span = TimeRange(int(times[0]), int(times[-1]) + 1)
        stored = self._reader.series(SeriesQuery(user_id, span, Resolution.RAW, device_id, include_all=True))
        place = np.searchsorted(stored["time_us"].to_numpy(), times)
        place[place == len(stored)] = 0
        if not len(stored):
            return np.ones(len(times), np.bool_)
        there = stored["time_us"].to_numpy()[place] == times
        if not self._upsert:
            return np.asarray(~there, np.bool_)
        confidences = stored["confidence"].fill_null(NO_CONFIDENCE).to_numpy()
        same = (stored["value"].to_numpy()[place] == rows.values) & (confidences[place] == rows.confidences)
        return np.asarray(~(there & same), np.bool_)


class SummaryLoader(Loader[Sequence[DailySummary]]):
    """Daily summaries: the same day and method again replaces what was said; what already stands is not written.

    A source's summaries have its name as their method. Without `upsert` a day that is stored already is left as it is.
    """

    def __init__(self, registry: Registry, reader: Reader, *, upsert: bool = True) -> None:
        self._registry, self._reader, self._upsert = registry, reader, upsert

    def stored_us(self, source: str, user_id: str, device_id: str) -> int | None:
        del device_id  # a summary is of a person
        days = [
            summary.day
            for summary in self._reader.summaries(user_id, date.min, date.max)
            if summary.resting_heart_rate_method == source
        ]
        return _began_us(days[-1]) if days else None

    def load(self, source: str, user_id: str, rows: Sequence[Sequence[DailySummary]]) -> LoadResult:
        del source  # a summary's method says what it stands for
        latest = {(each.day, each.resting_heart_rate_method): each for each in chain.from_iterable(rows)}
        if not latest:
            return LoadResult()
        days = [day for day, _ in latest]
        stored = {
            (each.day, each.resting_heart_rate_method): each
            for each in self._reader.summaries(user_id, min(days), max(days))
        }
        changed = [each for key, each in latest.items() if key not in stored or (self._upsert and stored[key] != each)]
        if changed:
            self._registry.put_summaries(changed)
        return LoadResult(len(changed), sum(map(len, rows)) - len(changed), last_us=_began_us(max(days)))


def _began_us(day: date) -> int:
    """When the day began at the earliest, whatever the person's zone; so the last stored day is always asked again."""
    return to_us(datetime.combine(day, time(), _FIRST_ZONE))


def synced_by(origin: Origin) -> tuple[str, str]:
    """The source and the person of an origin of `SYNC_KIND`."""
    source, _, user_id = origin.name.partition("/")
    return source, user_id


class Write(Protocol):
    """The write path, as far as an import needs it."""

    def write(self, batch: ReadingBatch) -> None:
        """See `Ingestor.write`."""


class ImportSink:
    """What an import brings: readings under its origin, and days put together with what is stored of them.

    See `importer.Sink`. A store that takes nothing now is asked so many times.
    """

    def __init__(
        self, ingestor: Write, keeper: RecordKeeper, rules: ReadingRules, origin: int, *, attempts: int = LOAD_ATTEMPTS
    ) -> None:
        self._ingestor, self._keeper, self._rules, self._origin = ingestor, keeper, rules, origin
        self._attempts = attempts

    def readings(self, rows: Candidates) -> tuple[int, Sequence[FieldError]]:
        """See `importer.Sink.readings`. While others fill the queue it waits, as their senders do.

        Raises:
            RetryLaterError: nothing was kept.
        """
        verdict = validate(rows, self._rules, self._origin)
        while verdict.accepted is not None:
            try:
                self._write(verdict.accepted)
                break
            except ErasedUserError:  # somebody was erased since it was checked: their rows alone are refused
                before, verdict = verdict, validate(rows, self._rules, self._origin)
                if len(verdict.errors) == len(before.errors):
                    raise
        written = 0 if verdict.accepted is None else len(verdict.accepted)
        telemetry.INGEST_ACCEPTED.labels(source=IMPORT_KIND).inc(written)
        for name, count in verdict.refusals.by_field().items():
            telemetry.INGEST_REJECTED.labels(source=IMPORT_KIND, field=name).inc(count)
        return written, verdict.errors

    def summaries(self, days: Sequence[DailySummary]) -> None:
        """See `importer.Sink.summaries`."""
        people = self._rules.people
        self._keeper.put_together(days if people is None else [day for day in days if day.user_id in people])

    def records(self, records: Sequence[Record]) -> Sequence[FieldError]:
        """See `importer.Sink.records`."""
        return self._keeper.keep(records)

    def _write(self, batch: ReadingBatch) -> None:
        for _ in range(self._attempts - 1):
            try:
                self._ingestor.write(batch)
            except RetryLaterError as error:
                sleep(min(error.retry_after_s, _LONGEST_WAIT_S))
            else:
                return
        self._ingestor.write(batch)
