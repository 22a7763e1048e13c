"""People and their devices."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Gender, Identifier, Parameters
from pulsebase.model.users import MAX_PRIORITY


class UsersParameters(Parameters):
    """`GET /users`."""

    query: str = Field("", max_length=128, description="Part of an id or a name; case is ignored.")
    limit: int = Field(100, ge=1, le=1000)
    cursor: Identifier | None = None


class PersonFields(BaseModel):
    """The fields of a person. Null means unknown."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=256, description="Without control characters.")
    gender: Gender | None = None
    birth_date: date | None = Field(None, description="From 1900 on.")
    birth_year: int | None = Field(None, ge=1900, description="In place of `birth_date`; counts as 1 July of it.")
    time_zone: str | None = Field(None, description="IANA time zone.", examples=["Europe/Berlin"])


class NewPerson(PersonFields):
    """A new person."""

    user_id: Identifier | int


class PrioritySetting(BaseModel):
    """A device's priority for a person, and the instant from which it applies."""

    model_config = ConfigDict(extra="forbid")

    priority: int | None = Field(
        ge=0,
        le=MAX_PRIORITY,
        description="The lowest number takes precedence. Null is the default.",
    )
    valid_from: str = Field(
        "1970-01-01T00:00:00Z",
        description="A date, or an ISO 8601 time; UTC without an offset. By default it applies to all times.",
    )


class UserEntry(BaseModel):
    """A person and what is stored about them."""

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


class DeletedRows(BaseModel):
    """How many rows of each kind were deleted with a person."""

    readings: int = 0
    devices: int = 0
    priorities: int = 0
    summaries: int = 0
    annotations: int = 0
    connections: int = 0


class ErasureReceipt(BaseModel):
    """The stage an erasure has reached: `requested` (nothing is accepted for the person any more), `hidden` (no answer
    contains them) or `scrubbed` (no file of the store contains them). `problem` says what delays the next stage.
    """

    erasure_id: str
    stage: Literal["requested", "hidden", "scrubbed"]
    requested_at: str
    hidden_at: str | None
    scrubbed_at: str | None
    deleted: DeletedRows | None
    bytes_before: int | None
    bytes_after: int | None
    problem: str | None
    out_of_reach: list[str]


class ErasureList(BaseModel):
    """Receipts, newest first."""

    data: list[ErasureReceipt]


class AllowedUser(BaseModel):
    """The id that may be used again."""

    user_id: str


class PriorityEntry(BaseModel):
    """A priority and the instant from which it applies. Null is the default priority."""

    valid_from: str
    priority: int | None


class DeviceEntry(BaseModel):
    """A person's device: what is stored from it, its current priority, and the person's own settings by time."""

    model_config = ConfigDict(title="Device")

    device_id: str
    readings: int
    first_reading: str | None
    last_reading: str | None
    priority: int
    priorities: list[PriorityEntry]


class MetricEntry(BaseModel):
    """What is stored of one metric for a person."""

    metric: str
    title: str
    unit: str
    readings: int
    first_reading: str
    last_reading: str


class PersonMetrics(BaseModel):
    """The metrics a person has readings of."""

    user_id: str
    data: list[MetricEntry]


class DeviceList(BaseModel):
    """A person's devices."""

    user_id: str
    data: list[DeviceEntry]


class OriginEntry(BaseModel):
    """What brought some of a person's readings, and what is stored of it. The `kind` is `push` for a stream of devices,
    `sync` for a connection to a source, `import` for a file; null, as name and instant are, where the key may not know.
    """

    model_config = ConfigDict(title="Origin")

    id: int
    kind: str | None
    name: str | None
    received_at: str | None
    readings: int
    first_reading: str
    last_reading: str


class OriginList(BaseModel):
    """What brought a person's readings, by id."""

    user_id: str
    data: list[OriginEntry]


class RemovedPriorities(BaseModel):
    """How many settings of a device's priority were removed."""

    removed_entries: int
