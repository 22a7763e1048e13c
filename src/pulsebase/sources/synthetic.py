"""What the devices of synthetic people would have recorded, reproducible and plausible, for demos and tests.

A reading depends only on the person's seed and on its civil day, never on when or in which slices it was asked for: a
whole day is generated from generators seeded with the seed and the day, then cut. Times are whole seconds, but for
beats.

This is heart rate; `synthetic_vitals` has the other metrics, `synthetic_body` what they all follow from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import SECOND_US, TimeRange
from pulsebase.sources.synthetic_body import DAY_S, Exercise, HeartDay, heart_of
from pulsebase.sources.synthetic_people import (
    CHEST_STRAP,
    DEMO_PEOPLE,
    WRISTBAND,
    Floats,
    Integers,
    Mask,
    Samples,
    Spans,
    SyntheticPerson,
    civil_days,
    day_range,
    generator,
)
from pulsebase.sources.synthetic_vitals import vital_signs

__all__ = [
    "CHEST_STRAP",
    "DEMO_PEOPLE",
    "HIGH_BPM",
    "LOW_BPM",
    "PLACEHOLDER_BPM",
    "READINGS_A_DAY",
    "STEP_S",
    "WRISTBAND",
    "Samples",
    "SyntheticDay",
    "SyntheticPerson",
    "civil_days",
    "day_range",
    "samples_between",
    "synthetic_day",
]

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
#: What a device reports at the least and at the most.
LOW_BPM, HIGH_BPM = 30, 220


@dataclass(frozen=True, slots=True)
class SyntheticDay:
    """A civil day of one person: its range in UTC, when they slept in it, what the wristband and others recorded."""

    day: date
    range: TimeRange
    asleep: tuple[TimeRange, ...]
    wristband: Samples
    others: tuple[Samples, ...]


@lru_cache(maxsize=16)
def synthetic_day(person: SyntheticPerson, day: date) -> SyntheticDay:
    """The heart rate recorded of a person on a civil day. Kept a while: slices in UTC touch two civil days each."""
    span = day_range(person, day)
    heart = heart_of(person, day)
    samples = [_strap_samples(heart, session) for session in heart.sessions] if person.chest_strap else []
    asleep = tuple(
        TimeRange(max(night.start_us, span.start_us), min(night.end_us, span.end_us))
        for night in heart.nights
        if night.start_us < span.end_us and night.end_us > span.start_us
    )
    return SyntheticDay(day, span, asleep, _wristband_samples(heart), tuple(samples))


def samples_between(person: SyntheticPerson, interval: TimeRange, metric: str = HEART_RATE.name) -> list[Samples]:
    """What every device recorded of a metric inside the interval: pieces by civil day; of heart rate the wristband's
    first.
    """
    if interval.end_us <= interval.start_us:
        return []
    pieces: list[Samples] = []
    for day in civil_days(person, interval):
        if metric == HEART_RATE.name:
            recorded = synthetic_day(person, day)
            found = (recorded.wristband, *recorded.others)
        else:
            found = vital_signs(person, day, metric)
        pieces += [samples.cut(interval) for samples in found]
    return [piece for piece in pieces if len(piece)]


def _wristband_samples(heart: HeartDay) -> Samples:
    rng = generator(heart.person, heart.day, 2)
    off_wrist, other_gaps = _off_wrist(heart, rng), _dropouts(heart, rng)
    times_s = _sample_times(rng, heart.length_s, _merged(off_wrist + other_gaps, heart.length_s))
    bpm = np.interp(times_s, heart.grid, heart.curve) + rng.normal(0, 0.7, len(times_s))
    bpm = np.clip(np.rint(bpm), LOW_BPM, HIGH_BPM)
    confidences = _confidences(heart, rng, times_s)
    for start, _ in off_wrist:
        unnoticed = slice(*np.searchsorted(times_s, [start - rng.uniform(40, 180), start]))
        bpm[unnoticed], confidences[unnoticed] = PLACEHOLDER_BPM, 0
    kept = _outside_sync_hole(heart, rng, times_s)
    return Samples(WRISTBAND, heart.start_us + times_s[kept] * SECOND_US, bpm[kept], confidences[kept]).frozen()


def _strap_samples(heart: HeartDay, session: Exercise) -> Samples:
    rng = generator(heart.person, heart.day, 3 + heart.sessions.index(session))
    start = heart.at(session.start_h)
    times_s = np.arange(int(start) - 180, int(start + session.minutes * 60) + 480, dtype=np.int64)
    bpm = np.interp(times_s, heart.grid, heart.curve) + rng.normal(0, 0.4, len(times_s))
    bpm = np.clip(np.rint(bpm), LOW_BPM, HIGH_BPM)
    none = np.full(len(times_s), NO_CONFIDENCE, np.int8)
    return Samples(CHEST_STRAP, heart.start_us + times_s * SECOND_US, bpm, none).frozen()


def _off_wrist(heart: HeartDay, rng: np.random.Generator) -> Spans:
    """Charging, in the shower's hour or late in the evening, and now and then a short time off the wrist."""
    plan = heart.plan
    spans = []
    if rng.random() < 0.85:
        charging = rng.uniform(1_500, 4_200)
        evening = rng.random() < 0.5
        start = heart.at(plan.bed_h) - charging - 900 if evening else heart.at(plan.wake_h) + rng.uniform(900, 2_400)
        spans.append((start, start + charging))
    for _ in range(int(rng.integers(0, 3))):
        start = heart.at(rng.uniform(13.5, 16.5))
        spans.append((start, start + rng.uniform(240, 1_200)))
    return spans


def _dropouts(heart: HeartDay, rng: np.random.Generator) -> Spans:
    """A loose strap: a few minutes without a reading, at any hour."""
    starts = rng.uniform(0, heart.length_s, int(rng.poisson(4)))
    return [(start, start + rng.uniform(30, 180)) for start in starts]


def _outside_sync_hole(heart: HeartDay, rng: np.random.Generator, times_s: Integers) -> Mask:
    """True for what reached the cloud: on one day in thirty, hours of readings never do."""
    happens, start, seconds = rng.random() < 1 / 30, rng.uniform(0, heart.length_s), rng.uniform(3_600, 14_400)
    return ~((times_s >= start) & (times_s < start + seconds)) if happens else np.ones(len(times_s), np.bool_)


def _merged(spans: Spans, length_s: int) -> Spans:
    """Return the spans in order, in whole seconds, limited to the day, and with touching ones merged."""
    merged: Spans = []
    for start, end in sorted((max(0, round(start)), min(length_s, round(end))) for start, end in spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        elif start < end:
            merged.append((start, end))
    return merged


def _sample_times(rng: np.random.Generator, length_s: int, gaps: Spans) -> Integers:
    """Integers from the day's start, none in a gap: steps laid along the worn time, then moved past the gaps."""
    worn_s = int(length_s - sum(end - start for start, end in gaps))
    target = round(int(rng.integers(*_TARGET_READINGS)) * length_s / DAY_S)
    shares = _step_shares(worn_s / target)
    steps = np.repeat(_STEPS_S, np.ceil(shares * target).astype(np.int64)).astype(np.int64)
    worn = np.concatenate([[0], np.cumsum(rng.permutation(steps))])
    worn = worn[worn < worn_s]
    lengths = np.array([end - start for start, end in gaps], np.int64)
    starts = np.array([start for start, _ in gaps], np.int64)
    passed = np.concatenate([[0], np.cumsum(lengths)])
    return np.asarray(worn + passed[np.searchsorted(starts - passed[:-1], worn, side="right")], np.int64)


def _step_shares(mean_s: float) -> Floats:
    """Return `_STEP_WEIGHTS`, tilted exponentially so that their mean step is `mean_s`."""
    tilt, centred = 0.0, _STEPS_S - _STEPS_S.mean()
    for _ in range(8):  # Newton's method; it settles in three or four rounds
        shares = _STEP_WEIGHTS * np.exp(tilt * centred)
        shares /= shares.sum()
        mean = shares @ _STEPS_S
        tilt += (mean_s - mean) / (shares @ (_STEPS_S - mean) ** 2)
    return np.asarray(shares, np.float64)


def _confidences(heart: HeartDay, rng: np.random.Generator, times_s: Integers) -> npt.NDArray[np.int8]:
    """3 mostly in stillness, 1 mostly in motion, as the bands report it."""
    asleep = np.interp(times_s, heart.grid, heart.asleep)
    curve = np.interp(times_s, heart.grid, heart.curve)
    motion = np.clip((curve - heart.person.resting_bpm - 8) / 50, 0, 1)
    surely = 0.3 + 0.66 * asleep - 0.3 * motion
    barely = (0.05 + 0.6 * motion) * (1 - asleep)
    drawn = rng.random(len(times_s))
    return np.where(drawn < surely, 3, np.where(drawn > 1 - barely, 1, 2)).astype(np.int8)
