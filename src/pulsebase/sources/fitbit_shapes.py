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


class MinuteOfNight(msgspec.Struct):
    """The oxygen saturation of a minute asleep, in percent; `minute` is local time without an offset."""

    minute: str
    value: float


class OxygenNight(msgspec.Struct, rename="camel"):
    """The night before a civil day. The answer to `spo2/date/{start}/{end}/all.json` is a list of them."""

    date_time: date
    minutes: list[MinuteOfNight] = []


class WindowVariability(msgspec.Struct):
    """Heart rate variability, in milliseconds."""

    rmssd: float


class VariabilityWindow(msgspec.Struct):
    """Five minutes asleep; `minute` is local time without an offset."""

    minute: str
    value: WindowVariability


class VariabilityNight(msgspec.Struct, rename="camel"):
    """The night before a civil day."""

    date_time: date
    minutes: list[VariabilityWindow] = []


class NightlyVariabilityAnswer(msgspec.Struct):
    """`hrv/date/{start}/{end}/all.json`."""

    hrv: list[VariabilityNight]


class BreathingRate(msgspec.Struct, rename="camel"):
    """Breaths a minute, the mean of the night."""

    breathing_rate: float | None = None


class BreathingNight(msgspec.Struct, rename="camel"):
    """The night before a civil day."""

    date_time: date
    value: BreathingRate


class BreathingAnswer(msgspec.Struct):
    """`br/date/{start}/{end}.json`."""

    br: list[BreathingNight]


class SkinTemperature(msgspec.Struct, rename="camel"):
    """How far the night was from the person's usual, in the unit that was asked for."""

    nightly_relative: float | None = None


class SkinTemperatureNight(msgspec.Struct, rename="camel"):
    """The night before a civil day."""

    date_time: date
    value: SkinTemperature


class SkinTemperatureAnswer(msgspec.Struct, rename="camel"):
    """`temp/skin/date/{start}/{end}.json`."""

    temp_skin: list[SkinTemperatureNight]


class Profile(msgspec.Struct):
    """The person's settings in their account."""

    timezone: str | None = None


class ProfileAnswer(msgspec.Struct):
    """`profile.json`."""

    user: Profile


class FitbitSummaryAnswer(msgspec.Struct):
    """`…/{start}/{end}.json`."""

    days: list[Day] = msgspec.field(name="activities-heart")
