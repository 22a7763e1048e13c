"""What a database holds: measurements with fields, and the people and devices that their tags name.

A database with a mapping (`etl.transform.line_mapping`) is that mapping read the other way round: dashboards ask for
the measurements, fields and tags that programs write. Every other one has a measurement for each metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pulsebase.etl.transform.line_mapping import LineMapping, LineRule
from pulsebase.influxql.readings import StoredColumn
from pulsebase.ingest.line_protocol import VITAL_SIGNS
from pulsebase.model.metrics import HEART_RATE, METRICS

USER_TAG, DEVICE_TAG = "user_id", "device_id"
#: What a database without a mapping is called in lists. Any other name holds the same.
OWN_DATABASE = "pulsebase"
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Place:
    """Whose readings a field has, and from which device: None for anybody's, and for any.

    `mapping` and `rule` say what the device is called, if lines name it otherwise than its id.
    """

    user_id: str | None = None
    device_id: str | None = None
    mapping: LineMapping | None = None
    rule: LineRule | None = None

    def device_named(self, name: str) -> str | None:
        """Return the device that a tag of this text names; None if it names none here."""
        if self.mapping is None or self.rule is None:
            return name
        return self.mapping.device_named(self.rule, name)

    def name_of(self, device_id: str) -> str:
        """Return what the tag says of a device."""
        if self.mapping is None or self.rule is None:
            return device_id
        return self.mapping.name_of_device(self.rule, device_id) or device_id


@dataclass(frozen=True, slots=True)
class MeasuredField:
    """What a field holds, and whose. `listed` is whether it is shown where nobody names it."""

    stored: StoredColumn
    places: tuple[Place, ...] = (Place(),)
    listed: bool = True


@dataclass(frozen=True, slots=True)
class InfluxMeasurement:
    """A measurement: its fields by name, and the names of its tags, of which None is not there. `listed` is whether it
    is shown where nobody names it.
    """

    name: str
    fields: Mapping[str, MeasuredField] = field(default_factory=dict)
    user_tag: str | None = USER_TAG
    device_tag: str | None = DEVICE_TAG
    listed: bool = True

    @property
    def tags(self) -> list[str]:
        """The names of the tags, sorted."""
        return sorted(filter(None, (self.user_tag, self.device_tag)))

    @property
    def listed_fields(self) -> list[str]:
        """The names of the fields that are shown where nobody names one, sorted."""
        return sorted(name for name, each in self.fields.items() if each.listed)


def own_measurements() -> dict[str, InfluxMeasurement]:
    """Return the measurements of a database without a mapping: those of lines that are written for us."""
    found = {}
    for metric in METRICS.values():
        fields = {
            "value": MeasuredField(StoredColumn(metric)),
            "confidence": MeasuredField(StoredColumn(metric, "confidence"), listed=False),
        }
        if metric is HEART_RATE:
            fields["bpm"] = MeasuredField(StoredColumn(metric), listed=False)
        found[metric.name] = InfluxMeasurement(metric.name, fields)
    together = {name: MeasuredField(StoredColumn(metric)) for name, metric in METRICS.items()}
    return found | {VITAL_SIGNS: InfluxMeasurement(VITAL_SIGNS, together, listed=False)}


def mapped_measurements(mapping: LineMapping, only_person: str | None) -> dict[str, InfluxMeasurement]:
    """Return the measurements of a database with a mapping. `only_person` is the one whose key was shown, if it is for
    one person.
    """
    places: dict[str, dict[str, list[tuple[StoredColumn, Place]]]] = {}
    for rule in mapping.rules:
        stored = _stored_of(rule)
        if stored is not None:
            fallback = None if mapping.user_tag else mapping.user_id or only_person
            device_id = None if stored.of_days else mapping.one_device(rule)
            place = Place(rule.user_id or fallback, device_id, mapping, rule)
            places.setdefault(_name_of(rule), {}).setdefault(rule.value_field, []).append((stored, place))
    return {name: _measurement(name, mapping, fields) for name, fields in places.items()}


def _stored_of(rule: LineRule) -> StoredColumn | None:
    """Return where questions find what a rule's lines have; None if they are not asked for."""
    if rule.is_resting:
        return StoredColumn(HEART_RATE, "resting")
    return StoredColumn(METRICS[rule.metric]) if rule.metric is not None and rule.asked_for else None


def _measurement(
    name: str, mapping: LineMapping, fields: Mapping[str, Sequence[tuple[StoredColumn, Place]]]
) -> InfluxMeasurement:
    measured = {}
    for field_name, found in fields.items():
        stored = found[0][0]  # a field is of one metric; what others there are have a measurement of their own
        measured[field_name] = MeasuredField(stored, tuple(place for other, place in found if other == stored))
    people = {place.user_id for each in measured.values() for place in each.places}
    user_tag = mapping.user_tag or (USER_TAG if people == {None} or len(people) > 1 else None)
    only_of_days = all(each.stored.of_days for each in measured.values())
    return InfluxMeasurement(name, measured, user_tag, None if only_of_days else mapping.device_tag)


def _name_of(rule: LineRule) -> str:
    """Return the measurement that a rule's lines are of; if that is a pattern, the unit, as in Home Assistant."""
    if not _WILD & set(rule.measurement):
        return rule.measurement
    metric = METRICS[rule.metric or HEART_RATE.name]
    return metric.unit if fnmatchcase(metric.unit, rule.measurement) else metric.name
