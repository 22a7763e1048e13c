"""Synthetic people: who they are, their civil days, and the shape of what devices record of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.timerange import TimeRange, from_us, to_us
from pulsebase.model.users import User

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
#: The wristband everybody wears, and the chest strap (medical grade, 1 Hz) that some put on for exercise.
WRISTBAND = "fitbit"
CHEST_STRAP = "device_a"
#: The ring that everybody wears, and the patch that measures body temperature.
RING, PATCH = "ring", "patch"

#: Stretches of time, in seconds from the start of a day.
Spans = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class SyntheticPerson:
    """A made-up person. Their resting heart rate drifts around `resting_bpm`; `seed` decides everything else."""

    user_id: str
    seed: int
    time_zone: str
    name: str
    gender: str
    birth_date: date
    resting_bpm: float
    chest_strap: bool = False

    def as_user(self) -> User:
        """The person as a store knows people."""
        return User(self.user_id, self.name, self.gender, self.birth_date, self.time_zone)

    def max_heart_rate(self, day: date) -> int:
        """220 − age on that day, in bpm."""
        born = self.birth_date
        return 220 - (day.year - born.year - ((day.month, day.day) < (born.month, born.day)))


DEMO_PEOPLE = (
    SyntheticPerson(
        "user1", 23, "Europe/Berlin", "Ada (synthetic)", "female", date(1988, 3, 14), 57.0, chest_strap=True
    ),
    SyntheticPerson("user2", 37, "America/Chicago", "Ben (synthetic)", "male", date(1974, 9, 2), 63.0),
)


@dataclass(frozen=True, slots=True)
class Samples:
    """One device's readings of a metric, by time: microseconds UTC, values in the metric's unit, and confidence 0–3 or
    -1 for none.
    """

    device_id: str
    times_us: Integers
    values: Floats
    confidences: npt.NDArray[np.int8]
    metric: str = HEART_RATE.name

    def __len__(self) -> int:
        return len(self.times_us)

    @property
    def bpm(self) -> Floats:
        """The values of heart rate."""
        return self.values

    def cut(self, interval: TimeRange) -> Samples:
        """The readings inside the interval."""
        first, last = np.searchsorted(self.times_us, [interval.start_us, interval.end_us])
        kept = slice(first, last)
        return Samples(self.device_id, self.times_us[kept], self.values[kept], self.confidences[kept], self.metric)

    def frozen(self) -> Samples:
        """The same, read-only: days are shared between callers."""
        for column in (self.times_us, self.values, self.confidences):
            column.flags.writeable = False
        return self


def civil_days(person: SyntheticPerson, interval: TimeRange) -> Iterator[date]:
    """The person's civil days that touch the interval."""
    zone = ZoneInfo(person.time_zone)
    day = from_us(interval.start_us).astimezone(zone).date()
    last = from_us(max(interval.start_us, interval.end_us - 1)).astimezone(zone).date()
    while day <= last:
        yield day
        day += timedelta(days=1)


def day_range(person: SyntheticPerson, day: date) -> TimeRange:
    """The person's civil day in UTC: 23, 24 or 25 hours."""
    return TimeRange(wall_us(person, day, 0), wall_us(person, day + timedelta(days=1), 0))


def wall_us(person: SyntheticPerson, day: date, hours: float) -> int:
    """The instant at which the person's clock on the wall shows so many hours of a day, which may lie past 24."""
    wall = datetime.combine(day, time()) + timedelta(seconds=round(hours * 3600))
    return to_us(wall.replace(tzinfo=ZoneInfo(person.time_zone)))


def generator(person: SyntheticPerson, day: date, purpose: int) -> np.random.Generator:
    """A generator for one purpose on one day, whatever was drawn for others. Each purpose has a number of its own."""
    return np.random.default_rng(np.random.SeedSequence([person.seed, day.toordinal(), purpose]))
