"""`import` and `imports`: import files, and tables of other programs, with progress, counts and reasons of refusals."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx2 as httpx
import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from pulsebase.cli.blocks import store_block
from pulsebase.cli.import_report import RefusalSummary, Report
from pulsebase.cli.output import console, write_json
from pulsebase.cli.session import RefusedError, answer_of, session
from pulsebase.cli.users import day_of_ages, path_of, store_people
from pulsebase.etl.extract.packed import paths_in
from pulsebase.etl.extract.parts import FileOwner, OwnZones, everybody_in
from pulsebase.etl.import_jobs import origin_name, running_imports
from pulsebase.etl.importer import NOT_READ, Importer, ImportWatcher
from pulsebase.etl.load import StoredRows
from pulsebase.etl.records import KeptRecords
from pulsebase.etl.results import FileResult
from pulsebase.etl.summary import PeopleCounted, RefusalCounts, in_all
from pulsebase.etl.transform.csv_choices import CsvChoices
from pulsebase.files.locks import FolderLocks
from pulsebase.ingest import Candidates
from pulsebase.model.errors import FieldError, RejectedError, StopError
from pulsebase.model.exported import Record
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.metrics import asked_metric
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import zone_named, zone_or_utc
from pulsebase.query.exports import record_lines
from pulsebase.settings import Settings
from pulsebase.stores.records import kind_of_record
from pulsebase.wiring_sources import state_folder

_PEOPLE_AT_ONCE = 1_000
_NAME = "{task.description}"
_INTERRUPTED = (
    "Interrupted. What was stored stays. Run the same command again to continue; nothing is stored twice. "
    "pulsebase imports undo removes what was stored."
)


@dataclass(frozen=True, slots=True)
class ImportChoices:
    """What the user typed because files do not say it, and the file to which all refusals are written."""

    user: str | None
    device: str | None
    tz: str | None
    rejects: Path | None
    age_on: str | None
    metric: str | None = None
    csv: CsvChoices = field(default_factory=CsvChoices)

    def zone(self) -> ZoneInfo | None:
        """Return the zone of everybody's local times, if one was typed.

        Raises:
            RejectedError: an option is not a valid id or zone.
        """
        for option, value in (("--user", self.user), ("--device", self.device)):
            problem = None if value is None else identifier_problem(value)
            if problem is not None:
                raise RejectedError.of(option, problem)
        return None if self.tz is None else zone_named(self.tz, "--tz")

    def reference_day(self) -> date:
        """Return the day to which ages refer. Raises `RejectedError` if the option is not a date."""
        return day_of_ages(self.age_on, datetime.now(UTC).date())


#: Exit statuses: success; something could not be read, or everything was refused; Ctrl+C.
DONE, FAILED, INTERRUPTED = 0, 1, 130


def run_imports(settings: Settings, places: Sequence[str], choices: ImportChoices) -> int:
    """Import files, folders and databases one after the other. Return the exit status: `FAILED` if one of them could
    not be read to its end, or if nothing of it was stored.
    """
    zone, age_on = choices.zone(), choices.reference_day()
    metric = None if choices.metric is None else asked_metric(choices.metric, "--metric").name
    # Checked before the store is opened, so that a mistyped name does not create one.
    sizes = {place: _size(Path(place)) for place in places if not _is_database(place)}
    sound = True
    with contextlib.ExitStack() as opened:
        rejects = opened.enter_context(_rejects_file(choices.rejects))
        client = opened.enter_context(session(settings))
        interrupted = opened.enter_context(_on_interrupt())
        desk = _ImportContext(client, rejects, running_imports(state_folder(settings, opened)), interrupted)
        zone_of = everybody_in(zone) if zone else OwnZones(_zone_asked(client))
        owner = FileOwner(choices.user, choices.device, zone_of, metric, choices.csv)
        for place in places:
            if interrupted.is_set():
                _say_red(console, f"{_name(place)}: {NOT_READ}")
                continue
            if _is_database(place):
                sound &= _import_tables(place, desk, owner, age_on)
                continue
            path = Path(place)
            with Progress(
                TextColumn(_NAME), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console
            ) as bar:
                name = _name(place)
                run = _Run(name, desk, bar, bar.add_task(name, total=sizes[place]))
                try:
                    importer = Importer(run.sink, owner, settings.import_limit_bytes, run.watcher)
                    sound &= run.tell(name, importer, importer.path(path))
                except OSError as error:
                    _say_red(bar.console, f"{error.filename or path}: {error.strerror}")
                    sound = False
        if interrupted.is_set():
            _say_red(console, _INTERRUPTED)
            return INTERRUPTED
    return DONE if sound else FAILED


@contextlib.contextmanager
def _on_interrupt() -> Iterator[threading.Event]:
    """Yield an event that Ctrl+C sets: the import then stores and reports what it has read. A second Ctrl+C ends the
    command.
    """
    interrupted = threading.Event()

    def on_signal(*_: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _is_database(place: str) -> bool:
    return place.startswith(("postgresql://", "postgres://"))


def _name(place: str) -> str:
    """Return the name of a file or database, without its URL, which may contain a password."""
    return (urlsplit(place).path[1:] or "database") if _is_database(place) else Path(place).resolve().name


@dataclass(frozen=True, slots=True)
class _ImportContext:
    """What all imports of one command share: the store, the file for refusals, the locks of imports, and whether Ctrl+C
    was pressed.
    """

    client: httpx.Client
    rejects: TextIO | None
    running: FolderLocks
    interrupted: threading.Event


def _import_tables(url: str, desk: _ImportContext, owner: FileOwner, age_on: date) -> bool:
    """Import the people and the readings of a database."""
    from pulsebase.etl.extract.sql_tables import KIND, sql_tables  # loads the driver

    name = _name(url)
    with (
        sql_tables(url) as tables,
        Progress(TextColumn(_NAME), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as bar,
    ):
        people = tables.people(datetime.now(UTC).date(), age_on)
        for first in range(0, len(people.users), _PEOPLE_AT_ONCE):
            store_people(desk.client, people.users[first : first + _PEOPLE_AT_ONCE])
        console.print(f"{name}: {len(people.users):,} people stored", markup=False, highlight=False, soft_wrap=True)
        run = _Run(name, desk, bar, bar.add_task(name, total=tables.count()))
        users = FileResult("users", KIND, "row")
        run.on_rejects(users, people.errors)
        run.show_refusals(users)
        importer = Importer(run.sink, owner, 0, run.watcher)

        def results() -> Iterator[FileResult]:
            yield importer.parts("heart_rates", KIND, "row", tables.readings(owner))

        return run.tell(name, importer, results())


def run_list(settings: Settings, *, as_json: bool) -> None:
    """Show all imports, newest first."""
    with session(settings) as client:
        imports = list(_all_imports(client))
    if as_json:
        write_json({"data": imports})
        return
    table = Table("id", "kind", "name", "readings", "status")
    for each in imports:
        table.add_row(str(each["id"]), each["kind"], Text(each["name"]), f"{each['readings']:,}", each["status"])
    console.print(table)


def run_undo(settings: Settings, number: int) -> None:
    """Remove the readings of an import that are still stored."""
    with session(settings) as client:
        deleted = answer_of(client.delete(f"/v1/imports/{number}"))["deleted"]
    text = f"{deleted:,} readings removed. What they had replaced does not come back; people and daily summaries stay."
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _zone_asked(client: httpx.Client) -> Callable[[str], ZoneInfo]:
    """Return a function that looks up a person's own zone: UTC for people without one and for unknown people."""

    def zone_of(user_id: str) -> ZoneInfo:
        if identifier_problem(user_id) is not None:
            return ZoneInfo("UTC")
        response = client.get(path_of(user_id))
        return zone_or_utc(answer_of(response)["time_zone"] if response.is_success else None)

    return zone_of


class _HttpSink:
    """Stores what an import reads, over the owner's socket. See `importer.Sink`."""

    def __init__(self, client: httpx.Client, name: str, say: Callable[[str], None]) -> None:
        self._client, self.name, self._say = client, name, say
        self.number: int | None = None

    def readings(self, rows: Candidates) -> StoredRows:
        answer = store_block(self._client, self.name, rows, self._say)
        self.number = answer["import_id"]
        errors = [FieldError(entry["field"], entry["reason"], entry["index"]) for entry in answer["errors"]]
        stored = StoredRows.all_written(len(rows), errors)
        for mask, stretches in ((stored.unchanged, answer["unchanged"]), (stored.repeated, answer["repeated"])):
            for first, end in stretches:
                mask[first:end] = True
        return stored

    def summaries(self, days: Sequence[DailySummary]) -> None:
        answer_of(self._client.post("/v1/admin/summaries", content=msgspec.json.encode(list(days))))

    def records(self, records: Sequence[Record]) -> KeptRecords:
        kind = kind_of_record(records[0])
        answer = answer_of(self._client.post("/v1/admin/records", params={"kind": kind}, content=record_lines(records)))
        errors = [FieldError(entry["field"], entry["reason"], entry["index"] - 1) for entry in answer["errors"]]
        return KeptRecords(answer["unchanged"], errors)


class _Run:
    """The import of one place."""

    def __init__(self, name: str, desk: _ImportContext, progress: Progress, task: TaskID) -> None:
        self._progress, self._desk = progress, desk
        self._refusals: defaultdict[str, RefusalSummary] = defaultdict(RefusalSummary)  # by file
        self._report = Report(self._say, lambda text: _say_red(progress.console, text))
        self._store = _HttpSink(desk.client, origin_name(name[-100:]), self._say)
        self.sink = PeopleCounted(self._store)
        self._refused = RefusalCounts()
        self.watcher = ImportWatcher(
            rejects=self.on_rejects,
            progress=lambda done: progress.update(task, completed=done),
            stopped=desk.interrupted.is_set,
        )

    def tell(self, name: str, importer: Importer, results: Iterator[FileResult]) -> bool:
        """Report the result of each file, and the totals. Return whether every file could be read to its end and
        something was stored.
        """
        sound, failed = True, True
        try:
            with self._desk.running.held_once(self._store.name):  # it cannot be undone meanwhile
                for result in results:
                    self._report.file(result, self._refusals.pop(result.name, RefusalSummary()))
                    sound &= result.problem is None
            self._report.totals(name, importer.totals.kinds)
            self._report.in_all(name, in_all(importer.totals.kinds), self.sink.people, self._refused.by_reason)
            self._report.left(name, importer.unread, importer.remark)
            failure = importer.totals.failure
            failed = failure is not None or self._desk.interrupted.is_set()
            if failure is not None and not self._desk.interrupted.is_set():
                self._report.nothing(name, failure)
                sound = False
            self._report.hint(has_rejects=self._desk.rejects is not None)
        finally:  # also if the import failed, because what it stored can be undone
            if self._store.number is not None:
                number = self._store.number
                self._tell_webhooks(number, importer, failed=failed)
                self._say(f"{name} is import {number}; pulsebase imports undo {number} removes it")
        return sound

    def _tell_webhooks(self, number: int, importer: Importer, *, failed: bool) -> None:
        total = in_all(importer.totals.kinds)
        counts = {"read": total.read, "written": total.written, "unchanged": total.unchanged}
        how = {
            "status": "failed" if failed else "done",
            "files": total.files,
            **counts,
            "rejected": total.rejected,
            "people": len(self.sink.people),
        }
        try:
            answer_of(self._desk.client.post(f"/v1/admin/imports/{number}/finished", json=how))
        except (RefusedError, httpx.TransportError) as error:
            _say_red(self._progress.console, f"webhooks are not told that the import ended: {error}")

    def on_rejects(self, result: FileResult, errors: Sequence[FieldError]) -> None:
        """Remember refusals, and write them to the file of `--rejects` if there is one."""
        self._refusals[result.name].add(errors)
        self._refused.add(errors)
        rejects = self._desk.rejects
        if rejects is not None:
            for error in errors:
                row = {"file": result.name, result.counts: error.index, "field": error.field, "reason": error.reason}
                rejects.write(json.dumps(row, ensure_ascii=False) + "\n")

    def show_refusals(self, result: FileResult) -> None:
        """Print why records were refused, and drop the list."""
        for line in self._refusals.pop(result.name, RefusalSummary()).lines(result.counts):
            self._say(line)

    def _say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _counts(result: FileResult) -> str:
    """Return the counts of a file as text; rare ones only if they are not zero."""
    counts = [f"{result.read:,} read", f"{result.written:,} written"]
    rare = ((result.unchanged, "already there"), (result.repeated, "repeated"))
    counts += [f"{count:,} {what}" for count, what in rare if count]
    counts.append(f"{result.rejected:,} rejected")
    return ", ".join(counts + ([f"{result.days:,} days"] if result.days else []))


def _all_imports(client: httpx.Client) -> Iterator[dict[str, Any]]:
    cursor: int | None = None
    while True:
        parameters = {"limit": 1000} | ({} if cursor is None else {"cursor": cursor})
        page = answer_of(client.get("/v1/imports", params=parameters))
        yield from page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _size(path: Path) -> int:
    try:
        path.stat()
        return sum(each.stat().st_size for each in paths_in(path))
    except OSError as error:
        raise StopError(f"{path}: {error.strerror}") from error


@contextlib.contextmanager
def _rejects_file(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise StopError(f"--rejects: {path}: {error.strerror}") from error
    with file:
        yield file


def _say_red(out: Console, text: str) -> None:
    out.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
