"""Everybody's rows that no merge has brought where they belong, and what they change in the hours they are for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt

from pulsebase.model.rollups import I64, Mask
from pulsebase.model.timerange import HOUR_US, TimeRange
from pulsebase.stores.duckdb.engine.database import State
from pulsebase.stores.duckdb.merge.hours import hour_codes
from pulsebase.stores.duckdb.merge.ordering import changes
from pulsebase.stores.duckdb.merge.stage import Rows, StageSnapshot

#: People by their numbers: whether a question is about them.
People = npt.NDArray[np.bool_]

_LATE = "SELECT * FROM late WHERE t >= $start AND t < $end ORDER BY seq"
#: The most hours to remember changes of, at 48 bytes each.
_MOST_REMEMBERED = 1_000_000


@dataclass(frozen=True, slots=True)
class Unmerged:
    """Unmerged rows in the order of their arrival. `seq` is each one's number in the journal."""

    rows: Rows
    seq: I64

    def where(self, mask: Mask) -> Unmerged:
        """The rows that the mask keeps."""
        return Unmerged(self.rows.take(mask), self.seq[mask])

    def inside(self, interval: TimeRange) -> Rows:
        """The rows of the interval, in the order of their arrival."""
        return self.rows.take((self.rows.t >= interval.start_us) & (self.rows.t < interval.end_us))

    def codes(self) -> I64:
        """A number a row that tells person and hour."""
        return hour_codes(self.rows.user_no, self.rows.t // HOUR_US)


def unmerged_rows(
    connection: duckdb.DuckDBPyConnection, stage: StageSnapshot, state: State, interval: TimeRange, people: People
) -> Unmerged:
    """The unmerged rows of these people in the interval, as this transaction and a stage taken before it say."""
    parts: list[Unmerged] = []
    if state.late_rows:
        late = connection.execute(_LATE, {"start": interval.start_us, "end": interval.end_us}).fetchnumpy()
        parts.append(Unmerged(Rows(**{name: late[name] for name in late if name != "seq"}), late["seq"]))
    seq = state.merged_seq
    for rows in stage.since(seq):
        inside = np.flatnonzero((rows.t >= interval.start_us) & (rows.t < interval.end_us))
        parts.append(Unmerged(rows.take(inside), seq + inside.astype(np.int64)))
        seq += len(rows)
    parts = [part.where(people[part.rows.user_no]) for part in parts if len(part.seq)]
    if not parts:
        return Unmerged(Rows.concatenated([]), np.empty(0, np.int64))
    return Unmerged(Rows.concatenated([part.rows for part in parts]), np.concatenate([part.seq for part in parts]))


@dataclass(frozen=True, slots=True)
class DirtyHours:
    """The hours that unmerged rows are for, by code. `first_seq` and `last_seq` are those of the hour's rows."""

    codes: I64
    first_seq: I64
    last_seq: I64

    @classmethod
    def of(cls, unmerged: Unmerged) -> DirtyHours:
        """The hours of these rows, which must be all unmerged ones of each hour."""
        codes = unmerged.codes()
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        first = changes(codes)
        last = np.append(first, len(codes))[1:] - 1
        return cls(codes[first], unmerged.seq[order[first]], unmerged.seq[order[last]])

    def take(self, index: npt.NDArray[np.intp]) -> DirtyHours:
        """The hours at these places."""
        return DirtyHours(self.codes[index], self.first_seq[index], self.last_seq[index])

    def followed_by(self, other: DirtyHours) -> DirtyHours:
        """These hours and then the others."""
        return DirtyHours(
            np.concatenate([self.codes, other.codes]),
            np.concatenate([self.first_seq, other.first_seq]),
            np.concatenate([self.last_seq, other.last_seq]),
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What unmerged rows change in the count, the sum and the minutes of hours."""

    count: I64
    sum: I64
    minutes: I64

    @classmethod
    def none(cls, hours: int) -> Changes:
        """No change of so many hours."""
        return cls(*(np.zeros(hours, np.int64) for _ in range(3)))

    def take(self, index: npt.NDArray[np.intp]) -> Changes:
        """Those of the hours at these places."""
        return Changes(self.count[index], self.sum[index], self.minutes[index])

    def followed_by(self, other: Changes) -> Changes:
        """These and then the others."""
        return Changes(
            np.concatenate([self.count, other.count]),
            np.concatenate([self.sum, other.sum]),
            np.concatenate([self.minutes, other.minutes]),
        )

    def put(self, index: npt.NDArray[np.intp], other: Changes) -> None:
        """Replace those of the hours at these places."""
        for mine, theirs in ((self.count, other.count), (self.sum, other.sum), (self.minutes, other.minutes)):
            mine[index] = theirs


@dataclass(slots=True)
class ChangeCache:
    """Changes that earlier questions worked out, for the next ones: finding an hour's stored readings is dear.

    They hold as long as the hour's unmerged rows and the priorities are the same ones. A person's hour is made of its
    rows in the order of the journal, and a merge takes the first of those that wait: so if the first and the last
    unmerged row are the same as before, the stored readings are too.
    """

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _epoch: int = -1
    _hours: DirtyHours = field(default_factory=lambda: DirtyHours(*(np.empty(0, np.int64) for _ in range(3))))
    _changes: Changes = field(default_factory=lambda: Changes.none(0))

    def __len__(self) -> int:
        return len(self._hours.codes)

    def find(self, hours: DirtyHours, epoch: int) -> tuple[Mask, Changes]:
        """Of which of the hours the changes are known, and these; `epoch` is that of the priorities."""
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
        """Remember the changes of these hours, and those of others as long as they are not too many."""
        with self._lock:
            if epoch < self._epoch:
                return
            if epoch == self._epoch:
                others = np.flatnonzero(~np.isin(self._hours.codes, hours.codes))
                hours, changes_of = (
                    hours.followed_by(self._hours.take(others)),
                    changes_of.followed_by(self._changes.take(others)),
                )
            order = np.argsort(hours.codes[:_MOST_REMEMBERED])
            self._epoch, self._hours, self._changes = epoch, hours.take(order), changes_of.take(order)
