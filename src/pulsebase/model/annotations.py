"""Annotations: what a person notes about a moment or a stretch of time, such as a run, a fever or a new device."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from pulsebase.model.errors import FieldError
from pulsebase.model.timerange import LAST_END_US

#: The longest text, in characters.
MOST_CHARACTERS = 2_000
#: The most annotations of one person.
MOST_ANNOTATIONS = 10_000
#: Control characters that a text may have.
_LAYOUT = frozenset("\n\t")


@dataclass(frozen=True, slots=True)
class Annotation:
    """A person's note.

    Attributes:
        user_id: the person.
        annotation_id: tells it from the person's other notes.
        start_us: when, or from when on, in microseconds UTC.
        end_us: the end of the stretch, exclusive; None for a moment.
        text: what is noted.
    """

    user_id: str
    annotation_id: str
    start_us: int
    end_us: int | None
    text: str

    def touches(self, start_us: int, end_us: int) -> bool:
        """Whether any of it lies inside a half-open range."""
        if self.end_us is None:
            return start_us <= self.start_us < end_us
        return self.start_us < end_us and self.end_us > start_us


def annotation_problem(annotation: Annotation) -> FieldError | None:
    """Return what is wrong with an annotation, None if it can be kept."""
    last_us = annotation.start_us if annotation.end_us is None else annotation.end_us
    if not (0 <= annotation.start_us <= LAST_END_US and 0 <= last_us <= LAST_END_US):
        return FieldError("start" if annotation.end_us is None else "end", "must be from 1970 up to the year 2200")
    if annotation.end_us is not None and annotation.end_us <= annotation.start_us:
        return FieldError("end", "must be after the start; leave it out for a moment")
    if not annotation.text.strip():
        return FieldError("text", "must not be empty")
    if len(annotation.text) > MOST_CHARACTERS:
        return FieldError("text", f"must have at most {MOST_CHARACTERS} characters")
    if any(unicodedata.category(each) in ("Cc", "Cs") and each not in _LAYOUT for each in annotation.text):
        return FieldError("text", "must not have control characters")
    return None
