"""Fields of FIT messages that hold a reading of another metric than heart rate, beside the message's time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pulsebase.model.metrics import BODY_TEMPERATURE, HRV_RMSSD, OXYGEN_SATURATION, RESPIRATORY_RATE, MetricSpec


@dataclass(frozen=True, slots=True)
class ValueField:
    """A field of the profile: its number and name, how its integer is encoded (a letter of `struct`), the integer that
    stands for no value, and how many of them make one unit.
    """

    number: int
    name: str
    form: str
    none: int
    scale: int


#: By message: metrics, and the fields that may hold a value of each, the best first.
_OF_MESSAGE: Mapping[int, tuple[str, tuple[tuple[MetricSpec, tuple[ValueField, ...]], ...]]] = {
    20: (
        "record",
        (
            (
                RESPIRATORY_RATE,
                (
                    ValueField(108, "enhanced_respiration_rate", "H", 0xFFFF, 100),
                    ValueField(99, "respiration_rate", "B", 0xFF, 1),
                ),
            ),
            (BODY_TEMPERATURE, (ValueField(139, "core_temperature", "H", 0xFFFF, 100),)),
        ),
    ),
    269: ("spo2_data", ((OXYGEN_SATURATION, (ValueField(0, "reading_spo2", "B", 0xFF, 1),)),)),
    297: ("respiration_rate", ((RESPIRATORY_RATE, (ValueField(0, "respiration_rate", "h", 0x7FFF, 100),)),)),
    371: ("hrv_value", ((HRV_RMSSD, (ValueField(0, "value", "H", 0xFFFF, 128),)),)),
}


@dataclass(frozen=True, slots=True)
class FieldChoice:
    """Where messages of one layout have values of a metric: place, how it is read, and the field, the best first."""

    metric: str
    fields: tuple[tuple[int, Callable[[bytes, int], tuple[Any, ...]], ValueField], ...]

    def value(self, data: bytes, at: int) -> float | None:
        """Return the value of the message whose fields begin there. Zero and less mean that nothing was measured."""
        for place, read, its_field in self.fields:
            (number,) = read(data, at + place)
            if number != its_field.none and number > 0:
                return float(number / its_field.scale)
        return None


def choices_of(
    message: int, order: str, fields: Mapping[int, tuple[int, int]]
) -> tuple[tuple[FieldChoice, ...], list[tuple[int, int, str]]]:
    """Return what is read of messages with this layout, and the fields (place, size, name) of another size than theirs,
    which are not. `fields` has place and size by number.
    """
    name, known = _OF_MESSAGE.get(message, ("", ()))
    choices: list[FieldChoice] = []
    unfit: list[tuple[int, int, str]] = []
    for metric, alternatives in known:
        found = []
        for each in alternatives:
            if each.number not in fields:
                continue
            place, size = fields[each.number]
            if size == struct.calcsize(each.form):
                found.append((place, struct.Struct(order + each.form).unpack_from, each))
            else:
                unfit.append((place, size, f"{each.name} of {name} in another size"))
        if found:
            choices.append(FieldChoice(metric.name, tuple(found)))
    return tuple(choices), unfit
