"""The words in which tests of stores are written, from `pulsebase.testing`; a reading has a short name here."""

from pulsebase.testing.harness import (
    Choices,
    Harness,
    Kept,
    StoredRow,
    ask,
    ask_hours,
    at,
    batch_of,
    rows_of,
    span,
    totals,
    write,
)
from pulsebase.testing.harness import GivenReading as Reading

__all__ = [
    "Choices",
    "Harness",
    "Kept",
    "Reading",
    "StoredRow",
    "ask",
    "ask_hours",
    "at",
    "batch_of",
    "rows_of",
    "span",
    "totals",
    "write",
]
