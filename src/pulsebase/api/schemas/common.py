"""What the shapes of several routes share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pulsebase.model.identifiers import ID_PATTERN, identifier_problem


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
#: No number of an entry is larger: databases keep them in 64 bits.
PageCursor = Annotated[
    Annotated[int, Field(ge=1, le=2**63 - 1)] | None, Field(description="`next_cursor` of the page before.")
]
Gender = Literal["female", "male", "other"]


def body_of(schema: str) -> dict[str, Any]:
    """What a route says of its body in the OpenAPI document where it decodes it itself: JSON of this schema."""
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


class Parameters(BaseModel):
    """Parameters of a route; any other one is refused."""

    model_config = ConfigDict(extra="forbid")


class NoParameters(Parameters):
    """Routes that are asked without any."""


class Accepted(BaseModel):
    """A reading is durable and visible."""

    status: Literal["accepted"]


class Deleted(BaseModel):
    """How many readings went."""

    deleted: int
