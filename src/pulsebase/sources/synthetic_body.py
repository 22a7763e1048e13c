"""The body of a synthetic person over a civil day: when they sleep and exercise, and the curve of their heart rate. Any
device then samples it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from pulsebase.model.timerange import SECOND_US, TimeRange
from pulsebase.sources.synthetic_people import Floats, Spans, SyntheticPerson, day_range, generator, wall_us

DAY_S = 86_400
GRID_S = 10  # the curve of the heart is worked out on this grid and read between its points
#: By how much the heart of somebody awake and still beats faster than at rest.
AWAKE_RISE_BPM = 13.0
#: Half the swing of the body clock, and the hour at which it is highest.
CIRCADIAN_BPM, CIRCADIAN_PEAK_H = 3.5, 17
#: (bpm, days): the waves in which a resting heart rate drifts, as fitness and season bring it.
SLOW_DRIFT = ((2.4, 63), (1.3, 23))
REM_CYCLE_S = 5_400
_DOZE_S = 240.0
#: (standard deviation in bpm, spacing of its knots in seconds): together a noise that remembers.
_NOISE = ((1.5, 20), (2.2, 120), (2.6, 900))


@dataclass(frozen=True, slots=True)
class Exercise:
    """One bout of it, as planned."""

    start_h: float
    minutes: float
    intensity: float  # of the heart-rate reserve
    interval_bpm: float  # how far it swings, for interval training


@dataclass(frozen=True, slots=True)
class DayPlan:
    """What a person does on a civil day, in hours of the wall clock; bed time may lie past 24."""

    wake_h: float
    bed_h: float
    mood_bpm: float
    sessions: tuple[Exercise, ...]


@lru_cache(maxsize=256)
def plan_of(person: SyntheticPerson, day: date) -> DayPlan:
    """What the person does on the day."""
    rng = generator(person, day, 0)
    weekend = day.weekday() >= 5
    wake_h = rng.normal(8.1 if weekend else 6.8, 0.35)
    bed_h = rng.normal(23.6 if weekend else 22.9, 0.4)
    mood_bpm = rng.normal(0, 1.2)
    sessions = []
    if rng.random() < (0.6 if weekend else 0.45):
        start_h = rng.uniform(9.5, 11.5) if weekend else rng.uniform(17.3, 18.8)
        swing = rng.choice([0.0, 0.0, 8.0])
        sessions.append(Exercise(start_h, rng.uniform(25, 75), rng.uniform(0.5, 0.82), swing))
    if rng.random() < 0.12:
        sessions.append(Exercise(rng.uniform(12.1, 12.6), rng.uniform(20, 35), rng.uniform(0.4, 0.6), 0.0))
    return DayPlan(
        float(np.clip(wake_h, 5.5, 9.4)), float(np.clip(bed_h, 21.7, 25.0)), float(mood_bpm), tuple(sessions)
    )


def asleep_before(person: SyntheticPerson, day: date) -> TimeRange:
    """When the person slept before they got up on a civil day."""
    before = day - timedelta(days=1)
    bed_us = wall_us(person, before, plan_of(person, before).bed_h)
    return TimeRange(bed_us, wall_us(person, day, plan_of(person, day).wake_h))


@lru_cache(maxsize=8)
def heart_of(person: SyntheticPerson, day: date) -> HeartDay:
    """The heart of the person over the civil day. Kept a while, since each metric follows from it."""
    return HeartDay(person, day, day_range(person, day))


class HeartDay:
    """The heart of one person over one civil day, in seconds from its start: the curve that any device then samples."""

    def __init__(self, person: SyntheticPerson, day: date, span: TimeRange) -> None:
        self.person, self.day, self.start_us = person, day, span.start_us
        self.length_s = span.length_us // SECOND_US
        self.plan = plan_of(person, day)
        self.sessions = self.plan.sessions
        self.nights = (asleep_before(person, day), asleep_before(person, day + timedelta(days=1)))
        self.grid = np.arange(0.0, self.length_s + GRID_S, GRID_S)
        rng = generator(person, day, 1)
        self.asleep = self.sleep_depth()
        self.curve = self._rest() + self._rhythm() + self._dreams()
        self._add_bursts(rng)
        self._add_sessions()
        self.curve += remembering_noise(rng, self.grid) * (1 - 0.6 * self.asleep)

    def at(self, hours: float) -> float:
        """Seconds from the day's start of an hour on the wall clock."""
        return (wall_us(self.person, self.day, hours) - self.start_us) / SECOND_US

    def nights_s(self) -> Spans:
        """Both nights that touch the day, in seconds from its start."""
        return [
            ((night.start_us - self.start_us) / SECOND_US, (night.end_us - self.start_us) / SECOND_US)
            for night in self.nights
        ]

    def sleep_depth(self, doze_s: float = _DOZE_S) -> Floats:
        """From 0 awake to 1 asleep, on the grid; it takes some multiples of `doze_s` to change."""
        depth = np.zeros_like(self.grid)
        for start, end in self.nights_s():
            depth += sigmoid((self.grid - start) / doze_s) - sigmoid((self.grid - end) / doze_s)
        return np.clip(depth, 0, 1)

    def _rest(self) -> Floats:
        """The resting level: a drift over weeks that fitness and season bring, and how each day feels."""
        phases = np.random.default_rng(np.random.SeedSequence([self.person.seed])).uniform(0, 2 * np.pi, 2)
        days = self.day.toordinal() + self.grid / DAY_S
        drift = np.zeros_like(self.grid)
        for (bpm, period), phase in zip(SLOW_DRIFT, phases, strict=True):
            drift += bpm * np.sin(2 * np.pi * days / period + phase)
        moods = [plan_of(self.person, self.day + timedelta(days=n)).mood_bpm for n in (-1, 0, 1)]
        noon = self.length_s / 2
        feeling = np.interp(self.grid, [noon - DAY_S, noon, noon + DAY_S], moods)
        return np.asarray(self.person.resting_bpm + drift + feeling, np.float64)

    def _rhythm(self) -> Floats:
        # The body clock runs on through a change of clocks: a day of 23 or 25 hours is one turn all the same.
        turn = self.grid / self.length_s
        circadian = CIRCADIAN_BPM * np.cos(2 * np.pi * (turn - CIRCADIAN_PEAK_H / 24))
        return np.asarray(circadian + AWAKE_RISE_BPM * (1 - self.asleep), np.float64)

    def _dreams(self) -> Floats:
        """REM lifts the heart rate towards the end of each sleep cycle, more as the night goes on."""
        bumps = np.zeros_like(self.grid)
        for start, end in self.nights_s():
            inside = slice(*np.searchsorted(self.grid, [start, end]))
            into = self.grid[inside] - start
            cycle = into / REM_CYCLE_S % 1.0
            bumps[inside] += (3 + 5 * into / (end - start)) * np.exp(-(((cycle - 0.84) / 0.08) ** 2))
        return bumps

    def _add_bursts(self, rng: np.random.Generator) -> None:
        """Stairs, errands, a run for the bus: some twenty-five short climbs a waking day."""
        first, last = self.at(self.plan.wake_h), min(self.at(self.plan.bed_h), self.length_s) - 1_800
        count = int(rng.poisson(25))
        for start, seconds, rise in zip(
            rng.uniform(first, last, count),
            np.clip(rng.gamma(2.0, 150.0, count), 45, 1_500),
            np.clip(rng.gamma(3.0, 6.0, count), 4, 45),
            strict=True,
        ):
            inside, effort = effort_of(self.grid, start, seconds, 40.0, 70.0)
            self.curve[inside] += rise * effort

    def _add_sessions(self) -> None:
        """Exercise: a climb to the plateau that creeps up, then an exponential recovery with a long tail."""
        maximum = self.person.max_heart_rate(self.day)
        for session in self.sessions:
            start, seconds = self.at(session.start_h), session.minutes * 60
            inside, effort = effort_of(self.grid, start, seconds, 150.0, 110.0)
            into = self.grid[inside] - start
            plateau = self.person.resting_bpm + session.intensity * (maximum - self.person.resting_bpm)
            target = plateau + 6 * np.clip(into / seconds, 0, 1) + session.interval_bpm * np.sin(2 * np.pi * into / 240)
            self.curve[inside] += (target - self.curve[inside]) * effort
            tail, tiredness = effort_of(self.grid, start, seconds, 600.0, 1_500.0)
            self.curve[tail] += np.where(self.grid[tail] > start + seconds, 9 * tiredness, 0) * (
                self.asleep[tail] < 0.5
            )


def sigmoid(x: Floats) -> Floats:
    """The logistic curve, from 0 to 1."""
    return 1 / (1 + np.exp(-np.clip(x, -40, 40)))


def effort_of(grid: Floats, start: float, seconds: float, rise_s: float, fall_s: float) -> tuple[slice, Floats]:
    """From 0 towards 1 while it lasts, then back: the part of the grid it touches and the effort there."""
    first, last = np.searchsorted(grid, [start, start + seconds + 6 * fall_s])
    into = grid[first:last] - start
    reached = 1 - np.exp(-np.minimum(into, seconds) / rise_s)
    return slice(int(first), int(last)), reached * np.exp(-np.maximum(into - seconds, 0) / fall_s)


def remembering_noise(rng: np.random.Generator, grid: Floats, waves: Sequence[tuple[float, int]] = _NOISE) -> Floats:
    """Noise on the grid that remembers: a sum of waves, of each the standard deviation and the spacing of its knots in
    seconds.
    """
    noise = np.zeros_like(grid)
    for deviation, spacing in waves:
        knots = np.arange(0, grid[-1] + spacing, spacing)
        noise += np.interp(grid, knots, rng.normal(0, deviation, len(knots)))
    return noise
