"""The answers of the Google Health API v4, with the fields that are read. 64-bit integers come as texts in its JSON."""

from __future__ import annotations

from datetime import date

import msgspec


class SampleTime(msgspec.Struct, rename="camel"):
    """An instant, and how far the person's clock was ahead of UTC (`7200s`)."""

    physical_time: str
    utc_offset: str = "0s"


class GoogleHeartRate(msgspec.Struct, rename="camel"):
    """A reading."""

    beats_per_minute: str
    sample_time: SampleTime


class CivilDate(msgspec.Struct):
    """A day as the person's calendar names it."""

    year: int
    month: int
    day: int

    def as_date(self) -> date:
        """Return the day; raises `ValueError` if it does not exist."""
        return date(self.year, self.month, self.day)


class DailyRestingHeartRate(msgspec.Struct, rename="camel"):
    """A day's resting heart rate."""

    date: CivilDate
    beats_per_minute: str


class ZoneBounds(msgspec.Struct, rename="camel"):
    """The bounds of one zone on a day."""

    heart_rate_zone_type: str
    min_beats_per_minute: str
    max_beats_per_minute: str


class DailyHeartRateZones(msgspec.Struct, rename="camel"):
    """The zones that held on a day."""

    date: CivilDate
    heart_rate_zones: list[ZoneBounds] = []


class Interval(msgspec.Struct, rename="camel"):
    """A period, and how far the person's clock was ahead of UTC at its start."""

    start_time: str
    end_time: str
    start_utc_offset: str = "0s"


class TimeInHeartRateZone(msgspec.Struct, rename="camel"):
    """A period spent in one zone."""

    interval: Interval
    heart_rate_zone_type: str


class GoogleOxygenSaturation(msgspec.Struct, rename="camel"):
    """A reading, in percent."""

    sample_time: SampleTime
    percentage: float | None = None


class GoogleVariability(msgspec.Struct, rename="camel"):
    """Heart rate variability of a stretch asleep, in milliseconds; either measure may be missing."""

    sample_time: SampleTime
    rmssd: float | None = msgspec.field(name="rootMeanSquareOfSuccessiveDifferencesMilliseconds", default=None)
    sdnn: float | None = msgspec.field(name="standardDeviationMilliseconds", default=None)


class DailyRespiratoryRate(msgspec.Struct, rename="camel"):
    """Breaths a minute in the sleep of a day."""

    date: CivilDate
    breaths_per_minute: float | None = None


class DailySleepTemperature(msgspec.Struct, rename="camel"):
    """The skin's temperature in the sleep of a day, and the person's usual one before it."""

    date: CivilDate
    nightly_temperature_celsius: float | None = None
    baseline_temperature_celsius: float | None = None


class DataPoint(msgspec.Struct, rename="camel"):
    """A point of one of the data types that are read."""

    heart_rate: GoogleHeartRate | None = None
    daily_resting_heart_rate: DailyRestingHeartRate | None = None
    daily_heart_rate_zones: DailyHeartRateZones | None = None
    time_in_heart_rate_zone: TimeInHeartRateZone | None = None
    oxygen_saturation: GoogleOxygenSaturation | None = None
    heart_rate_variability: GoogleVariability | None = None
    daily_respiratory_rate: DailyRespiratoryRate | None = None
    daily_sleep_temperature_derivations: DailySleepTemperature | None = None


class DataPoints(msgspec.Struct, rename="camel"):
    """A page of points, and the token of the next one if there is any."""

    data_points: list[DataPoint] = []
    next_page_token: str = ""


class Identity(msgspec.Struct, rename="camel"):
    """The identity of the account."""

    legacy_user_id: str | None = None


class UserSettings(msgspec.Struct, rename="camel"):
    """The person's settings in their account."""

    time_zone: str | None = None
