"""How a population of made-up people lives on a civil day, in slots of ten minutes."""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt

from pulsebase.sources.population import Population
from pulsebase.sources.synthetic_body import AWAKE_RISE_BPM, CIRCADIAN_BPM, CIRCADIAN_PEAK_H, SLOW_DRIFT

SLOT_S = 600
#: The share of slots that a loose band misses.
MISSED_SHARE = 0.01

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class LivedDay:
    """A civil day as people lived it, as matrices of (person, slot): their heart rate, how far they were awake and how
    much they moved (0 to 1), whether they exercised. `hours` has the middle of each slot, `wake_h` when each got up.
    """

    def __init__(self, rng: np.random.Generator, people: Population, day: date, slots: int) -> None:
        weekend = day.weekday() >= 5
        count = len(people)
        self.hours = ((np.arange(slots) + 0.5) * (SLOT_S / 3600)).astype(np.float32)
        wake_h = np.clip(rng.normal(8.1 if weekend else 6.8, 0.5, count) + people.lark_h, 4.5, 11)
        bed_h = np.clip(rng.normal(23.4 if weekend else 22.8, 0.5, count) + people.lark_h, 20.5, 24.2)
        self.wake_h, self._bed_h = column_of(wake_h), column_of(bed_h)
        # Falling asleep and waking up take twenty minutes.
        awake = np.clip(3 * (self.hours - self.wake_h) + 0.5, 0, 1)
        awake *= np.clip(3 * (self._bed_h - self.hours) + 0.5, 0, 1)
        self.awake = awake
        resting = people.resting_bpm + rng.normal(0, 1.2, count)
        for bpm, days in SLOW_DRIFT:
            resting += bpm * np.sin(2 * np.pi * day.toordinal() / days + people.drift_rad)
        rhythm = CIRCADIAN_BPM * np.cos(2 * np.pi * (self.hours - CIRCADIAN_PEAK_H) / 24)
        errands = awake * rng.standard_exponential((count, slots), np.float32)
        self.motion = np.minimum(errands / 5, 1)
        self.bpm = column_of(resting) + rhythm.astype(np.float32) + np.float32(AWAKE_RISE_BPM) * awake + 3 * errands
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
        into_h = self.hours - column_of(start_h[goes])
        since_h = into_h - column_of(length_h[goes])
        running = (into_h >= 0) & (since_h < 0)
        self.exercising = np.zeros(self.bpm.shape, np.bool_)
        self.exercising[goes] = running
        self.motion[goes] = np.where(running, 1, self.motion[goes])
        recovery = np.where(since_h >= 0, 12 * np.exp(-np.maximum(since_h, 0) / 0.4), 0)
        creep = 6 * into_h / column_of(length_h[goes])
        self.bpm[goes] = np.where(running, column_of(plateau[goes]) + creep, self.bpm[goes] + recovery)

    def wears_band(self, rng: np.random.Generator) -> Mask:
        """Always, but for charging it after getting up or before going to bed, and what it misses."""
        count = len(self.bpm)
        evening = column_of(rng.random(count)) < 0.5
        start_h = np.where(evening, self._bed_h - 1.2, self.wake_h + 0.3)
        since_h = self.hours - start_h
        charging = (since_h >= 0) & (since_h < column_of(rng.uniform(0.3, 1.1, count)))
        missed = rng.random(self.bpm.shape, np.float32) < MISSED_SHARE
        return np.asarray(~charging & ~missed, np.bool_)

    def wears_strap(self, rng: np.random.Generator) -> Mask:
        """For some hours of the day."""
        count = len(self.bpm)
        since_h = self.hours - column_of(rng.uniform(9, 14, count))
        return np.asarray((since_h >= 0) & (since_h < column_of(rng.uniform(5, 9, count))), np.bool_)


def column_of(values: npt.NDArray[np.float64]) -> Floats:
    """Values of people as a column, beside matrices of (person, slot)."""
    return values.astype(np.float32)[:, None]
