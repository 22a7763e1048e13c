"""The rows of one write, and how they get into the table `stage`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from psycopg import errors

from pulsebase.model.columns import Columns, Selection
from pulsebase.model.readings import Ids, ReadingBatch
from pulsebase.model.rollups import Mask
from pulsebase.stores.postgres.binary_copy import Field, copy_in, hundredths, laid_out, times
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.horizon import horizon_us
from pulsebase.stores.postgres.locks import lock_commits, lock_merges
from pulsebase.stores.postgres.people import make_known
from pulsebase.stores.postgres.series_keys import is_of_heart_rate, keyed, parts_of, register_series
from pulsebase.stores.timescale.aggregates import note_stale
from pulsebase.stores.timescale.fresh import FreshReadings, of_fresh_days, put_rollups
from pulsebase.stores.timescale.merge import take_in_at_once
from pulsebase.stores.timescale.raw_tables import HEART_RATES, RAW_TABLES, RawTable


@dataclass(frozen=True, slots=True)
class StageRows(Columns):
    """The rows of one write, each reading once. The lists of ids hold only ids that some row has; `users` are keys of
    series.

    `settled` says of which rows the write itself determines the origin, since an earlier row of it said something else
    of the reading; `before` are these earlier rows.
    """

    users: Ids
    devices: Ids
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]
    origins: npt.NDArray[np.int32]
    settled: Mask
    before: StageRows | None = None

    @classmethod
    def of(cls, batches: Sequence[ReadingBatch], pushes: Callable[[], Sequence[int]]) -> StageRows:
        """Take the last row of each reading in the batches, under the origin that the reading has after all of them.

        `pushes` returns the origins by which devices push, see `origins`; it is called only where that matters.
        """
        users = Ids.joined([keyed(batch.users, batch.metric) for batch in batches])
        devices = Ids.joined([batch.devices for batch in batches])
        times_us = np.concatenate([batch.times_us for batch in batches])
        origins = np.repeat(np.array([batch.origin for batch in batches], np.int32), [len(batch) for batch in batches])
        order = np.lexsort((times_us, devices.codes, users.codes))  # stable: position decides among equals
        keys = [column[order] for column in (times_us, devices.codes, users.codes)]
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
        values = np.concatenate([batch.values for batch in batches])
        confidences = np.concatenate([batch.confidences for batch in batches])
        rows = cls(users, devices, times_us, values, confidences, origins, np.zeros(len(order), np.bool_))
        return rows.take(order[is_last]) if is_last.all() else rows._last_of_each(order, is_last, pushes)

    def _last_of_each(
        self, order: npt.NDArray[np.intp], is_last: Mask, pushes: Callable[[], Sequence[int]]
    ) -> StageRows:
        """Take the last row of each reading, given an order in which the rows of one reading follow each other."""
        last = np.flatnonzero(is_last)
        is_first = np.roll(is_last, 1)
        values, confidences, origins = self.values[order], self.confidences[order], self.origins[order]
        changed = np.zeros(len(order), np.bool_)
        changed[1:] = (values[1:] != values[:-1]) | (confidences[1:] != confidences[:-1])
        changed &= ~is_first
        if not changed.any() and (origins == origins[0]).all():
            return self.take(order[last])
        brings = is_first | changed | np.isin(origins, pushes())
        source = np.maximum.accumulate(np.where(brings, np.arange(len(order)), 0))[last]
        rows = replace(self.take(order[source]), settled=changed[source])
        return replace(rows, before=self.take(order[source[rows.settled] - 1])) if rows.settled.any() else rows

    def afresh(self) -> StageRows:
        """Return the rows under the origins they come with, whatever is stored."""
        return replace(self, settled=np.ones(len(self), np.bool_), before=None)

    def write(self, connection: Connection) -> None:
        """Add the rows to the stage, except those before the horizon."""
        lock_commits(connection)
        rows = self._kept(connection)
        if not len(rows):
            return
        rows._make_known(connection)
        if self.before is not None:  # like a commit of its own that becomes visible together with this one
            self.before._kept(connection)._add_to_stage(connection)
        rows._add_to_stage(connection)

    def _add_to_stage(self, connection: Connection) -> None:
        if not len(self):
            return
        (seq,) = connection.execute("SELECT nextval('pulsebase.stage_seq')", binary=True).fetchone() or (0,)
        number: Field = (">i8", int(seq))
        copy_in(connection, "pulsebase.stage", self._blocks(lambda *chosen: [number, *self._staged(*chosen)]))

    def merge(self, connection: Connection) -> None:
        """Merge the rows without staging them, except those before the horizon."""
        lock_merges(connection)
        rows = self._kept(connection)
        if not len(rows):
            return
        rows._make_known(connection)
        fresh = of_fresh_days(connection, rows.users, rows.times_us)
        others = rows.take(~fresh)
        if fresh.any() and not rows.take(fresh)._put_into_fresh_days(connection):
            others = rows
        if len(others):
            take_in_at_once(connection, others._blocks(others._incoming))

    def _put_into_fresh_days(self, connection: Connection) -> bool:
        """Store rows of fresh days, and their rollups; return False if that is not possible."""
        try:
            with connection.transaction():
                for table in RAW_TABLES:
                    self._of(table)._copy_into(connection, table)
                put_rollups(connection, self._series())
        except errors.UniqueViolation:  # users' own SQL put readings there, which no rollup has
            return False
        return True

    def _of(self, table: RawTable) -> StageRows:
        """Return the rows that this table keeps once they are merged."""
        belongs = np.array([(table is HEART_RATES) == is_of_heart_rate(key) for key in self.users.texts], np.bool_)
        return self if belongs.all() else self.take(belongs[self.users.codes])

    def _copy_into(self, connection: Connection, table: RawTable) -> None:
        if not len(self):
            return
        copy_in(connection, f"{table.full_name} {table.columns}", self._blocks(partial(self._merged, table)))
        if table is HEART_RATES:
            note_stale(connection, int(self.times_us.min()), int(self.times_us.max()))

    def _make_known(self, connection: Connection) -> None:
        keys = self.users.distinct()
        make_known(connection, {parts_of(key)[0] for key in keys}, self._devices())
        register_series(connection, keys)

    def _series(self) -> Iterator[FreshReadings]:
        bounds = np.flatnonzero(np.diff(self.users.codes, prepend=-1, append=-1))
        for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            rows = slice(first, end)
            used, devices = np.unique(self.devices.codes[rows], return_inverse=True)
            yield FreshReadings(
                self.users.texts[self.users.codes[first]],
                [self.devices.texts[code] for code in used.tolist()],
                devices.astype(np.int32),
                self.times_us[rows],
                self.values[rows],
                self.confidences[rows],
                self.origins[rows],
            )

    def _kept(self, connection: Connection) -> StageRows:
        """Return the rows that have not expired. The caller holds a lock that keeps the horizon from moving."""
        start_us = horizon_us(connection)
        if self.times_us.min(initial=start_us) >= start_us:
            return self
        return self.take(self.times_us >= start_us)

    def take(self, rows: Selection) -> StageRows:
        """The rows at these places, without those before them, which are fewer."""
        return Columns.take(replace(self, before=None), rows)

    def _devices(self) -> list[tuple[str, str]]:
        count = len(self.devices.texts)
        pairs = np.unique(self.users.codes.astype(np.int64) * count + self.devices.codes).tolist()
        owners = [parts_of(key)[0] for key in self.users.texts]
        return [(owners[pair // count], self.devices.texts[pair % count]) for pair in pairs]

    def _blocks(self, fields_of: Callable[[Field, Field, npt.NDArray[np.intp]], list[Field]]) -> Iterator[bytes]:
        """Encode the rows, in any order; `fields_of` gives the fields for a series' key, a device's id and their rows.

        Rows whose variable parts have the same length have the same layout, so they are encoded together as a block.
        """
        users, user_sizes = _encoded(self.users)
        devices, device_sizes = _encoded(self.devices)
        shapes = np.stack([user_sizes, device_sizes, (self.confidences >= 0).astype(np.int64)], axis=1)
        distinct, shape_of = np.unique(shapes, axis=0, return_inverse=True)
        for number, (user_size, device_size, _) in enumerate(distinct):
            chosen = np.flatnonzero(shape_of.reshape(-1) == number)
            user = f"S{user_size}", users[self.users.codes[chosen]]
            device = f"S{device_size}", devices[self.devices.codes[chosen]]
            yield laid_out(fields_of(user, device, chosen), len(chosen))

    def _staged(self, user: Field, device: Field, rows: npt.NDArray[np.intp]) -> list[Field]:
        """Return the fields of `stage`, without its commit number."""
        value: Field = (">i2", self.values[rows])
        return [user, device, times(self.times_us[rows]), value, *self._rest(rows)]

    def _incoming(self, user: Field, device: Field, rows: npt.NDArray[np.intp]) -> list[Field]:
        """Return the fields of `incoming`."""
        return [*self._staged(user, device, rows), ("i1", self.settled[rows])]

    def _merged(self, table: RawTable, user: Field, device: Field, rows: npt.NDArray[np.intp]) -> list[Field]:
        """Return the fields of a table of merged readings, in the order of its `columns`."""
        values = self.values[rows]
        value: Field = hundredths(values) if table is HEART_RATES else (">i2", values)
        return [times(self.times_us[rows]), value, user, device, *self._rest(rows)]

    def _rest(self, rows: npt.NDArray[np.intp]) -> list[Field]:
        confidences = self.confidences[rows]
        return [(">i2", None if (confidences < 0).all() else confidences), (">i4", self.origins[rows])]


def _encoded(column: Ids) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int64]]:
    """Encode texts as bytes; return them and the length of each row's."""
    encoded = [text.encode() for text in column.texts]
    sizes = np.array([len(text) for text in encoded], np.int64)
    return np.array(encoded, np.bytes_), sizes[column.codes]
