"""Read Observations of FHIR, R5 and R4: values, components and SampledData of vital signs. Everything else is counted.

What a file says wrongly is refused with the name of the element; what may not count (entered in error, without a value,
statistics) is passed over by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.etl.transform.fhir_values import (
    EffectiveTimes,
    confidence_of,
    confidences_of,
    data_of,
    day_of,
    line_of,
    number_of,
    offsets_of,
    quantity_of,
    times_of,
    tokens_of,
)
from pulsebase.etl.transform.health_readings import (
    LONG_PERIOD,
    LONGEST_READING_US,
    ElementError,
    HealthReadings,
    HealthSamples,
    Whose,
    converted,
    shown,
)
from pulsebase.model.health_codes import (
    CONFIDENCE,
    METRIC_OF_CODE,
    OUR_CODES,
    OUR_DEVICES,
    RESTING,
    RESTING_HEART_RATE,
    STATISTICS,
)
from pulsebase.model.identifiers import identifier_problem
from pulsebase.model.metrics import HEART_RATE, MetricSpec
from pulsebase.model.summaries import DailySummary, summary_problem

#: The device of an Observation that names none.
FALLBACK_DEVICE = "fhir"
_METHOD = "fhir"
_NOT_COUNTED = {
    "entered-in-error": "Observations entered in error",
    "cancelled": "Observations that were cancelled",
    "registered": "Observations without a result yet (registered)",
}


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all values of an Observation have in common: its place, its times, the person and the device."""

    place: int
    times: EffectiveTimes
    whose: tuple[str, str]


class FhirReader:
    """Reads resources one after the other into `readings`."""

    def __init__(self, whose: Whose, device_id: str | None, readings: HealthReadings, today: date) -> None:
        """`device_id` is the device that the caller named, if any; `today` is the day in UTC."""
        self._whose, self._device_id, self._readings, self._today = whose, device_id, readings, today
        #: Resting heart rates of days, and the place of each.
        self.days: list[tuple[DailySummary, int]] = []

    def read(self, resource: Mapping[str, Any], place: int) -> None:
        """Read one resource, which is at this place of the file."""
        kind = resource.get("resourceType")
        if kind == "Bundle":
            self._readings.refuse(HEART_RATE, place, "Bundle.entry", "is no list")
            return
        if kind != "Observation":
            self._readings.pass_over(f"{kind} resources" if isinstance(kind, str) else "objects that are no resource")
            return
        status = resource.get("status")
        if isinstance(status, str) and status in _NOT_COUNTED:
            self._readings.pass_over(_NOT_COUNTED[status])
            return
        metric, resting = _metric_of(resource.get("code")), _is_resting(resource.get("code"))
        parts = list(_components(resource))
        of_part = next((known for known, _ in parts if known is not None), None)
        if metric is None and not resting and of_part is None:
            self._readings.pass_over(f"Observation {_named(resource.get('code'))}")
            return
        try:
            _require_understood(resource, "")
            if resting:
                self._rest(resource, place)
                return
            self._observation(resource, metric, parts, place)
        except ElementError as error:
            self._readings.refuse(metric or of_part or HEART_RATE, place, error.element, error.reason)

    def _observation(
        self,
        resource: Mapping[str, Any],
        metric: MetricSpec | None,
        parts: list[tuple[MetricSpec | None, Mapping[str, Any]]],
        place: int,
    ) -> None:
        if any(_has_code(part.get("code"), STATISTICS, None) for _, part in parts):
            self._readings.pass_over("statistics (averages, minima, maxima), which are no readings")
            return
        frame = _Frame(place, times_of(resource), (self._person(resource), self._device(resource)))
        known = without = 0
        if metric is not None:
            sure = next((part for _, part in parts if _has_code(part.get("code"), OUR_CODES, CONFIDENCE)), None)
            known += self._value(resource, metric, frame, sure=sure)
        for of, part in parts:
            if of is not None:
                found = self._value(part, of, frame, prefix="component.")
                known, without = known + found, without + (not found)
            elif not _has_code(part.get("code"), OUR_CODES, None):
                self._readings.pass_over(f"component {_named(part.get('code'))}")
        if not known:
            self._readings.pass_over("Observations without a value")
        elif without:
            self._readings.pass_over("components without a value", without)

    def _value(
        self,
        stated: Mapping[str, Any],
        metric: MetricSpec,
        frame: _Frame,
        *,
        sure: Mapping[str, Any] | None = None,
        prefix: str = "",
    ) -> bool:
        """Read the value of an Observation or of a component. Return whether there was one, refused or not."""
        quantity, sampled = stated.get("valueQuantity"), stated.get("valueSampledData")
        other = next((name for name in stated if name.startswith("value") and stated[name] is not None), None)
        if other is None or (isinstance(sampled, dict) and sampled.get("data") in (None, "")):
            return False
        try:
            _require_understood(stated, prefix)
            if sampled is not None:
                samples = self._sampled(sampled, metric, frame.times, sure, f"{prefix}valueSampledData")
            elif quantity is not None:
                _require_short(frame.times)
                value = quantity_of(quantity, metric, f"{prefix}valueQuantity")
                times_us = np.array([frame.times.start_us], np.int64)
                samples = HealthSamples(times_us, np.array([value], np.float64), confidence_of(sure))
            else:
                raise ElementError(f"{prefix}{shown(other)}", "is not read; valueQuantity and valueSampledData are")
        except ElementError as error:
            self._readings.refuse(metric, frame.place, error.element, error.reason)
        else:
            self._readings.add(metric, frame.place, frame.whose, samples)
        return True

    def _sampled(
        self, sampled: Any, metric: MetricSpec, times: EffectiveTimes, sure: Mapping[str, Any] | None, element: str
    ) -> HealthSamples:
        """Return the samples that have a value, with the confidences that our own exports have beside them."""
        if not isinstance(sampled, dict):
            raise ElementError(element, "is no SampledData")
        if sampled.get("dimensions") != 1:
            raise ElementError(f"{element}.dimensions", "must be 1: one value at a time")
        origin = sampled.get("origin")
        line = line_of(origin, metric, f"{element}.origin")
        zero = number_of(origin.get("value", 0), f"{element}.origin.value") if isinstance(origin, dict) else 0.0
        factor = number_of(sampled.get("factor", 1), f"{element}.factor")
        tokens = tokens_of(sampled, "data", element)
        after_us = offsets_of(sampled, len(tokens), element)
        data, kept = data_of(tokens, f"{element}.data")
        if len(tokens) - int(kept.sum()):
            self._readings.pass_over("samples without a value (E, U, L)", len(tokens) - int(kept.sum()))
        with np.errstate(over="ignore", invalid="ignore"):
            values = data if (factor, zero) == (1.0, 0.0) else np.round(data * factor + zero, 6)
        if not np.isfinite(values).all():
            raise ElementError(element, "has a number that is too large")
        times_us = times.start_us + after_us
        return HealthSamples(times_us[kept], converted(values[kept], line), confidences_of(sure, kept))

    def _rest(self, resource: Mapping[str, Any], place: int) -> None:
        """Read the resting heart rate of a day, which is a daily summary."""
        if resource.get("valueQuantity") is None:
            self._readings.pass_over("Observations without a value")
            return
        user_id = self._person(resource)
        bpm = quantity_of(resource["valueQuantity"], HEART_RATE, "valueQuantity")
        method = resource.get("method")
        named = method.get("text") if isinstance(method, dict) else None
        if not isinstance(named, str) or not named:
            named = None if _has_code(resource.get("code"), OUR_CODES, RESTING) else _METHOD
        day = DailySummary(user_id, day_of(resource), bpm, named)
        wrong = summary_problem(day, self._today)
        if wrong is not None:
            raise ElementError(wrong.field, wrong.reason)
        self.days.append((day, place))

    def _person(self, resource: Mapping[str, Any]) -> str:
        try:
            user_id = self._whose.of(_subject(resource.get("subject")))
        except ElementError:
            raise
        except ValueError as error:
            raise ElementError("subject", str(error)) from None
        problem = identifier_problem(user_id)
        if problem is not None:
            raise ElementError("subject", problem)
        return user_id

    def _device(self, resource: Mapping[str, Any]) -> str:
        if self._device_id is not None:
            return self._device_id
        device = resource.get("device")
        if not isinstance(device, dict):
            return FALLBACK_DEVICE
        identifier = device.get("identifier")
        stated = identifier if isinstance(identifier, dict) else {}
        name = stated.get("value") or _last_of(device.get("reference")) or device.get("display") or ""
        if not isinstance(name, str) or len(name) > LONGEST_NAME:
            raise ElementError("device", f"is no text of at most {LONGEST_NAME:,} characters")
        if stated.get("system") == OUR_DEVICES and identifier_problem(name) is None:
            return name
        return device_id_of(name.strip(), FALLBACK_DEVICE)


def _require_understood(stated: Mapping[str, Any], prefix: str) -> None:
    """Raise if an Observation or a component has what may change its meaning."""
    for element in ("modifierExtension", "implicitRules"):
        if stated.get(element):
            raise ElementError(f"{prefix}{element}", "may change what the Observation means, and is not understood")


def _require_short(times: EffectiveTimes) -> None:
    if times.end_us is None:
        raise ElementError(f"{times.element}.end", "is required beside one value: without it the period goes on")
    if times.end_us - times.start_us > LONGEST_READING_US:
        raise ElementError(times.element, LONG_PERIOD)


def _components(resource: Mapping[str, Any]) -> Iterator[tuple[MetricSpec | None, Mapping[str, Any]]]:
    """Yield the components, each with its metric if it is of one."""
    listed = resource.get("component")
    for part in listed if isinstance(listed, list) else ():
        if isinstance(part, dict):
            yield _metric_of(part.get("code")), part


def _codings(concept: Any) -> Iterator[tuple[str, str]]:
    listed = concept.get("coding") if isinstance(concept, dict) else None
    for coding in listed if isinstance(listed, list) else ():
        if isinstance(coding, dict) and isinstance(coding.get("system"), str) and isinstance(coding.get("code"), str):
            yield coding["system"], coding["code"]


def _metric_of(concept: Any) -> MetricSpec | None:
    return next((METRIC_OF_CODE[each] for each in _codings(concept) if each in METRIC_OF_CODE), None)


def _is_resting(concept: Any) -> bool:
    known = (RESTING_HEART_RATE.system, RESTING_HEART_RATE.code), (OUR_CODES, RESTING)
    return any(each in known for each in _codings(concept))


def _has_code(concept: Any, system: str, code: str | None) -> bool:
    return any(each[0] == system and code in (None, each[1]) for each in _codings(concept))


def _named(concept: Any) -> str:
    """Return what a code is called, for whoever reads what was passed over."""
    code = next(iter(_codings(concept)), ("", ""))[1]
    stated = concept if isinstance(concept, dict) else {}
    listed = stated.get("coding")
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    name = first.get("display") or stated.get("text") or ""
    return f"{code} {name}".strip() or "without a code"


def _subject(subject: Any) -> str | None:
    """Return the person that a reference to a patient names: by identifier, else by the id in the reference."""
    if not isinstance(subject, dict):
        return None
    identifier = subject.get("identifier")
    if isinstance(identifier, dict) and isinstance(identifier.get("value"), str) and identifier["value"]:
        return str(identifier["value"])
    reference = subject.get("reference")
    if isinstance(reference, str) and reference.startswith("#"):
        raise ElementError("subject", "is contained in the Observation, which is not read; name the person")
    return _last_of(reference)


def _last_of(reference: Any) -> str | None:
    """Return the id that a reference ends in: `Patient/ann`, `https://…/Patient/ann/_history/2`, `urn:uuid:…`."""
    if not isinstance(reference, str) or not reference:
        return None
    if reference.startswith("urn:"):
        return reference.rpartition(":")[2] or None
    return reference.partition("/_history/")[0].rpartition("/")[2] or None
