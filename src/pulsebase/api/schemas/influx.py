"""Parameters of the routes that clients of InfluxDB use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pulsebase.api.schemas.common import Parameters

_Ignored = Annotated[
    str | None, Field(max_length=256, description="Ignored; accepted because clients of InfluxDB send it.")
]
_Name = Annotated[str | None, Field(max_length=256, description="Whose mapping says what the lines mean.")]
_User = Annotated[str | None, Field(max_length=256, description="Ignored: the key says who asks.")]
_Password = Annotated[str | None, Field(max_length=256, description="The key, for clients that cannot send headers.")]


class PingParameters(Parameters):
    """`GET /ping`."""

    verbose: str | None = Field(None, max_length=16, description="Whether the version is wanted as JSON.")
    wait_for_leader: _Ignored = None


class InfluxWriteParameters(Parameters):
    """`POST /write`, as clients of InfluxDB 1 call it."""

    db: _Name = None
    precision: Literal["n", "ns", "u", "us", "ms", "s", "m", "h"] = "n"
    rp: _Ignored = None
    consistency: _Ignored = None
    u: _User = None
    p: _Password = None


class InfluxQueryParameters(Parameters):
    """`GET` and `POST` `/query`, as clients of InfluxDB 1 call it."""

    q: str | None = Field(None, max_length=65_536, description="Statements of InfluxQL, separated by semicolons.")
    db: str | None = Field(
        None, max_length=256, description="Whose measurements are asked for: those of a mapping, or by default our own."
    )
    rp: _Ignored = None
    epoch: Literal["n", "ns", "u", "us", "µ", "ms", "s", "m", "h"] | None = Field(
        None, description="The unit of times as numbers; by default they are texts."
    )
    pretty: bool = Field(False, description="Whether the JSON is spread over lines.")
    chunked: bool = Field(False, description="Whether the answer comes as one JSON document for each chunk of rows.")
    chunk_size: int = Field(10_000, ge=1, description="How many rows of a series a chunk has at most.")
    params: str | None = Field(
        None, max_length=65_536, description="A JSON object: what `$name` in the statements stands for."
    )
    u: _User = None
    p: _Password = None


class LineProtocolParameters(Parameters):
    """`POST /api/v2/write`. Clients of that API also name an organization, which has no meaning here."""

    precision: Literal["ns", "us", "ms", "s"] = "ns"
    bucket: _Name = None
    org: str | None = Field(None, max_length=256, description="Ignored; accepted because clients always send it.")
    orgID: str | None = Field(None, max_length=256, description="As `org`.")  # noqa: N815 the protocol's name
