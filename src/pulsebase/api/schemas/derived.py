"""Questions about what is worked out from readings, and their answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pulsebase.api.schemas.common import Parameters, When, Zone
from pulsebase.query.variability import Window


class DaysParameters(Parameters):
    """`GET /users/{user_id}/resting-heart-rate`."""

    start_date: When
    end_date: When
    tz: Zone | None = Field(
        None, description="IANA time zone of bare dates, local times and days; by default the person's own, else UTC."
    )


class VariabilityParameters(DaysParameters):
    """`GET /users/{user_id}/hrv`."""

    window: Window = Field("5m", description="Five minutes of the clock, or nights from 22:00 to 07:00.")


class VariabilityColumns(BaseModel):
    """Columns of equal length, one entry a window with a beat in it, by time.

    `date` is there for nights, and is that of the morning; `timestamp` is when the window begins. `rmssd` and `sdnn`
    are null where there are too few beats, `beats` are those they are worked out from, and `left_out` those they are
    not. `method` names the definition and the rule by which beats are left out.
    """

    date: list[str] | None = None
    timestamp: list[str]
    rmssd: list[float | None]
    sdnn: list[float | None]
    beats: list[int]
    left_out: list[int]
    method: list[str]


class HeartRateVariability(BaseModel):
    """Heart rate variability of a person's beats. `methods` says what the names of methods mean, `least_beats` how many
    beats a window must have before anything is stated of it.
    """

    user_id: str
    unit: str
    window: Literal["5m", "night"]
    tz: str
    start: str
    end: str
    least_beats: int
    methods: dict[str, str]
    count: int
    columns: VariabilityColumns


class StatedResting(BaseModel):
    """A resting heart rate that a source states of a day; `method` is the source's name, as in daily summaries."""

    resting_heart_rate: float
    method: str | None


class RestingColumns(BaseModel):
    """Columns of equal length, one entry a civil day that has readings or of which a source states something.

    `resting_heart_rate` is our own and `method` how it was worked out; both are null where there are too few
    `covered_minutes`, which are the minutes with a reading. `timestamp` is when the half hour begins that has it.
    """

    date: list[str]
    resting_heart_rate: list[float | None]
    method: list[str | None]
    timestamp: list[str | None]
    covered_minutes: list[int]
    stated: list[list[StatedResting]]


class RestingHeartRates(BaseModel):
    """Resting heart rates of a person: our own, and what sources state, side by side."""

    user_id: str
    unit: str
    tz: str
    start: str
    end: str
    least_covered_minutes: int
    methods: dict[str, str]
    count: int
    columns: RestingColumns
