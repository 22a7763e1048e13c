"""InfluxDB line protocol: `heart_rate,user_id=ann,device_id=watch bpm=72i 1705312800000000000`.

Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pulsebase.api.errors import ProblemError
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE, Candidates
from pulsebase.ingest.items import Parsed, columns_of_parsed
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import NO_CONFIDENCE

MEASUREMENT = "heart_rate"
#: The device of lines that name none.
DEVICE_ID = "influx"
#: Clients send some thousands of lines at a time.
MOST_LINES = 100_000
_LINE_BYTES = 64 << 10
_NS_OF: Mapping[str, int] = MappingProxyType({"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000})

# A backslash before a comma, an equals sign or a space takes its meaning away; elsewhere it stands for itself.
_TEXT = r"(?:[^\\, =]|\\.)+"
_MEASUREMENT_TEXT = r"(?:[^\\, ]|\\.)+"
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\\," ]+)'
_LINE = re.compile(
    rf"(?P<measurement>{_MEASUREMENT_TEXT})(?P<tags>(?:,{_TEXT}={_TEXT})*) +"
    rf"(?P<fields>{_TEXT}={_VALUE}(?:,{_TEXT}={_VALUE})*)(?: +(?P<time>-?[0-9]{{1,19}}))? *"
)
_TAG = re.compile(rf",({_TEXT})=({_TEXT})")
_FIELD = re.compile(rf"({_TEXT})=({_VALUE})")
_NUMBER = re.compile(r"[+-]?[0-9]+[iu]?|[+-]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\([, =])")


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """What could be read, by line number (the first line is 1), and why other lines could not."""

    candidates: Candidates
    errors: list[FieldError]


class _LineError(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def parse_lines(body: bytes, precision: str, now_us: int) -> ParsedLines:
    """The readings of a body. Tags other than `user_id` and `device_id` are passed over: agents add their own.

    Raises:
        ProblemError: there are more than `MOST_LINES` lines.
    """
    if body.count(b"\n") > MOST_LINES:
        raise ProblemError("body-too-large", f"the body holds more than {MOST_LINES} lines; send fewer at a time")
    points: list[Parsed] = []
    errors: list[FieldError] = []
    for number, raw in enumerate(body.split(b"\n"), 1):
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
    if "confidence" in fields:
        stated = _number("confidence", fields["confidence"])
        confidence = int(stated) if stated in (0, 1, 2, 3) else NOT_A_CONFIDENCE
    time_us = now_us if match["time"] is None else int(match["time"]) * _NS_OF[precision] // 1_000
    bounded = max(-1, min(time_us, 1 << 62))  # refused as lying before 1970, or in the future
    return number, tags["user_id"], tags.get("device_id", DEVICE_ID), bounded, _number("bpm", fields["bpm"]), confidence


def _number(name: str, text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise _LineError(name, "must be a number")
    return max(-1e6, min(1e6, float(text.rstrip("iu"))))


def _plain(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)
