"""Turn heart-rate records of an Apple Health export, given as texts, into candidates, and records of resting heart rate
into daily summaries.

`<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Ann’s Watch" unit="count/min" value="72"
startDate="2018-05-01 10:00:00 +0200" …/>`: times are local with their offset, devices are named by people. A resting
heart rate is of the civil day that its record begins on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import Ints, Mask, clock_us, letters_of, number
from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US

RECORD_TYPE = "HKQuantityTypeIdentifierHeartRate"
RESTING_TYPE = "HKQuantityTypeIdentifierRestingHeartRate"
#: The method that marks the vendor's own values.
METHOD = "apple"
#: The unit of beats a minute in the export; other units are refused rather than converted.
UNIT = "count/min"
#: The device of records without a source, and the prefix for sources whose names contain no character allowed in ids.
DEVICE_ID = "apple"

_FORM = "0000-00-00 00:00:00 ±0000"
_TOO_LONG = f"is longer than {LONGEST_NAME:,} characters"
_ATTRIBUTES = ("startDate", "value", "unit", "sourceName")
_read = itemgetter(*_ATTRIBUTES)
_NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{0,30})?")


@dataclass(slots=True)
class Records:
    """The attributes of records, column by column; an attribute that is missing is an empty text. `places` are their
    numbers among all the records that are read.
    """

    places: list[int] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.starts)

    def add(self, place: int, attributes: Mapping[str, str]) -> None:
        """Add a record."""
        try:
            start, value, unit, source = _read(attributes)
        except KeyError:
            start, value, unit, source = (attributes.get(name, "") for name in _ATTRIBUTES)
        self.places.append(place)
        self.starts.append(start)
        self.values.append(value)
        self.units.append(unit)
        self.sources.append(source)


def heart_rates(records: Records, user_id: str, device_id: str | None) -> Block:
    """Return the readings. Without a given device, the source of each record names it."""
    read = _Columns.of(records, device_id)
    count = int(read.good.sum())
    users = Ids.repeated(user_id, count)
    devices = read.devices.take(np.flatnonzero(read.good))
    confidences = np.full(count, NO_CONFIDENCE, np.int8)
    places = np.array(records.places, np.int64)[read.good]
    rows = Candidates(users, devices, read.times_us[read.good], read.values[read.good], confidences, places)
    return Block(rows, read.errors, len(records))


def resting_heart_rates(records: Records, user_id: str) -> tuple[list[DailySummary], list[FieldError]]:
    """Return days with the vendor's resting heart rate (the last record of a day counts), and the errors."""
    read = _Columns.of(records, DEVICE_ID)
    good = np.flatnonzero(read.good)
    days = {date.fromisoformat(records.starts[place][:10]): float(read.values[place]) for place in good.tolist()}
    return [DailySummary(user_id, day, bpm, METHOD) for day, bpm in days.items()], read.errors


@dataclass(frozen=True, slots=True)
class _Columns:
    """The values of records as columns, which records are valid, and the errors of the others."""

    times_us: Ints
    devices: Ids
    values: npt.NDArray[np.float64]
    good: Mask
    errors: list[FieldError]

    @classmethod
    def of(cls, records: Records, device_id: str | None) -> _Columns:
        times_us, time_ok = _times(records.starts)
        values, value_ok = _values(records.values)
        unit_ok = np.array([unit == UNIT for unit in records.units], np.bool_)
        devices, source_ok = _devices(records.sources, device_id)
        good = unit_ok & time_ok & value_ok & source_ok
        errors: list[FieldError] = []
        if not good.all():
            places = np.array(records.places, np.int64)
            for name, reason, mask in (
                ("unit", f"is not {UNIT}", ~unit_ok),
                ("startDate", "is not a time such as 2018-05-01 10:00:00 +0200", unit_ok & ~time_ok),
                ("value", "is not a number", unit_ok & time_ok & ~value_ok),
                (
                    "sourceName",
                    f"is longer than {LONGEST_NAME:,} characters",
                    unit_ok & time_ok & value_ok & ~source_ok,
                ),
            ):
                errors += [FieldError(name, reason, int(place)) for place in places[mask]]
            errors.sort(key=lambda error: error.index or 0)
        return cls(times_us, devices, values, good, errors)


def _devices(names: Sequence[str], device_id: str | None) -> tuple[Ids, Mask]:
    """The devices that sources name, and which are short enough; or the one that is given for all of them."""
    if device_id:
        return Ids.repeated(device_id, len(names)), np.ones(len(names), np.bool_)
    distinct = Ids.of(names)
    short = np.array([len(name) <= LONGEST_NAME for name in distinct.texts], np.bool_)
    ids = [device_id_of(name, DEVICE_ID) if len(name) <= LONGEST_NAME else DEVICE_ID for name in distinct.texts]
    return Ids(distinct.codes, ids), short[distinct.codes]


def _times(texts: Sequence[str]) -> tuple[Ints, Mask]:
    letters, good = letters_of(texts, _FORM)
    year, month, day = number(letters, 0, 4), number(letters, 5, 7), number(letters, 8, 10)
    hour, minute, second = number(letters, 11, 13), number(letters, 14, 16), number(letters, 17, 19)
    clock, exists = clock_us(year, month, day, hour, minute, second)
    east_s = number(letters, 21, 23) * 3600 + number(letters, 23, 25) * 60
    offset_us = np.where(letters[:, 20] == ord("-"), -east_s, east_s) * SECOND_US
    return clock - offset_us, good & exists & (year >= 1000)


def _values(texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], Mask]:
    try:
        values = np.array(list(map(float, texts)), np.float64)
        return values, np.isfinite(values)
    except ValueError:
        good = [_NUMBER.fullmatch(text) is not None for text in texts]
        some = [float(text) if fits else 0.0 for text, fits in zip(texts, good, strict=True)]
        return np.array(some, np.float64), np.array(good, np.bool_)
