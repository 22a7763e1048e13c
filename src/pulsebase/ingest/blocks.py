"""Readings as they come in quantity: block by block, so that no body and no file has to be held whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError, PulsebaseError
from pulsebase.model.metrics import HEART_RATE

#: Readings of one block, which is one commit.
BLOCK_READINGS = 100_000

#: The columns of readings that come as columns or as lines with a header, by the names of the fields.
REQUIRED = ("user_id", "device_id", "timestamp", HEART_RATE.name)
COLUMNS = (*REQUIRED, "confidence")


@dataclass(frozen=True, slots=True)
class Block:
    """Some readings: what could be read, by position in what brought them, and what could not.

    `total` counts both. `position` is what the readings' positions and the `index` of each error count. `passed_over`
    names columns that are not read, in the first block that has them.
    """

    candidates: Candidates
    errors: list[FieldError]
    total: int
    passed_over: Sequence[str] = ()


class MalformedError(PulsebaseError):
    """What comes cannot be read on; the message says why. What came before it stands."""
