"""An extractor of what the synthetic people wear besides their wristbands: devices that no cloud knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulsebase.etl.extract.base import Extractor
from pulsebase.etl.transform.heart_rate import DevicePage
from pulsebase.model.errors import UnknownUserError
from pulsebase.model.timerange import TimeRange
from pulsebase.sources.synthetic import CHEST_STRAP, WRISTBAND, SyntheticPerson, samples_between

SOURCE = "synthetic"


class SyntheticStrapExtractor(Extractor[DevicePage]):
    """The readings of the synthetic people's other devices: a page a device and civil day."""

    source = SOURCE
    device_id = CHEST_STRAP

    def __init__(self, people: Sequence[SyntheticPerson]) -> None:
        self._people = {person.user_id: person for person in people}

    def extract(self, user_id: str, interval: TimeRange) -> Iterator[DevicePage]:
        person = self._people.get(user_id)
        if person is None:
            raise UnknownUserError(f"no synthetic person is named {user_id}")
        for samples in samples_between(person, interval):
            if samples.device_id != WRISTBAND:
                yield DevicePage(user_id, samples.device_id, samples.times_us, samples.bpm, samples.confidences)
