"""Brings together what many small merges have scattered, so that a person's rows of a stretch of time lie side by side.

A merge writes its rows behind all others. Over time a person's month then lies in as many places as there were merges,
among everybody else's. A table is looked at window of time by window of time. One whose people lie in too many places
is written again in the order person, device, time: a bounded number of people in one transaction, so that a reader
sees the old places or the new one, and a kill leaves one of them. Nothing is remembered across a restart: where rows
lie is asked of the engine.
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
from pulsebase.stores.duckdb.merge.ordering import changes

#: The engine's unit of storage: it skips one as a whole, or goes through it.
_ROW_GROUP_ROWS = 122_880
#: The most rows of one transaction, a single person's apart.
_PIECE_ROWS = 1_000_000
#: The most readings of a window, as long as it is longer than an hour.
_WINDOW_ROWS = 8_000_000
#: A window of fewer readings lies in few places in any case.
_SMALL_ROWS = 2 * _ROW_GROUP_ROWS
#: Scattered is what lies in so many times the places it has to.
_SCATTERED = 4
#: The most windows one step looks at, of up to `_WINDOW_ROWS` each.
_LOOKS = 4
#: A window that lies behind is looked at again when late rows have made it grow by one part in so many.
_CLOSED_SHARE = 8
_DAY_HOURS = 24
_MONTH_HOURS = 28 * _DAY_HOURS
_YEAR_HOURS = 13 * _MONTH_HOURS
#: The lengths of windows of readings, each of which divides the one before.
_WINDOW_HOURS = (_MONTH_HOURS, 7 * _DAY_HOURS, _DAY_HOURS, 1)


@dataclass(frozen=True, slots=True)
class _Layout:
    """A table, its column of time and how it counts, and the order that keeps a person together."""

    table: str
    column: str
    per_hour: int
    order: str
    hours_per_unit: int = 1
    #: A window that still fills is looked at again when it has grown by one part in so many. Rollups are small, and
    #: read over long ranges.
    open_share: int = 4

    def bounds(self, window: _Window) -> dict[str, int]:
        """The window in the column's unit."""
        start, end = window.start_hour, window.start_hour + window.hours
        return {
            "start": start * self.per_hour // self.hours_per_unit,
            "end": end * self.per_hour // self.hours_per_unit,
        }


_READINGS = _Layout("stored", "second", 3600, "user_no, device_no, second, microsecond", open_share=1)
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
    """What was looked at, and what is still to be brought together."""

    sizes: HourSizes
    _looked: dict[_Window, int] = field(default_factory=dict)
    _pieces: deque[_Piece] = field(default_factory=deque)

    @property
    def found(self) -> bool:
        """Whether something is to be brought together."""
        return bool(self._pieces)

    def find(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Look at some windows that have grown since the last look; whether there may be more to do."""
        looks = 0
        for window, rows in self._grown():
            if self._pieces or looks == _LOOKS:
                return True
            self._pieces += _scattered(connection, window)
            self._looked[window] = rows
            looks += 1
        return bool(looks or self._pieces)

    def rewrite(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Bring a piece of what was found together, in the transaction of `connection`."""
        piece = self._pieces[0]
        layout = piece.window.layout
        values = layout.bounds(piece.window) | {"first": piece.first_user, "last": piece.last_user}
        mine = f"{layout.column} >= $start AND {layout.column} < $end AND user_no BETWEEN $first AND $last"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE moved AS SELECT * FROM {layout.table} WHERE {mine} ORDER BY {layout.order}",
            values,
        )
        connection.execute(f"DELETE FROM {layout.table} WHERE {mine}", values)
        connection.execute(f"INSERT INTO {layout.table} SELECT * FROM moved")
        connection.execute("DROP TABLE moved")

    def done(self) -> None:
        """The piece last brought together is durable."""
        self._pieces.popleft()

    def _grown(self) -> Iterator[tuple[_Window, int]]:
        """Windows that hold notably more readings than when they were looked at, and how many they hold now.

        The newest, which still fills, has to hold more by a share that bounds how often its rows are written again.
        """
        hours = np.array(sorted(self.sizes.rows), np.int64)
        rows = np.array([self.sizes.rows[hour] for hour in hours.tolist()], np.int64)
        for window, count in _windows(hours, rows):
            looked = self._looked.get(window, 0)
            is_open = window.start_hour + window.hours > hours[-1]
            if count > looked + looked // (window.layout.open_share if is_open else _CLOSED_SHARE):
                yield window, count


def _windows(hours: I64, rows: I64) -> Iterator[tuple[_Window, int]]:
    """The windows that cover these hours, which hold so many readings, as far as they are worth a look."""
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
    """Ascending hours by windows of this length: where each starts, and the places of its hours."""
    windows = hours // length
    firsts = changes(windows)
    for first, end in pairwise([*firsts.tolist(), len(hours)]):
        yield int(windows[first]) * length, slice(first, end)


def _scattered(connection: duckdb.DuckDBPyConnection, window: _Window) -> list[_Piece]:
    """The window in pieces, if its people lie in too many places."""
    layout = window.layout
    found = connection.execute(
        f"SELECT user_no, count(*) AS rows, count(DISTINCT rowid // {_ROW_GROUP_ROWS}) AS places FROM {layout.table} "
        f"WHERE {layout.column} >= $start AND {layout.column} < $end GROUP BY user_no ORDER BY user_no",
        layout.bounds(window),
    ).fetchnumpy()
    rows = found["rows"]
    fewest_places = len(rows) + int(rows.sum()) // _ROW_GROUP_ROWS
    if int(found["places"].sum()) <= _SCATTERED * fewest_places:
        return []
    users = found["user_no"]
    firsts = changes((np.cumsum(rows) - 1) // _PIECE_ROWS)
    return [
        _Piece(window, int(users[first]), int(users[end - 1])) for first, end in pairwise([*firsts.tolist(), len(rows)])
    ]
