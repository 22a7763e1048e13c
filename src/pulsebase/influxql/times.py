"""Times in statements: the range that conditions on `time` leave, and the groups that `GROUP BY time()` makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.influxql.lexer import QuerySyntaxError
from pulsebase.influxql.syntax import (
    COMPARISONS,
    Binary,
    Constant,
    Expression,
    Junction,
    Now,
    Reference,
    Span,
    parts_of,
)
from pulsebase.model.errors import TooManyRowsError
from pulsebase.model.timerange import LAST_END_US, TimeRange, from_us, to_us

I64 = npt.NDArray[np.int64]

_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:\d{2})?")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_US_NS = 1_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """The times a condition leaves: from `start_us` up to, not including, `end_us`; None where nothing bounds them."""

    start_us: int | None = None
    end_us: int | None = None

    def within(self, others: Bounds) -> Bounds:
        """Return the times that both leave."""
        starts = [each for each in (self.start_us, others.start_us) if each is not None]
        ends = [each for each in (self.end_us, others.end_us) if each is not None]
        return Bounds(max(starts, default=None), min(ends, default=None))


def is_time(expression: Expression) -> bool:
    """Whether this is the time of a row."""
    return isinstance(expression, Reference) and expression.name.lower() == "time"


def split_off_times(
    condition: Expression | None, now_us: int, zone: ZoneInfo | None
) -> tuple[Bounds, Expression | None]:
    """Return the times that a condition leaves, and what else it says.

    Raises:
        QuerySyntaxError: it says something of times that is not answered.
    """
    if condition is None:
        return Bounds(), None
    bounds, others = Bounds(), []
    for part in _conjuncts(condition):
        found = _bounds_of(part, now_us, zone)
        if found is None:
            others.append(part)
        else:
            bounds = bounds.within(found)
    for part in others:
        if any(is_time(each) for each in parts_of(part)):
            raise QuerySyntaxError("conditions on time can only be joined by AND, and compare it with a time")
    if len(others) < 2:
        return bounds, others[0] if others else None
    return bounds, Junction("and", tuple(others))


def _conjuncts(condition: Expression) -> Iterator[Expression]:
    if isinstance(condition, Junction) and condition.word == "and":
        for part in condition.parts:
            yield from _conjuncts(part)
    else:
        yield condition


def _bounds_of(part: Expression, now_us: int, zone: ZoneInfo | None) -> Bounds | None:
    """Return what a comparison says of times, None if it is of something else."""
    if not isinstance(part, Binary) or part.operator not in COMPARISONS:
        return None
    operator, other = part.operator, part.right
    if not is_time(part.left):
        if not is_time(part.right) or operator not in _MIRRORED:
            return None
        operator, other = _MIRRORED[operator], part.left
    at_ns = _nanoseconds(other, now_us * _US_NS, zone)
    if at_ns is None or operator not in _MIRRORED:
        raise QuerySyntaxError(f"invalid condition on time: {operator} with what it is compared with is not answered")
    # Readings have microseconds: those from `t` on are those from the next whole microsecond on.
    from_it, after_it = _clipped(-(-at_ns // _US_NS)), _clipped(at_ns // _US_NS + 1)
    starts = {">=": from_it, ">": after_it, "=": from_it}
    ends = {"<": from_it, "<=": after_it, "=": after_it}
    return Bounds(starts.get(operator), ends.get(operator))


def _clipped(at_us: int) -> int:
    return min(max(at_us, 0), LAST_END_US)


def _nanoseconds(expression: Expression, now_ns: int, zone: ZoneInfo | None) -> int | None:
    """Return a time in nanoseconds since 1970, None if the expression is none."""
    if isinstance(expression, Now):
        return now_ns
    if isinstance(expression, Span):
        return expression.ns
    if isinstance(expression, Constant):
        return _stated(expression, zone)
    if not isinstance(expression, Binary) or expression.operator not in ("+", "-"):
        return None
    left, right = (_nanoseconds(each, now_ns, zone) for each in (expression.left, expression.right))
    if left is None or right is None:
        return None
    return left + right if expression.operator == "+" else left - right


def _stated(constant: Constant, zone: ZoneInfo | None) -> int | None:
    value = constant.value
    if isinstance(value, str):
        return _written(value, zone)
    return None if isinstance(value, bool) or abs(value) >= 1 << 63 else int(value)


def _written(text: str, zone: ZoneInfo | None) -> int:
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        day, of_day, fraction, offset = found.groups()
        moment = datetime.fromisoformat(f"{day}T{of_day or '00:00'}")
        if offset is not None:
            moment = moment.replace(tzinfo=datetime.fromisoformat(f"2000-01-01T00:00{offset}").tzinfo)
        else:
            moment = moment.replace(tzinfo=zone or UTC)
        return to_us(moment) * _US_NS + int((fraction or "").ljust(9, "0"))
    except (ValueError, OverflowError):
        raise QuerySyntaxError("invalid operation: a time is compared with a text that is no time") from None


@dataclass(frozen=True, slots=True)
class Windows:
    """Groups of times, ascending, each up to the next one's start. The outer two may reach beyond the range that is
    asked for; of them only what is in it counts.

    Attributes:
        edges: where the groups begin, and as the last entry where the last one ends.
        labels: the times that stand for them in answers.
        range: what is asked for.
        zone: whose days begin the groups, if any do.
    """

    edges: I64
    labels: I64
    range: TimeRange
    zone: ZoneInfo | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def places_of(self, times_us: I64) -> I64:
        """Return the group that each time is in."""
        return np.searchsorted(self.edges, times_us, side="right").astype(np.int64) - 1


def one_window(interval: TimeRange, label_us: int) -> Windows:
    """Return a single group of all of the range."""
    edges = np.array([interval.start_us, interval.end_us], np.int64)
    return Windows(edges, np.array([label_us], np.int64), interval)


def windows_of(interval: TimeRange, step_us: int, offset_us: int, zone: ZoneInfo | None, most: int) -> Windows:
    """Return the groups of `GROUP BY time(step, offset)`, in UTC or in a zone.

    Raises:
        TooManyRowsError: there are more than `most`.
    """
    if interval.length_us // step_us + 1 > most:
        raise TooManyRowsError.of("q", f"GROUP BY time makes more than {most} groups; ask for longer ones or less time")
    if zone is None or zone.key == "UTC" or _is_as_in_utc(interval, step_us, zone):
        first_us = (interval.start_us - offset_us) // step_us * step_us + offset_us
        count = max(0, -(-(interval.end_us - first_us) // step_us))
        edges = first_us + step_us * np.arange(count + 1, dtype=np.int64)
    else:
        edges = np.array(list(_edges_in(interval, step_us, offset_us, zone)), np.int64)
    return Windows(edges, edges[:-1], interval, zone)


def _is_as_in_utc(interval: TimeRange, step_us: int, zone: ZoneInfo) -> bool:
    """Whether no offset of the zone moves the groups: most are of whole quarters of an hour."""
    if interval.end_us <= interval.start_us:
        return True
    days = range(interval.start_us - _DAY_US, interval.end_us + _DAY_US, _DAY_US)
    if len(days) > _MOST_DAYS_LOOKED_AT:
        return False
    return all(_offset_us(at_us, zone) % step_us == 0 for at_us in days)


_DAY_US = 86_400_000_000
_MOST_DAYS_LOOKED_AT = 40_000


def _edges_in(interval: TimeRange, step_us: int, offset_us: int, zone: ZoneInfo) -> Iterator[int]:
    start_us, end_us = _window_at(interval.start_us, step_us, offset_us, zone)
    yield start_us
    while end_us < interval.end_us:
        yield end_us
        next_us = _window_at(end_us, step_us, offset_us, zone)[1]
        end_us = max(next_us, end_us + 1)  # a group that a change of clocks leaves nothing of
    yield end_us


def _window_at(at_us: int, step_us: int, offset_us: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the group that a time is in, by the rules of InfluxDB for changes of clocks."""
    shifted_us = at_us - offset_us
    here_us = _offset_us(shifted_us, zone)
    into_us = (shifted_us + here_us) % step_us
    start_us = shifted_us - into_us + offset_us
    change_us = here_us - _offset_us(start_us, zone)
    if change_us and abs(change_us) < step_us:
        start_us += change_us
    end_us = shifted_us + step_us - into_us + offset_us
    there_us = _offset_us(end_us, zone)
    change_us = here_us - there_us
    if change_us and abs(change_us) < step_us and (change_us > 0 or _offset_us(end_us + change_us, zone) == there_us):
        end_us += change_us
    return start_us, end_us


def _offset_us(at_us: int, zone: ZoneInfo) -> int:
    at_us = _clipped(at_us)
    offset = from_us(at_us).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds() * 1_000_000)
