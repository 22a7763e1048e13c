"""The parts that readers of files produce, and the context that files do not state themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from pulsebase.etl.transform.csv_choices import CsvChoices
from pulsebase.etl.transform.health_readings import Whose
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.model.errors import FieldError
from pulsebase.model.exported import Record
from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import User

PieceT = TypeVar("PieceT")

_REMEMBERED_ZONES = 10_000
#: Why a file cannot be read without a person.
NOBODY = "does not say whose it is; name the person with --user, over HTTP with user_id"


@dataclass(frozen=True, slots=True)
class FileOwner:
    """The person for files that name nobody, the device that replaces those that files name, if any, the time zone of
    each person's local times, the metric of files of values that name none, and what was said of CSV files.
    """

    user_id: str | None
    device_id: str | None
    zone_of: Callable[[str], ZoneInfo]
    metric: str | None = None
    csv: CsvChoices = field(default_factory=CsvChoices)
    #: For files that name people although the caller named one; the same for all files of an import.
    whose: Whose = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "whose", Whose(self.user_id))

    def remark(self) -> str | None:
        """Return a note on how local times were read since the last call, or None."""
        return self.zone_of.remark() if isinstance(self.zone_of, OwnZones) else None

    @property
    def person(self) -> str:
        """Return the person. Only readers of kinds that name nobody call this, and they are never run without one."""
        assert self.user_id is not None
        return self.user_id


def everybody_in(zone: ZoneInfo) -> Callable[[str], ZoneInfo]:
    """Return a lookup that gives everybody the same zone."""
    return lambda _: zone


class OwnZones:
    """Everybody's own time zone, from `zone_of`. People whose zone is UTC or unknown are remembered, so that the user
    can be told that their local times were read as UTC.
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
        """Return a note on whose local times were read as UTC since the last call, or None."""
        people, self._in_utc = self._in_utc, set()
        if not people:
            return None
        who = f"{len(people):,} people" if len(people) > 1 else "one person"
        return (
            f"local times of {who} were read as UTC: no other zone is known of them, and none was named for the import"
        )


@dataclass(frozen=True, slots=True)
class SummaryBlock:
    """Some days of a file. Each file may know only a part of a day. `total` counts the records read."""

    summaries: Sequence[DailySummary]
    errors: list[FieldError]
    total: int


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Some records of people from an export. `places` are the numbers of their lines; `total` counts the lines read."""

    records: Sequence[Record]
    places: Sequence[int]
    errors: list[FieldError]
    total: int


@dataclass(frozen=True, slots=True)
class AboutPerson:
    """What a file of one person states about them besides their readings. It is taken over where nothing is known."""

    user: User


@dataclass(frozen=True, slots=True)
class Remark:
    """A note for the user on how a file was read."""

    text: str


@dataclass(frozen=True, slots=True)
class ReadAs:
    """What a reader took a file for, where the file does not say it: which columns hold what."""

    text: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Records, columns or other pieces of a file that are ignored: the name the file gives them, and their number."""

    what: str
    count: int


Part = Block | SummaryBlock | RecordBlock | AboutPerson | Remark | ReadAs | PassedOver


class Clocks(Protocol):
    """What counts local times that were not plain, as `LocalClocks` does."""

    @property
    def untold(self) -> int: ...

    @property
    def skipped(self) -> int: ...


def clock_remarks(clocks: Clocks) -> Iterator[Remark]:
    """Yield notes on ambiguous and non-existent local times, if there were any."""
    if clocks.untold:
        yield Remark(
            f"{clocks.untold:,} times came twice as clocks fell back, and their order does not tell which they were"
        )
    if clocks.skipped:
        yield Remark(f"{clocks.skipped:,} times did not exist as clocks went forward, and were moved on by the change")


class EndOfImportError(MalformedError):
    """The import ends here; nothing more of it is read."""


class Damage:
    """The damage that ends a file, kept until what was read before it is handed on."""

    def __init__(self) -> None:
        self._error: MalformedError | None = None

    def before(self, pieces: Iterator[PieceT]) -> Iterator[PieceT]:
        """Yield the pieces up to the damage."""
        try:
            yield from pieces
        except MalformedError as error:
            self._error = error

    def tell(self) -> None:
        """Raise the error, if there was one.

        Raises:
            MalformedError: the file is damaged; what was read before is valid.
        """
        if self._error is not None:
            raise self._error


class Stream(Protocol):
    """A file that is read from start to end."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer only where the file ends.

        Raises:
            MalformedError: the archive that holds the file is damaged; what was read before is valid.
        """


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    `counts` says what positions in it count, lines for example, and is empty if it holds no records; `names_people`
    says whether its records state whose they are.
    """

    name: str
    counts: str
    names_people: bool
    read: Callable[[Stream, FileOwner], Iterator[Part]]
