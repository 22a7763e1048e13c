"""What lines of other programs mean: whose they are, from which device, and which fields are of which metric.

Programs that write to InfluxDB choose their own measurements, fields and tags. A mapping belongs to a database (in
InfluxDB 2 a bucket), whose name each request states. Lines and fields that no rule fits are passed over, because these
programs send much else: steps, batteries, test points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of, device_name_of
from pulsebase.ingest.line_protocol import DEVICE_ID, Line, LineError, LineReading
from pulsebase.model.errors import RejectedError
from pulsebase.model.identifiers import text_problem
from pulsebase.model.metrics import HEART_RATE, HRV_RMSSD, OXYGEN_SATURATION, RESPIRATORY_RATE, asked_metric

#: What a line's people and devices come to is remembered for so many series of a body.
_MOST_SERIES = 10_000
_NO_PERSON = (
    "is said neither by the line nor by the mapping of this database; name it there, or use a key for one person"
)


@dataclass(frozen=True, slots=True)
class LineRule:
    """A field that has values of a metric. `measurement` and the tags are patterns, in which `*` stands for anything.

    Attributes:
        metric: the metric; None has the field passed over.
        user_id: the person, where the line does not say it, or says it otherwise.
        device_id: the device, likewise.
        asked_for: whether questions about the measurement find readings. Those of a metric cannot be told apart, so of
            several measurements that have it some may be written but not asked for.
        is_resting: whether the field is a day's resting heart rate. Lines with it are passed over, and questions find
            what sources stated of days.
    """

    measurement: str = "*"
    value_field: str = "value"
    metric: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    user_id: str | None = None
    device_id: str | None = None
    asked_for: bool = True
    is_resting: bool = False

    def fits(self, line: Line) -> bool:
        """Whether a line has what the patterns say."""
        return fnmatchcase(line.measurement, self.measurement) and all(
            fnmatchcase(line.tags.get(name, ""), pattern) for name, pattern in self.tags.items()
        )


@dataclass(frozen=True, slots=True)
class LineMapping:
    """What the lines of a database mean. For each field the first rule that fits decides.

    Attributes:
        user_id: the person, where a line does not say it.
        user_tag: the tag that names the person.
        device_id: the device, where a line does not say it.
        device_tag: the tag that names the device.
    """

    rules: Sequence[LineRule]
    user_id: str | None = None
    user_tag: str | None = None
    device_id: str | None = None
    device_tag: str | None = None

    @property
    def people(self) -> frozenset[str]:
        """The people whom it names."""
        return frozenset(filter(None, (self.user_id, *(rule.user_id for rule in self.rules))))

    def reader(self, only_person: str | None) -> Callable[[Line], Sequence[LineReading]]:
        """Return a function that reads lines. `only_person` is the one whose key was shown, if it is for one person."""
        known: dict[tuple[object, ...], list[LineReading]] = {}

        def read(line: Line) -> Sequence[LineReading]:
            series = (line.measurement, *line.tags.items(), *line.fields)
            found = known.get(series)
            if found is None:
                found = self._readings(line, only_person)
                if len(known) < _MOST_SERIES:
                    known[series] = found
            return found

        return read

    def one_device(self, rule: LineRule) -> str | None:
        """Return the device of all lines that a rule fits; None if their tags say it."""
        return rule.device_id or (None if self.device_tag else self.device_id or DEVICE_ID)

    def device_named(self, rule: LineRule, name: str) -> str | None:
        """Return the device of lines that a rule fits and whose tag of the device is this; None if it fits none."""
        if len(name) > LONGEST_NAME or not fnmatchcase(name, rule.tags.get(self.device_tag or "", "*")):
            return None
        return self._device(rule, Line("", {self.device_tag or "": name}, {}))

    def name_of_device(self, rule: LineRule, device_id: str) -> str | None:
        """Return what the tag of the device says in lines that a rule takes to be of this one; None if it is not known,
        or there are no such lines.
        """
        pattern = rule.tags.get(self.device_tag or "", "*")
        if rule.device_id is None:
            name = device_name_of(device_id, self.device_id or DEVICE_ID)
            names = [] if name is None else [pattern.replace("*", name), name]
        else:
            names = [pattern.replace("*", device_id)]
        return next((each for each in names if self.device_named(rule, each) == device_id), None)

    def _readings(self, line: Line, only_person: str | None) -> list[LineReading]:
        fitting = [rule for rule in self.rules if rule.value_field in line.fields and rule.fits(line)]
        chosen = {rule.value_field: rule for rule in reversed(fitting)}  # of a field the first one is left
        found: dict[tuple[str, str, str], LineReading] = {}
        for rule in reversed(chosen.values()):
            if rule.metric is None:
                continue
            whose = (rule.metric, self._person(rule, line, only_person), self._device(rule, line))
            if whose in found:
                raise LineError(
                    rule.value_field[:64], f"is of the same metric, person and device as {found[whose].field[:64]}"
                )
            found[whose] = LineReading(*whose, rule.value_field)
        return list(found.values())

    def _person(self, rule: LineRule, line: Line, only_person: str | None) -> str:
        tagged = line.tags.get(self.user_tag) if self.user_tag else None
        user_id = rule.user_id or tagged or self.user_id or only_person
        if user_id is None:
            raise LineError("user_id", _NO_PERSON)
        return user_id

    def _device(self, rule: LineRule, line: Line) -> str:
        fallback = self.device_id or DEVICE_ID
        if rule.device_id is not None:
            return rule.device_id
        name = line.tags.get(self.device_tag, "") if self.device_tag else ""
        if len(name) > LONGEST_NAME:
            raise LineError("device_id", f"comes from a tag of more than {LONGEST_NAME} characters")
        return device_id_of(_starred(name, rule.tags.get(self.device_tag or "", "")), fallback)


def _starred(name: str, pattern: str) -> str:
    """Return what the `*` at the beginning of a pattern stands for: of `*_heart_rate` the device of an entity."""
    ending = pattern[1:]
    if pattern[:1] == "*" and ending and not set("*?[") & set(ending):
        return name.removesuffix(ending) or name
    return name


#: Tags and fields of programs that are often seen. Values of a whole night or day are passed over.
PRESETS: Mapping[str, LineMapping] = {
    "fitbit-grafana": LineMapping(
        (
            LineRule("HeartRate_Intraday", "value", HEART_RATE.name),
            LineRule("SPO2_Intraday", "value", OXYGEN_SATURATION.name),
            LineRule("RestingHR", "value", is_resting=True),
        ),
        device_tag="Device",
        device_id="fitbit",
    ),
    "garmin-grafana": LineMapping(
        (
            LineRule("HeartRateIntraday", "HeartRate", HEART_RATE.name),
            LineRule("ActivityGPS", "HeartRate", HEART_RATE.name, asked_for=False),
            LineRule("BreathingRateIntraday", "BreathingRate", RESPIRATORY_RATE.name),
            LineRule("HRV_Intraday", "hrvValue", HRV_RMSSD.name),
            LineRule("SleepIntraday", "spo2Reading", OXYGEN_SATURATION.name),
            LineRule("DailyStats", "restingHeartRate", is_resting=True),
        ),
        device_tag="Device",
        device_id="garmin",
    ),
    "home-assistant": LineMapping(
        (
            *(
                LineRule(tags={"entity_id": pattern})
                for kind in ("resting", "min", "max", "minimum", "maximum", "average", "mean")
                for pattern in (f"*_{kind}_heart_rate", f"{kind}_heart_rate")
            ),
            *(
                LineRule(metric=metric, tags={"entity_id": pattern})
                for metric, names in {
                    HEART_RATE.name: ("heart_rate",),
                    OXYGEN_SATURATION.name: ("oxygen_saturation", "blood_oxygen", "spo2"),
                    RESPIRATORY_RATE.name: ("respiratory_rate", "respiration_rate"),
                }.items()
                for name in names
                for pattern in (f"*_{name}", name)
            ),
        ),
        device_tag="entity_id",
        device_id="home-assistant",
    ),
}

_MAPPING_FIELDS = ("preset", "user_id", "user_tag", "device_id", "device_tag", "lines")
_RULE_FIELDS = ("measurement", "field", "metric", "tags", "user_id", "device_id", "pass_over")


def mappings_in(stated: Mapping[str, object]) -> dict[str, LineMapping]:
    """Return the mappings of databases by name: the presets under their own names, and what a document states.

    Raises:
        RejectedError: the document is not as described; the field is the place in it.
    """
    return dict(PRESETS) | {name: _mapping(name, value) for name, value in stated.items()}


def _mapping(name: str, stated: object) -> LineMapping:
    place = f"[{name}]"
    table = _table(place, stated, _MAPPING_FIELDS)
    preset_name = _text(place, table, "preset")
    if preset_name is not None and preset_name not in PRESETS:
        raise RejectedError.of(f"{place} preset", f"must be one of {', '.join(PRESETS)}")
    lines = table.get("lines", [])
    if not isinstance(lines, list):
        raise RejectedError.of(f"{place} lines", f"must be written as [[{name}.lines]]")
    preset = PRESETS[preset_name] if preset_name else LineMapping(())
    rules = [_rule(f"{place} lines {number}", line) for number, line in enumerate(lines, 1)]
    if not rules and not preset.rules:
        raise RejectedError.of(place, "needs a preset or lines")
    return LineMapping(
        (*rules, *preset.rules),
        _id(place, table, "user_id"),
        _text(place, table, "user_tag"),
        _id(place, table, "device_id") or preset.device_id,
        _text(place, table, "device_tag") or preset.device_tag,
    )


def _rule(place: str, stated: object) -> LineRule:
    table = _table(place, stated, _RULE_FIELDS)
    pass_over = table.get("pass_over", False)
    if not isinstance(pass_over, bool):
        raise RejectedError.of(f"{place} pass_over", "must be true or false")
    named = _text(place, table, "metric")
    if (named is None) is not pass_over:
        raise RejectedError.of(f"{place} metric", "is required, unless pass_over is true")
    tags = _table(f"{place} tags", table.get("tags", {}), None)
    patterns = {tag: _text(f"{place} tags", tags, tag) or "" for tag in tags}
    return LineRule(
        _text(place, table, "measurement") or "*",
        _text(place, table, "field") or "value",
        None if named is None else asked_metric(named, f"{place} metric").name,
        patterns,
        _id(place, table, "user_id"),
        _id(place, table, "device_id"),
    )


def _table(place: str, stated: object, known: Sequence[str] | None) -> dict[str, object]:
    if not isinstance(stated, dict):
        raise RejectedError.of(place, "must be a table")
    for name in stated:
        if known is not None and name not in known:
            raise RejectedError.of(f"{place} {name}", f"is not known; there are {', '.join(known)}")
    return stated


def _text(place: str, table: Mapping[str, object], name: str) -> str | None:
    value = table.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise RejectedError.of(f"{place} {name}", "must be a text")
    return value


def _id(place: str, table: Mapping[str, object], name: str) -> str | None:
    value = _text(place, table, name)
    problem = None if value is None else text_problem(value)
    if problem is not None:
        raise RejectedError.of(f"{place} {name}", problem)
    return value
