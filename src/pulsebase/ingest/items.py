"""Turn readings that came as JSON objects into columns.

Where all objects have the right shape, columns are made at once (`columns_of`). Otherwise `parse_items` goes through
them one by one, so that a bad one is refused with its reason and the rest is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pulsebase.ingest.blocks import HEART_RATE_FIELDS, ReadingFields
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE, Candidates, Decoded
from pulsebase.model.errors import FieldError, shown_name
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import parse_reading_time


class ReadingIn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A reading as a device sends it."""

    device_id: str | int
    user_id: str | int
    timestamp: str
    value: float = msgspec.field(name=HEART_RATE.name)
    confidence: int | float | None = None


class ValueIn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A reading of another metric as a device sends it."""

    device_id: str | int
    user_id: str | int
    timestamp: str
    value: float
    confidence: int | float | None = None


class MetricReadingIn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A reading that names its metric."""

    device_id: str | int
    user_id: str | int
    metric: str
    timestamp: str
    value: float
    confidence: int | float | None = None


#: How a reading is decoded whose value is in this field.
AnyReadingIn = ReadingIn | ValueIn | MetricReadingIn


def struct_of(fields: ReadingFields) -> type[AnyReadingIn]:
    """Return the form of readings with these fields."""
    if fields.names_metric:
        return MetricReadingIn
    return ReadingIn if fields.value == HEART_RATE.name else ValueIn


def parse_items(
    items: Sequence[Any], first_position: int = 0, fields: ReadingFields = HEART_RATE_FIELDS
) -> tuple[Candidates, list[FieldError]]:
    """Parse decoded JSON values one by one. Return the readings that could be read, and the errors of the others, both
    by position.
    """
    parsed, errors = [], []
    for position, item in enumerate(items, first_position):
        result = parse_item(item, position, fields)
        if isinstance(result, FieldError):
            errors.append(result)
        else:
            parsed.append(result)
    return columns_of_parsed(parsed), errors


#: A reading that could be read: position, person, device, time in microseconds, value, confidence (-1 for none).
Parsed = tuple[int, str, str, int, float, int]


def columns_of(readings: Sequence[AnyReadingIn], first_position: int = 0) -> Decoded:
    """Return decoded readings as columns.

    Raises:
        ValueError: they have to be parsed one by one.
    """
    return Decoded.of(
        [reading.user_id for reading in readings],
        [reading.device_id for reading in readings],
        [reading.timestamp for reading in readings],
        [reading.value for reading in readings],
        [reading.confidence for reading in readings],
        first_position,
    )


def columns_of_parsed(parsed: Sequence[Parsed]) -> Candidates:
    """Return parsed readings as columns."""
    columns = list(zip(*parsed, strict=True)) or [()] * 6
    positions, users, devices, times, values, confidences = columns
    return Candidates(
        users,
        devices,
        np.array(times, np.int64),
        np.array(values, np.float64),
        np.array(confidences, np.int8),
        np.array(positions, np.int64),
    )


def parsed_of(reading: AnyReadingIn, position: int = 0) -> Parsed:
    """Return one decoded reading, as `parse_item` would parse it.

    Raises:
        ValueError, OverflowError: its time is none; `parse_item` says so as an error of its field.
    """
    return (
        position,
        str(reading.user_id),
        str(reading.device_id),
        parse_reading_time(reading.timestamp),
        _within_reach(reading.value),
        _confidence_of(reading.confidence),
    )


class _FaultError(Exception):
    """The first fault of a reading, by field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def parse_item(item: Any, index: int, fields: ReadingFields = HEART_RATE_FIELDS) -> Parsed | FieldError:
    """Return one parsed reading, or the first of its faults. Bounds are checked later, for the whole column."""
    try:
        _check_fields(item, fields)
        user_id, device_id = _id_text(item, "user_id"), _id_text(item, "device_id")
        time_us, value = _time_of(item["timestamp"]), _value_of(item[fields.value], fields.value)
        return index, user_id, device_id, time_us, value, _confidence_of(item.get("confidence"))
    except _FaultError as fault:
        return FieldError(fault.field, fault.reason, index)


def _check_fields(item: Any, fields: ReadingFields) -> None:
    if not isinstance(item, dict):
        raise _FaultError("reading", "must be an object")
    for name in item:
        if name not in fields.all:
            raise _FaultError(shown_name(name), "is not a known field")
    for name in ("device_id", "user_id", *(("metric",) if fields.names_metric else ()), "timestamp", fields.value):
        if name not in item:
            raise _FaultError(name, "is required")
    if fields.names_metric and not isinstance(item["metric"], str):
        raise _FaultError("metric", "must be a text")


def _id_text(item: dict[str, Any], name: str) -> str:
    value = item[name]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _FaultError(name, "must be a text or an integer")
    return str(value).encode(errors="replace").decode()  # a lone surrogate becomes a `?`, which no id may hold


def _time_of(value: Any) -> int:
    if not isinstance(value, str):
        raise _FaultError("timestamp", "must be a text such as 2024-01-15T10:00:00Z")
    try:
        return parse_reading_time(value)
    except (ValueError, OverflowError) as error:
        raise _FaultError("timestamp", str(error)) from None


def _value_of(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _FaultError(name, "must be a number")
    if isinstance(value, float) and math.isnan(value):
        raise _FaultError(name, "is not a number")
    return _within_reach(value)


def _within_reach(value: float) -> float:
    return float(max(-1e6, min(1e6, value)))  # a JSON integer may be too long for a double


def _confidence_of(value: Any) -> int:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NO_CONFIDENCE
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _FaultError("confidence", "must be 0, 1, 2 or 3")
    return int(value) if value in (0, 1, 2, 3) else NOT_A_CONFIDENCE
