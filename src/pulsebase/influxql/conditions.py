"""Conditions of `WHERE`: what tags decide of a series, and what is left to ask of its rows; and arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pulsebase.influxql.lexer import QuerySyntaxError
from pulsebase.influxql.patterns import matches, names_in
from pulsebase.influxql.syntax import (
    ARITHMETIC,
    COMPARISONS,
    Binary,
    Call,
    Constant,
    Expression,
    Junction,
    Now,
    Pattern,
    Reference,
    Span,
    Wildcard,
    parts_of,
)
from pulsebase.influxql.values import F64, Mask, ReadingRows, Values

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_COMPARE: Mapping[str, Callable[[F64, F64], Mask]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Tag(Protocol):
    """What a series has as a tag."""

    def equals(self, text: str) -> bool:
        """Whether the tag is this text."""

    def texts(self) -> Sequence[str]:
        """Return what patterns are looked for in."""


@dataclass(frozen=True, slots=True)
class TextTag:
    """A tag that is a text."""

    text: str

    def equals(self, text: str) -> bool:
        """See `Tag.equals`."""
        return self.text == text

    def texts(self) -> Sequence[str]:
        """See `Tag.texts`."""
        return (self.text,)


class _Unknown:
    """What is not known yet of a series."""

    def equals(self, text: str) -> bool:
        """Never called: what is compared with it is left as it is."""
        raise NotImplementedError(text)

    def texts(self) -> Sequence[str]:
        """Never called, either."""
        raise NotImplementedError


#: A tag that is not known yet. What a condition says of it is left.
UNKNOWN: Tag = _Unknown()


def check_condition(condition: Expression | None) -> None:
    """Raise `QuerySyntaxError` if a condition holds what is not answered in conditions."""
    if condition is None:
        return
    for part in parts_of(condition):
        if isinstance(part, Call):
            raise QuerySyntaxError(f"invalid function call in condition: {part.name[:40]}()")
        if isinstance(part, Wildcard):
            raise QuerySyntaxError("a wildcard cannot stand in a condition")
        if isinstance(part, Binary) and part.operator in ("=~", "!~") and not isinstance(part.left, Reference):
            raise QuerySyntaxError("a regular expression is compared with something that is no tag")
    for part in _alternatives(condition):
        if not (isinstance(part, Binary) and part.operator in COMPARISONS) and not _is_truth(part):
            raise QuerySyntaxError("a condition has to compare")


def _is_truth(expression: Expression) -> bool:
    return isinstance(expression, Constant) and isinstance(expression.value, bool)


def _alternatives(condition: Expression) -> list[Expression]:
    """Return the parts of a condition that AND and OR join, however deep."""
    if not isinstance(condition, Junction):
        return [condition]
    return [each for part in condition.parts for each in _alternatives(part)]


def compared_with_text(part: Expression) -> tuple[Reference, str, str | Pattern] | None:
    """Return a comparison of a name with a text or a pattern, the name first; None if it is none."""
    if not isinstance(part, Binary) or part.operator not in COMPARISONS:
        return None
    sides = [(part.left, part.operator, part.right)]
    if part.operator in _MIRRORED:
        sides.append((part.right, _MIRRORED[part.operator], part.left))
    for name, sign, other in sides:
        if isinstance(name, Reference):
            if isinstance(other, Pattern):
                return name, sign, other
            if isinstance(other, Constant) and isinstance(other.value, str):
                return name, sign, other.value
    return None


def named_texts(condition: Expression | None, tag: str) -> frozenset[str] | None:
    """Return the only texts with which a tag can fulfil a condition; None if any text might."""
    if condition is None:
        return None
    if isinstance(condition, Junction):
        found = [named_texts(part, tag) for part in condition.parts]
        known = [each for each in found if each is not None]
        if condition.word == "or":
            return frozenset().union(*known) if len(known) == len(found) else None
        return frozenset.intersection(*known) if known else None
    compared = compared_with_text(condition)
    if compared is None or compared[0].name != tag or compared[0].kind == "field":
        return None
    _, sign, other = compared
    if isinstance(other, Pattern):
        return names_in(other.text) if sign == "=~" else None
    return frozenset((other,)) if sign == "=" else None


def decided(condition: Expression | None, tag_of: Callable[[Reference], Tag | None]) -> Expression | bool:
    """Return whether a series fulfils a condition: yes, no, or what its rows have to fulfil.

    `tag_of` returns what the series has as this tag, and None for a field.
    """
    if condition is None:
        return True
    if isinstance(condition, Junction):
        return _joined(condition, [decided(part, tag_of) for part in condition.parts])
    if isinstance(condition, Constant):
        return bool(condition.value)
    compared = compared_with_text(condition)
    if compared is None:
        return _without_rows(condition, tag_of)
    name, sign, other = compared
    tag = tag_of(name)
    if tag is UNKNOWN:
        return condition
    return tag is not None and _fits(tag, sign, other)  # a field is a number, and no text is like one


def _joined(condition: Junction, found: Sequence[Expression | bool]) -> Expression | bool:
    """Return what is left of conditions that are joined."""
    stops = condition.word == "or"
    if any(each is stops for each in found):
        return stops
    left = tuple(each for each in found if not isinstance(each, bool))
    if len(left) > 1:
        return Junction(condition.word, left)
    return left[0] if left else not stops


def _fits(tag: Tag, sign: str, other: str | Pattern) -> bool:
    if isinstance(other, Pattern):
        return any(matches(other.text, list(tag.texts()))) is (sign == "=~")
    return sign in ("=", "!=") and tag.equals(other) is (sign == "=")


def _without_rows(condition: Expression, tag_of: Callable[[Reference], Tag | None]) -> Expression | bool:
    """Return what is left of a comparison that is with no text: nothing if it is of a tag, which is no number."""
    names = [part for part in parts_of(condition) if isinstance(part, Reference)]
    if any(tag_of(name) is not None for name in names):
        return False
    if names:
        return condition
    return bool(fulfilled(condition, ReadingRows(np.zeros(1, np.int64), {}))[0])


def fulfilled(condition: Expression, rows: ReadingRows) -> Mask:
    """Return which rows fulfil what `decided` left of a condition."""
    if isinstance(condition, Junction):
        join = np.logical_or if condition.word == "or" else np.logical_and
        together = fulfilled(condition.parts[0], rows)
        for part in condition.parts[1:]:
            join(together, fulfilled(part, rows), out=together)
        return together
    if isinstance(condition, Constant):
        return np.full(len(rows), bool(condition.value))
    if not isinstance(condition, Binary) or condition.operator not in _COMPARE:
        return np.zeros(len(rows), np.bool_)
    left, right = numbers_of(condition.left, rows), numbers_of(condition.right, rows)
    return _COMPARE[condition.operator](left.numbers, right.numbers) & left.there & right.there


def numbers_of(expression: Expression, rows: ReadingRows) -> Values:
    """Return what an expression of fields and numbers comes to in each row."""
    count = len(rows)
    if isinstance(expression, Reference):
        return rows.fields.get(expression.name) or Values.missing(count)
    if isinstance(expression, Constant) and not isinstance(expression.value, str):
        return Values(np.broadcast_to(float(expression.value), count), np.broadcast_to(True, count))
    if isinstance(expression, Binary) and expression.operator in ARITHMETIC:
        return combined(expression.operator, numbers_of(expression.left, rows), numbers_of(expression.right, rows))
    if isinstance(expression, (Span, Now, Constant)):
        return Values.missing(count)
    raise QuerySyntaxError("an expression holds what cannot be worked out of rows")


def combined(sign: str, left: Values, right: Values) -> Values:
    """Return what an operator makes of two columns. A division by zero is 0, as in InfluxDB."""
    there = left.there & right.there
    if sign in ("/", "%"):
        divisors = np.where(right.numbers == 0, 1, right.numbers)
        quotients = left.numbers / divisors if sign == "/" else np.fmod(left.numbers, divisors)
        return Values(np.where(right.numbers == 0, 0.0, quotients), there)
    work: Callable[[F64, F64], F64] = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign]
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = work(left.numbers, right.numbers)
    return Values(numbers, there & np.isfinite(numbers))
