"""A person's highest hours."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from pulsebase.model.errors import RejectedError, UnknownUserError
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.metrics import HEART_RATE, MetricSpec
from pulsebase.model.resolution import Resolution
from pulsebase.model.rollups import averages
from pulsebase.query.asked_values import Moment, check_whole, period_of
from pulsebase.stores.contract import Cancellation, Reader, SeriesQuery

MAX_TOP_HOURS = 1000


@dataclass(frozen=True, slots=True)
class TopHoursQuestion:
    """Asks for a person's highest averages of UTC hours. If the period cuts an hour, only readings inside count."""

    user_id: str
    date_from: Moment
    date_to: Moment
    limit: int = 10
    tz: str = "UTC"
    start_field: str = "date_from"
    end_field: str = "date_to"
    cancellation: Cancellation | None = None
    metric: MetricSpec = HEART_RATE


@dataclass(frozen=True, slots=True)
class TopHour:
    """One of the highest averages, and the first hour that has it, in microseconds UTC."""

    hour_us: int
    average: float
    count: int


def top_hours(reader: Reader, question: TopHoursQuestion, timeout_s: float | None = None) -> list[TopHour]:
    """Return the highest distinct averages, highest first, each with the first hour that has it.

    Raises:
        RejectedError: names the field that is wrong.
        UnknownUserError: nobody of that id is known.
        QueryTimeoutError: longer than `timeout_s`.
    """
    problem = identifier_problem(question.user_id)
    if problem is not None:
        raise RejectedError.of("user_id", problem)
    check_whole("limit", question.limit, 1, MAX_TOP_HOURS)
    period = period_of(question)
    if reader.user(question.user_id) is None:
        raise UnknownUserError(question.user_id)
    table = reader.series(
        SeriesQuery(
            question.user_id,
            period.range,
            Resolution.HOUR,
            timeout_s=timeout_s,
            cancellation=question.cancellation,
            kind="top_hours",
            metric=question.metric.name,
        )
    )
    return _highest_distinct(table, question.limit, question.metric.scale)


def _highest_distinct(table: pa.Table, limit: int, scale: int) -> list[TopHour]:
    """Return the `limit` highest distinct averages of buckets in time order, each with the first bucket that has it."""
    starts_us, sums, counts = (table[name].to_numpy() for name in ("time_us", "sum", "count"))
    averages_of = averages(sums, counts, scale)
    # Rounding to doubles keeps the order, so the highest averages have the highest doubles.
    least = np.unique(averages_of)[-limit:][:1]
    firsts: dict[Fraction, int] = {}
    for place in np.flatnonzero(averages_of >= least).tolist():
        firsts.setdefault(Fraction(int(sums[place]), int(counts[place])), place)
    highest = [firsts[average] for average in sorted(firsts, reverse=True)[:limit]]
    return [TopHour(int(starts_us[place]), float(averages_of[place]), int(counts[place])) for place in highest]
