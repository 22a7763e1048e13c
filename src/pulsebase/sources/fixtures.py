"""Generate a large population of made-up people quickly, with a reading every ten minutes and some in between, to try
out and measure questions about many people.

A person's readings on a civil day of their zone depend only on the seed, the number of people and the day, so that the
same options give the same readings, in whatever pieces they are taken. A day is computed for many people at once, as
matrices of (person, slot of ten minutes). That is coarser than `synthetic`, which simulates two people in detail and
takes more than twenty times as long for each reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.model.columns import Columns
from pulsebase.model.timerange import SECOND_US, to_us
from pulsebase.model.users import User
from pulsebase.sources.population import ZONES, Population, population
from pulsebase.sources.synthetic import HIGH_BPM, LOW_BPM, PLACEHOLDER_BPM
from pulsebase.sources.synthetic_body import AWAKE_RISE_BPM, CIRCADIAN_BPM, CIRCADIAN_PEAK_H, SLOW_DRIFT

#: The chest strap (medical grade) of some, and the wristband of everybody.
DEVICES = ("device_a", "device_b")
#: The first civil day. Fixed, since a date that moves with the clock would not be reproducible.
FIRST_DAY = date(2025, 1, 1)
#: Roughly how many readings a person has in a year, all devices together.
READINGS_A_YEAR = 60_000
#: The least average number of readings of a person's day: 138 slots of the shortest day, less the longest charging time
#: and dropouts.
_FEWEST_A_DAY = 120
ZERO_CONFIDENCE_SHARE = 0.01

#: How many people are computed together. It limits memory, and the result of a seed depends on it.
_GROUP_PEOPLE = 1_000
_SLOT_S = 600
#: In a slot the first reading is up to `_JITTER_S` late, and further ones follow in whole steps of `_EXTRA_S`, so that
#: no two readings of a device fall on the same second.
_JITTER_S = 60
_EXTRA_S = 120
_EXERCISE_READINGS = _SLOT_S // _EXTRA_S
#: The share of slots with a second reading on demand, and of slots that a loose band misses.
_ASKED_SHARE = 0.01
_MISSED_SHARE = 0.01

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FixtureSpec:
    """The population to generate: numbers of people and readings, and the first civil day."""

    users: int
    readings: int
    seed: int = 1
    first_day: date = FIRST_DAY

    @property
    def end_day(self) -> date:
        """A civil day on which, and after which, there are certainly no readings."""
        return self.first_day + timedelta(days=self.readings // (self.users * _FEWEST_A_DAY) + 1)


@dataclass(frozen=True, slots=True)
class FixtureReadings(Columns):
    """Columns of equal length: the number of the person (their id as a number), the place of the device in `DEVICES`,
    microseconds UTC, whole beats a minute, confidence 0–3.
    """

    people: npt.NDArray[np.int32]
    devices: npt.NDArray[np.int8]
    times_us: Ints
    bpm: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]


def fixture_users(spec: FixtureSpec) -> list[User]:
    """The people, with the ids "1", "2", and so on."""
    return [user for group in _groups(spec) for user in group.people.users]


def fixture_readings(spec: FixtureSpec, piece_readings: int) -> Iterator[FixtureReadings]:
    """Exactly the asked number of readings, in pieces of `piece_readings`; the last one may be smaller.

    They come in the order of arrival, one day of everybody after the other; the last day may be incomplete.
    """
    held: list[FixtureReadings] = []
    count = 0
    for part in _days(spec):
        held.append(part)
        count += len(part)
        if count >= piece_readings:
            whole = FixtureReadings.joined(held)
            cut = count - count % piece_readings
            yield from (whole.take(slice(at, at + piece_readings)) for at in range(0, cut, piece_readings))
            held, count = [whole.take(slice(cut, None))], count - cut
    if count:
        yield FixtureReadings.joined(held)


def _days(spec: FixtureSpec) -> Iterator[FixtureReadings]:
    groups = list(_groups(spec))
    left, day = spec.readings, spec.first_day
    while left > 0:
        for group in groups:
            part = group.recorded(day)
            if len(part) > left:  # the earliest ones, in the order in which they stand
                part = part.take(np.sort(np.argsort(part.times_us, kind="stable")[:left]))
            left -= len(part)
            yield part
        day += timedelta(days=1)


def _groups(spec: FixtureSpec) -> Iterator[_Group]:
    for first in range(0, spec.users, _GROUP_PEOPLE):
        yield _Group(spec, first, min(_GROUP_PEOPLE, spec.users - first))


@dataclass(frozen=True, slots=True)
class _Device:
    """`noise_bpm` is the standard deviation of its error; `shaken_bpm` what it overstates in motion, of which it then
    is less sure.
    """

    number: int
    noise_bpm: float
    shaken_bpm: float


_STRAP = _Device(0, 0.6, 0.0)
_BAND = _Device(1, 1.8, 1.5)


class _Group:
    """Some people of the population, and what they record day by day."""

    def __init__(self, spec: FixtureSpec, first: int, count: int) -> None:
        self._seeds = (spec.seed, spec.users, first)
        self._first = first
        rng = np.random.default_rng(self._seeds)
        self.people = population(rng, first, count, spec.first_day)
        self._phase_s = rng.integers(_SLOT_S, size=(len(DEVICES), count))
        self._strapped = np.flatnonzero(self.people.two_devices)

    def recorded(self, day: date) -> FixtureReadings:
        """Everything recorded on a civil day: what wristbands did, person by person, then what straps did."""
        rng = np.random.default_rng((*self._seeds, day.toordinal()))
        starts_us, lengths_s = self._midnights(day)
        slots = int(lengths_s.max()) // _SLOT_S
        exists = np.arange(slots) * _SLOT_S < lengths_s[:, None]
        lived = _Lived(rng, self.people, day, slots)
        everybody = np.arange(len(self.people))
        band = exists & lived.wears_band(rng)
        strap = (exists & lived.wears_strap(rng))[self._strapped]
        return FixtureReadings.joined(
            [
                self._readings(rng, _BAND, lived, everybody, band, starts_us),
                self._readings(rng, _STRAP, lived, self._strapped, strap, starts_us),
            ]
        )

    def _midnights(self, day: date) -> tuple[Ints, Ints]:
        """When everybody's day begins, in microseconds UTC, and its length in seconds: 23, 24 or 25 hours."""
        nights = [
            [to_us(datetime.combine(each, time(), ZoneInfo(zone))) for zone in ZONES]
            for each in (day, day + timedelta(days=1))
        ]
        starts_us, ends_us = np.array(nights, np.int64)[:, self.people.zone]
        return starts_us, (ends_us - starts_us) // SECOND_US

    def _readings(  # noqa: PLR0917 all that a device sees
        self, rng: np.random.Generator, device: _Device, lived: _Lived, wearers: Places, worn: Mask, starts_us: Ints
    ) -> FixtureReadings:
        """What a device records of its wearers in the slots in which it is worn."""
        row, column = np.nonzero(worn)
        person = wearers[row]
        asked = rng.random(len(row), np.float32) < _ASKED_SHARE
        count = np.where(lived.exercising[person, column], _EXERCISE_READINGS, 1 + asked)
        row, column, person = np.repeat(row, count), np.repeat(column, count), np.repeat(person, count)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        seconds = column * _SLOT_S + nth * _EXTRA_S + self._phase_s[device.number][person]
        seconds += rng.integers(_JITTER_S, size=len(row))
        motion = lived.motion[person, column]
        bpm = lived.bpm[person, column] + device.shaken_bpm * motion
        bpm += device.noise_bpm * rng.standard_normal(len(row), np.float32)
        confidences = _confidences(rng, motion * (device.shaken_bpm > 0))
        bpm[confidences == 0] = PLACEHOLDER_BPM
        return FixtureReadings(
            (self._first + 1 + person).astype(np.int32),
            np.full(len(row), device.number, np.int8),
            starts_us[person] + seconds * SECOND_US,
            np.clip(np.rint(bpm), LOW_BPM, HIGH_BPM).astype(np.int16),
            confidences,
        )


class _Lived:
    """A civil day as people lived it, as matrices of (person, slot): their heart rate, how much they moved (0 to 1),
    whether they exercised.
    """

    def __init__(self, rng: np.random.Generator, people: Population, day: date, slots: int) -> None:
        weekend = day.weekday() >= 5
        count = len(people)
        self._hours = ((np.arange(slots) + 0.5) * (_SLOT_S / 3600)).astype(np.float32)
        wake_h = np.clip(rng.normal(8.1 if weekend else 6.8, 0.5, count) + people.lark_h, 4.5, 11)
        bed_h = np.clip(rng.normal(23.4 if weekend else 22.8, 0.5, count) + people.lark_h, 20.5, 24.2)
        self._wake_h, self._bed_h = _column(wake_h), _column(bed_h)
        # Falling asleep and waking up take twenty minutes.
        awake = np.clip(3 * (self._hours - self._wake_h) + 0.5, 0, 1)
        awake *= np.clip(3 * (self._bed_h - self._hours) + 0.5, 0, 1)
        resting = people.resting_bpm + rng.normal(0, 1.2, count)
        for bpm, days in SLOW_DRIFT:
            resting += bpm * np.sin(2 * np.pi * day.toordinal() / days + people.drift_rad)
        rhythm = CIRCADIAN_BPM * np.cos(2 * np.pi * (self._hours - CIRCADIAN_PEAK_H) / 24)
        errands = awake * rng.standard_exponential((count, slots), np.float32)
        self.motion = np.minimum(errands / 5, 1)
        self.bpm = _column(resting) + rhythm.astype(np.float32) + np.float32(AWAKE_RISE_BPM) * awake + 3 * errands
        self.bpm += (1.5 + 1.5 * awake) * rng.standard_normal((count, slots), np.float32)
        self._exercise(rng, people, resting, weekend=weekend)

    def _exercise(
        self, rng: np.random.Generator, people: Population, resting: npt.NDArray[np.float64], *, weekend: bool
    ) -> None:
        """About every other day: a plateau that creeps up, then a recovery."""
        count = len(people)
        start_h = rng.uniform(*(9.5, 12.0) if weekend else (17.0, 19.5), count) + 0.5 * people.lark_h
        length_h = rng.uniform(25, 75, count) / 60
        plateau = resting + rng.uniform(0.5, 0.82, count) * people.reserve_bpm
        goes = np.flatnonzero(rng.random(count) < 0.3 + 0.4 * people.fitness)
        into_h = self._hours - _column(start_h[goes])
        since_h = into_h - _column(length_h[goes])
        running = (into_h >= 0) & (since_h < 0)
        self.exercising = np.zeros(self.bpm.shape, np.bool_)
        self.exercising[goes] = running
        self.motion[goes] = np.where(running, 1, self.motion[goes])
        recovery = np.where(since_h >= 0, 12 * np.exp(-np.maximum(since_h, 0) / 0.4), 0)
        creep = 6 * into_h / _column(length_h[goes])
        self.bpm[goes] = np.where(running, _column(plateau[goes]) + creep, self.bpm[goes] + recovery)

    def wears_band(self, rng: np.random.Generator) -> Mask:
        """Always, but for charging it after getting up or before going to bed, and what it misses."""
        count = len(self.bpm)
        evening = _column(rng.random(count)) < 0.5
        start_h = np.where(evening, self._bed_h - 1.2, self._wake_h + 0.3)
        since_h = self._hours - start_h
        charging = (since_h >= 0) & (since_h < _column(rng.uniform(0.3, 1.1, count)))
        missed = rng.random(self.bpm.shape, np.float32) < _MISSED_SHARE
        return np.asarray(~charging & ~missed, np.bool_)

    def wears_strap(self, rng: np.random.Generator) -> Mask:
        """For some hours of the day."""
        count = len(self.bpm)
        since_h = self._hours - _column(rng.uniform(9, 14, count))
        return np.asarray((since_h >= 0) & (since_h < _column(rng.uniform(5, 9, count))), np.bool_)


def _column(values: npt.NDArray[np.float64]) -> Floats:
    return values.astype(np.float32)[:, None]


def _confidences(rng: np.random.Generator, motion: Floats) -> npt.NDArray[np.int8]:
    """0 for a fixed share; else 3 mostly in stillness and 1 mostly in motion, as the bands report it."""
    drawn = rng.random(len(motion), np.float32)
    found = np.full(len(motion), 3, np.int8)
    found[drawn < 0.1 + 0.8 * motion] = 2
    found[drawn < 0.02 + 0.5 * motion] = 1
    found[drawn < ZERO_CONFIDENCE_SHARE] = 0
    return found
