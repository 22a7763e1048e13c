"""What messages of an MQTT broker mean: the topic says whose they are, the payload has the values.

Topic templates are written as `pulse/{user}/{device}/{metric}`. A placeholder stands for a whole level; `+` for any
level that says nothing. What a topic does not say may follow the template: `esp/strap/hr=heart_rate@ann/strap`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE
from pulsebase.model.identifiers import text_problem
from pulsebase.model.metrics import HEART_RATE, MetricSpec, UnknownMetricError, known_metric, metric_named
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import parse_reading_time

#: The device of messages that do not name one.
DEVICE_ID = "mqtt"
#: Longer payloads are no readings.
MOST_PAYLOAD_BYTES = 64 << 10
_PLACEHOLDERS = ("user", "device", "metric")
_NUMBER = re.compile(rb"\s*[+-]?\d{1,9}(\.\d{0,30})?\s*")
_TIMES = ("timestamp", "time")
#: A number of seconds is below this until the year 5138, one of milliseconds above it since 1973.
_FIRST_MS = 1e11


class MessageError(ValueError):
    """A message cannot be read: the field at fault and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class MessageReading:
    """A reading in a message. `time_us` is None if the message does not say when."""

    metric: str
    user_id: str
    device_id: str
    time_us: int | None
    value: float
    confidence: int = NO_CONFIDENCE


@dataclass(frozen=True, slots=True)
class TopicRule:
    """A topic template, and what its topics do not say.

    Attributes:
        template: as it is written in the settings.
        filter: the topics, as brokers are asked for them.
        pattern: the same, with a group for each placeholder.
        metric: the metric, if each topic is of this one.
        user_id: the person, if the topic does not name them.
        device_id: the device, likewise.
    """

    template: str
    filter: str
    pattern: re.Pattern[str]
    metric: MetricSpec | None = None
    user_id: str | None = None
    device_id: str | None = None

    def readings(self, topic: str, payload: bytes) -> Sequence[MessageReading]:
        """Return the readings of a message; none if its topic or its fields are of no metric.

        Raises:
            MessageError: it cannot be read.
        """
        match = self.pattern.fullmatch(topic)
        if match is None:
            return ()
        said = match.groupdict()
        metric = self.metric
        if metric is None and "metric" in said:
            metric = known_metric(said["metric"])
            if metric is None:
                return ()
        fields = _fields_of(payload, metric)
        values = _values_in(fields) if metric is None else _value_in(fields, metric)
        user_id, device_id = self.user_id or said["user"], self.device_id or _device(said.get("device", ""))
        time_us, confidence = _time_in(fields), _confidence_in(fields)
        return [MessageReading(name, user_id, device_id, time_us, value, confidence) for name, value in values]


def topic_rules(text: str) -> list[TopicRule]:
    """Return the rules that a setting states: templates, separated by commas.

    Raises:
        ValueError: it is none; says why.
    """
    return [_rule(entry) for entry in filter(None, map(str.strip, text.split(",")))]


def _rule(entry: str) -> TopicRule:
    rest, _, whose = entry.partition("@")
    template, _, metric_name = rest.partition("=")
    levels = template.split("/")
    if not template or any("#" in level or ("+" in level and level != "+") for level in levels):
        raise ValueError(
            f"{entry}: a template has levels between slashes, such as pulse/{{user}}/{{device}}/{{metric}}"
        )
    named = [level[1:-1] for level in levels if level[:1] == "{" and level[-1:] == "}"]
    if any(name not in _PLACEHOLDERS for name in named) or len(set(named)) < len(named):
        raise ValueError(f"{entry}: a level may be {{user}}, {{device}} or {{metric}}, each of them once")
    if template.count("{") > len(named):
        raise ValueError(f"{entry}: a placeholder is a whole level")
    user_id, _, device_id = whose.partition("/")
    for name, stated in (("user", user_id), ("device", device_id)):
        if stated and (problem := text_problem(stated)):
            raise ValueError(f"{entry}: the {name} {problem}")
        if stated and name in named:
            raise ValueError(f"{entry}: the {name} is said twice")
    if "user" not in named and not user_id:
        raise ValueError(f"{entry}: needs the level {{user}}, or @ and the person's id at the end")
    if metric_name and "metric" in named:
        raise ValueError(f"{entry}: the metric is said twice")
    try:
        metric = metric_named(metric_name) if metric_name else None
    except UnknownMetricError as error:
        raise ValueError(f"{entry}: {metric_name} {error}") from None
    topics = "/".join("+" if level[:1] == "{" else level for level in levels)
    return TopicRule(template, topics, _pattern(levels), metric, user_id or None, device_id or None)


def _pattern(levels: Sequence[str]) -> re.Pattern[str]:
    parts = []
    for level in levels:
        if level[:1] == "{":
            parts.append(f"(?P<{level[1:-1]}>[^/]+)")
        else:
            parts.append("[^/]*" if level == "+" else re.escape(level))
    return re.compile("/".join(parts))


def _fields_of(payload: bytes, metric: MetricSpec | None) -> Mapping[str, Any]:
    """Return the fields of a payload; a bare number is the field `value`."""
    if len(payload) > MOST_PAYLOAD_BYTES:
        raise MessageError("payload", f"is longer than {MOST_PAYLOAD_BYTES} bytes")
    if _NUMBER.fullmatch(payload):
        if metric is None:
            raise MessageError("payload", "is a number, and neither topic nor template says of which metric")
        return {"value": float(payload)}
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MessageError("payload", "is neither a number nor JSON") from None
    if not isinstance(found, dict):
        raise MessageError("payload", "must be a number or a JSON object")
    return found


def _value_in(fields: Mapping[str, Any], metric: MetricSpec) -> list[tuple[str, float]]:
    """Return the value of the metric that the topic is of; none if it is null."""
    for name in ("value", metric.name, *(("bpm",) if metric is HEART_RATE else metric.aliases)):
        if name in fields:
            value = _number(name, fields[name])
            return [] if value is None else [(metric.name, value)]
    raise MessageError("value", "is required")


def _values_in(fields: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the values of fields that are called as metrics."""
    found: dict[str, float] = {}
    names: dict[str, str] = {}
    for name, stated in fields.items():
        metric = HEART_RATE if name == "bpm" else known_metric(name)
        if metric is None:
            continue
        value = _number(name, stated)
        if value is None:
            continue
        if metric.name in found:
            raise MessageError(name[:64], f"is the metric that {names[metric.name]} is too")
        found[metric.name], names[metric.name] = value, name
    return list(found.items())


def _number(name: str, stated: object) -> float | None:
    """Return a value. Sensors write null while they have none."""
    if stated is None:
        return None
    if isinstance(stated, bool) or not isinstance(stated, (int, float)):
        raise MessageError(name[:64], "must be a number")
    return float(max(-1e6, min(1e6, stated)))


def _time_in(fields: Mapping[str, Any]) -> int | None:
    name = next((name for name in _TIMES if fields.get(name) is not None), None)
    if name is None:
        return None
    stated = fields[name]
    if isinstance(stated, str):
        try:
            return parse_reading_time(stated)
        except (ValueError, OverflowError) as error:
            raise MessageError(name, str(error)) from None
    if isinstance(stated, bool) or not isinstance(stated, (int, float)) or not 0 <= stated < 1e15:
        raise MessageError(name, "must be an ISO 8601 time, or seconds or milliseconds since 1970")
    return math.floor(stated * (1_000 if stated >= _FIRST_MS else 1_000_000))


def _confidence_in(fields: Mapping[str, Any]) -> int:
    stated = fields.get("confidence")
    if stated is None:
        return NO_CONFIDENCE
    known = isinstance(stated, (int, float)) and not isinstance(stated, bool) and stated in (0, 1, 2, 3)
    return int(stated) if known else NOT_A_CONFIDENCE


def _device(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise MessageError("device", f"is longer than {LONGEST_NAME:,} characters")
    return device_id_of(name, DEVICE_ID)
