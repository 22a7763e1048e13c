"""The answers of the Withings API, with the fields that are read. Lists and objects that hold nothing are both `[]`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import msgspec


class WithingsSample(msgspec.Struct):
    """What was measured at an instant."""

    heart_rate: float | None = None
    spo2_auto: float | None = None


class WithingsIntraday(msgspec.Struct):
    """Samples by seconds since 1970, as texts."""

    series: dict[str, WithingsSample] | list[msgspec.Raw] = []

    @property
    def samples(self) -> Mapping[str, WithingsSample]:
        """Return the samples, none as an empty mapping."""
        return self.series if isinstance(self.series, dict) else {}


Values = dict[str, float | None] | list[msgspec.Raw]


class WithingsSleepPhase(msgspec.Struct):
    """A phase of a night, with values by seconds since 1970, as texts."""

    hr: Values = []
    rmssd: Values = []
    sdnn_1: Values = []

    def values(self, field: str) -> Mapping[str, float | None]:
        """Return the values of a field."""
        found: Values = getattr(self, field)
        return found if isinstance(found, dict) else {}


class WithingsSleep(msgspec.Struct):
    """Phases of sleep, in the order of time."""

    series: list[WithingsSleepPhase] = []


class WithingsNightValues(msgspec.Struct):
    """Averages of a night."""

    rr_average: float | None = None


class WithingsNight(msgspec.Struct):
    """The night that ended on this day, where the person was."""

    date: date
    timezone: str | None = None
    data: WithingsNightValues | list[msgspec.Raw] = []

    @property
    def breaths_a_minute(self) -> float | None:
        """Return the average respiratory rate, if one was measured."""
        return self.data.rr_average if isinstance(self.data, WithingsNightValues) else None


class WithingsNights(msgspec.Struct):
    """A page of nights. If there are `more`, they begin at `offset`."""

    series: list[WithingsNight] = []
    more: bool = False
    offset: int = 0
