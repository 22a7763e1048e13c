"""Gather readings one by one, as readers of other vendors' files find them, and turn them into blocks of columns."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np

from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates, confidence_codes
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import Ids
from pulsebase.model.timerange import from_us, to_us

NO_TIME = "is not a time that is read"
NO_NUMBER = "is not a number"
LONG_DEVICE = f"is longer than {LONGEST_NAME:,} characters"
_WALL = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{0,30})?", re.ASCII)
#: Times are kept as 64-bit integers; beyond this none is a time of anybody's.
_MOST_US = 1 << 57
#: Stands for what is stated as a confidence and is no number; such a reading is refused.
_NO_CONFIDENCE_AT_ALL = -1.0
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


def wall_us_of(text: str) -> int | None:
    """Return a local time such as `2024-01-15 10:00:00.5` or `2024-01-15T10:00` in microseconds since 1970-01-01 00:00;
    None if it is not one.
    """
    found = _WALL.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute = (int(found[group]) for group in range(1, 6))
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        moment = datetime(year, month, day, hour, minute, int(found[6] or 0), tzinfo=UTC)
    except ValueError:
        return None
    return to_us(moment) + int((found[7] or "").ljust(6, "0")[:6])


def number_of(value: object) -> float | None:
    """Return a number, or a text that is one; otherwise None."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def day_of(at_us: int, zone: ZoneInfo) -> date | None:
    """Return the civil day of an instant, None if no calendar has it."""
    try:
        return from_us(at_us).astimezone(zone).date()
    except (OverflowError, ValueError):
        return None


@dataclass(slots=True)
class _Column:
    """The readings of one metric. Times are local where `local` says so, in UTC else."""

    clocks: LocalClocks
    places: list[int] = field(default_factory=list)
    times_us: list[int] = field(default_factory=list)
    local: list[bool] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    confidences: list[float | None] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)


class GatheredReadings:
    """Readings of one person. `device_id`, if given, is the device of all of them; otherwise each names its own, or
    comes under `fallback`. Positions are given with each reading.
    """

    def __init__(self, user_id: str, zone_of: Callable[[str], ZoneInfo], device_id: str | None, fallback: str) -> None:
        self._user_id, self._zone_of = user_id, zone_of
        self._device_id, self._fallback = device_id, fallback
        self._columns: dict[str, _Column] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, metric: str, place: int, at_us: int | None, value: object, device: str = "") -> None:
        """Add a reading at an instant in UTC. What is no time (None) or no number is refused."""
        self._add(metric, place, at_us, value, device, local=False)

    def add_sure(self, metric: str, place: int, at_us: int | None, value: object, confidence: object) -> None:
        """Add a reading at an instant in UTC that states a confidence, if not None."""
        if self._add(metric, place, at_us, value, "", local=False) and confidence is not None:
            number = number_of(confidence)
            self._columns[metric].confidences[-1] = _NO_CONFIDENCE_AT_ALL if number is None else number

    def add_local(self, metric: str, place: int, wall_us: int | None, value: object, device: str = "") -> None:
        """Add a reading at a local time, in microseconds since 1970-01-01 00:00."""
        self._add(metric, place, wall_us, value, device, local=True)

    def refuse(self, metric: str, place: int, name: str, reason: str) -> None:
        """Refuse what would have been a reading of the metric."""
        self._count += 1
        self._of(metric).errors.append(FieldError(name, reason, place))

    def taken(self) -> Iterator[Block]:
        """Yield what was gathered, a block for each metric, and begin anew."""
        for metric, column in self._columns.items():
            if column.places or column.errors:
                yield self._block(metric, column)
            self._columns[metric] = _Column(column.clocks)
        self._count = 0

    def so_far(self) -> Iterator[Block]:
        """As `taken`, and a block without readings where nothing was gathered: it tells whoever waits that the file is
        being read.
        """
        if self._count:
            yield from self.taken()
        else:
            yield self._block(HEART_RATE.name, _Column(LocalClocks(self._zone_of)))

    @property
    def untold(self) -> int:
        """The number of local times for which nothing tells which of two they are."""
        return sum(column.clocks.untold for column in self._columns.values())

    @property
    def skipped(self) -> int:
        """The number of local times that did not exist and were moved forward."""
        return sum(column.clocks.skipped for column in self._columns.values())

    def _of(self, metric: str) -> _Column:
        column = self._columns.get(metric)
        if column is None:
            column = self._columns[metric] = _Column(LocalClocks(self._zone_of))
        return column

    def _add(self, metric: str, place: int, at_us: int | None, value: object, device: str, *, local: bool) -> bool:
        """Add a reading, and return whether it is one."""
        number = number_of(value)
        if at_us is None or not -_MOST_US < at_us < _MOST_US or (local and at_us < 0):
            self.refuse(metric, place, "timestamp", NO_TIME)
            return False
        if number is None:
            self.refuse(metric, place, metric, NO_NUMBER)
            return False
        if len(device) > LONGEST_NAME:
            self.refuse(metric, place, "device_id", LONG_DEVICE)
            return False
        self._count += 1
        column = self._of(metric)
        column.places.append(place)
        column.times_us.append(at_us)
        column.local.append(local)
        column.values.append(number)
        column.devices.append(device)
        column.confidences.append(None)
        return True

    def _block(self, metric: str, column: _Column) -> Block:
        count = len(column.places)
        times_us, local = np.array(column.times_us, np.int64), np.array(column.local, np.bool_)
        rows = np.flatnonzero(local)
        if len(rows):
            times_us[rows] = column.clocks.instants(times_us[rows], Ids.repeated(self._user_id, len(rows)))
        candidates = Candidates(
            Ids.repeated(self._user_id, count),
            self._devices(column.devices),
            times_us,
            np.array(column.values, np.float64),
            confidence_codes(column.confidences),
            np.array(column.places, np.int64),
            metric,
        )
        return Block(candidates, column.errors, count + len(column.errors))

    def _devices(self, names: list[str]) -> Ids:
        if self._device_id is not None:
            return Ids.repeated(self._device_id, len(names))
        found = Ids.of(names)
        return Ids(found.codes, [device_id_of(name.strip(), self._fallback) for name in found.texts])
