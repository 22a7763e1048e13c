"""What the columns of one answered series come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pulsebase.influxql.columns import SelectedColumn
from pulsebase.influxql.conditions import combined, numbers_of
from pulsebase.influxql.functions import (
    ROLLED_UP,
    TRANSFORMS,
    Grouped,
    aggregated,
    distinct_values,
    number_of,
    transformed,
)
from pulsebase.influxql.groups import Group
from pulsebase.influxql.readings import GroupTotals
from pulsebase.influxql.syntax import Binary, Call, Constant, Expression, Fill, Reference, references_in
from pulsebase.influxql.times import Windows
from pulsebase.influxql.values import I64, Mask, Points, ReadingRows, Texts, Values

Shown = Values | Texts


class GroupedColumns:
    """Columns whose rows stand for groups of times."""

    def __init__(self, group: Group, windows: Windows, interval_ns: int | None, fill: Fill) -> None:
        self._group, self._windows, self._interval_ns, self._fill = group, windows, interval_ns, fill
        self._totals: dict[str, tuple[GroupTotals, int] | None] = {}
        self._rows: dict[str, ReadingRows] = {}
        #: Whether there is anything to work the columns out of, whatever stands for groups that have nothing.
        self.any_there = False

    def points(self, expression: Expression) -> Points:
        """Return what an expression of calls comes to."""
        if isinstance(expression, Call):
            if expression.name in TRANSFORMS:
                return transformed(expression, self.points(expression.arguments[0]), self._interval_ns)
            return self._filled(expression, self._aggregated(expression))
        if isinstance(expression, Binary):
            return _arithmetic(expression, self.points)
        raise TypeError("the statement was not checked")

    def picked(self, call: Call, tags: Sequence[str], names: Sequence[str]) -> ReadingRows:
        """Return the rows that a selector picks, with other fields and tags; with the times of the groups, if there are
        groups of times.
        """
        name = _field_of(call)
        interval = self._windows.range
        if self._interval_ns is None:
            narrowed = self._group.narrowed(name, call.name, interval)
            if narrowed is None:
                return ReadingRows(np.empty(0, np.int64), {})
            interval = narrowed
        rows = self._group.rows([name, *names], tags, interval)
        rows = rows.take(rows.fields[name].there) if name in rows.fields else rows.take(np.zeros(len(rows), np.bool_))
        if len(rows) == 0:
            return rows
        found = aggregated(call.name, self._grouped(rows, name), _parameter_of(call))
        there = found.values.there
        chosen = rows.take((found.rows if found.rows is not None else np.empty(0, np.int64))[there])
        self.any_there |= bool(there.any())
        if self._interval_ns is None:
            return chosen
        return ReadingRows(self._windows.labels[there], chosen.fields, chosen.tags)

    def distinct(self, call: Call) -> Points:
        """Return the different values of each group, ascending."""
        places, values = distinct_values(self._grouped_field(_field_of(call)))
        self.any_there |= bool(len(values))
        return Points(self._windows.labels[places], Values.of(values))

    def _aggregated(self, call: Call) -> Values:
        inner = call.arguments[0]
        if isinstance(inner, Call):  # count(distinct(…))
            places, _ = distinct_values(self._grouped_field(_field_of(inner)))
            counts = np.bincount(places, minlength=len(self._windows)).astype(np.float64)
            return Values(counts, counts > 0, whole=True)
        name = _field_of(call)
        if call.name in ROLLED_UP:
            if name not in self._totals:
                self._totals[name] = self._group.totals(name, self._windows)
            if (totals := self._totals[name]) is not None:
                return totals[0].values(call.name, totals[1])
        elif self._interval_ns is None and call.name in ("first", "last"):
            rows = self.picked(call, (), ())
            return rows.fields[name] if len(rows) else Values.missing(1)
        grouped = self._grouped_field(name)
        if call.name == "stddev":  # of a single value there is none, and that is an answer
            self.any_there |= bool(len(grouped.values))
        return aggregated(call.name, grouped, _parameter_of(call)).values

    def _grouped_field(self, name: str) -> Grouped:
        if name not in self._rows:
            rows = self._group.rows([name], (), self._windows.range)
            self._rows[name] = rows
        return self._grouped(self._rows[name], name)

    def _grouped(self, rows: ReadingRows, name: str) -> Grouped:
        values = rows.fields.get(name) or Values.missing(len(rows))
        places = np.maximum(self._windows.places_of(rows.times_us), 0)
        return Grouped(values.numbers[values.there], places[values.there], len(self._windows))

    def _filled(self, call: Call, values: Values) -> Points:
        self.any_there |= bool(values.there.any())
        if self._interval_ns is not None:
            values = _filled(values, self._fill, is_count=call.name == "count")
        return Points(self._windows.labels, values)


class RowColumns:
    """Columns of rows as they are."""

    def __init__(self, rows: ReadingRows, tags: Sequence[str]) -> None:
        self._rows, self._tags = rows, frozenset(tags)

    def shown(self, expression: Expression) -> Shown:
        """Return a field, a tag, or what is worked out of fields, in each row."""
        if isinstance(expression, Reference) and _is_tag(expression, self._rows, self._tags):
            return self._rows.tags[expression.name]
        return numbers_of(expression, self._rows)

    def points(self, expression: Expression) -> Points:
        """Return what a transform makes of the rows, or arithmetic of transforms."""
        if isinstance(expression, Call):
            inner = Points(self._rows.times_us, numbers_of(expression.arguments[0], self._rows))
            return transformed(expression, inner, None)
        if isinstance(expression, Binary):
            return _arithmetic(expression, self.points)
        raise TypeError("the statement was not checked")


def _is_tag(reference: Reference, rows: ReadingRows, tags: frozenset[str]) -> bool:
    if reference.kind == "tag" or reference.name not in rows.fields:
        return reference.name in tags and reference.name in rows.tags
    return False


def aligned(many: Sequence[Points]) -> tuple[I64, list[Values]]:
    """Return the columns over all times that any of them has."""
    if all(each.times_us is many[0].times_us for each in many):
        return many[0].times_us, [each.values for each in many]
    times_us = np.unique(np.concatenate([each.times_us for each in many]))
    return times_us, [_spread_over(times_us, each) for each in many]


def _spread_over(times_us: I64, points: Points) -> Values:
    spread = Values.missing(len(times_us))
    places = np.searchsorted(times_us, points.times_us)
    spread.numbers[places] = points.values.numbers
    spread.there[places] = points.values.there
    return Values(spread.numbers, spread.there, points.values.whole)


def _arithmetic(expression: Binary, points: object) -> Points:
    sides: list[Points | float] = []
    for side in (expression.left, expression.right):
        if isinstance(side, Constant):
            sides.append(float(side.value))
        else:
            sides.append(points(side))  # type: ignore[operator]
    found = [side for side in sides if isinstance(side, Points)]
    times_us, columns = aligned(found)
    values = [columns.pop(0) if isinstance(side, Points) else _same(side, len(times_us)) for side in sides]
    return Points(times_us, combined(expression.operator, values[0], values[1]))


def _same(number: float, count: int) -> Values:
    return Values.of(np.full(count, number))


def _filled(values: Values, fill: Fill, *, is_count: bool) -> Values:
    """Return what stands for groups without values."""
    there = values.there
    if there.all() or fill.kind == "none":
        return values
    if fill.kind == "number" or (fill.kind == "null" and is_count):
        number = fill.number if fill.kind == "number" else 0.0
        whole = values.whole and float(number).is_integer()
        return Values(np.where(there, values.numbers, number), np.ones(len(there), np.bool_), whole)
    if fill.kind == "previous":
        last = np.maximum.accumulate(np.where(there, np.arange(len(there)), -1))
        return replace(values, numbers=values.numbers[np.maximum(last, 0)], there=last >= 0)
    if fill.kind == "linear" and there.any():
        places = np.arange(len(there))
        known = places[there]
        numbers = np.interp(places, known, values.numbers[there])
        if values.whole:
            numbers = np.trunc(numbers)
        return replace(values, numbers=numbers, there=(places >= known[0]) & (places <= known[-1]))
    return values


def _field_of(call: Call) -> str:
    inner = call.arguments[0]
    if not isinstance(inner, Reference):
        raise TypeError("the statement was not checked")
    return inner.name


def _parameter_of(call: Call) -> float:
    return number_of(call) if len(call.arguments) > 1 else 0.0


def fields_in(columns: Sequence[SelectedColumn]) -> list[str]:
    """Return the fields and tags that columns name, each once."""
    return list(dict.fromkeys(each.name for column in columns for each in references_in(column.expression)))


def any_of(columns: Sequence[Shown]) -> Mask:
    """Return which rows have a value in any column of numbers."""
    there = [column.there for column in columns if isinstance(column, Values)]
    found: Mask = np.logical_or.reduce(there)
    return found
