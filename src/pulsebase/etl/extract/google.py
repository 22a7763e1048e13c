"""Extractors of the Google Health API."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

from pulsebase.etl.extract.base import FURTHEST, Extractor, ZoneOf, days_around, known_zone
from pulsebase.etl.transform.google import PointsPage, ZonesPage
from pulsebase.etl.transform.nightly import NightsPage
from pulsebase.model.timerange import TimeRange, to_us
from pulsebase.sources.google_health import ACTIVITY_SCOPE, MEASUREMENTS_SCOPE, SOURCE, GoogleHealthClient
from pulsebase.sources.google_shapes import DataPoint

ClientOf = Callable[[str], GoogleHealthClient]
#: What is measured by the minute asleep fills a page of the service in about so many days.
NIGHTS_A_SLICE = 20


class _SamplesExtractor(Extractor[PointsPage]):
    """The readings of an interval, a page of the source at a time."""

    source = SOURCE
    device_id = SOURCE
    scopes = (MEASUREMENTS_SCOPE,)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        del zone_of  # points have instants
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[PointsPage]:
        for points in self.asked(self._client_of(user_id), interval):
            yield PointsPage(user_id, self.device_id, points)

    @abstractmethod
    def asked(self, client: GoogleHealthClient, interval: TimeRange) -> Iterator[Sequence[DataPoint]]:
        """The pages of the source."""


class GoogleHeartRateExtractor(_SamplesExtractor):
    """Heart rate by the second."""

    def asked(self, client: GoogleHealthClient, interval: TimeRange) -> Iterator[Sequence[DataPoint]]:
        return client.heart_rate(interval)


class GoogleOxygenExtractor(_SamplesExtractor):
    """Oxygen saturation by the minute."""

    slice_days = NIGHTS_A_SLICE

    def asked(self, client: GoogleHealthClient, interval: TimeRange) -> Iterator[Sequence[DataPoint]]:
        return client.oxygen_saturation(interval)


class GoogleVariabilityExtractor(_SamplesExtractor):
    """Both measures of variability; two data sets take one each."""

    slice_days = NIGHTS_A_SLICE

    def asked(self, client: GoogleHealthClient, interval: TimeRange) -> Iterator[Sequence[DataPoint]]:
        return client.heart_rate_variability(interval)


class _DailyExtractor(Extractor[NightsPage[DataPoint]]):
    """The civil days that touch an interval."""

    source = SOURCE
    device_id = SOURCE
    slice_days = 30
    scopes = (MEASUREMENTS_SCOPE,)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        self._client_of, self._zone_of = client_of, zone_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[NightsPage[DataPoint]]:
        zone = known_zone(self._zone_of, user_id)
        points = self.asked(self._client_of(user_id), *days_around(interval))
        yield NightsPage(user_id, self.device_id, zone, interval, points)

    @abstractmethod
    def asked(self, client: GoogleHealthClient, first: date, last: date) -> Sequence[DataPoint]:
        """The answer of the source."""


class GoogleRespiratoryExtractor(_DailyExtractor):
    """The respiratory rate of whole nights."""

    def asked(self, client: GoogleHealthClient, first: date, last: date) -> Sequence[DataPoint]:
        return client.respiratory_rates(first, last)


class GoogleSkinTemperatureExtractor(_DailyExtractor):
    """The skin temperature of whole nights and the usual one; two data sets are made of them."""

    def asked(self, client: GoogleHealthClient, first: date, last: date) -> Sequence[DataPoint]:
        return client.sleep_temperatures(first, last)


class GoogleSummaryExtractor(Extractor[ZonesPage]):
    """Fetches the civil days that touch an interval: resting heart rate, zones, and the time in them.

    The time in zones consists of periods that have to be summed, so it is requested for whole days.
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
