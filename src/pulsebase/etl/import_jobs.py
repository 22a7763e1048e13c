"""Imports that a server runs in the background: a few at a time, while others wait. Each has its own file."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol
from zoneinfo import ZoneInfo

from pulsebase import telemetry
from pulsebase.etl.extract.parts import FileOwner
from pulsebase.etl.importer import ImportWatcher, Sink, Upload
from pulsebase.etl.load import IMPORT_KIND, ImportSink
from pulsebase.etl.records import RecordKeeper
from pulsebase.etl.results import FileResult
from pulsebase.etl.summary import PeopleCounted, RefusalCounts
from pulsebase.etl.totals import KindTotal, Totals, UnreadFiles, add_bounded
from pulsebase.files.locks import FolderLocks
from pulsebase.ingest import Ingestor, ReadingRules
from pulsebase.ingest.newcomers import Allowance
from pulsebase.model.errors import FieldError, PulsebaseError, ShareFullError, StoreUnavailableError, shown
from pulsebase.model.users import User, printable, speaks_of
from pulsebase.stores.contract import Store

logger = logging.getLogger(__name__)

#: How many uploads may wait while others are read. Each takes space in the temporary folder.
MOST_WAITING = 8
#: How many reports of ended imports are kept, and how many files and errors each lists.
_REMEMBERED = 100
SHOWN_FILES = 1_000
SHOWN_ERRORS = 100

#: Replaces a text in a report that mentioned an erased person.
OF_NOBODY = "erased"
#: Fields of a report whose texts are our own and cannot mention anybody.
_NO_NAMES = ("status", "kind", "counts", "reason", "metrics")

JobStatus = Literal["waiting", "running", "done", "failed"]
_ENDED: tuple[JobStatus, ...] = ("done", "failed")
_CANCELLED, _STOPPED = "it was cancelled", "the server stopped"


@dataclass(frozen=True, slots=True)
class ImportRefusal:
    """A refused record of an import: its file, what its position counts, and the reason."""

    file: str
    counts: str
    error: FieldError


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The state of an import. The counts cover all files; `files` and `refusals` list only the first ones.

    `failure` says why the import did not finish, or that it stored nothing. `kinds` are the counts by kind of file,
    `unread` the files of unknown kinds, and `remark` is a note about the import as a whole. `people` counts those of
    whom something was stored, `refused` the refusals by field and reason.
    """

    number: int
    status: JobStatus
    size_bytes: int
    read_bytes: int = 0
    files: tuple[FileResult, ...] = ()
    file_count: int = 0
    read: int = 0
    written: int = 0
    unchanged: int = 0
    repeated: int = 0
    rejected: int = 0
    days: int = 0
    refusals: tuple[ImportRefusal, ...] = ()
    failure: str | None = None
    kinds: tuple[KindTotal, ...] = ()
    unread: UnreadFiles = field(default_factory=UnreadFiles)
    remark: str | None = None
    people: int = 0
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """An import's share of the resources that all imports use.

    Attributes:
        wait: waits until the import may run, or until the function it is given says that it should stop.
        ended: releases the share.
    """

    wait: Callable[[Callable[[], bool]], None] = lambda _: None
    ended: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Job:
    report: ImportReport
    name: str
    origin: str
    upload: BinaryIO
    owner: FileOwner
    sink: ImportSink
    who: Hashable
    turn: Turn
    sent_bytes: int | None
    refusals: list[ImportRefusal] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)


class Importing(Protocol):
    """Reads an upload into a sink, as `Importer.upload` does, and also yields the unread files as it finds them."""

    def __call__(self, file: Upload, sink: Sink, watcher: ImportWatcher) -> Iterator[FileResult | UnreadFiles]: ...


def running_imports(folder: Path) -> FolderLocks:
    """Return the locks of running imports into the store that the folder belongs to. Each is named by its origin."""
    return FolderLocks(folder / "imports")


def origin_name(name: str) -> str:
    """Return the origin name of an import that begins now. Every import has its own."""
    return f"{printable(name)} {datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


class ImportJobs:
    """Accepts uploads and imports them in order. For each sender one import runs at a time, and one more may wait.
    Every method may be called from any thread.
    """

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
        most_running: int = 1,
        told: Callable[[ImportReport], object] = lambda _: None,
    ) -> None:
        """`importing` reads the files, perhaps in another process, up to `most_running` at the same time. `told` hears
        of each that ended, before anybody else can see that it did.
        """
        self._told = told
        self._importing = importing
        self._ingestor, self._store, self._rules, self._limit_bytes = ingestor, store, rules, limit_bytes
        self._changing, self._running = changing, running
        self._jobs: OrderedDict[int, _Job] = OrderedDict()
        self._others: dict[int, ImportReport] = {}
        #: People erased while an import is unfinished, which may still mention them.
        self._erased: list[User] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="pulsebase-import", daemon=True) for _ in range(most_running)
        ]
        for thread in self._threads:
            thread.start()

    def refuse_when_full(self, who: Hashable = None) -> None:
        """Raise `StoreUnavailableError` if there is no place for another upload to wait, `ShareFullError` if one of the
        same sender waits already. The second limit applies only if there is a sender.
        """
        with self._changed:
            waiting = [job for job in self._jobs.values() if job.report.status == "waiting"]
        if who is not None and any(job.who == who for job in waiting):
            telemetry.SHARES_REFUSED.labels("imports", "own").inc()
            raise ShareFullError("an import of this key or address waits already; nothing of this request was kept", 30)
        if len(waiting) >= MOST_WAITING:
            telemetry.SHARES_REFUSED.labels("imports", "all").inc()
            raise StoreUnavailableError(
                "other imports wait already; nothing of this request was kept", retry_after_s=30
            )

    def start(
        self,
        name: str,
        upload: BinaryIO,
        owner: FileOwner,
        people: frozenset[str] | None = None,
        *,
        changes_people: bool = True,
        noted: Callable[[int], object] = lambda _: None,
        who: Hashable = None,
        allowance: Allowance | None = None,
        turn: Turn = Turn(),
        sent_bytes: int | None = None,
    ) -> ImportReport:
        """Import an open file when its `turn` comes, and close it afterwards. With `people`, only their data are
        imported. Records about people are stored if the sender `who` `changes_people`, and as many new people are
        created as the `allowance` permits. `noted` is called with the import's number before it begins; if that
        raises, the import does not begin. `sent_bytes` is the size as sent, if it differs from the size of the file.

        Raises:
            StoreUnavailableError, ShareFullError: as `refuse_when_full`.
        """
        self.refuse_when_full(who)
        origin = origin_name(name)
        number = self._ingestor.register_origin(IMPORT_KIND, origin)
        noted(number)
        report = ImportReport(number, "waiting", upload.seek(0, 2))
        rules = self._rules.of_people(people)
        keeper = RecordKeeper(self._store, rules, self._changing, changes_people=changes_people, allowance=allowance)
        sink = ImportSink(self._ingestor, self._store, keeper, rules, origin=number, allowance=allowance)
        job = _Job(report, name, origin, upload, owner, sink, who, turn, sent_bytes)
        with self._changed:
            self._jobs[number] = job
            past = [each for each, kept in self._jobs.items() if kept.report.status in _ENDED]
            for each in past[: max(0, len(past) - _REMEMBERED)]:
                del self._jobs[each]
            self._changed.notify_all()
        return report

    def cancel(self, number: int) -> bool:
        """Cancel an import that waits or runs; a running one stops after its current part. What it has stored stays.
        Return whether there was such an import.
        """
        with self._changed:
            job = self._jobs.get(number)
            if job is None or job.report.status in _ENDED:
                return False
            job.cancelled.set()
            if job.report.status == "running":
                return True
            job.report = replace(job.report, status="failed", failure=_CANCELLED)
        self._told(job.report)
        _let_go(job)
        return True

    def report(self, number: int) -> ImportReport | None:
        """Return the report of an import; None if this process did not run it, or no longer remembers it."""
        with self._changed:
            job = self._jobs.get(number)
            return self._others.get(number) if job is None else job.report

    def ended(self) -> dict[int, ImportReport]:
        """Return the reports of ended imports, by number."""
        with self._changed:
            own = {number: job.report for number, job in self._jobs.items() if job.report.status in _ENDED}
            return self._others | own

    def remember(self, ended: Mapping[int, ImportReport]) -> None:
        """Keep the reports of imports by another process that is about to end."""
        with self._changed:
            told = {number: _without(report, self._erased) for number, report in ended.items()}
            kept = sorted((self._others | told).items())[-_REMEMBERED:]
            self._others = dict(kept)

    def forget(self, person: User) -> None:
        """Remove every mention of a person from the reports, including what unfinished imports still find."""
        with self._changed:
            self._erased.append(person)
            for job in self._jobs.values():
                job.refusals = [_without(each, [person]) for each in job.refusals]
                job.report = _without(job.report, [person])
            self._others = {number: _without(report, [person]) for number, report in self._others.items()}
            self._forget_ended()

    @property
    def busy(self) -> bool:
        """Return whether an import runs or waits."""
        with self._changed:
            return any(job.report.status not in _ENDED for job in self._jobs.values())

    def runs(self, origin: str) -> bool:
        """Return whether the import with this origin runs in any process on this machine."""
        return self._running.is_held(origin)

    def stop(self) -> None:
        """Let running imports end after their current part, and start no waiting ones."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop as `stop` does, and wait until the running imports have ended."""
        self.stop()
        for thread in self._threads:
            thread.join()
        for job in self._jobs.values():
            if job.report.status == "waiting":  # it was accepted, so whoever waits for its end is told
                job.report = replace(job.report, status="failed", failure=_STOPPED)
                self._told(job.report)
            job.upload.close()

    def _next(self) -> _Job | None:
        """Wait for the next import to run and return it; None when the server stops."""
        with self._changed:
            while not self._stopping.is_set():
                running = {job.who for job in self._jobs.values() if job.report.status == "running"} - {None}
                for job in self._jobs.values():
                    if job.report.status == "waiting" and job.who not in running:
                        job.report = replace(job.report, status="running")
                        return job
                self._changed.wait()
        return None

    def _run(self) -> None:
        while (job := self._next()) is not None:
            failure: str | None = None
            try:
                with self._running.held_once(job.origin):
                    failure = self._import(job)
            except PulsebaseError as error:
                failure = shown(error)
            except Exception:
                logger.exception("an import failed")
                failure = "a fault of the server; the log has it"
            if self._stopping.is_set():
                failure = _STOPPED
            elif job.cancelled.is_set():
                failure = _CANCELLED
            _let_go(job)
            status: JobStatus = "failed" if failure else "done"
            self._told(replace(job.report, status=status, failure=failure))
            self._change(job, status=status, failure=failure)
            with self._changed:
                self._forget_ended()

    def _import(self, job: _Job) -> str | None:
        """Run the import. Return why nothing was stored, or None."""
        refusals, sink = RefusalCounts(), PeopleCounted(job.sink)

        def on_rejects(result: FileResult, errors: Sequence[FieldError]) -> None:
            _remember(job, result, errors)
            refusals.add(errors)

        watcher = ImportWatcher(
            rejects=on_rejects,
            progress=lambda read_bytes: self._change(job, read_bytes=min(read_bytes, job.report.size_bytes)),
            stopped=lambda: self._stopping.is_set() or job.cancelled.is_set(),
        )
        job.turn.wait(watcher.stopped)
        if watcher.stopped():
            return _CANCELLED
        job.upload.seek(0)
        upload = Upload(job.name, job.upload, job.owner, self._limit_bytes, job.sent_bytes)
        totals = Totals()
        for result in self._importing(upload, sink, watcher):
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
                unchanged=before.unchanged + result.unchanged,
                repeated=before.repeated + result.repeated,
                rejected=before.rejected + result.rejected,
                days=before.days + result.days,
                refusals=tuple(job.refusals),
                kinds=totals.kinds,
                people=len(sink.people),
                refused=refusals.by_reason,
            )
        self._change(job, remark=job.owner.remark())
        return totals.failure

    def _change(self, job: _Job, **changes: object) -> None:
        with self._changed:
            report = replace(job.report, **changes)  # type: ignore[arg-type]
            job.report = _without(report, self._erased)
            if job.report.status in _ENDED:
                self._changed.notify_all()  # the sender's next import may run now

    def _forget_ended(self) -> None:
        """Keep only the reports of ended imports. Once all have ended, forget who was erased."""
        for job in self._jobs.values():
            if job.report.status not in _ENDED:
                return
            job.name = job.origin = ""
            job.owner = FileOwner(None, None, ZoneInfo)
        self._erased = []


def _let_go(job: _Job) -> None:
    job.upload.close()
    job.turn.ended()


def _remember(job: _Job, result: FileResult, errors: Sequence[FieldError]) -> None:
    room = SHOWN_ERRORS - len(job.refusals)
    job.refusals += [ImportRefusal(result.name, result.counts, error) for error in errors[:room]]


def _without(value: Any, people: Sequence[User]) -> Any:
    """Return a part of a report with every text replaced that mentions one of these people."""
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
