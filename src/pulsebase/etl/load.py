"""Loaders: check and store rows, skip what is stored already, and find the last stored time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone
from itertools import chain
from time import sleep
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from pulsebase.etl.changes import Comparison, where
from pulsebase.etl.records import KeptRecords, RecordKeeper
from pulsebase.etl.twins import as_stored
from pulsebase.ingest import Candidates, Ingestor, ReadingRules, Verdict, validate
from pulsebase.ingest.counting import count_readings
from pulsebase.ingest.newcomers import Allowance
from pulsebase.model.errors import ErasedUserError, FieldError, RetryLaterError
from pulsebase.model.exported import Record
from pulsebase.model.metrics import HEART_RATE, METRICS, MetricSpec
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.rollups import Mask
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import to_us
from pulsebase.stores.contract import Origin, Reader, Registry

RowsT = TypeVar("RowsT")

#: How often a load is tried while the store cannot accept it but soon may, before the import or run gives up.
LOAD_ATTEMPTS = 5
#: The longest pause between two tries, so that a stopping server does not wait longer for a paused import.
_LONGEST_WAIT_S = 5
#: The kinds under which origins of files and of connections are registered.
IMPORT_KIND, SYNC_KIND = "import", "sync"

#: The zone furthest ahead of UTC, where a civil day begins first.
_FIRST_ZONE = timezone(timedelta(hours=14))


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How many rows were written, unchanged (already stored) and rejected, with a count by reason (`field: reason`).
    `last_us` is the time of the last of them that is stored now.
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
        """Return the time of the person's last stored row in microseconds, None if there is none."""

    @abstractmethod
    def load(self, source: str, user_id: str, rows: Sequence[RowsT]) -> LoadResult:
        """Check the rows and store the valid ones that are new or changed, in one commit. They are durable and visible
        on return.

        Raises:
            RetryLaterError: nothing was stored, or it is not known (`OutcomeUnknownError`). The same call may succeed
                later.
        """


class ReadingLoader(Loader[Candidates]):
    """Readings of one metric, through the single write path. Each person's sync from a source has its own origin.

    Without `upsert` a stored reading is never changed, even if the source now states another value for that time.
    """

    def __init__(
        self,
        ingestor: Ingestor,
        reader: Reader,
        rules: ReadingRules,
        *,
        metric: MetricSpec = HEART_RATE,
        upsert: bool = True,
    ) -> None:
        self._ingestor, self._reader, self._metric, self._upsert = ingestor, reader, metric, upsert
        self._rules = rules if metric is HEART_RATE else rules.of_metric(metric, "value")

    def stored_us(self, source: str, user_id: str, device_id: str) -> int | None:
        del source  # its readings have a device of their own
        return self._reader.last_time_us(user_id, device_id, self._metric.name)

    def load(self, source: str, user_id: str, rows: Sequence[Candidates]) -> LoadResult:
        origin = self._ingestor.register_origin(SYNC_KIND, f"{source}/{user_id}")
        verdict = validate(Candidates.joined(rows), self._rules, origin)
        written = unchanged = 0
        last_us = None
        refused: Sequence[FieldError] = ()
        if verdict.accepted is not None:
            found = Comparison.of(verdict.accepted, self._reader)
            changed = where(verdict.accepted, found.last & ~(found.same if self._upsert else found.stored_values.there))
            refused = self._ingestor.write(changed) if len(changed) else ()
            written, unchanged = len(changed) - len(refused), len(verdict.accepted) - len(changed)
            last_us = int(verdict.accepted.times_us.max()) if written + unchanged else None
        errors = [*verdict.errors, *refused]
        count_readings(source, written, Counter(error.field for error in errors))
        reasons = Counter(f"{error.field}: {error.reason}" for error in errors)
        return LoadResult(written, unchanged, len(errors), dict(reasons), last_us)


class SummaryLoader(Loader[Sequence[DailySummary]]):
    """Daily summaries. A new summary replaces the stored one of the same day and method; equal ones are not written.

    A source's summaries have its name as their method. Without `upsert` a stored day is never changed.
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
        del source  # a summary's method states the source
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
    """Return the earliest start of the day in any time zone, so that the last stored day is always fetched again."""
    return to_us(datetime.combine(day, time(), _FIRST_ZONE))


def synced_by(origin: Origin) -> tuple[str, str]:
    """Return the source and the person of an origin of `SYNC_KIND`."""
    source, _, user_id = origin.name.partition("/")
    return source, user_id


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The result of storing rows, as masks: `unchanged` rows were already stored by another origin; `repeated` rows are
    of readings that the same import brought before, so that each reading counts once. `refused` lists the refusals; all
    other rows were written.
    """

    unchanged: Mask
    repeated: Mask
    refused: Sequence[FieldError]

    @classmethod
    def all_written(cls, rows: int, refused: Sequence[FieldError]) -> StoredRows:
        """Return the result for rows that were all written except for the refused ones."""
        return cls(np.zeros(rows, np.bool_), np.zeros(rows, np.bool_), refused)

    def note(self, found: Comparison, rows: npt.NDArray[np.intp], origin: int) -> None:
        """Set the masks for these rows, which are not refused, under an origin. If several rows are of one reading, the
        first one gets the outcome and the others are marked as repeated.
        """
        if found.last.all() and not found.stored_values.there.any():
            return
        holding = np.flatnonzero(found.last)
        first = rows[found.first[holding]]
        mine = found.stored_values.there[holding] & (found.stored_values.origins[holding] == origin)
        self.repeated[rows] = True
        self.repeated[first] = mine
        self.unchanged[first] = found.same[holding] & ~mine

    def without(self, verdict: Verdict, sent: npt.NDArray[np.intp], refused: Sequence[FieldError]) -> StoredRows:
        """Return the same but for refused devices: of the `sent` rows of what was accepted these were refused. Further
        rows of a device, which are of the same readings, are then refused as well.
        """
        batch = verdict.accepted
        if batch is None or not refused:
            return self
        pairs = batch.users.codes.astype(np.int64) << 32 | batch.devices.codes
        beyond = np.isin(pairs, pairs[sent[[error.index or 0 for error in refused]]])
        rows, positions = verdict.refusals.left()[beyond], verdict.refusals.left_positions()[beyond]
        self.unchanged[rows] = self.repeated[rows] = False
        errors = [replace(refused[0], index=position) for position in positions.tolist()]
        return replace(self, refused=sorted([*self.refused, *errors], key=lambda error: error.index or 0))

    @property
    def written(self) -> int:
        """Return how many readings are new or changed."""
        return len(self.unchanged) - int(self.unchanged.sum()) - int(self.repeated.sum()) - len(self.refused)


class Write(Protocol):
    """The write path, as far as an import needs it."""

    def write(self, batch: ReadingBatch, allowance: Allowance | None = None) -> Sequence[FieldError]:
        """See `Ingestor.write`."""


class ImportSink:
    """Stores what an import brings: readings under its origin, and days merged into what is stored of them.

    See `importer.Sink`. A store that accepts nothing now is tried `attempts` times.
    """

    def __init__(
        self,
        ingestor: Write,
        reader: Reader,
        keeper: RecordKeeper,
        rules: ReadingRules,
        *,
        origin: int,
        attempts: int = LOAD_ATTEMPTS,
        allowance: Allowance | None = None,
    ) -> None:
        self._ingestor, self._reader, self._keeper, self._rules = ingestor, reader, keeper, rules
        self._origin, self._attempts, self._allowance = origin, attempts, allowance

    def readings(self, rows: Candidates) -> StoredRows:
        """See `importer.Sink.readings`. While the queue is full it waits, as other senders do. Refusals of a value name
        its metric as the field.

        Raises:
            RetryLaterError: nothing was stored.
            TooManyNewPeopleError: nothing was stored, since the import has added as many new people as it may.
        """
        rules = self._rules.of_metric(METRICS[rows.metric], rows.metric)
        verdict = validate(rows, rules, self._origin)
        while True:
            try:
                stored = self._keep(len(rows), self._as_stored(verdict) if rows.twins else verdict)
                break
            except ErasedUserError:  # somebody was erased since the check: check again, to refuse only their rows
                before, verdict = verdict, validate(rows, rules, self._origin)
                if len(verdict.errors) == len(before.errors):
                    raise
        count_readings(IMPORT_KIND, stored.written, Counter(error.field for error in stored.refused))
        return stored

    def _keep(self, count: int, verdict: Verdict) -> StoredRows:
        """Write those accepted rows that are new or changed. `count` is the number of all rows."""
        stored = StoredRows.all_written(count, verdict.errors)
        if verdict.accepted is not None:
            found = Comparison.of(verdict.accepted, self._reader)
            stored.note(found, verdict.refusals.left(), self._origin)
            wanted = found.last & ~found.same
            changed = where(verdict.accepted, wanted)
            refused = self._write(changed) if len(changed) else ()
            stored = stored.without(verdict, np.flatnonzero(wanted), refused)
        return stored

    def _as_stored(self, verdict: Verdict) -> Verdict:
        accepted = verdict.accepted
        return verdict if accepted is None else replace(verdict, accepted=as_stored(accepted, self._reader))

    def summaries(self, days: Sequence[DailySummary]) -> None:
        """See `importer.Sink.summaries`."""
        self._keeper.put_together(days)

    def records(self, records: Sequence[Record]) -> KeptRecords:
        """See `importer.Sink.records`."""
        return self._keeper.keep(records)

    def _write(self, batch: ReadingBatch) -> Sequence[FieldError]:
        for _ in range(self._attempts - 1):
            try:
                return self._ingestor.write(batch, self._allowance)
            except RetryLaterError as error:
                if not error.passes_soon:
                    raise
                sleep(min(error.retry_after_s, _LONGEST_WAIT_S))
        return self._ingestor.write(batch, self._allowance)
