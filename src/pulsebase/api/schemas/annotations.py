"""What people note about times."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Parameters, When
from pulsebase.model.annotations import MOST_CHARACTERS


class AnnotationsParameters(Parameters):
    """`GET /users/{user_id}/annotations`."""

    start: When | None = Field(None, description="From when on; from the first one on if left out.")
    end: When | None = Field(None, description="Until when, exclusive; until the last one if left out.")


class NewAnnotation(BaseModel):
    """What somebody notes about a moment or a stretch of time."""

    model_config = ConfigDict(extra="forbid")

    start: str = Field(description="An ISO 8601 time, or a date; UTC without an offset.")
    end: str | None = Field(None, description="The end of the stretch, exclusive. Without it this is about a moment.")
    text: str = Field(min_length=1, max_length=MOST_CHARACTERS)


class AnnotationEntry(BaseModel):
    """A note about a moment, without an end, or a stretch of time."""

    model_config = ConfigDict(title="Annotation")

    annotation_id: str
    start: str
    end: str | None
    text: str


class AnnotationList(BaseModel):
    """A person's annotations, by start."""

    user_id: str
    data: list[AnnotationEntry]


class RemovedAnnotation(BaseModel):
    """How many annotations were removed: one, or none if there was none of that id."""

    removed: int
