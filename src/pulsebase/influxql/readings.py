"""Stored readings as statements need them: totals of groups from the coarsest resolution that fits, or rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from time import monotonic
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from pulsebase.influxql.times import Windows
from pulsebase.influxql.values import F64, I64, Values
from pulsebase.model.errors import QueryTimeoutError, TooManyRowsError
from pulsebase.model.metrics import MetricSpec
from pulsebase.model.resolution import Resolution
from pulsebase.model.summaries import resting_by_day
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange, local_day_starts, to_us, zone_or_utc
from pulsebase.stores.contract import Cancellation, Reader, SeriesQuery

#: How many readings or buckets one request may have read: a dense year of a person.
MOST_READ = 4_000_000
#: Buckets that are read at a time.
_BUCKETS_AT_ONCE = 500_000
_QUARTER_US = 15 * MINUTE_US
#: From how many days on rollups of days are looked at before those of hours.
_MANY_DAYS_US = 31 * DAY_US
_TOO_MUCH = (
    f"needs more than {MOST_READ} readings; ask for less time, or for mean, count, sum, min or max of whole minutes, "
    "which are read from rollups"
)


@dataclass(frozen=True, slots=True)
class SeriesOf:
    """A series of readings: of one device, or of all, of which whole minutes' winners count."""

    user_id: str
    device_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """Where values of a field are: in a metric's readings, as the value or as the confidence; or, as the resting heart
    rate, in what sources stated of days.
    """

    metric: MetricSpec
    column: Literal["value", "confidence", "resting"] = "value"

    @property
    def of_days(self) -> bool:
        """Whether there is at most one value a day, which belongs to no device."""
        return self.column == "resting"


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """Count, sum, lowest and highest value of each group, in stored units."""

    count: I64
    sum: I64
    min: I64
    max: I64

    @classmethod
    def nothing(cls, groups: int) -> GroupTotals:
        """Return groups without readings."""
        zero = np.zeros(groups, np.int64)
        return cls(zero, zero.copy(), np.full(groups, _HIGHEST, np.int64), np.full(groups, -_HIGHEST, np.int64))

    def add(self, places: I64, table: pa.Table) -> None:
        """Add buckets, which are in order of time, to the groups they are in."""
        if len(places) == 0:
            return
        starts = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))
        into = places[starts]
        self.count[into] += np.add.reduceat(table["count"].to_numpy(), starts)
        self.sum[into] += np.add.reduceat(table["sum"].to_numpy(), starts)
        low = np.minimum.reduceat(table["min"].to_numpy(), starts)
        high = np.maximum.reduceat(table["max"].to_numpy(), starts)
        self.min[into] = np.minimum(self.min[into], low)
        self.max[into] = np.maximum(self.max[into], high)

    def values(self, name: str, scale: int) -> Values:
        """Return what a function of `functions.ROLLED_UP` makes of them, in the metric's unit."""
        there = self.count > 0
        counts = np.maximum(self.count, 1)
        if name == "count":
            return Values(self.count.astype(np.float64), there, whole=True)
        if name == "mean":
            return Values(self.sum / (counts * scale), there)
        stored = {"sum": self.sum, "min": self.min, "max": self.max, "spread": self.max - self.min}[name]
        return Values(np.where(there, stored, 0) / np.float64(scale), there)


_HIGHEST = 1 << 40


@dataclass(slots=True)
class ReadingBudget:
    """What a request may still read, and how long it may still take.

    Attributes:
        timeout_s: how long in all; None for as long as it takes.
        held: called with the number of rows that are held from now on; it may wait, or refuse by raising an error.
    """

    timeout_s: float | None
    held: Callable[[int], None]
    cancellation: Cancellation | None = None
    read: int = 0
    _since: float = field(default_factory=monotonic)

    def left_s(self) -> float | None:
        """Return how many seconds are left.

        Raises:
            QueryTimeoutError: none.
        """
        if self.timeout_s is None:
            return None
        left_s = self.timeout_s - (monotonic() - self._since)
        if left_s <= 0:
            raise QueryTimeoutError(f"the statements took longer than {self.timeout_s:g} s")
        return left_s

    def take(self, rows: int) -> None:
        """Count rows that were read."""
        self.read += rows
        if self.read > MOST_READ:
            raise TooManyRowsError.of("q", _TOO_MUCH)
        self.held(self.read)


@dataclass(frozen=True, slots=True)
class RestingDays:
    """Resting heart rates in bpm, and when their days begin where the person is, ascending."""

    times_us: I64
    values: F64

    def within(self, interval: TimeRange) -> RestingDays:
        """Return those of days that begin inside the range."""
        there = (self.times_us >= interval.start_us) & (self.times_us < interval.end_us)
        return RestingDays(self.times_us[there], self.values[there])


def resting_days(reader: Reader, user_id: str) -> RestingDays:
    """Return what sources stated of a person's days."""
    user = reader.user(user_id)
    zone = zone_or_utc(None if user is None else user.time_zone)
    found = resting_by_day(reader.summaries(user_id, date.min, date.max))
    times_us = [to_us(datetime.combine(day, time.min, zone)) for day in found]
    order = np.argsort(times_us) if times_us else np.empty(0, np.int64)
    return RestingDays(np.array(times_us, np.int64)[order], np.array(list(found.values()), np.float64)[order])


class Readings:
    """Reads series within a budget."""

    def __init__(self, reader: Reader, budget: ReadingBudget) -> None:
        self._reader, self._budget = reader, budget
        self._extents: dict[str, dict[str, TimeRange]] = {}
        self._of_days: dict[str, RestingDays] = {}

    @property
    def reader(self) -> Reader:
        """Return what is read from."""
        return self._reader

    @property
    def budget(self) -> ReadingBudget:
        """Return what may be read."""
        return self._budget

    def resting(self, user_id: str) -> RestingDays:
        """Return the resting heart rates that sources stated of a person's days."""
        if user_id not in self._of_days:
            found = resting_days(self._reader, user_id)
            self._budget.take(len(found.times_us))
            self._of_days[user_id] = found
        return self._of_days[user_id]

    def extent(self, series: SeriesOf, metric: MetricSpec) -> TimeRange | None:
        """Return the times between which the person has readings of the metric, None if there are none."""
        if series.user_id not in self._extents:
            self._extents[series.user_id] = {
                each.metric: TimeRange(each.first_us, each.last_us + 1)
                for each in self._reader.metrics(series.user_id)
                if each.first_us is not None and each.last_us is not None
            }
        return self._extents[series.user_id].get(metric.name)

    def totals(self, many: Sequence[SeriesOf], metric: MetricSpec, windows: Windows) -> GroupTotals:
        """Return what the readings of some series come to together in each group."""
        totals = GroupTotals.nothing(len(windows))
        for series in many:
            for table in self._buckets(series, metric, windows):
                # An hour that the range cuts is named by its start, which may lie before the first group.
                totals.add(np.maximum(windows.places_of(table["time_us"].to_numpy()), 0), table)
        return totals

    def raw(self, series: SeriesOf, metric: MetricSpec, interval: TimeRange) -> pa.Table:
        """Return the readings of a series inside the range (`RAW_SCHEMA`)."""
        return self._ask(series, metric, interval, Resolution.RAW)

    def narrowed(
        self, many: Sequence[SeriesOf], metric: MetricSpec, interval: TimeRange, what: str
    ) -> TimeRange | None:
        """Return an hour, or less, that holds the first, last, lowest (`min`) or highest (`max`) reading of the series,
        of equal ones the earliest; None if there are no readings.
        """
        steps = (Resolution.DAY, Resolution.HOUR) if interval.length_us > _MANY_DAYS_US else (Resolution.HOUR,)
        for rung in steps:
            found: list[tuple[int, int, int]] = []
            for series in many:
                for table in self._at_rung(series, metric, interval, rung):
                    if table.num_rows:
                        found.append(_best(table, what))
            if not found:
                return None
            start_us = min(found)[1]
            end_us = (start_us // rung.step_us + 1) * rung.step_us
            interval = TimeRange(max(start_us, interval.start_us), min(end_us, interval.end_us))
        return interval

    # --- resolutions ---

    def _buckets(self, series: SeriesOf, metric: MetricSpec, windows: Windows) -> Iterator[pa.Table]:
        interval = windows.range
        if interval.length_us <= 0:
            return
        inner = windows.edges[1:-1]
        if windows.zone is not None and windows.zone.key != "UTC" and len(inner):
            starts = _whole_days(interval, windows.zone)
            if len(starts) > 1 and np.isin(inner, starts).all():
                yield from self._days_and_edges(series, metric, interval, starts)
                return
        for rung, step_us in _RUNGS:
            if len(inner) == 0 or not (inner % step_us).any():
                yield from self._at_rung(series, metric, interval, rung)
                return
        yield from self._raw(series, metric, interval)

    def _at_rung(
        self, series: SeriesOf, metric: MetricSpec, interval: TimeRange, rung: Resolution
    ) -> Iterator[pa.Table]:
        """Yield buckets, ascending: of this resolution where they lie inside the range, finer ones at its edges."""
        if rung is Resolution.HOUR:
            yield from self._in_pieces(series, metric, interval, rung)
            return
        if rung is Resolution.DAY:
            starts = _whole_days(interval, None)
            yield from self._days_and_edges(series, metric, interval, starts)
            return
        step_us = rung.step_us
        first_us, last_us = -(-interval.start_us // step_us) * step_us, interval.end_us // step_us * step_us
        if first_us >= last_us:
            yield from self._raw(series, metric, interval)
            return
        yield from self._raw(series, metric, TimeRange(interval.start_us, first_us))
        yield from self._in_pieces(series, metric, TimeRange(first_us, last_us), rung)
        yield from self._raw(series, metric, TimeRange(last_us, interval.end_us))

    def _days_and_edges(
        self, series: SeriesOf, metric: MetricSpec, interval: TimeRange, starts: Sequence[int]
    ) -> Iterator[pa.Table]:
        if len(starts) < 2:
            yield from self._in_pieces(series, metric, interval, Resolution.HOUR)
            return
        if interval.start_us < starts[0]:
            yield from self._in_pieces(series, metric, TimeRange(interval.start_us, starts[0]), Resolution.HOUR)
        yield self._ask(series, metric, TimeRange(starts[0], starts[-1]), Resolution.DAY, starts)
        if starts[-1] < interval.end_us:
            yield from self._in_pieces(series, metric, TimeRange(starts[-1], interval.end_us), Resolution.HOUR)

    def _in_pieces(
        self, series: SeriesOf, metric: MetricSpec, interval: TimeRange, rung: Resolution
    ) -> Iterator[pa.Table]:
        piece_us = rung.step_us * _BUCKETS_AT_ONCE
        start_us = interval.start_us
        while start_us < interval.end_us:
            end_us = min((start_us // piece_us + 1) * piece_us, interval.end_us)
            yield self._ask(series, metric, TimeRange(start_us, end_us), rung)
            start_us = end_us

    def _raw(self, series: SeriesOf, metric: MetricSpec, interval: TimeRange) -> Iterator[pa.Table]:
        """Yield readings as buckets of one each."""
        if interval.length_us <= 0:
            return
        table = self._ask(series, metric, interval, Resolution.RAW)
        values = table["value"].cast(pa.int64())
        ones = pa.array(np.ones(table.num_rows, np.int64))
        yield pa.table({"time_us": table["time_us"], "count": ones, "sum": values, "min": values, "max": values})

    def _ask(
        self,
        series: SeriesOf,
        metric: MetricSpec,
        interval: TimeRange,
        rung: Resolution,
        day_starts: Sequence[int] = (),
    ) -> pa.Table:
        budget = self._budget
        if rung is Resolution.RAW:  # as many as there may be: a reading a second
            budget.held(budget.read + min(MOST_READ - budget.read, interval.length_us // 1_000_000 + 1))
        try:
            table = self._reader.series(
                SeriesQuery(
                    user_id=series.user_id,
                    range=interval,
                    resolution=rung,
                    device_id=series.device_id,
                    day_starts=day_starts,
                    limit=max(MOST_READ - budget.read, 0),
                    timeout_s=budget.left_s(),
                    cancellation=budget.cancellation,
                    kind="influxql",
                    metric=metric.name,
                )
            )
        except TooManyRowsError:
            raise TooManyRowsError.of("q", _TOO_MUCH) from None
        budget.take(table.num_rows)
        return table


_RUNGS = (
    (Resolution.DAY, DAY_US),
    (Resolution.HOUR, HOUR_US),
    (Resolution.QUARTER, _QUARTER_US),
    (Resolution.MINUTE, MINUTE_US),
)


def _whole_days(interval: TimeRange, zone: ZoneInfo | None) -> list[int]:
    """Return where the days begin that lie inside the range, and where the last one ends."""
    starts = local_day_starts(interval, zone or ZoneInfo("UTC"))
    return [start_us for start_us in starts if interval.start_us <= start_us <= interval.end_us]


def _best(table: pa.Table, what: str) -> tuple[int, int, int]:
    """Return a rank, the start of the bucket that has it, and its place: the lowest rank is what is looked for."""
    times_us = table["time_us"].to_numpy()
    if what == "first":
        return int(times_us[0]), int(times_us[0]), 0
    if what == "last":
        return -int(times_us[-1]), int(times_us[-1]), len(times_us) - 1
    ranks = table["min"].to_numpy().astype(np.int64) if what == "min" else -table["max"].to_numpy().astype(np.int64)
    place = int(np.argmin(ranks))
    return int(ranks[place]), int(times_us[place]), place


def as_values(table: pa.Table, stored: StoredColumn) -> Values:
    """Return a field's values out of readings of its metric."""
    if stored.column == "value":
        return Values.of(table["value"].to_numpy() / np.float64(stored.metric.scale))
    column = table["confidence"].combine_chunks()
    there = column.is_valid().to_numpy(zero_copy_only=False)
    return Values(column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64), there, whole=True)
