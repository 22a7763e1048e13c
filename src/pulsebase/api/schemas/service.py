"""Information about the service, and problems."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """Whether each part works."""

    status: Literal["healthy", "unhealthy"]
    service: str
    checks: dict[str, str]


class Information(BaseModel):
    """Name, version and links of this server. `demo` is there where `pulsebase demo` runs, and says whether its two
    people have all their readings.
    """

    name: str
    version: str
    links: dict[str, str]
    demo: Literal["filling", "complete"] | None = None


class ProblemField(BaseModel):
    """What is wrong with one field."""

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
