"""The columns of an answer: what each comes from, and what it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pulsebase.influxql.functions import column_name
from pulsebase.influxql.patterns import matches
from pulsebase.influxql.syntax import Call, Expression, Reference, SelectedField, Wildcard


@dataclass(frozen=True, slots=True)
class SelectedColumn:
    """A column's name, and the expression that it shows."""

    name: str
    expression: Expression


def columns_of(selected: Sequence[SelectedField], fields: Sequence[str], tags: Sequence[str]) -> list[SelectedColumn]:
    """Return the columns of what is selected from these fields and tags; wildcards stand for all of them. Columns that
    would have the same name are numbered.
    """
    found = [named for each in selected for named in _expanded(each, fields, tags)]
    taken = {alias for alias, _, _ in found if alias is not None}
    used: Counter[str] = Counter()
    columns = []
    for alias, plain, expression in found:
        name, number = plain, used[plain]
        if alias is None:
            while number and (name := f"{plain}_{number}") in taken:
                number += 1
            used[plain] = number + 1
            taken.add(name)
        columns.append(SelectedColumn(alias or name, expression))
    return columns


def _expanded(
    selected: SelectedField, fields: Sequence[str], tags: Sequence[str]
) -> Iterator[tuple[str | None, str, Expression]]:
    """Yield alias, plain name and expression of what one selected field stands for."""
    expression = selected.expression
    if isinstance(expression, Reference) and expression.name.lower() == "time":
        return
    if isinstance(expression, Wildcard):
        names = [*(fields if expression.kind != "tag" else ()), *(tags if expression.kind != "field" else ())]
        for name in sorted(_matching(expression, names)):
            yield None, name, Reference(name)
        return
    wild = _wildcard_in(expression)
    if wild is None:
        yield selected.alias, column_name(expression), expression
        return
    prefix = selected.alias or column_name(expression)
    for name in _matching(wild, fields):
        yield None, f"{prefix}_{name}", _with_name(expression, name)


def _matching(wildcard: Wildcard, names: Sequence[str]) -> list[str]:
    if wildcard.pattern is None or not names:
        return list(names)
    return [name for name, fits in zip(names, matches(wildcard.pattern, names), strict=True) if fits]


def _wildcard_in(expression: Expression) -> Wildcard | None:
    while isinstance(expression, Call):
        expression = expression.arguments[0]
    return expression if isinstance(expression, Wildcard) else None


def _with_name(expression: Expression, name: str) -> Expression:
    if isinstance(expression, Call):
        return Call(expression.name, (_with_name(expression.arguments[0], name), *expression.arguments[1:]))
    return Reference(name)
