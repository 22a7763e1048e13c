"""The embedded store: `stores.contract.Store` on a journal, a stage in memory and a DuckDB database.

A write is durable once its journal frame is on the disk and visible once the stage holds it. One maintenance thread
merges the stage into the database. Nothing else writes readings, so readers need no lock: they take the stage first and
a database snapshot second, and leave out of the stage what the snapshot already has.

This is the table of contents. Each group of the contract's methods is a component of its room:

    journal/writer           writes and deletions
    merge/maintenance        merges, and how they hold writes back
    merge/origin_registry    what brought readings
    people/registry          people, priorities, summaries
    people/lifecycle         expiry, removal, scrubbing
    read/answers             series, totals, overviews, exports
    engine/operations        check, backup, SQL, statistics
    parts                    what they share, and how it is opened
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa

from pulsebase.model.annotations import Annotation
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, MetricOverview, User, UserOverview
from pulsebase.stores.contract import (
    BackupReport,
    Cancellation,
    Capabilities,
    CheckReport,
    Expiry,
    Origin,
    OriginExtent,
    ScrubReport,
    SeriesQuery,
    StoredValues,
    TotalsQuery,
)
from pulsebase.stores.duckdb.engine.operations import Operations
from pulsebase.stores.duckdb.journal.writer import ReadingWriter
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.merge.origin_registry import OriginRegistry
from pulsebase.stores.duckdb.options import DuckdbOptions
from pulsebase.stores.duckdb.parts import open_parts
from pulsebase.stores.duckdb.people.lifecycle import DataLifecycle
from pulsebase.stores.duckdb.people.metric_registry import MetricRegistry
from pulsebase.stores.duckdb.people.registry import PeopleRegistry
from pulsebase.stores.duckdb.read.answers import ReadingAnswers, TotalsAnswers
from pulsebase.stores.duckdb.read.snapshots import Snapshots

__all__ = ["DuckdbOptions", "DuckdbStore"]


class DuckdbStore:
    """A store in one folder: `path` is the database file, its lock and its journal lie beside it.

    Methods keep the promises of their names in `contract.Store` and `contract.Embedded`.

    Attributes:
        parts: what the store is made of.
        maintenance: its merges, which can also be asked for.
        lock: what keeps other processes out.
    """

    def __init__(self, path: Path, options: DuckdbOptions | None = None) -> None:
        options = options or DuckdbOptions()
        self.parts = parts = open_parts(path.absolute(), options)
        self.lock = parts.lock
        self._users = parts.cached.users
        snapshots = Snapshots(parts)
        self._totals = TotalsAnswers(snapshots, parts.cached.metrics)
        self.maintenance = maintenance = Maintenance(parts, options, self._totals.look_ahead)
        self._answers = ReadingAnswers(parts, snapshots, maintenance)
        self._writer = ReadingWriter(parts, snapshots, maintenance, MetricRegistry(parts, maintenance))
        self._origins = OriginRegistry(parts, maintenance)
        self._registry = PeopleRegistry(parts, maintenance)
        self._lifecycle = DataLifecycle(parts, snapshots, maintenance, self._registry, self._origins)
        self._operations = Operations(parts, maintenance)
        self._closed = False
        maintenance.start()

    # --- Writer: called by one thread -------------------------------------------------------------------------------

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        self._writer.write(batches)

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        self._writer.write(batches, afresh=True)

    def has_room(self, max_wait_s: float) -> bool:
        return self.maintenance.has_room(max_wait_s)

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        self.maintenance.pace(readings, max_wait_s, within_turn=within_turn, cancellation=cancellation)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        return self._writer.delete(user_id, interval, device_id, metric)

    def delete_origin(self, origin: int, most: int) -> int:
        return self._writer.delete_origin(origin, most)

    def register_origin(self, kind: str, name: str) -> int:
        return self._origins.register(kind, name)

    # --- Registry ---------------------------------------------------------------------------------------------------

    def put_user(self, user: User) -> None:
        self._registry.put_users([user])

    def put_users(self, users: Sequence[User]) -> None:
        self._registry.put_users(users)

    def put_priority(self, priority: DevicePriority) -> None:
        self._registry.put_priority(priority)

    def remove_priorities(self, user_id: str, device_id: str) -> int:
        return self._registry.remove_priorities(user_id, device_id)

    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        self._registry.put_annotations(annotations)

    def remove_annotation(self, user_id: str, annotation_id: str) -> bool:
        return self._registry.remove_annotation(user_id, annotation_id)

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        self._registry.put_summaries(summaries)

    def remove_user(self, user_id: str) -> int:
        return self._lifecycle.remove_user(user_id)

    # --- Reader: called by any thread -------------------------------------------------------------------------------

    def series(self, query: SeriesQuery) -> pa.Table:
        return self._answers.series(query)

    def totals(self, query: TotalsQuery) -> pa.Table:
        return self._totals.totals(query)

    def knows(self, user_id: str) -> bool:
        return self._users.find(user_id) is not None

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        return {user_id for user_id in user_ids if self._users.find(user_id) is None}

    def user(self, user_id: str) -> User | None:
        return self._registry.user(user_id)

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        return self._answers.users(text, limit, after)

    def overview(self, user_id: str) -> UserOverview | None:
        return self._answers.overview(user_id)

    def devices(self, user_id: str) -> list[DeviceOverview]:
        return self._answers.devices(user_id)

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        return self._registry.annotations(user_id, interval)

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        return self._registry.summaries(user_id, first, last)

    def priorities(self, user_id: str) -> list[DevicePriority]:
        return self._registry.priorities(user_id)

    def origins(self) -> list[Origin]:
        return self._origins.all()

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        return self._answers.origin_readings(numbers, cancellation)

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        return self._answers.origin_extents(user_id, cancellation)

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        return self._answers.stored_values(readings)

    def metrics(self, user_id: str) -> list[MetricOverview]:
        return self._answers.metrics(user_id)

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        return self._answers.export(interval, user_ids, metrics)

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        return self._answers.last_time_us(user_id, device_id, metric)

    # --- Store ------------------------------------------------------------------------------------------------------

    def stored(self) -> pa.Table:
        return self._answers.stored()

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        return self._answers.readings(user_id, interval)

    def merge(self) -> None:
        """Bring everything that is staged or late now into the database's tables."""
        self.maintenance.merge()

    def settle(self) -> None:
        self.maintenance.settle()

    def horizon_us(self) -> int:
        return self.parts.horizon.start_us

    def expire(self, before_us: int, *, dry_run: bool = False) -> Expiry:
        return self._lifecycle.expire(before_us, dry_run=dry_run)

    def scrub(self) -> ScrubReport:
        return self._lifecycle.scrub()

    def check(self) -> CheckReport:
        return self._operations.check()

    def ping(self) -> None:
        self._operations.ping()

    def statistics(self) -> dict[str, float]:
        return self._operations.statistics()

    def capabilities(self) -> Capabilities:
        return Capabilities(writes_alone=True, embedded=self, commit_notes=self.parts.notes)

    def advertise(self, socket_path: str | None) -> None:
        self.lock.advertise(socket_path)

    def backup(self, folder: Path) -> BackupReport:
        return self._operations.backup(folder)

    def select(self, statement: str, limit: int, timeout_s: float | None) -> pa.Table:
        return self._operations.select(statement, limit, timeout_s)

    def close(self) -> None:
        """See `contract.Store.close`. Unmerged readings stay in the journal."""
        if self._closed:
            return
        self._closed = True
        self.maintenance.stop()
        self.parts.close()
