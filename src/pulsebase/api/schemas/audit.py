"""The trail of reads and changes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Identifier, PageCursor, Parameters


class AuditParameters(Parameters):
    """`GET /audit`."""

    user_id: Identifier | None = None
    key: str | None = Field(None, max_length=64, description="The name of a key, or `owner` for commands.")
    limit: int = Field(100, ge=1, le=1000)
    cursor: PageCursor = None


class AuditRecord(BaseModel):
    """Equal requests of one minute: who asked what, with which outcome, about whom.

    `whom` is a `person`, `everybody` the key is for, `nobody` in particular, somebody `unknown`, or somebody who was
    `removed` since; `user_id` is there for a person.
    """

    model_config = ConfigDict(title="Audit entry")

    id: int
    key: str
    method: str
    route: str
    status: int
    whom: Literal["person", "everybody", "nobody", "unknown", "removed"]
    user_id: str | None
    first: str
    last: str
    requests: int


class AuditList(BaseModel):
    """A page of the trail, the newest first."""

    data: list[AuditRecord]
    next_cursor: int | None
