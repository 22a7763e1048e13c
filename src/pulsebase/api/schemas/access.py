"""What a key may do, and keys that are made over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.access.keys import MOST_PEOPLE, Scope
from pulsebase.api.schemas.common import Identifier


class CallerEntry(BaseModel):
    """Whether keys are needed, and what the caller may do. `name` is that of the key, null without one; `scopes` holds
    also those that another scope includes; `for_everybody` is false for a key that is for some people alone.
    `max_people` is the most people in one answer.
    """

    model_config = ConfigDict(title="Caller")

    access: Literal["on", "off"]
    name: str | None
    scopes: list[Scope]
    for_everybody: bool
    max_people: int


class NewKey(BaseModel):
    """`POST /keys`: a key that sends readings, of these people alone, or of everybody if none are named."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64, description="The key's name in lists and in the audit trail.")
    user_ids: Annotated[list[Identifier], Field(min_length=1, max_length=MOST_PEOPLE)] | None = None


class MadeKey(BaseModel):
    """The key, which is not shown again."""

    name: str
    scopes: list[Scope]
    user_ids: list[str] | None
    key: str
