"""`sql`: people's own reading SQL."""

from __future__ import annotations

import csv
import json
import sys

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from pulsebase.cli.session import answer_of, session
from pulsebase.model.errors import RejectedError
from pulsebase.settings import Settings

console = Console()


def run_sql(settings: Settings, statement: str, form: str) -> None:
    """Ask and show the rows.

    Raises:
        RejectedError: the form is unknown.
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
        for row in table.to_pylist():
            sys.stdout.write(json.dumps(row, default=str) + "\n")
    else:
        writer = csv.writer(sys.stdout)
        writer.writerow(table.column_names)
        writer.writerows(row.values() for row in table.to_pylist())


def _show(table: pa.Table) -> None:
    shown = Table(*table.column_names)
    for row in table.to_pylist():
        shown.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(shown)
    console.print(f"{table.num_rows:,} rows", highlight=False)
