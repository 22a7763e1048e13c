"""Blocks: large bodies and files of readings are read piece by piece, so that none has to be held in memory whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError, PulsebaseError
from pulsebase.model.metrics import HEART_RATE

#: Readings of one block, which is one commit.
BLOCK_READINGS = 100_000

#: The column names of readings, for formats that have columns or a header line.
REQUIRED = ("user_id", "device_id", "timestamp", HEART_RATE.name)
COLUMNS = (*REQUIRED, "confidence")


@dataclass(frozen=True, slots=True)
class Block:
    """Some readings of a body or file: those that could be read, and the errors of those that could not.

    `total` counts both. The positions of the candidates and the `index` of each error count readings from the start of
    the body or file. `passed_over` names columns that are ignored; only the first block names them.
    """

    candidates: Candidates
    errors: list[FieldError]
    total: int
    passed_over: Sequence[str] = ()


class MalformedError(PulsebaseError):
    """The rest of a body or file cannot be read; the message says why. What was read before it stays valid."""
