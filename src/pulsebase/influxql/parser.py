"""Reads statements of InfluxQL, by recursive descent. What is not taken is refused by name, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

from pulsebase.influxql.lexer import Lexer, QuerySyntaxError, Token
from pulsebase.influxql.syntax import (
    ARITHMETIC,
    COMPARISONS,
    Binary,
    Call,
    Constant,
    CreateDatabase,
    Expression,
    Fill,
    FromMeasurement,
    Junction,
    Now,
    Pattern,
    Reference,
    Select,
    SelectedField,
    Show,
    Span,
    Statement,
    Wildcard,
)
from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import zone_named

MOST_STATEMENTS = 100
#: How deep parentheses, operators and calls may stand in each other.
_DEEPEST = 50
#: How many comparisons a request may have in all, as each may be made for every row.
_MOST_COMPARISONS = 500
#: How many fields may be selected, measurements named and tags grouped by.
_MOST_FIELDS = 100

#: What a client may give for `$name` in a statement.
Parameters = Mapping[str, "str | float | bool"]

_REFUSED = (
    "ALTER",
    "DELETE",
    "DROP",
    "EXPLAIN",
    "GRANT",
    "KILL",
    "REVOKE",
    "SET",
)
_TAKEN = "SELECT, SHOW and CREATE DATABASE are answered"
_LISTS = "SHOW DATABASES, MEASUREMENTS, TAG KEYS, TAG VALUES, FIELD KEYS and RETENTION POLICIES are"
_KEYWORDS = frozenset(
    (
        *("AND", "AS", "ASC", "BY", "CREATE", "DESC", "FROM", "GROUP", "IN", "INTO", "KEY", "LIMIT", "OFFSET", "ON"),
        *("OR", "ORDER", "SELECT", "SHOW", "SLIMIT", "SOFFSET", "WHERE", "WITH"),
    )
)
_FILLS: Mapping[str, Literal["null", "none", "previous", "linear"]] = {
    "null": "null",
    "none": "none",
    "previous": "previous",
    "linear": "linear",
}


def parsed(text: str, parameters: Parameters | None = None) -> list[Statement]:
    """Return the statements of a text, which semicolons separate.

    Raises:
        QuerySyntaxError: there are none, too many, or some that cannot be read or are not answered.
    """
    return _Parser(Lexer(text), parameters or {}).statements()


class _Parser:
    def __init__(self, lexer: Lexer, parameters: Parameters) -> None:
        self._lexer, self._parameters = lexer, parameters
        self._depth = self._comparisons = 0
        self._next = lexer.token(0)

    # --- words ---

    def _take(self) -> Token:
        taken = self._next
        self._next = self._lexer.token(taken.end)
        return taken

    def _is(self, *keywords: str) -> bool:
        return self._next.kind == "word" and self._next.text.upper() in keywords

    def _is_sign(self, *signs: str) -> bool:
        return self._next.kind == "sign" and self._next.text in signs

    def _took(self, *keywords: str) -> bool:
        """Take the next word if it is one of these."""
        if not self._is(*keywords):
            return False
        self._take()
        return True

    def _took_sign(self, sign: str) -> bool:
        if not self._is_sign(sign):
            return False
        self._take()
        return True

    def _need(self, *keywords: str) -> str:
        if not self._is(*keywords):
            raise self._unexpected(", ".join(keywords))
        return self._take().text.upper()

    def _need_sign(self, sign: str) -> None:
        if not self._took_sign(sign):
            raise self._unexpected(sign)

    def _name(self, what: str = "identifier") -> str:
        token = self._next
        if token.kind == "parameter":
            value = self._parameter(token)
            if not isinstance(value, str):
                raise self._lexer.error(token.at, f"${token.text} must be a text here")
            self._take()
            return value
        if token.kind != "name" and (token.kind != "word" or token.text.upper() in _KEYWORDS):
            raise self._unexpected(what)
        return self._take().text

    def _integer(self, what: str) -> int:
        token = self._next
        value = self._parameter(token) if token.kind == "parameter" else token.value
        if token.kind not in ("number", "parameter") or not isinstance(value, int) or isinstance(value, bool):
            raise self._unexpected("integer")
        if value < 0:
            raise self._lexer.error(token.at, f"{what} must be >= 0")
        self._take()
        return value

    def _pattern(self) -> Pattern | None:
        """Take the regular expression that comes next, if one does."""
        if not self._is_sign("/"):
            return None
        token = self._lexer.pattern(self._next.at)
        if token is None:
            raise self._lexer.error(self._next.at, "found a regular expression without its end")
        self._next = self._lexer.token(token.end)
        return Pattern(token.text)

    def _parameter(self, token: Token) -> str | float | bool:
        if token.text not in self._parameters:
            raise self._lexer.error(token.at, f"missing parameter: {token.shown}")
        return self._parameters[token.text]

    def _unexpected(self, wanted: str) -> QuerySyntaxError:
        return self._lexer.error(self._next.at, f"found {self._next.shown}, expected {wanted}")

    def _refused(self, token: Token, said: str) -> QuerySyntaxError:
        return self._lexer.error(token.at, said)

    # --- statements ---

    def statements(self) -> list[Statement]:
        found: list[Statement] = []
        while self._another():
            if len(found) == MOST_STATEMENTS:
                raise QuerySyntaxError(f"more than {MOST_STATEMENTS} statements")
            found.append(self._statement())
            if not (self._ended() or self._is_sign(";")):
                raise self._unexpected(";, EOF")
        if not found:
            raise QuerySyntaxError("found EOF, expected SELECT, SHOW, CREATE")
        return found

    def _another(self) -> bool:
        """Whether a statement follows, after whatever separates them."""
        while self._took_sign(";"):
            pass
        return not self._ended()

    def _ended(self) -> bool:
        return self._next.kind == "end"

    def _statement(self) -> Statement:
        first = self._next
        if self._took("SELECT"):
            return self._select(subquery=False)
        if self._took("SHOW"):
            return self._show()
        if self._took("CREATE"):
            return self._create(first)
        if self._is(*_REFUSED):
            raise self._refused(first, f"{first.text.upper()} is not answered here: {_TAKEN}")
        raise self._unexpected("SELECT, SHOW, CREATE")

    def _create(self, first: Token) -> CreateDatabase:
        if not self._took("DATABASE"):
            raise self._refused(first, f"CREATE {self._next.shown.upper()} is not answered here: {_TAKEN}")
        name = self._name()
        if self._took("WITH"):  # durations, shards and replicas: they have no meaning here
            while not (self._ended() or self._is_sign(";")):
                self._take()
        return CreateDatabase(name)

    def _show(self) -> Show:
        first = self._next
        word = first.text.upper() if first.kind == "word" else ""
        if word == "DATABASES":
            self._take()
            return Show("databases")
        if word == "MEASUREMENTS":
            self._take()
            return self._show_measurements()
        if word in ("TAG", "FIELD", "RETENTION"):
            self._take()
            second = self._take().text.upper()
            if (word, second) == ("RETENTION", "POLICIES"):
                return Show("retention policies", self._on())
            if (word, second) == ("TAG", "KEYS"):
                return self._listed("tag keys")
            if (word, second) == ("FIELD", "KEYS"):
                return self._listed("field keys")
            if (word, second) == ("TAG", "VALUES"):
                return self._listed("tag values")
            word = f"{word} {second[:20]}"
        raise self._refused(first, f"SHOW {word or first.shown} is not answered here: {_LISTS}")

    def _on(self) -> str | None:
        return self._name() if self._took("ON") else None

    def _show_measurements(self) -> Show:
        database = self._on()
        sources: tuple[FromMeasurement, ...] = ()
        if self._took("WITH"):
            self._need("MEASUREMENT")
            if self._took_sign("=~"):
                sources = (FromMeasurement(None, self._needed_pattern()),)
            else:
                self._need_sign("=")
                sources = (self._measurement(),)
        condition = self._where()
        descending, limit, offset = self._order_and_limits()
        return Show("measurements", database, sources, condition, descending=descending, limit=limit, offset=offset)

    def _listed(self, what: Literal["tag keys", "tag values", "field keys"]) -> Show:
        database = self._on()
        sources = self._measurements() if self._took("FROM") else ()
        keys: tuple[str | Pattern, ...] = ()
        without = False
        if what == "tag values":
            self._need("WITH")
            self._need("KEY")
            keys, without = self._keys()
        condition = None if what == "field keys" else self._where()
        descending, limit, offset = self._order_and_limits()
        return Show(what, database, sources, condition, keys, without, descending, limit, offset)

    def _keys(self) -> tuple[tuple[str | Pattern, ...], bool]:
        if self._took("IN"):
            self._need_sign("(")
            names = [self._name()]
            while self._took_sign(","):
                names.append(self._name())
            self._need_sign(")")
            return tuple(names), False
        for sign in ("=~", "!~"):
            if self._took_sign(sign):
                return (Pattern(self._needed_pattern()),), sign == "!~"
        if self._took_sign("!="):
            return (self._name(),), True
        self._need_sign("=")
        return (self._name(),), False

    def _needed_pattern(self) -> str:
        pattern = self._pattern()
        if pattern is None:
            raise self._unexpected("regular expression")
        return pattern.text

    def _order_and_limits(self) -> tuple[bool, int, int]:
        descending = self._order()
        limit = self._integer("LIMIT") if self._took("LIMIT") else 0
        offset = self._integer("OFFSET") if self._took("OFFSET") else 0
        return descending, limit, offset

    # --- SELECT ---

    def _select(self, *, subquery: bool) -> Select:
        fields = [self._field()]
        while self._took_sign(","):
            if len(fields) == _MOST_FIELDS:
                raise self._refused(self._next, f"more than {_MOST_FIELDS} fields are selected")
            fields.append(self._field())
        if self._is("INTO"):
            raise self._refused(self._next, "INTO is not answered here: questions change nothing")
        self._need("FROM")
        sources = self._sources(subquery=subquery)
        condition = self._where()
        interval_ns, offset_ns, dimensions = self._group_by()
        fill = self._fill()
        descending = self._order()
        limits = {}
        for word in ("LIMIT", "OFFSET", "SLIMIT", "SOFFSET"):
            limits[word] = self._integer(word) if self._took(word) else 0
        return Select(
            tuple(fields),
            sources,
            condition,
            interval_ns,
            offset_ns,
            dimensions,
            fill,
            descending,
            limits["LIMIT"],
            limits["OFFSET"],
            limits["SLIMIT"],
            limits["SOFFSET"],
            self._zone(),
        )

    def _field(self) -> SelectedField:
        if self._is("DISTINCT") and not self._followed_by_parenthesis():
            self._take()
            expression: Expression = Call("distinct", (Reference(self._name()),))
        else:
            expression = self._arithmetic()
        return SelectedField(expression, self._name() if self._took("AS") else None)

    def _followed_by_parenthesis(self) -> bool:
        return self._lexer.token(self._next.end).text == "("

    def _sources(self, *, subquery: bool) -> tuple[FromMeasurement | Select, ...]:
        if not self._is_sign("("):
            return self._measurements()
        if subquery:
            raise self._refused(self._next, "a subquery in a subquery is not answered here")
        self._take()
        self._need("SELECT")
        found = self._select(subquery=True)
        self._need_sign(")")
        if self._is_sign(","):
            raise self._refused(self._next, "a subquery beside another source is not answered here")
        return (found,)

    def _measurements(self) -> tuple[FromMeasurement, ...]:
        found = [self._measurement()]
        while self._took_sign(","):
            if len(found) == _MOST_FIELDS:
                raise self._refused(self._next, f"more than {_MOST_FIELDS} measurements are named")
            if self._is_sign("("):
                raise self._refused(self._next, "a subquery beside another source is not answered here")
            found.append(self._measurement())
        return tuple(found)

    def _measurement(self) -> FromMeasurement:
        """Read `name`, `policy.name`, `database.policy.name` or `database..name`; the name may be a pattern."""
        parts: list[str] = []
        while True:
            if pattern := self._pattern():
                database = parts[0] if len(parts) == 2 else None
                return FromMeasurement(None, pattern.text, database or None)
            if len(parts) == 1 and self._is_sign("."):
                parts.append("")  # the policy that is left out
            else:
                parts.append(self._name())
            if len(parts) == 3 or not self._took_sign("."):
                break
        database = parts[0] if len(parts) == 3 else None
        return FromMeasurement(parts[-1], None, database or None)

    def _where(self) -> Expression | None:
        return self._condition() if self._took("WHERE") else None

    def _group_by(self) -> tuple[int | None, int, tuple[Reference | Wildcard, ...]]:
        if not self._took("GROUP"):
            return None, 0, ()
        self._need("BY")
        interval_ns, offset_ns = None, 0
        dimensions: list[Reference | Wildcard] = []
        while True:
            if len(dimensions) > _MOST_FIELDS:
                raise self._refused(self._next, f"more than {_MOST_FIELDS} tags are grouped by")
            if self._is("TIME") and self._followed_by_parenthesis():
                if interval_ns is not None:
                    raise self._refused(self._next, "multiple time dimensions not allowed")
                interval_ns, offset_ns = self._interval()
            elif pattern := self._pattern():
                dimensions.append(Wildcard(pattern.text))
            elif self._took_sign("*"):
                dimensions.append(Wildcard())
            else:
                dimensions.append(Reference(self._name(), self._cast()))
            if not self._took_sign(","):
                return interval_ns, offset_ns, tuple(dimensions)

    def _interval(self) -> tuple[int, int]:
        self._take()
        self._need_sign("(")
        interval_ns, offset_ns = self._span("duration"), 0
        if interval_ns <= 0:
            raise self._refused(self._next, "time dimension must have a positive duration")
        if self._took_sign(","):
            sign = -1 if self._took_sign("-") else 1
            if self._is("NOW"):
                raise self._refused(self._next, "now() as the offset of a time dimension is not answered here")
            offset_ns = sign * self._span("duration")
        self._need_sign(")")
        return interval_ns, offset_ns

    def _span(self, what: str) -> int:
        if self._next.kind != "duration":
            raise self._unexpected(what)
        return int(self._take().value)

    def _fill(self) -> Fill:
        if not (self._is("FILL") and self._followed_by_parenthesis()):
            return Fill()
        self._take()
        self._need_sign("(")
        if self._next.kind == "word" and self._next.text.lower() in _FILLS:
            fill = Fill(_FILLS[self._take().text.lower()])
        else:
            sign = -1 if self._took_sign("-") else 1
            if self._next.kind != "number":
                raise self._unexpected("null, none, previous, linear or a number")
            fill = Fill("number", sign * self._take().value)
        self._need_sign(")")
        return fill

    def _order(self) -> bool:
        if not self._took("ORDER"):
            return False
        self._need("BY")
        if self._took("DESC"):
            return True
        if self._took("ASC"):
            return False
        at = self._next
        if self._name().lower() != "time":
            raise self._refused(at, "only ORDER BY time supported at this time")
        if self._took("DESC"):
            return True
        self._took("ASC")
        return False

    def _zone(self) -> ZoneInfo | None:
        if not (self._is("TZ") and self._followed_by_parenthesis()):
            return None
        self._take()
        self._need_sign("(")
        token = self._next
        if token.kind != "text":
            raise self._unexpected("string")
        try:
            zone = zone_named(self._take().text)
        except RejectedError:
            raise self._refused(token, f"unable to find time zone {token.shown}") from None
        self._need_sign(")")
        return zone

    # --- expressions ---

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
            if len(arguments) == _MOST_FIELDS:
                raise self._refused(self._next, f"{name[:20]}() has more than {_MOST_FIELDS} arguments")
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
