"""The vital signs of a population of made-up people besides heart rate, tied to it, a value in a slot of ten minutes.

They are coarser than those of `synthetic_vitals`, whose constants they share: nobody has a fever or goes to the
mountains.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum

import numpy as np
import numpy.typing as npt

from pulsebase.model.columns import Columns
from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HEART_RATE,
    HRV_RMSSD,
    HRV_SDNN,
    METRICS,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    RR_INTERVAL,
    SKIN_TEMPERATURE,
    SKIN_TEMPERATURE_DELTA,
)
from pulsebase.sources import synthetic_condition as condition
from pulsebase.sources import synthetic_vitals as vitals
from pulsebase.sources.fixture_lives import SLOT_S, LivedDay, Mask
from pulsebase.sources.population import Population
from pulsebase.sources.synthetic_body import CIRCADIAN_PEAK_H

_JITTER_S = 60
_ASLEEP = 0.1
#: SDNN of RMSSD, with the drift of heart rate (Nunan et al., Pacing Clin Electrophysiol 2010;33:1407: 50 of 42 ms).
_SDNN_OF_RMSSD = 50 / 42

Places = npt.NDArray[np.intp]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FixtureValues(Columns):
    """Columns of equal length, of one metric: the number of the person (their id as a number), the place of the device
    in `DEVICES`, microseconds UTC, the value in the metric's unit, confidence 0–3 or -1 for none.
    """

    people: npt.NDArray[np.int32]
    devices: npt.NDArray[np.int8]
    times_us: npt.NDArray[np.int64]
    values: Values
    confidences: npt.NDArray[np.int8]


def measured(  # noqa: PLR0917 all that a device sees
    metric: str, seeds: tuple[int, ...], people: Population, lived: LivedDay, worn: Mask, day: date
) -> tuple[Places, Places, Values, npt.NDArray[np.int64]]:
    """What wristbands measure of a metric on a day: person, slot, value, and by how many seconds each is late."""
    number = zlib.crc32(metric.encode())  # so that a metric's numbers do not depend on what others there are
    rng = np.random.default_rng((*seeds, day.toordinal(), number))
    found = _Drawn(
        people,
        lived,
        own=np.random.default_rng((*seeds, number)).standard_normal(len(people))[:, None],
        nightly=rng.standard_normal(len(people))[:, None],
        noise=rng.standard_normal(lived.bpm.shape),
        chance=rng.random(lived.bpm.shape),
    )
    how = _MEASURED[metric]
    if how.when is _When.GETTING_UP:
        row = np.arange(len(people))
        slot = np.clip((lived.wake_h[:, 0] * 3600 / SLOT_S).astype(np.intp), 0, worn.shape[1] - 1)
    else:
        row, slot = np.nonzero(worn & (lived.awake < _ASLEEP) if how.when is _When.ASLEEP else worn)
    values = np.broadcast_to(how.values(found), worn.shape)[row, slot]
    return row, slot, np.round(values, METRICS[metric].decimals), rng.integers(_JITTER_S, size=len(row))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What the values of a metric follow from: matrices of (person, slot), or columns of people. `own` says how far a
    person is from others, `nightly` how far a night is; like `noise` they are normal, while `chance` is even.
    """

    people: Population
    lived: LivedDay
    own: Values
    nightly: Values
    noise: Values
    chance: Values

    @property
    def above(self) -> Values:
        """By how much the heart beats faster than at rest, bpm."""
        return np.asarray(self.lived.bpm - self.people.resting_bpm[:, None], np.float64)


def _respiration(drawn: _Drawn) -> Values:
    own = np.clip(condition.RESPIRATION_MEAN + condition.RESPIRATION_SPREAD * drawn.own, 11.8, 19.2)
    found = own + condition.RESPIRATION_NIGHTLY * drawn.nightly + vitals.BREATHS_A_BPM * drawn.above
    return np.clip(found + 0.4 * drawn.noise, 6, 60)


def _saturation(drawn: _Drawn) -> Values:
    own = np.clip(condition.SATURATION_MEAN + condition.SATURATION_SPREAD * drawn.own, 94.5, 97.8)
    low, high = vitals.DIP_PERCENT
    depths = low + (high - low) * drawn.chance / vitals.SHARE_OF_DIPS
    dips = np.where(drawn.chance < vitals.SHARE_OF_DIPS, depths, 0)
    return np.clip(own + 0.4 * drawn.noise - dips, 80, 100)


def _rmssd(drawn: _Drawn) -> Values:
    people, lived = drawn.people, drawn.lived
    ages = np.minimum(220 - people.reserve_bpm - people.resting_bpm, condition.RMSSD_OLDEST)[:, None]
    # An hour of exercise at 60 % of the reserve is a load of 1; theirs are about as hard.
    load = lived.exercising.sum(axis=1)[:, None] * (SLOT_S / 3_600)
    logarithm = (
        condition.RMSSD_SPREAD * drawn.own
        + condition.RMSSD_NIGHTLY * drawn.nightly
        + condition.RMSSD_AGEING * (ages - condition.RMSSD_AT_AGE)
        + vitals.RMSSD_A_BPM * (lived.bpm - condition.RMSSD_AT_BPM)
        + np.log(vitals.RMSSD_AFTER_LOAD) * load * (lived.hours > 12)
        + 0.12 * drawn.noise
    )
    return np.asarray(np.clip(condition.RMSSD_MS * np.exp(logarithm), 2, 200), np.float64)


def _sdnn(drawn: _Drawn) -> Values:
    return np.asarray(_SDNN_OF_RMSSD * _rmssd(drawn), np.float64)


def _interval(drawn: _Drawn) -> Values:
    return np.asarray(np.clip(60_000 / drawn.lived.bpm.astype(np.float64), 260, 2_000), np.float64)


def _skin(drawn: _Drawn) -> Values:
    own = condition.SKIN_MEAN + condition.SKIN_SPREAD * drawn.own
    asleep: Values = 1 - drawn.lived.awake.astype(np.float64)
    return own + vitals.SKIN_ASLEEP_C * asleep + condition.SKIN_NIGHTLY * drawn.nightly + 0.2 * drawn.noise


def _deviation(drawn: _Drawn) -> Values:
    return condition.SKIN_NIGHTLY * drawn.nightly + 0.05 * drawn.noise


def _body(drawn: _Drawn) -> Values:
    hours = drawn.lived.hours.astype(np.float64)
    swing = vitals.BODY_SWING_C * np.cos(2 * np.pi * (hours - CIRCADIAN_PEAK_H) / 24)
    return condition.BODY_MEAN + condition.BODY_SPREAD * drawn.own + swing + 0.05 * drawn.noise


class _When(Enum):
    """When a metric is measured."""

    ALWAYS = "always"
    ASLEEP = "asleep"
    GETTING_UP = "getting up"


@dataclass(frozen=True, slots=True)
class _Measured:
    when: _When
    values: Callable[[_Drawn], Values]


_MEASURED: Mapping[str, _Measured] = {
    OXYGEN_SATURATION.name: _Measured(_When.ASLEEP, _saturation),
    RESPIRATORY_RATE.name: _Measured(_When.ASLEEP, _respiration),
    HRV_RMSSD.name: _Measured(_When.ASLEEP, _rmssd),
    HRV_SDNN.name: _Measured(_When.ASLEEP, _sdnn),
    RR_INTERVAL.name: _Measured(_When.ALWAYS, _interval),
    SKIN_TEMPERATURE.name: _Measured(_When.ALWAYS, _skin),
    SKIN_TEMPERATURE_DELTA.name: _Measured(_When.GETTING_UP, _deviation),
    BODY_TEMPERATURE.name: _Measured(_When.ALWAYS, _body),
}

#: The least average number of readings of a person's day. Day and night: 138 slots of the shortest day, less the
#: longest charging time and dropouts. In sleep: of somebody who goes to bed at midnight and gets up before five.
_FEWEST: Mapping[_When, int] = {_When.ALWAYS: 120, _When.ASLEEP: 15, _When.GETTING_UP: 1}
#: The same by metric: of all that a population has.
FEWEST_A_DAY: Mapping[str, int] = {HEART_RATE.name: _FEWEST[_When.ALWAYS]} | {
    metric: _FEWEST[how.when] for metric, how in _MEASURED.items()
}
