"""Extractors of a Fitbit-shaped source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import time

from pulsebase.etl.extract.base import Extractor, days_around
from pulsebase.etl.transform.fitbit import DaysPage, IntradayPage
from pulsebase.model.timerange import DAY_US, MINUTE_US, TimeRange, from_us
from pulsebase.sources.fitbit import SOURCE, SUMMARY_DAYS, FitbitClient

ClientOf = Callable[[str], FitbitClient]


class FitbitHeartRateExtractor(Extractor[IntradayPage]):
    """The readings of a UTC day, asked in UTC: no change of clocks is anywhere near."""

    source = SOURCE
    device_id = SOURCE

    def __init__(self, client_of: ClientOf) -> None:
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[IntradayPage]:
        midnight_us = interval.start_us // DAY_US * DAY_US
        window = _window(TimeRange(interval.start_us - midnight_us, interval.end_us - midnight_us))
        points = self._client_of(user_id).intraday(from_us(midnight_us).date(), window)
        yield IntradayPage(user_id, self.device_id, midnight_us, interval, points)


class FitbitSummaryExtractor(Extractor[DaysPage]):
    """The civil days that touch an interval, in whatever zone the person lives."""

    source = SOURCE
    device_id = SOURCE
    slice_days = SUMMARY_DAYS - 3  # what the furthest zones add

    def __init__(self, client_of: ClientOf) -> None:
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DaysPage]:
        yield DaysPage(user_id, self._client_of(user_id).days(*days_around(interval)))


def _window(part: TimeRange) -> tuple[time, time] | None:
    """Whole minutes around a part of a day. None, the whole day, where it ends with the day or nearly: services differ
    in whether the window's last minute is in it, so a minute more is asked for.
    """
    first, last = part.start_us // MINUTE_US, -(-part.end_us // MINUTE_US) + 1
    if last * MINUTE_US >= DAY_US:
        return None
    return time(*divmod(first, 60)), time(*divmod(last, 60))
