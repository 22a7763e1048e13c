"""What a statement may not ask for, found before anything of it runs."""

from __future__ import annotations

from collections.abc import Sequence

from pulsebase.influxql.conditions import check_condition
from pulsebase.influxql.functions import AGGREGATES, SELECTORS, TRANSFORMS, check_call
from pulsebase.influxql.lexer import QuerySyntaxError
from pulsebase.influxql.syntax import (
    Binary,
    Call,
    Constant,
    Expression,
    Now,
    Reference,
    Select,
    Show,
    Span,
    Statement,
    Wildcard,
    parts_of,
)

_SHORTEST_NS = 1_000


def check_statement(statement: Statement) -> None:
    """Raise `QuerySyntaxError`, which names what is not answered, if a statement asks for any such thing."""
    if isinstance(statement, Select):
        _check_select(statement)
    elif isinstance(statement, Show):
        check_condition(statement.condition)


def aggregates_in(select: Select) -> list[Call]:
    """Return the calls of a statement that make groups of rows, those within other calls too."""
    return [
        part
        for each in select.fields
        for part in parts_of(each.expression)
        if isinstance(part, Call) and part.name in AGGREGATES
    ]


def transforms_in(select: Select) -> list[Call]:
    """Return the calls of a statement that make one series of another."""
    return [
        part
        for each in select.fields
        for part in parts_of(each.expression)
        if isinstance(part, Call) and part.name in TRANSFORMS
    ]


def single_selector(expressions: Sequence[Expression]) -> Call | None:
    """Return the selector that is the only call in what is selected: its rows are answered with their own times."""
    calls = [part for each in expressions for part in parts_of(each) if isinstance(part, Call)]
    return calls[0] if len(calls) == 1 and calls[0].name in SELECTORS else None


def _check_select(select: Select) -> None:
    for source in select.sources:
        if isinstance(source, Select):
            _check_select(source)
    check_condition(select.condition)
    if select.interval_ns is not None:
        for length_ns in (select.interval_ns, select.interval_offset_ns):
            if length_ns % _SHORTEST_NS:
                raise QuerySyntaxError("GROUP BY time takes whole microseconds: readings have no finer times")
    for each in select.fields:
        _check_field(each.expression, grouped_by_time=select.interval_ns is not None)
    _check_mixture(select)


def _check_field(expression: Expression, *, grouped_by_time: bool) -> None:
    if isinstance(expression, Call):
        check_call(expression, grouped_by_time=grouped_by_time)
        return
    if isinstance(expression, Binary):
        for side in (expression.left, expression.right):
            if isinstance(side, Wildcard):
                raise QuerySyntaxError("a wildcard cannot stand in arithmetic")
            if isinstance(side, Call) and _takes_all(side):
                raise QuerySyntaxError("a wildcard cannot stand in arithmetic")
            if not (isinstance(side, Constant) and _is_number(side)):
                _check_field(side, grouped_by_time=grouped_by_time)
        return
    if isinstance(expression, (Reference, Wildcard)):
        return
    if isinstance(expression, (Now, Span)):
        raise QuerySyntaxError("a time or a duration cannot be selected")
    raise QuerySyntaxError("what is selected has to name a field")


def _takes_all(call: Call) -> bool:
    return any(isinstance(part, Wildcard) for part in parts_of(call))


def _is_number(constant: Constant) -> bool:
    return isinstance(constant.value, (int, float)) and not isinstance(constant.value, bool)


def _check_mixture(select: Select) -> None:
    calls, transforms = aggregates_in(select), transforms_in(select)
    plain = [each for each in select.fields if not _has_call(each.expression)]
    bare = [each for each in select.fields if _has_bare_name(each.expression)]
    if all(isinstance(each.expression, Reference) and each.expression.name.lower() == "time" for each in select.fields):
        raise QuerySyntaxError("at least 1 non-time field must be queried")
    of_rows = [call for call in transforms if not isinstance(call.arguments[0], Call)]
    if not calls and not transforms:
        if select.interval_ns is not None:
            raise QuerySyntaxError("GROUP BY requires at least one aggregate function")
        return
    if transforms and select.descending:
        raise QuerySyntaxError(f"{transforms[0].name}() with ORDER BY time DESC is not answered here")
    if of_rows and (calls or select.interval_ns is not None):
        raise QuerySyntaxError("a function of rows beside one of groups is not answered here")
    selector = single_selector([each.expression for each in select.fields])
    if bare and not (selector and not _takes_all(selector) and len(plain) == len(bare)):
        raise QuerySyntaxError("mixing aggregate and non-aggregate queries is not supported")
    if any(call.name == "distinct" for call in calls) and not _counts_distinct(select) and len(select.fields) > 1:
        raise QuerySyntaxError("aggregate function distinct() cannot be combined with other functions or fields")
    for each in select.fields:
        for part in parts_of(each.expression):
            if isinstance(part, Binary) and any(_is_distinct(side) for side in (part.left, part.right)):
                raise QuerySyntaxError("distinct() in arithmetic is not answered here")


def _is_distinct(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.name == "distinct"


def _counts_distinct(select: Select) -> bool:
    """Whether `distinct` stands in `count` alone."""
    return not any(_is_distinct(each.expression) for each in select.fields)


def _has_call(expression: Expression) -> bool:
    return any(isinstance(part, Call) for part in parts_of(expression))


def _has_bare_name(expression: Expression) -> bool:
    """Whether an expression names a field outside of every call."""
    if isinstance(expression, (Reference, Wildcard)):
        return not (isinstance(expression, Reference) and expression.name.lower() == "time")
    if isinstance(expression, Binary):
        return _has_bare_name(expression.left) or _has_bare_name(expression.right)
    return False
