"""Plan a query: turn a question as typed into a resolution, a widened range and civil days for the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import HEART_RATE, HEART_RATE_SUMMARY_TABLE, MetricSpec, asked_metric
from pulsebase.model.resolution import Resolution, coarser, resolution_for_length, resolution_for_points
from pulsebase.model.timerange import SECOND_US, AskedRange, TimeRange, local_day_starts, parse_range, zone_named
from pulsebase.model.zones import ZoneRule
from pulsebase.stores.contract import Cancellation, SeriesQuery


@dataclass(frozen=True, slots=True)
class SeriesQuestion:
    """What a caller typed; see `GET /v1/timeseries`. `start_field` and `end_field` are its names for error messages."""

    start: str
    end: str
    tz: str = "UTC"
    interval: Resolution | None = None
    max_points: int | None = None
    device_id: str | None = None
    include_all: bool = False
    zones: ZoneRule | None = None
    start_field: str = "start_date"
    end_field: str = "end_date"
    cancellation: Cancellation | None = None
    metric: MetricSpec = HEART_RATE


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """How many rows and people one answer may have, and how long it may take."""

    max_rows: int = 1_000_000
    max_people: int = 100
    timeout_s: float | None = 30.0


@dataclass(frozen=True, slots=True)
class AskedPeriod:
    """A range as typed, and the zone it was read in."""

    asked: AskedRange
    zone: ZoneInfo

    @property
    def range(self) -> TimeRange:
        """Return the exact range."""
        return self.asked.range


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """The query for the store, the same for every person of the question. An empty range has no days."""

    question: SeriesQuestion
    asked: AskedRange
    zone: ZoneInfo
    resolution: Resolution
    range: TimeRange
    day_starts: tuple[int, ...]

    @property
    def table(self) -> str:
        """Return the table name that the answer states."""
        return self.resolution.table_of(self.question.metric)

    @property
    def likely_rows(self) -> int:
        """Return the most rows that one person's answer has, unless there are several readings per second."""
        if self.resolution is Resolution.DAY:
            return len(self.day_starts) - 1
        return self.range.length_us // (self.resolution.step_us or SECOND_US) + 1

    def query(self, user_id: str, limit: int, timeout_s: float | None) -> SeriesQuery:
        """Return the store's query for one person."""
        question = self.question
        return SeriesQuery(
            user_id=user_id,
            range=self.range,
            resolution=self.resolution,
            device_id=question.device_id,
            include_all=question.include_all,
            day_starts=self.day_starts,
            limit=limit,
            timeout_s=timeout_s,
            cancellation=question.cancellation,
            metric=question.metric.name,
        )

    def coarser(self) -> SeriesPlan | None:
        """Return the same question at the next coarser resolution, or None if there is none."""
        rung = coarser(self.resolution)
        return None if rung is None else _at(self.question, self.asked, self.zone, rung)


def asked_period(start: str, end: str, tz: str, *, start_field: str, end_field: str) -> AskedPeriod:
    """Read a period as typed.

    Raises:
        RejectedError: names the field that is wrong.
    """
    zone = zone_named(tz)
    return AskedPeriod(parse_range(start, end, zone, start_field=start_field, end_field=end_field), zone)


def plan_series(question: SeriesQuestion) -> SeriesPlan:
    """Choose the resolution and widen the range to whole buckets.

    Raises:
        RejectedError: names the field that is wrong.
    """
    if question.zones is not None:
        raise RejectedError.of("zones", f"goes with metric={HEART_RATE_SUMMARY_TABLE} only")
    period = asked_period(
        question.start, question.end, question.tz, start_field=question.start_field, end_field=question.end_field
    )
    asked, zone = period.asked, period.zone
    if question.interval is not None and question.max_points is not None:
        raise RejectedError.of("max_points", "goes with interval=auto only")
    rung = question.interval
    if rung is None and question.max_points is not None:
        rung = resolution_for_points(asked.range, question.max_points, zone)
        if rung is None:
            raise RejectedError.of("max_points", "is too small: even the days of this range are more points")
    return _at(question, asked, zone, rung or resolution_for_length(asked.typed_us))


def metrics_named(names: Sequence[str], field: str = "metric") -> list[MetricSpec] | None:
    """Return the metrics that `metric=` asks for, each once; None if it asks for daily summaries of heart rate.

    Raises:
        RejectedError: one of them is not a metric, or summaries are asked for together with metrics.
    """
    if HEART_RATE_SUMMARY_TABLE in names:
        if set(names) != {HEART_RATE_SUMMARY_TABLE}:
            raise RejectedError.of(field, f"{HEART_RATE_SUMMARY_TABLE} cannot be asked for together with other metrics")
        return None
    return list(dict.fromkeys(asked_metric(name, field) for name in names))


def _at(question: SeriesQuestion, asked: AskedRange, zone: ZoneInfo, rung: Resolution) -> SeriesPlan:
    if rung is not Resolution.DAY or asked.range.length_us == 0:
        return SeriesPlan(question, asked, zone, rung, asked.range.widened(rung.step_us), ())
    starts = tuple(local_day_starts(asked.range, zone))
    return SeriesPlan(question, asked, zone, rung, TimeRange(starts[0], starts[-1]), starts)
