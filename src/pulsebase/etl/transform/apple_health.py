"""From heart-rate records of an Apple Health export, as texts, to candidates.

`<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Ann’s Watch" unit="count/min" value="72"
startDate="2018-05-01 10:00:00 +0200" …/>`: times are local with their offset, devices are named by people.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import Ints, Mask, clock_us, letters_of, number
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.timerange import SECOND_US

RECORD_TYPE = "HKQuantityTypeIdentifierHeartRate"
#: The unit of beats a minute in the export; other units are refused rather than converted.
UNIT = "count/min"
#: The device of records whose source cannot be written as an id.
DEVICE_ID = "apple"

_FORM = "0000-00-00 00:00:00 ±0000"
_NO_ID = re.compile(r"[^A-Za-z0-9._:@+-]+")
_LONGEST_ID = 128
_NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{0,30})?")


@dataclass(slots=True)
class Records:
    """The attributes of records, column by column; an attribute that is missing is an empty text."""

    starts: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.starts)


def heart_rates(records: Records, first: int, user_id: str, device_id: str | None) -> Block:
    """Readings; positions count records from `first` on. Without a device the source of each record names it."""
    places = np.arange(first, first + len(records))
    times_us, time_ok = _times(records.starts)
    values, value_ok = _values(records.values)
    unit_ok = np.array([unit == UNIT for unit in records.units], np.bool_)
    good = unit_ok & time_ok & value_ok
    errors: list[FieldError] = []
    if not good.all():
        for name, reason, mask in (
            ("unit", f"is not {UNIT}", ~unit_ok),
            ("startDate", "is not a time such as 2018-05-01 10:00:00 +0200", unit_ok & ~time_ok),
            ("value", "is not a number", unit_ok & time_ok & ~value_ok),
        ):
            errors += [FieldError(name, reason, int(place)) for place in places[mask]]
        errors.sort(key=lambda error: error.index or 0)
    count = int(good.sum())
    users = Ids.repeated(user_id, count)
    devices = _devices(records.sources, device_id).take(np.flatnonzero(good))
    confidences = np.full(count, NO_CONFIDENCE, np.int8)
    rows = Candidates(users, devices, times_us[good], values[good], confidences, places[good])
    return Block(rows, errors, len(records))


@lru_cache(maxsize=1 << 10)
def device_of(source: str) -> str:
    """A source's name as an id: what no id may hold becomes a hyphen."""
    return _NO_ID.sub("-", source).strip("-")[:_LONGEST_ID] or DEVICE_ID


def _devices(sources: Sequence[str], device_id: str | None) -> Ids:
    return Ids.repeated(device_id, len(sources)) if device_id else Ids.of(list(map(device_of, sources)))


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
