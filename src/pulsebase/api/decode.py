"""From the bytes of an ingest request to columns of candidates.

The usual request is decoded in one pass by msgspec. Only a body that does not fit exactly is read again item by item,
so
that one bad reading is refused by name and the rest is kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pulsebase.api.errors import ProblemError, shown_name
from pulsebase.ingest import Candidates, Decoded
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import parse_reading_time

MAX_BATCH = 1_000


class ReadingIn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A reading as a device sends it."""

    device_id: str | int
    user_id: str | int
    timestamp: str
    heart_rate: float
    confidence: int | None = None


class BatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """A batch as a device sends it."""

    readings: list[ReadingIn]


_batch = msgspec.json.Decoder(BatchIn)


def decode_single(body: bytes) -> Parsed:
    """One reading, to be put into columns with others by `columns_of_parsed`.

    Raises:
        ProblemError: the body is no JSON.
        RejectedError: a field is missing, unknown or of the wrong type.
    """
    parsed = _parse_item(_loads(body), 0)
    if isinstance(parsed, FieldError):
        raise RejectedError.of(parsed.field, parsed.reason)
    return parsed


def decode_batch(body: bytes) -> tuple[Candidates | Decoded, list[FieldError], int]:
    """Up to `MAX_BATCH` readings: those that could be read, the refusals of those that could not, and how many came.

    Raises:
        ProblemError: the body is no JSON.
        RejectedError: `readings` is missing, empty, too long, or not alone.
    """
    try:
        readings = _batch.decode(body).readings
        _check_length(len(readings))
        return columns_of(readings), [], len(readings)
    except (msgspec.DecodeError, ValueError, OverflowError):
        pass
    items = _batch_items(_loads(body))
    _check_length(len(items))
    candidates, errors = parse_items(items)
    return candidates, errors, len(items)


def decode_object(body: bytes) -> dict[str, Any]:
    """A JSON object, with whatever fields it has.

    Raises:
        ProblemError: the body is no JSON.
        RejectedError: it is no object.
    """
    found = _loads(body)
    if not isinstance(found, dict):
        raise RejectedError.of("body", "must be an object")
    return found


def identifier_in(fields: dict[str, Any], name: str) -> str:
    """Take an id out of the fields of an object.

    Raises:
        RejectedError: it is missing, or no id.
    """
    if name not in fields:
        raise RejectedError.of(name, "is required")
    value = fields.pop(name)
    problem = identifier_problem(value)
    if problem is not None:
        raise RejectedError.of(name, problem)
    return str(value)


def parse_items(items: Sequence[Any], first_position: int = 0) -> tuple[Candidates, list[FieldError]]:
    """Readings as decoded JSON values: those that could be read, by position, and why the others could not."""
    parsed, errors = [], []
    for position, item in enumerate(items, first_position):
        result = _parse_item(item, position)
        if isinstance(result, FieldError):
            errors.append(result)
        else:
            parsed.append(result)
    return columns_of_parsed(parsed), errors


#: A reading that could be read: position, person, device, time in microseconds, value, confidence (-1 for none).
Parsed = tuple[int, str, str, int, float, int]


def columns_of(readings: Sequence[ReadingIn], first_position: int = 0) -> Decoded:
    """Decoded readings as columns.

    Raises:
        ValueError: they have to be looked at one by one.
    """
    return Decoded.of(
        [reading.user_id for reading in readings],
        [reading.device_id for reading in readings],
        [reading.timestamp for reading in readings],
        [reading.heart_rate for reading in readings],
        [reading.confidence for reading in readings],
        first_position,
    )


def columns_of_parsed(parsed: Sequence[Parsed]) -> Candidates:
    """Readings that could be read, as columns."""
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


def _confidence_code(value: int | None) -> int:
    """-1 for none; anything that is no confidence becomes a number that validation refuses."""
    if value is None:
        return NO_CONFIDENCE
    return value if 0 <= value <= 3 else NOT_A_CONFIDENCE


def _check_length(count: int) -> None:
    if count == 0:
        raise RejectedError.of("readings", "is empty; send 1 to 1,000 readings")
    if count > MAX_BATCH:
        raise RejectedError.of("readings", f"holds {count} readings; at most {MAX_BATCH} are taken at a time")


def _loads(body: bytes) -> Any:
    try:
        # Reads NaN and Infinity, which Python clients write, so that only their item is refused.
        return json.loads(body.decode("utf-8-sig"), parse_int=_integer)
    except RecursionError:
        raise ProblemError("malformed-body", "the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise ProblemError("malformed-body", "the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ProblemError("malformed-body", f"the body is not JSON: {error.msg} at character {error.pos}") from None


def _integer(digits: str) -> int:
    """Cut where no field can take it, so that Python's limit for integers refuses its item and not the whole body."""
    return int(digits[:400])


def _batch_items(body: Any) -> list[Any]:
    if not isinstance(body, dict):
        raise RejectedError.of("body", "must be an object with the field readings")
    unknown = [name for name in body if name != "readings"]
    if unknown:
        raise RejectedError([FieldError(shown_name(name), "is not a known field") for name in unknown[:10]])
    if not isinstance(body.get("readings"), list):
        raise RejectedError.of("readings", "must be a list of readings")
    return list(body["readings"])


class _FaultError(Exception):
    """The first fault of a reading, by field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def _parse_item(item: Any, index: int) -> Parsed | FieldError:
    """One reading as columns, or the first of its faults. Bounds are judged later, with the whole column."""
    try:
        _check_fields(item)
        user_id, device_id = _id_text(item, "user_id"), _id_text(item, "device_id")
        time_us, value = _time_of(item["timestamp"]), _value_of(item[HEART_RATE.name])
        return index, user_id, device_id, time_us, value, _confidence_of(item.get("confidence"))
    except _FaultError as fault:
        return FieldError(fault.field, fault.reason, index)


def _check_fields(item: Any) -> None:
    if not isinstance(item, dict):
        raise _FaultError("reading", "must be an object")
    for name in item:
        if name not in ReadingIn.__struct_fields__:
            raise _FaultError(shown_name(name), "is not a known field")
    for name in ("device_id", "user_id", "timestamp", HEART_RATE.name):
        if name not in item:
            raise _FaultError(name, "is required")


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


def _value_of(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _FaultError(HEART_RATE.name, "must be a number")
    if isinstance(value, float) and math.isnan(value):
        raise _FaultError(HEART_RATE.name, "is not a number")
    return float(max(-1e6, min(1e6, value)))  # a JSON integer may be too long for a double


def _confidence_of(value: Any) -> int:
    if isinstance(value, bool) or not (value is None or isinstance(value, int)):
        raise _FaultError("confidence", "must be 0, 1, 2 or 3")
    return _confidence_code(value)
