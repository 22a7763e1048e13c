"""What questions are answered with: an Arrow table, and what the server said about it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pulsebase.model.errors import StopError

if TYPE_CHECKING:
    import pandas
    import polars

TIME = pa.timestamp("us", "UTC")
#: How many rows of an answer a notebook shows.
_SHOWN_ROWS = 10


class Answer:
    """A table, as Arrow. `to_polars()` and `to_pandas()` give frames; whatever reads Arrow takes the answer as it is:
    `pyarrow.table(answer)`, `polars.DataFrame(answer)`, `duckdb.from_arrow(answer.to_arrow())`.

    Attributes:
        about: what the server says about the table. Of a series: `metric`, `unit`, `interval` (the resolution that was
            chosen), `table`, `tz`, and `start` and `end`, widened to whole buckets.
    """

    def __init__(self, table: pa.Table, about: Mapping[str, Any]) -> None:
        self._table = table
        self.about = dict(about)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        names: list[str] = self._table.column_names
        return names

    def to_arrow(self) -> pa.Table:
        """Return the table as a `pyarrow.Table`. Times are UTC, in microseconds."""
        return self._table

    def to_polars(self) -> polars.DataFrame:
        """Return a Polars frame.

        Raises:
            StopError: Polars is not installed.
        """
        try:
            import polars
        except ImportError:
            raise StopError("Polars is not installed: `pip install polars`, or take to_arrow()") from None
        return polars.DataFrame(polars.from_arrow(self._table))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a pandas frame.

        Raises:
            StopError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401 Arrow imports it too, but says less if it is not there
        except ImportError:
            raise StopError("pandas is not installed: `pip install pandas`, or take to_arrow()") from None
        frame: pandas.DataFrame = self._table.to_pandas()
        return frame

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a dict for each row."""
        rows: list[dict[str, Any]] = self._table.to_pylist()
        return rows

    def __getitem__(self, column: str) -> list[Any]:
        """Return the values of a column."""
        values: list[Any] = self._table[column].to_pylist()
        return values

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and self._table.equals(other._table) and self.about == other.about

    __hash__ = None  # type: ignore[assignment] # like other tables

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        said = "".join(f", {name}={self.about[name]}" for name in ("metric", "interval") if name in self.about)
        return f"<Answer: {len(self):,} rows of {', '.join(self.columns)}{said}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows, and what is known about them."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        rows = [
            "".join(f"<td>{html.escape(_shown(value))}</td>" for value in row.values())
            for row in self._table.slice(0, _SHOWN_ROWS).to_pylist()
        ]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        said = " · ".join(f"{name} {value}" for name, value in self.about.items() if isinstance(value, str))
        counted = f"{len(self):,} rows" + (f" · {said}" if said else "")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(counted)}</p>"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of readings that were sent.

    Attributes:
        accepted: how many are stored, durable and visible.
        rejected: how many were refused.
        errors: the first refusals: `index` counts rows of the frame from 0, `field` and `reason` say why.
    """

    accepted: int
    rejected: int
    errors: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought.

    Attributes:
        import_id: its number, by which it can be undone.
        read, written, unchanged, repeated, rejected: how many records were read, and what became of them.
        refused: how many were refused, by reason.
        remark: what else the server says of the file; None for nothing.
    """

    import_id: int
    read: int
    written: int
    unchanged: int
    repeated: int
    rejected: int
    refused: Mapping[str, int]
    remark: str | None


def columns_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows of JSON as a table of this schema; times and dates are texts there."""
    arrays = [column([row[field.name] for row in rows], field.type) for field in schema]
    return pa.table(arrays, schema=schema)


def column(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Return values of JSON as an array; times and dates are texts there."""
    if kind == TIME:
        values = [None if value is None else datetime.fromisoformat(value) for value in values]
    elif kind == pa.date32():
        values = [None if value is None else date.fromisoformat(value) for value in values]
    return pa.array(list(values), kind)


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
