"""The condition of a synthetic person: what they are like, and what comes over them for days, such as a fever.

It moves their vital signs, all but heart rate. "Ours" says of a number that no source has it: it is plausible, no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from pulsebase.sources.synthetic_body import plan_of, sigmoid
from pulsebase.sources.synthetic_people import Floats, SyntheticPerson, generator

#: Nocturnal respiratory rate, breaths/min: the mean of adults, and a deviation such that 90 % lie between 11.8 and 19.2
#: (Natarajan et al., npj Digit Med 2021;4:136); and how much one person's nights vary, of the same (coefficients of
#: variation of 2.3–9.2 %).
RESPIRATION_MEAN, RESPIRATION_SPREAD, RESPIRATION_NIGHTLY = 15.4, 2.2, 0.45
#: Median oxygen saturation of a night, %: mean and deviation of healthy people (Gries & Brooks, Chest 1996;110:1489).
SATURATION_MEAN, SATURATION_SPREAD = 96.5, 0.6
#: RMSSD of five minutes at rest, ms, at a mean interval of 926 ms (65 bpm) (Nunan et al., Pacing Clin Electrophysiol
#: 2010;33:1407). The age that it holds for, and how much people differ (as a logarithm), are ours.
RMSSD_MS, RMSSD_AT_BPM, RMSSD_AT_AGE, RMSSD_SPREAD = 42.0, 65.0, 40, 0.25
#: RMSSD reaches 47 % by the sixth decade, and stays (Umetani et al., J Am Coll Cardiol 1998;31:593): a year's share.
RMSSD_AGEING, RMSSD_OLDEST = np.log(0.47) / 40, 60
#: How much RMSSD varies from night to night, as a logarithm: ours.
RMSSD_NIGHTLY = 0.08
#: Body temperature, °C: the means of women and men (Mackowiak et al., JAMA 1992;268:1578). The deviation is ours.
BODY_MEANS, BODY_MEAN, BODY_SPREAD = {"female": 36.9, "male": 36.7}, 36.8, 0.12
#: Skin temperature under a ring by day, °C, how much people differ, and one person's nights: ours.
SKIN_MEAN, SKIN_SPREAD, SKIN_NIGHTLY = 33.0, 0.4, 0.12

#: The follicular and the luteal phase of a cycle, days (Bull et al., npj Digit Med 2019;2:83), the ages that have
#: one, and how long temperature takes to rise and to fall, days: ours.
FOLLICULAR_DAYS, LUTEAL_DAYS = 16.9, 12.4
_FERTILE_AGES, _TURN_DAYS = (15, 50), 0.5
#: One fever in so many days: how far temperature rises at its height, °C, and what share of it each of its days has:
#: ours.
_FEVER_EVERY_DAYS, _FEVER_C, _FEVER_COURSE = 90, (0.9, 1.6), (0.0, 0.5, 1.0, 0.6, 0.2, 0.0)
#: One stay in the mountains in so many days, and for how many nights: ours.
_STAY_EVERY_DAYS, _STAY_NIGHTS = 90, (3, 7)
#: A load of 1 is an hour at 60 % of the heart-rate reserve: moderate endurance exercise.
_LOAD_OF_ONE = 60 * 0.6
#: One night of so many is without the ring: ours.
_NIGHTS_A_BARE_ONE = 30


@dataclass(frozen=True, slots=True)
class Traits:
    """What a person is like, whatever the day.

    Attributes:
        respiration: their nocturnal respiratory rate at their resting heart rate, breaths/min.
        saturation: oxygen saturation near sea level, %.
        rmssd_ms: RMSSD at `RMSSD_AT_BPM` and `RMSSD_AT_AGE`, rested.
        body_c, skin_c: the means of their body temperature, and of their skin temperature awake.
        cycle_days: the length of their cycle, and `cycle_start` a day as an ordinal on which one began.
    """

    respiration: float
    saturation: float
    rmssd_ms: float
    body_c: float
    skin_c: float
    cycle_days: float
    cycle_start: float


@dataclass(frozen=True, slots=True)
class NightCondition:
    """What is peculiar to a night.

    Attributes:
        worn: whether the ring is.
        respiration, skin_c: how far they are off, in breaths/min and °C.
        rmssd: a factor of RMSSD.
        load: the exercise of the day before it, see `_LOAD_OF_ONE`.
    """

    worn: bool
    respiration: float
    skin_c: float
    rmssd: float
    load: float


@lru_cache(maxsize=64)
def traits_of(person: SyntheticPerson) -> Traits:
    """The person's traits, which follow from their seed."""
    rng = np.random.default_rng(np.random.SeedSequence([person.seed, 16]))
    cycle_days = (FOLLICULAR_DAYS + LUTEAL_DAYS) * rng.uniform(0.93, 1.07)
    return Traits(
        respiration=float(np.clip(rng.normal(RESPIRATION_MEAN, RESPIRATION_SPREAD), 11.8, 19.2)),
        saturation=float(np.clip(rng.normal(SATURATION_MEAN, SATURATION_SPREAD), 95.3, 97.6)),
        rmssd_ms=float(RMSSD_MS * np.exp(rng.normal(0, RMSSD_SPREAD))),
        body_c=float(BODY_MEANS.get(person.gender, BODY_MEAN) + rng.normal(0, BODY_SPREAD)),
        skin_c=float(SKIN_MEAN + rng.normal(0, SKIN_SPREAD)),
        cycle_days=float(cycle_days),
        cycle_start=float(rng.uniform(0, cycle_days)),
    )


@lru_cache(maxsize=64)
def night_before(person: SyntheticPerson, day: date) -> NightCondition:
    """The night from which the person wakes on this day."""
    rng = generator(person, day, 17)
    sessions = plan_of(person, day - timedelta(days=1)).sessions
    return NightCondition(
        worn=bool(rng.random() >= 1 / _NIGHTS_A_BARE_ONE),
        respiration=float(rng.normal(0, RESPIRATION_NIGHTLY)),
        skin_c=float(rng.normal(0, SKIN_NIGHTLY)),
        rmssd=float(np.exp(rng.normal(0, RMSSD_NIGHTLY))),
        load=sum(each.minutes * each.intensity for each in sessions) / _LOAD_OF_ONE,
    )


def age_of(person: SyntheticPerson, day: date) -> int:
    """The person's age on that day, in years."""
    return 220 - person.max_heart_rate(day)


def has_cycle(person: SyntheticPerson, day: date) -> bool:
    """Whether the person has a cycle at that age."""
    youngest, oldest = _FERTILE_AGES
    return person.gender == "female" and youngest <= age_of(person, day) <= oldest


def luteal_at(person: SyntheticPerson, day: date, turn: Floats) -> Floats:
    """How far the luteal phase of the cycle holds, from 0 to 1, at parts of the day. All zero without a cycle."""
    if not has_cycle(person, day):
        return np.zeros_like(turn)
    traits = traits_of(person)
    into = (day.toordinal() + turn - traits.cycle_start) % traits.cycle_days
    ovulation = traits.cycle_days * FOLLICULAR_DAYS / (FOLLICULAR_DAYS + LUTEAL_DAYS)
    # The end of the one before still falls when a cycle begins.
    risen = sigmoid((into - ovulation - 1) / _TURN_DAYS) - sigmoid((into - traits.cycle_days) / _TURN_DAYS)
    return np.asarray(np.clip(risen + 1 - sigmoid(into / _TURN_DAYS), 0, 1), np.float64)


def fever_at(person: SyntheticPerson, day: date, turn: Floats) -> Floats:
    """How far temperature is raised by a fever at parts of the day, °C; mostly 0.

    A fever is highest on the day of its ninety on which the heart beats fastest, so that both go together.
    """
    block = day.toordinal() // _FEVER_EVERY_DAYS
    height_day, height_c = _fever_of(person, block)
    noons = height_day - 2 + np.arange(len(_FEVER_COURSE)) + 0.5
    return height_c * np.interp(day.toordinal() + turn, noons, _FEVER_COURSE)


@lru_cache(maxsize=16)
def _fever_of(person: SyntheticPerson, block: int) -> tuple[int, float]:
    """The day of the height of a fever, as an ordinal, and its height. It ends within its block of days."""
    first = block * _FEVER_EVERY_DAYS
    days = range(first + 3, first + _FEVER_EVERY_DAYS - 4)
    height = float(np.random.default_rng(np.random.SeedSequence([person.seed, 18, block])).uniform(*_FEVER_C))
    return max(days, key=lambda day: plan_of(person, date.fromordinal(day)).mood_bpm), height


def is_high(person: SyntheticPerson, day: date, turn: Floats) -> Floats:
    """1 while the person is in the mountains, else 0, at parts of the day. They arrive and leave at noon."""
    block = day.toordinal() // _STAY_EVERY_DAYS
    rng = np.random.default_rng(np.random.SeedSequence([person.seed, 19, block]))
    nights = int(rng.integers(_STAY_NIGHTS[0], _STAY_NIGHTS[1] + 1))
    first = block * _STAY_EVERY_DAYS + int(rng.integers(0, _STAY_EVERY_DAYS - nights))
    at = day.toordinal() + turn
    return ((at >= first + 0.5) & (at < first + nights + 0.5)).astype(np.float64)
