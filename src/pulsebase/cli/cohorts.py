"""`cohort` and `top-hours`: questions about groups of people, and about a person's highest hours."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from rich.table import Table

from pulsebase.cli.options import is_json
from pulsebase.cli.output import console, write_json
from pulsebase.cli.session import answer_of, session
from pulsebase.model.errors import RejectedError
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.metrics import MetricSpec
from pulsebase.settings import Settings


def run_cohort(settings: Settings, metric: MetricSpec, parameters: dict[str, Any], form: str) -> None:
    """Ask for a cohort by a metric and show its first page.

    Raises:
        RejectedError: the format is unknown.
        RefusedError: the server refused the question.
    """
    path = f"/v1/cohorts/{metric.path}"
    answer = _answer(settings, path, parameters | {"include": "averages"}, form)
    if is_json(form):
        write_json(answer)
        return
    shown = [member | {"coverage": f"{member['coverage']:.2%}"} for member in answer["data"]]
    _show(shown, ("user_id", "avg", "count", "minutes", "coverage"))
    people = f"{answer['count']:,} people"
    console.print(people if len(answer["data"]) == answer["count"] else f"{people}, the first {len(answer['data']):,}")


def run_top_hours(settings: Settings, user_id: str, metric: MetricSpec, parameters: dict[str, Any], form: str) -> None:
    """Ask for a person's highest hours in a metric and show them.

    Raises:
        RejectedError: the form or the metric is unknown, or the id is not valid.
        RefusedError: the server refused the question.
    """
    problem = identifier_problem(user_id)
    if problem is not None:
        raise RejectedError.of("user_id", problem)
    path = f"/v1/users/{quote(user_id, safe='')}/{metric.path}/top-hours"
    answer = _answer(settings, path, parameters | {"include": "hours"}, form)
    if is_json(form):
        write_json(answer)
    else:
        _show(answer["data"], ("hour", "avg", "count"))


def _answer(settings: Settings, path: str, parameters: dict[str, Any], form: str) -> Any:
    is_json(form)  # checked before the store is opened
    with session(settings) as client:
        return answer_of(client.get(path, params={name: each for name, each in parameters.items() if each is not None}))


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[name]) for name in columns))
    console.print(table)
