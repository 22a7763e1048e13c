"""What readers of files hand on, and what they are told that files do not say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.model.errors import FieldError
from pulsebase.model.exported import Record
from pulsebase.model.summaries import DailySummary


@dataclass(frozen=True, slots=True)
class FileOwner:
    """Whose readings files bring where they name nobody, the device if another one than they say is wanted, and the
    zone in which each person's local times are read.
    """

    user_id: str | None
    device_id: str | None
    zone_of: Callable[[str], ZoneInfo]

    @property
    def person(self) -> str:
        """The person; asked for by readers of kinds that name nobody, which are not called without one."""
        assert self.user_id is not None
        return self.user_id


def everybody_in(zone: ZoneInfo) -> Callable[[str], ZoneInfo]:
    """The same zone for everybody."""
    return lambda _: zone


@dataclass(frozen=True, slots=True)
class SummaryBlock:
    """Some days of a file, as far as each file of its kind knows them. `total` counts the records read."""

    summaries: Sequence[DailySummary]
    errors: list[FieldError]
    total: int


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Some records of people, as an export has them; `places` are the numbers of their lines. `total` counts the lines
    read.
    """

    records: Sequence[Record]
    places: Sequence[int]
    errors: list[FieldError]
    total: int


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be known of how a file was read, in words."""

    text: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Records, columns or other pieces of a file that are of no kind that is read: what the file calls them, and how
    many there were.
    """

    what: str
    count: int


Part = Block | SummaryBlock | RecordBlock | Remark | PassedOver


def clock_remarks(clocks: LocalClocks) -> Iterator[Remark]:
    """What is to be said of local times that came twice or never, if there were any."""
    if clocks.untold:
        yield Remark(
            f"{clocks.untold:,} times came twice as clocks fell back, and their order does not tell which they were"
        )
    if clocks.skipped:
        yield Remark(f"{clocks.skipped:,} times did not exist as clocks went forward, and were moved on by the change")


class EndOfImportError(MalformedError):
    """Nothing more of the import is read."""


class Stream(Protocol):
    """A file that is read on."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, all of them unless the file ends.

        Raises:
            MalformedError: what the file is packed in is damaged; what came before it is good.
        """
