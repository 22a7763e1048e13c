"""Extractors of a Fitbit-shaped source."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import date, time, timedelta
from typing import Generic, TypeVar

from pulsebase.etl.extract.base import Extractor, ZoneOf, days_around, known_zone
from pulsebase.etl.transform.fitbit import DaysPage, IntradayPage
from pulsebase.etl.transform.nightly import NightsPage
from pulsebase.model.timerange import DAY_US, MINUTE_US, TimeRange, from_us
from pulsebase.sources.fitbit import NIGHTS, SOURCE, SUMMARY_DAYS, FitbitClient
from pulsebase.sources.fitbit_shapes import BreathingNight, OxygenNight, SkinTemperatureNight, VariabilityNight

ClientOf = Callable[[str], FitbitClient]
NightT = TypeVar("NightT")


class FitbitHeartRateExtractor(Extractor[IntradayPage]):
    """Fetches the readings of a UTC day. The request is in UTC too, so clock changes do not matter."""

    source = SOURCE
    device_id = SOURCE
    scopes = ("heartrate",)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        del zone_of  # it is asked in UTC
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[IntradayPage]:
        midnight_us = interval.start_us // DAY_US * DAY_US
        window = _window(TimeRange(interval.start_us - midnight_us, interval.end_us - midnight_us))
        points = self._client_of(user_id).intraday(from_us(midnight_us).date(), window)
        yield IntradayPage(user_id, self.device_id, midnight_us, interval, points)


class FitbitSummaryExtractor(Extractor[DaysPage]):
    """Fetches the civil days that touch an interval, whatever zone the person lives in."""

    source = SOURCE
    device_id = SOURCE
    slice_days = SUMMARY_DAYS - 3  # what the furthest zones add
    scopes = ("heartrate",)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        del zone_of  # a summary is of a civil day
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DaysPage]:
        yield DaysPage(user_id, self._client_of(user_id).days(*days_around(interval)))


class _NightsExtractor(Extractor[NightsPage[NightT]], Generic[NightT]):
    """The nights that touch an interval. The source states them in local time, under the day of getting up."""

    source = SOURCE
    device_id = SOURCE
    slice_days = NIGHTS - 4  # what the furthest zones add, and the day after

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        self._client_of, self._zone_of = client_of, zone_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[NightsPage[NightT]]:
        zone = known_zone(self._zone_of, user_id)
        first, last = days_around(interval)
        nights = self.asked(self._client_of(user_id), first, last + timedelta(days=1))
        yield NightsPage(user_id, self.device_id, zone, interval, nights)

    @abstractmethod
    def asked(self, client: FitbitClient, first: date, last: date) -> Sequence[NightT]:
        """The answer of the source."""


class FitbitOxygenExtractor(_NightsExtractor[OxygenNight]):
    """Oxygen saturation by minute."""

    scopes = ("oxygen_saturation",)

    def asked(self, client: FitbitClient, first: date, last: date) -> Sequence[OxygenNight]:
        return client.oxygen_saturation(first, last)


class FitbitVariabilityExtractor(_NightsExtractor[VariabilityNight]):
    """RMSSD by five minutes."""

    scopes = ("heartrate",)

    def asked(self, client: FitbitClient, first: date, last: date) -> Sequence[VariabilityNight]:
        return client.heart_rate_variability(first, last)


class FitbitBreathingExtractor(_NightsExtractor[BreathingNight]):
    """The respiratory rate of whole nights."""

    scopes = ("respiratory_rate",)

    def asked(self, client: FitbitClient, first: date, last: date) -> Sequence[BreathingNight]:
        return client.breathing_rates(first, last)


class FitbitSkinTemperatureExtractor(_NightsExtractor[SkinTemperatureNight]):
    """How far whole nights were from the usual."""

    scopes = ("temperature",)

    def asked(self, client: FitbitClient, first: date, last: date) -> Sequence[SkinTemperatureNight]:
        return client.skin_temperatures(first, last)


def _window(part: TimeRange) -> tuple[time, time] | None:
    """Return whole minutes around a part of a day, or None (the whole day) if the part ends at or near the day's end.
    Services differ in whether the last minute of the window is included, so one more minute is requested.
    """
    first, last = part.start_us // MINUTE_US, -(-part.end_us // MINUTE_US) + 1
    if last * MINUTE_US >= DAY_US:
        return None
    return time(*divmod(first, 60)), time(*divmod(last, 60))
