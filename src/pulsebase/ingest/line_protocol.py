"""InfluxDB line protocol: `heart_rate,user_id=ann,device_id=watch bpm=72i 1705312800000000000`.

Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pulsebase.ingest.candidates import NOT_A_CONFIDENCE, Candidates
from pulsebase.ingest.items import Parsed, columns_of_parsed
from pulsebase.ingest.processor import ProcessorTime
from pulsebase.model.errors import FieldError, PulsebaseError
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import LAST_END_US

MEASUREMENT = "heart_rate"
#: The device of lines that name none.
DEVICE_ID = "influx"
#: Clients send some thousands of lines at a time.
MOST_LINES = 100_000
_LINE_BYTES = 64 << 10
#: Lines after which is looked how long they took.
_LINES_AT_ONCE = 1_000
_NS_OF: Mapping[str, int] = MappingProxyType({"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000})

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
    """The readings by line number (the first line is 1), and the errors of the lines that could not be read."""

    candidates: Candidates
    errors: list[FieldError]


class TooManyLinesError(PulsebaseError):
    """The body holds more lines than one request may; nothing of it was read."""


class _LineError(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def parse_lines(body: bytes, precision: str, now_us: int, time: ProcessorTime | None = None) -> ParsedLines:
    """The readings of a body. Tags other than `user_id` and `device_id` are passed over: agents add their own.

    Raises:
        TooManyLinesError: there are more than `MOST_LINES` lines.
        TooCostlyError: they take more of the processor than `time` has.
    """
    if body.count(b"\n") > MOST_LINES:
        raise TooManyLinesError(f"the body holds more than {MOST_LINES} lines; send fewer at a time")
    points: list[Parsed] = []
    errors: list[FieldError] = []
    for number, raw in _lines(body):
        if time is not None and number % _LINES_AT_ONCE == 0:
            time.check()
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
            points.append(_point(number, line.decode(), precision, now_us))
        except UnicodeDecodeError:
            errors.append(FieldError("line", "is not UTF-8", number))
        except _LineError as error:
            errors.append(FieldError(error.field, str(error), number))
    return ParsedLines(columns_of_parsed(points), errors)


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


def _point(number: int, line: str, precision: str, now_us: int) -> Parsed:
    match = _LINE.fullmatch(line)
    if match is None:
        raise _LineError("line", "is not line protocol")
    if _plain(match["measurement"]) != MEASUREMENT:
        raise _LineError("measurement", f"must be {MEASUREMENT}")
    tags = {_plain(name): _plain(value) for name, value in _TAG.findall(match["tags"])}
    if "user_id" not in tags:
        raise _LineError("user_id", "is required as a tag")
    fields = {_plain(name): value for name, value in _FIELD.findall(match["fields"])}
    for name in fields:
        if name not in ("bpm", "confidence"):
            raise _LineError(name[:64], "is not a known field; send bpm and, if wanted, confidence")
    if "bpm" not in fields:
        raise _LineError("bpm", "is required as a field")
    confidence = NO_CONFIDENCE
    if fields.get("confidence", "nan").lower() != "nan":
        stated = _number("confidence", fields["confidence"])
        confidence = int(stated) if stated in (0, 1, 2, 3) else NOT_A_CONFIDENCE
    time_us = now_us if match["time"] is None else _time_us(int(match["time"]), precision)
    return number, tags["user_id"], tags.get("device_id", DEVICE_ID), time_us, _number("bpm", fields["bpm"]), confidence


def _time_us(stated: int, precision: str) -> int:
    """Return a time in microseconds. A time that no reading can have was written in another unit, and is refused."""
    time_us = stated * _NS_OF[precision] // 1_000
    if _FIRST_US <= time_us < LAST_END_US:
        return time_us
    where = "before the year 2000" if time_us < _FIRST_US else "after the year 2199"
    raise _LineError("timestamp", f"is {where} if read in {precision}; name its unit in the parameter precision")


def _number(name: str, text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise _LineError(name, "must be a number")
    return max(-1e6, min(1e6, float(text.rstrip("iu"))))


def _plain(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)
