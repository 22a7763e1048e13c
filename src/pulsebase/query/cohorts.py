"""Questions about groups of people, and about a person's highest hours. Averages are compared exactly, never as rounded
doubles.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import time
from fractions import Fraction
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import HEART_RATE, MetricSpec, asked_metric
from pulsebase.model.rollups import Mask
from pulsebase.model.timerange import MINUTE_US, TimeRange, from_us
from pulsebase.model.users import GENDERS
from pulsebase.query.asked_values import (
    MAX_AGE,
    NO_NUMBER,
    Moment,
    Number,
    born_by,
    check_whole,
    exact_number,
    period_of,
)
from pulsebase.query.exact_means import Places, above, highest_first, in_steps, nearest_means
from pulsebase.query.plan import QueryLimits
from pulsebase.query.top_hours import TopHour, TopHoursQuestion, top_hours
from pulsebase.stores.contract import Cancellation, Reader, TotalsQuery

#: The highest threshold and age that can be asked for. Far above any real one, but low enough to notice a wrong unit.
MAX_AVERAGE = 1000
#: Counts of people in summaries are rounded down to a multiple of this.
PEOPLE_STEP = 5

#: What a cohort's members have to fulfil, each of which a question may leave out: who they are, which the store sorts
#: out, and what their readings come to.
_OF_PEOPLE = ("genders", "min_age", "max_age")
_OF_READINGS = ("min_avg", "max_avg", "min_coverage")

_CURSOR = re.compile(r"(-?\d{1,19})/(\d{1,19})/([A-Za-z0-9._:@+-]{1,128})", re.ASCII)


@dataclass(frozen=True, slots=True)
class CohortQuestion:
    """Asks whose average of a metric over a period is within bounds.

    Attributes:
        date_from, date_to: the period, used exactly as given; a bare end date includes its day.
        min_avg: the average must be above it, in the metric's unit; None for any.
        min_age: the person must be older than this many full years on the day the period starts; None for any age.
        genders: the person has one of these; None for anybody.
        min_coverage: the least share of the period's minutes that must hold a counted reading, 0 to 1.
        tz: the zone of dates, local times and the day the period starts.
        metric: what the average is of.
        max_avg: the average must not be above it; None for any.
        max_age: the person must not be older than this many full years on that day; None for any age.
        min_avg_field: what errors call `min_avg`.
    """

    date_from: Moment
    date_to: Moment
    min_avg: Number | None = None
    min_age: int | None = None
    genders: Collection[str] | None = None
    min_coverage: Number | None = None
    tz: str = "UTC"
    start_field: str = "date_from"
    end_field: str = "date_to"
    cancellation: Cancellation | None = None
    metric: MetricSpec = HEART_RATE
    max_avg: Number | None = None
    max_age: int | None = None
    min_avg_field: str = "min_avg"


@dataclass(frozen=True, slots=True)
class CohortMember:
    """A person whose average is within the bounds. `sum` is in stored units, of which `scale` make one of the metric;
    `coverage` is the share of the period's minutes that hold a counted reading.
    """

    user_id: str
    count: int
    sum: int
    minutes: int
    coverage: float
    scale: int = HEART_RATE.scale

    @property
    def exact_average(self) -> Fraction:
        """The mean of all readings in the metric's unit."""
        return Fraction(self.sum, self.scale * self.count)

    @property
    def average(self) -> float:
        """The double nearest to the mean."""
        return self.sum / (self.scale * self.count)


@dataclass(frozen=True, slots=True)
class CohortSummary:
    """Figures of a cohort that reveal nobody in it.

    Attributes:
        people: the number of members, rounded down to a multiple of `PEOPLE_STEP`.
        average: the mean of the members' averages, each with the same weight, in steps of the metric: whole bpm.
        spread: the standard deviation of the members' averages, in the same steps.
    """

    people: int
    average: float
    spread: float


class CohortMembers(Sequence[CohortMember]):
    """Everybody in a cohort, in order, as columns. `CohortMember` objects are only made for people who are shown."""

    def __init__(self, totals: pa.Table, rows: Places, minutes_asked: int, scale: int) -> None:
        """`rows` are the row numbers of the members in the totals."""
        self._totals, self._rows, self._minutes_asked, self._scale = totals, rows, minutes_asked, scale

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> CohortMember: ...

    @overload
    def __getitem__(self, place: slice) -> CohortMembers: ...

    def __getitem__(self, place: int | slice) -> CohortMember | CohortMembers:
        if isinstance(place, slice):
            return CohortMembers(self._totals, self._rows[place], self._minutes_asked, self._scale)
        row = int(self._rows[place])
        user_id, count, total, minutes = (column[row].as_py() for column in self._totals.columns)
        return CohortMember(user_id, count, total, minutes, minutes / self._minutes_asked, self._scale)

    def user_ids(self) -> list[str]:
        """Return the members' ids."""
        found: list[str] = self._totals["user_id"].take(pa.array(self._rows)).to_pylist()
        return found

    def averages(self) -> npt.NDArray[np.float64]:
        """The members' averages, as the nearest doubles, in the metric's unit."""
        found: npt.NDArray[np.float64] = nearest_means(self._totals, self._scale)[self._rows]
        return found


def cohort(reader: Reader, question: CohortQuestion, timeout_s: float | None = None) -> CohortMembers:
    """Return everybody who matches the question, highest average first, and equal averages by id (bytes).

    Raises:
        RejectedError: names the field that is wrong.
        QueryTimeoutError: the query took longer than `timeout_s`.
    """
    bounds = _bounds(question)  # what is wrong is said before the store is asked
    return _members(_totals(reader, question, timeout_s), question, bounds)


def _totals(reader: Reader, question: CohortQuestion, timeout_s: float | None) -> pa.Table:
    """Return the totals of everybody of the asked genders and ages."""
    period = period_of(question)
    first_day = from_us(period.range.start_us).astimezone(period.zone).date()
    query = TotalsQuery(
        period.range,
        genders=_known_genders(question.genders),
        born_by=None if question.min_age is None else born_by(question.min_age, first_day),
        timeout_s=timeout_s,
        cancellation=question.cancellation,
        metric=question.metric.name,
        born_after=None if question.max_age is None else born_by(question.max_age, first_day, "max_age"),
    )
    return reader.totals(query)


def _members(totals: pa.Table, question: CohortQuestion, bounds: _Bounds) -> CohortMembers:
    """Return those of them whose averages and coverage are within the question's bounds."""
    metric = question.metric
    minutes_asked = touched_minutes(period_of(question).range)
    within: Mask = totals["minutes"].to_numpy() >= math.ceil(bounds.coverage * minutes_asked)
    if bounds.above is not None:
        within &= above(totals, bounds.above, metric.scale)
    if bounds.most is not None:
        within &= ~above(totals, bounds.most, metric.scale)
    rows = np.flatnonzero(within)
    order = highest_first(totals.take(pa.array(rows)), metric.scale)
    return CohortMembers(totals, rows[order], minutes_asked, metric.scale)


def cohort_summary(
    reader: Reader, question: CohortQuestion, least_people: int, timeout_s: float | None = None
) -> CohortSummary | None:
    """Return the figures of a cohort; None if they would describe fewer than `least_people`.

    That holds for the members, for the others with a reading in the period, and for those whom one condition alone
    leaves out, since the difference of two answers would describe them.

    Questions must be coarse (whole days, averages in steps of the metric, coverage in hundredths), so that two of them
    seldom differ by one person.

    Raises:
        RejectedError: names the field that is wrong, or too fine.
        QueryTimeoutError: one of the queries to the store took longer than `timeout_s`. There are two, and one for each
            condition of gender and age.
    """
    period = period_of(question)
    for field, at_us in ((question.start_field, period.range.start_us), (question.end_field, period.range.end_us)):
        if from_us(at_us).astimezone(period.zone).time() != time():
            raise RejectedError.of(field, "must be a whole day for this key")
    bounds, step = _bounds(question), Fraction(str(question.metric.group_step))
    for field, average in ((question.min_avg_field, bounds.above), ("max_avg", bounds.most)):
        if average is not None and (average / step).denominator != 1:
            coarse = "a whole number" if step == 1 else f"a multiple of {question.metric.group_step:g}"
            raise RejectedError.of(field, f"must be {coarse} for this key")
    if (bounds.coverage * 100).denominator != 1:
        raise RejectedError.of("min_coverage", "may have two decimals for this key")
    totals = _totals(reader, question, timeout_s)
    members = _members(totals, question, bounds)
    asked = TotalsQuery(
        period.range, timeout_s=timeout_s, cancellation=question.cancellation, metric=question.metric.name
    )
    if len(members) < least_people or 0 < reader.totals(asked).num_rows - len(members) < least_people:
        return None
    for condition in (*_OF_PEOPLE, *_OF_READINGS):
        if getattr(question, condition) is None:
            continue
        without: dict[str, Any] = {condition: None}
        wider = replace(question, **without)
        of_wider = _totals(reader, wider, timeout_s) if condition in _OF_PEOPLE else totals
        if 0 < len(_members(of_wider, wider, _bounds(wider))) - len(members) < least_people:
            return None
    people = members.averages()
    mean = math.fsum(people) / len(people)
    spread = math.sqrt(math.fsum((people - mean) ** 2) / len(people))
    return CohortSummary(len(people) // PEOPLE_STEP * PEOPLE_STEP, in_steps(mean, step), in_steps(spread, step))


def page_after(
    members: Sequence[CohortMember], cursor: str | None, metric: MetricSpec = HEART_RATE
) -> Sequence[CohortMember]:
    """Return the members that come after the one with this `cursor_of`, whether that one is still among them or not.

    Raises:
        RejectedError: it is not a cursor from an answer.
    """
    if cursor is None:
        return members
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[2]) == 0 or (int(found[1]) < 0 and metric is HEART_RATE):
        raise RejectedError.of("cursor", "must be the next_cursor of an answer")
    last = -Fraction(int(found[1]), int(found[2])), found[3]
    return members[bisect_right(members, last, key=lambda member: (-member.exact_average, member.user_id)) :]


def cursor_of(member: CohortMember) -> str:
    """Return the cursor after a page that ends with this member: their average in lowest terms, and their id."""
    return f"{member.exact_average.numerator}/{member.exact_average.denominator}/{member.user_id}"


class CohortService:
    """Answers questions about many people within the limits."""

    def __init__(self, reader: Reader, limits: QueryLimits) -> None:
        self._reader = reader
        self._limits = limits

    def cohort(self, question: CohortQuestion) -> CohortMembers:
        """See `cohort`."""
        return cohort(self._reader, question, self._limits.timeout_s)

    def summary(self, question: CohortQuestion, least_people: int) -> CohortSummary | None:
        """See `cohort_summary`."""
        return cohort_summary(self._reader, question, least_people, self._limits.timeout_s)

    def top_hours(self, question: TopHoursQuestion) -> list[TopHour]:
        """See `top_hours`."""
        return top_hours(self._reader, question, self._limits.timeout_s)


def query_users(  # noqa: PLR0917 in the order in which the question is put
    store: Reader,
    min_age: int | None,
    gender: str | Sequence[str] | None,
    min_avg_heart_rate: Number | None,
    date_from: Moment,
    date_to: Moment,
    *,
    min_coverage: Number | None = None,
    tz: str = "UTC",
    metric: str = HEART_RATE.name,
    min_avg: Number | None = None,
    max_avg: Number | None = None,
    max_age: int | None = None,
) -> list[str]:
    """Return the ids of the people whose average over the period is above `min_avg_heart_rate`, the highest first.

    `min_age` and `gender` exclude people who are not older on the first day or have another gender, and people for whom
    that is unknown; None excludes nobody. Of another `metric`, `min_avg_heart_rate` is None and `min_avg` the
    threshold, in the metric's unit. See `CohortQuestion`.

    Raises:
        RejectedError: names the argument that is wrong.
    """
    spec = asked_metric(metric)
    average, field = average_above(spec, min_avg, min_avg_heart_rate)
    if spec is HEART_RATE and average is None and max_avg is None:
        raise RejectedError.of("min_avg_heart_rate", NO_NUMBER)
    question = CohortQuestion(
        date_from,
        date_to,
        average,
        min_age,
        [gender] if isinstance(gender, str) else gender,
        min_coverage,
        tz,
        metric=spec,
        max_avg=max_avg,
        max_age=max_age,
        min_avg_field=field,
    )
    return cohort(store, question).user_ids()


def average_above(
    metric: MetricSpec, min_avg: Number | None, min_avg_heart_rate: Number | None
) -> tuple[Number | None, str]:
    """Return the threshold that a question states under one of two names, and that name.

    Raises:
        RejectedError: it states both, or that of heart rate for another metric.
    """
    if min_avg_heart_rate is None:
        return min_avg, "min_avg"
    if metric is not HEART_RATE:
        raise RejectedError.of("min_avg_heart_rate", f"is of heart rate alone; min_avg is of {metric.name}")
    if min_avg is not None:
        raise RejectedError.of("min_avg_heart_rate", "is another name of min_avg; send one of them")
    return min_avg_heart_rate, "min_avg_heart_rate"


def query_top(
    store: Reader,
    user_id: str | int,
    date_from: Moment,
    date_to: Moment,
    limit: int = 10,
    *,
    tz: str = "UTC",
    metric: str = HEART_RATE.name,
) -> list[float]:
    """Return a person's `limit` highest distinct averages of UTC hours, highest first; see `TopHoursQuestion`.

    Raises:
        RejectedError: names the argument that is wrong.
        UnknownUserError: nobody of that id is known.
    """
    user_id = user_id if isinstance(user_id, str) else str(user_id)
    question = TopHoursQuestion(user_id, date_from, date_to, limit, tz, metric=asked_metric(metric))
    return [hour.average for hour in top_hours(store, question)]


def touched_minutes(period: TimeRange) -> int:
    """Return how many UTC minutes the period touches, including cut ones at its ends. Coverage is a share of these."""
    return period.widened(MINUTE_US).length_us // MINUTE_US


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The bounds of the average, and the least coverage."""

    above: Fraction | None
    most: Fraction | None
    coverage: Fraction


def _bounds(question: CohortQuestion) -> _Bounds:
    least = 0 if question.min_coverage is None else question.min_coverage
    above = _average(question.min_avg, question.min_avg_field, question.metric)
    most = _average(question.max_avg, "max_avg", question.metric)
    if above is not None and most is not None and most <= above:
        raise RejectedError.of("max_avg", f"must be above {question.min_avg_field}")
    if question.min_age is not None and question.max_age is not None:
        for field, age in (("min_age", question.min_age), ("max_age", question.max_age)):
            check_whole(field, age, 0, MAX_AGE)
        if question.max_age <= question.min_age:
            raise RejectedError.of("max_age", "must be above min_age")
    return _Bounds(above, most, exact_number(least, "min_coverage", 1))


def _average(stated: Number | None, field: str, metric: MetricSpec) -> Fraction | None:
    """Return a bound of averages, None if none is stated."""
    if stated is None:
        return None
    highest = max(MAX_AVERAGE, 10 ** len(str(int(metric.high))))
    return exact_number(stated, field, highest, 0 if metric is HEART_RATE else -highest)


def _known_genders(genders: Collection[str] | None) -> frozenset[str] | None:
    if genders is None:
        return None
    if not genders or any(gender not in GENDERS for gender in genders):
        raise RejectedError.of("gender", f"must be {', '.join(GENDERS[:-1])} or {GENDERS[-1]}")
    return frozenset(genders)
