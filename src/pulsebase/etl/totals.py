"""The totals of an import: counts by kind of file, and the files that were not read, all bounded in size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import PurePosixPath

from pulsebase.etl.extract.kinds import EMPTY_AT_TIMES
from pulsebase.etl.extract.unread import UnreadFile
from pulsebase.etl.results import FileResult, MetricCount, counted_with

NOTHING_READ, ALL_REFUSED = "nothing was read", "every record was refused"
#: How many names are kept. Further files are only counted.
MOST_NAMED = 50
MOST_OTHER_NAMES = 10
_MOST_ENDINGS = 50
_NAMED_OF_A_SERIES = 3
_MOST_PASSED_OVER = 200
_MOST_READ_AS = 20
_OTHERS = "others"
_DIGITS = re.compile(r"[0-9]+([-_.][0-9]+)*")


@dataclass(frozen=True, slots=True)
class KindTotal:
    """All files of one kind: how many, how many of these held no record, and their counts as in `FileResult`. `read_as`
    counts files by what of them was taken for what.
    """

    kind: str
    files: int = 0
    empty: int = 0
    read: int = 0
    written: int = 0
    rejected: int = 0
    days: int = 0
    first_day: date | None = None
    last_day: date | None = None
    passed_over: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    repeated: int = 0
    metrics: list[MetricCount] = field(default_factory=list)
    read_as: dict[str, int] = field(default_factory=dict)

    def plus(self, result: FileResult) -> KindTotal:
        """Return the total with one more file."""
        empty = result.read == 0 and result.problem is None
        return self.joined(
            KindTotal(
                self.kind,
                1,
                int(empty),
                result.read,
                result.written,
                result.rejected,
                result.days,
                result.first_day,
                result.last_day,
                result.passed_over,
                result.unchanged,
                result.repeated,
                result.metrics,
                {} if result.read_as is None else {result.read_as: 1},
            )
        )

    def joined(self, other: KindTotal) -> KindTotal:
        """Return the sums of both."""
        passed_over, read_as = dict(self.passed_over), dict(self.read_as)
        add_bounded(passed_over, other.passed_over, _MOST_PASSED_OVER)
        add_bounded(read_as, other.read_as, _MOST_READ_AS)
        return KindTotal(
            self.kind,
            self.files + other.files,
            self.empty + other.empty,
            self.read + other.read,
            self.written + other.written,
            self.rejected + other.rejected,
            self.days + other.days,
            min((day for day in (self.first_day, other.first_day) if day), default=None),
            max((day for day in (self.last_day, other.last_day) if day), default=None),
            passed_over,
            self.unchanged + other.unchanged,
            self.repeated + other.repeated,
            counted_with(self.metrics, other.metrics),
            read_as,
        )


@dataclass(frozen=True, slots=True)
class UnreadFiles:
    """Files of unknown kinds.

    `named` are those that a user may miss. Of a series of similar names the first three are listed there; `alike`
    counts the rest by their common name, with `#` for digits. `others` are names of other files, one of each series,
    and `endings` counts all of those by file extension.
    """

    named_count: int = 0
    other_count: int = 0
    named: tuple[UnreadFile, ...] = ()
    alike: dict[str, int] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    endings: dict[str, int] = field(default_factory=dict)

    def plus(self, file: UnreadFile) -> UnreadFiles:
        """Return the list with one more file."""
        series = _series(file.name)
        if not file.named:
            endings = dict(self.endings)
            add_bounded(endings, {_ending(file.name): 1}, _MOST_ENDINGS)
            others = self.others
            if len(others) < MOST_OTHER_NAMES and series not in map(_series, others):
                others = (*others, file.name)
            return replace(self, other_count=self.other_count + 1, others=others, endings=endings)
        known = sum(_series(each.name) == series for each in self.named)
        if known < _NAMED_OF_A_SERIES and len(self.named) < MOST_NAMED:
            return replace(self, named_count=self.named_count + 1, named=(*self.named, file))
        alike = dict(self.alike)
        add_bounded(alike, {series: 1}, MOST_NAMED)
        return replace(self, named_count=self.named_count + 1, alike=alike)


class Totals:
    """The totals of an import's files."""

    def __init__(self) -> None:
        self._kinds: dict[str, KindTotal] = {}

    def add(self, result: FileResult) -> None:
        """Add a file. One of unknown kind is not counted."""
        if result.kind is not None and result.counts:
            self._kinds[result.kind] = self._kinds.get(result.kind, KindTotal(result.kind)).plus(result)

    @property
    def kinds(self) -> tuple[KindTotal, ...]:
        """The totals by kind, in order of first appearance."""
        return tuple(self._kinds.values())

    @property
    def failure(self) -> str | None:
        """Why the import stored nothing, or None. Empty files are no failure where each file is a day: some days have
        no records.
        """
        read = sum(each.read for each in self.kinds)
        rejected = sum(each.rejected for each in self.kinds)
        if read:
            return ALL_REFUSED if read <= rejected else None
        passed = any(each.empty and each.kind in EMPTY_AT_TIMES for each in self.kinds)
        return None if passed else NOTHING_READ


def add_bounded(counts: dict[str, int], more: Mapping[str, int], most: int) -> None:
    """Add counts by name. Beyond `most` names, all others are counted together."""
    for name, count in more.items():
        kept = name if name in counts or len(counts) < most else _OTHERS
        counts[kept] = counts.get(kept, 0) + count


def most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names and counts, the largest count first."""
    return Counter(counts).most_common()


@lru_cache(maxsize=4 * MOST_NAMED)
def _series(name: str) -> str:
    """Return the name with `#` for digits, which a series of daily files has in common."""
    return _DIGITS.sub("#", name)


def _ending(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).suffix.lower()[:16] or "without an ending"
