"""Sources, connections and runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Identifier, PageCursor, Parameters

SourceName = Annotated[
    str, Field(min_length=1, max_length=32, description="`fitbit`, `google`, `oura`, `polar` or `withings`.")
]


DataSetName = Annotated[str, Field(min_length=1, max_length=64, description="`heart_rate`, for example.")]


class SourceEntry(BaseModel):
    """A wearable cloud. People can be connected to it unless `missing` says what is to be set first. `server` is where
    they are asked for consent.
    """

    model_config = ConfigDict(title="Source")

    source: str
    server: str | None
    missing: str | None


class SourceList(BaseModel):
    """The sources there are, configured or not."""

    data: list[SourceEntry]
    next_cursor: None = None


class AuthorizeParameters(Parameters):
    """`GET /sources/{source}/authorize`."""

    user_id: Identifier


class BeginConsent(BaseModel):
    """`POST /sources/{source}/authorize`."""

    model_config = ConfigDict(extra="forbid")

    user_id: Identifier


class ConsentPage(BaseModel):
    """The address, valid for ten minutes, of a page that says who is about to be connected."""

    url: str


class ConsentParameters(Parameters):
    """`GET /sources/{source}/consent`."""

    ticket: str = Field(max_length=2048, description="The ticket in the address that `authorize` made.")


class CallbackParameters(BaseModel):
    """`GET /sources/{source}/callback`. Sources may add other parameters, so unknown ones are accepted here."""

    state: str = Field(max_length=256)
    code: str | None = Field(None, max_length=4096)
    error: str | None = Field(None, max_length=256, description="Why the source or the person refused.")


class RunsParameters(Parameters):
    """`GET /etl/runs`."""

    user_id: Identifier | None = None
    source: SourceName | None = None
    limit: int = Field(100, ge=1, le=1000)
    cursor: PageCursor = None


class BeginConnection(BaseModel):
    """`POST /admin/sources/{source}/authorize`."""

    model_config = ConfigDict(extra="forbid")

    user_id: Identifier
    redirect_uri: str = Field(
        max_length=256,
        pattern=r"^http://127\.0\.0\.1:\d+/",
        description="The address the browser comes back to.",
    )


class BegunConsent(BaseModel):
    """The address where the person gives consent, and the state that the browser brings back."""

    url: str
    state: str


class FinishConnection(BaseModel):
    """`POST /admin/sources/{source}/callback`."""

    model_config = ConfigDict(extra="forbid")

    state: str = Field(max_length=256)
    code: str | None = Field(None, max_length=4096)
    error: str | None = Field(None, max_length=256)


class RunNow(BaseModel):
    """`POST /admin/etl/runs`: everybody and everything, or this person, source or these data sets alone."""

    model_config = ConfigDict(extra="forbid")

    user_id: Identifier | None = None
    source: SourceName | None = None
    data_sets: list[DataSetName] | None = Field(None, min_length=1, max_length=100)


class ConnectionEntry(BaseModel):
    """A connection and its state. `problem` says what is wrong and what the person can do."""

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
    """Connections, ordered by person and source."""

    data: list[ConnectionEntry]
    next_cursor: None = None


class Disconnected(BaseModel):
    """The connection was removed."""

    disconnected: Literal[True]


class RunEntry(BaseModel):
    """A run of the pipeline: `read` rows came, of which so many were written, unchanged or rejected. What is `missing`
    was not allowed by the person, or takes something that is not known; `error` says which.
    """

    model_config = ConfigDict(title="Run")

    id: int | None
    user_id: str
    source: str
    data_set: str
    outcome: Literal["done", "stopped", "postponed", "failed", "missing"]
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
