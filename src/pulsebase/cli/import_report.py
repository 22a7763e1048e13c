"""Print the report of an import: notes on single files, then a line for each kind of file, and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from pulsebase.etl.extract.parts import NOBODY
from pulsebase.etl.results import FileResult, MetricCount
from pulsebase.etl.totals import NOTHING_READ, KindTotal, UnreadFiles, most_first
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import HEART_RATE

_SHOWN_REJECTS = 10
#: How many files of an archive or folder get a line of their own; the others are only counted.
_SHOWN_FILES = 20
_SHOWN_OF_A_PROBLEM = 3
_SHOWN_PASSED_OVER = 8
_SHOWN_PEOPLE = 5
_SHOWN_REASONS = 10
_WHAT_TO_DO = (
    "Files that are read: exports of Google Takeout, Apple Health, Health Connect, Gadgetbridge, Garmin, Samsung "
    "Health, Mi Fitness, Zepp, Withings, Oura, Polar, Empatica and LifeSnaps, pages of Fitbit's Web API; FHIR "
    "Observations and Open mHealth data points; activities as FIT, TCX and GPX; research CSV (Id,Time,Value); any CSV, "
    "Arrow or Parquet with columns named by --time-column and --value-column; CSV, NDJSON, Arrow and Parquet with "
    "user_id, device_id, timestamp and heart_rate, or metric and value; and tables in PostgreSQL. See "
    "docs/guide/importing.md."
)
_OTHERS_TO_DO = (
    "  To import them, convert them to CSV: user_id,device_id,timestamp and heart_rate, or metric and value."
)
_REJECTED = "some of its records were rejected"
_REJECTS_TO_DO = "--rejects FILE writes every refusal to a file."

Say = Callable[[str], None]


@dataclass(slots=True)
class RefusalSummary:
    """The refusals of one file: the first ones in full, and a count by reason."""

    first: list[FieldError] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, errors: Sequence[FieldError]) -> None:
        """Add refusals."""
        self.first += errors[: _SHOWN_REJECTS - len(self.first)]
        self.reasons.update(f"{error.field}: {error.reason}" for error in errors)

    def lines(self, counts: str) -> list[str]:
        """Return lines with the first refusals, and the number of further ones by reason."""
        lines = []
        for error in self.first:
            place = "" if error.index is None else f"{counts} {error.index}: "
            lines.append(f"  {place}{error.field}: {error.reason}")
        more = self.reasons.total() - len(self.first)
        if more > 0:
            lines.append(f"  … and {more:,} more:")
            lines += [f"  {times:,} × {reason}" for reason, times in self.reasons.most_common()]
        return lines


class Report:
    """The report of one file, folder or database. `say` prints a line, `warn` prints what went wrong."""

    def __init__(self, say: Say, warn: Say) -> None:
        self._say, self._warn = say, warn
        self._told: Counter[str] = Counter()  # by text
        self._cut_short = False
        self._untold: Counter[str] = Counter()
        self._alone: set[str] = set()  # kinds whose counts were reported with their only file

    def file(self, result: FileResult, refusals: RefusalSummary) -> None:
        """Report the result of a file. A file named on the command line is always reported, one inside an archive or a
        folder only if there is something to say about it.
        """
        alone = "/" not in result.name
        what = result.problem or result.remark or (_REJECTED if result.rejected else None)
        if not alone:
            if what is None:
                return
            if self._told.total() >= _SHOWN_FILES or (result.problem and self._told[what] >= _SHOWN_OF_A_PROBLEM):
                self._untold[what] += 1
                return
        if what is not None:
            self._told[what] += 1
        if result.kind is not None and result.counts and (alone or result.read):
            self._say(f"{result.name}: {counts_of(result)}")
            if alone:
                if result.read_as is not None:
                    self._say(f"  read as: {result.read_as}")
                self._say_metrics(result.metrics)
                self._alone.add(result.kind)
        if result.remark is not None:
            self._say(f"{result.name}: {result.remark}")
        if result.problem is not None:
            self._warn(f"{result.name}: {result.problem}")
        lines = refusals.lines(result.counts)
        self._cut_short |= len(lines) > _SHOWN_REJECTS
        for line in lines:
            self._say(line)

    def totals(self, name: str, kinds: Sequence[KindTotal]) -> None:
        """Report what is left to say of single files, and a line for each kind of file."""
        for reason, files in self._untold.most_common():
            self._warn(f"{name}: {_number_of(files, 'more file')}: {reason}")
        for total in kinds:
            if total.kind not in self._alone:
                self._say(f"{name}: {total.kind}: {_files_of(total)}, {counts_of(total)}")
                for read_as, files in most_first(total.read_as):
                    self._say(f"  read as: {read_as}" + (f" ({_number_of(files, 'file')})" if total.files > 1 else ""))
                self._say_metrics(total.metrics)
            if total.passed_over:
                self._say(f"  not read in {total.kind}: {_passed_over(total)}")

    def in_all(self, name: str, total: KindTotal, people: Sequence[str], refused: Mapping[str, int]) -> None:
        """Report the sums over all files, of whom and of what something was stored, and why records were refused. Of a
        single file the counts and the reasons were reported already.
        """
        if not total.read:
            return
        if not self._alone:
            self._say(f"{name}: in all: {_files_of(total)}, {counts_of(total)}")
        if people:
            more = len(people) - _SHOWN_PEOPLE
            shown = ", ".join(people[:_SHOWN_PEOPLE]) + (f" and {more:,} more" if more > 0 else "")
            self._say(f"  people: {shown}")
        if not self._alone and total.metrics:
            metrics = [f"{each.metric} ({each.read - each.rejected:,})" for each in total.metrics]
            self._say(f"  metrics: {', '.join(metrics)}")
        if not self._alone:
            for reason, count in list(refused.items())[:_SHOWN_REASONS]:
                self._say(f"  refused: {count:,} × {reason}")
            if len(refused) > _SHOWN_REASONS:
                more = sum(list(refused.values())[_SHOWN_REASONS:])
                self._say(f"  refused: {more:,} for {len(refused) - _SHOWN_REASONS:,} other reasons")

    def left(self, name: str, unread: UnreadFiles, remark: str | None) -> None:
        """Report what is to be known of the whole import, and the files that were not read."""
        if remark is not None:
            self._say(f"{name}: {remark}")
        self._unread(name, unread)

    def nothing(self, name: str, why: str) -> None:
        """Report that the import stored nothing."""
        if not self._told:
            self._warn(f"{name}: {why}")
        if why == NOTHING_READ and NOBODY not in self._told:
            self._say(_WHAT_TO_DO)

    def hint(self, *, has_rejects: bool) -> None:
        """Explain how to see the refusals that were not shown."""
        if not has_rejects and (self._cut_short or _REJECTED in self._untold):
            self._say(_REJECTS_TO_DO)

    def _say_metrics(self, metrics: Sequence[MetricCount]) -> None:
        """Report the readings of each metric, unless all are of heart rate."""
        if {each.metric for each in metrics} <= {HEART_RATE.name}:
            return
        for each in metrics:
            self._say(f"  {each.metric}: {_plain_counts(each)}")

    def _unread(self, name: str, unread: UnreadFiles) -> None:
        if unread.named_count:
            self._warn(f"{name}: not read: {_number_of(unread.named_count, 'file')} that may hold vital signs:")
            for file in unread.named:
                self._say(f"  {file.name}: {file.what}")
            for series, count in unread.alike.items():
                self._say(f"  and {count:,} more like {series}")
            self._say(_OTHERS_TO_DO)
        if unread.other_count:
            endings = ", ".join(f"{count:,} {ending}" for ending, count in most_first(unread.endings))
            self._say(f"{name}: not read: {_number_of(unread.other_count, 'other file')} ({endings}), such as")
            for other in unread.others:
                self._say(f"  {other}")


def counts_of(counted: FileResult | KindTotal) -> str:
    """Return the counts of a file or of a kind as text."""
    text = _plain_counts(counted)
    if counted.days:
        text += f", {_number_of(counted.days, 'day')}"
    return text + _span(counted.first_day, counted.last_day)


def _plain_counts(counted: FileResult | KindTotal | MetricCount) -> str:
    counts = [f"{counted.read:,} read", f"{counted.written:,} written"]
    rare = ((counted.unchanged, "already there"), (counted.repeated, "repeated"))
    counts += [f"{count:,} {what}" for count, what in rare if count]
    return ", ".join([*counts, f"{counted.rejected:,} rejected"])


def _span(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        return ""
    return f", {first}" if first == last else f", {first} to {last}"


def _files_of(total: KindTotal) -> str:
    files = _number_of(total.files, "file")
    return files + (f" ({total.empty:,} without a record)" if total.empty else "")


def _number_of(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _passed_over(total: KindTotal) -> str:
    names = most_first(total.passed_over)
    shown = ", ".join(f"{count:,} × {name}" for name, count in names[:_SHOWN_PASSED_OVER])
    more = sum(count for _, count in names[_SHOWN_PASSED_OVER:])
    return shown + (f", and {more:,} of {len(names) - _SHOWN_PASSED_OVER:,} kinds more" if more else "")
