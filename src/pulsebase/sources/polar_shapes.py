"""The answers of the Polar AccessLink API v3, with the fields that are read."""

from __future__ import annotations

from datetime import date

import msgspec


class PolarSample(msgspec.Struct):
    """A heart rate at a local time of day, `HH:MM:SS`."""

    heart_rate: float
    sample_time: str


class PolarDay(msgspec.Struct):
    """The heart rates of a civil day."""

    date: date
    heart_rate_samples: list[PolarSample] = []


class PolarDays(msgspec.Struct):
    """Days, those without heart rates left out."""

    heart_rates: list[PolarDay] = []


class PolarRecharge(msgspec.Struct):
    """What was measured in the first hours of the night into a day: RMSSD in milliseconds, breaths a minute."""

    date: date
    heart_rate_variability_avg: float | None = None
    breathing_rate_avg: float | None = None


class PolarRecharges(msgspec.Struct):
    """Nights of the last four weeks."""

    recharges: list[PolarRecharge] = []
