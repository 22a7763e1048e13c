"""Imports that a server runs in the background: one at a time, a few waiting, each on a file of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol
from zoneinfo import ZoneInfo

from pulsebase.etl.extract.parts import FileOwner
from pulsebase.etl.importer import Sink, Upload, Watcher
from pulsebase.etl.load import IMPORT_KIND, ImportSink
from pulsebase.etl.records import RecordKeeper
from pulsebase.etl.results import FileResult
from pulsebase.etl.totals import KindTotal, Totals, UnreadFiles, add_bounded
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.model.errors import FieldError, PulsebaseError, StoreUnavailableError
from pulsebase.model.users import User, printable, speaks_of
from pulsebase.sources.locks import FolderLocks
from pulsebase.stores.contract import Store

logger = logging.getLogger(__name__)

#: Uploads that wait while one is read; each lies in the temporary folder.
MOST_WAITING = 3
#: Ended imports whose course is remembered, and what is remembered of each.
_REMEMBERED = 100
SHOWN_FILES = 1_000
SHOWN_ERRORS = 100

#: What stands in a course in place of a text that spoke of somebody who was erased.
OF_NOBODY = "erased"
#: Fields of a course that hold words of ours.
_NO_NAMES = ("status", "kind", "counts", "reason", "what")

JobStatus = Literal["waiting", "running", "done", "failed"]
_ENDED: tuple[JobStatus, ...] = ("done", "failed")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused record of an import: its file, what its position counts, and why."""

    file: str
    counts: str
    error: FieldError


@dataclass(frozen=True, slots=True)
class ImportReport:
    """An import as it stands. Counts are of all files, `files` and `refusals` the first ones.

    `failure` says why the import did not come to its end, or that it came to nothing. `kinds` are the counts by kind of
    file, `unread` the files of no kind that is read, and `remark` is what else is to be known of all of it.
    """

    number: int
    status: JobStatus
    size_bytes: int
    read_bytes: int = 0
    files: tuple[FileResult, ...] = ()
    file_count: int = 0
    read: int = 0
    written: int = 0
    rejected: int = 0
    days: int = 0
    refusals: tuple[Refusal, ...] = ()
    failure: str | None = None
    kinds: tuple[KindTotal, ...] = ()
    unread: UnreadFiles = field(default_factory=UnreadFiles)
    remark: str | None = None


@dataclass(slots=True)
class _Job:
    report: ImportReport
    name: str
    origin: str
    upload: BinaryIO
    owner: FileOwner
    sink: ImportSink
    refusals: list[Refusal] = field(default_factory=list)


class Importing(Protocol):
    """Reads an upload into a sink, as `Importer.upload` does. Says the files that are not read as it meets them."""

    def __call__(self, file: Upload, sink: Sink, watcher: Watcher) -> Iterator[FileResult | UnreadFiles]: ...


def running_imports(folder: Path) -> FolderLocks:
    """The locks of imports that run over the store to which a folder belongs: each is held under its origin's name."""
    return FolderLocks(folder / "imports")


def origin_name(name: str) -> str:
    """The name of the origin of an import that begins now; every import has its own."""
    return f"{printable(name)} {datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


class ImportJobs:
    """Takes uploads and imports them one after the other. Every method may be called from any thread."""

    def __init__(
        self,
        ingestor: Ingestor,
        store: Store,
        rules: ReadingRules,
        *,
        changing: Callable[[], AbstractContextManager[None]],
        running: FolderLocks,
        limit_bytes: int,
        importing: Importing,
    ) -> None:
        """`importing` reads the files, in whatever process."""
        self._importing = importing
        self._ingestor, self._store, self._rules, self._limit_bytes = ingestor, store, rules, limit_bytes
        self._changing, self._running = changing, running
        self._jobs: OrderedDict[int, _Job] = OrderedDict()
        self._others: dict[int, ImportReport] = {}
        #: Who was erased while an import is not at its end, which may name them yet.
        self._erased: list[User] = []
        self._queue: queue.Queue[_Job | None] = queue.Queue()
        self._changed = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulsebase-import", daemon=True)
        self._thread.start()

    def refuse_when_full(self) -> None:
        """Raises `StoreUnavailableError` while another upload would have no place to wait."""
        with self._changed:
            waiting = sum(job.report.status == "waiting" for job in self._jobs.values())
        if waiting >= MOST_WAITING:
            raise StoreUnavailableError("other imports wait already; nothing of this one was kept", retry_after_s=30)

    def start(
        self,
        name: str,
        upload: BinaryIO,
        owner: FileOwner,
        people: frozenset[str] | None = None,
        *,
        changes_people: bool = True,
    ) -> ImportReport:
        """Import an open file, which is closed once that is done; what is of `people` alone, if they are given. What
        it says of people themselves is taken if whoever sends it `changes_people`.

        Raises:
            StoreUnavailableError: too many wait already.
        """
        self.refuse_when_full()
        origin = origin_name(name)
        number = self._ingestor.register_origin(IMPORT_KIND, origin)
        report = ImportReport(number, "waiting", upload.seek(0, 2))
        rules = replace(self._rules, people=people)
        keeper = RecordKeeper(self._store, rules, self._changing, changes_people=changes_people)
        job = _Job(report, name, origin, upload, owner, ImportSink(self._ingestor, keeper, rules, number))
        with self._changed:
            self._jobs[number] = job
            ended = [each for each, kept in self._jobs.items() if kept.report.status in _ENDED]
            for each in ended[: max(0, len(ended) - _REMEMBERED)]:
                del self._jobs[each]
        self._queue.put(job)
        return report

    def report(self, number: int) -> ImportReport | None:
        """How an import stands; None if this process did not run it, or no longer remembers."""
        with self._changed:
            job = self._jobs.get(number)
            return self._others.get(number) if job is None else job.report

    def ended(self) -> dict[int, ImportReport]:
        """How imports went that have ended, by number."""
        with self._changed:
            own = {number: job.report for number, job in self._jobs.items() if job.report.status in _ENDED}
            return self._others | own

    def remember(self, ended: Mapping[int, ImportReport]) -> None:
        """Remember how imports went that another process ran, which is about to end."""
        with self._changed:
            told = {number: _without(report, self._erased) for number, report in ended.items()}
            kept = sorted((self._others | told).items())[-_REMEMBERED:]
            self._others = dict(kept)

    def forget(self, person: User) -> None:
        """Let no course speak of a person, neither what is known by now nor what the imports at hand still find."""
        with self._changed:
            self._erased.append(person)
            for job in self._jobs.values():
                job.refusals = [_without(each, [person]) for each in job.refusals]
                job.report = _without(job.report, [person])
            self._others = {number: _without(report, [person]) for number, report in self._others.items()}
            self._forget_ended()

    @property
    def busy(self) -> bool:
        """Whether an import runs or waits."""
        with self._changed:
            return any(job.report.status not in _ENDED for job in self._jobs.values())

    def runs(self, origin: str) -> bool:
        """Whether the import with this origin runs, in whatever process of this machine."""
        return self._running.is_held(origin)

    def close(self) -> None:
        """End what runs after the part it is at, leave what waits, and stop."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join()
        for job in self._jobs.values():
            job.upload.close()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None and not self._stopping.is_set():
            self._change(job, status="running")
            failure: str | None = None
            try:
                with self._running.held_once(job.origin):
                    failure = self._import(job)
            except PulsebaseError as error:
                failure = str(error)
            except Exception:
                logger.exception("an import failed")
                failure = "a fault of the server; the log has it"
            if self._stopping.is_set():
                failure = "the server stopped"
            self._change(job, status="failed" if failure else "done", failure=failure)
            job.upload.close()
            with self._changed:
                self._forget_ended()

    def _import(self, job: _Job) -> str | None:
        """Why it came to nothing, if it did."""
        watcher = Watcher(
            rejects=lambda result, errors: _remember(job, result, errors),
            progress=lambda read_bytes: self._change(job, read_bytes=min(read_bytes, job.report.size_bytes)),
            stopped=self._stopping.is_set,
        )
        job.upload.seek(0)
        upload = Upload(job.name, job.upload, job.owner, self._limit_bytes)
        totals = Totals()
        for result in self._importing(upload, job.sink, watcher):
            if isinstance(result, UnreadFiles):
                self._change(job, unread=result)
                continue
            totals.add(result)
            before = job.report
            self._change(
                job,
                files=(*before.files, result) if len(before.files) < SHOWN_FILES else before.files,
                file_count=before.file_count + 1,
                read=before.read + result.read,
                written=before.written + result.written,
                rejected=before.rejected + result.rejected,
                days=before.days + result.days,
                refusals=tuple(job.refusals),
                kinds=totals.kinds,
            )
        self._change(job, remark=job.owner.remark())
        return totals.failure

    def _change(self, job: _Job, **changes: object) -> None:
        with self._changed:
            report = replace(job.report, **changes)  # type: ignore[arg-type]
            job.report = _without(report, self._erased)

    def _forget_ended(self) -> None:
        """Keep of imports that ended their course alone, and once all did, of nobody that they were erased."""
        for job in self._jobs.values():
            if job.report.status not in _ENDED:
                return
            job.name = job.origin = ""
            job.owner = FileOwner(None, None, ZoneInfo)
        self._erased = []


def _remember(job: _Job, result: FileResult, errors: Sequence[FieldError]) -> None:
    room = SHOWN_ERRORS - len(job.refusals)
    job.refusals += [Refusal(result.name, result.counts, error) for error in errors[:room]]


def _without(value: Any, people: Sequence[User]) -> Any:
    """A part of a course in which no text speaks of one of these people."""
    if not people:
        return value
    if isinstance(value, str):
        return OF_NOBODY if any(speaks_of(value, person) for person in people) else value
    if isinstance(value, tuple):
        return tuple(_without(each, people) for each in value)
    if isinstance(value, dict):  # counts by what a file says
        counts: dict[str, int] = {}
        for name, count in value.items():
            add_bounded(counts, {_without(name, people): count}, len(value))
        return counts
    if is_dataclass(value) and not isinstance(value, type):
        told = {each.name: getattr(value, each.name) for each in fields(value) if each.name not in _NO_NAMES}
        return replace(value, **{name: _without(each, people) for name, each in told.items()})
    return value
