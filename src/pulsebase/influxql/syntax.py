"""What statements of InfluxQL consist of, as the parser builds them. Durations are in nanoseconds, as there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo

ARITHMETIC = ("+", "-", "*", "/", "%")
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=", "=~", "!~")


@dataclass(frozen=True, slots=True)
class Reference:
    """A field or a tag by its name. `kind` is what a cast (`::tag`) says it is."""

    name: str
    kind: Literal["tag", "field"] | None = None


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`*`, or a pattern that names must match. `kind` as of a `Reference`."""

    pattern: str | None = None
    kind: Literal["tag", "field"] | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, or true or false."""

    value: float | str | bool


@dataclass(frozen=True, slots=True)
class Span:
    """A duration, such as `10m`."""

    ns: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression."""

    text: str


@dataclass(frozen=True, slots=True)
class Now:
    """`now()`."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function of what stands in its parentheses."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic or a comparison of two."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions of which all have to hold (`and`), or one (`or`)."""

    word: Literal["and", "or"]
    parts: tuple[Expression, ...]


Expression = Reference | Wildcard | Constant | Span | Pattern | Now | Call | Binary | Junction


@dataclass(frozen=True, slots=True)
class SelectedField:
    """One column of an answer. `text` is what it is called without an alias."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class FromMeasurement:
    """A measurement by its name or a pattern of names; `database` where the statement names one."""

    name: str | None
    pattern: str | None = None
    database: str | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """What stands for groups without values."""

    kind: Literal["null", "none", "previous", "linear", "number"] = "null"
    number: float = 0.0


@dataclass(frozen=True, slots=True)
class Select:
    """`SELECT`. Of `sources` each is a measurement, or another `Select`."""

    fields: tuple[SelectedField, ...]
    sources: tuple[FromMeasurement | Select, ...]
    condition: Expression | None = None
    interval_ns: int | None = None
    interval_offset_ns: int = 0
    dimensions: tuple[Reference | Wildcard, ...] = ()
    fill: Fill = field(default_factory=Fill)
    descending: bool = False
    limit: int = 0
    offset: int = 0
    series_limit: int = 0
    series_offset: int = 0
    zone: ZoneInfo | None = None


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    """`CREATE DATABASE`."""

    name: str


@dataclass(frozen=True, slots=True)
class Show:
    """`SHOW …`.

    Attributes:
        what: what is listed.
        sources: the measurements it is asked of; empty for all.
        keys: the tag keys of `SHOW TAG VALUES … WITH KEY`: names, or patterns.
        without_keys: whether those are the keys that are not wanted.
    """

    what: Literal["databases", "measurements", "tag keys", "tag values", "field keys", "retention policies"]
    database: str | None = None
    sources: tuple[FromMeasurement, ...] = ()
    condition: Expression | None = None
    keys: tuple[str | Pattern, ...] = ()
    without_keys: bool = False
    descending: bool = False
    limit: int = 0
    offset: int = 0


Statement = Select | CreateDatabase | Show


def parts_of(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and all it consists of, from left to right."""
    waiting: list[Expression] = [expression]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, Call):
            waiting += each.arguments[::-1]
        elif isinstance(each, Binary):
            waiting += (each.right, each.left)
        elif isinstance(each, Junction):
            waiting += each.parts[::-1]


def references_in(expression: Expression | None) -> list[Reference]:
    """Return the fields and tags that an expression names."""
    return [] if expression is None else [each for each in parts_of(expression) if isinstance(each, Reference)]
