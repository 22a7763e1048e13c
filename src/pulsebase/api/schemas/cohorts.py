"""Cohorts and top hours."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from pulsebase.api.schemas.common import Parameters, When, Zone, _lost_plus
from pulsebase.model.users import GENDERS
from pulsebase.query.asked_values import MAX_AGE
from pulsebase.query.cohorts import MAX_AVERAGE
from pulsebase.query.top_hours import MAX_TOP_HOURS


def _written_number(highest: int) -> object:
    """Return a number that is passed on as it was written, because a double cannot hold every decimal."""
    return WithJsonSchema({"type": "number", "minimum": 0, "maximum": highest})


_WrittenAverage = Annotated[str, WithJsonSchema({"type": "number"})]


class CohortParameters(Parameters):
    """`GET /cohorts/{metric}`."""

    start: When
    end: When
    min_avg: _WrittenAverage | None = Field(None, description="In the metric's unit; the average has to be above it.")
    max_avg: _WrittenAverage | None = Field(None, description="The average must not be above it.")
    min_avg_heart_rate: Annotated[str, _written_number(MAX_AVERAGE)] | None = Field(
        None, description="bpm; the average has to be above it. Of heart rate alone."
    )
    min_age: Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_AGE})] | None = Field(
        None, description="On the first day of the period, people must be older than this, in full years."
    )
    max_age: Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_AGE})] | None = Field(
        None, description="Full years that a person must not be older than on that day."
    )
    gender: list[Annotated[str, WithJsonSchema({"type": "string", "enum": list(GENDERS)})]] | None = Field(
        None, description="Repeat for several."
    )
    min_coverage: Annotated[str, _written_number(1)] | None = Field(
        None, description="The least share of the period's minutes with a counted reading."
    )
    include: Literal["averages"] | None = Field(None, description="`averages` adds figures to the ids.")
    limit: int = Field(100, ge=1, le=1000, description="The number of people on a page.")
    cursor: Annotated[str, BeforeValidator(_lost_plus)] | None = Field(None, max_length=256)
    tz: Zone = "UTC"


class HeartRateCohortParameters(CohortParameters):
    """`GET /cohorts/heart-rate`, which has to state a bound of the average."""

    min_avg_heart_rate: Annotated[str, _written_number(MAX_AVERAGE)] | None = Field(
        None, validate_default=True, description="bpm; the average has to be above it. Required without another bound."
    )

    @field_validator("min_avg_heart_rate")
    @classmethod
    def _some_bound(cls, value: str | None, stated: ValidationInfo) -> str | None:
        if value is None and stated.data.get("min_avg") is None and stated.data.get("max_avg") is None:
            raise PydanticCustomError("missing", "Field required")
        return value


class TopHoursParameters(Parameters):
    """`GET /users/{user_id}/heart-rate/top-hours`."""

    start: When
    end: When
    limit: int = Field(10, ge=1, le=MAX_TOP_HOURS, description="The number of averages.")
    include: Literal["hours"] | None = Field(None, description="`hours` adds the first hour with each average.")
    tz: Zone = "UTC"


class MemberFigures(BaseModel):
    """A member of a cohort. `coverage` is the share of the period's minutes with a counted reading."""

    user_id: str
    avg: float
    count: int
    minutes: int
    coverage: float


class Cohort(BaseModel):
    """A page of a cohort, highest average first. `count` is the number of people in the whole cohort."""

    data: list[str | MemberFigures]
    count: int
    next_cursor: str | None


class CohortSummaryAnswer(BaseModel):
    """Figures of a whole cohort, for a key with the scope `aggregate`.

    `people` is rounded down to a multiple of five, `avg` the mean of people's averages and `spread` their standard
    deviation, in whole bpm, or in the steps of another metric. All three are null where the answer would tell of
    `fewer_than_ten` people: those of the cohort, or those with a reading in the period who are left out of it.
    `questions_left` is for today.
    """

    model_config = ConfigDict(title="CohortSummary")

    fewer_than_ten: bool
    people: int | None
    avg: int | float | None
    spread: int | float | None
    questions_left: int


class TopHourFigures(BaseModel):
    """One of the highest averages, and the first hour that has it."""

    hour: str
    avg: float
    count: int


class TopHours(BaseModel):
    """A person's highest distinct hourly averages (UTC hours), highest first."""

    user_id: str
    data: list[float | TopHourFigures]
