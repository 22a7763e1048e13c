"""Extractors of the synthetic people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.transform.heart_rate import DevicePage
from pulsebase.etl.transform.heart_rate_summary import DayPage
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.timerange import TimeRange
from pulsebase.sources.synthetic import (
    WRISTBAND,
    SyntheticPerson,
    civil_days,
    day_range,
    samples_between,
    synthetic_day,
)

SOURCE = "synthetic"


class SyntheticHeartRateExtractor(Extractor[DevicePage]):
    """The readings of the synthetic people's devices: a page a device and civil day."""

    source = SOURCE
    device_id = WRISTBAND

    def __init__(self, people: Sequence[SyntheticPerson]) -> None:
        self._people = {person.user_id: person for person in people}

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DevicePage]:
        for samples in samples_between(_known(self._people, user_id), interval):
            yield DevicePage(user_id, samples.device_id, samples.times_us, samples.bpm, samples.confidences)


class SyntheticSummaryExtractor(Extractor[DayPage]):
    """The civil days of the synthetic people that end in the interval: of a day that runs, nothing is said yet."""

    source = SOURCE
    device_id = WRISTBAND

    def __init__(self, people: Sequence[SyntheticPerson]) -> None:
        self._people = {person.user_id: person for person in people}

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DayPage]:
        person = _known(self._people, user_id)
        for day in civil_days(person, interval):
            if interval.start_us < day_range(person, day).end_us <= interval.end_us:
                recorded = synthetic_day(person, day)
                band = recorded.wristband
                readings = DevicePage(user_id, band.device_id, band.times_us, band.bpm, band.confidences)
                yield DayPage(day, readings, recorded.asleep, person.max_heart_rate(day))


def _known(people: dict[str, SyntheticPerson], user_id: str) -> SyntheticPerson:
    person = people.get(user_id)
    if person is None:
        raise UnknownUserError(f"no synthetic person is named {user_id}")
    return person
