"""Answer questions about the series of one person or several, in the metric's unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.errors import RejectedError, TooManyRowsError, UnknownUserError
from pulsebase.model.metrics import HEART_RATE_SUMMARY_TABLE, MetricSpec
from pulsebase.model.resolution import LADDER, Resolution
from pulsebase.model.rollups import averages
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import TimeRange, from_us
from pulsebase.model.zones import ZoneRule
from pulsebase.query.plan import QueryLimits, SeriesPlan, SeriesQuestion, plan_series
from pulsebase.query.zones import own_days
from pulsebase.stores.contract import Reader

#: How many people of one question are read at the same time.
_READERS = 4
#: Called with the number of rows that an answer may have from now on.
RowsWanted = Callable[[int], None]


class Ask(Protocol):
    """Answers a question about one metric."""

    def __call__(self, question: SeriesQuestion, *, rows: RowsWanted) -> SeriesAnswer: ...


@dataclass(frozen=True, slots=True)
class PersonSeries:
    """One person's series. `columns` are those of the answer: times in microseconds UTC, the rest in the metric's
    unit.
    """

    user_id: str
    columns: dict[str, pa.Array]

    def __len__(self) -> int:
        return len(self.columns["timestamp"])


@dataclass(frozen=True, slots=True)
class SeriesAnswer:
    """Series of several people at one resolution, with the plan that they follow."""

    plan: SeriesPlan
    series: tuple[PersonSeries, ...]
    missing: tuple[str, ...] = ()
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SummaryAnswer:
    """Stored days of several people, by person."""

    tz: str
    range: TimeRange
    summaries: tuple[tuple[str, tuple[DailySummary, ...]], ...]
    missing: tuple[str, ...] = ()
    next_cursor: str | None = None


class SeriesService:
    """Answers questions about series. People of one question are read concurrently."""

    def __init__(self, reader: Reader, limits: QueryLimits, pool: ThreadPoolExecutor | None = None) -> None:
        self._reader = reader
        self._limits = limits
        self._pool = pool or ThreadPoolExecutor(_READERS, "pulsebase-read")

    def through(self, reader: Reader) -> SeriesService:
        """Return this service over another reader, with the same threads."""
        return SeriesService(reader, self._limits, self._pool)

    @property
    def limits(self) -> QueryLimits:
        """Return the limits."""
        return self._limits

    def one(self, user_id: str, question: SeriesQuestion, rows: RowsWanted = lambda _: None) -> SeriesAnswer:
        """Return one person's series. `rows` is called with the number of rows that the answer may have before they are
        read, and with the actual number afterwards. It may block, or refuse by raising an error.

        Raises:
            UnknownUserError: nobody of that id is known.
            RejectedError: the question is wrong, or its answer too long.
        """
        plan = plan_series(question)
        if not self._reader.knows(user_id):
            raise UnknownUserError(user_id)
        return self._answer(plan, [user_id], rows)

    def many(
        self,
        user_ids: Sequence[str] | None,
        question: SeriesQuestion,
        limit: int,
        cursor: str | None,
        rows: RowsWanted = lambda _: None,
    ) -> SeriesAnswer:
        """Return the series of the named people, or of the first `limit` people after `cursor`; `rows` as for `one`.

        Raises:
            RejectedError: the question is wrong, or its answer too long.
        """
        plan = plan_series(question)
        known, missing, next_cursor = self._people(user_ids, limit, cursor)
        return replace(self._answer(plan, known, rows), missing=missing, next_cursor=next_cursor)

    @staticmethod
    def several(
        metrics: Sequence[MetricSpec], question: SeriesQuestion, ask: Ask, rows: RowsWanted = lambda _: None
    ) -> list[SeriesAnswer]:
        """Return the answers about several metrics, all at one resolution: the finest at which each of them keeps to
        `max_points`. `ask` answers about one. `rows` is as for `one`, for all of them together.

        Raises:
            RejectedError: the question is wrong, or its answer too long.
        """
        answers: list[SeriesAnswer] = []
        held = 0
        for metric in metrics:
            answers.append(ask(replace(question, metric=metric), rows=_added_to(held, rows)))
            held += sum(map(len, answers[-1].series))
        common = max((answer.plan.resolution for answer in answers), key=LADDER.index)
        if all(answer.plan.resolution is common for answer in answers):
            return answers
        # One of them is denser than a reading a second, so that `max_points` made it coarser: so are the others then.
        del answers
        return SeriesService.several(metrics, replace(question, interval=common, max_points=None), ask, rows)

    def summaries(
        self, user_ids: Sequence[str] | None, question: SeriesQuestion, limit: int, cursor: str | None
    ) -> SummaryAnswer:
        """Return the stored days of the named people, as the source stated them, in the person's own zone.

        With `zones` there are also computed days, in the question's zone: minutes in zones, under their own method.
        """
        for name, given in (
            ("interval", question.interval is not None),
            ("max_points", question.max_points is not None),
            ("device_id", question.device_id is not None),
            ("include", question.include_all),
        ):
            if given:
                raise RejectedError.of(
                    name, f"has no meaning for {HEART_RATE_SUMMARY_TABLE}: a summary is one entry a day"
                )
        days = SeriesQuestion(question.start, question.end, question.tz, Resolution.DAY)
        plan = plan_series(replace(days, cancellation=question.cancellation))
        known, missing, next_cursor = self._people(user_ids, limit, cursor)
        found = tuple((user_id, tuple(self._days(user_id, plan, question.zones))) for user_id in known)
        return SummaryAnswer(question.tz, plan.range, found, missing, next_cursor)

    def _days(self, user_id: str, plan: SeriesPlan, rule: ZoneRule | None) -> list[DailySummary]:
        """Return a person's days, ordered by day, then by method (none first)."""
        if not plan.day_starts:
            return []
        stored = self._reader.summaries(user_id, *_days(plan))
        user = self._reader.user(user_id)
        if rule is None or user is None:
            return stored
        own = own_days(self._reader, user, stored, plan=plan, rule=rule, timeout_s=self._limits.timeout_s)
        return sorted([*stored, *own], key=lambda each: (each.day, each.resting_heart_rate_method or ""))

    def require(self, user_id: str) -> None:
        """Raise `UnknownUserError` if there is nobody with that id."""
        if not self._reader.knows(user_id):
            raise UnknownUserError(user_id)

    def close(self) -> None:
        """Stop the reading threads."""
        self._pool.shutdown()

    def _people(
        self, user_ids: Sequence[str] | None, limit: int, cursor: str | None
    ) -> tuple[list[str], tuple[str, ...], str | None]:
        if user_ids is None:
            page = [overview.user.user_id for overview in self._reader.users("", limit + 1, cursor)]
            return page[:limit], (), page[limit - 1] if len(page) > limit else None
        asked = list(dict.fromkeys(user_ids))
        if len(asked) > self._limits.max_people:
            raise RejectedError.of("user_ids", f"at most {self._limits.max_people} people at a time")
        known = [user_id for user_id in asked if self._reader.knows(user_id)]
        return known, tuple(user_id for user_id in asked if user_id not in set(known)), None

    def _answer(self, plan: SeriesPlan, user_ids: Sequence[str], rows: RowsWanted) -> SeriesAnswer:
        max_points = plan.question.max_points
        limit = self._limits.max_rows if max_points is None else min(max_points, self._limits.max_rows)
        rows(min(self._limits.max_rows, len(user_ids) * min(limit, plan.likely_rows)))
        try:
            series = self._read_all(plan, user_ids, limit)
        except TooManyRowsError:
            # Readings denser than one a second: the next coarser resolution keeps the promise of `max_points`.
            next_plan = plan.coarser() if max_points is not None and plan.resolution is Resolution.RAW else None
            if next_plan is None:
                raise
            return self._answer(next_plan, user_ids, rows)
        rows(sum(map(len, series)))
        return SeriesAnswer(plan, series)

    def _read_all(self, plan: SeriesPlan, user_ids: Sequence[str], limit: int) -> tuple[PersonSeries, ...]:
        if len(user_ids) == 1:
            return (self._read(plan, user_ids[0], limit),)
        series: list[PersonSeries] = []
        rows = 0
        contexts = [copy_context() for _ in user_ids]  # the context tells a thread for which caller it reads
        # Leaving the loop early cancels the reads that have not begun.
        for person in self._pool.map(lambda mine, who: mine.run(self._read, plan, who, limit), contexts, user_ids):
            series.append(person)
            rows += len(person)
            if rows > self._limits.max_rows:
                raise TooManyRowsError.of(
                    "user_ids",
                    f"the answer would have more than {self._limits.max_rows} rows; ask for fewer people or less time",
                )
        return tuple(series)

    def _read(self, plan: SeriesPlan, user_id: str, limit: int) -> PersonSeries:
        table = self._reader.series(plan.query(user_id, limit, self._limits.timeout_s))
        columns_of = _raw_columns if plan.resolution is Resolution.RAW else _bucket_columns
        columns = columns_of(table, plan.question.metric.scale)
        return PersonSeries(user_id, columns)


def _added_to(held: int, rows: RowsWanted) -> RowsWanted:
    return lambda more: rows(held + more)


def _raw_columns(table: pa.Table, scale: int) -> dict[str, pa.Array]:
    return {
        "timestamp": _column(table, "time_us"),
        "value": pa.array(_in_unit(table, "value", scale)),
        "device_id": _column(table, "device_id"),
        "confidence": _column(table, "confidence"),
    }


def _bucket_columns(table: pa.Table, scale: int) -> dict[str, pa.Array]:
    return {
        "timestamp": _column(table, "time_us"),
        "avg": pa.array(averages(table["sum"].to_numpy(), table["count"].to_numpy(), scale)),
        "min": pa.array(_in_unit(table, "min", scale)),
        "max": pa.array(_in_unit(table, "max", scale)),
        "count": _column(table, "count"),
        "minutes": _column(table, "minutes"),
        "device_id": _column(table, "device_id"),
    }


def _column(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks()


def _in_unit(table: pa.Table, name: str, scale: int) -> npt.NDArray[np.float64]:
    stored: npt.NDArray[np.int16] = table[name].to_numpy()
    return stored / np.float64(scale)


def _days(plan: SeriesPlan) -> tuple[date, date]:
    first = from_us(plan.day_starts[0]).astimezone(plan.zone).date()
    last = from_us(plan.day_starts[-1] - 1).astimezone(plan.zone).date()
    return first, last
