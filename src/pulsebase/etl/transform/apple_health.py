"""Turn records of an Apple Health export, given as texts, into candidates, and records of resting heart rate into daily
summaries.

`<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Ann’s Watch" unit="count/min" value="72"
startDate="2018-05-01 10:00:00 +0200" …/>`: times are local with their offset, devices are named by people. A resting
heart rate is of the civil day that its record begins on. Beats, which records of heart rate variability hold, are in
`apple_beats`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import Ints, Mask, clock_us, letters_of, number
from pulsebase.etl.transform.devices import LONGEST_NAME, device_id_of
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError, RejectedError
from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HEART_RATE,
    HRV_SDNN,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    SKIN_TEMPERATURE,
)
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US
from pulsebase.model.users import User, checked_person

#: Attributes of the element `Me`, and what the second one may be; `HKBiologicalSexNotSet` says nothing.
_BIRTH, _SEX = "HKCharacteristicTypeIdentifierDateOfBirth", "HKCharacteristicTypeIdentifierBiologicalSex"
_GENDERS = {"HKBiologicalSexFemale": "female", "HKBiologicalSexMale": "male", "HKBiologicalSexOther": "other"}
_PREFIX = "HKQuantityTypeIdentifier"


@dataclass(frozen=True, slots=True)
class AppleRecordKind:
    """A type of records: the metric of their values, and the unit that they have in the export; other units are refused
    rather than converted. Values are multiplied by `factor`. `most`, if any, is the largest that the file may hold,
    with the reason why others are refused.
    """

    metric: str
    unit: str
    factor: int = 1
    most: float | None = None
    beyond_most: str = ""


RECORD_TYPE = "HKQuantityTypeIdentifierHeartRate"
#: The type whose records hold beats.
VARIABILITY_TYPE = f"{_PREFIX}HeartRateVariabilitySDNN"
_FRACTION = "is more than 1; oxygen saturation is a fraction in an Apple Health export"
#: The types of records that hold readings.
READING_TYPES: Mapping[str, AppleRecordKind] = {
    RECORD_TYPE: AppleRecordKind(HEART_RATE.name, "count/min"),
    f"{_PREFIX}OxygenSaturation": AppleRecordKind(OXYGEN_SATURATION.name, "%", 100, 1, _FRACTION),
    f"{_PREFIX}RespiratoryRate": AppleRecordKind(RESPIRATORY_RATE.name, "count/min"),
    VARIABILITY_TYPE: AppleRecordKind(HRV_SDNN.name, "ms"),
    f"{_PREFIX}BodyTemperature": AppleRecordKind(BODY_TEMPERATURE.name, "degC"),
    f"{_PREFIX}AppleSleepingWristTemperature": AppleRecordKind(SKIN_TEMPERATURE.name, "degC"),
}
RESTING_TYPE = "HKQuantityTypeIdentifierRestingHeartRate"
#: The method that marks the vendor's own values.
METHOD = "apple"
_RESTING = AppleRecordKind(HEART_RATE.name, "count/min")
#: The device of records without a source, and the prefix for sources whose names contain no character allowed in ids.
DEVICE_ID = "apple"

LONG_SOURCE = f"is longer than {LONGEST_NAME:,} characters"
#: Of values that are multiplied: far more than any has.
_DECIMALS = 9
_FORM = "0000-00-00 00:00:00 ±0000"
_ATTRIBUTES = ("startDate", "value", "unit", "sourceName")
_read = itemgetter(*_ATTRIBUTES)
_NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{0,30})?", re.ASCII)


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


def readings(records: Records, kind: AppleRecordKind, user_id: str, device_id: str | None) -> Block:
    """Return the readings of records of one kind. Without a given device, the source of each record names it."""
    read = _Columns.of(records, kind, device_id)
    count = int(read.good.sum())
    users = Ids.repeated(user_id, count)
    devices = read.devices.take(np.flatnonzero(read.good))
    confidences = np.full(count, NO_CONFIDENCE, np.int8)
    places = np.array(records.places, np.int64)[read.good]
    values = read.values[read.good]
    if kind.factor != 1:
        values = np.round(values * kind.factor, _DECIMALS)  # 0.57 is 57, not 56.99…
    rows = Candidates(users, devices, read.times_us[read.good], values, confidences, places, kind.metric)
    return Block(rows, read.errors, len(records))


def person_of(attributes: Mapping[str, str], user_id: str, today: date) -> User | None:
    """Return what the export states about the person, with the attributes of its element `Me`; None if that is nothing,
    or nothing that can be kept.
    """
    said = {"birth_date": attributes.get(_BIRTH, ""), "gender": _GENDERS.get(attributes.get(_SEX, ""))}
    user = User(user_id)
    for name, value in said.items():
        try:
            user = replace(user, **checked_person({name: value}, today)) if value else user
        except RejectedError:
            continue
    return None if user == User(user_id) else user


def resting_heart_rates(records: Records, user_id: str) -> tuple[list[DailySummary], list[FieldError]]:
    """Return days with the vendor's resting heart rate (the last record of a day counts), and the errors."""
    read = _Columns.of(records, _RESTING, DEVICE_ID)
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
    def of(cls, records: Records, kind: AppleRecordKind, device_id: str | None) -> _Columns:
        times_us, time_ok = times_of(records.starts)
        values, value_ok = _values(records.values)
        unit_ok = np.array([unit == kind.unit for unit in records.units], np.bool_)
        devices, source_ok = devices_of(records.sources, device_id)
        most_ok = np.ones(len(values), np.bool_) if kind.most is None else ~value_ok | (values <= kind.most)
        good = unit_ok & time_ok & value_ok & most_ok & source_ok
        errors: list[FieldError] = []
        if not good.all():
            places = np.array(records.places, np.int64)
            for name, reason, mask in (
                ("unit", f"is not {kind.unit}", ~unit_ok),
                ("startDate", "is not a time such as 2018-05-01 10:00:00 +0200", unit_ok & ~time_ok),
                ("value", "is not a number", unit_ok & time_ok & ~value_ok),
                ("value", kind.beyond_most, unit_ok & time_ok & ~most_ok),
                ("sourceName", LONG_SOURCE, unit_ok & time_ok & value_ok & most_ok & ~source_ok),
            ):
                errors += [FieldError(name, reason, int(place)) for place in places[mask]]
            errors.sort(key=lambda error: error.index or 0)
        return cls(times_us, devices, values, good, errors)


def devices_of(names: Sequence[str], device_id: str | None) -> tuple[Ids, Mask]:
    """The devices that sources name, and which are short enough; or the one that is given for all of them."""
    if device_id:
        return Ids.repeated(device_id, len(names)), np.ones(len(names), np.bool_)
    distinct = Ids.of(names)
    short = np.array([len(name) <= LONGEST_NAME for name in distinct.texts], np.bool_)
    ids = [device_id_of(name, DEVICE_ID) if len(name) <= LONGEST_NAME else DEVICE_ID for name in distinct.texts]
    return Ids(distinct.codes, ids), short[distinct.codes]


def times_of(texts: Sequence[str]) -> tuple[Ints, Mask]:
    """Return times as microseconds UTC, and which of the texts are times."""
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
