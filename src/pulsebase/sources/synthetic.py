"""Synthetic people: what a wristband would have recorded, reproducible and plausible, for demos and tests.

A reading depends only on the person's seed and on its civil day, never on when or in which slices it was asked for: a
whole day is generated from generators seeded with the seed and the day, then cut. Times are whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.model.timerange import SECOND_US, TimeRange, from_us, to_us
from pulsebase.model.users import User

#: The wristband both people wear, and the chest strap (medical grade, 1 Hz) one of them puts on for exercise.
WRISTBAND = "fitbit"
CHEST_STRAP = "device_a"

#: What a Fitbit wearer's day holds, as seen in real exports: 10,000–10,600 readings at irregular steps of 1–15 s.
READINGS_A_DAY = (10_000, 10_600)
STEP_S = (1, 15)
#: The target is drawn from the middle of that range, so that the rounding of steps never leaves it.
_TARGET_READINGS = (10_180, 10_420)
#: How often each step of 1, 2, … 15 s is seen; the bands prefer multiples of five.
_STEP_WEIGHTS = np.array([3, 2, 2, 2, 6, 2, 2, 2, 2, 5, 2, 2, 2, 2, 5], np.float64)
_STEPS_S = np.arange(STEP_S[0], STEP_S[1] + 1, dtype=np.float64)

#: An off-wrist band reports exactly this, with confidence 0, until it notices.
PLACEHOLDER_BPM = 70
_NO_CONFIDENCE = -1
#: What a device reports at the least and at the most.
LOW_BPM, HIGH_BPM = 30, 220

_DAY_S = 86_400
_GRID_S = 10  # the curve of the heart is worked out on this grid and read between its points
#: By how much the heart of somebody awake and still beats faster than at rest.
AWAKE_RISE_BPM = 13.0
#: Half the swing of the body clock, and the hour at which it is highest.
CIRCADIAN_BPM, CIRCADIAN_PEAK_H = 3.5, 17
#: (bpm, days): the waves in which a resting heart rate drifts, as fitness and season bring it.
SLOW_DRIFT = ((2.4, 63), (1.3, 23))
_REM_CYCLE_S = 5_400
_DOZE_S = 240.0
#: (standard deviation in bpm, spacing of its knots in seconds): together a noise that remembers.
_NOISE = ((1.5, 20), (2.2, 120), (2.6, 900))

Floats = npt.NDArray[np.float64]
Seconds = npt.NDArray[np.int64]
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
    """One device's readings, by time: microseconds UTC, bpm, and confidence 0–3 or -1 for none."""

    device_id: str
    times_us: Seconds
    bpm: Floats
    confidences: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.times_us)

    def cut(self, interval: TimeRange) -> Samples:
        """The readings inside the interval."""
        first, last = np.searchsorted(self.times_us, [interval.start_us, interval.end_us])
        kept = slice(first, last)
        return Samples(self.device_id, self.times_us[kept], self.bpm[kept], self.confidences[kept])


@dataclass(frozen=True, slots=True)
class SyntheticDay:
    """A civil day of one person: its range in UTC, when they slept in it, what the wristband and others recorded."""

    day: date
    range: TimeRange
    asleep: tuple[TimeRange, ...]
    wristband: Samples
    others: tuple[Samples, ...]


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
    return TimeRange(_wall_us(person, day, 0), _wall_us(person, day + timedelta(days=1), 0))


@lru_cache(maxsize=16)
def synthetic_day(person: SyntheticPerson, day: date) -> SyntheticDay:
    """Everything recorded of a person on a civil day. Kept a while, since slices in UTC touch two civil days each."""
    span = day_range(person, day)
    body = _Body(person, day, span)
    samples = [_strap_samples(body, session) for session in body.sessions] if person.chest_strap else []
    asleep = tuple(
        TimeRange(max(night.start_us, span.start_us), min(night.end_us, span.end_us))
        for night in body.nights
        if night.start_us < span.end_us and night.end_us > span.start_us
    )
    return SyntheticDay(day, span, asleep, _wristband_samples(body), tuple(samples))


def samples_between(person: SyntheticPerson, interval: TimeRange) -> list[Samples]:
    """What every device recorded inside the interval: the pieces by civil day, the wristband's first."""
    if interval.end_us <= interval.start_us:
        return []
    pieces = []
    for day in civil_days(person, interval):
        recorded = synthetic_day(person, day)
        pieces += [samples.cut(interval) for samples in (recorded.wristband, *recorded.others)]
    return [piece for piece in pieces if len(piece)]


# --- the day as it was lived ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Session:
    start_h: float
    minutes: float
    intensity: float  # of the heart-rate reserve
    interval_bpm: float  # how far it swings, for interval training


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a person does on a civil day, in hours of the wall clock; bed time may lie past 24."""

    wake_h: float
    bed_h: float
    mood_bpm: float
    sessions: tuple[_Session, ...]


@lru_cache(maxsize=64)
def _plan(person: SyntheticPerson, day: date) -> _Plan:
    rng = _generator(person, day, 0)
    weekend = day.weekday() >= 5
    wake_h = rng.normal(8.1 if weekend else 6.8, 0.35)
    bed_h = rng.normal(23.6 if weekend else 22.9, 0.4)
    mood_bpm = rng.normal(0, 1.2)
    sessions = []
    if rng.random() < (0.6 if weekend else 0.45):
        start_h = rng.uniform(9.5, 11.5) if weekend else rng.uniform(17.3, 18.8)
        swing = rng.choice([0.0, 0.0, 8.0])
        sessions.append(_Session(start_h, rng.uniform(25, 75), rng.uniform(0.5, 0.82), swing))
    if rng.random() < 0.12:
        sessions.append(_Session(rng.uniform(12.1, 12.6), rng.uniform(20, 35), rng.uniform(0.4, 0.6), 0.0))
    return _Plan(float(np.clip(wake_h, 5.5, 9.4)), float(np.clip(bed_h, 21.7, 25.0)), float(mood_bpm), tuple(sessions))


def _generator(person: SyntheticPerson, day: date, purpose: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([person.seed, day.toordinal(), purpose]))


def _wall_us(person: SyntheticPerson, day: date, hours: float) -> int:
    wall = datetime.combine(day, time()) + timedelta(seconds=round(hours * 3600))
    return to_us(wall.replace(tzinfo=ZoneInfo(person.time_zone)))


class _Body:
    """The heart of one person over one civil day, in seconds from its start: the curve that any device then samples."""

    def __init__(self, person: SyntheticPerson, day: date, span: TimeRange) -> None:
        before, after = day - timedelta(days=1), day + timedelta(days=1)
        self.person, self.day, self.start_us = person, day, span.start_us
        self.length_s = span.length_us // SECOND_US
        self.plan = _plan(person, day)
        self.sessions = self.plan.sessions
        self.nights = (
            TimeRange(_wall_us(person, before, _plan(person, before).bed_h), _wall_us(person, day, self.plan.wake_h)),
            TimeRange(_wall_us(person, day, self.plan.bed_h), _wall_us(person, after, _plan(person, after).wake_h)),
        )
        self.grid = np.arange(0.0, self.length_s + _GRID_S, _GRID_S)
        rng = _generator(person, day, 1)
        self.asleep = self._sleep_depth()
        self.curve = self._rest() + self._rhythm() + self._dreams()
        self._add_bursts(rng)
        self._add_sessions()
        self.curve += _remembering_noise(rng, self.grid) * (1 - 0.6 * self.asleep)

    def at(self, hours: float) -> float:
        """Seconds from the day's start of an hour on the wall clock."""
        return (_wall_us(self.person, self.day, hours) - self.start_us) / SECOND_US

    def nights_s(self) -> Spans:
        """Both nights that touch the day, in seconds from its start."""
        return [
            ((night.start_us - self.start_us) / SECOND_US, (night.end_us - self.start_us) / SECOND_US)
            for night in self.nights
        ]

    def _sleep_depth(self) -> Floats:
        depth = np.zeros_like(self.grid)
        for start, end in self.nights_s():
            depth += _sigmoid((self.grid - start) / _DOZE_S) - _sigmoid((self.grid - end) / _DOZE_S)
        return np.clip(depth, 0, 1)

    def _rest(self) -> Floats:
        """The resting level: a drift over weeks that fitness and season bring, and how each day feels."""
        phases = np.random.default_rng(np.random.SeedSequence([self.person.seed])).uniform(0, 2 * np.pi, 2)
        days = self.day.toordinal() + self.grid / _DAY_S
        drift = np.zeros_like(self.grid)
        for (bpm, period), phase in zip(SLOW_DRIFT, phases, strict=True):
            drift += bpm * np.sin(2 * np.pi * days / period + phase)
        moods = [_plan(self.person, self.day + timedelta(days=n)).mood_bpm for n in (-1, 0, 1)]
        noon = self.length_s / 2
        feeling = np.interp(self.grid, [noon - _DAY_S, noon, noon + _DAY_S], moods)
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
            cycle = into / _REM_CYCLE_S % 1.0
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
            inside, effort = _effort(self.grid, start, seconds, 40.0, 70.0)
            self.curve[inside] += rise * effort

    def _add_sessions(self) -> None:
        """Exercise: a climb to the plateau that creeps up, then an exponential recovery with a long tail."""
        maximum = self.person.max_heart_rate(self.day)
        for session in self.sessions:
            start, seconds = self.at(session.start_h), session.minutes * 60
            inside, effort = _effort(self.grid, start, seconds, 150.0, 110.0)
            into = self.grid[inside] - start
            plateau = self.person.resting_bpm + session.intensity * (maximum - self.person.resting_bpm)
            target = plateau + 6 * np.clip(into / seconds, 0, 1) + session.interval_bpm * np.sin(2 * np.pi * into / 240)
            self.curve[inside] += (target - self.curve[inside]) * effort
            tail, tiredness = _effort(self.grid, start, seconds, 600.0, 1_500.0)
            self.curve[tail] += np.where(self.grid[tail] > start + seconds, 9 * tiredness, 0) * (
                self.asleep[tail] < 0.5
            )


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(x, -40, 40)))


def _effort(grid: Floats, start: float, seconds: float, rise_s: float, fall_s: float) -> tuple[slice, Floats]:
    """From 0 towards 1 while it lasts, then back: the part of the grid it touches and the effort there."""
    first, last = np.searchsorted(grid, [start, start + seconds + 6 * fall_s])
    into = grid[first:last] - start
    reached = 1 - np.exp(-np.minimum(into, seconds) / rise_s)
    return slice(int(first), int(last)), reached * np.exp(-np.maximum(into - seconds, 0) / fall_s)


def _remembering_noise(rng: np.random.Generator, grid: Floats) -> Floats:
    noise = np.zeros_like(grid)
    for deviation, spacing in _NOISE:
        knots = np.arange(0, grid[-1] + spacing, spacing)
        noise += np.interp(grid, knots, rng.normal(0, deviation, len(knots)))
    return noise


# --- what the devices make of it -----------------------------------------------------------------------------------


def _wristband_samples(body: _Body) -> Samples:
    rng = _generator(body.person, body.day, 2)
    off_wrist, other_gaps = _off_wrist(body, rng), _dropouts(body, rng)
    times_s = _sample_times(rng, body.length_s, _merged(off_wrist + other_gaps, body.length_s))
    bpm = np.interp(times_s, body.grid, body.curve) + rng.normal(0, 0.7, len(times_s))
    bpm = np.clip(np.rint(bpm), LOW_BPM, HIGH_BPM)
    confidences = _confidences(body, rng, times_s)
    for start, _ in off_wrist:
        unnoticed = slice(*np.searchsorted(times_s, [start - rng.uniform(40, 180), start]))
        bpm[unnoticed], confidences[unnoticed] = PLACEHOLDER_BPM, 0
    kept = _outside_sync_hole(body, rng, times_s)
    return _frozen(WRISTBAND, body.start_us + times_s[kept] * SECOND_US, bpm[kept], confidences[kept])


def _strap_samples(body: _Body, session: _Session) -> Samples:
    rng = _generator(body.person, body.day, 3 + body.sessions.index(session))
    start = body.at(session.start_h)
    times_s = np.arange(int(start) - 180, int(start + session.minutes * 60) + 480, dtype=np.int64)
    bpm = np.interp(times_s, body.grid, body.curve) + rng.normal(0, 0.4, len(times_s))
    bpm = np.clip(np.rint(bpm), LOW_BPM, HIGH_BPM)
    none = np.full(len(times_s), _NO_CONFIDENCE, np.int8)
    return _frozen(CHEST_STRAP, body.start_us + times_s * SECOND_US, bpm, none)


def _frozen(device_id: str, times_us: Seconds, bpm: Floats, confidences: npt.NDArray[np.int8]) -> Samples:
    for column in (times_us, bpm, confidences):
        column.flags.writeable = False  # days are shared between callers
    return Samples(device_id, times_us, bpm, confidences)


def _off_wrist(body: _Body, rng: np.random.Generator) -> Spans:
    """Charging, in the shower's hour or late in the evening, and now and then a short time off the wrist."""
    plan = body.plan
    spans = []
    if rng.random() < 0.85:
        charging = rng.uniform(1_500, 4_200)
        evening = rng.random() < 0.5
        start = body.at(plan.bed_h) - charging - 900 if evening else body.at(plan.wake_h) + rng.uniform(900, 2_400)
        spans.append((start, start + charging))
    for _ in range(int(rng.integers(0, 3))):
        start = body.at(rng.uniform(13.5, 16.5))
        spans.append((start, start + rng.uniform(240, 1_200)))
    return spans


def _dropouts(body: _Body, rng: np.random.Generator) -> Spans:
    """A loose strap: a few minutes without a reading, at any hour."""
    starts = rng.uniform(0, body.length_s, int(rng.poisson(4)))
    return [(start, start + rng.uniform(30, 180)) for start in starts]


def _outside_sync_hole(body: _Body, rng: np.random.Generator, times_s: Seconds) -> npt.NDArray[np.bool_]:
    """True for what reached the cloud: on one day in thirty, hours of readings never do."""
    happens, start, seconds = rng.random() < 1 / 30, rng.uniform(0, body.length_s), rng.uniform(3_600, 14_400)
    return ~((times_s >= start) & (times_s < start + seconds)) if happens else np.ones(len(times_s), np.bool_)


def _merged(spans: Spans, length_s: int) -> Spans:
    """The spans in order, whole seconds, inside the day, those that touch made one."""
    merged: Spans = []
    for start, end in sorted((max(0, round(start)), min(length_s, round(end))) for start, end in spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        elif start < end:
            merged.append((start, end))
    return merged


def _sample_times(rng: np.random.Generator, length_s: int, gaps: Spans) -> Seconds:
    """Seconds from the day's start, none in a gap: steps laid along the worn time, then moved past the gaps."""
    worn_s = int(length_s - sum(end - start for start, end in gaps))
    target = round(int(rng.integers(*_TARGET_READINGS)) * length_s / _DAY_S)
    shares = _step_shares(worn_s / target)
    steps = np.repeat(_STEPS_S, np.ceil(shares * target).astype(np.int64)).astype(np.int64)
    worn = np.concatenate([[0], np.cumsum(rng.permutation(steps))])
    worn = worn[worn < worn_s]
    lengths = np.array([end - start for start, end in gaps], np.int64)
    starts = np.array([start for start, _ in gaps], np.int64)
    passed = np.concatenate([[0], np.cumsum(lengths)])
    return np.asarray(worn + passed[np.searchsorted(starts - passed[:-1], worn, side="right")], np.int64)


def _step_shares(mean_s: float) -> Floats:
    """`_STEP_WEIGHTS` tilted exponentially, so that their mean step is `mean_s`."""
    tilt, centred = 0.0, _STEPS_S - _STEPS_S.mean()
    for _ in range(8):  # Newton's method; it settles in three or four rounds
        shares = _STEP_WEIGHTS * np.exp(tilt * centred)
        shares /= shares.sum()
        mean = shares @ _STEPS_S
        tilt += (mean_s - mean) / (shares @ (_STEPS_S - mean) ** 2)
    return np.asarray(shares, np.float64)


def _confidences(body: _Body, rng: np.random.Generator, times_s: Seconds) -> npt.NDArray[np.int8]:
    """3 mostly in stillness, 1 mostly in motion, as the bands report it."""
    asleep = np.interp(times_s, body.grid, body.asleep)
    curve = np.interp(times_s, body.grid, body.curve)
    motion = np.clip((curve - body.person.resting_bpm - 8) / 50, 0, 1)
    surely = 0.3 + 0.66 * asleep - 0.3 * motion
    barely = (0.05 + 0.6 * motion) * (1 - asleep)
    drawn = rng.random(len(times_s))
    return np.where(drawn < surely, 3, np.where(drawn > 1 - barely, 1, 2)).astype(np.int8)
