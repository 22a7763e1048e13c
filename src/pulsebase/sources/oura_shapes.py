"""The answers of the Oura API v2, with the fields that are read."""

from __future__ import annotations

from datetime import date
from typing import Generic, TypeVar

import msgspec

DocumentT = TypeVar("DocumentT")


class OuraPage(msgspec.Struct, Generic[DocumentT]):
    """A page of documents; the last one has no token of a next one."""

    data: list[DocumentT]
    next_token: str | None = None


class OuraHeartRate(msgspec.Struct):
    """A reading. `timestamp` has an offset."""

    bpm: float
    timestamp: str


class OuraSamples(msgspec.Struct):
    """Values `interval` seconds apart, the first at `timestamp`, which has an offset; null where none was measured."""

    interval: float
    items: list[float | None]
    timestamp: str


class OuraSleep(msgspec.Struct):
    """A period of sleep, under the day of getting up."""

    day: date
    type: str | None = None
    average_breath: float | None = None
    hrv: OuraSamples | None = None


class OuraAverage(msgspec.Struct):
    """An average of a night."""

    average: float | None = None


class OuraDailySpo2(msgspec.Struct):
    """The oxygen saturation of the night into a day, in percent."""

    day: date
    spo2_percentage: OuraAverage | None = None


class OuraDailyReadiness(msgspec.Struct):
    """What was told of a day. The deviation is of the skin's temperature in the night before, in degrees Celsius."""

    day: date
    temperature_deviation: float | None = None


class OuraPersonalInfo(msgspec.Struct):
    """The account."""

    id: str
