"""Conditions and arithmetic, by recursive descent."""

from __future__ import annotations

from typing import Literal

from pulsebase.influxql.lexer import Lexer
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
)
from pulsebase.influxql.words import Parameters, Words

#: How deep parentheses, operators and calls may stand in each other.
_DEEPEST = 50
#: How many comparisons a request may have in all, as each may be made for every row.
_MOST_COMPARISONS = 500
#: How many fields may be selected, measurements named and tags grouped by.
MOST_FIELDS = 100


class Expressions(Words):
    """What stands after SELECT and WHERE."""

    def __init__(self, lexer: Lexer, parameters: Parameters) -> None:
        super().__init__(lexer, parameters)
        self._depth = self._comparisons = 0

    def _nested(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._refused(self._next, f"more than {_DEEPEST} levels of parentheses and operators")

    def _condition(self) -> Expression:
        self._nested()
        parts = [self._all_of()]
        while self._took("OR"):
            parts.append(self._all_of())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Junction("or", tuple(parts))

    def _all_of(self) -> Expression:
        parts = [self._comparison()]
        while self._took("AND"):
            parts.append(self._comparison())
        return parts[0] if len(parts) == 1 else Junction("and", tuple(parts))

    def _comparison(self) -> Expression:
        self._comparisons += 1
        if self._comparisons > _MOST_COMPARISONS:
            raise self._refused(self._next, f"more than {_MOST_COMPARISONS} comparisons")
        if self._is_sign("("):  # of conditions, or of arithmetic
            self._nested()
            self._take()
            inner = self._condition()
            self._need_sign(")")
            self._depth -= 1
            left = inner if isinstance(inner, Junction) or _compares(inner) else self._rest_of_sum(inner)
        else:
            left = self._arithmetic()
        if not self._is_sign(*COMPARISONS):
            return left
        if isinstance(left, Junction) or _compares(left):
            raise self._unexpected("AND, OR")
        operator = self._take().text
        if operator in ("=~", "!~"):
            return Binary(operator, left, Pattern(self._needed_pattern()))
        return Binary(operator, left, self._arithmetic())

    def _arithmetic(self) -> Expression:
        return self._rest_of_sum(self._product())

    def _rest_of_sum(self, left: Expression) -> Expression:
        left = self._rest_of_product(left)
        levels = 0
        while self._is_sign("+", "-"):
            self._nested()
            levels += 1
            left = self._joined(self._take().text, left, self._product())
        self._depth -= levels
        return left

    def _product(self) -> Expression:
        return self._rest_of_product(self._operand())

    def _rest_of_product(self, left: Expression) -> Expression:
        levels = 0
        while self._is_sign("*", "/", "%"):
            self._nested()
            levels += 1
            left = self._joined(self._take().text, left, self._operand())
        self._depth -= levels
        return left

    @staticmethod
    def _joined(operator: str, left: Expression, right: Expression) -> Expression:
        if isinstance(left, Constant) and isinstance(right, Constant) and operator != "/":
            both = left.value, right.value
            if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in both):
                return Constant(_worked_out(operator, float(both[0]), float(both[1])))
        return Binary(operator, left, right)

    def _operand(self) -> Expression:
        token = self._next
        if token.kind == "sign":
            return self._bracketed() or self._wildcard() or self._signed()
        if token.kind in ("number", "text", "duration", "parameter"):
            return self._constant()
        if token.kind == "word" and token.text.lower() in ("true", "false"):
            return Constant(self._take().text.lower() == "true")
        name = self._name("identifier, string, number, bool")
        if token.kind == "word" and self._took_sign("("):
            return self._call(name.lower())
        return Reference(name, self._cast())

    def _constant(self) -> Constant | Span:
        token = self._take()
        if token.kind == "duration":
            return Span(int(token.value))
        if token.kind == "parameter":
            return Constant(self._parameter(token))
        return Constant(token.text if token.kind == "text" else token.value)

    def _bracketed(self) -> Expression | None:
        if not self._took_sign("("):
            return None
        self._nested()
        inner = self._arithmetic()
        self._need_sign(")")
        self._depth -= 1
        return inner

    def _wildcard(self) -> Wildcard | None:
        if self._took_sign("*"):
            return Wildcard(None, self._cast())
        pattern = self._pattern()
        return None if pattern is None else Wildcard(pattern.text, self._cast())

    def _signed(self) -> Expression:
        if not self._is_sign("-", "+"):
            raise self._unexpected("identifier, string, number, bool")
        sign = self._take().text
        self._nested()
        operand = self._operand()
        self._depth -= 1
        if sign == "+":
            return operand
        if isinstance(operand, Span):
            return Span(-operand.ns)
        if isinstance(operand, Constant) and isinstance(operand.value, (int, float)):
            return Constant(-operand.value)
        return Binary("*", Constant(-1), operand)

    def _call(self, name: str) -> Expression:
        self._nested()
        arguments: list[Expression] = []
        while not self._took_sign(")"):
            if arguments:
                self._need_sign(",")
            if len(arguments) == MOST_FIELDS:
                raise self._refused(self._next, f"{name[:20]}() has more than {MOST_FIELDS} arguments")
            arguments.append(self._arithmetic())
        self._depth -= 1
        if name == "now" and not arguments:
            return Now()
        return Call(name, tuple(arguments))

    def _cast(self) -> Literal["tag", "field"] | None:
        if not self._took_sign("::"):
            return None
        at = self._next
        kind = self._name("tag, field, float").lower()
        if kind == "tag":
            return "tag"
        if kind in ("field", "float"):
            return "field"
        raise self._refused(at, f"the cast ::{kind[:20]} is not answered here; there are ::tag, ::field and ::float")


def _compares(expression: Expression) -> bool:
    return isinstance(expression, Binary) and expression.operator not in ARITHMETIC


def _worked_out(operator: str, left: float, right: float) -> float:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    return left % right if right else 0.0
