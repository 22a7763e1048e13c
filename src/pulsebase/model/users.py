"""People, their devices, and which device is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

#: The priority of a device nobody ranked (specification: lowest).
UNKNOWN_PRIORITY = 999
#: The priorities that hold for everybody who did not set their own (specification: medical grade, consumer wearable).
DEFAULT_PRIORITIES: Mapping[str, int] = MappingProxyType({"device_a": 1, "device_b": 2})
#: The genders a person can have on record.
GENDERS = ("female", "male", "other")


def default_priority(device_id: str) -> int:
    """The priority of a device for a person who never set one. A lower number is believed first."""
    return DEFAULT_PRIORITIES.get(device_id, UNKNOWN_PRIORITY)


@dataclass(frozen=True, slots=True)
class User:
    """A person. Only the id is known of one who came into being with a reading."""

    user_id: str
    name: str | None = None
    gender: str | None = None
    birth_date: date | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class UserOverview:
    """A person and what is stored of them: all readings, losers and confidence 0 included. Times in microseconds
    UTC.
    """

    user: User
    readings: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class DeviceOverview:
    """A device of a person and what is stored of it: all readings, losers and confidence 0 included. Times in
    microseconds UTC.
    """

    device_id: str
    readings: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class DevicePriority:
    """From `valid_from_us` on, until the next entry for the same person and device, `priority` holds.

    None takes the person's own setting back: the default holds again from then on.
    """

    user_id: str
    device_id: str
    priority: int | None
    valid_from_us: int = 0
