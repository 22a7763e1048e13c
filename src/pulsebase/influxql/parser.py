"""Reads statements of InfluxQL, by recursive descent. What is not taken is refused by name, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

from pulsebase.influxql.expressions import MOST_FIELDS, Expressions
from pulsebase.influxql.lexer import Lexer, QuerySyntaxError, Token
from pulsebase.influxql.syntax import (
    Call,
    CreateDatabase,
    Expression,
    Fill,
    FromMeasurement,
    Pattern,
    Reference,
    Select,
    SelectedField,
    Show,
    Statement,
    Wildcard,
)
from pulsebase.influxql.words import Parameters
from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import zone_named

MOST_STATEMENTS = 100
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


class _Parser(Expressions):
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

    def _order_and_limits(self) -> tuple[bool, int, int]:
        descending = self._order()
        limit = self._integer("LIMIT") if self._took("LIMIT") else 0
        offset = self._integer("OFFSET") if self._took("OFFSET") else 0
        return descending, limit, offset

    # --- SELECT ---

    def _select(self, *, subquery: bool) -> Select:
        fields = [self._field()]
        while self._took_sign(","):
            if len(fields) == MOST_FIELDS:
                raise self._refused(self._next, f"more than {MOST_FIELDS} fields are selected")
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
            if len(found) == MOST_FIELDS:
                raise self._refused(self._next, f"more than {MOST_FIELDS} measurements are named")
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
            if len(dimensions) > MOST_FIELDS:
                raise self._refused(self._next, f"more than {MOST_FIELDS} tags are grouped by")
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
