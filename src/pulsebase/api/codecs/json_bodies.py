"""Decode the bytes of an ingest request into columns.

The usual request is decoded in one pass by msgspec. Only a body that does not fit exactly is read again item by item,
so that one bad reading is refused with its reason and the rest is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from pulsebase.api.border.problems import ProblemError, field_error_of
from pulsebase.ingest import Candidates, Decoded
from pulsebase.ingest.blocks import HEART_RATE_FIELDS, VALUE_FIELDS, ReadingFields
from pulsebase.ingest.items import (
    AnyReadingIn,
    MetricReadingIn,
    Parsed,
    ReadingIn,
    ValueIn,
    columns_of,
    columns_of_parsed,
    parse_item,
    parse_items,
    parsed_of,
)
from pulsebase.model.errors import FieldError, RejectedError, shown_name
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.metrics import UnknownMetricError, metric_named

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_BATCH = 1_000
#: The most values and names in a body. They are counted by their separators before any object is made of them. Bodies
#: that are refused item by item, or have a few extra fields, stay far below.
MOST_VALUES = 100_000


class BatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """A batch as a device sends it."""

    readings: list[ReadingIn]


class ValueBatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """A batch of readings of another metric."""

    readings: list[ValueIn]


class MetricBatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """A batch of readings that name their metrics."""

    readings: list[MetricReadingIn]


_batches: Mapping[ReadingFields, msgspec.json.Decoder[BatchIn | ValueBatchIn]] = {
    HEART_RATE_FIELDS: msgspec.json.Decoder(BatchIn),
    VALUE_FIELDS: msgspec.json.Decoder(ValueBatchIn),
}
_singles: Mapping[ReadingFields, msgspec.json.Decoder[AnyReadingIn]] = {
    HEART_RATE_FIELDS: msgspec.json.Decoder(ReadingIn),
    VALUE_FIELDS: msgspec.json.Decoder(ValueIn),
}
_batch_of_metrics = msgspec.json.Decoder(MetricBatchIn)
#: Why a body is read again item by item: it does not fit exactly, or one of its values does not.
_INEXACT = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)


def decode_single(body: bytes, fields: ReadingFields = HEART_RATE_FIELDS) -> Parsed:
    """Decode one reading; `columns_of_parsed` turns several of them into columns.

    Raises:
        ProblemError: the body is not JSON, or holds far too many values.
        RejectedError: a field is missing, unknown or of the wrong type.
    """
    _check_values(body)
    try:
        return parsed_of(_singles[fields].decode(body))
    except _INEXACT:
        pass
    parsed = parse_item(_loads(body), 0, fields)
    if isinstance(parsed, FieldError):
        raise RejectedError.of(parsed.field, parsed.reason)
    return parsed


def decode_batch(
    body: bytes, fields: ReadingFields = HEART_RATE_FIELDS
) -> tuple[Candidates | Decoded, list[FieldError], int]:
    """Decode up to `MAX_BATCH` readings. Return those that could be read, the errors of the others, and how many there
    were in all.

    Raises:
        ProblemError: the body is not JSON, or holds far too many values.
        RejectedError: `readings` is missing, empty or too long, or there are other fields.
    """
    _check_values(body)
    try:
        readings = _batches[fields].decode(body).readings
        _check_length(len(readings))
        return columns_of(readings), [], len(readings)
    except _INEXACT:
        pass
    items = _batch_items(_loads(body))
    _check_length(len(items))
    candidates, errors = parse_items(items, fields=fields)
    return candidates, errors, len(items)


def decode_batch_of_metrics(body: bytes) -> tuple[dict[str, Candidates], list[FieldError], int]:
    """Decode up to `MAX_BATCH` readings that name their metrics. Return those that could be read, by metric, the errors
    of the others, and how many there were in all.

    Raises:
        ProblemError, RejectedError: as `decode_batch`.
    """
    _check_values(body)
    try:
        items: list[Any] = list(_batch_of_metrics.decode(body).readings)
    except _INEXACT:
        items = _batch_items(_loads(body))
    _check_length(len(items))
    found: dict[str, list[Parsed]] = {}
    errors: list[FieldError] = []
    for position, item in enumerate(items):
        result = _parsed_of_metric(item, position)
        if isinstance(result, FieldError):
            errors.append(result)
        else:
            found.setdefault(result[0], []).append(result[1])
    return {metric: columns_of_parsed(parsed) for metric, parsed in found.items()}, errors, len(items)


def decode_single_of_metric(body: bytes) -> tuple[str, Parsed]:
    """Decode one reading that names its metric. Return the metric's name and the reading.

    Raises:
        ProblemError, RejectedError: as `decode_single`.
    """
    _check_values(body)
    found = _parsed_of_metric(_loads(body), 0)
    if isinstance(found, FieldError):
        raise RejectedError.of(found.field, found.reason)
    return found


def _parsed_of_metric(item: Any, position: int) -> tuple[str, Parsed] | FieldError:
    try:
        if isinstance(item, MetricReadingIn):
            metric = metric_named(item.metric)
            try:
                return metric.name, parsed_of(item, position)
            except _INEXACT:
                item = msgspec.to_builtins(item)
        metric = metric_named(_metric_in(item))
    except (UnknownMetricError, RejectedError) as error:
        at_fault = error.errors[0] if isinstance(error, RejectedError) else FieldError("metric", str(error))
        return replace(at_fault, index=position)
    parsed = parse_item({name: item[name] for name in item if name != "metric"}, position, VALUE_FIELDS)
    return parsed if isinstance(parsed, FieldError) else (metric.name, parsed)


def _metric_in(item: Any) -> str:
    """Return what an item states as its metric.

    Raises:
        RejectedError: it is no object, or states none.
    """
    if not isinstance(item, dict):
        raise RejectedError.of("reading", "must be an object")
    if not isinstance(item.get("metric"), str):
        raise RejectedError.of("metric", "must be a text" if "metric" in item else "is required")
    return str(item["metric"])


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


def checked_object(body: bytes, schema: type[ModelT]) -> ModelT:
    """Decode a JSON object with the fields of a schema.

    Raises:
        ProblemError: the body is not JSON, or holds too many values.
        RejectedError: it is not an object, or names the fields that are wrong.
    """
    try:
        return schema.model_validate(decode_object(body))
    except ValidationError as error:
        raise RejectedError(
            [field_error_of(dict(each) | {"loc": each["loc"][:1]}) for each in error.errors(include_url=False)]
        ) from None


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
