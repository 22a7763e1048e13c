"""Generate made-up people by the thousand, with traits of their hearts. `fixtures` generates their readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from pulsebase.model.users import User

#: The range of ages on the first day, in years; the upper bound is excluded.
AGES = (18, 90)
GENDER_SHARES = {"female": 0.49, "male": 0.49, "other": 0.02}
#: Both hemispheres, zones that change their clocks and zones that do not, and offsets of half and quarter hours.
ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "Europe/Lisbon",
    "Europe/Helsinki",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Adelaide",
)
#: The share of people who wear a second device: the first three of every ten.
TWO_DEVICES_SHARE = 0.3

_GIVEN_NAMES = {
    "female": ("Aiko", "Ana", "Chloe", "Divya", "Elena", "Fatima", "Grace", "Hanna", "Ines", "Julia", "Leila", "Maria"),
    "male": ("Ahmed", "Bruno", "Carlos", "David", "Emil", "Hiro", "Ivan", "Jonas", "Leo", "Marco", "Noah", "Ravi"),
    "other": ("Alex", "Kim", "Robin", "Sascha"),
}
_SURNAMES = ("Almeida", "Bauer", "Costa", "Dubois", "Fischer", "Ito", "Jensen", "Khan", "Novak", "Okafor", "Patel")
_DAYS_A_YEAR = 365.2425

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Population:
    """People as columns, with one entry per person.

    Attributes:
        users: who they are, as a store knows people; the ids are "1", "2", …
        zone: their place in `ZONES`.
        resting_bpm: their resting heart rate, lower the fitter they are.
        reserve_bpm: the difference between that and 220 − age.
        fitness: from 0 to 1; the fitter somebody is, the more often they exercise.
        lark_h: how much later than others they get up and go to bed, in hours.
        drift_rad: where in its slow waves their resting heart rate is.
        two_devices: whether they wear a second device.
    """

    users: tuple[User, ...]
    zone: npt.NDArray[np.intp]
    resting_bpm: Floats
    reserve_bpm: Floats
    fitness: Floats
    lark_h: Floats
    drift_rad: Floats
    two_devices: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.users)


def population(rng: np.random.Generator, first: int, count: int, day: date) -> Population:
    """Return the people `first` + 1, `first` + 2, … as they are on a day. They depend only on the generator."""
    low, high = AGES
    ages = rng.uniform(low, high, count)
    genders = rng.choice(list(GENDER_SHARES), count, p=list(GENDER_SHARES.values()))
    zone = rng.integers(len(ZONES), size=count)
    names = rng.integers(1 << 30, size=(count, 2))
    fitness = rng.beta(2.0, 2.0, count)
    # Women's resting heart rates are a little higher, and fitness lowers everybody's.
    resting = 70 + 3.0 * (genders == "female") - 16 * fitness + 0.04 * (ages - 40) + rng.normal(0, 4, count)
    resting = np.clip(resting, 42, 90)
    users = tuple(
        User(
            str(first + place + 1),
            _name(str(gender), *names[place].tolist()),
            str(gender),
            day - timedelta(days=int(age * _DAYS_A_YEAR)),
            ZONES[zone[place]],
        )
        for place, (gender, age) in enumerate(zip(genders, ages.tolist(), strict=True))
    )
    return Population(
        users=users,
        zone=zone,
        resting_bpm=resting,
        reserve_bpm=220 - ages - resting,
        fitness=fitness,
        lark_h=rng.normal(0, 0.8, count),
        drift_rad=rng.uniform(0, 2 * np.pi, count),
        two_devices=(first + np.arange(count)) % 10 < round(10 * TWO_DEVICES_SHARE),
    )


def _name(gender: str, given: int, surname: int) -> str:
    """Return a name that is marked as synthetic, so that nobody takes the person for real."""
    names = _GIVEN_NAMES[gender]
    return f"{names[given % len(names)]} {_SURNAMES[surname % len(_SURNAMES)]} (synthetic)"
