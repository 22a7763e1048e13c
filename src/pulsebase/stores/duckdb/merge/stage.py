"""The stage: rows that are in the journal but not merged yet, in memory, where queries see them.

It is append-only: rows are copied into arrays of fixed size and then published by raising a counter, so a reader with a
snapshot needs no lock and sees nothing of later commits.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.columns import Columns

#: A value that marks a deleted reading. No accepted value comes near it.
TOMBSTONE = np.int16(-32768)
#: A confidence that stands for none.
NO_CONFIDENCE = np.int8(-1)

DTYPES: dict[str, type[np.generic]] = {
    "user_no": np.int32,
    "device_no": np.int32,
    "t": np.int64,
    "v": np.int16,
    "confidence": np.int8,
    "origin": np.int32,
}
_SEGMENT_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Rows(Columns):
    """Columns of readings as the journal and the stage keep them, with the types of `DTYPES`."""

    user_no: npt.NDArray[np.int32]
    device_no: npt.NDArray[np.int32]
    t: npt.NDArray[np.int64]
    v: npt.NDArray[np.int16]
    confidence: npt.NDArray[np.int8]
    origin: npt.NDArray[np.int32]

    @classmethod
    def empty(cls) -> Rows:
        """No rows."""
        return cls(*(np.empty(0, dtype) for dtype in DTYPES.values()))

    def last_of_each_key(self) -> Rows:
        """Keep, of rows in order of arrival, the last of each (user, device, time); ordered by (user, time, device)."""
        if len(self) == 0:
            return self
        order = np.lexsort((self.device_no, self.t, self.user_no))  # stable: arrival decides among equals
        rows = self.take(order)
        is_last = np.ones(len(rows), np.bool_)
        is_last[:-1] = (
            (rows.t[1:] != rows.t[:-1])
            | (rows.user_no[1:] != rows.user_no[:-1])
            | (rows.device_no[1:] != rows.device_no[:-1])
        )
        return rows.take(is_last)


class _Segment:
    """A run of consecutive journal rows from `first_seq` on."""

    def __init__(self, first_seq: int, capacity: int) -> None:
        self.first_seq = first_seq
        self.capacity = capacity
        self.count = 0
        self.columns = Rows(*(np.empty(capacity, dtype) for dtype in DTYPES.values()))

    def append(self, rows: Rows) -> None:
        end = self.count + len(rows)
        for name in DTYPES:
            getattr(self.columns, name)[self.count : end] = getattr(rows, name)
        self.count = end


@dataclass(frozen=True, slots=True)
class StageSnapshot:
    """The published rows at one moment, in parts in order of arrival: (sequence number of the first row, rows)."""

    parts: tuple[tuple[int, Rows], ...]

    def since(self, seq: int) -> list[Rows]:
        """Return the rows from sequence number `seq` on."""
        return [
            rows if first_seq >= seq else rows.take(slice(seq - first_seq, None))
            for first_seq, rows in self.parts
            if first_seq + len(rows) > seq
        ]

    def between(self, seq: int, end_seq: int) -> list[Rows]:
        """Return the rows from sequence number `seq` up to, not including, `end_seq`."""
        found = StageSnapshot(tuple(part for part in self.parts if part[0] < end_seq)).since(seq)
        surplus = seq + sum(map(len, found)) - end_seq
        return [*found[:-1], found[-1].take(slice(0, len(found[-1]) - surplus))] if surplus > 0 else found


class Stage:
    """The unmerged rows. One thread appends, one drops, any number take snapshots."""

    def __init__(self, next_seq: int) -> None:
        self._segments: tuple[_Segment, ...] = ()
        self._lock = threading.Lock()  # between the one that appends and the one that drops
        self._start_seq = next_seq
        self.next_seq = next_seq

    def __len__(self) -> int:
        return self.next_seq - self._start_seq

    def append(self, rows: Rows) -> None:
        """Publish rows; the next snapshot has all of them, no snapshot some."""
        with self._lock:
            segments = self._segments
            if not segments or segments[-1].count + len(rows) > segments[-1].capacity:
                segment = _Segment(self.next_seq, max(_SEGMENT_ROWS, len(rows)))
                segment.append(rows)
                self._segments = (*segments, segment)
            else:
                segments[-1].append(rows)
            self.next_seq += len(rows)

    def snapshot(self) -> StageSnapshot:
        """Take a snapshot of what is published now."""
        parts = []
        for segment in self._segments:
            count = segment.count
            parts.append((segment.first_seq, segment.columns.take(slice(0, count))))
        return StageSnapshot(tuple(parts))

    def drop_before(self, seq: int) -> None:
        """Drop whole segments below `seq`, which the database has by now."""
        with self._lock:
            self._start_seq = max(self._start_seq, seq)
            self._segments = tuple(segment for segment in self._segments if segment.first_seq + segment.count > seq)
