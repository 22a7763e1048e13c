"""Extractors of the Oura API."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Generic, TypeVar

from pulsebase.etl.extract.base import Extractor, ZoneOf, days_around, known_zone
from pulsebase.etl.transform.nightly import NightsPage
from pulsebase.etl.transform.oura import OuraDocuments
from pulsebase.model.timerange import TimeRange
from pulsebase.sources.oura import DAILY_SCOPE, HEART_RATE_SCOPE, SOURCE, SPO2_SCOPE, OuraClient
from pulsebase.sources.oura_shapes import OuraDailyReadiness, OuraDailySpo2, OuraHeartRate, OuraSleep

ClientOf = Callable[[str], OuraClient]
DocumentT = TypeVar("DocumentT")
#: Days of nights in one question. The service states no limit; these are some hundred kilobytes.
_NIGHTS = 30


class _DocumentsExtractor(Extractor[OuraDocuments[DocumentT]], Generic[DocumentT]):
    """Documents whose times are instants, a page of the source at a time."""

    source = SOURCE
    device_id = SOURCE

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        del zone_of  # they have instants
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[OuraDocuments[DocumentT]]:
        for page in self.asked(self._client_of(user_id), interval):
            yield OuraDocuments(user_id, self.device_id, interval, page)

    @abstractmethod
    def asked(self, client: OuraClient, interval: TimeRange) -> Iterator[Sequence[DocumentT]]:
        """The pages of the source."""


class OuraHeartRateExtractor(_DocumentsExtractor[OuraHeartRate]):
    """Heart rate: every five minutes, and closer together in exercise."""

    scopes = (HEART_RATE_SCOPE,)

    def asked(self, client: OuraClient, interval: TimeRange) -> Iterator[Sequence[OuraHeartRate]]:
        return client.heart_rates(interval)


class OuraVariabilityExtractor(_DocumentsExtractor[OuraSleep]):
    """RMSSD by five minutes asleep."""

    slice_days = _NIGHTS
    scopes = (DAILY_SCOPE,)

    def asked(self, client: OuraClient, interval: TimeRange) -> Iterator[Sequence[OuraSleep]]:
        yield client.sleeps(*_nights_around(interval))


class _NightsExtractor(Extractor[NightsPage[DocumentT]], Generic[DocumentT]):
    """The nights that touch an interval, under the day of getting up."""

    source = SOURCE
    device_id = SOURCE
    slice_days = _NIGHTS
    scopes = (DAILY_SCOPE,)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        self._client_of, self._zone_of = client_of, zone_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[NightsPage[DocumentT]]:
        zone = known_zone(self._zone_of, user_id)
        nights = self.asked(self._client_of(user_id), *_nights_around(interval))
        yield NightsPage(user_id, self.device_id, zone, interval, nights)

    @abstractmethod
    def asked(self, client: OuraClient, first: date, last: date) -> Sequence[DocumentT]:
        """The answer of the source."""


class OuraBreathingExtractor(_NightsExtractor[OuraSleep]):
    """The respiratory rate of whole nights."""

    def asked(self, client: OuraClient, first: date, last: date) -> Sequence[OuraSleep]:
        return client.sleeps(first, last)


class OuraOxygenExtractor(_NightsExtractor[OuraDailySpo2]):
    """The oxygen saturation of whole nights, of which this source has the average alone."""

    scopes = (SPO2_SCOPE,)

    def asked(self, client: OuraClient, first: date, last: date) -> Sequence[OuraDailySpo2]:
        return client.oxygen_saturations(first, last)


class OuraSkinTemperatureExtractor(_NightsExtractor[OuraDailyReadiness]):
    """How far whole nights were from the usual."""

    def asked(self, client: OuraClient, first: date, last: date) -> Sequence[OuraDailyReadiness]:
        return client.readiness(first, last)


def _nights_around(interval: TimeRange) -> tuple[date, date]:
    """Return the first and last day to ask for. A night is under the day after, and the service leaves out the last day
    of some collections.
    """
    first, last = days_around(interval)
    return first, last + timedelta(days=2)
