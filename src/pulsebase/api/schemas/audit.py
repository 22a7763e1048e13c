"""The audit trail of reads and changes."""

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
    """Equal requests within one minute: who asked what about whom, and with which outcome.

    `whom` is `person` (`user_id` says who), `everybody` (all people the key is for), `nobody` (no particular person),
    `unknown` (somebody who does not exist) or `removed` (somebody who was erased since).
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
    """A page of the audit trail, newest first."""

    data: list[AuditRecord]
    next_cursor: int | None
