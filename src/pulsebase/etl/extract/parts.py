"""What readers of files hand on, and what they are told that files do not say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.model.errors import FieldError
from pulsebase.model.exported import Record
from pulsebase.model.summaries import DailySummary

_REMEMBERED_ZONES = 10_000


@dataclass(frozen=True, slots=True)
class FileOwner:
    """Whose readings files bring where they name nobody, the device if another one than they say is wanted, and the
    zone in which each person's local times are read.
    """

    user_id: str | None
    device_id: str | None
    zone_of: Callable[[str], ZoneInfo]

    def remark(self) -> str | None:
        """What is to be known of how local times were read, since this was asked last."""
        return self.zone_of.remark() if isinstance(self.zone_of, OwnZones) else None

    @property
    def person(self) -> str:
        """The person; asked for by readers of kinds that name nobody, which are not called without one."""
        assert self.user_id is not None
        return self.user_id


def everybody_in(zone: ZoneInfo) -> Callable[[str], ZoneInfo]:
    """The same zone for everybody."""
    return lambda _: zone


class OwnZones:
    """Everybody's own time zone, as `zone_of` knows it. Those whose zone is UTC, and those of whom none is known, are
    remembered, so that it can be said how their local times were read.
    """

    def __init__(self, zone_of: Callable[[str], ZoneInfo]) -> None:
        self._zone_of = lru_cache(maxsize=_REMEMBERED_ZONES)(zone_of)
        self._in_utc: set[str] = set()

    def __call__(self, user_id: str) -> ZoneInfo:
        zone = self._zone_of(user_id)
        if zone.key == "UTC" and len(self._in_utc) < _REMEMBERED_ZONES:
            self._in_utc.add(user_id)
        return zone

    def remark(self) -> str | None:
        """Whose local times were read as UTC since this was asked last, if anybody's were."""
        people, self._in_utc = self._in_utc, set()
        if not people:
            return None
        who = f"{len(people):,} people" if len(people) > 1 else "one person"
        return (
            f"local times of {who} were read as UTC: no other zone is known of them, and none was named for the import"
        )


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
