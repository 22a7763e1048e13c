"""Readings in what phone apps push: what becomes of them, and what all of these bodies share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.ingest.blocks import MalformedError
from pulsebase.ingest.candidates import Candidates
from pulsebase.ingest.items import Parsed, columns_of_parsed
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.readings import NO_CONFIDENCE

Body = TypeVar("Body")

#: Objects in a body; a reading is one. Of an Apple Watch that makes ten days.
MOST_OBJECTS = 100_000
#: Of further kinds of data is not told that they are passed over.
_MOST_KINDS = 100


class TooManyObjectsError(MalformedError):
    """The body holds more objects than one request may; nothing of it was read."""


@dataclass(slots=True)
class PushedReadings:
    """The readings of a body, by metric, and why some cannot be read. `passed_over` names the kinds of data that are
    of no metric.
    """

    user_id: str
    total: int = 0
    errors: list[FieldError] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    _found: dict[str, list[Parsed]] = field(default_factory=dict)

    def add(self, metric: str, device_id: str, time_us: int, value: float) -> None:
        """Add a reading."""
        reading = (self.total, self.user_id, device_id, time_us, value, NO_CONFIDENCE)
        self._found.setdefault(metric, []).append(reading)
        self.total += 1

    def refuse(self, name: str, reason: str) -> None:
        """Count a reading that cannot be read."""
        self.errors.append(FieldError(name, reason, self.total))
        self.total += 1

    def pass_over(self, kind: str) -> None:
        """Note that data of a kind are of no metric."""
        if len(self.passed_over) < _MOST_KINDS and kind not in self.passed_over:
            self.passed_over.append(kind)

    @property
    def candidates(self) -> Mapping[str, Candidates]:
        """The readings by metric."""
        return {metric: columns_of_parsed(parsed) for metric, parsed in self._found.items()}


def decoded(body: bytes, decoder: msgspec.json.Decoder[Body]) -> Body:
    """Decode a body.

    Raises:
        TooManyObjectsError: it holds far too many objects.
        RejectedError: it is not what the app sends.
    """
    if len(body) > MOST_OBJECTS and body.count(b"{") > MOST_OBJECTS:
        raise TooManyObjectsError(f"the body holds more than {MOST_OBJECTS} objects; have the app send fewer at a time")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RejectedError.of("body", f"is not what the app sends: {error}") from None


def device_named(name: str | None, stated: str | None, fallback: str) -> str | None:
    """Return the device's id: the stated one, else what the name makes, else the fallback; None for too long a name."""
    if stated is not None:
        return stated
    if name is not None and len(name) > LONGEST_NAME:
        return None
    return device_id_of(name or "", fallback)
