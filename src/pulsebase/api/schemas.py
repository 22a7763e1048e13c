"""The HTTP shapes: parameters that are checked here, and answers as the OpenAPI document shows them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from pulsebase.model.identifiers import ID_PATTERN, identifier_problem
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.users import GENDERS, MAX_PRIORITY
from pulsebase.query.cohorts import MAX_AGE, MAX_AVERAGE, MAX_TOP_HOURS


def _lost_plus(value: object) -> object:
    """A space in a query stands where an unescaped `+` was meant; no id and no zone has a space."""
    return value.replace(" ", "+") if isinstance(value, str) else value


def _checked_id(value: str) -> str:
    problem = identifier_problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


Identifier = Annotated[
    str,
    BeforeValidator(_lost_plus),
    AfterValidator(_checked_id),
    Field(description="1–128 of `A–Z a–z 0–9 . _ : @ + -`", json_schema_extra={"pattern": ID_PATTERN}),
]
#: In a path a space is no `+`.
PathIdentifier = Annotated[
    str,
    AfterValidator(_checked_id),
    Field(description="1–128 of `A–Z a–z 0–9 . _ : @ + -`", json_schema_extra={"pattern": ID_PATTERN}),
]
Zone = Annotated[
    str, BeforeValidator(_lost_plus), Field(description="IANA time zone of bare dates, local times and days.")
]
When = Annotated[
    str,
    Field(
        max_length=64,
        description="A date, or a time in ISO 8601; local ones are read in `tz` or UTC.",
        examples=["2024-01-15T10:00:00Z"],
    ),
]
Interval = Literal["auto", "raw", "1s", "1m", "15m", "1h", "1d"]
Gender = Literal["female", "male", "other"]
MetricName = Literal["activities_heart_intraday", "activities_heart_summary"]


def body_of(schema: str) -> dict[str, Any]:
    """What a route says of its body in the OpenAPI document where it decodes it itself: JSON of this schema."""
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NoParameters(_Parameters):
    """Routes that are asked without any."""


class HeartRateParameters(_Parameters):
    """`GET /metrics/heart-rate`."""

    user_id: Identifier
    start: When
    end: When
    device_id: Identifier | None = None


class DeleteParameters(_Parameters):
    """`DELETE /metrics/heart-rate`."""

    user_id: Identifier
    start: When
    end: When
    device_id: Identifier | None = None


class _SeriesParameters(_Parameters):
    start_date: When
    end_date: When
    metric: MetricName = HEART_RATE.table  # type: ignore[assignment]
    interval: Interval = Field("auto", description="`auto` picks by the length of the range as typed.")
    max_points: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Instead of `interval`: the finest rung that stays within so many points.",
    )
    device_id: Identifier | None = Field(None, description="This device alone.")
    include: Literal["all"] | None = Field(None, description="`all`: the readings of every device, unresolved.")
    tz: Zone = "UTC"


class SeriesParameters(_SeriesParameters):
    """`GET /timeseries`."""

    user_id: Identifier


class MultiSeriesParameters(_SeriesParameters):
    """`GET /multi-user/timeseries`."""

    user_ids: list[Identifier] | None = Field(
        None, description="Repeat for several people; by default the first `limit`."
    )
    limit: int = Field(20, ge=1, le=100, description="How many people a page has where `user_ids` is not given.")
    cursor: Identifier | None = None


def _written_number(highest: int) -> object:
    """A number whose text goes on as it was written: a double would not hold every decimal."""
    return WithJsonSchema({"type": "number", "minimum": 0, "maximum": highest})


class CohortParameters(_Parameters):
    """`GET /cohorts/heart-rate`."""

    start: When
    end: When
    min_avg_heart_rate: Annotated[str, _written_number(MAX_AVERAGE)] = Field(
        description="bpm; the average has to be above it."
    )
    min_age: Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_AGE})] | None = Field(
        None, description="Full years that a person has to be older than on the first day."
    )
    gender: list[Annotated[str, WithJsonSchema({"type": "string", "enum": list(GENDERS)})]] | None = Field(
        None, description="Repeat for several."
    )
    min_coverage: Annotated[str, _written_number(1)] | None = Field(
        None, description="The least share of the period's minutes that has to hold a counted reading."
    )
    include: Literal["averages"] | None = Field(None, description="`averages`: figures beside the ids.")
    limit: int = Field(100, ge=1, le=1000, description="How many people a page has.")
    cursor: Annotated[str, BeforeValidator(_lost_plus)] | None = Field(None, max_length=256)
    tz: Zone = "UTC"


class TopHoursParameters(_Parameters):
    """`GET /users/{user_id}/heart-rate/top-hours`."""

    start: When
    end: When
    limit: int = Field(10, ge=1, le=MAX_TOP_HOURS, description="How many averages.")
    include: Literal["hours"] | None = Field(None, description="`hours`: the first hour of each average.")
    tz: Zone = "UTC"


class UsersParameters(_Parameters):
    """`GET /users`."""

    query: str = Field("", max_length=128, description="Part of an id or a name; case is ignored.")
    limit: int = Field(100, ge=1, le=1000)
    cursor: Identifier | None = None


class OriginParameters(_Parameters):
    """`POST /admin/readings`: what brought the readings."""

    kind: Literal["import"]
    name: str = Field(min_length=1, max_length=256)


class LineProtocolParameters(_Parameters):
    """`POST /api/v2/write`. Clients of that API name a place; there is one here, so those names are read and not
    used.
    """

    precision: Literal["ns", "us", "ms", "s"] = "ns"
    bucket: str | None = Field(None, max_length=256, description="Accepted, since clients always send it; not used.")
    org: str | None = Field(None, max_length=256, description="Accepted, since clients always send it; not used.")
    orgID: str | None = Field(None, max_length=256, description="As `org`.")  # noqa: N815 the protocol's name


class Reading(BaseModel):
    """A reading as a device sends it."""

    model_config = ConfigDict(extra="forbid")

    device_id: Identifier | int
    user_id: Identifier | int
    timestamp: str = Field(description="ISO 8601; UTC where no offset is written.", examples=["2024-01-15T10:00:00Z"])
    heart_rate: float = Field(ge=HEART_RATE.low, le=HEART_RATE.high, description="bpm; kept to two decimals.")
    confidence: int | None = Field(None, ge=0, le=3, description="0 is off-wrist: kept, but never counted.")


class ReadingBatch(BaseModel):
    """A batch as a device sends it."""

    model_config = ConfigDict(extra="forbid")

    readings: list[Reading] = Field(min_length=1, max_length=1000)


class Accepted(BaseModel):
    """A reading is durable and visible."""

    status: Literal["accepted"]


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


class Deleted(BaseModel):
    """How many readings went."""

    deleted: int


class MinuteReading(BaseModel):
    """The average of a minute, and the device it is of."""

    timestamp: str
    heart_rate: float
    device_id: str


class HeartRate(BaseModel):
    """A person's minutes."""

    user_id: str
    data: list[MinuteReading]
    count: int


class SeriesColumns(BaseModel):
    """Columns of equal length. Buckets have `avg` to `minutes`; raw has `value`, `device_id`, `confidence`."""

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
    min: int
    max: int
    minutes: int | None
    caloriesOut: float | None  # noqa: N815 the name that sources and stored exports use


class SummaryColumns(BaseModel):
    """Columns of equal length, one entry a day and method."""

    date: list[str]
    resting_heart_rate: list[float | None]
    resting_heart_rate_method: list[str | None]
    heart_rate_zones: list[list[ZoneMinutes]]
    custom_heart_rate_zones: list[list[ZoneMinutes]]


class _Frame(BaseModel):
    metric: MetricName
    unit: str
    interval: Literal["raw", "1s", "1m", "15m", "1h", "1d"]
    table: str
    tz: str
    start: str
    end: str


class Series(_Frame):
    """One person's series and what it stands for."""

    user_id: str
    count: int
    columns: SeriesColumns | SummaryColumns


class PersonColumns(BaseModel):
    """One person's part of a shared answer."""

    user_id: str
    count: int
    columns: SeriesColumns | SummaryColumns


class MultiSeries(_Frame):
    """Several people's series at one rung."""

    series: list[PersonColumns]
    missing: list[str]
    next_cursor: str | None


class PersonFields(BaseModel):
    """What can be said of a person; null is unknown."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=256, description="Without control characters.")
    gender: Gender | None = None
    birth_date: date | None = Field(None, description="From 1900 on.")
    birth_year: int | None = Field(None, ge=1900, description="In place of `birth_date`; counts as 1 July of it.")
    time_zone: str | None = Field(None, description="IANA time zone.", examples=["Europe/Berlin"])


class NewPerson(PersonFields):
    """A person who is not known yet."""

    user_id: Identifier | int


class PrioritySetting(BaseModel):
    """A device's priority for a person from an instant on."""

    model_config = ConfigDict(extra="forbid")

    priority: int | None = Field(ge=0, le=MAX_PRIORITY, description="The lower is believed first; null: the default.")
    valid_from: str = Field(
        "1970-01-01T00:00:00Z",
        description="A date, or a time in ISO 8601; UTC where no offset is written. By default since always.",
    )


class MemberFigures(BaseModel):
    """Someone of a cohort; `coverage` is the share of the period's minutes with a counted reading."""

    user_id: str
    avg: float
    count: int
    minutes: int
    coverage: float


class Cohort(BaseModel):
    """A page of a cohort, the highest average first; `count` is how many there are in all."""

    data: list[str] | list[MemberFigures]
    count: int
    next_cursor: str | None


class TopHourFigures(BaseModel):
    """One of the highest averages, and the first hour that has it."""

    hour: str
    avg: float
    count: int


class TopHours(BaseModel):
    """A person's highest distinct averages of UTC hours, highest first."""

    user_id: str
    data: list[float] | list[TopHourFigures]


class UserEntry(BaseModel):
    """A person and what is stored of them."""

    model_config = ConfigDict(title="User")

    user_id: str
    name: str | None
    gender: str | None
    birth_date: str | None
    time_zone: str | None
    readings: int
    first_reading: str | None
    last_reading: str | None


class UserList(BaseModel):
    """A page of people."""

    data: list[UserEntry]
    next_cursor: str | None


class RemovedUser(BaseModel):
    """A person who was removed, by the number of their readings."""

    deleted_readings: int


class PriorityEntry(BaseModel):
    """A priority and the instant from which on it holds; null is the default."""

    valid_from: str
    priority: int | None


class DeviceEntry(BaseModel):
    """A person's device: what is stored of it, the priority that holds now, and the person's own settings by time."""

    model_config = ConfigDict(title="Device")

    device_id: str
    readings: int
    first_reading: str | None
    last_reading: str | None
    priority: int
    priorities: list[PriorityEntry]


class DeviceList(BaseModel):
    """A person's devices."""

    user_id: str
    data: list[DeviceEntry]


class RemovedPriorities(BaseModel):
    """How many settings of a device's priority were taken back."""

    removed_entries: int


class StoredPeople(BaseModel):
    """How many people were stored."""

    stored: int


SourceName = Annotated[str, Field(min_length=1, max_length=32, description="`fitbit` or `google`.")]


class AuthorizeParameters(_Parameters):
    """`GET /sources/{source}/authorize`."""

    user_id: Identifier


class CallbackParameters(BaseModel):
    """`GET /sources/{source}/callback`. Sources add parameters of their own, so unknown ones are let through."""

    state: str = Field(max_length=256)
    code: str | None = Field(None, max_length=4096)
    error: str | None = Field(None, max_length=256, description="Why the source or the person said no.")


class RunsParameters(_Parameters):
    """`GET /etl/runs`."""

    user_id: Identifier | None = None
    source: SourceName | None = None
    limit: int = Field(100, ge=1, le=1000)
    cursor: int | None = Field(None, ge=1)


class BeginConnection(BaseModel):
    """`POST /admin/sources/{source}/authorize`."""

    model_config = ConfigDict(extra="forbid")

    user_id: Identifier
    redirect_uri: str = Field(
        max_length=256, pattern=r"^http://127\.0\.0\.1:\d+/", description="The command's listener."
    )


class Begun(BaseModel):
    """Where the person says yes, and the state that comes back."""

    url: str
    state: str


class FinishConnection(BaseModel):
    """`POST /admin/sources/{source}/callback`."""

    model_config = ConfigDict(extra="forbid")

    state: str = Field(max_length=256)
    code: str | None = Field(None, max_length=4096)
    error: str | None = Field(None, max_length=256)


class RunNow(BaseModel):
    """`POST /admin/etl/runs`: everybody, or this person or source alone."""

    model_config = ConfigDict(extra="forbid")

    user_id: Identifier | None = None
    source: SourceName | None = None


class ConnectionEntry(BaseModel):
    """A connection and how it is. `problem` says what is wrong and what a person can do."""

    model_config = ConfigDict(title="Connection")

    user_id: str
    source: str
    state: Literal["new", "ok", "waiting", "needs-person"]
    account: str | None
    connected: str
    last_reading: str | None
    last_run: str | None
    next_try: str | None
    problem: str | None


class ConnectionList(BaseModel):
    """Connections by person and source."""

    data: list[ConnectionEntry]
    next_cursor: None = None


class Disconnected(BaseModel):
    """The connection is gone."""

    disconnected: Literal[True]


class RunEntry(BaseModel):
    """A run of the pipeline: `read` rows came, of which so many were written, unchanged or rejected."""

    model_config = ConfigDict(title="Run")

    id: int | None
    user_id: str
    source: str
    data_set: str
    outcome: Literal["done", "stopped", "postponed", "failed"]
    started: str
    duration_s: float
    read: int
    written: int
    unchanged: int
    rejected: int
    reasons: dict[str, int]
    error: str | None


class RunList(BaseModel):
    """A page of runs."""

    data: list[RunEntry]
    next_cursor: int | None


class Health(BaseModel):
    """Whether the parts work."""

    status: Literal["healthy", "unhealthy"]
    service: str
    checks: dict[str, str]


class CheckResult(BaseModel):
    """What a check of the store compared, and each difference in words."""

    readings: int
    rollup_rows: int
    problems: list[str]


class BackupFolder(BaseModel):
    """`POST /admin/backup`."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(min_length=1, max_length=4096, description="An absolute path; new, or an empty folder.")


class BackupResult(BaseModel):
    """A finished copy."""

    folder: str
    database: str
    size_bytes: int


class Statement(BaseModel):
    """`POST /admin/sql`."""

    model_config = ConfigDict(extra="forbid")

    statement: str = Field(min_length=1, max_length=100_000, description="One statement that only reads.")


class Information(BaseModel):
    """What this server is."""

    name: str
    version: str
    links: dict[str, str]


class ProblemField(BaseModel):
    """One field's fault."""

    index: int | None = None
    field: str
    reason: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ProblemField] | None = None
