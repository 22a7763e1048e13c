"""Gather readings of several people, as files of health formats have them: one by one, and whole series."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HEART_RATE,
    HRV_RMSSD,
    HRV_SDNN,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    RR_INTERVAL,
    SKIN_TEMPERATURE,
    SKIN_TEMPERATURE_DELTA,
    MetricSpec,
)
from pulsebase.model.readings import NO_CONFIDENCE, Ids

#: A value of a longer period is a mean, not a reading: that of a night, say.
LONGEST_READING_US = 5 * 60 * 1_000_000
LONG_PERIOD = "is a period of more than 5 minutes, so its value is a mean rather than a reading"
_SAID_ONCE = 100
_MOST_CHARACTERS = 80
_ANNOTATION = re.compile(r"\{[^{}]*\}")

#: What a unit is multiplied by, and what is added then, to come to a metric's own.
_Line = tuple[float, float]
_SAME, _THOUSAND = (1.0, 0.0), (1000.0, 0.0)
_PER_MINUTE: dict[str, _Line] = {
    **dict.fromkeys(("/min", "1/min", "min-1", "bpm", "beats/min", "beats/minute", "per minute"), _SAME),
    **dict.fromkeys(("/s", "1/s", "Hz"), (60.0, 0.0)),
}
_BREATHS = dict.fromkeys(("breaths/min", "breaths/minute"), _SAME)
_TIME: dict[str, _Line] = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), _SAME),
    **dict.fromkeys(("s", "sec", "second", "seconds"), _THOUSAND),
}
_CELSIUS = ("cel", "C", "°C", "degc", "degrees celsius")
_FAHRENHEIT = ("[degf]", "F", "°F", "degf", "degrees fahrenheit")
_TEMPERATURE: dict[str, _Line] = {
    **dict.fromkeys(_CELSIUS, _SAME),
    **dict.fromkeys(_FAHRENHEIT, (5 / 9, -160 / 9)),
    "K": (1.0, -273.15),
}
_DEVIATION: dict[str, _Line] = {
    **dict.fromkeys((*_CELSIUS, "K"), _SAME),
    **dict.fromkeys(_FAHRENHEIT, (5 / 9, 0.0)),
}
#: Units of up to two characters are read as they are: `ms` is no `Ms`. Longer ones are in small letters here.
_UNITS: dict[str, dict[str, _Line]] = {
    HEART_RATE.name: _PER_MINUTE,
    OXYGEN_SATURATION.name: {"%": _SAME, "percent": _SAME, "1": (100.0, 0.0)},
    RESPIRATORY_RATE.name: _PER_MINUTE | _BREATHS,
    HRV_RMSSD.name: _TIME,
    HRV_SDNN.name: _TIME,
    RR_INTERVAL.name: _TIME,
    SKIN_TEMPERATURE.name: _TEMPERATURE,
    SKIN_TEMPERATURE_DELTA.name: _DEVIATION,
    BODY_TEMPERATURE.name: _TEMPERATURE,
}


class UnitError(ValueError):
    """A unit that a metric's values do not come in; the text says which it is."""


class ElementError(ValueError):
    """A record, or a part of one, cannot be read: the element, and why."""

    def __init__(self, element: str, reason: str) -> None:
        super().__init__(reason)
        self.element, self.reason = element, reason


@dataclass(frozen=True, slots=True)
class HealthSamples:
    """Columns of equal length: times in microseconds since 1970, values in the metric's unit, and confidences; None if
    there are none.
    """

    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    confidences: npt.NDArray[np.int8] | None = None


def in_unit_of(metric: MetricSpec, unit: str) -> _Line:
    """Return what values in `unit` are multiplied by, and what is added then, to be in the metric's unit.

    Annotations of UCUM, as in `{beats}/min`, say nothing of the unit.

    Raises:
        UnitError: it is none of the quantity's units.
    """
    plain = _ANNOTATION.sub("", unit).strip()
    found = _UNITS.get(metric.name, {}).get(plain if len(plain) <= 2 else plain.lower())
    if found is None and unit == metric.unit:
        return _SAME
    if found is None:
        said = f"the unit {shown(unit)}" if unit else "no unit"
        raise UnitError(f"has {said}, which is not read; {metric.unit} is")
    return found


def converted(values: npt.NDArray[np.float64], line: _Line) -> npt.NDArray[np.float64]:
    """Return the values in the metric's unit; of its own unit exactly as they are."""
    if line == _SAME:
        return values
    # Without the last digits, which the conversion made up.
    factor, offset = line
    with np.errstate(over="ignore"):  # what is too large is out of any range
        return np.round(values * factor + offset, 6)


def shown(text: object) -> str:
    """Return a text of a file as it may be shown: short, on one line."""
    plain = " ".join(str(text)[: 2 * _MOST_CHARACTERS].split())
    kept = "".join(char for char in plain if char.isprintable())
    return kept[:_MOST_CHARACTERS]


@dataclass(slots=True)
class Whose:
    """Whose readings are meant: the person that the caller named, else the one that a record states.

    Files of several people are not given to one: with a named person, the first that the files of an import state is
    meant, and what is of others is refused.
    """

    named: str | None
    _first: str | None = None

    def of(self, stated: str | None) -> str:
        """Return the person.

        Raises:
            ValueError: there is none, or another than before; the text says why.
        """
        if self.named is None:
            if stated is None:
                raise ValueError("does not say whose it is; name the person with --user, over HTTP with user_id")
            return stated
        if stated is not None:
            self._first = self._first or stated
            if stated != self._first:
                raise ValueError("is of another person than what came before; import it without naming a person")
        return self.named


@dataclass(slots=True)
class _Column:
    """The readings of one metric, a part for each record."""

    users: list[tuple[str, int]] = field(default_factory=list)
    devices: list[tuple[str, int]] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    times_us: list[npt.NDArray[np.int64]] = field(default_factory=list)
    values: list[npt.NDArray[np.float64]] = field(default_factory=list)
    confidences: list[npt.NDArray[np.int8]] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)


class HealthReadings:
    """Readings by metric, and what was passed over, by name."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._count = 0
        self._passed_over: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._count

    def add(self, metric: MetricSpec, place: int, whose: tuple[str, str], samples: HealthSamples) -> None:
        """Add readings of a record; `whose` are the person and the device."""
        count = len(samples.times_us)
        if not count:
            return
        column = self._columns.setdefault(metric.name, _Column())
        column.users.append((whose[0], count))
        column.devices.append((whose[1], count))
        column.places.append((place, count))
        column.times_us.append(samples.times_us)
        column.values.append(samples.values)
        none = np.full(count, NO_CONFIDENCE, np.int8)
        column.confidences.append(none if samples.confidences is None else samples.confidences)
        self._count += count

    def refuse(self, metric: MetricSpec, place: int, name: str, reason: str) -> None:
        """Refuse what would have been a reading of the metric."""
        self._count += 1
        self._columns.setdefault(metric.name, _Column()).errors.append(FieldError(name, reason, place))

    def pass_over(self, what: str, count: int = 1) -> None:
        """Count something that is not read."""
        known = shown(what)
        self._passed_over[known if known in self._passed_over or len(self._passed_over) < _SAID_ONCE else "others"] += (
            count
        )

    @property
    def passed_over(self) -> list[tuple[str, int]]:
        """Return what was passed over, the most frequent first."""
        return self._passed_over.most_common()

    def taken(self) -> Iterator[Block]:
        """Yield what was gathered, a block for each metric, and begin anew."""
        columns, self._columns, self._count = self._columns, {}, 0
        for name, column in columns.items():
            yield _block(name, column)

    def so_far(self) -> Iterator[Block]:
        """As `taken`, and a block without readings where nothing was gathered: it tells whoever waits that the file is
        being read.
        """
        if self._count:
            yield from self.taken()
        else:
            yield _block(HEART_RATE.name, _Column())


def _block(metric: str, column: _Column) -> Block:
    places = [np.full(count, place, np.int64) for place, count in column.places]
    candidates = Candidates(
        _ids(column.users),
        _ids(column.devices),
        np.concatenate([np.zeros(0, np.int64), *column.times_us]),
        np.concatenate([np.zeros(0, np.float64), *column.values]),
        np.concatenate([np.zeros(0, np.int8), *column.confidences]),
        np.concatenate([np.zeros(0, np.int64), *places]),
        metric,
    )
    return Block(candidates, column.errors, len(candidates) + len(column.errors))


def _ids(parts: list[tuple[str, int]]) -> Ids:
    names = Ids.of([name for name, _ in parts])
    return Ids(np.repeat(names.codes, [count for _, count in parts]).astype(np.int32), names.texts)
