"""The answers of a Fitbit-shaped API, with the fields that are read. Whatever may be missing is optional here."""

from __future__ import annotations

from datetime import date

import msgspec


class Zone(msgspec.Struct, rename="camel"):
    """Time in one heart-rate zone of a day; `max` is where the next begins."""

    name: str
    min: int
    max: int
    minutes: int | None = None
    calories_out: float | None = None


class DayValue(msgspec.Struct, rename="camel"):
    """The figures of a day."""

    heart_rate_zones: list[Zone] = []
    custom_heart_rate_zones: list[Zone] = []
    resting_heart_rate: int | None = None


class Day(msgspec.Struct, rename="camel"):
    """A civil day of the person."""

    date_time: date
    value: DayValue


class Point(msgspec.Struct):
    """A reading: the time of day, `HH:mm:ss`, and bpm."""

    time: str
    value: int


class Dataset(msgspec.Struct):
    """The readings of a day or a part of it."""

    dataset: list[Point]


class IntradayAnswer(msgspec.Struct):
    """`…/1d/1sec.json`. The readings are missing where the application may not see them."""

    intraday: Dataset | None = msgspec.field(name="activities-heart-intraday", default=None)


class FitbitSummaryAnswer(msgspec.Struct):
    """`…/{start}/{end}.json`."""

    days: list[Day] = msgspec.field(name="activities-heart")
