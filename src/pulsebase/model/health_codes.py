"""What each metric is called in the formats that health systems exchange: codes and units of FHIR, schemas of Open
mHealth. One table for everything that writes and reads them.

Where the codes are from:

- LOINC, the codes that the vital-signs profiles of FHIR R5 name: 8867-4 (heart rate), 2708-6 with 59408-5 (oxygen
  saturation, and that by pulse oximetry), 9279-1 (respiratory rate), 8310-5 (body temperature). Besides them 80404-7
  (R-R interval.standard deviation, which is SDNN), 8637-1 (R-R interval by EKG, as Open mHealth maps its own
  `rr-interval` to FHIR) and 40443-4 (resting heart rate).
- ISO/IEEE 11073-10101: 150388, MDC_TEMP_SKIN. LOINC's 39106-0, Temperature of Skin, is answered with words such as
  "cold", so it is read but not written.
- LOINC knows neither RMSSD nor the deviation of a temperature from the usual one: both come under our own code alone.
- Units are UCUM. Open mHealth's schemas are those at w3id.org/openmhealth; it has none for heart rate variability, nor
  for a skin temperature: its `body-temperature` would make a fever out of a cold wrist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HEART_RATE,
    HRV_RMSSD,
    HRV_SDNN,
    METRICS,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    RR_INTERVAL,
    SKIN_TEMPERATURE,
    SKIN_TEMPERATURE_DELTA,
    MetricSpec,
)

LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
UCUM = "http://unitsofmeasure.org"
STATISTICS = "http://terminology.hl7.org/CodeSystem/observation-statistics"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
#: Our own names: of metrics (and of what else an Observation holds), people and devices. They identify; nothing is
#: behind them to be fetched.
OUR_CODES = "urn:pulsebase:code"
OUR_PEOPLE = "urn:pulsebase:person"
OUR_DEVICES = "urn:pulsebase:device"
#: Our codes of what is no metric.
CONFIDENCE, MINUTES, RESTING = "confidence", "minutes", "resting_heart_rate"


@dataclass(frozen=True, slots=True)
class Coding:
    """A code, the system that it is from, and what it is called there."""

    system: str
    code: str
    display: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema of Open mHealth: its name and version, the field of the body that has the value, and its unit."""

    name: str
    version: str
    field: str
    unit: str


@dataclass(frozen=True, slots=True)
class HealthCodes:
    """What a metric is called elsewhere.

    Attributes:
        codings: the codes that are written, besides our own.
        ucum: the unit as UCUM writes it; None if it has none.
        also_read: more codes of the same system as a key: what others write for the same quantity.
        schema: the schema of Open mHealth, None if there is none.
    """

    codings: tuple[Coding, ...]
    ucum: str | None
    also_read: tuple[tuple[str, str], ...] = ()
    schema: Schema | None = None


_CODES: Mapping[str, HealthCodes] = {
    HEART_RATE.name: HealthCodes(
        (Coding(LOINC, "8867-4", "Heart rate"),),
        "/min",
        # by noninvasive means; by pulse oximetry; from beat to beat by EKG
        ((LOINC, "76477-9"), (LOINC, "8889-8"), (LOINC, "76282-3"), (MDC, "147842"), (MDC, "149530")),
        Schema("heart-rate", "2.0", "heart_rate", "beats/min"),
    ),
    OXYGEN_SATURATION.name: HealthCodes(
        (
            Coding(LOINC, "2708-6", "Oxygen saturation in Arterial blood"),
            Coding(LOINC, "59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"),
        ),
        "%",
        ((MDC, "150456"),),
        Schema("oxygen-saturation", "2.0", "oxygen_saturation", "%"),
    ),
    RESPIRATORY_RATE.name: HealthCodes(
        (Coding(LOINC, "9279-1", "Respiratory rate"),),
        "/min",
        ((MDC, "151562"),),
        Schema("respiratory-rate", "2.0", "respiratory_rate", "breaths/min"),
    ),
    HRV_RMSSD.name: HealthCodes((), "ms"),
    HRV_SDNN.name: HealthCodes(
        (Coding(LOINC, "80404-7", "R-R interval.standard deviation (Heart rate variability)"),), "ms"
    ),
    RR_INTERVAL.name: HealthCodes(
        (Coding(LOINC, "8637-1", "R-R interval by EKG"),),
        "ms",
        ((MDC, "147240"),),
        Schema("rr-interval", "1.0", "rr_interval", "ms"),
    ),
    SKIN_TEMPERATURE.name: HealthCodes((Coding(MDC, "150388", "MDC_TEMP_SKIN"),), "Cel", ((LOINC, "39106-0"),)),
    SKIN_TEMPERATURE_DELTA.name: HealthCodes((), "Cel"),
    BODY_TEMPERATURE.name: HealthCodes(
        (Coding(LOINC, "8310-5", "Body temperature"),),
        "Cel",
        # oral, axillary, rectal
        ((LOINC, "8331-1"), (LOINC, "8328-7"), (LOINC, "8332-9"), (MDC, "150364")),
        Schema("body-temperature", "4.0", "body_temperature", "C"),
    ),
}
RESTING_HEART_RATE = Coding(LOINC, "40443-4", "Heart rate --resting")


def codes_of(metric: MetricSpec) -> HealthCodes:
    """Return what the metric is called elsewhere; of one that the table does not have yet, nothing."""
    return _CODES.get(metric.name, HealthCodes((), None))


def schema_of(metric: MetricSpec) -> Schema | None:
    """Return the schema of Open mHealth for the metric, None if it has none."""
    return codes_of(metric).schema


def _metrics_of_codes() -> Mapping[tuple[str, str], MetricSpec]:
    found: dict[tuple[str, str], MetricSpec] = {}
    for spec in METRICS.values():
        codes = codes_of(spec)
        keys = [(OUR_CODES, spec.name), *((each.system, each.code) for each in codes.codings), *codes.also_read]
        found |= dict.fromkeys(keys, spec)
    return found


#: The metric of each pair of system and code.
METRIC_OF_CODE = _metrics_of_codes()
#: The metric of each name of a schema of Open mHealth.
METRIC_OF_SCHEMA: Mapping[str, MetricSpec] = {
    schema.name: spec for spec in METRICS.values() if (schema := schema_of(spec)) is not None
}


def schema_problem(metric: MetricSpec) -> str | None:
    """Return why Open mHealth cannot hold readings of the metric, None if it can."""
    if schema_of(metric) is not None:
        return None
    known = ", ".join(spec.name for spec in METRIC_OF_SCHEMA.values())
    return f"Open mHealth has no schema for {metric.name}; for {known}"
