"""The store on a cluster: `stores.contract.Store` with people and commits in PostgreSQL and readings in ClickHouse.

A write is durable and visible once its commit is done. Each process has a thread that merges what was decided long
enough ago; a lease admits one of them at a time. Every answer is of one state, see `read.consistent`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

import pyarrow as pa

from pulsebase.model.annotations import Annotation
from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, MetricOverview, User, UserOverview
from pulsebase.stores.clickhouse.address import Address
from pulsebase.stores.clickhouse.check import Checker
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.expire import Expirer
from pulsebase.stores.clickhouse.export import Exporter
from pulsebase.stores.clickhouse.extents import Overviews
from pulsebase.stores.clickhouse.figures import Figures
from pulsebase.stores.clickhouse.merge_thread import MergeThread
from pulsebase.stores.clickhouse.migrate import require_current
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.origins import OriginCounter
from pulsebase.stores.clickhouse.removal import ClickHousePeoplesReadings
from pulsebase.stores.clickhouse.scrub import Scrubber
from pulsebase.stores.clickhouse.series import SeriesReader
from pulsebase.stores.clickhouse.stored import StoredReader
from pulsebase.stores.clickhouse.totals import TotalsReader
from pulsebase.stores.clickhouse.write import StageWriter
from pulsebase.stores.contract import (
    BUCKET_SCHEMA,
    RAW_SCHEMA,
    TOTALS_SCHEMA,
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
from pulsebase.stores.postgres.database import PostgresDatabase, connect
from pulsebase.stores.postgres.registry import PostgresRegistry

_ROOM_WAIT_S = 20.0


class ClickHouseStore:
    """A store in the database that `conninfo` (a libpq URL) names and the cluster that `cluster_url` names
    (`address.Address`), which `migrate.set_up` has prepared for each other.

    Methods keep the promises of their names in `contract.Store`.
    """

    def __init__(self, conninfo: str, cluster_url: str, options: ClickHouseOptions | None = None) -> None:
        self._options = options or ClickHouseOptions()
        self._cluster = ClickHouse(Address.of(cluster_url))
        try:
            with connect(conninfo) as connection:
                require_current(connection, self._cluster)
        except BaseException:
            self._cluster.close()
            raise
        self._database = PostgresDatabase(conninfo, self._options.pool)
        parts = (self._database, self._cluster, self._options)
        self._registry = PostgresRegistry(self._database, ClickHousePeoplesReadings(self._cluster, self._options))
        self._writer = StageWriter(*parts)
        self._series, self._totals = SeriesReader(*parts), TotalsReader(*parts)
        self._stored, self._exporter = StoredReader(*parts), Exporter(*parts)
        self._overviews = Overviews(*parts)
        self._origins = OriginCounter(*parts)
        self._checker = Checker(*parts)
        self._figures = Figures(self._database, self._cluster)
        self._merges = MergeThread(*parts)
        self._expirer = Expirer(*parts, self._merges.settle)
        self._scrubber = Scrubber(*parts)
        self._closing = Cancellation()

    # --- Writer: called by one thread -------------------------------------------------------------------------------

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        if not self._merges.has_room(_ROOM_WAIT_S):
            raise StoreUnavailableError("too many readings wait for a merge", retry_after_s=10)
        self._writer.write(batches)

    def has_room(self, max_wait_s: float) -> bool:
        return self._merges.has_room(max_wait_s)

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        self._merges.pace(readings, max_wait_s, within_turn=within_turn, cancellation=cancellation)

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        self._writer.write(batches, afresh=True)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        if interval.length_us <= 0:
            return 0
        return self._writer.delete(user_id, interval, device_id, metric)

    def delete_origin(self, origin: int, most: int) -> int:
        return self._writer.delete_origin(origin, most)

    def register_origin(self, kind: str, name: str) -> int:
        return self._registry.register_origin(kind, name)

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
        return self._registry.remove_user(user_id)

    # --- Reader: called by any thread -------------------------------------------------------------------------------

    def series(self, query: SeriesQuery) -> pa.Table:
        if query.range.length_us <= 0:
            return (RAW_SCHEMA if query.resolution is Resolution.RAW else BUCKET_SCHEMA).empty_table()
        return self._series.series(query)

    def totals(self, query: TotalsQuery) -> pa.Table:
        if query.range.length_us <= 0:
            return TOTALS_SCHEMA.empty_table()
        return self._totals.totals(query)

    def knows(self, user_id: str) -> bool:
        return self._registry.knows(user_id)

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        return self._registry.unknown_users(user_ids)

    def user(self, user_id: str) -> User | None:
        return self._registry.user(user_id)

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        return self._overviews.users(text, limit, after)

    def overview(self, user_id: str) -> UserOverview | None:
        return self._overviews.overview(user_id)

    def metrics(self, user_id: str) -> list[MetricOverview]:
        return self._overviews.metrics(user_id)

    def devices(self, user_id: str) -> list[DeviceOverview]:
        return self._overviews.devices(user_id)

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        return self._registry.annotations(user_id, interval)

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        return self._registry.summaries(user_id, first, last)

    def priorities(self, user_id: str) -> list[DevicePriority]:
        return self._registry.priorities(user_id)

    def origins(self) -> list[Origin]:
        return self._registry.origins()

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        return self._origins.origin_readings(numbers, cancellation)

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        return self._origins.origin_extents(user_id, cancellation)

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        return self._stored.stored_values(readings)

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        return self._exporter.export(interval, user_ids, metrics)

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        return self._overviews.last_time_us(user_id, device_id, metric)

    # --- Store ------------------------------------------------------------------------------------------------------

    def stored(self) -> pa.Table:
        return self._stored.stored()

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        return self._stored.readings(user_id, interval)

    def check(self) -> CheckReport:
        self.settle()
        return self._checker.check()

    def settle(self) -> None:
        self._merges.settle()

    def horizon_us(self) -> int:
        return self._registry.horizon_us()

    def expire(self, before_us: int, *, dry_run: bool = False) -> Expiry:
        return self._expirer.expire(before_us, dry_run=dry_run)

    def scrub(self) -> ScrubReport:
        return self._scrubber.scrub(self._closing)

    def ping(self) -> None:
        """See `contract.Store.ping`. Every shard has to answer, although people on the others are served meanwhile."""
        self._database.read(lambda connection: connection.execute("SELECT FROM pulsebase.commit_marks"))
        self._cluster.ping()
        self._merges.ping()

    def statistics(self) -> dict[str, float]:
        return self._merges.statistics() | self._figures.statistics()

    def capabilities(self) -> Capabilities:
        return Capabilities(
            writes_alone=False, erasure_log=self._registry.erasure_log, commit_notes=self._registry.commit_notes()
        )

    def close(self) -> None:
        """See `contract.Store.close`. What is not merged stays in the stage."""
        if self._closing.cancelled:
            return
        self._closing.cancel()
        self._merges.close()
        self._cluster.close()
        self._database.close()
