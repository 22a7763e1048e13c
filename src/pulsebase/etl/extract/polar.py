"""Extractors of the Polar AccessLink API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from pulsebase.etl.extract.base import Extractor, ZoneOf, days_around, known_zone
from pulsebase.etl.transform.nightly import NightsPage
from pulsebase.model.timerange import TimeRange
from pulsebase.sources.polar import READ_SCOPE, SOURCE, PolarClient
from pulsebase.sources.polar_shapes import PolarDay, PolarRecharge

NightT = TypeVar("NightT")
ClientOf = Callable[[str], PolarClient]
#: The nights of four weeks are one answer.
_NIGHTS = 365


class _PolarExtractor(Extractor[NightsPage[NightT]], Generic[NightT]):
    source = SOURCE
    device_id = SOURCE
    scopes = (READ_SCOPE,)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        self._client_of, self._zone_of = client_of, zone_of


class PolarHeartRateExtractor(_PolarExtractor[PolarDay]):
    """Heart rate every five minutes, in local time."""

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[NightsPage[PolarDay]]:
        zone = known_zone(self._zone_of, user_id)
        days: Sequence[PolarDay] = self._client_of(user_id).heart_rates(*days_around(interval))
        yield NightsPage(user_id, self.device_id, zone, interval, days)


class PolarRechargeExtractor(_PolarExtractor[PolarRecharge]):
    """What was measured at night."""

    slice_days = _NIGHTS

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[NightsPage[PolarRecharge]]:
        zone = known_zone(self._zone_of, user_id)
        yield NightsPage(user_id, self.device_id, zone, interval, self._client_of(user_id).recharges())
