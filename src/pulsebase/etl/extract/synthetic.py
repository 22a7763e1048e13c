"""Extractors of what the synthetic people wear besides their wristbands: devices that no cloud knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from pulsebase.etl.extract.base import Extractor, ZoneOf
from pulsebase.etl.transform.device import DevicePage
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HRV_RMSSD,
    HRV_SDNN,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    RR_INTERVAL,
    SKIN_TEMPERATURE,
    SKIN_TEMPERATURE_DELTA,
)
from pulsebase.model.timerange import DAY_US, TimeRange
from pulsebase.sources.synthetic import CHEST_STRAP, WRISTBAND, SyntheticPerson, samples_between
from pulsebase.sources.synthetic_people import PATCH, RING

SOURCE = "synthetic"


class SyntheticStrapExtractor(Extractor[DevicePage]):
    """The heart rate of the synthetic people's other devices: a page a device and civil day."""

    source = SOURCE
    device_id = CHEST_STRAP

    def __init__(self, people: Sequence[SyntheticPerson], zone_of: ZoneOf) -> None:
        del zone_of  # their devices record in UTC
        self._people = {person.user_id: person for person in people}

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DevicePage]:
        person = _named(self._people, user_id)
        if not person.chest_strap:
            return
        for samples in samples_between(person, interval):
            if samples.device_id != WRISTBAND:
                yield DevicePage(user_id, samples.device_id, samples.times_us, samples.values, samples.confidences)


class SyntheticVitalSignExtractor(Extractor[DevicePage]):
    """A metric of the synthetic people's ring, patch or strap: a page a device and civil day. As devices do, theirs
    keep so many days and forget what is older.
    """

    source = SOURCE
    device_id = RING
    metric: ClassVar[str]
    kept_days: ClassVar[int] = 90

    def __init__(
        self, people: Sequence[SyntheticPerson], zone_of: ZoneOf, now_us: Callable[[], int] = wall_clock_us
    ) -> None:
        del zone_of  # their devices record in UTC
        self._people = {person.user_id: person for person in people}
        self._now_us = now_us

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DevicePage]:
        person = _named(self._people, user_id)
        kept_us = (self._now_us() // DAY_US - self.kept_days) * DAY_US
        kept = TimeRange(max(interval.start_us, kept_us), interval.end_us)
        for samples in samples_between(person, kept, self.metric):
            yield DevicePage(user_id, samples.device_id, samples.times_us, samples.values, samples.confidences)


class SyntheticOxygenExtractor(SyntheticVitalSignExtractor):
    """Oxygen saturation, by the ring."""

    metric = OXYGEN_SATURATION.name


class SyntheticBreathingExtractor(SyntheticVitalSignExtractor):
    """Respiratory rate, by the ring."""

    metric = RESPIRATORY_RATE.name


class SyntheticRmssdExtractor(SyntheticVitalSignExtractor):
    """RMSSD, by the ring."""

    metric = HRV_RMSSD.name


class SyntheticSdnnExtractor(SyntheticVitalSignExtractor):
    """SDNN, by the ring."""

    metric = HRV_SDNN.name


class SyntheticBeatsExtractor(SyntheticVitalSignExtractor):
    """Beats of nights and of exercise, of which a night has 25,000, so the devices keep them for a shorter time."""

    metric = RR_INTERVAL.name
    kept_days = 14


class SyntheticSkinExtractor(SyntheticVitalSignExtractor):
    """Skin temperature, by the ring."""

    metric = SKIN_TEMPERATURE.name


class SyntheticSkinDeltaExtractor(SyntheticVitalSignExtractor):
    """The nightly deviation of the skin temperature, by the ring."""

    metric = SKIN_TEMPERATURE_DELTA.name


class SyntheticBodyTemperatureExtractor(SyntheticVitalSignExtractor):
    """Body temperature, by the patch."""

    metric = BODY_TEMPERATURE.name
    device_id = PATCH


def _named(people: dict[str, SyntheticPerson], user_id: str) -> SyntheticPerson:
    person = people.get(user_id)
    if person is None:
        raise UnknownUserError(f"no synthetic person is named {user_id}")
    return person
