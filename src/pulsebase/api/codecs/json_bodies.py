"""Decode the bytes of an ingest request into columns.

The usual request is decoded in one pass by msgspec. Only a body that does not fit exactly is read again item by item,
so that one bad reading is refused with its reason and the rest is kept.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from pulsebase.api.border.problems import ProblemError
from pulsebase.ingest import Candidates, Decoded
from pulsebase.ingest.items import Parsed, ReadingIn, columns_of, parse_item, parse_items, parsed_of
from pulsebase.model.errors import FieldError, RejectedError, shown_name
from pulsebase.model.identifiers import identifier_problem

MAX_BATCH = 1_000
#: The most values and names in a body. They are counted by their separators before any object is made of them. Bodies
#: that are refused item by item, or have a few extra fields, stay far below.
MOST_VALUES = 100_000


class BatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """A batch as a device sends it."""

    readings: list[ReadingIn]


_batch = msgspec.json.Decoder(BatchIn)
_single = msgspec.json.Decoder(ReadingIn)
#: Why a body is read again item by item: it does not fit exactly, or one of its values does not.
_INEXACT = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)


def decode_single(body: bytes) -> Parsed:
    """Decode one reading; `columns_of_parsed` turns several of them into columns.

    Raises:
        ProblemError: the body is not JSON, or holds far too many values.
        RejectedError: a field is missing, unknown or of the wrong type.
    """
    _check_values(body)
    try:
        return parsed_of(_single.decode(body))
    except _INEXACT:
        pass
    parsed = parse_item(_loads(body), 0)
    if isinstance(parsed, FieldError):
        raise RejectedError.of(parsed.field, parsed.reason)
    return parsed


def decode_batch(body: bytes) -> tuple[Candidates | Decoded, list[FieldError], int]:
    """Decode up to `MAX_BATCH` readings. Return those that could be read, the errors of the others, and how many there
    were in all.

    Raises:
        ProblemError: the body is not JSON, or holds far too many values.
        RejectedError: `readings` is missing, empty or too long, or there are other fields.
    """
    _check_values(body)
    try:
        readings = _batch.decode(body).readings
        _check_length(len(readings))
        return columns_of(readings), [], len(readings)
    except _INEXACT:
        pass
    items = _batch_items(_loads(body))
    _check_length(len(items))
    candidates, errors = parse_items(items)
    return candidates, errors, len(items)


def decode_object(body: bytes, most_values: int | None = MOST_VALUES) -> dict[str, Any]:
    """Decode a JSON object, whatever its fields.

    Raises:
        ProblemError: the body is not JSON, or holds more than `most_values` values.
        RejectedError: it is not an object.
    """
    _check_values(body, most_values)
    found = _loads(body)
    if not isinstance(found, dict):
        raise RejectedError.of("body", "must be an object")
    return found


def identifier_in(fields: dict[str, Any], name: str) -> str:
    """Take an id out of the fields of an object.

    Raises:
        RejectedError: it is missing, or not a valid id.
    """
    if name not in fields:
        raise RejectedError.of(name, "is required")
    value = fields.pop(name)
    problem = identifier_problem(value)
    if problem is not None:
        raise RejectedError.of(name, problem)
    return str(value)


def _check_length(count: int) -> None:
    if count == 0:
        raise RejectedError.of("readings", "is empty; send 1 to 1,000 readings")
    if count > MAX_BATCH:
        raise RejectedError.of("readings", f"holds {count} readings; at most {MAX_BATCH} are taken at a time")


def _check_values(body: bytes, most: int | None = MOST_VALUES) -> None:
    """Refuse a body with too many values. Separators inside texts are counted too, so that the count is never too low;
    honest texts hold none.
    """
    if most is not None and len(body) > most and sum(map(body.count, (b",", b"{", b"["))) > most:
        raise ProblemError("body-too-large", f"the body holds more than {most} values; send smaller ones")


def _loads(body: bytes) -> Any:
    try:
        # Python's parser accepts NaN and Infinity, which Python clients write, so that only their item is refused.
        return json.loads(body.decode("utf-8-sig"), parse_int=_integer)
    except RecursionError:
        raise ProblemError("malformed-body", "the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise ProblemError("malformed-body", "the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ProblemError("malformed-body", f"the body is not JSON: {error.msg} at character {error.pos}") from None


def _integer(digits: str) -> int:
    """Parse an integer, cut to 400 digits. No field accepts so many, so its item is refused; uncut, Python's limit on
    digits would refuse the whole body.
    """
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
