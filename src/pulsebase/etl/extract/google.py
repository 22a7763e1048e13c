"""Extractors of the Google Health API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta

from pulsebase.etl.extract.base import FURTHEST, Extractor, ZoneOf, days_around
from pulsebase.etl.transform.google import PointsPage, ZonesPage
from pulsebase.model.timerange import TimeRange, to_us
from pulsebase.sources.google_health import ACTIVITY_SCOPE, MEASUREMENTS_SCOPE, SOURCE, GoogleHealthClient

ClientOf = Callable[[str], GoogleHealthClient]


class GoogleHeartRateExtractor(Extractor[PointsPage]):
    """The readings of an interval, a page of the source at a time."""

    source = SOURCE
    device_id = SOURCE
    scopes = (MEASUREMENTS_SCOPE,)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        del zone_of  # points have instants
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[PointsPage]:
        for points in self._client_of(user_id).heart_rate(interval):
            yield PointsPage(user_id, self.device_id, points)


class GoogleSummaryExtractor(Extractor[ZonesPage]):
    """The civil days that touch an interval: resting heart rate, zones, and the time in them.

    The time in zones comes in stretches that have to be summed, so it is asked for around whole days.
    """

    source = SOURCE
    device_id = SOURCE
    slice_days = 30
    scopes = (MEASUREMENTS_SCOPE, ACTIVITY_SCOPE)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        del zone_of  # a summary is of a civil day
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[ZonesPage]:
        client = self._client_of(user_id)
        first, last = days_around(interval)
        midnights = [datetime.combine(day, time(), UTC) for day in (first, last + timedelta(days=1))]
        around = TimeRange(to_us(midnights[0] - FURTHEST), to_us(midnights[1] + FURTHEST))
        yield ZonesPage(
            user_id,
            first,
            last,
            client.resting_heart_rates(first, last),
            client.zones(first, last),
            client.time_in_zones(around),
        )
