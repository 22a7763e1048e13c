"""Extractors of the Withings API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

from pulsebase.etl.extract.base import Extractor, ZoneOf, days_around, known_zone
from pulsebase.etl.transform.nightly import NightsPage
from pulsebase.etl.transform.withings import WithingsPage
from pulsebase.model.timerange import TimeRange
from pulsebase.sources.withings import ACTIVITY_SCOPE, SOURCE, WithingsClient
from pulsebase.sources.withings_shapes import WithingsNight

ClientOf = Callable[[str], WithingsClient]
#: Days of nights in one question.
_NIGHTS = 30


class _SamplesExtractor(Extractor[WithingsPage]):
    """Values by second: those that a watch measures by day, and those that are measured asleep, under their fields in
    each of the two services.
    """

    source = SOURCE
    device_id = SOURCE
    scopes = (ACTIVITY_SCOPE,)
    by_day: ClassVar[str | None] = None
    asleep: ClassVar[str | None] = None

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        del zone_of  # they have instants
        self._client_of = client_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[WithingsPage]:
        client = self._client_of(user_id)
        if self.by_day is not None:
            samples = client.intraday(interval, [self.by_day]).samples
            values = {at: getattr(sample, self.by_day) for at, sample in samples.items()}
            yield WithingsPage(user_id, self.device_id, interval, values)
        if self.asleep is not None:
            phases = client.sleep(interval, [self.asleep]).series
            values = {at: value for phase in phases for at, value in phase.values(self.asleep).items()}
            yield WithingsPage(user_id, self.device_id, interval, values)


class WithingsHeartRateExtractor(_SamplesExtractor):
    """Heart rate: every ten minutes, every second in a workout, and asleep."""

    by_day, asleep = "heart_rate", "hr"


class WithingsOxygenExtractor(_SamplesExtractor):
    """What a watch measures by itself at night."""

    by_day = "spo2_auto"


class WithingsRmssdExtractor(_SamplesExtractor):
    """RMSSD asleep."""

    asleep = "rmssd"


class WithingsSdnnExtractor(_SamplesExtractor):
    """SDNN of a minute, asleep."""

    asleep = "sdnn_1"


class WithingsBreathingExtractor(Extractor[NightsPage[WithingsNight]]):
    """The respiratory rate of whole nights."""

    source = SOURCE
    device_id = SOURCE
    slice_days = _NIGHTS
    scopes = (ACTIVITY_SCOPE,)

    def __init__(self, client_of: ClientOf, zone_of: ZoneOf) -> None:
        self._client_of, self._zone_of = client_of, zone_of

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[NightsPage[WithingsNight]]:
        zone = known_zone(self._zone_of, user_id)
        nights = self._client_of(user_id).nights(*days_around(interval))
        yield NightsPage(user_id, self.device_id, zone, interval, nights)
