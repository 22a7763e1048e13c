"""`query`: show one person's series as a table, CSV or JSON."""

from __future__ import annotations

import sys
from typing import Any

from rich.table import Table

from pulsebase.cli.options import metrics_of
from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import HEART_RATE_SUMMARY_TABLE
from pulsebase.query.plan import metrics_named
from pulsebase.settings import Settings

_FORMS = {"table": "application/json", "json": "application/json", "csv": "text/csv"}


def run_query(settings: Settings, parameters: dict[str, Any], form: str) -> None:
    """Ask and show. `parameters` are those of `GET /v1/timeseries`, None for those left out.

    Raises:
        RejectedError: the form or a metric is unknown.
        RefusedError: the server refused the question.
    """
    if form not in _FORMS:
        raise RejectedError.of("--format", "must be table, csv or json")
    asked = {name: value for name, value in parameters.items() if value is not None}
    names = asked.get("metric", [])
    if HEART_RATE_SUMMARY_TABLE in names:
        metrics_named(names, "--metric")  # since it goes with no other
    elif names:
        asked["metric"] = [metric.name for metric in metrics_of(names)]
    with session(settings) as client:
        response = client.get("/v1/timeseries", params=asked, headers={"Accept": _FORMS[form]})
    if not response.is_success or form == "table":
        _show(answer_of(response))
    else:
        sys.stdout.write(response.text if form == "csv" else response.text + "\n")


def _show(answer: dict[str, Any]) -> None:
    for series in answer.get("series", [answer]):
        _show_series(answer | series)


def _show_series(series: dict[str, Any]) -> None:
    columns = {name: values for name, values in series["columns"].items() if values is not None}
    title = f"{series['user_id']}, {series['interval']} of {series['table']}, {series['start']} to {series['end']}"
    console.print(title, markup=False, highlight=False, soft_wrap=True)
    table = Table(*columns)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table)
    console.print(f"{series['count']} rows", highlight=False)
