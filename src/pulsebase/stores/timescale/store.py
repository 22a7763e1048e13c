"""The server store: `stores.contract.Store` on a TimescaleDB database that several processes may share.

A write is durable and visible once its rows are committed to the table `stage`. Each process has a thread that merges
the stage into the hypertable and its rollups; an advisory lock admits one of them at a time. Every query reads one
snapshot of the database: rollups where nothing is staged, else the hypertable and the stage.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import partial

import pyarrow as pa

from pulsebase.model.annotations import Annotation
from pulsebase.model.errors import PulsebaseError, StoreUnavailableError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import DeviceOverview, DevicePriority, MetricOverview, User, UserOverview
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
from pulsebase.stores.postgres.commit_notes import changes_of, note
from pulsebase.stores.postgres.database import Connection, OnlyAnswersError, PostgresDatabase, connect
from pulsebase.stores.postgres.people import find_users, get_user
from pulsebase.stores.postgres.registry import PostgresRegistry
from pulsebase.stores.postgres.spool import Spool, exported
from pulsebase.stores.timescale import check, edit, export, extents, scrub, series, totals
from pulsebase.stores.timescale.aggregates import find_stale, forget_stale, refresh
from pulsebase.stores.timescale.merge import merge_staged
from pulsebase.stores.timescale.migrate import require_current
from pulsebase.stores.timescale.options import TimescaleOptions
from pulsebase.stores.timescale.origins import origin_extents, origin_readings
from pulsebase.stores.timescale.raw_tables import HEART_RATES, RAW_TABLES
from pulsebase.stores.timescale.stage import StageRows
from pulsebase.stores.timescale.stored_values import stored_values

logger = logging.getLogger(__name__)

#: The most staged rows of one merge, which take the server about a second.
_MERGE_ROWS = 200_000
#: After this many merged rows the stage is vacuumed: until then every query scans the dead rows too.
_TIDY_ROWS = 20_000
_ROOM_WAIT_S = 20.0
#: How often aggregates are refreshed; under load the pauses are at least this many times as long as the refreshing.
_REFRESH_INTERVAL_S = 60.0
_REFRESH_PAUSES = 5

#: The planner cannot know how many rows are staged or in a range. If it expects few, it picks a nested loop, which
#: takes minutes with many thousands of rows on both sides.
_WHILE_READING = {"enable_nestloop": "off"}
#: A merge sorts and groups some hundred thousand rows, which spill to the disk with the server's usual 4 MB. A late
#: reading may belong to a compressed chunk, where the server limits how much one transaction may decompress.
_WHILE_CHANGING = {"work_mem": "'64MB'", "timescaledb.max_tuples_decompressed_per_dml_transaction": "0"}


class TimescaleStore:
    """A store in the database that `conninfo` (a libpq URL) names, which `migrate.set_up` has prepared.

    Methods keep the promises of their names in `contract.Store`.
    """

    def __init__(self, conninfo: str, options: TimescaleOptions | None = None) -> None:
        self._options = options or TimescaleOptions()
        with connect(conninfo) as connection:
            require_current(connection, hypertables=self._options.hypertables)
        self._database = PostgresDatabase(
            conninfo, self._options.pool, while_reading=_WHILE_READING, while_changing=_WHILE_CHANGING
        )
        self._registry = PostgresRegistry(self._database, edit.TimescalePeoplesReadings())
        self._unmerged = 0  # what this process wrote since its last merge: an estimate that needs no query
        self._merges = 0
        self._merge_failures = 0
        self._merge_seconds = 0.0
        self._untidy = 0
        self._waiting_since = 0.0  # … and when the oldest of that was written
        self._wake = threading.Event()
        self._merged = threading.Condition()
        self._stopping = threading.Event()
        self._closing = Cancellation()
        self._maintenance = threading.Thread(target=self._maintain, name="pulsebase-merge", daemon=True)
        self._maintenance.start()
        self._refreshing = threading.Thread(target=self._refresh_now_and_then, name="pulsebase-refresh", daemon=True)
        self._refreshing.start()

    # --- Writer: called by one thread -------------------------------------------------------------------------------

    def write(self, batches: Sequence[ReadingBatch]) -> None:
        rows = self._rows(batches)
        if rows is None:
            return
        if len(rows) >= self._options.merge_at_once:
            self._database.change(partial(_noted, rows.merge, batches))
            return
        self._wait_for_room()
        self._database.change(partial(_noted, rows.write, batches))
        with self._merged:
            if self._unmerged <= 0:
                self._waiting_since = time.monotonic()
            self._unmerged += len(rows)
        if self._unmerged >= self._options.merge_readings:
            self._wake.set()

    def has_room(self, max_wait_s: float) -> bool:
        return self._has_room(max_wait_s, Cancellation())

    def pace(
        self,
        readings: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        """See `contract.Writer.pace`. Large blocks are merged as they are written, which holds them back by itself."""
        del within_turn
        cancellation = cancellation or Cancellation()
        if readings < self._options.merge_at_once and not self._has_room(max_wait_s, cancellation):
            raise StoreUnavailableError("too many readings wait for a merge", retry_after_s=1)

    def write_afresh(self, batches: Sequence[ReadingBatch]) -> None:
        """See `contract.Writer.write_afresh`. It is merged at once, whatever its size."""
        rows = self._rows(batches)
        if rows is not None:
            self._database.change(partial(_noted, rows.afresh().merge, batches))

    def _rows(self, batches: Sequence[ReadingBatch]) -> StageRows | None:
        filled = [batch for batch in batches if len(batch)]
        return StageRows.of(filled, self._registry.push_origins) if filled else None

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        if interval.length_us <= 0:
            return 0
        return self._database.change(lambda connection: edit.delete(connection, user_id, interval, device_id, metric))

    def delete_origin(self, origin: int, most: int) -> int:
        self.settle()
        return self._database.change(lambda connection: edit.delete_origin(connection, origin, most))

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
        return self._database.read(
            lambda connection: series.answer(connection, query), query.timeout_s, query.cancellation
        )

    def totals(self, query: TotalsQuery) -> pa.Table:
        if query.range.length_us <= 0:
            return TOTALS_SCHEMA.empty_table()
        return self._database.read(
            lambda connection: totals.answer(connection, query), query.timeout_s, query.cancellation
        )

    def knows(self, user_id: str) -> bool:
        return self._registry.knows(user_id)

    def unknown_users(self, user_ids: Collection[str]) -> set[str]:
        return self._registry.unknown_users(user_ids)

    def user(self, user_id: str) -> User | None:
        return self._registry.user(user_id)

    def users(self, text: str, limit: int, after: str | None) -> list[UserOverview]:
        return self._database.read(
            lambda connection: extents.overviews(connection, find_users(connection, text, limit, after))
        )

    def overview(self, user_id: str) -> UserOverview | None:

        def look(connection: Connection) -> UserOverview | None:
            user = get_user(connection, user_id)
            return None if user is None else extents.overviews(connection, [user])[0]

        return self._database.read(look)

    def metrics(self, user_id: str) -> list[MetricOverview]:
        return self._database.read(lambda connection: extents.metrics(connection, user_id))

    def devices(self, user_id: str) -> list[DeviceOverview]:
        return self._database.read(lambda connection: extents.devices(connection, user_id))

    def annotations(self, user_id: str, interval: TimeRange | None = None) -> list[Annotation]:
        return self._registry.annotations(user_id, interval)

    def summaries(self, user_id: str, first: date, last: date) -> list[DailySummary]:
        return self._registry.summaries(user_id, first, last)

    def priorities(self, user_id: str) -> list[DevicePriority]:
        return self._registry.priorities(user_id)

    def origins(self) -> list[Origin]:
        return self._registry.origins()

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        found = self._database.read(lambda connection: origin_readings(connection, numbers), cancellation=cancellation)
        return {number: found.get(number, 0) for number in numbers}

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        return self._database.read(lambda connection: origin_extents(connection, user_id), cancellation=cancellation)

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        return self._database.read(lambda connection: stored_values(connection, readings))

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        def fill(spool: Spool) -> None:
            self._database.read(lambda connection: export.spool(connection, interval, user_ids, metrics, spool))

        yield from exported(fill, self._registry.known_numbers)

    def last_time_us(self, user_id: str, device_id: str, metric: str = HEART_RATE.name) -> int | None:
        found = self._database.read(lambda connection: extents.extents(connection, [user_id], [metric]))
        return next((each.last_us for each in found if each.device_id == device_id), None)

    # --- Store ------------------------------------------------------------------------------------------------------

    def stored(self) -> pa.Table:
        return self._database.read(export.everything)

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        return self._database.read(lambda connection: export.of_people(connection, [user_id], interval))

    def check(self) -> CheckReport:
        """See `contract.Store.check`. Everything is merged first, so that the check covers every reading."""
        self.settle()
        return self._database.read(check.check)

    def settle(self) -> None:
        while self._merge() >= _MERGE_ROWS:  # fewer rows mean that the stage is empty
            pass

    def horizon_us(self) -> int:
        return self._registry.horizon_us()

    def expire(self, before_us: int, *, dry_run: bool = False) -> Expiry:
        horizon_us = self.horizon_us()
        if before_us <= horizon_us:
            return Expiry(horizon_us, 0)
        self.settle()
        if dry_run:
            return Expiry(before_us, self._database.read(lambda connection: edit.count_before(connection, before_us)))
        hypertables = self._options.hypertables
        work = partial(edit.expire, before_us=before_us, hypertables=hypertables)
        return Expiry(before_us, self._database.change(work))

    def scrub(self) -> ScrubReport:
        """See `contract.Store.scrub`. The server's own copies (its log, its replicas) are out of reach."""
        before_bytes = int(self.statistics().get("size_bytes", 0))
        with self._database.outside(self._closing) as connection:
            scrub.scrub(connection, hypertables=self._options.hypertables)
        return ScrubReport(before_bytes, int(self.statistics().get("size_bytes", 0)))

    def ping(self) -> None:
        self._database.read(lambda connection: connection.execute("SELECT FROM pulsebase.stage LIMIT 1"))
        if not self._maintenance.is_alive():
            raise StoreUnavailableError("the store's maintenance has stopped")

    def statistics(self) -> dict[str, float]:
        counted = {
            "merges": float(self._merges),
            "merge_failures": float(self._merge_failures),
            "merge_seconds": self._merge_seconds,
            "merge_lag_seconds": time.monotonic() - self._waiting_since if self._unmerged > 0 else 0.0,
        }
        try:
            readings, unmerged, size_bytes, refresh_lag_s = self._database.read(
                lambda connection: _sizes(connection, self._options.hypertables)
            )
        except PulsebaseError:  # return at least what this process counts itself
            return counted
        sizes = {"readings": readings, "unmerged_rows": unmerged, "size_bytes": size_bytes}
        return counted | sizes | {"refresh_lag_seconds": refresh_lag_s}

    def capabilities(self) -> Capabilities:
        return Capabilities(
            writes_alone=False, erasure_log=self._registry.erasure_log, commit_notes=self._registry.commit_notes()
        )

    def close(self) -> None:
        """See `contract.Store.close`. Unmerged readings stay in the stage."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.set()
        self._closing.cancel()
        self._maintenance.join()
        self._refreshing.join()
        self._database.close()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _has_room(self, max_wait_s: float, cancellation: Cancellation) -> bool:
        if self._unmerged < self._options.most_unmerged:
            return True
        with cancellation.stopping(self._look_again), self._merged:
            self._wake.set()
            self._merged.wait_for(
                lambda: cancellation.cancelled or self._unmerged < self._options.most_unmerged, max_wait_s
            )
            return self._unmerged < self._options.most_unmerged

    def _look_again(self) -> None:
        with self._merged:
            self._merged.notify_all()

    def _wait_for_room(self) -> None:
        """Delay writes while merges are far behind.

        Raises:
            StoreUnavailableError: merges do not catch up.
        """
        if not self.has_room(_ROOM_WAIT_S):
            raise StoreUnavailableError("too many readings wait for a merge", retry_after_s=10)

    def _maintain(self) -> None:
        while True:
            self._wake.wait(self._options.merge_interval_s)
            self._wake.clear()
            if self._stopping.is_set():
                return
            try:
                self._maintain_once()
            except OnlyAnswersError:
                pass  # a process with write access merges
            except Exception as error:
                self._merge_failures += 1
                # Only one line: a traceback could repeat rows that the server quotes.
                logger.warning("a merge failed and will be tried again: %s", error)
                self._stopping.wait(1.0)

    def _maintain_once(self) -> None:
        done = _MERGE_ROWS
        while done >= _MERGE_ROWS and not self._stopping.is_set():
            done = self._merge()
            self._untidy += done
        if self._untidy >= _TIDY_ROWS and not self._stopping.is_set():
            self._untidy = 0
            with self._database.outside(self._closing) as connection:
                if _may_vacuum(connection):  # else the server does it by itself, within a minute or so
                    connection.execute("VACUUM pulsebase.stage")

    def _merge(self) -> int:
        """Merge some staged rows; return how many."""
        before, began = self._unmerged, time.monotonic()
        started = time.perf_counter()
        done = self._database.change(lambda connection: merge_staged(connection, _MERGE_ROWS))
        with self._merged:
            # Others may have merged or deleted our rows: if this took less than a whole merge, nothing that was counted
            # before is left.
            self._unmerged -= before if done < _MERGE_ROWS else min(done, before)
            if done < _MERGE_ROWS or done >= before:  # the rest arrived later
                self._waiting_since = began
            self._merged.notify_all()
        if done:
            self._merges += 1
            self._merge_seconds += time.perf_counter() - started
        return done

    def _refresh_now_and_then(self) -> None:
        """Refresh aggregates, in a thread of its own: years of them take minutes, and merges must not wait for that."""
        pause_s = _REFRESH_INTERVAL_S
        while self._options.hypertables and not self._stopping.wait(pause_s):
            started = time.monotonic()
            try:
                self._refresh()
            except OnlyAnswersError:
                pass
            except Exception as error:
                if not self._stopping.is_set():
                    logger.warning("the aggregates for people's own SQL will be refreshed later: %s", error)
            pause_s = max(_REFRESH_INTERVAL_S, _REFRESH_PAUSES * (time.monotonic() - started))

    def _refresh(self) -> None:
        """Refresh users' aggregates where merges have changed what they show."""
        stale = self._database.read(find_stale)
        if stale is None:
            return
        with self._database.outside(self._closing) as connection:
            done = refresh(connection, stale.interval)
        if done:
            self._database.change(lambda connection: forget_stale(connection, stale))


def _may_vacuum(connection: Connection) -> bool:
    maintains = "OR has_table_privilege(oid, 'MAINTAIN')" if connection.info.server_version >= 170_000 else ""
    row = connection.execute(
        f"SELECT pg_has_role(relowner, 'USAGE') {maintains} FROM pg_class WHERE oid = 'pulsebase.stage'::regclass"
    ).fetchone()
    return bool(row and row[0])


def _noted(work: Callable[[Connection], None], batches: Sequence[ReadingBatch], connection: Connection) -> None:
    """Write readings, and note what changes, in one transaction."""
    work(connection)
    note(connection, lambda: changes_of([batch for batch in batches if len(batch)]))


def _sizes(connection: Connection, hypertables: bool) -> tuple[float, float, float, float]:
    """Return counts of readings and staged rows, bytes, and for how many seconds aggregates wait for a refresh."""
    # Of plain tables the sum below has those in our schema already.
    sized = [("hypertable_size", table) for table in RAW_TABLES]
    if not hypertables:
        sized = [("pg_total_relation_size", HEART_RATES)]
    measured = " + ".join(f"coalesce({function}('{table.full_name}'), 0)" for function, table in sized)
    lag = "extract(epoch FROM clock_timestamp() - since)" if hypertables else "0"
    row = connection.execute(
        f"""
        SELECT (SELECT coalesce(sum(n_all), 0)::bigint FROM pulsebase.d1_dev),
               (SELECT count(*) FROM pulsebase.stage),
               {measured}
               + (SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
                  WHERE relnamespace = 'pulsebase'::regnamespace AND relkind = 'r'),
               coalesce((SELECT {lag} FROM pulsebase.stale), 0)::float8
        """,
        binary=True,
    ).fetchone()
    return row or (0.0, 0.0, 0.0, 0.0)
