"""What every store promises. Each promise is written here, once; `testing/laws/` states each as a test. What goes in
and comes out is in `questions.py` and `reports.py`.

Stores are synchronous. A `Reader` may be called from many threads at once; a `Writer` from one thread at a time, at the
same time as readers. No method returns live state: what comes back never changes later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from pulsebase.model.annotations import Annotation
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, MetricOverview, User, UserOverview
from pulsebase.stores.questions import (
    BUCKET_SCHEMA,
    RAW_SCHEMA,
    STORED_SCHEMA,
    TOTALS_SCHEMA,
    Cancellation,
    SeriesQuery,
    TotalsQuery,
)
from pulsebase.stores.reports import (
    PUSH_KIND,
    BackupReport,
    CheckReport,
    CommitNote,
    Expiry,
    Origin,
    OriginExtent,
    ScrubReport,
    StoredValues,
    origin_of_nobody,
)

if TYPE_CHECKING:
    from pulsebase.stores.erasures import ErasureLog


#: The whole contract, whatever module of it a name is written in.
__all__ = [
    "BUCKET_SCHEMA",
    "EXPORT_BATCH_READINGS",
    "PUSH_KIND",
    "RAW_SCHEMA",
    "STORED_SCHEMA",
    "TOTALS_SCHEMA",
    "BackupReport",
    "Cancellation",
    "Capabilities",
    "CheckReport",
    "CommitNote",
    "CommitNotes",
    "Embedded",
    "Expiry",
    "Origin",
    "OriginExtent",
    "Reader",
    "Registry",
    "ScrubReport",
    "SeriesQuery",
    "Store",
    "StoredValues",
    "TotalsQuery",
    "Writer",
    "origin_of_nobody",
]

#: The most rows of one batch of an export.
EXPORT_BATCH_READINGS = 1 << 17


class Writer(Protocol):
    """The half of a store that ingestion needs."""

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        """Keep the batches, in their order, in one commit.

        A reading is identified by (user_id, metric, device_id, time); writing it again replaces it, the last one wins.
        Its origin is that of the last row that brought it into being, or brought another value or confidence. A row
        that finds the reading stored just so leaves the origin, unless its own is of `PUSH_KIND`: then it takes the
        reading over. So removing an origin never removes what another one had stored before it, nor what a device sent.

        When this returns, every batch is on the disk and visible to the next query; when it raises, none is. Unknown
        people and devices come into being. Readings before the horizon (`Store.expire`) are left out.

        Raises:
            StoreUnavailableError: nothing was kept, the same call may succeed later (a full disk).
            StopError: nothing was kept, and nothing will be before the next start.
            OutcomeUnknownError: it is not known whether it was kept; the same call again does no harm.
        """

    def has_room(self, max_wait_s: float) -> bool:
        """Whether `write` would not wait for merges now; waits until it would not, but no longer than this.

        May be called from any thread.
        """

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        """Wait until the next block of a stream, of so many readings, may be written.

        For whoever brings much: a stream that asks before each block gets what merges keep up with, evenly, and leaves
        room for small writes, which need not ask. A turn may be for several blocks, of some 100,000 readings together:
        those after the first, `within_turn`, count, but do not wait for other streams. May be called from any thread.

        Raises:
            StoreUnavailableError: that is not within `max_wait_s`, or was taken back.
        """

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        """The same, as if all of these readings had been deleted just before: they get the origins they come with."""

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        """Remove a person's readings inside the interval, of one device or of all, and of one metric or of all; how
        many there were.

        Durable and visible on return, whole or not at all, as `write`. The person stays known, and one who was not
        known stays so.
        """

    def delete_origin(self, origin: int, most: int) -> int:
        """Remove readings that are stored under this number, `most` at most; how many went. 0 says that none is left.

        Durable and visible on return, whole or not at all, as `write`. What those readings had replaced does not come
        back; people stay known. A large origin takes several calls, so that writes get their turn in between.
        """

    def register_origin(self, kind: str, name: str) -> int:
        """The number under which readings from this stream, sync or import are kept; the same for the same names.

        May be called from any thread.
        """


class Registry(Protocol):
    """The half of a store that keeps people, priorities, summaries and annotations. Durable and visible on return."""

    def put_user(self, user: User) -> None:
        """Create the person or replace what is known of them."""

    def put_users(self, users: Sequence[User]) -> None:
        """Create the people or replace what is known of them, all or none; of the same id the last one holds."""

    def put_priority(self, priority: DevicePriority) -> None:
        """Set a device's priority from an instant on; the same person, device and instant again replaces it.

        Every answer for that person changes with it, at once. Unknown people and devices come into being.
        """

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        """Take every setting of a device's priority for a person back: the default holds at all times; how many went.

        Every answer for that person changes with it, at once. A person or device that is not known stays so.
        """

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """Keep the days; the same person, day and method again replaces it. Unknown people come into being."""

    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        """Insert or replace by person and `annotation_id`. People they are about become known."""

    def remove_annotation(self, user_id: str, annotation_id: str) -> bool:
        """Remove a person's annotation; False if there is none."""

    def remove_user(self, user_id: str) -> int:
        """Remove the person with their readings, priorities, summaries and annotations; how many readings went.

        They are unknown afterwards: no answer has them, and origins whose names speak of them (`model.users.speaks_of`)
        are called `origin_of_nobody`. Should readings of that id come again, a new person comes into being.
        """


class Reader(Protocol):
    """The half of a store that queries need. Every call answers from one consistent state."""

    def series(self, query: SeriesQuery) -> pa.Table:
        """`RAW_SCHEMA` or `BUCKET_SCHEMA` rows; an empty table with the full schema where there is nothing.

        Devices are resolved for each metric by itself, by whole UTC minutes, before the range is cut: the winner of a
        minute is the device with a counted reading whose priority number at the minute's start is lowest, ties to the
        smallest id by bytes. Where a range or a day cuts a minute, its winner is still the whole minute's.

        Raises:
            TooManyRowsError: more than `limit` rows.
            QueryTimeoutError: longer than `timeout_s`.
            QueryCancelledError: the query was taken back.
        """

    def totals(self, query: TotalsQuery) -> pa.Table:
        """`TOTALS_SCHEMA` rows: the counted readings of each minute's winner inside the range, by person.

        Devices are resolved as in `series`: a minute that the range cuts is won by the whole minute's winner.

        Raises:
            QueryTimeoutError: longer than `timeout_s`.
            QueryCancelledError: the query was taken back.
        """

    def knows(self, user_id: str) -> bool:
        """Whether somebody has this id. Every question begins with it, so it is quick."""

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        """Which of these ids nobody has: a write of theirs would make somebody known."""

    def user(self, user_id: str) -> User | None:
        """The person, or None if nobody of that id is known."""

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        """People by id (bytes), after the id `after`, whose id or name holds `text` (`User.matches`), `limit` at most.

        `text` is taken literally, but for case (`model.users.folded`); an empty one finds everybody. Nobody needs to
        have the id `after`.
        """

    def overview(self, user_id: str) -> UserOverview | None:
        """One person and what is stored of them."""

    def metrics(self, user_id: str) -> list[MetricOverview]:
        """The metrics the person has readings of, or had before they expired, by name."""

    def devices(self, user_id: str) -> list[DeviceOverview]:
        """The devices the person has readings of, or priorities for, by id (bytes)."""

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        """The person's stored days from `first` to `last`, both included, by day, then method (none first)."""

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        """A person's annotations that touch the interval, or all of them, by start, then id (bytes)."""

    def priorities(self, user_id: str) -> list[DevicePriority]:
        """The person's own priorities, by device, then time."""

    def origins(self) -> list[Origin]:
        """Everything that ever brought readings, by number."""

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        """How many readings are stored under each of these numbers now: one that came again from elsewhere is no longer
        among them. It may take a look at every stored reading.

        Raises:
            QueryCancelledError: the question was taken back.
        """

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        """What is stored of the person under each origin, by number: all readings, losers and confidence 0 included.
        It may take a look at every stored reading of the person.

        Raises:
            QueryCancelledError: the question was taken back.
        """

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        """What is stored of the same people, metric, devices and times, whatever the batch itself says of them."""

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Every stored reading inside the interval, counted or not, of these people or of everybody, and of these
        metrics or of all.

        Batches have `READING_SCHEMA` and at most `EXPORT_BATCH_READINGS` rows, each of one UTC day; days ascend. Of a
        day a person's readings of a metric lie together, and those of each device by time. Memory does not grow with
        the number of readings. All batches are of one state, that of the moment the first is asked for, which the store
        holds until the iterator ends or is closed; but who is removed meanwhile is left out of what follows.
        """

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        """The time of the device's last stored reading of the metric, counted or not, or None: where a delta sync
        resumes.
        """


class Embedded(Protocol):
    """What a store in a folder of its own can do besides."""

    def backup(self, folder: Path) -> BackupReport:
        """Write a copy of everything that is acknowledged now into a folder that does not exist yet, or is empty.

        Writes and reads go on meanwhile. The copy appears whole or not at all.

        Raises:
            RejectedError: the folder is not empty, or cannot be made.
            StoreUnavailableError: there was no room.
        """

    def select(self, statement: str, limit: int, timeout_s: float | None) -> pa.Table:
        """The answer to one reading statement in the store's own SQL, of at most `limit` rows.

        Raises:
            RejectedError: the statement does not only read, is wrong, or has more rows.
            QueryTimeoutError: longer than `timeout_s`.
        """

    def advertise(self, socket_path: str | None) -> None:
        """Tell other processes, which find the store locked, where this one takes commands; None: nowhere any more."""


class CommitNotes(Protocol):
    """Notes of what changed, for one reader that tells others. Every method may be called from any thread.

    While they are wanted, whatever changes answers about readings is noted in the same step that makes it durable:
    after a crash there is a note of everything that was acknowledged. Several commits may share a note. What expires
    is not noted, and people who are removed go with their notes.
    """

    def want(self, wanted: bool) -> None:
        """Note what is committed from now on, or nothing any more, and drop all notes. Durable; twice is once."""

    def notes(self, most: int) -> Sequence[CommitNote]:
        """Notes that were not dropped, by number, so many at most. No number is ever given again, also if notes were
        not wanted for a while or a copy of the store is brought back.
        """

    def drop(self, numbers: Collection[int]) -> None:
        """Drop these notes for good."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What sets a store apart from others, for whoever puts an installation together. It stays the same.

    Attributes:
        writes_alone: nobody else changes the store while it is open, so who writes knows every commit.
        embedded: what it can do besides if it lies in a folder of its own.
        erasure_log: opens the log of erasures that is kept in the store, for all processes that share it; None: the
            store keeps none.
        commit_notes: notes of what commits changed; None: the store keeps none.
    """

    writes_alone: bool
    embedded: Embedded | None = None
    erasure_log: Callable[[], ErasureLog] | None = None
    commit_notes: CommitNotes | None = None


class Store(Writer, Registry, Reader, Protocol):
    """A whole store."""

    def capabilities(self) -> Capabilities:
        """What sets this store apart."""

    def stored(self) -> pa.Table:
        """Every stored reading (`STORED_SCHEMA`), by person, metric, device and time: for exports and the tests' back
        door.
        """

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        """The person's rows of `stored` inside the interval: what is copied elsewhere piece by piece."""

    def check(self) -> CheckReport:
        """Compare what is kept twice: every rollup with a recomputation from the raw readings."""

    def settle(self) -> None:
        """Bring what the store does in the background with the readings written so far to its end. Answers stay."""

    def horizon_us(self) -> int:
        """Raw readings before it have expired; 0 if none ever did."""

    def expire(self, before_us: int, *, dry_run: bool = False) -> Expiry:
        """Let raw readings before the start of a UTC day expire: the horizon. It never moves back.

        What they came to stays as it was, and is never worked out again: resolved quarters of an hour, hours and days,
        hours of each device, and overviews, which count them. Everything else about times before the horizon finds
        nothing, as do hours that a range cuts there. Deletions and changed priorities do not reach behind it; a person
        who is removed goes with all of it. A dry run only counts.
        """

    def scrub(self) -> ScrubReport:
        """Rewrite what may still hold bytes of people who were removed before the call: afterwards no file of the store
        does. Answers stay, and questions and writes go on meanwhile.

        Raises:
            StoreUnavailableError: not now (no room for a new file, a question that takes long); nothing has changed.
        """

    def ping(self) -> None:
        """Raise a `PulsebaseError` if the store cannot answer."""

    def statistics(self) -> dict[str, float]:
        """Sizes and counts for the metrics, by names of `telemetry.STORE_STATISTICS`; what is not known is left out."""

    def close(self) -> None:
        """Finish what runs and let go of every file; the store opens again with all of it. Twice is once."""
