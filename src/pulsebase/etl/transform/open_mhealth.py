"""Read data points and data series of Open mHealth, with the header of IEEE 1752.1 or Open mHealth's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.etl.transform.gathered import number_of
from pulsebase.etl.transform.health_readings import (
    LONG_PERIOD,
    LONGEST_READING_US,
    ElementError,
    HealthReadings,
    HealthSamples,
    UnitError,
    Whose,
    converted,
    in_unit_of,
)
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE
from pulsebase.model.health_codes import METRIC_OF_SCHEMA, OUR_DEVICES, schema_of
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.metrics import MetricSpec
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import parse_reading_time

#: The device of a data point that names none.
FALLBACK_DEVICE = "open-mhealth"
_UNITS_US = {
    "us": 1.0,
    "ms": 1e3,
    "sec": 1e6,
    "min": 60e6,
    "h": 3600e6,
    "d": 86_400e6,
}
_FRAME = "body.effective_time_frame"


class OpenMHealthReader:
    """Reads data points and series one after the other into `readings`."""

    def __init__(self, whose: Whose, device_id: str | None, readings: HealthReadings) -> None:
        """`device_id` is the device that the caller named, if any."""
        self._whose, self._device_id, self._readings = whose, device_id, readings

    def read(self, point: Mapping[str, Any], place: int) -> None:
        """Read one data point, or the points of a series, which is at this place of the file."""
        header, body = point.get("header"), point.get("body")
        if not isinstance(header, dict) or not isinstance(body, dict | list):
            self._readings.pass_over("objects without header and body")
            return
        known = header.get("schema_id")
        stated = known if isinstance(known, dict) else {}
        metric = METRIC_OF_SCHEMA.get(str(stated.get("name"))) if stated.get("namespace") in ("omh", "ieee") else None
        if metric is None:
            named = ":".join(str(stated.get(name, "")) for name in ("namespace", "name", "version"))
            self._readings.pass_over(f"schema {named}")
            return
        for each in body if isinstance(body, list) else [body]:
            try:
                self._point(header, each, metric, place)
            except ElementError as error:
                self._readings.refuse(metric, place, error.element, error.reason)

    def _point(self, header: Mapping[str, Any], body: Any, metric: MetricSpec, place: int) -> None:
        if not isinstance(body, dict):
            raise ElementError("body", "is no object")
        if body.get("descriptive_statistic") is not None:
            self._readings.pass_over("statistics (averages, minima, maxima), which are no readings")
            return
        stated = header.get("user_id")
        try:
            user_id = self._whose.of(stated if isinstance(stated, str) and stated else None)
        except ValueError as error:
            raise ElementError("header.user_id", str(error)) from None
        problem = identifier_problem(user_id)
        if problem is not None:
            raise ElementError("header.user_id", problem)
        value = _value(body, metric)
        at_us = _time_us(body, header)
        confidences = np.array([_confidence(header.get("confidence"))], np.int8)
        samples = HealthSamples(np.array([at_us], np.int64), np.array([value], np.float64), confidences)
        self._readings.add(metric, place, (user_id, self._device(header)), samples)

    def _device(self, header: Mapping[str, Any]) -> str:
        if self._device_id is not None:
            return self._device_id
        sheets = header.get("external_datasheets")
        for sheet in sheets if isinstance(sheets, list) else ():
            reference = sheet.get("datasheet_reference") if isinstance(sheet, dict) else None
            if not isinstance(reference, str) or sheet.get("datasheet_type", "hardware") != "hardware":
                continue
            ours = reference.removeprefix(f"{OUR_DEVICES}:")
            if ours != reference and identifier_problem(ours) is None:
                return ours
            return _device_named(reference)
        provenance = header.get("acquisition_provenance")
        name = provenance.get("source_name") if isinstance(provenance, dict) else None
        return _device_named(name) if isinstance(name, str) else FALLBACK_DEVICE


def _device_named(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise ElementError("header.external_datasheets", f"has a name of more than {LONGEST_NAME:,} characters")
    return device_id_of(name.strip(), FALLBACK_DEVICE)


def _value(body: Mapping[str, Any], metric: MetricSpec) -> float:
    schema = schema_of(metric)
    assert schema is not None
    element = f"body.{schema.field}"
    stated = body.get(schema.field)
    if not isinstance(stated, dict):
        raise ElementError(element, "is required, with value and unit")
    number = number_of(stated.get("value"))
    if number is None:
        raise ElementError(element, "has no number as its value")
    unit = stated.get("unit")
    try:
        line = in_unit_of(metric, unit if isinstance(unit, str) else "")
    except UnitError as error:
        raise ElementError(element, str(error)) from None
    return float(converted(np.array([number], np.float64), line)[0])


def _time_us(body: Mapping[str, Any], header: Mapping[str, Any]) -> int:
    """Return when a value was measured. A time without an offset is in UTC, as IEEE 1752.1 says."""
    frame = body.get("effective_time_frame")
    if not isinstance(frame, dict):
        return _instant_us(header.get("source_creation_date_time"), "header.source_creation_date_time")
    interval = frame.get("time_interval")
    if not isinstance(interval, dict):
        return _instant_us(frame.get("date_time"), f"{_FRAME}.date_time")
    start, end = interval.get("start_date_time"), interval.get("end_date_time")
    if start is not None and end is not None:
        start_us = _instant_us(start, _FRAME)
        length_us = float(_instant_us(end, _FRAME) - start_us)
    elif start is not None or end is not None:
        length_us = _length_us(interval.get("duration"))
        start_us = _instant_us(end if start is None else start, _FRAME)
    else:
        raise ElementError(_FRAME, "has neither start_date_time nor end_date_time")
    if not 0 <= length_us <= LONGEST_READING_US:
        raise ElementError(_FRAME, LONG_PERIOD if length_us > 0 else "ends before it starts")
    return start_us - int(length_us) if start is None else start_us


def _length_us(duration: Any) -> float:
    stated = duration if isinstance(duration, dict) else {}
    value, unit_us = number_of(stated.get("value")), _UNITS_US.get(str(stated.get("unit")))
    if value is None or unit_us is None:
        raise ElementError(_FRAME, "has no duration that is read")
    return value * unit_us


def _instant_us(text: Any, element: str) -> int:
    if not isinstance(text, str):
        raise ElementError(element, "is required")
    try:
        return parse_reading_time(text)
    except (ValueError, OverflowError) as error:
        raise ElementError(element, str(error) or "is not a time") from None


def _confidence(stated: Any) -> int:
    if stated is None:
        return NO_CONFIDENCE
    return stated if type(stated) is int and 0 <= stated <= 3 else NOT_A_CONFIDENCE
