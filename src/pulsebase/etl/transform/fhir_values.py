"""Parse the data types of FHIR that hold times and values: effective times, Quantity and SampledData.

Each function raises `ElementError`, which names the element, for what it cannot read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.health_readings import ElementError, UnitError, converted, in_unit_of
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE
from pulsebase.model.metrics import MetricSpec
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import parse_reading_time

_NO_OFFSET = "has no offset, so it is no instant; FHIR demands one"
_BARE_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(\.\d{1,12})?", re.ASCII)
_WITH_OFFSET = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_NUMBERS = re.compile(r"[0-9eE+\-.\s]*")
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,2})?", re.ASCII)
#: Stands for a value that SampledData does not have: an error, or beyond what the device can tell.
_NO_VALUE = ("E", "U", "L")
_UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "min": 60e6, "h": 3600e6, "d": 86_400e6}
_TEXT_CHARACTERS = 1 << 20
#: Offsets are this exact as numbers of microseconds.
_MOST_OFFSET_US = float(1 << 52)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class EffectiveTimes:
    """When an Observation was made: from `start_us` to `end_us`, the same for an instant and None for a period that
    goes on.
    """

    element: str
    start_us: int
    end_us: int | None


def times_of(resource: Mapping[str, Any]) -> EffectiveTimes:
    """Return when an Observation was made."""
    for element in ("effectiveDateTime", "effectiveInstant"):
        if element in resource:
            at_us = _instant_us(resource[element], element)
            return EffectiveTimes(element, at_us, at_us)
    period = resource.get("effectivePeriod")
    if isinstance(period, dict):
        if period.get("start") is None:
            raise ElementError("effectivePeriod.start", "is required")
        start_us = _instant_us(period["start"], "effectivePeriod.start")
        end_us = None if period.get("end") is None else _instant_us(period["end"], "effectivePeriod.end")
        if end_us is not None and end_us < start_us:
            raise ElementError("effectivePeriod.end", "is before the start")
        return EffectiveTimes("effectivePeriod", start_us, end_us)
    if "effectiveTiming" in resource:
        raise ElementError(
            "effectiveTiming", "is not read; effectiveDateTime, effectiveInstant and effectivePeriod are"
        )
    raise ElementError("effective[x]", "is required: when was it measured?")


def _instant_us(text: Any, element: str) -> int:
    if not isinstance(text, str) or _WITH_OFFSET.fullmatch(text) is None:
        raise ElementError(element, _why_no_instant(text))
    try:
        return parse_reading_time(text)
    except (ValueError, OverflowError):
        raise ElementError(element, "is not a time that exists") from None


def _why_no_instant(text: Any) -> str:
    if isinstance(text, str) and _BARE_DATE.fullmatch(text):
        return "is a date without a time of day"
    local = isinstance(text, str) and _LOCAL.fullmatch(text)
    return _NO_OFFSET if local else "is not a time such as 2024-01-15T10:00:00Z"


def day_of(resource: Mapping[str, Any]) -> date:
    """Return the civil day that an Observation is of, as it is written."""
    period = resource.get("effectivePeriod")
    stated = {
        "effectiveDateTime": resource.get("effectiveDateTime"),
        "effectiveInstant": resource.get("effectiveInstant"),
        "effectivePeriod.start": period.get("start") if isinstance(period, dict) else None,
    }
    element, text = next(((name, text) for name, text in stated.items() if text is not None), ("effective[x]", None))
    try:
        if not isinstance(text, str) or not any(each.fullmatch(text) for each in (_DAY, _LOCAL, _WITH_OFFSET)):
            raise ValueError
        if _DAY.fullmatch(text) is None:
            parse_reading_time(text)
        return date.fromisoformat(text[:10])
    except (ValueError, OverflowError):
        raise ElementError(element, "is not a day such as 2024-01-15") from None


def quantity_of(quantity: Any, metric: MetricSpec, element: str) -> float:
    """Return the value of a Quantity in the metric's unit."""
    line = line_of(quantity, metric, element)
    if quantity.get("comparator"):
        raise ElementError(f"{element}.comparator", "makes a bound of the value")
    value = number_of(quantity.get("value"), f"{element}.value")
    return float(converted(np.array([value], np.float64), line)[0])


def line_of(quantity: Any, metric: MetricSpec, element: str) -> tuple[float, float]:
    """Return what values in the unit of a Quantity are multiplied by, and what is added then, to be in the metric's."""
    if not isinstance(quantity, dict):
        raise ElementError(element, "is no Quantity")
    unit = quantity.get("code") or quantity.get("unit") or ""
    try:
        return in_unit_of(metric, unit if isinstance(unit, str) else "")
    except UnitError as error:
        raise ElementError(element, str(error)) from None


def number_of(value: Any, element: str) -> float:
    """Return a decimal; some programs write them as texts."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ElementError(element, "is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ElementError(element, "is not a number")
    return number


def tokens_of(sampled: Mapping[str, Any], name: str, element: str) -> list[str]:
    """Return what a text of SampledData has between its blanks."""
    text = sampled.get(name, "")
    if not isinstance(text, str):
        raise ElementError(f"{element}.{name}", "is no text")
    if len(text) > _TEXT_CHARACTERS:
        raise ElementError(f"{element}.{name}", "is longer than FHIR allows a text to be, 1 MiB")
    return text.split()


def data_of(tokens: list[str], element: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the data of a SampledData as numbers, and which of them are values."""
    kept = np.array([token not in _NO_VALUE for token in tokens], np.bool_)
    plain = tokens if kept.all() else [token if known else "0" for token, known in zip(tokens, kept, strict=True)]
    return _numbers(plain, element), kept


def _numbers(tokens: list[str], element: str) -> npt.NDArray[np.float64]:
    try:
        if _NUMBERS.fullmatch(" ".join(tokens)) is None:
            raise ValueError
        found = np.array([float(token) for token in tokens], np.float64)
    except ValueError:
        raise ElementError(element, "has something else than decimals with blanks between them") from None
    if not np.isfinite(found).all():
        raise ElementError(element, "has a number that is too large")
    return found


def offsets_of(sampled: Mapping[str, Any], count: int, element: str) -> npt.NDArray[np.int64]:
    """Return how many microseconds after the start each sample was taken: as R5 says it with `offsets` or `interval`,
    or R4 with `period`, in milliseconds.
    """
    offsets, interval, period = sampled.get("offsets"), sampled.get("interval"), sampled.get("period")
    if sum(each is not None for each in (offsets, interval, period)) != 1:
        raise ElementError(element, "must have one of interval, offsets and, as in R4, period")
    if period is not None:
        unit_us = _UNITS_US["ms"]
    else:
        unit = sampled.get("intervalUnit")
        unit_us = _UNITS_US.get(unit, 0.0) if isinstance(unit, str) else 0.0
        if not unit_us:
            raise ElementError(f"{element}.intervalUnit", f"must be one of {', '.join(_UNITS_US)}")
    if offsets is not None:
        tokens = tokens_of(sampled, "offsets", element)
        if len(tokens) != count:
            raise ElementError(f"{element}.offsets", f"are {len(tokens):,}, the data {count:,}")
        with np.errstate(over="ignore"):
            found = _numbers(tokens, f"{element}.offsets") * unit_us
    else:
        name = "period" if interval is None else "interval"
        step = number_of(period if interval is None else interval, f"{element}.{name}")
        if step <= 0:
            raise ElementError(f"{element}.{name}", "must be above 0")
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.arange(count, dtype=np.float64) * (step * unit_us)
    if not (np.abs(found) < _MOST_OFFSET_US).all():
        raise ElementError(element, "goes on for too long")
    return np.rint(found).astype(np.int64)


def confidences_of(sure: Mapping[str, Any] | None, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int8] | None:
    """Return the confidences of our own exports, beside the samples that have a value."""
    sampled = None if sure is None else sure.get("valueSampledData")
    if not isinstance(sampled, dict):
        return None
    tokens = tokens_of(sampled, "data", "component.valueSampledData")
    if len(tokens) != len(kept):
        raise ElementError("component.valueSampledData", "has another number of confidences than there are readings")
    codes = {"E": NO_CONFIDENCE, "0": 0, "1": 1, "2": 2, "3": 3}
    return np.array([codes.get(token, NOT_A_CONFIDENCE) for token in tokens], np.int8)[kept]


def confidence_of(sure: Mapping[str, Any] | None) -> npt.NDArray[np.int8] | None:
    """Return the confidence of our own exports, beside a single reading."""
    if sure is None:
        return None
    stated = sure.get("valueInteger")
    known = isinstance(stated, int) and not isinstance(stated, bool) and 0 <= stated <= 3
    return np.array([stated if known else NOT_A_CONFIDENCE], np.int8)
