"""Generate a large population of made-up people quickly, with a reading every ten minutes and some in between, to try
out and measure questions about many people.

A person's readings on a civil day of their zone depend only on the seed, the number of people and the day, so that the
same options give the same readings, in whatever pieces they are taken. A day is computed for many people at once, as
matrices of (person, slot of ten minutes). That is coarser than `synthetic`, which simulates two people in detail and
takes more than twenty times as long for each reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.model.columns import Columns
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import SECOND_US, to_us
from pulsebase.model.users import User
from pulsebase.sources.fixture_lives import SLOT_S, Floats, LivedDay, Mask
from pulsebase.sources.fixture_vitals import FEWEST_A_DAY, FixtureValues, measured
from pulsebase.sources.population import ZONES, population
from pulsebase.sources.synthetic import HIGH_BPM, LOW_BPM, PLACEHOLDER_BPM

#: The chest strap (medical grade) of some, and the wristband of everybody.
DEVICES = ("device_a", "device_b")
#: The first civil day. Fixed, since a date that moves with the clock would not be reproducible.
FIRST_DAY = date(2025, 1, 1)
#: Roughly how many readings a person has in a year, all devices together.
READINGS_A_YEAR = 60_000
ZERO_CONFIDENCE_SHARE = 0.01

#: How many people are computed together. It limits memory, and the result of a seed depends on it.
_GROUP_PEOPLE = 1_000
#: In a slot the first reading is up to `_JITTER_S` late, and further ones follow in whole steps of `_EXTRA_S`, so that
#: no two readings of a device fall on the same second.
_JITTER_S = 60
_EXTRA_S = 120
_EXERCISE_READINGS = SLOT_S // _EXTRA_S
#: The share of slots with a second reading on demand.
_ASKED_SHARE = 0.01

Places = npt.NDArray[np.intp]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FixtureSpec:
    """The population to generate: numbers of people and of readings, all metrics together, and the first civil day."""

    users: int
    readings: int
    seed: int = 1
    first_day: date = FIRST_DAY
    metrics: tuple[str, ...] = (HEART_RATE.name,)

    @property
    def end_day(self) -> date:
        """A civil day on which, and after which, there are certainly no readings."""
        fewest = self.users * sum(FEWEST_A_DAY[metric] for metric in self.metrics)
        return self.first_day + timedelta(days=self.readings // fewest + 1)


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
    """Return the people, with the ids "1", "2", and so on."""
    return [user for group in _groups(spec) for user in group.people.users]


def fixture_readings(spec: FixtureSpec, piece_readings: int) -> Iterator[FixtureReadings]:
    """Exactly the asked number of readings of heart rate, in pieces of `piece_readings`; the last one may be smaller.

    They are in the order of arrival: everybody's first day, then everybody's second day. The last day may be
    incomplete.
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


def fixture_values(spec: FixtureSpec, piece_readings: int) -> Iterator[tuple[str, FixtureValues]]:
    """Exactly the asked number of readings of the metrics asked for, in pieces of one metric of at least
    `piece_readings`; the last of each metric may be smaller.

    Those of one metric are the same whatever others are asked for, and come day after day.
    """
    held: dict[str, list[FixtureValues]] = {metric: [] for metric in spec.metrics}
    groups = list(_groups(spec))
    left, day = spec.readings, spec.first_day
    while left > 0:
        for group in groups:
            parts = _earliest(group.measured(day, spec.metrics), left)
            left -= sum(map(len, parts.values()))
            for metric, part in parts.items():
                held[metric].append(part)
                if sum(map(len, held[metric])) >= piece_readings:
                    yield metric, FixtureValues.joined(held[metric])
                    held[metric] = []
        day += timedelta(days=1)
    for metric, pieces in held.items():
        if sum(map(len, pieces)):
            yield metric, FixtureValues.joined(pieces)


def _earliest(parts: dict[str, FixtureValues], count: int) -> dict[str, FixtureValues]:
    """The earliest readings of all metrics, so many, in the order in which they stand."""
    if sum(map(len, parts.values())) <= count:
        return parts
    of_metric = np.repeat(np.arange(len(parts)), [len(part) for part in parts.values()])
    times_us = np.concatenate([part.times_us for part in parts.values()])
    places = np.arange(len(times_us)) - np.searchsorted(of_metric, of_metric)
    kept = np.argsort(times_us, kind="stable")[:count]
    return {
        metric: part.take(np.sort(places[kept][of_metric[kept] == number]))
        for number, (metric, part) in enumerate(parts.items())
    }


def _days(spec: FixtureSpec) -> Iterator[FixtureReadings]:
    groups = list(_groups(spec))
    left, day = spec.readings, spec.first_day
    while left > 0:
        for group in groups:
            part = group.recorded(day)
            if len(part) > left:  # keep the earliest ones, in their order
                part = part.take(np.sort(np.argsort(part.times_us, kind="stable")[:left]))
            left -= len(part)
            yield part
        day += timedelta(days=1)


def _groups(spec: FixtureSpec) -> Iterator[_Group]:
    for first in range(0, spec.users, _GROUP_PEOPLE):
        yield _Group(spec, first, min(_GROUP_PEOPLE, spec.users - first))


@dataclass(frozen=True, slots=True)
class _Device:
    """A device. `noise_bpm` is the standard deviation of its error. `shaken_bpm` is by how much it overstates the heart
    rate in motion, with lower confidence.
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
        self._phase_s = rng.integers(SLOT_S, size=(len(DEVICES), count))
        self._strapped = np.flatnonzero(self.people.two_devices)

    def recorded(self, day: date) -> FixtureReadings:
        """The heart rate recorded on a civil day: what wristbands did, person by person, then what straps did."""
        return self._lived_and_recorded(day)[1]

    def measured(self, day: date, metrics: Sequence[str]) -> dict[str, FixtureValues]:
        """What was recorded of each of these metrics on a civil day, by wristbands but for heart rate."""
        lived, heart_rate, worn = self._lived_and_recorded(day)
        starts_us = self._midnights(day)[0]
        found = {}
        for metric in metrics:
            if metric == HEART_RATE.name:
                columns = heart_rate.people, heart_rate.devices, heart_rate.times_us, heart_rate.bpm.astype(np.float64)
                found[metric] = FixtureValues(*columns, heart_rate.confidences)
                continue
            row, slot, values, jitter_s = measured(metric, self._seeds, self.people, lived, worn, day)
            seconds = slot * SLOT_S + self._phase_s[_BAND.number][row] + jitter_s
            found[metric] = FixtureValues(
                (self._first + 1 + row).astype(np.int32),
                np.full(len(row), _BAND.number, np.int8),
                starts_us[row] + seconds * SECOND_US,
                values,
                np.full(len(row), NO_CONFIDENCE, np.int8),
            )
        return found

    def _lived_and_recorded(self, day: date) -> tuple[LivedDay, FixtureReadings, Mask]:
        """A civil day, the heart rate recorded on it, and where wristbands were worn."""
        rng = np.random.default_rng((*self._seeds, day.toordinal()))
        starts_us, lengths_s = self._midnights(day)
        slots = int(lengths_s.max()) // SLOT_S
        exists = np.arange(slots) * SLOT_S < lengths_s[:, None]
        lived = LivedDay(rng, self.people, day, slots)
        everybody = np.arange(len(self.people))
        band = exists & lived.wears_band(rng)
        strap = (exists & lived.wears_strap(rng))[self._strapped]
        recorded = FixtureReadings.joined(
            [
                self._readings(rng, _BAND, lived, everybody, band, starts_us),
                self._readings(rng, _STRAP, lived, self._strapped, strap, starts_us),
            ]
        )
        return lived, recorded, band

    def _midnights(self, day: date) -> tuple[Ints, Ints]:
        """Return when each person's day begins, in microseconds UTC, and its length of 23, 24 or 25 hours in
        seconds.
        """
        nights = [
            [to_us(datetime.combine(each, time(), ZoneInfo(zone))) for zone in ZONES]
            for each in (day, day + timedelta(days=1))
        ]
        starts_us, ends_us = np.array(nights, np.int64)[:, self.people.zone]
        return starts_us, (ends_us - starts_us) // SECOND_US

    def _readings(  # noqa: PLR0917 all that a device sees
        self, rng: np.random.Generator, device: _Device, lived: LivedDay, wearers: Places, worn: Mask, starts_us: Ints
    ) -> FixtureReadings:
        """Return what a device records of its wearers in the slots in which it is worn."""
        row, column = np.nonzero(worn)
        person = wearers[row]
        asked = rng.random(len(row), np.float32) < _ASKED_SHARE
        count = np.where(lived.exercising[person, column], _EXERCISE_READINGS, 1 + asked)
        row, column, person = np.repeat(row, count), np.repeat(column, count), np.repeat(person, count)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        seconds = column * SLOT_S + nth * _EXTRA_S + self._phase_s[device.number][person]
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


def _confidences(rng: np.random.Generator, motion: Floats) -> npt.NDArray[np.int8]:
    """Return confidences as wristbands report them: 0 for a fixed share, otherwise mostly 3 at rest and 1 in motion."""
    drawn = rng.random(len(motion), np.float32)
    found = np.full(len(motion), 3, np.int8)
    found[drawn < 0.1 + 0.8 * motion] = 2
    found[drawn < 0.02 + 0.5 * motion] = 1
    found[drawn < ZERO_CONFIDENCE_SHARE] = 0
    return found
