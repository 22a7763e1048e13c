"""The functions of InfluxQL that are answered, and which arguments they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pulsebase.influxql.lexer import QuerySyntaxError
from pulsebase.influxql.syntax import Binary, Call, Constant, Expression, Reference, Span, Wildcard
from pulsebase.influxql.values import F64, I64, Mask, Points, Values

#: What each group comes to from its count, sum, lowest and highest value, which rollups hold.
ROLLED_UP = frozenset({"count", "sum", "mean", "min", "max", "spread"})
#: What picks one of a group's rows.
SELECTORS = frozenset({"first", "last", "min", "max", "percentile"})
AGGREGATES = ROLLED_UP | SELECTORS | {"median", "stddev", "distinct"}
#: What makes one series of another.
TRANSFORMS = frozenset(
    {
        "derivative",
        "non_negative_derivative",
        "difference",
        "non_negative_difference",
        "moving_average",
        "cumulative_sum",
        "elapsed",
    }
)
_UNITS = ("derivative", "non_negative_derivative", "elapsed")
_OF_INFLUXDB = frozenset(
    {
        *("integral", "mode", "bottom", "top", "sample", "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "exp"),
        *("floor", "histogram", "ln", "log", "log2", "log10", "pow", "round", "sin", "sqrt", "tan", "holt_winters"),
        *("holt_winters_with_fit", "chande_momentum_oscillator", "exponential_moving_average"),
        *("double_exponential_moving_average", "triple_exponential_moving_average", "triple_exponential_derivative"),
        *("kaufmans_efficiency_ratio", "kaufmans_adaptive_moving_average", "relative_strength_index"),
    }
)
_MOST_AVERAGED = 1_000_000


def check_call(call: Call, *, grouped_by_time: bool) -> None:
    """Raise `QuerySyntaxError` unless a call is of a function that is answered, with arguments that it takes."""
    name = call.name
    if name in _OF_INFLUXDB:
        raise QuerySyntaxError(f"{name}() is not answered here; there are {', '.join(sorted(AGGREGATES | TRANSFORMS))}")
    if name not in AGGREGATES | TRANSFORMS:
        raise QuerySyntaxError(f"undefined function {name[:40]}()")
    least, most = 1, 1
    if name in ("percentile", "moving_average"):
        least = most = 2
    elif name in _UNITS:
        most = 2
    if not least <= len(call.arguments) <= most:
        wanted = least if least == most else f"{least} or {most}"
        raise QuerySyntaxError(f"invalid number of arguments for {name}, expected {wanted}, got {len(call.arguments)}")
    _check_parameter(call)
    inner = call.arguments[0]
    if isinstance(inner, (Reference, Wildcard)):
        return
    if name == "count" and isinstance(inner, Call) and inner.name == "distinct":
        check_call(inner, grouped_by_time=grouped_by_time)
        return
    if name not in TRANSFORMS or not isinstance(inner, Call) or inner.name in TRANSFORMS:
        raise QuerySyntaxError(f"expected field argument in {name}()")
    if not grouped_by_time:
        raise QuerySyntaxError(f"{name} aggregate requires a GROUP BY interval")
    if inner.name == "distinct":
        raise QuerySyntaxError(f"{name}(distinct()) is not answered here")
    check_call(inner, grouped_by_time=grouped_by_time)


def _check_parameter(call: Call) -> None:
    if len(call.arguments) < 2:
        return
    given = call.arguments[1]
    if call.name in _UNITS:
        if not isinstance(given, Span) or given.ns <= 0:
            raise QuerySyntaxError(f"duration argument must be positive in {call.name}()")
    elif not isinstance(given, Constant) or isinstance(given.value, (bool, str)):
        raise QuerySyntaxError(f"expected a number as the second argument in {call.name}()")
    elif call.name == "percentile" and not 0 <= given.value <= 100:
        raise QuerySyntaxError("percentile() takes a number from 0 to 100")
    elif call.name == "moving_average" and not (isinstance(given.value, int) and 1 < given.value <= _MOST_AVERAGED):
        raise QuerySyntaxError(f"moving_average window must be greater than 1 and at most {_MOST_AVERAGED}")


def number_of(call: Call) -> float:
    """Return the second argument of `percentile` or `moving_average`."""
    given = call.arguments[1]
    if not isinstance(given, Constant) or isinstance(given.value, str):
        raise TypeError("the call was not checked")
    return float(given.value)


@dataclass(frozen=True, slots=True)
class Grouped:
    """Values in order of time, and which group each is in, ascending."""

    values: F64
    places: I64
    groups: int


@dataclass(frozen=True, slots=True)
class Picked:
    """What each group comes to. Of a selector also the place among the values of the one that was picked."""

    values: Values
    rows: I64 | None = None


def aggregated(name: str, grouped: Grouped, parameter: float = 0) -> Picked:
    """Return what each group comes to; `distinct` is `distinct_values`."""
    if len(grouped.values) == 0:
        nothing = replace(Values.missing(grouped.groups), whole=name == "count")
        return Picked(nothing, np.zeros(grouped.groups, np.int64) if name in SELECTORS else None)
    starts = np.flatnonzero(np.concatenate(([True], grouped.places[1:] != grouped.places[:-1])))
    sizes = np.diff(np.append(starts, len(grouped.places)))
    if name in SELECTORS:
        rows, found = _rows_picked(name, grouped, starts, sizes, parameter)
        at = _scattered(grouped, starts, rows.astype(np.float64), found)
        return Picked(_scattered(grouped, starts, grouped.values[rows], found), at.numbers.astype(np.int64))
    numbers = _WORKED_OUT[name](grouped, starts, sizes)
    enough: Mask = sizes > (1 if name == "stddev" else 0)
    return Picked(replace(_scattered(grouped, starts, numbers, enough), whole=name == "count"))


def _scattered(grouped: Grouped, starts: I64, numbers: F64, found: Mask) -> Values:
    values = Values.missing(grouped.groups)
    places = grouped.places[starts]
    values.numbers[places] = numbers
    values.there[places] = found
    return values


def _rows_picked(name: str, grouped: Grouped, starts: I64, counts: I64, parameter: float) -> tuple[I64, Mask]:
    found = np.ones(len(starts), np.bool_)
    if name == "first":
        return starts, found
    if name == "last":
        return starts + counts - 1, found
    keys = -grouped.values if name == "max" else grouped.values
    order = np.lexsort((keys, grouped.places))  # stable, so of equal values the earliest comes first
    if name != "percentile":
        return order[starts], found
    ranks = np.floor(counts * parameter / 100 + 0.5).astype(np.int64) - 1
    found = (ranks >= 0) & (ranks < counts)
    values, places = grouped.values[order], grouped.places[order]
    opens = np.concatenate(([True], (values[1:] != values[:-1]) | (places[1:] != places[:-1])))
    earliest = np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))  # of equal values
    return order[earliest[starts + np.clip(ranks, 0, counts - 1)]], found


def _mean(grouped: Grouped, starts: I64, counts: I64) -> F64:
    return _sum(grouped, starts, counts) / counts


def _sum(grouped: Grouped, starts: I64, _: I64) -> F64:
    return np.add.reduceat(grouped.values, starts)


def _spread(grouped: Grouped, starts: I64, _: I64) -> F64:
    spread: F64 = np.maximum.reduceat(grouped.values, starts) - np.minimum.reduceat(grouped.values, starts)
    return spread


def _median(grouped: Grouped, starts: I64, counts: I64) -> F64:
    ordered = grouped.values[np.lexsort((grouped.values, grouped.places))]
    middle: F64 = (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) / 2
    return middle


def _deviation(grouped: Grouped, starts: I64, counts: I64) -> F64:
    means = np.repeat(_mean(grouped, starts, counts), counts)
    squares = np.add.reduceat((grouped.values - means) ** 2, starts)
    deviations: F64 = np.sqrt(squares / np.maximum(counts - 1, 1))
    return deviations


_WORKED_OUT: Mapping[str, Callable[[Grouped, I64, I64], F64]] = {
    "count": lambda _, __, counts: counts.astype(np.float64),
    "sum": _sum,
    "mean": _mean,
    "spread": _spread,
    "median": _median,
    "stddev": _deviation,
}


def distinct_values(grouped: Grouped) -> tuple[I64, F64]:
    """Return the different values of each group, in the order in which they first come, with the group of each."""
    order = np.lexsort((grouped.values, grouped.places))  # stable, so of equal values the earliest comes first
    places, values = grouped.places[order], grouped.values[order]
    kept = np.ones(len(values), np.bool_)
    kept[1:] = (places[1:] != places[:-1]) | (values[1:] != values[:-1])
    firsts = np.sort(order[kept])
    return grouped.places[firsts], grouped.values[firsts]


def transformed(call: Call, points: Points, interval_ns: int | None) -> Points:
    """Return what a transform makes of the points that have a value. `interval_ns` is that of the groups the points
    stand for, if they do.
    """
    present = points.present()
    times_us, numbers = present.times_us, present.values.numbers
    if call.name == "cumulative_sum":
        return Points(times_us, Values.of(np.cumsum(numbers)))
    if call.name == "moving_average":
        count = int(number_of(call))
        if len(numbers) < count:
            return Points(times_us[:0], Values.of([]))
        sums = np.cumsum(np.concatenate(([0.0], numbers)))
        return Points(times_us[count - 1 :], Values.of((sums[count:] - sums[:-count]) / count))
    steps_us = np.diff(times_us)
    if call.name == "elapsed":
        elapsed = Values.of(steps_us * 1_000 // _unit_ns(call, 1))
        return Points(times_us[1:], Values(elapsed.numbers, elapsed.there, whole=True))
    changes = np.diff(numbers)
    if call.name in ("derivative", "non_negative_derivative"):
        unit_ns = _unit_ns(call, interval_ns or 1_000_000_000)
        apart = steps_us > 0  # of two readings of one instant there is no rate
        times_us, changes = times_us[1:][apart], changes[apart] / (steps_us[apart] * 1_000 / unit_ns)
    else:
        times_us = times_us[1:]
    if call.name.startswith("non_negative"):
        times_us, changes = times_us[changes >= 0], changes[changes >= 0]
    return Points(times_us, Values.of(changes))


def groups_before(transforms: Sequence[Call]) -> int:
    """Return how many groups before the first that is asked for are needed to work these out for it."""
    needed = [0]
    for call in transforms:
        if call.name == "moving_average":
            needed.append(int(number_of(call)) - 1)
        elif call.name != "cumulative_sum":
            needed.append(1)
    return max(needed)


def _unit_ns(call: Call, default_ns: int) -> int:
    given = call.arguments[1] if len(call.arguments) > 1 else None
    return given.ns if isinstance(given, Span) else default_ns


def column_name(expression: Expression) -> str:
    """Return what a column is called that has no alias."""
    if isinstance(expression, Reference):
        return expression.name
    if isinstance(expression, Call):
        return expression.name
    if isinstance(expression, Binary):
        return "_".join(filter(None, (column_name(expression.left), column_name(expression.right))))
    return ""
