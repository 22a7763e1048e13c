"""`sql`: run the user's own read-only SQL."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from rich.table import Column, Table
from rich.text import Text

from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.model.errors import RejectedError
from pulsebase.settings import Settings


def run_sql(settings: Settings, statement: str, form: str) -> None:
    """Run a statement and show the rows.

    Raises:
        RejectedError: the format is unknown.
        RefusedError: the server refused the statement.
    """
    if form not in ("table", "csv", "json"):
        raise RejectedError.of("--format", "must be table, csv or json")
    with session(settings) as client:
        response = client.post("/v1/admin/sql", json={"statement": statement})
    if not response.is_success:
        answer_of(response)
    table = pa.ipc.open_stream(response.content).read_all()
    if form == "table":
        _show(table)
    elif form == "json":
        for row in _rows(table):
            sys.stdout.write(json.dumps(dict(zip(table.column_names, row, strict=True)), default=str) + "\n")
    else:
        writer = csv.writer(sys.stdout)
        writer.writerow(table.column_names)
        writer.writerows(_rows(table))


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*map(_values, table.columns), strict=True)


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):  # times that Python cannot hold
        values = column.cast(pa.string()).to_pylist()
    return values


def _show(table: pa.Table) -> None:
    shown = Table(*(Column(Text(name)) for name in table.column_names))
    for row in _rows(table):
        shown.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(shown)
    console.print(f"{table.num_rows:,} rows", highlight=False)
