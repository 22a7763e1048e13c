"""InfluxDB line protocol: `heart_rate,user_id=ann,device_id=watch bpm=72i 1705312800000000000`.

In lines written for us (`own_line`) the measurement is a metric and its field `value` (of heart rate `bpm`), or it is
`vital_signs` and each field is a metric: `vital_signs,user_id=ann,device_id=ring oxygen_saturation=97`. What other
programs' lines mean, a mapping says.

Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from pulsebase.ingest.blocks import VALUE_FIELDS
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE, Candidates
from pulsebase.ingest.items import Parsed, columns_of_parsed
from pulsebase.ingest.processor import ProcessorTime
from pulsebase.model.errors import FieldError, PulsebaseError
from pulsebase.model.metrics import HEART_RATE, MetricSpec, UnknownMetricError, metric_named
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import LAST_END_US

#: The measurement of lines whose fields name metrics.
VITAL_SIGNS = "vital_signs"
#: The device of lines that name none.
DEVICE_ID = "influx"
#: Clients send some thousands of lines at a time.
MOST_LINES = 100_000
_LINE_BYTES = 64 << 10
#: Lines, or bytes of them, after which is looked how long they took.
_LINES_AT_ONCE = 1_000
_BYTES_AT_ONCE = 1 << 20
#: Units of times, in nanoseconds. InfluxDB 1 knows minutes and hours too.
_NS_OF: Mapping[str, int] = MappingProxyType(
    {
        "ns": 1,
        "us": 1_000,
        "ms": 1_000_000,
        "s": 1_000_000_000,
        "m": 60_000_000_000,
        "h": 3_600_000_000_000,
    }
)

# A backslash before a comma, an equals sign or a space takes its meaning away; elsewhere it stands for itself.
_TEXT = r"(?:[^\\, =]|\\.)+"
_MEASUREMENT_TEXT = r"(?:[^\\, ]|\\.)+"
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\\," ]+)'
_LINE = re.compile(
    rf"(?P<measurement>{_MEASUREMENT_TEXT})(?P<tags>(?:,{_TEXT}={_TEXT})*) +"
    rf"(?P<fields>{_TEXT}={_VALUE}(?:,{_TEXT}={_VALUE})*)(?: +(?P<time>-?[0-9]{{1,19}}))? *",
    re.DOTALL,
)
_TAG = re.compile(rf",({_TEXT})=({_TEXT})", re.DOTALL)
_FIELD = re.compile(rf"({_TEXT})=({_VALUE})", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[0-9]+[iu]?|[+-]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\([, =])")

#: One whole line, including line breaks inside its texts, found as InfluxDB does: after the first space, a quote in a
#: field's value begins a text, which ends at the next quote that has no backslash before it. A line break after a
#: backslash does not end the line. Elsewhere a quote is a character like any other.
_WHOLE_LINE = re.compile(
    rb"""
    [^\S\n]*+
    (?: [^\\\ \n]++ | \\(?:.|\Z) )*+                # measurement and tags, up to the first space
    (?: [^\\=\n]++ | \\(?:.|\Z)                       # anything but a value
      | = (?: [^\\",\n]++ | \\(?:.|\Z)                # a value ...
            | " (?: [^"\\]++ | \\. )*+ (?: " | (?P<open>\\?\Z) )  # ... and a text in it
          )*+
    )*+
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(rb"[^\S\n]*+#[^\n]*+")
_UNENDED = "holds a text that no quote ends; what follows it is not read"
#: No gateway holds older readings: an earlier time was written in another unit than the one it is read in.
_FIRST_US = 946_684_800_000_000  # 2000-01-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """The readings by metric, at the numbers of their lines (the first is 1), the errors of lines that could not be
    read, and how many lines are of no metric.
    """

    candidates: Mapping[str, Candidates]
    errors: list[FieldError]
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line, without its time. Fields are as written: numbers, or texts in quotes."""

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LineReading:
    """A reading in a line: whose and of what it is, and the field that has its value."""

    metric: str
    user_id: str
    device_id: str
    field: str
    confidence: int = NO_CONFIDENCE


#: Returns the readings of a line; none of a line that is of no metric. Raises `LineError`.
ReadLine = Callable[[Line], Sequence[LineReading]]


class TooManyLinesError(PulsebaseError):
    """The body holds more lines than one request may; nothing of it was read."""


class LineError(Exception):
    """A line cannot be read: the field at fault and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def own_line(line: Line) -> Sequence[LineReading]:
    """Return the readings of a line written for us. Tags other than `user_id` and `device_id` are passed over: agents
    add their own.

    Raises:
        LineError: it is none.
    """
    metric = _metric_of(line.measurement)
    if "user_id" not in line.tags:
        raise LineError("user_id", "is required as a tag")
    if metric is None:
        values = _several_values(line.fields)
    else:
        values = ((metric.name, _value_in(line.fields, "bpm" if metric is HEART_RATE else VALUE_FIELDS.value)),)
    confidence = NO_CONFIDENCE
    if line.fields.get("confidence", "nan").lower() != "nan":
        stated = _number("confidence", line.fields["confidence"])
        confidence = int(stated) if stated in (0, 1, 2, 3) else NOT_A_CONFIDENCE
    user_id, device_id = line.tags["user_id"], line.tags.get("device_id", DEVICE_ID)
    return [LineReading(name, user_id, device_id, field, confidence) for name, field in values]


def parse_lines(
    body: bytes, precision: str, now_us: int, time: ProcessorTime | None = None, read: ReadLine = own_line
) -> ParsedLines:
    """The readings of a body, whose lines `read` understands.

    Raises:
        TooManyLinesError: there are more than `MOST_LINES` lines.
        TooCostlyError: they take more of the processor than `time` has.
    """
    if body.count(b"\n") > MOST_LINES:
        raise TooManyLinesError(f"the body holds more than {MOST_LINES} lines; send fewer at a time")
    points: defaultdict[str, list[Parsed]] = defaultdict(list)
    errors: list[FieldError] = []
    passed_over = unlooked_bytes = 0
    for number, raw in _lines(body):
        unlooked_bytes += len(raw or b"")
        if time is not None and (number % _LINES_AT_ONCE == 0 or unlooked_bytes >= _BYTES_AT_ONCE):
            time.check()
            unlooked_bytes = 0
        if raw is None:
            errors.append(FieldError("line", _UNENDED, number))
            break
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        if len(line) > _LINE_BYTES:
            errors.append(FieldError("line", f"is longer than {_LINE_BYTES} bytes", number))
            continue
        try:
            found = _readings(number, line.decode(), precision, now_us, read)
            for metric, reading in found:
                points[metric].append(reading)
            passed_over += not found
        except UnicodeDecodeError:
            errors.append(FieldError("line", "is not UTF-8", number))
        except LineError as error:
            errors.append(FieldError(error.field, str(error), number))
    candidates = {metric: columns_of_parsed(parsed) for metric, parsed in points.items()}
    return ParsedLines(candidates, errors, passed_over)


def _lines(body: bytes) -> Iterable[tuple[int, bytes | None]]:
    """Return the lines, each with the line number that it begins on; None for a line with a text that never ends."""
    if b'"' not in body and b"\\\n" not in body:
        return enumerate(body.split(b"\n"), 1)
    return _lines_with_texts(body)


def _lines_with_texts(body: bytes) -> Iterator[tuple[int, bytes | None]]:
    at, number = 0, 1
    while at <= len(body):
        line = _COMMENT.match(body, at) or _WHOLE_LINE.match(body, at)
        assert line is not None, "the pattern takes an empty line too"
        is_open = line.re is _WHOLE_LINE and line["open"] is not None
        yield number, None if is_open else line[0]
        number += 1 + body.count(b"\n", at, line.end())
        at = line.end() + 1


def _readings(number: int, text: str, precision: str, now_us: int, read: ReadLine) -> Sequence[tuple[str, Parsed]]:
    """Return the readings of a line, each with its metric."""
    match = _LINE.fullmatch(text)
    if match is None:
        raise LineError("line", "is not line protocol")
    tags = {_plain(name): _plain(value) for name, value in _TAG.findall(match["tags"])}
    fields = {_plain(name): value for name, value in _FIELD.findall(match["fields"])}
    readings = read(Line(_plain(match["measurement"]), tags, fields))
    if not readings:  # the time of such a line may be anything
        return ()
    time_us = now_us if match["time"] is None else _time_us(int(match["time"]), precision)
    return [
        (
            each.metric,
            (number, each.user_id, each.device_id, time_us, _number(each.field, fields[each.field]), each.confidence),
        )
        for each in readings
    ]


@lru_cache(maxsize=64)  # lines repeat few measurements
def _metric_of(measurement: str) -> MetricSpec | None:
    """Return the metric that a measurement is of, None if the fields say it."""
    if measurement == VITAL_SIGNS:
        return None
    try:
        return metric_named(measurement)
    except UnknownMetricError as error:
        raise LineError("measurement", f"{error}; or send {VITAL_SIGNS}, with a field for each metric") from None


def _value_in(fields: Mapping[str, str], value: str) -> str:
    """Return the name of the field that has the value of a line of one metric, which must be this one."""
    for name in fields:
        if name not in (value, "confidence"):
            raise LineError(name[:64], f"is not a known field; send {value} and, if wanted, confidence")
    if value not in fields:
        raise LineError(value, "is required as a field")
    return value


def _several_values(fields: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Return the metrics that fields name, each with its field."""
    values: dict[str, str] = {}
    for name in fields:
        if name == "confidence":
            continue
        try:
            metric = metric_named(name).name
        except UnknownMetricError as error:
            raise LineError(name[:64], str(error)) from None
        if metric in values:
            raise LineError(name, f"is the metric that {values[metric]} is too")
        values[metric] = name
    if not values:
        raise LineError("fields", "must name a metric")
    return values.items()


def _time_us(stated: int, precision: str) -> int:
    """Return a time in microseconds. A time that no reading can have was written in another unit, and is refused."""
    time_us = stated * _NS_OF[precision] // 1_000
    if _FIRST_US <= time_us < LAST_END_US:
        return time_us
    where = "before the year 2000" if time_us < _FIRST_US else "after the year 2199"
    raise LineError("timestamp", f"is {where} if read in {precision}; name its unit in the parameter precision")


def _number(name: str, text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise LineError(name, "must be a number")
    return max(-1e6, min(1e6, float(text.rstrip("iu"))))


def _plain(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)
