"""Parse records of people, which are lines of an export: JSON objects with the fields of `model.exported`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Literal, TypeVar

import msgspec

from pulsebase.model.annotations import Annotation, annotation_problem
from pulsebase.model.errors import FieldError, RejectedError, shown_name
from pulsebase.model.exported import Record
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.summaries import DailySummary, summary_problem
from pulsebase.model.timerange import instant_of
from pulsebase.model.users import DevicePriority, User, checked_person, checked_priority

RecordT = TypeVar("RecordT", User, DevicePriority, DailySummary, Annotation)


@dataclass(frozen=True, slots=True)
class ParsedRecords:
    """The records that could be read, the line number of each, and the errors of the others."""

    records: Sequence[Record]
    places: Sequence[int]
    errors: list[FieldError]


def parse_records(
    kind: Literal["people", "priorities", "summaries", "annotations"], lines: Sequence[bytes], first: int, today: date
) -> ParsedRecords:
    """Parse lines with records of one kind. The first line has the number `first`."""
    match kind:
        case "people":
            return _people(lines, first, today)
        case "priorities":
            return _priorities(lines, first)
        case "summaries":
            return _summaries(lines, first, today)
        case "annotations":
            return _annotations(lines, first)


def _people(lines: Sequence[bytes], first: int, today: date) -> ParsedRecords:
    def person(given: Mapping[str, Any]) -> User:
        said = {name: value for name, value in given.items() if name != "user_id"}
        return User(_identifier(given, "user_id"), **checked_person(said, today))

    return _parsed(lines, first, [field.name for field in fields(User)], person)


def _priorities(lines: Sequence[bytes], first: int) -> ParsedRecords:
    def priority(given: Mapping[str, Any]) -> DevicePriority:
        return DevicePriority(
            _identifier(given, "user_id"),
            _identifier(given, "device_id"),
            checked_priority(given["priority"]),
            instant_of(given["valid_from"], "valid_from"),
        )

    return _parsed(lines, first, ["user_id", "device_id", "priority", "valid_from"], priority)


def _summaries(lines: Sequence[bytes], first: int, today: date) -> ParsedRecords:
    def summary(given: Mapping[str, Any]) -> DailySummary:
        user_id = _identifier(given, "user_id")
        try:
            day = msgspec.convert({**given, "user_id": user_id}, DailySummary)
        except msgspec.ValidationError as error:
            raise RejectedError.of(_field_of(error), "is not what a summary has there") from None
        problem = summary_problem(day, today)
        if problem is not None:
            raise RejectedError([problem])
        return day

    return _parsed(lines, first, [field.name for field in fields(DailySummary)], summary)


def _annotations(lines: Sequence[bytes], first: int) -> ParsedRecords:
    def annotation(given: Mapping[str, Any]) -> Annotation:
        if not isinstance(given["text"], str):
            raise RejectedError.of("text", "must be a text")
        end_us = None if given["end"] is None else instant_of(given["end"], "end")
        found = Annotation(
            _identifier(given, "user_id"),
            _identifier(given, "annotation_id"),
            instant_of(given["start"], "start"),
            end_us,
            given["text"],
        )
        problem = annotation_problem(found)
        if problem is not None:
            raise RejectedError([problem])
        return found

    return _parsed(lines, first, ["user_id", "annotation_id", "start", "end", "text"], annotation)


def _parsed(
    lines: Sequence[bytes], first: int, names: Sequence[str], read: Callable[[Mapping[str, Any]], RecordT]
) -> ParsedRecords:
    found: list[RecordT] = []
    places, errors = [], []
    for place, line in enumerate(lines, first):
        try:
            found.append(read(_fields(line, names)))
            places.append(place)
        except RejectedError as error:
            errors.append(FieldError(error.errors[0].field, error.errors[0].reason, place))
    return ParsedRecords(found, places, errors)


def _fields(line: bytes, names: Sequence[str]) -> Mapping[str, Any]:
    """Return the line's fields, which must be these."""
    try:
        given = json.loads(line)
        json.dumps(given, ensure_ascii=False).encode()  # raises for a lone surrogate
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise RejectedError.of("record", "must be an object")
    for name in names:
        if name not in given:
            raise RejectedError.of(name, "is required")
    for name in given:
        if name not in names:
            raise RejectedError.of(shown_name(name), "is not a known field")
    return given


def _identifier(given: Mapping[str, Any], name: str) -> str:
    problem = identifier_problem(given[name])
    if problem is not None:
        raise RejectedError.of(name, problem)
    return str(given[name])


def _field_of(error: msgspec.ValidationError) -> str:
    """Return the field that the error mentions (`… - at `$.zones[0].minutes``)."""
    _, _, place = str(error).partition("`$.")
    return shown_name(place.partition("[")[0].rstrip("`")) or "record"
