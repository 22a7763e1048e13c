"""The kinds of events, and what the body of each says. None holds the value of a reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import msgspec

from pulsebase.model.timerange import TimeRange, format_us

EventType = Literal[
    "readings.stored", "day.closed", "signal.raised", "signal.cleared", "import.finished", "connection.failed"
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
#: Events that come from what commits changed, and need it to be noted.
FROM_COMMITS: frozenset[EventType] = frozenset({"readings.stored", "day.closed"})


@dataclass(frozen=True, slots=True)
class Stretch:
    """Readings of a metric of a person that were stored: between which times, and how many were sent."""

    metric: str
    range: TimeRange
    readings: int

    def joined(self, other: Stretch) -> Stretch:
        """Return both as one; they are of the same metric."""
        start_us = min(self.range.start_us, other.range.start_us)
        end_us = max(self.range.end_us, other.range.end_us)
        return Stretch(self.metric, TimeRange(start_us, end_us), self.readings + other.readings)


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """How many files an import had, what became of their records, and of how many people something was stored."""

    files: int
    read: int
    written: int
    unchanged: int
    rejected: int
    people: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        type: its kind.
        user_id: the person it is about; None if it is about nobody in particular.
        data: what its body says, besides the person.
        stretch: in place of `data`, of stored readings: those of later commits may still join it.
        key: the key that caused it, where no person decides who may hear of it.
    """

    type: EventType
    user_id: str | None
    data: Mapping[str, Any] | None = None
    stretch: Stretch | None = None
    key: int | None = None


def stored(user_id: str, stretch: Stretch) -> Event:
    """Return the event that readings of a person were stored."""
    return Event("readings.stored", user_id, stretch=stretch)


def day_closed(user_id: str, day: str, time_zone: str, metrics: Sequence[tuple[str, int, int]]) -> Event:
    """Return the event that a day of a person is over. `metrics` are name, readings that count, minutes with some."""
    counts = {name: {"readings": readings, "minutes": minutes} for name, readings, minutes in metrics}
    return Event("day.closed", user_id, {"day": day, "time_zone": time_zone, "metrics": counts})


def import_finished(number: int, status: str, counts: ImportCounts, key: int | None) -> Event:
    """Return the event that an import ended. The names of its files may be anything, so they are not told."""
    return Event("import.finished", None, {"import_id": number, "status": status, **asdict(counts)}, key=key)


def body_of(type_: str, noted_us: int, user_id: str | None, data: Mapping[str, Any]) -> bytes:
    """Write the body of a delivery. It stays the same, however often it is sent."""
    said = ({} if user_id is None else {"user_id": user_id}) | dict(data)
    return msgspec.json.encode({"type": type_, "timestamp": format_us(noted_us), "data": said})


def data_of(stretch: Stretch) -> dict[str, Any]:
    """Return what the body says of stored readings."""
    return {
        "metric": stretch.metric,
        "start": format_us(stretch.range.start_us),
        "end": format_us(stretch.range.end_us),
        "readings": stretch.readings,
    }
