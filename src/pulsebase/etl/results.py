"""The result of one file of an import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date


@dataclass(slots=True)
class MetricCount:
    """What became of the readings of one metric; the counts are those of `FileResult`."""

    metric: str
    read: int = 0
    written: int = 0
    unchanged: int = 0
    repeated: int = 0
    rejected: int = 0


def counted_with(counts: Sequence[MetricCount], more: Sequence[MetricCount]) -> list[MetricCount]:
    """Return the counts of both together, by metric in order of first appearance."""
    found: dict[str, MetricCount] = {}
    for each in (*counts, *more):
        before = found.get(each.metric, MetricCount(each.metric))
        found[each.metric] = MetricCount(
            each.metric,
            before.read + each.read,
            before.written + each.written,
            before.unchanged + each.unchanged,
            before.repeated + each.repeated,
            before.rejected + each.rejected,
        )
    return list(found.values())


@dataclass(slots=True)
class FileResult:
    """The result of one file.

    `counts` says what positions in the file count, lines for example. Each record that was `read` was either `written`
    (new or changed), `unchanged` (already stored), `repeated` (the same import brought that reading before) or
    `rejected`. `days` counts summaries. `problem` says why the file was not read, or not to its end; what was read
    until then is stored. `remark` is a note for the user. `passed_over` counts records that were ignored, by the name
    that the file gives them. `first_day` and `last_day` are the first and last day stored, for readings in UTC.
    `metrics` has the counts of readings by metric; what was rejected before its metric was known is in none of them.
    `read_as` says which columns of a CSV file were taken for what.
    """

    name: str
    kind: str | None = None
    counts: str = ""
    read: int = 0
    written: int = 0
    rejected: int = 0
    days: int = 0
    problem: str | None = None
    remark: str | None = None
    passed_over: dict[str, int] = field(default_factory=dict)  # no `Counter`: results are copied and sent as plain data
    first_day: date | None = None
    last_day: date | None = None
    unchanged: int = 0
    repeated: int = 0
    metrics: list[MetricCount] = field(default_factory=list)
    read_as: str | None = None

    def count(self, metric: str, **counts: int) -> None:
        """Add to the counts of a metric."""
        self.metrics = counted_with(self.metrics, [MetricCount(metric, **counts)])

    def spans(self, first: date, last: date) -> None:
        """Extend `first_day` and `last_day` to include these days."""
        self.first_day = first if self.first_day is None else min(self.first_day, first)
        self.last_day = last if self.last_day is None else max(self.last_day, last)
