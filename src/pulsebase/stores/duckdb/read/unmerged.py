"""Everybody's rows that are not merged yet, staged or late, and what they change in the rollups of their hours."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.columns import Columns
from pulsebase.model.rollups import I32, I64, Mask
from pulsebase.model.timerange import HOUR_US, SECOND_US, TimeRange
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.duckdb.engine.transactions import State, relation
from pulsebase.stores.duckdb.merge.hour_rollups import hour_codes
from pulsebase.stores.duckdb.merge.ordering import group_starts, storage_order
from pulsebase.stores.duckdb.merge.origins import PushOrigins, last_of_each
from pulsebase.stores.duckdb.merge.stage import DTYPES, Rows, StageSnapshot
from pulsebase.stores.duckdb.people.series_numbers import metrics_of, people_of

#: By person number: whether a query is about this person.
People = npt.NDArray[np.bool_]

#: The condition that a reading `r` has the key of a row `u` of `keys_of`. The one on `second` lets the engine skip row
#: groups outside the time of these rows.
SAME_KEY = "u.user_no = r.user_no AND u.device_no = r.device_no AND u.second = r.second AND u.t = r.t"
_LATE = "SELECT * FROM late WHERE t >= $start AND t < $end ORDER BY seq"
#: How many hours' changes are cached at most, at 48 bytes each.
_MOST_REMEMBERED = 1_000_000


@dataclass(frozen=True, slots=True)
class Unmerged(Columns):
    """Unmerged rows in order of arrival. `seq` is each row's sequence number in the journal."""

    rows: Rows
    seq: I64

    @classmethod
    def empty(cls) -> Unmerged:
        """No rows."""
        return cls(Rows.empty(), np.empty(0, np.int64))

    def inside(self, interval: TimeRange) -> Rows:
        """Return the rows inside the interval, in order of arrival."""
        return self.rows.take((self.rows.t >= interval.start_us) & (self.rows.t < interval.end_us))

    def codes(self) -> I64:
        """Return the code of each row's person and hour."""
        return hour_codes(self.rows.user_no, self.rows.t // HOUR_US)


def keys_of(rows: Rows) -> pa.Table:
    """Return the keys of readings, as a table that statements can use."""
    columns = {"user_no": rows.user_no, "device_no": rows.device_no, "t": rows.t, "second": rows.t // SECOND_US}
    return pa.table(columns)


def owned_rows(
    connection: duckdb.DuckDBPyConnection, deadline: Deadline, arrived: Rows, last: Rows, pushes: PushOrigins
) -> Rows:
    """Return the last unmerged row of each key under the origin of its reading.

    That may be the origin under which the reading is stored, rather than the row's own. `arrived` are all of the rows
    in order of arrival, `last` the last of each key.
    """
    asked = last.take(~pushes.among(last.origin))
    if len(asked) == 0:
        return last
    with relation(connection, "unmerged", keys_of(asked)):
        columns = ", ".join(f"r.{name}" for name in DTYPES)
        statement = f"SELECT {columns} FROM readings AS r SEMI JOIN unmerged AS u ON {SAME_KEY}"
        stored = Rows(**connection.execute(statement).fetchnumpy())
    rows = Rows.joined([stored, arrived])
    deadline.check()
    order = storage_order(rows)
    deadline.check()
    return last_of_each(rows, order, pushes, len(stored))


def unmerged_rows(  # noqa: PLR0917 one state, and what is asked of it
    connection: duckdb.DuckDBPyConnection,
    stage: StageSnapshot,
    state: State,
    interval: TimeRange,
    people: People,
    metric_no: int,
) -> Unmerged:
    """Collect these people's unmerged rows of a metric in the interval, from a transaction and a stage snapshot taken
    before it.
    """
    parts: list[Unmerged] = []
    if state.late_rows:
        late = connection.execute(_LATE, {"start": interval.start_us, "end": interval.end_us}).fetchnumpy()
        parts.append(Unmerged(Rows(**{name: late[name] for name in late if name != "seq"}), late["seq"]))
    seq = state.merged_seq
    for rows in stage.since(seq):
        inside = np.flatnonzero((rows.t >= interval.start_us) & (rows.t < interval.end_us))
        parts.append(Unmerged(rows.take(inside), seq + inside.astype(np.int64)))
        seq += len(rows)
    parts = [part.take(_chosen(part.rows.user_no, people, metric_no)) for part in parts if len(part.seq)]
    return Unmerged.joined(parts)


def _chosen(series: I32, people: People, metric_no: int) -> Mask:
    of_metric: Mask = metrics_of(series) == metric_no
    of_metric &= people[people_of(series)]
    return of_metric


@dataclass(frozen=True, slots=True)
class DirtyHours(Columns):
    """Hours with unmerged rows, by code, and the first and last sequence number of each hour's rows."""

    codes: I64
    first_seq: I64
    last_seq: I64

    @classmethod
    def of(cls, unmerged: Unmerged) -> DirtyHours:
        """Group rows by hour; they must be all unmerged ones of each hour."""
        codes = unmerged.codes()
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        first = group_starts(codes)
        last = np.append(first, len(codes))[1:] - 1
        return cls(codes[first], unmerged.seq[order[first]], unmerged.seq[order[last]])


@dataclass(frozen=True, slots=True)
class Changes(Columns):
    """What unmerged rows change in the count, the sum and the minutes of hours."""

    count: I64
    sum: I64
    minutes: I64

    @classmethod
    def none(cls, hours: int) -> Changes:
        """Make changes of zero for this many hours."""
        return cls(*(np.zeros(hours, np.int64) for _ in range(3)))

    def put(self, index: npt.NDArray[np.intp], other: Changes) -> None:
        """Replace the changes at these indices."""
        for mine, theirs in ((self.count, other.count), (self.sum, other.sum), (self.minutes, other.minutes)):
            mine[index] = theirs


@dataclass(slots=True)
class ChangeCache:
    """A cache of changes that earlier queries computed, since finding an hour's stored readings is expensive.

    An entry is valid while the hour's unmerged rows and the priorities stay the same. A person's hour consists of its
    rows in journal order, and a merge takes the first of those that wait: so if the first and the last unmerged row are
    the same as before, the stored readings are too.
    """

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _epoch: int = -1
    _hours: DirtyHours = field(default_factory=lambda: DirtyHours(*(np.empty(0, np.int64) for _ in range(3))))
    _changes: Changes = field(default_factory=lambda: Changes.none(0))

    def __len__(self) -> int:
        return len(self._hours.codes)

    def find(self, hours: DirtyHours, epoch: int) -> tuple[Mask, Changes]:
        """Return which hours are cached, and their changes; `epoch` is that of the priorities."""
        found = Changes.none(len(hours.codes))
        with self._lock:
            known_epoch, known, values = self._epoch, self._hours, self._changes
        if known_epoch != epoch or len(known.codes) == 0:
            return np.zeros(len(hours.codes), np.bool_), found
        place = np.minimum(np.searchsorted(known.codes, hours.codes), len(known.codes) - 1)
        same: Mask = (
            (known.codes[place] == hours.codes)
            & (known.first_seq[place] == hours.first_seq)
            & (known.last_seq[place] == hours.last_seq)
        )
        found.put(np.flatnonzero(same), values.take(place[same]))
        return same, found

    def keep(self, hours: DirtyHours, changes_of: Changes, epoch: int) -> None:
        """Cache the changes of these hours, and keep those of other hours as far as there is room."""
        with self._lock:
            if epoch < self._epoch:
                return
            if epoch == self._epoch:
                others = np.flatnonzero(~np.isin(self._hours.codes, hours.codes))
                hours, changes_of = (
                    DirtyHours.joined([hours, self._hours.take(others)]),
                    Changes.joined([changes_of, self._changes.take(others)]),
                )
            order = np.argsort(hours.codes[:_MOST_REMEMBERED])
            self._epoch, self._hours, self._changes = epoch, hours.take(order), changes_of.take(order)
