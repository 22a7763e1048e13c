"""Signals: rules over what is stored."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Gender, Identifier
from pulsebase.query.asked_values import MAX_AGE


class SignalCohort(BaseModel):
    """People by what is known of them, as cohorts have it: older than `min_age`, not older than `max_age`."""

    model_config = ConfigDict(extra="forbid", title="Signal cohort")

    gender: list[Gender] | None = Field(None, min_length=1, max_length=3)
    min_age: int | None = Field(None, ge=0, le=MAX_AGE)
    max_age: int | None = Field(None, ge=0, le=MAX_AGE)


class NewSignal(BaseModel):
    """A signal to be made. Of `above`, `below` and `silent_for` exactly one."""

    model_config = ConfigDict(extra="forbid", title="New signal")

    metric: str = Field(max_length=64, examples=["heart_rate"])
    above: float | None = Field(None, allow_inf_nan=False, description="In the metric's unit.")
    below: float | None = Field(None, allow_inf_nan=False, description="In the metric's unit.")
    silent_for: str | None = Field(None, max_length=16, description="No reading for so long.", examples=["6h"])
    for_: str | None = Field(
        None, alias="for", max_length=16, description="How long it has to hold; `1m` by default.", examples=["10m"]
    )
    user_ids: list[Identifier] | None = Field(None, min_length=1, max_length=1000)
    cohort: SignalCohort | None = None


class RaisedEpisode(BaseModel):
    """A person of whom a rule holds, and since when."""

    model_config = ConfigDict(title="Raised")

    user_id: str
    start: str


class SignalEntry(BaseModel):
    """A rule, and of whom it holds now: of at most 1,000 people by id."""

    model_config = ConfigDict(title="Signal")

    signal_id: str
    metric: str
    above: float | None = None
    below: float | None = None
    silent_for: str | None = None
    for_: str | None = Field(None, alias="for")
    user_ids: list[str] | None
    cohort: SignalCohort | None
    created_at: str
    raised: list[RaisedEpisode]
    raised_people: int


class SignalList(BaseModel):
    """Signals, the oldest first."""

    data: list[SignalEntry]


class RemovedSignal(BaseModel):
    """The signal that was removed."""

    signal_id: str
