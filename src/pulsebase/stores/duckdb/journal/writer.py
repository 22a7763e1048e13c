"""Commits: readings get the numbers of their people and devices, go to the journal, and then into the stage.

A commit is durable once its journal frame is on the disk, and visible once the stage holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pulsebase.model.errors import OutcomeUnknownError, StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.duckdb.merge.maintenance import Maintenance
from pulsebase.stores.duckdb.merge.stage import TOMBSTONE, Rows
from pulsebase.stores.duckdb.parts import StoreParts
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN
from pulsebase.stores.duckdb.people.metric_registry import MetricRegistry
from pulsebase.stores.duckdb.people.series_numbers import MOST_PEOPLE, person_of, series_number
from pulsebase.stores.duckdb.read.snapshots import Snapshots


class ReadingWriter:
    """Commits written and deleted readings. Called by one thread."""

    def __init__(
        self, parts: StoreParts, snapshots: Snapshots, maintenance: Maintenance, metrics: MetricRegistry
    ) -> None:
        self._parts, self._snapshots, self._maintenance, self._metrics = parts, snapshots, maintenance, metrics
        self._cached, self._journal, self._stage = parts.cached, parts.journal, parts.stage

    def write(self, batches: Sequence[ReadingBatch], *, afresh: bool = False) -> None:
        """See `contract.Writer.write` and `write_afresh`, which deletes what is stored in the same commit."""
        self._maintenance.wait_for_room()
        for metric in {batch.metric for batch in batches if len(batch)}:
            self._metrics.number(metric)
        with self._cached.commit_lock, self._cached.new_ids():
            live = [_since(batch, self._parts.horizon.start_us) for batch in batches]
            rows = Rows.joined([self._rows(batch) for batch in live if len(batch)])
            self._append(Rows.joined([_tombstones(rows), rows]) if afresh else rows)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None, metric: str | None) -> int:
        """See `contract.Writer.delete`."""
        user_no = self._cached.users.find(user_id)
        selection = self._snapshots.selection(device_id, include_all=True)
        if user_no is None or selection is None or interval.length_us <= 0:
            return 0
        found = []
        for series_no in self._cached.metrics.series_of(user_no, metric):
            with self._snapshots.series(series_no) as snapshot:
                found.append(snapshot.rows(interval, selection))
        return self._delete(Rows.joined(found))

    def delete_origin(self, origin: int, most: int) -> int:
        """See `contract.Writer.delete_origin`."""
        while True:
            with self._snapshots.export() as snapshot:
                rows = snapshot.of_origin(origin, most, self._parts.push_origins)
            deleted = self._delete(rows)
            if deleted or len(rows) == 0:
                return deleted

    def _delete(self, rows: Rows) -> int:
        """Write a tombstone for each row, except those of people removed meanwhile; return how many."""
        if len(rows):
            self._maintenance.wait_for_room()
            with self._cached.commit_lock:
                users = self._cached.users
                gone = [number for number in np.unique(rows.user_no) if users.text(person_of(int(number))) == FORGOTTEN]
                rows = rows.take(~np.isin(rows.user_no, gone)) if gone else rows
                rows = rows.take(rows.t >= self._parts.horizon.start_us)
                self._append(_tombstones(rows))
        return len(rows)

    def _rows(self, batch: ReadingBatch) -> Rows:
        users = self._cached.users.numbers(batch.users)
        if len(self._cached.users.new()) and int(users.max(initial=0)) >= MOST_PEOPLE:
            raise StoreUnavailableError(f"a store holds at most {MOST_PEOPLE} people", retry_after_s=3600)
        metric_no = self._metrics.number(batch.metric)
        return Rows(
            users | np.int32(series_number(0, metric_no)) if metric_no else users,
            self._cached.devices.numbers(batch.devices),
            batch.times_us,
            batch.values,
            batch.confidences,
            np.full(len(batch), batch.origin, np.int32),
        )

    def _append(self, rows: Rows) -> None:
        """Make rows durable, then visible. The caller holds `commit_lock`, so that the journal is not cleared."""
        if len(rows) == 0:
            return
        cached, stage = self._cached, self._stage
        if not cached.ids_are_certain:
            raise StoreUnavailableError("the database is being opened again", retry_after_s=5)
        self._journal.append(stage.next_seq, cached.users.new(), cached.devices.new(), rows)
        try:
            # Numbers before rows: a merge that takes the rows must find their numbers.
            cached.users.publish()
            cached.devices.publish()
            stage.append(rows)
        except BaseException as error:  # memory that ran out
            self._journal.fail()
            raise OutcomeUnknownError("stored, but not shown before the next start", 60) from error
        self._maintenance.note_commit(rows.t)


def _tombstones(rows: Rows) -> Rows:
    """Make rows that delete the readings of these."""
    return replace(rows, v=np.full_like(rows.v, TOMBSTONE))


def _since(batch: ReadingBatch, start_us: int) -> ReadingBatch:
    """Return the readings from that time on."""
    if batch.times_us.min(initial=start_us) >= start_us:
        return batch
    return batch.take(np.flatnonzero(batch.times_us >= start_us))
