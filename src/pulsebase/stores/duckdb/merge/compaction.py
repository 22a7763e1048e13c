"""Compaction: rewrites rows that many small merges have scattered, so that a person's rows lie together again.

A merge appends its rows to the table. Over time a person's month is then spread over as many row groups as there were
merges, among everybody else's rows. Compaction examines a table one window of time at a time. A window whose people are
spread over too many row groups is rewritten in the order person, device, time: a bounded number of people per
transaction, so that a reader sees the old rows or the new ones, and a kill leaves one of the two. Nothing is remembered
across a restart: the engine says where rows lie.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import duckdb
import numpy as np

from pulsebase.model.rollups import I64
from pulsebase.stores.duckdb.merge.merge import HourSizes
from pulsebase.stores.duckdb.merge.ordering import group_starts

#: Rows per row group, the engine's unit of storage: it skips a group as a whole or scans it.
_ROW_GROUP_ROWS = 122_880
#: The most rows rewritten in one transaction, unless a single person has more.
_PIECE_ROWS = 1_000_000
#: A window with more readings is divided, unless it is a single hour.
_WINDOW_ROWS = 8_000_000
#: A window with fewer readings spans few row groups in any case.
_SMALL_ROWS = 2 * _ROW_GROUP_ROWS
#: A window is rewritten when its people span more than this many times the row groups they need.
_MAX_FRAGMENTATION = 4
#: The most windows one step examines, of up to `_WINDOW_ROWS` each.
_WINDOWS_PER_STEP = 4
#: A window in the past is examined again when late rows have made it grow by 1/8.
_CLOSED_GROWTH = 8
_DAY_HOURS = 24
_MONTH_HOURS = 28 * _DAY_HOURS
_YEAR_HOURS = 13 * _MONTH_HOURS
#: Lengths of windows of readings; each divides the one before.
_WINDOW_HOURS = (_MONTH_HOURS, 7 * _DAY_HOURS, _DAY_HOURS, 1)


@dataclass(frozen=True, slots=True)
class _Layout:
    """A table, its time column with its unit, and the order that keeps a person's rows together.

    Attributes:
        open_growth: the newest window, which still fills, is examined again when it has grown by 1/`open_growth`.
            Rollups are small and read over long ranges, so theirs are examined more often.
    """

    table: str
    column: str
    per_hour: int
    order: str
    hours_per_unit: int = 1
    open_growth: int = 4

    def bounds(self, window: _Window) -> dict[str, int]:
        """Return the window's bounds in the column's unit."""
        start, end = window.start_hour, window.start_hour + window.hours
        return {
            "start": start * self.per_hour // self.hours_per_unit,
            "end": end * self.per_hour // self.hours_per_unit,
        }


_READINGS = _Layout("stored", "second", 3600, "user_no, device_no, second, microsecond", open_growth=1)
_HOURS = (
    _Layout("h1_dev", "hour", 1, "user_no, device_no, hour"),
    _Layout("h1", "hour", 1, "user_no, hour"),
    _Layout("q15", "quarter", 4, "user_no, quarter"),
)
_DAYS = (_Layout("d1", "day", 1, "user_no, day", hours_per_unit=_DAY_HOURS),)


@dataclass(frozen=True, slots=True)
class _Window:
    layout: _Layout
    start_hour: int
    hours: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """The rows of the people from `first_user` to `last_user` in a window."""

    window: _Window
    first_user: int
    last_user: int


@dataclass(slots=True)
class Compaction:
    """Which windows were examined, and which pieces of them still have to be rewritten."""

    sizes: HourSizes
    _examined_rows: dict[_Window, int] = field(default_factory=dict)
    _pieces: deque[_Piece] = field(default_factory=deque)

    @property
    def found(self) -> bool:
        """Whether a piece waits to be rewritten."""
        return bool(self._pieces)

    def find(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Examine some windows that have grown since they last were; return whether there may be more to do."""
        examined = 0
        for window, rows in self._grown():
            if self._pieces or examined == _WINDOWS_PER_STEP:
                return True
            self._pieces += _fragmented_pieces(connection, window)
            self._examined_rows[window] = rows
            examined += 1
        return bool(examined or self._pieces)

    def rewrite(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Rewrite the next piece in order, in the transaction of `connection`."""
        piece = self._pieces[0]
        layout = piece.window.layout
        values = layout.bounds(piece.window) | {"first": piece.first_user, "last": piece.last_user}
        where = f"{layout.column} >= $start AND {layout.column} < $end AND user_no BETWEEN $first AND $last"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE moved AS SELECT * FROM {layout.table} WHERE {where} ORDER BY {layout.order}",
            values,
        )
        connection.execute(f"DELETE FROM {layout.table} WHERE {where}", values)
        connection.execute(f"INSERT INTO {layout.table} SELECT * FROM moved")
        connection.execute("DROP TABLE moved")

    def done(self) -> None:
        """Note that the piece last rewritten is committed."""
        self._pieces.popleft()

    def _grown(self) -> Iterator[tuple[_Window, int]]:
        """Yield the windows that hold notably more readings than when they were examined, and how many they hold now.

        By how much the newest must have grown bounds how often its rows are rewritten while it fills.
        """
        hours = np.array(sorted(self.sizes.rows), np.int64)
        rows = np.array([self.sizes.rows[hour] for hour in hours.tolist()], np.int64)
        for window, count in _windows(hours, rows):
            before = self._examined_rows.get(window, 0)
            is_open = window.start_hour + window.hours > hours[-1]
            if count > before + before // (window.layout.open_growth if is_open else _CLOSED_GROWTH):
                yield window, count


def _windows(hours: I64, rows: I64) -> Iterator[tuple[_Window, int]]:
    """Yield the windows that cover these hours and have enough of these `rows` to be worth examining."""
    for layouts, length in ((_HOURS, _YEAR_HOURS), (_DAYS, 16 * _YEAR_HOURS)):
        for start, piece in _split(hours, length):
            count = int(rows[piece].sum())
            if count >= _SMALL_ROWS:
                yield from ((_Window(layout, start, length), count) for layout in layouts)
    yield from _reading_windows(hours, rows, _WINDOW_HOURS)


def _reading_windows(hours: I64, rows: I64, lengths: Sequence[int]) -> Iterator[tuple[_Window, int]]:
    for start, piece in _split(hours, lengths[0]):
        count = int(rows[piece].sum())
        if count > _WINDOW_ROWS and len(lengths) > 1:
            yield from _reading_windows(hours[piece], rows[piece], lengths[1:])
        elif count >= _SMALL_ROWS:
            yield _Window(_READINGS, start, lengths[0]), count


def _split(hours: I64, length: int) -> Iterator[tuple[int, slice]]:
    """Divide ascending hours into windows of this length; yield each one's start and the slice of its hours."""
    windows = hours // length
    firsts = group_starts(windows)
    for first, end in pairwise([*firsts.tolist(), len(hours)]):
        yield int(windows[first]) * length, slice(first, end)


def _fragmented_pieces(connection: duckdb.DuckDBPyConnection, window: _Window) -> list[_Piece]:
    """Divide the window into pieces to rewrite, if its people span too many row groups; else return none."""
    layout = window.layout
    found = connection.execute(
        f"SELECT user_no, count(*) AS rows, count(DISTINCT rowid // {_ROW_GROUP_ROWS}) AS groups FROM {layout.table} "
        f"WHERE {layout.column} >= $start AND {layout.column} < $end GROUP BY user_no ORDER BY user_no",
        layout.bounds(window),
    ).fetchnumpy()
    rows = found["rows"]
    fewest_groups = len(rows) + int(rows.sum()) // _ROW_GROUP_ROWS
    if int(found["groups"].sum()) <= _MAX_FRAGMENTATION * fewest_groups:
        return []
    users = found["user_no"]
    firsts = group_starts((np.cumsum(rows) - 1) // _PIECE_ROWS)
    return [
        _Piece(window, int(users[first]), int(users[end - 1])) for first, end in pairwise([*firsts.tolist(), len(rows)])
    ]
