"""What became of one file of an import."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(slots=True)
class FileResult:
    """What became of one file.

    `counts` is what positions in it count. What was `read` was `written`, which is new or changed now; or was there
    `unchanged`; or `repeated` a reading that the same import had brought before; or was `rejected`. `days` are
    summaries. `problem` says why it was not read, or not to its end; what was read until then is stored. `remark` is
    what else is to be known. `passed_over` counts what is in the file and was not read, by what the file calls it.
    `first_day` and `last_day` are those of what was stored: of readings in UTC.
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

    def spans(self, first: date, last: date) -> None:
        """Take these days in, and all between them."""
        self.first_day = first if self.first_day is None else min(self.first_day, first)
        self.last_day = last if self.last_day is None else max(self.last_day, last)
