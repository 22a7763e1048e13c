"""What the service says of itself, and problems."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """Whether the parts work."""

    status: Literal["healthy", "unhealthy"]
    service: str
    checks: dict[str, str]


class Information(BaseModel):
    """What this server is."""

    name: str
    version: str
    links: dict[str, str]


class ProblemField(BaseModel):
    """One field's fault."""

    index: int | None = None
    field: str
    reason: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ProblemField] | None = None
