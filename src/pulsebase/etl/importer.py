"""Imports: recognise every file of a path or an upload, read it part by part, and pass the parts to a sink."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from pulsebase.etl.extract.archives import files_in
from pulsebase.etl.extract.kinds import head_of, kind_for, why_unknown
from pulsebase.etl.extract.packed import ArchivedFile, Budget, PackedFile, TooMuchError, paths_in
from pulsebase.etl.extract.parts import (
    NOBODY,
    AboutPerson,
    EndOfImportError,
    FileOwner,
    Kind,
    Part,
    PassedOver,
    ReadAs,
    RecordBlock,
    Remark,
    SummaryBlock,
)
from pulsebase.etl.extract.unread import unread
from pulsebase.etl.load import StoredRows
from pulsebase.etl.records import KeptRecords
from pulsebase.etl.results import FileResult
from pulsebase.etl.totals import Totals, UnreadFiles, add_bounded
from pulsebase.etl.transform.csv_plan import NearMiss
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.ingest.candidates import NO_METRIC, Candidates
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.exported import Record
from pulsebase.model.summaries import DailySummary, summary_problem
from pulsebase.model.timerange import from_us
from pulsebase.model.users import User

#: Readings stored at once, also from several files: a file often holds few, and each time costs a commit.
_READINGS_AT_ONCE = 50_000
#: Summaries stored at once: files with a single day are common, and each time costs a checkpoint.
_DAYS_AT_ONCE = 500
#: How many names of ignored things are counted separately for one file. The rest is counted together.
_MOST_PASSED_OVER = 200
NOTHING = "holds no file that is read"
#: The problem of a file when the import is stopped.
NOT_READ, NOT_TO_ITS_END = "was not read", "was not read to its end"


class Sink(Protocol):
    """Stores what an import reads. Each call is durable on return, and repeating it changes nothing."""

    def readings(self, rows: Candidates) -> StoredRows:
        """Check the readings, of one metric, and store those that are new or changed."""

    def summaries(self, days: Sequence[DailySummary]) -> None:
        """Merge the days into what is stored of them."""

    def records(self, records: Sequence[Record]) -> KeptRecords:
        """Store records of people from an export where nothing else is known."""


@dataclass(frozen=True, slots=True)
class ImportWatcher:
    """Callbacks during an import.

    Attributes:
        rejects: called with refusals and the file they are in.
        progress: called with the number of bytes read of the path or the upload.
        stopped: called between parts; the import stops once it returns True.
    """

    rejects: Callable[[FileResult, Sequence[FieldError]], None] = field(default=lambda *_: None)
    progress: Callable[[int], None] = field(default=lambda _: None)
    stopped: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True, slots=True)
class Upload:
    """An open file to import: its name, the person it belongs to if it does not say, the most it may unpack to, and its
    size as sent, if that differs from the size of the file.
    """

    name: str
    raw: BinaryIO
    owner: FileOwner
    limit_bytes: int
    sent_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Readings that are not stored yet, the result of their file, and the other refusals of their part."""

    result: FileResult
    rows: Candidates
    errors: Sequence[FieldError]


class Importer:
    """Reads files into a sink; `limit_bytes` is the most that one import may decompress to.

    Readings of small files are stored together, so a file's result is yielded once all of its readings are stored.

    Attributes:
        totals: the totals of the files whose results were yielded.
        unread: files of unknown kinds in archives and folders.
    """

    def __init__(self, sink: Sink, owner: FileOwner, limit_bytes: int, watcher: ImportWatcher | None = None) -> None:
        self._sink, self._owner, self._watcher = sink, owner, watcher or ImportWatcher()
        self._budget = Budget(limit_bytes)
        self._days: list[DailySummary] = []
        self._waiting: list[_Waiting] = []
        self._ended: list[FileResult] = []
        #: What files state about their person, until something of the file was stored.
        self._about: list[tuple[FileResult, User]] = []
        self._at_end = False
        self.totals, self.unread = Totals(), UnreadFiles()

    @property
    def remark(self) -> str | None:
        """A note on how the files were read. It is returned only once."""
        return self._owner.remark()

    def path(self, path: Path) -> Iterator[FileResult]:
        """Import a file, an archive, or everything below a folder. Files of unknown kinds in folders and archives get
        no result of their own; they are listed in `unread`.

        Raises:
            OSError: a file cannot be read.
            RetryLaterError: the store accepts nothing now.
        """
        path = path if path.name.strip(".") else path.resolve()  # file names begin with the folder's, which `.` lacks
        before_bytes = 0
        try:
            paths = paths_in(path)
        except TooMuchError as error:
            yield FileResult(path.name, problem=str(error))
            return
        found, unread = False, 0
        for each in paths:
            if not self._goes_on:
                unread += 1
                continue
            with each.open("rb") as raw:
                name = str(each.relative_to(path.parent))
                for result in self._files(name, raw, before_bytes, alone=each == path):
                    found = True
                    yield from self._told(result)
                before_bytes += raw.seek(0, 2)
            if self._goes_on:
                self._watcher.progress(before_bytes)
        yield from self._rest()
        if unread:
            yield FileResult(
                path.name, problem=NOT_READ if len(paths) == 1 else f"{unread:,} of its files were not read"
            )
        elif not found:
            yield FileResult(path.name, problem=NOTHING)

    def upload(self, name: str, raw: BinaryIO) -> Iterator[FileResult]:
        """Import an open file, as `path` does."""
        for result in self._files(name, raw, 0, alone=True):
            yield from self._told(result)
        if self._goes_on:
            self._watcher.progress(raw.seek(0, 2))
        yield from self._rest()

    @property
    def _goes_on(self) -> bool:
        return not self._at_end and not self._watcher.stopped()

    def parts(self, name: str, kind: str, counts: str, parts: Iterable[Part]) -> FileResult:
        """Import parts from another source. Progress is reported as the number of records read."""
        result = FileResult(name, kind, counts)
        self._read(parts, result, lambda: self._watcher.progress(result.read))
        self._store_readings()
        self._keep_days()
        self.totals.add(result)
        return result

    def _told(self, result: FileResult) -> Iterator[FileResult]:
        """Note that a file was read, and yield the finished results as soon as no readings wait to be stored."""
        self._ended.append(result)
        if not self._waiting:
            yield from self._all_ended()

    def _all_ended(self) -> Iterator[FileResult]:
        self._keep_people()
        for result in self._ended:
            self.totals.add(result)
            yield result
        self._ended.clear()

    def _rest(self) -> Iterator[FileResult]:
        """Store what waits, and yield the remaining results."""
        self._store_readings()
        self._keep_days()
        yield from self._all_ended()

    def _files(self, name: str, raw: BinaryIO, before_bytes: int, *, alone: bool) -> Iterator[FileResult]:
        """Yield the results of a file, or of the files in an archive. A file that was named itself (`alone`) always has
        a result.
        """
        results = 0
        try:
            for file in files_in(name, raw, self._budget):
                if not self._goes_on:
                    if self._watcher.stopped():
                        yield FileResult(name, problem=NOT_TO_ITS_END if results or not alone else NOT_READ)
                    return
                head = head_of(file)
                kind = kind_for(file.name, head, self._owner)
                if isinstance(kind, Kind):
                    results += 1
                    result = self._file(file, kind, lambda: self._watcher.progress(before_bytes + raw.tell()))
                    if kind.counts or result.problem is not None:
                        yield result
                elif file.damage is not None or (alone and not isinstance(file, ArchivedFile)):
                    results += 1
                    yield FileResult(file.name, problem=file.damage or self._why_unread(file.name, head, kind))
                else:
                    self.unread = self.unread.plus(unread(file.name, head, kind))
        except MalformedError as error:
            self._at_end = isinstance(error, EndOfImportError)
            results += 1
            yield FileResult(name, problem=str(error))
        if alone and not results:
            yield FileResult(name, problem=NOTHING)

    @staticmethod
    def _why_unread(name: str, head: bytes, near: NearMiss | None) -> str:
        """Return why a file that was named itself cannot be read."""
        why, file = why_unknown(name, head), unread(name, head, near)
        if near is not None:
            return file.what if file.named else near.text
        return f"{why}: {file.what}" if file.named and file.what != why else why

    def _file(self, file: PackedFile, kind: Kind, on_progress: Callable[[], None]) -> FileResult:
        result = FileResult(file.name, kind.name, kind.counts)
        if self._owner.user_id is None and not kind.names_people:
            result.problem = NOBODY
            return result
        self._read(kind.read(file, self._owner), result, on_progress)
        return result

    def _read(self, parts: Iterable[Part], result: FileResult, on_progress: Callable[[], None]) -> None:
        try:
            for part in parts:
                self._store(part, result)
                on_progress()
                if self._watcher.stopped():
                    result.problem = NOT_TO_ITS_END
                    break
        except (MalformedError, RejectedError) as error:
            self._at_end = isinstance(error, EndOfImportError)
            result.problem = str(error)

    def _keep_people(self) -> None:
        """Store what files state about people where that is unknown, unless nothing else of the file was stored."""
        about, self._about = self._about, []
        for result, user in about:
            if not result.written + result.unchanged + result.repeated + result.days:
                continue
            kept = self._sink.records([user])
            for error in kept.errors:
                _remark(result, f"what the file states about the person, {error.field}: {error.reason}")
            if not kept.errors and not kept.unchanged:
                stated = [name for name, value in asdict(user).items() if value is not None and name != "user_id"]
                _remark(result, f"{' and '.join(stated)} of the person taken over where unknown")

    def _keep_days(self) -> None:
        days, self._days = self._days, []
        if days:
            self._sink.summaries(days)

    def _store(self, part: Part, result: FileResult) -> None:
        if isinstance(part, Remark):
            _remark(result, part.text)
            return
        if isinstance(part, AboutPerson):
            self._about.append((result, part.user))
            return
        if isinstance(part, ReadAs):
            result.read_as = part.text
            return
        if isinstance(part, PassedOver):
            add_bounded(result.passed_over, {part.what: part.count}, _MOST_PASSED_OVER)
            return
        result.read += part.total
        if isinstance(part, Block) and part.total and part.candidates.metric != NO_METRIC:
            result.count(part.candidates.metric, read=part.total, rejected=len(part.errors))
        if isinstance(part, SummaryBlock):
            self._refuse(result, [*part.errors, *self._take_days(part.summaries, result)])
        elif isinstance(part, RecordBlock):
            kept = self._sink.records(part.records) if part.records else KeptRecords(0, [])
            result.written += len(part.records) - len(kept.errors) - kept.unchanged
            result.unchanged += kept.unchanged
            places = [replace(error, index=part.places[error.index or 0]) for error in kept.errors]
            self._refuse(result, sorted([*part.errors, *places], key=lambda error: error.index or 0))
        elif len(part.candidates):
            self._waiting.append(_Waiting(result, part.candidates, part.errors))
            if sum(len(each.rows) for each in self._waiting) >= _READINGS_AT_ONCE:
                self._store_readings()
        else:
            self._refuse(result, part.errors)

    def _store_readings(self) -> None:
        """Store the waiting readings, each metric in one commit. Of those that may have twins each kind of file has a
        commit of its own, since twins are looked for in the store.
        """
        waiting: dict[tuple[str, str | None], list[_Waiting]] = {}
        for each in self._waiting:
            kind = each.result.kind if each.rows.twins else None
            waiting.setdefault((each.rows.metric, kind), []).append(each)
        self._waiting = []
        for (metric, _), together in waiting.items():
            self._store_waiting(together, metric)

    def _store_waiting(self, waiting: Sequence[_Waiting], metric: str) -> None:
        """Store readings of one metric in one commit, and add the outcome to the result of each file."""
        stored = self._sink.readings(Candidates.joined([each.rows for each in waiting]))
        by_row = {error.index or 0: error for error in stored.refused}
        rows = sorted(by_row)
        first = 0
        for each in waiting:
            end = first + len(each.rows)
            theirs = rows[bisect_left(rows, first) : bisect_left(rows, end)]
            unchanged, repeated = (int(mask[first:end].sum()) for mask in (stored.unchanged, stored.repeated))
            written = len(each.rows) - len(theirs) - unchanged - repeated
            each.result.count(metric, written=written, unchanged=unchanged, repeated=repeated, rejected=len(theirs))
            each.result.written += written
            each.result.unchanged += unchanged
            each.result.repeated += repeated
            _span(each.result, each.rows.times_us, [row - first for row in theirs])
            places = each.rows.positions
            errors = [
                replace(by_row[row], index=row - first if places is None else int(places[row - first]))
                for row in theirs
            ]
            self._refuse(each.result, sorted([*each.errors, *errors], key=lambda error: error.index or 0))
            first = end

    def _refuse(self, result: FileResult, errors: Sequence[FieldError]) -> None:
        if errors:
            result.rejected += len(errors)
            self._watcher.rejects(result, errors)

    def _take_days(self, days: Sequence[DailySummary], result: FileResult) -> list[FieldError]:
        """Collect the plausible days, and return the errors of the others."""
        today = datetime.now(UTC).date()
        problems = [summary_problem(day, today) for day in days]
        good = [day for day, problem in zip(days, problems, strict=True) if problem is None]
        self._days += good
        result.days += len(good)
        if good:
            result.spans(min(day.day for day in good), max(day.day for day in good))
        if len(self._days) >= _DAYS_AT_ONCE:
            self._keep_days()
        return [
            replace(problem, reason=f"{problem.reason} ({day.day})")
            for day, problem in zip(days, problems, strict=True)
            if problem is not None
        ]


def _remark(result: FileResult, text: str) -> None:
    result.remark = text if result.remark is None else f"{result.remark}; {text}"


def _span(result: FileResult, times_us: npt.NDArray[np.int64], refused: Sequence[int]) -> None:
    """Extend the result's first and last day by the readings that were stored."""
    stored_us = np.delete(times_us, refused) if refused else times_us
    if len(stored_us):
        result.spans(from_us(int(stored_us.min())).date(), from_us(int(stored_us.max())).date())
