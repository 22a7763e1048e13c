"""Readings as they come in and go out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Accepted, Identifier, Parameters, When
from pulsebase.model.metrics import HEART_RATE


class HeartRateParameters(Parameters):
    """`GET /metrics/heart-rate`."""

    user_id: Identifier
    start: When
    end: When
    device_id: Identifier | None = None


class DeleteParameters(Parameters):
    """`DELETE /metrics/heart-rate`."""

    user_id: Identifier
    start: When
    end: When
    device_id: Identifier | None = None


class Reading(BaseModel):
    """A heart-rate reading as a device sends it."""

    model_config = ConfigDict(extra="forbid")

    device_id: Identifier | int
    user_id: Identifier | int
    timestamp: str = Field(description="ISO 8601; UTC where no offset is written.", examples=["2024-01-15T10:00:00Z"])
    heart_rate: float = Field(ge=HEART_RATE.low, le=HEART_RATE.high, description="bpm; kept to two decimals.")
    confidence: int | None = Field(None, ge=0, le=3, description="0 is off-wrist: kept, but never counted.")


class ReadingsBody(BaseModel):
    """A batch of heart-rate readings as a device sends it."""

    model_config = ConfigDict(extra="forbid")

    readings: list[Reading] = Field(min_length=1, max_length=1000)


class ValueReading(BaseModel):
    """A reading of another metric as a device sends it."""

    model_config = ConfigDict(extra="forbid")

    device_id: Identifier | int
    user_id: Identifier | int
    timestamp: str = Field(description="ISO 8601; UTC where no offset is written.", examples=["2024-01-15T10:00:00Z"])
    value: float = Field(description="In the metric's unit, within its bounds.")
    confidence: int | None = Field(None, ge=0, le=3, description="0 is off-wrist: kept, but never counted.")


class ValueReadingsBody(BaseModel):
    """A batch of readings of another metric."""

    model_config = ConfigDict(extra="forbid")

    readings: list[ValueReading] = Field(min_length=1, max_length=1000)


class MetricReading(ValueReading):
    """A reading that names its metric."""

    metric: str = Field(description="A metric of `GET /v1/metrics`.", examples=["oxygen_saturation"])


class MetricReadingsBody(BaseModel):
    """A batch of readings that name their metrics."""

    model_config = ConfigDict(extra="forbid")

    readings: list[MetricReading] = Field(min_length=1, max_length=1000)


class Metric(BaseModel):
    """A metric, its unit, and the bounds of accepted values."""

    metric: str
    title: str
    unit: str
    min: float
    max: float


class MetricList(BaseModel):
    """Every metric."""

    data: list[Metric]


class MinuteValue(BaseModel):
    """The average value of a minute, and the device that measured it."""

    timestamp: str
    value: float
    device_id: str


class MetricMinutes(BaseModel):
    """A person's values of a metric, minute by minute."""

    user_id: str
    data: list[MinuteValue]
    count: int


class RefusedReading(BaseModel):
    """Why a reading of a batch was refused."""

    index: int
    field: str
    reason: str


class BatchAccepted(Accepted):
    """The accepted readings of a batch are durable and visible."""

    accepted: int
    rejected: int
    total: int
    errors: list[RefusedReading]


class BulkAccepted(BatchAccepted):
    """The accepted readings of a bulk body are durable and visible. `errors` lists the first refusals."""

    passed_over: list[str] = Field([], description="Columns that were ignored, such as the index of a data frame.")


class AppPushParameters(Parameters):
    """`POST /push/…`, which the address says that is entered in the app."""

    user_id: Identifier
    device_id: Identifier | None = Field(None, description="The device of all readings; by default what they say.")


class AppPushAccepted(BatchAccepted):
    """The accepted readings of an app's body are durable and visible. `errors` lists the first refusals."""

    passed_over: list[str] = Field([], description="Kinds of data that are of no metric.")


class MinuteReading(BaseModel):
    """The average heart rate of a minute, and the device that measured it."""

    timestamp: str
    heart_rate: float
    device_id: str


class HeartRate(BaseModel):
    """A person's heart rate, minute by minute."""

    user_id: str
    data: list[MinuteReading]
    count: int
