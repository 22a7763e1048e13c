"""What the schemas of several routes share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pulsebase.model.identifiers import ID_PATTERN, identifier_problem


def _lost_plus(value: object) -> object:
    """Read a space in a query as the unescaped `+` that was meant. No id and no zone contains a space."""
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
#: In a path a space does not stand for `+`.
PathIdentifier = Annotated[
    str,
    AfterValidator(_checked_id),
    Field(description="1–128 of `A–Z a–z 0–9 . _ : @ + -`", json_schema_extra={"pattern": ID_PATTERN}),
]
Zone = Annotated[
    str, BeforeValidator(_lost_plus), Field(description="The IANA time zone of dates, local times and days.")
]
When = Annotated[
    str,
    Field(
        max_length=64,
        description="A date, or an ISO 8601 time. Without an offset it is read in `tz` or UTC.",
        examples=["2024-01-15T10:00:00Z"],
    ),
]
#: The largest number an entry can have: databases keep these numbers in 64 bits.
PageCursor = Annotated[
    Annotated[int, Field(ge=1, le=2**63 - 1)] | None, Field(description="`next_cursor` of the page before.")
]
Gender = Literal["female", "male", "other"]


def body_of(schema: str) -> dict[str, Any]:
    """Return the description of a JSON body of this schema, for a route that decodes its body itself."""
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


class Parameters(BaseModel):
    """Parameters of a route. Any other parameter is refused."""

    model_config = ConfigDict(extra="forbid")


class NoParameters(Parameters):
    """For routes without parameters."""


class Accepted(BaseModel):
    """What was sent is durable and visible."""

    status: Literal["accepted"]


class Deleted(BaseModel):
    """How many readings were deleted."""

    deleted: int
