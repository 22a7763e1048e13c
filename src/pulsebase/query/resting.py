"""Work out resting heart rates from the stored readings of one person, beside what sources state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.resolution import Resolution
from pulsebase.model.resting import LEAST_COVERED_MINUTES, RestingHeartRate, resting_heart_rate
from pulsebase.model.rollups import averages
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import MINUTE_US, TimeRange, from_us
from pulsebase.query.person_days import DaysQuestion, RowsHeld, days_asked, require_still_known
from pulsebase.query.plan import QueryLimits
from pulsebase.stores.contract import Reader, SeriesQuery
from pulsebase.stores.deadline import Deadline

_DAYS_AT_ONCE = 31
_MINUTES_A_DAY = 1_500
_KIND = "resting_heart_rate"


@dataclass(frozen=True, slots=True)
class RestingDay:
    """A civil day.

    Attributes:
        covered_minutes: how many minutes hold a counted reading.
        own: worked out from the readings; None if there are too few.
        stated: what sources state of that date, by method; each has a resting heart rate.
    """

    day: date
    covered_minutes: int
    own: RestingHeartRate | None
    stated: tuple[DailySummary, ...]


@dataclass(frozen=True, slots=True)
class RestingAnswer:
    """The days that have readings, or of which a source states something, by date. `range` is of whole days."""

    tz: str
    range: TimeRange
    days: tuple[RestingDay, ...]


def resting_heart_rates(
    reader: Reader, question: DaysQuestion, limits: QueryLimits, rows: RowsHeld = lambda _: None
) -> RestingAnswer:
    """Return a person's resting heart rates. Only days with enough covered minutes are read minute by minute, a month
    at a time. `rows` is called with the number of rows that are held.

    Raises:
        RejectedError: names the field that is wrong.
        UnknownUserError: nobody of that id is known.
        QueryTimeoutError: all of it together takes longer than the limit.
    """
    asked = days_asked(reader, question)
    if not asked.starts:
        return RestingAnswer(asked.zone.key, asked.range, ())
    deadline = Deadline.after(limits.timeout_s, question.cancellation)
    answered = TimeRange(asked.starts[0], asked.starts[-1])
    dates = [from_us(start_us).astimezone(asked.zone).date() for start_us in asked.starts[:-1]]
    stated: dict[date, list[DailySummary]] = {}
    for summary in reader.summaries(question.user_id, dates[0], dates[-1]):
        if summary.resting_heart_rate is not None:
            stated.setdefault(summary.day, []).append(summary)
    days = reader.series(_query(question, answered, Resolution.DAY, deadline, asked.starts))
    covered = dict(zip(days["time_us"].to_pylist(), days["minutes"].to_pylist(), strict=True))
    enough = [
        TimeRange(*bounds)
        for bounds in zip(asked.starts, asked.starts[1:], strict=False)
        if covered.get(bounds[0], 0) >= LEAST_COVERED_MINUTES
    ]
    rows(min(len(enough), _DAYS_AT_ONCE) * _MINUTES_A_DAY)
    own: dict[int, RestingHeartRate] = {}
    for part in _months(enough):
        widened = TimeRange(part[0].start_us, part[-1].end_us).widened(MINUTE_US)
        own |= _own(reader.series(_query(question, widened, Resolution.MINUTE, deadline)), part)
    require_still_known(reader, question)
    found = tuple(
        RestingDay(day, covered.get(start_us, 0), own.get(start_us), tuple(stated.get(day, ())))
        for day, start_us in zip(dates, asked.starts, strict=False)
        if start_us in covered or day in stated
    )
    rows(len(found))
    return RestingAnswer(asked.zone.key, answered, found)


def _months(days: Sequence[TimeRange]) -> Iterator[list[TimeRange]]:
    """Yield days that follow on one another, so many at a time; nothing is read between others."""
    part: list[TimeRange] = []
    for day in days:
        if part and (day.start_us != part[-1].end_us or len(part) == _DAYS_AT_ONCE):
            yield part
            part = []
        part.append(day)
    if part:
        yield part


def _own(minutes: pa.Table, days: Sequence[TimeRange]) -> dict[int, RestingHeartRate]:
    """The resting heart rates of days, by where they start. A minute is of the day in which it starts."""
    times_us, means = minutes["time_us"].to_numpy(), averages(minutes["sum"].to_numpy(), minutes["count"].to_numpy())
    found = {}
    for day in days:
        first, last = np.searchsorted(times_us, [day.start_us, day.end_us])
        resting = resting_heart_rate(times_us[first:last], means[first:last])
        if resting is not None:
            found[day.start_us] = resting
    return found


def _query(
    question: DaysQuestion,
    interval: TimeRange,
    resolution: Resolution,
    deadline: Deadline,
    day_starts: tuple[int, ...] = (),
) -> SeriesQuery:
    return SeriesQuery(
        question.user_id,
        interval,
        resolution,
        day_starts=day_starts,
        timeout_s=deadline.left_s(),
        cancellation=question.cancellation,
        kind=_KIND,
        metric=HEART_RATE.name,
    )
