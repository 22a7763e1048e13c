"""One person's readings in one consistent state: the database as of a transaction, and the rows not merged by then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from pulsebase.model.rollups import (
    I32,
    I64,
    Buckets,
    DeviceRanks,
    PriorityHistory,
    buckets_of_readings,
    floors,
    merged,
    winning_rows,
)
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.duckdb.engine.transactions import one_row
from pulsebase.stores.duckdb.merge.hour_rollups import cut_at_hours
from pulsebase.stores.duckdb.merge.ordering import storage_order
from pulsebase.stores.duckdb.merge.origins import PushOrigins, last_of_each
from pulsebase.stores.duckdb.merge.rollup_sql import IN_RANGE
from pulsebase.stores.duckdb.merge.stage import DTYPES, TOMBSTONE, Rows
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers

CHUNK_US = 7 * DAY_US

#: This many chunks are read without looking up first which of them hold anything.
_FEW_CHUNKS = 8
QUARTER_US = 15 * MINUTE_US
#: Hours further apart are fetched separately: the readings between them would be scanned for nothing.
_GAP_US = 30 * DAY_US

#: Gives each time the start of its bucket.
StartsOf = Callable[[I64], I64]

_READINGS = f"SELECT {', '.join(DTYPES)} FROM readings WHERE user_no = $user AND {IN_RANGE}"
_LATE = "SELECT * EXCLUDE (seq) FROM late WHERE user_no = ? ORDER BY seq"


def late_rows(connection: duckdb.DuckDBPyConnection, user_no: int) -> Rows:
    """Return one person's rows in `late`, in order of arrival."""
    return Rows(**connection.execute(_LATE, [user_no]).fetchnumpy())


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a person's readings a query is about: the resolved ones, one device's, or all."""

    device_no: int | None = None
    include_all: bool = False

    @property
    def resolved(self) -> bool:
        """Whether each minute shows only the device that wins it."""
        return self.device_no is None and not self.include_all


@dataclass(frozen=True, slots=True)
class PersonSnapshot:
    """One person's readings at one moment.

    `staged` holds their unmerged rows, the last of each key, in order of time; `arrived` holds all of them, in order of
    arrival.
    """

    connection: duckdb.DuckDBPyConnection
    deadline: Deadline
    user_no: int
    staged: Rows
    arrived: Rows
    history: PriorityHistory
    devices: IdNumbers
    want_quarters: Callable[[int], None]

    def rows(self, interval: TimeRange, selection: Selection, hours: I64 | None = None) -> Rows:
        """Return readings inside the interval, of one device or all, by time, then device; only of `hours` if given."""
        statement = _READINGS
        values: dict[str, Any] = {}
        if selection.device_no is not None:
            statement += " AND device_no = $device"
            values["device"] = selection.device_no
        if hours is not None:
            statement += f" AND second // {HOUR_US // SECOND_US} IN (SELECT unnest($hours))"
            values["hours"] = (hours // HOUR_US).tolist()
        stored = self._stored(statement, values, interval)
        staged = self._staged_in(interval, selection)
        if hours is not None:
            staged = staged.take(np.isin(floors(staged.t, HOUR_US), hours))
        if len(staged) == 0:
            order = np.lexsort((stored.device_no, stored.t))
            return stored.take(order)
        rows = Rows.joined([stored, staged]).last_of_each_key()
        return rows.take(rows.v != TOMBSTONE)

    def owned(self, interval: TimeRange, pushes: PushOrigins) -> Rows:
        """Return every stored reading inside the interval under its origin, in storage order."""
        stored = self._stored(_READINGS, {}, interval)
        arrived = self.arrived.take((self.arrived.t >= interval.start_us) & (self.arrived.t < interval.end_us))
        rows = Rows.joined([stored, arrived])
        rows = last_of_each(rows, storage_order(rows), pushes, len(stored))
        return rows.take(rows.v != TOMBSTONE)

    def shown(self, interval: TimeRange, selection: Selection) -> Rows:
        """Return what a raw answer shows: counted readings of each minute's winner or of the device, or all."""
        rows = self.rows(interval.widened(MINUTE_US), selection)
        if not selection.include_all:
            rows = rows.take(self._chosen(rows, selection))
        return rows.take((rows.t >= interval.start_us) & (rows.t < interval.end_us))

    def buckets_from_raw(self, interval: TimeRange, selection: Selection, starts: StartsOf) -> Buckets:
        """Compute buckets from raw readings."""
        pieces = self._chosen_by_pieces(interval, selection)
        return _joined([buckets_of_readings(rows.t, rows.v, starts(rows.t)) for rows in pieces])

    def short_buckets(self, interval: TimeRange, selection: Selection, step_us: int) -> tuple[Buckets, I32]:
        """Compute buckets of a minute or less, and the number of the one device whose readings each holds."""
        parts, devices = [Buckets.concatenated([])], [np.empty(0, np.int32)]
        for rows in self._chosen_by_pieces(interval, selection):
            part = buckets_of_readings(rows.t, rows.v, floors(rows.t, step_us))
            parts.append(part)
            devices.append(rows.device_no[np.searchsorted(rows.t, part.start_us)])
        return Buckets.concatenated(parts), np.concatenate(devices)

    def hours(self, interval: TimeRange, selection: Selection) -> Buckets:
        """Return hours: kept ones where nothing is unmerged and the interval cuts none, else from raw readings."""
        if selection.include_all:
            return self.buckets_from_raw(interval, selection, lambda times_us: floors(times_us, HOUR_US))
        statement = f"SELECT hour * {HOUR_US} AS start_us, n, sum, min, max, minutes FROM "
        condition = " WHERE user_no = $user AND hour >= $start AND hour < $end"
        values = {"user": self.user_no, "start": interval.start_us // HOUR_US, "end": interval.end_us // HOUR_US}
        if selection.device_no is None:
            kept = self._buckets(statement + "h1" + condition, values)
        else:
            condition += " AND device_no = $device AND n > 0"
            kept = self._buckets(statement + "h1_dev" + condition, values | {"device": selection.device_no})
        cuts = [piece.start_us // HOUR_US * HOUR_US for piece in cut_at_hours(interval)[1]]
        return self._with_dirty_hours(kept, interval, selection, HOUR_US, cuts)

    def quarters(self, interval: TimeRange, selection: Selection) -> Buckets:
        """Return whole quarters of an hour: kept ones for people whose quarters were queried before, else from raw."""
        if not (selection.resolved and self._keeps_quarters()):
            return self.buckets_from_raw(interval, selection, lambda times_us: floors(times_us, QUARTER_US))
        kept = self._buckets(
            f"SELECT quarter::BIGINT * {QUARTER_US} AS start_us, n, sum, min, max, minutes FROM q15 "
            "WHERE user_no = $user AND quarter >= $start AND quarter < $end",
            {"user": self.user_no, "start": interval.start_us // QUARTER_US, "end": interval.end_us // QUARTER_US},
        )
        return self._with_dirty_hours(kept, interval, selection, QUARTER_US)

    def days(self, interval: TimeRange) -> Buckets:
        """Return whole UTC days of the resolved series, as of the last merge."""
        statement = f"SELECT day * {DAY_US} AS start_us, n, sum, min, max, minutes FROM d1"
        statement += " WHERE user_no = $user AND day >= $start AND day < $end"
        values = {"user": self.user_no, "start": interval.start_us // DAY_US, "end": interval.end_us // DAY_US}
        return self._buckets(statement, values)

    def dirty(self, interval: TimeRange, step_us: int) -> I64:
        """Return the starts of the buckets in the interval that hold unmerged rows of any device."""
        times_us = self.staged.t
        return np.unique(floors(times_us[(times_us >= interval.start_us) & (times_us < interval.end_us)], step_us))

    def _chosen_by_pieces(self, interval: TimeRange, selection: Selection) -> Iterator[Rows]:
        """Yield the selection's counted readings, seven days at a time, so that memory stays bounded."""
        for piece in self._pieces(interval):
            rows = self.rows(piece.widened(MINUTE_US), selection)
            rows = rows.take(self._chosen(rows, selection))
            rows = rows.take((rows.t >= piece.start_us) & (rows.t < piece.end_us))
            if len(rows):
                yield rows

    def _pieces(self, interval: TimeRange) -> Iterator[TimeRange]:
        """Yield the chunks of the interval that may hold readings: a range may span centuries and be mostly empty."""
        first, last = interval.start_us // CHUNK_US, -(-interval.end_us // CHUNK_US)
        places: Iterable[int] = range(first, last)
        if last - first > _FEW_CHUNKS:
            kept = self.connection.execute(
                f"SELECT DISTINCT hour // {CHUNK_US // HOUR_US} AS chunk FROM h1_dev "
                "WHERE user_no = $user AND hour >= $start AND hour < $end",
                {
                    "user": self.user_no,
                    "start": interval.start_us // HOUR_US,
                    "end": -(-interval.end_us // HOUR_US),
                },
            ).fetchnumpy()["chunk"]
            staged = self._staged_in(interval, Selection()).t // CHUNK_US
            places = np.union1d(kept.astype(np.int64), staged).tolist()
        for place in places:
            start_us = place * CHUNK_US
            yield TimeRange(max(start_us, interval.start_us), min(start_us + CHUNK_US, interval.end_us))

    def _keeps_quarters(self) -> bool:
        found = one_row(self.connection, "SELECT 1 FROM q15_users WHERE user_no = ?", [self.user_no])
        if found is None:
            self.want_quarters(self.user_no)
        return found is not None

    def _with_dirty_hours(
        self, kept: Buckets, interval: TimeRange, selection: Selection, step_us: int, cuts: Sequence[int] = ()
    ) -> Buckets:
        """Replace kept buckets by ones from raw readings, in hours with unmerged rows and in the hours `cuts`."""
        dirty = np.union1d(self.dirty(interval.widened(HOUR_US), HOUR_US), np.array(cuts, np.int64))
        if len(dirty) == 0:
            return kept
        near = np.split(dirty, np.flatnonzero(np.diff(dirty) > _GAP_US) + 1)
        found = [self.rows(TimeRange(int(part[0]), int(part[-1]) + HOUR_US), selection, part) for part in near]
        rows = Rows.joined(found)
        rows = rows.take(self._chosen(rows, selection))
        rows = rows.take((rows.t >= interval.start_us) & (rows.t < interval.end_us))
        fresh = buckets_of_readings(rows.t, rows.v, floors(rows.t, step_us))
        return Buckets.concatenated([kept.take(~np.isin(floors(kept.start_us, HOUR_US), dirty)), fresh])

    def _chosen(self, rows: Rows, selection: Selection) -> npt.NDArray[np.bool_]:
        counted: npt.NDArray[np.bool_] = rows.confidence != 0
        if not selection.resolved:
            return counted
        present = np.unique(rows.device_no[counted])
        if len(present) <= 1:
            return counted
        ranks = DeviceRanks(np.unique(rows.device_no), self.devices.text).at(rows.t, rows.device_no, self.history)
        return winning_rows(rows.t // MINUTE_US, ranks, counted)

    def _stored(self, statement: str, values: dict[str, Any], interval: TimeRange) -> Rows:
        self.deadline.check()
        values = values | {"user": self.user_no, "start": interval.start_us, "end": interval.end_us}
        return Rows(**self.connection.execute(statement, values).fetchnumpy())

    def _staged_in(self, interval: TimeRange, selection: Selection) -> Rows:
        rows = self.staged
        mask = (rows.t >= interval.start_us) & (rows.t < interval.end_us)
        if selection.device_no is not None:
            mask &= rows.device_no == selection.device_no
        return rows.take(mask)

    def _buckets(self, statement: str, values: dict[str, int]) -> Buckets:
        self.deadline.check()
        found = self.connection.execute(statement, values).fetchnumpy()
        columns = Buckets(
            found["start_us"].astype(np.int64),
            found["n"].astype(np.int64),
            found["sum"].astype(np.int64),
            found["min"].astype(np.int16),
            found["max"].astype(np.int16),
            found["minutes"].astype(np.int64),
        )
        return columns.ordered()


def _joined(parts: list[Buckets]) -> Buckets:
    """Join buckets of pieces that were cut at whole minutes; a bucket on a cut comes in two parts, which are merged."""
    together = Buckets.concatenated(parts)
    return merged(together, together.start_us)
