"""Whose series a statement is about: the people and devices that its conditions leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pulsebase.influxql.conditions import UNKNOWN, Tag, TextTag, decided, named_texts
from pulsebase.influxql.databases import InfluxMeasurement, Place
from pulsebase.influxql.readings import SeriesOf, StoredColumn
from pulsebase.influxql.syntax import Expression, Reference
from pulsebase.model.errors import RejectedError
from pulsebase.model.identifiers import text_problem
from pulsebase.stores.contract import Reader

#: How many people are looked through where a statement names nobody.
_MOST_LOOKED_THROUGH = 10_000
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class DeviceTag:
    """What the tag of the device says, by the places that have its readings."""

    device_id: str
    places: tuple[Place, ...]

    @property
    def name(self) -> str:
        """What answers show."""
        return self.places[0].name_of(self.device_id)

    def equals(self, text: str) -> bool:
        """See `conditions.Tag.equals`."""
        return any(place.device_named(text) == self.device_id for place in self.places)

    def texts(self) -> Sequence[str]:
        """See `conditions.Tag.texts`."""
        return [place.name_of(self.device_id) for place in self.places]


@dataclass(slots=True)
class FoundSeries:
    """A series of a measurement: which fields it has, its tags, and what its rows still have to fulfil."""

    series: SeriesOf
    fields: dict[str, StoredColumn] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    condition: Expression | None = None

    def tag(self, measurement: InfluxMeasurement, name: str) -> Tag:
        """Return what the series has as this tag."""
        if name == measurement.user_tag:
            return TextTag(self.series.user_id)
        if name == measurement.device_tag and self.series.device_id is not None:
            return DeviceTag(self.series.device_id, tuple(self.places))
        return TextTag("")

    def text_of(self, measurement: InfluxMeasurement, name: str) -> str:
        """Return what answers show as this tag."""
        tag = self.tag(measurement, name)
        return tag.name if isinstance(tag, DeviceTag) else tag.texts()[0]

    def name_of(self, device_id: str) -> str:
        """Return what answers show as the tag of a device."""
        return self.places[0].name_of(device_id)


@dataclass(frozen=True, slots=True)
class PeopleAsked:
    """Who can be asked about.

    Attributes:
        reader: knows them.
        most: how many one statement may be about.
        check: raises an error once a request has taken too long.
    """

    reader: Reader
    most: int
    check: Callable[[], object]


def people_of(
    measurement: InfluxMeasurement, names: Sequence[str], condition: Expression | None, people: PeopleAsked
) -> list[str]:
    """Return the people whose readings these fields have, and whom a condition may be true of.

    Raises:
        RejectedError: they are too many.
    """
    reader, most = people.reader, people.most
    places = [place for name in names for place in measurement.fields[name].places]
    found = {place.user_id for place in places if place.user_id is not None and reader.knows(place.user_id)}
    if any(place.user_id is None for place in places):
        named = None if measurement.user_tag is None else named_texts(condition, measurement.user_tag)
        if named is None:
            found |= set(_everybody(measurement, condition, people))
        else:
            _require_few(len(named), most)
            found |= {each for each in named if text_problem(each) is None and reader.knows(each)}
    _require_few(len(found), most)
    return sorted(found, key=str.encode)


def series_of(
    measurement: InfluxMeasurement,
    names: Sequence[str],
    condition: Expression | None,
    people: PeopleAsked,
    *,
    by_device: bool,
) -> list[FoundSeries]:
    """Return the series that have any of these fields and that a condition is true of, or may be of their rows. Where
    nothing asks for devices there is one series for a person, of all devices, of which each minute's winner counts.
    """
    found: dict[SeriesOf, FoundSeries] = {}
    for user_id in people_of(measurement, names, condition, people):
        devices = _devices(measurement, names, condition, people.reader, user_id) if by_device else []
        for name in names:
            measured = measurement.fields[name]
            for place in measured.places:
                if place.user_id not in (None, user_id):
                    continue
                for device_id in _devices_at(place, devices, by_device=by_device):
                    series = SeriesOf(user_id, device_id)
                    each = found.setdefault(series, FoundSeries(series))
                    each.fields[name] = measured.stored
                    if place not in each.places:
                        each.places.append(place)
    whole = {series.user_id for series in found if series.device_id is None}
    return [
        each
        for each in found.values()
        if not (each.series.device_id is not None and each.series.user_id in whole)
        and _fulfils(each, measurement, condition, people.check)
    ]


def _fulfils(
    series: FoundSeries, measurement: InfluxMeasurement, condition: Expression | None, check: Callable[[], object]
) -> bool:
    """Whether a series may fulfil a condition. What its rows have to fulfil is noted."""
    check()
    left = decided(condition, lambda name: tag_named(name, measurement, lambda tag: series.tag(measurement, tag)))
    if isinstance(left, bool):
        return left
    series.condition = left
    return True


def tag_named(reference: Reference, measurement: InfluxMeasurement, tag_of: Callable[[str], Tag]) -> Tag | None:
    """Return the tag that a name in a condition means; None if it means a field."""
    if reference.kind == "field" or (reference.kind is None and reference.name in measurement.fields):
        return None
    return tag_of(reference.name)


def _devices_at(place: Place, devices: Sequence[str], *, by_device: bool) -> Iterator[str | None]:
    if not by_device or place.device_id is not None:
        yield place.device_id
        return
    yield from devices


def _devices(
    measurement: InfluxMeasurement, names: Sequence[str], condition: Expression | None, reader: Reader, user_id: str
) -> list[str]:
    """Return the devices of a person that a condition may be true of."""
    named = None if measurement.device_tag is None else named_texts(condition, measurement.device_tag)
    if named is None:
        return [device.device_id for device in reader.devices(user_id)]
    places = [place for name in names for place in measurement.fields[name].places]
    found = {place.device_named(text) for text in named for place in places}
    return sorted(each for each in found if each is not None and text_problem(each) is None)


def _everybody(measurement: InfluxMeasurement, condition: Expression | None, people: PeopleAsked) -> Iterator[str]:
    reader, most = people.reader, people.most
    after, looked_through, found = None, 0, 0
    while True:
        page = [overview.user.user_id for overview in reader.users("", _PAGE, after)]
        for user_id in page:
            people.check()
            if _may_be(user_id, measurement, condition):
                found += 1
                _require_few(found, most)
                yield user_id
        looked_through += len(page)
        if len(page) < _PAGE:
            return
        if looked_through >= _MOST_LOOKED_THROUGH:
            _require_few(most + 1, most)
        after = page[-1]


def _may_be(user_id: str, measurement: InfluxMeasurement, condition: Expression | None) -> bool:
    def tag_of(name: str) -> Tag:
        if name == measurement.user_tag:
            return TextTag(user_id)
        return UNKNOWN if name == measurement.device_tag else TextTag("")

    return decided(condition, lambda name: tag_named(name, measurement, tag_of)) is not False


def _require_few(people: int, most: int) -> None:
    if people > most:
        raise RejectedError.of("q", f"is about more than {most} people; name some: WHERE user_id = '…'")
