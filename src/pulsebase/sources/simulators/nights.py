"""What a made-up person's wristband measures asleep: oxygen saturation, variability, respiration, skin temperature.

A night depends only on the person's seed and on the day they got up on. Its signs are tied together: a heart that beats
faster at rest has less variability, and a bad night has faster breath, a warmer skin and less variability at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pulsebase.model.timerange import MINUTE_US, SECOND_US, TimeRange
from pulsebase.sources.synthetic import SyntheticPerson
from pulsebase.sources.synthetic_body import asleep_before

_HRV_WINDOW_US = 5 * MINUTE_US
#: Keeps these numbers apart from those of heart rate, which are of the same seed and day.
_PURPOSE = 1_000
Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MeasuredNight:
    """The night before a civil day. Times are microseconds UTC.

    `oxygen` is in percent, a value a minute, to a tenth; `rmssd` and `sdnn` are in ms, a value in five minutes, to a
    thousandth. `breaths_a_minute` and the two temperatures of the skin (°C), this night's and the person's usual one,
    are of the whole night; None where the band has not measured them.
    """

    day: date
    asleep: TimeRange
    oxygen_times_us: Times
    oxygen: Values
    hrv_times_us: Times
    rmssd: Values
    sdnn: Values
    breaths_a_minute: float | None
    skin_celsius: float | None
    usual_celsius: float | None

    def known(self, oxygen: Mask, hrv: Mask, *, whole: bool) -> MeasuredNight:
        """The same with these minutes and windows alone, and what is of the whole night only if that is known."""
        part = replace(
            self,
            oxygen_times_us=self.oxygen_times_us[oxygen],
            oxygen=self.oxygen[oxygen],
            hrv_times_us=self.hrv_times_us[hrv],
            rmssd=self.rmssd[hrv],
            sdnn=self.sdnn[hrv],
        )
        return part if whole else replace(part, breaths_a_minute=None, skin_celsius=None, usual_celsius=None)


@lru_cache(maxsize=400)
def night_of(person: SyntheticPerson, day: date) -> MeasuredNight:
    """Everything the band measured in the night before the day."""
    rng = np.random.default_rng(np.random.SeedSequence([person.seed, day.toordinal(), _PURPOSE]))
    own = np.random.default_rng(np.random.SeedSequence([person.seed, _PURPOSE]))
    usual_breaths = 14.5 + 0.08 * (person.resting_bpm - 60) + own.normal(0, 0.8)
    usual_rmssd = 55 * np.exp(-0.03 * (person.resting_bpm - 55)) * np.exp(own.normal(0, 0.1))
    usual_oxygen, usual_celsius = 96.4 + own.normal(0, 0.5), round(33.4 + own.normal(0, 0.4), 2)
    strain = rng.normal()
    asleep = asleep_before(person, day)
    oxygen_times_us = _steps(asleep, MINUTE_US) + SECOND_US  # the vendor's minutes begin at their first second
    hrv_times_us = _steps(asleep, _HRV_WINDOW_US)
    oxygen = usual_oxygen - 0.2 * strain + _wandering(rng, len(oxygen_times_us), 0.7)
    through = np.linspace(-0.5, 0.5, len(hrv_times_us))
    rmssd = usual_rmssd * np.exp(-0.12 * strain + 0.3 * through + _wandering(rng, len(hrv_times_us), 0.15))
    sdnn = rmssd * rng.uniform(1.05, 1.6, len(hrv_times_us))
    return MeasuredNight(
        day,
        asleep,
        oxygen_times_us,
        np.clip(np.round(oxygen, 1), 88.0, 100.0),
        hrv_times_us,
        np.clip(np.round(rmssd, 3), 5.0, 220.0),
        np.clip(np.round(sdnn, 3), 5.0, 280.0),
        round(float(np.clip(usual_breaths + 0.5 * strain + rng.normal(0, 0.3), 9, 24)), 1),
        round(float(usual_celsius + 0.25 * strain + rng.normal(0, 0.2)), 2),
        usual_celsius,
    )


def _steps(night: TimeRange, step_us: int) -> Times:
    first_us = -(-night.start_us // step_us) * step_us
    return np.arange(first_us, night.end_us - step_us, step_us, dtype=np.int64)


def _wandering(rng: np.random.Generator, count: int, deviation: float) -> Values:
    """A noise that remembers some ten values."""
    knots = np.arange(0, count + 10, 10)
    slow = np.interp(np.arange(count), knots, rng.normal(0, deviation, len(knots)))
    return np.asarray(slow + rng.normal(0, deviation / 2, count), np.float64)
