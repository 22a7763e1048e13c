"""What HC Webhook pushes from an Android phone: records of Health Connect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pulsebase.etl.transform.devices import LONGEST_NAME
from pulsebase.etl.transform.pushed import PushedReadings, decoded, device_named
from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HEART_RATE,
    HRV_RMSSD,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    SKIN_TEMPERATURE_DELTA,
    MetricSpec,
)
from pulsebase.model.timerange import parse_reading_time

#: The device of records that do not name one.
DEVICE_ID = "health-connect"
_SET = "single values are needed. In the app, under Data Types, set its Resolution to Full"


class _Device(msgspec.Struct):
    manufacturer: str | None = None
    model: str | None = None


class _Metadata(msgspec.Struct):
    device: _Device | None = None


class _Record(msgspec.Struct):
    time: str | None = None
    bpm: float | None = None
    rmssd_millis: float | None = None
    percentage: float | None = None
    celsius: float | None = None
    rate: float | None = None
    delta_celsius: float | None = None
    avg: float | None = None
    avg_delta_celsius: float | None = None
    metadata: _Metadata | None = None

    @property
    def device_name(self) -> str | None:
        """What the record says of its device: `Google Pixel Watch 2`."""
        device = self.metadata.device if self.metadata is not None else None
        return None if device is None else " ".join(filter(None, (device.manufacturer, device.model)))


@dataclass(frozen=True, slots=True)
class _Kind:
    """Of which metric the records of a kind are, and the field with their value."""

    metric: MetricSpec
    field: str


_KINDS: Mapping[str, _Kind] = {
    "heart_rate": _Kind(HEART_RATE, "bpm"),
    "heart_rate_variability": _Kind(HRV_RMSSD, "rmssd_millis"),
    "oxygen_saturation": _Kind(OXYGEN_SATURATION, "percentage"),
    "respiratory_rate": _Kind(RESPIRATORY_RATE, "rate"),
    "body_temperature": _Kind(BODY_TEMPERATURE, "celsius"),
    "skin_temperature": _Kind(SKIN_TEMPERATURE_DELTA, "delta_celsius"),
}
#: Other kinds of records that the app can send.
_OF_NO_METRIC = (
    *("active_calories", "basal_body_temperature", "basal_metabolic_rate", "blood_glucose", "blood_pressure"),
    *("body_fat", "bone_mass", "cervical_mucus", "distance", "exercise", "height", "hydration"),
    *("intermenstrual_bleeding", "lean_body_mass", "menstruation_flow", "menstruation_period", "nutrition"),
    *(
        "ovulation_test",
        "resting_heart_rate",
        "sexual_activity",
        "sleep",
        "steps",
        "total_calories",
        "vo2_max",
        "weight",
    ),
)
#: Anything else in a body is not even looked at, so that it costs nothing.
_Body = msgspec.defstruct("_Body", [(name, msgspec.Raw, msgspec.Raw()) for name in (*_KINDS, *_OF_NO_METRIC)])

_bodies = msgspec.json.Decoder(_Body)
_records: msgspec.json.Decoder[Sequence[_Record]] = msgspec.json.Decoder(list[_Record])


def pushed_by_android(body: bytes, user_id: str, device_id: str | None = None) -> PushedReadings:
    """Return the readings of a body of HC Webhook. Without a given device, records name it.

    Raises:
        TooManyObjectsError: the body holds far too many objects.
        RejectedError: it is not what the app sends, or holds averages; says what to set in the app.
    """
    found = PushedReadings(user_id)
    sent = decoded(body, _bodies)
    for name in sent.__struct_fields__:
        records = bytes(getattr(sent, name))
        if not records:
            continue
        if name in _KINDS:
            _take(found, name, decoded(records, _records), device_id)
        else:
            found.pass_over(name)
    return found


def _take(found: PushedReadings, name: str, records: Sequence[_Record], device_id: str | None) -> None:
    """Add the readings of a kind, unless they are averages."""
    kind = _KINDS[name]
    if any(record.avg is not None or record.avg_delta_celsius is not None for record in records):
        raise RejectedError.of(name, f"is averaged over minutes; {_SET}")
    for record in records:
        value: float | None = getattr(record, kind.field)
        device = device_named(record.device_name, device_id, DEVICE_ID)
        if value is None:
            found.refuse(kind.field, "is required")
        elif device is None:
            found.refuse("metadata", f"names a device with more than {LONGEST_NAME:,} characters")
        else:
            try:
                time_us = parse_reading_time(record.time or "")
            except (ValueError, OverflowError) as error:
                found.refuse("time", str(error))
            else:
                found.add(kind.metric.name, device, time_us, max(-1e6, min(1e6, value)))
