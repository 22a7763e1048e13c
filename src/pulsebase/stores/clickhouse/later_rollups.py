"""Days, and hours in the order of time, of a shard that was set up before there were any."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from pulsebase.model.errors import QueryTimeoutError
from pulsebase.stores.clickhouse import rollups
from pulsebase.stores.clickhouse.engine import Server
from pulsebase.stores.clickhouse.wipe import wipe_out

#: About how many hours one statement takes.
_HOURS = 1_000_000
_LIMIT_S = 60.0
_DAYS, _UNFILLED, _BY_TIME = "days", "days_unfilled", "hours_by_time"
_IS_THERE = "SELECT count() AS n FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
#: A year's hours, and whose they are.
_YEARS = """
SELECT intDiv(hour, 8760) AS year, toUInt64(count()) AS n, min(person) AS first, max(person) AS last
FROM hours GROUP BY year ORDER BY year
"""


@dataclass(frozen=True, slots=True)
class _Piece:
    """The hours of a year of the people from `first` on before `end`. Years of 365 days end with a day."""

    year: int
    first: int
    end: int

    def which(self) -> str:
        """Write the condition that an hour is in it."""
        return f"intDiv(hour, 8760) = {self.year} AND person >= {self.first} AND person < {self.end}"


def make_days(server: Server, tables: Sequence[str], unknown: Callable[[Collection[int]], list[int]]) -> None:
    """Make the table of days on a shard by these statements, with the days of all hours that are there.

    `unknown` returns those people, by number, whom the store does not know any more. An erasure that began before there
    were these tables has not wiped them, and may have ended after their hours were copied.

    Whatever was done before this was interrupted is done again. Merges of this version begin once it is there; those of
    earlier ones do not end any more.
    """
    if server.ask(_IS_THERE, _LIMIT_S, {"name": _DAYS})["n"][0].as_py():
        return
    server.command(f"DROP TABLE IF EXISTS {_UNFILLED} SYNC", _LIMIT_S)
    for statement in tables:
        server.command(statement, _LIMIT_S)
    for piece in _pieces(server):
        _fill(server, piece)
    for table in (_UNFILLED, _BY_TIME):
        people = server.ask(f"SELECT DISTINCT person FROM {table}", _LIMIT_S)["person"].to_pylist()
        if removed := unknown(people):
            wipe_out(server, table, removed, _LIMIT_S)
    server.command(f"RENAME TABLE {_UNFILLED} TO {_DAYS}", _LIMIT_S)


def _pieces(server: Server) -> Iterator[_Piece]:
    """Yield pieces that are all hours together."""
    for row in server.ask(_YEARS, _LIMIT_S).to_pylist():
        people = row["last"] - row["first"] + 1
        step = max(1, people * _HOURS // row["n"])
        for first in range(row["first"], row["last"] + 1, step):
            yield _Piece(row["year"], first, min(first + step, row["last"] + 1))


def _fill(server: Server, piece: _Piece) -> None:
    """Fill both tables from a piece, or from its halves where it takes too long."""
    try:
        for statement in (rollups.HOURS_BY_TIME, rollups.days_of_hours(_UNFILLED)):
            server.command(statement.format(which=piece.which()), _LIMIT_S)
    except QueryTimeoutError:
        if piece.end - piece.first == 1:
            raise
        middle = (piece.first + piece.end) // 2
        for half in (replace(piece, end=middle), replace(piece, first=middle)):
            _fill(server, half)
