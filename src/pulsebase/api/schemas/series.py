"""Requests for series, and their answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from pulsebase.api.schemas.common import Identifier, Parameters, When, Zone
from pulsebase.model.metrics import HEART_RATE, HEART_RATE_SUMMARY_TABLE, METRICS
from pulsebase.model.zones import ZoneRule

Interval = Literal["auto", "raw", "1s", "1m", "15m", "1h", "1d"]
#: The values of `metric=` that the OpenAPI document lists. Names with hyphens and aliases are accepted too.
MetricName = Annotated[
    str,
    Field(min_length=1, max_length=64),
    WithJsonSchema({"type": "string", "examples": [HEART_RATE.table, HEART_RATE_SUMMARY_TABLE, *METRICS]}),
]


class _SeriesParameters(Parameters):
    start_date: When
    end_date: When
    metric: list[MetricName] = Field(
        [HEART_RATE.table],
        min_length=1,
        max_length=len(METRICS),
        description=f"A metric of `GET /v1/metrics`; repeat for several. `{HEART_RATE.table}` means heart rate, "
        f"`{HEART_RATE_SUMMARY_TABLE}` its daily summaries.",
    )
    interval: Interval = Field("auto", description="`auto` chooses by the length of the range.")
    max_points: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Instead of `interval`: choose the finest resolution with at most this many points.",
    )
    device_id: Identifier | None = Field(None, description="Only readings of this device.")
    include: Literal["all"] | None = Field(None, description="`all` returns readings of every device, unresolved.")
    zones: ZoneRule | None = Field(
        None,
        description="For daily summaries: add minutes in heart-rate zones, computed from the readings. The zones begin "
        "at 50, 70 and 85 % of 220 − age, or of the reserve above the day's resting heart rate.",
    )
    tz: Zone = "UTC"


class SeriesParameters(_SeriesParameters):
    """`GET /timeseries`."""

    user_id: Identifier


class MultiSeriesParameters(_SeriesParameters):
    """`GET /multi-user/timeseries`."""

    user_ids: list[Identifier] | None = Field(
        None, description="Repeat for several people; by default the first `limit`."
    )
    limit: int = Field(20, ge=1, le=100, description="The number of people on a page, without `user_ids`.")
    cursor: Identifier | None = None


class StreamParameters(Parameters):
    """`GET /stream`."""

    user_ids: list[Identifier] = Field(min_length=1, description="Repeat for several people.")
    metric: list[MetricName] = Field(
        [HEART_RATE.name], min_length=1, max_length=len(METRICS), description="Repeat for several metrics."
    )


class SeriesColumns(BaseModel):
    """Columns of equal length. Buckets have `avg` to `minutes`; raw readings `value`, `device_id` and `confidence`."""

    timestamp: list[str]
    avg: list[float] | None = None
    min: list[float] | None = None
    max: list[float] | None = None
    count: list[int] | None = None
    minutes: list[int] | None = None
    value: list[float] | None = None
    device_id: list[str] | None = None
    confidence: list[int | None] | None = None


class ZoneMinutes(BaseModel):
    """Minutes in a heart-rate zone."""

    model_config = ConfigDict(title="HeartRateZone")

    name: str
    min: int | None
    max: int | None
    minutes: int | None
    caloriesOut: float | None  # noqa: N815 the name that sources and stored exports use


class SummaryColumns(BaseModel):
    """Columns of equal length, with one entry per day and method."""

    date: list[str]
    resting_heart_rate: list[float | None]
    resting_heart_rate_method: list[str | None]
    heart_rate_zones: list[list[ZoneMinutes]]
    custom_heart_rate_zones: list[list[ZoneMinutes]]


class _Frame(BaseModel):
    metric: str
    unit: str
    interval: Literal["raw", "1s", "1m", "15m", "1h", "1d"]
    table: str
    tz: str
    start: str
    end: str


class Series(_Frame):
    """One person's series, with its resolution, zone and range."""

    user_id: str
    count: int
    columns: SeriesColumns | SummaryColumns


class PersonColumns(BaseModel):
    """One person's part of a shared answer."""

    user_id: str
    count: int
    columns: SeriesColumns | SummaryColumns


class MetricColumns(BaseModel):
    """One metric of an answer about several metrics. `user_id` is there if the answer is about several people."""

    user_id: str | None = None
    metric: str
    unit: str
    table: str
    count: int
    columns: SeriesColumns


class SeveralMetrics(BaseModel):
    """Series of several metrics at one resolution."""

    user_id: str | None = None
    interval: Literal["raw", "1s", "1m", "15m", "1h", "1d"]
    tz: str
    start: str
    end: str
    series: list[MetricColumns]
    missing: list[str] | None = None
    next_cursor: str | None = None


class MultiSeries(_Frame):
    """Several people's series at one resolution."""

    series: list[PersonColumns]
    missing: list[str]
    next_cursor: str | None
