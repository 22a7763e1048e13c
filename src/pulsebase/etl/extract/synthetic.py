"""Extractors of what the synthetic people wear besides their wristbands: devices that no cloud knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.transform.heart_rate import DevicePage
from pulsebase.etl.transform.vital_signs import VitalSignsPage
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.metrics import HEART_RATE, METRICS, RR_INTERVAL
from pulsebase.model.timerange import DAY_US, TimeRange
from pulsebase.sources.synthetic import CHEST_STRAP, WRISTBAND, SyntheticPerson, samples_between
from pulsebase.sources.synthetic_people import PATCH

SOURCE = "synthetic"
#: How many UTC days ring and patch keep their readings, and the beats among them, of which a night has 25,000.
KEPT_DAYS, BEATS_KEPT_DAYS = 90, 14


class SyntheticStrapExtractor(Extractor[DevicePage]):
    """The heart rate of the synthetic people's other devices: a page a device and civil day."""

    source = SOURCE
    device_id = CHEST_STRAP

    def __init__(self, people: Sequence[SyntheticPerson]) -> None:
        self._people = {person.user_id: person for person in people}

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DevicePage]:
        person = _named(self._people, user_id)
        if not person.chest_strap:
            return
        for samples in samples_between(person, interval):
            if samples.device_id != WRISTBAND:
                yield DevicePage(user_id, samples.device_id, samples.times_us, samples.values, samples.confidences)


class SyntheticVitalSignsExtractor(Extractor[VitalSignsPage]):
    """The other metrics of the synthetic people: a page a metric, device and civil day. As devices do, theirs keep so
    many days and forget what is older.
    """

    source = SOURCE
    device_id = PATCH

    def __init__(self, people: Sequence[SyntheticPerson], now_us: Callable[[], int] = wall_clock_us) -> None:
        self._people = {person.user_id: person for person in people}
        self._now_us = now_us

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[VitalSignsPage]:
        person = _named(self._people, user_id)
        today = self._now_us() // DAY_US
        for metric in METRICS:
            if metric == HEART_RATE.name:
                continue
            days = BEATS_KEPT_DAYS if metric == RR_INTERVAL.name else KEPT_DAYS
            kept = TimeRange(max(interval.start_us, (today - days) * DAY_US), interval.end_us)
            for samples in samples_between(person, kept, metric):
                columns = samples.times_us, samples.values, samples.confidences
                yield VitalSignsPage(metric, user_id, samples.device_id, *columns)


def _named(people: dict[str, SyntheticPerson], user_id: str) -> SyntheticPerson:
    person = people.get(user_id)
    if person is None:
        raise UnknownUserError(f"no synthetic person is named {user_id}")
    return person
