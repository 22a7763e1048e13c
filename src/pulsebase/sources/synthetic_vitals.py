"""The vital signs of synthetic people besides heart rate, tied to it and to each other.

Each follows from the curve of the heart and from the person's condition: respiration falls in sleep with heart rate;
saturation dips now and then, and is lower in the mountains; variability falls with heart rate, exercise and fever; skin
warms in sleep, when the body cools, and both know fever and cycle. As wearables do, a ring measures respiration and
saturation every minute of sleep, variability every five, and skin temperature every five minutes it is worn, with one
deviation a night; a patch measures body temperature every five minutes. `synthetic_beats` has the beats.

"Ours" says of a number that no source has it: it is plausible, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from pulsebase.model.metrics import (
    BODY_TEMPERATURE,
    HRV_RMSSD,
    HRV_SDNN,
    METRICS,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    RR_INTERVAL,
    SKIN_TEMPERATURE,
    SKIN_TEMPERATURE_DELTA,
)
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import SECOND_US
from pulsebase.sources.synthetic_beats import BeatCurves, beats_of
from pulsebase.sources.synthetic_body import CIRCADIAN_PEAK_H, GRID_S, HeartDay, heart_of, remembering_noise
from pulsebase.sources.synthetic_condition import (
    FOLLICULAR_DAYS,
    LUTEAL_DAYS,
    RMSSD_AGEING,
    RMSSD_AT_AGE,
    RMSSD_AT_BPM,
    RMSSD_OLDEST,
    NightCondition,
    age_of,
    fever_at,
    has_cycle,
    is_high,
    luteal_at,
    night_before,
    traits_of,
)
from pulsebase.sources.synthetic_people import PATCH, RING, Floats, Integers, Mask, Samples, SyntheticPerson, generator

#: How much faster one breathes awake than asleep, breaths/min, and in effort, for each bpm above `EFFORT_FROM_BPM`
#: over the resting heart rate: ours. It rises with nocturnal heart rate (Natarajan et al., npj Digit Med 2021;4:136);
#: the slope is ours.
AWAKE_BREATHS, EFFORT_BREATHS, EFFORT_FROM_BPM, BREATHS_A_BPM = 1.5, 0.2, 25.0, 0.04
#: Breaths/min for each °C of fever (Jensen et al., Acute Med 2019, doi:10.52964/amja.0766).
_FEVER_BREATHS = 1.4
#: Saturation and its dips of 3 % or more in an hour of sleep, at 490 and at 2,590 m (Latshang et al., JAMA
#: 2012;308:2390, people whose sleep apnoea was treated): 95 and 89 %, 1.3 and 16.2 dips. Length and depth are ours.
_HIGH_SATURATION, _DIPS_AN_HOUR = 89 - 95, (1.3, 16.2)
DIP_PERCENT, _DIP_MINUTES = (3.0, 5.0), 1.5
#: The part of a night that dips take at home.
SHARE_OF_DIPS = _DIPS_AN_HOUR[0] * _DIP_MINUTES / 60
#: Breathing in the mountains, of that below: ours.
_HIGH_BREATHING = 1.08
#: RMSSD falls exponentially with heart rate (Monfredi et al., Hypertension 2014;64:1334). The exponent a bpm is ours:
#: with it some ms are left in exercise.
RMSSD_A_BPM = -0.03
#: Of RMSSD in the night after moderate endurance exercise (Hynynen et al., Int J Sports Med 2010;31:428).
RMSSD_AFTER_LOAD = 0.87
#: Of RMSSD in the luteal phase, which has less of it (Schmalenberger et al., J Clin Med 2019;8:1946), for each °C of
#: fever, and in the mountains: ours.
_RMSSD_LUTEAL, _RMSSD_FEVER, _RMSSD_HIGH = 0.93, 0.8, 0.9
#: SDNN of beats without the drift of heart rate, of RMSSD: with that drift SDNN is 50 ms where RMSSD is 42 (Nunan et
#: al., Pacing Clin Electrophysiol 2010;33:1407).
_SDNN_OF_RMSSD = 1.05
#: Half of the day's swing of body temperature (Mackowiak et al., JAMA 1992;268:1578).
BODY_SWING_C = 0.25
#: How much warmer in the luteal phase mouth and finger are, °C (Maijala et al., BMC Womens Health 2019;19:150).
_BODY_LUTEAL_C, _SKIN_LUTEAL_C = 0.23, 0.30
#: Skin warms from bed time on and cools after waking (Sarabia et al., Physiol Behav 2008;95:570). By how much, °C, how
#: quickly, and how much of a fever shows on it: ours.
SKIN_ASLEEP_C, _SKIN_WARMING_S, _SKIN_FEVER = 1.7, 1_200.0, 0.8

#: Errors of devices, and what else nobody explains, as `remembering_noise`: ours.
_BREATH_NOISE, _RMSSD_NOISE = ((0.3, 60), (0.35, 300)), ((0.12, 300), (0.10, 1_800))
_SKIN_NOISE, _BODY_NOISE = ((0.05, 300), (0.2, 2_700)), ((0.02, 300), (0.05, 3_600))
_SATURATION_NOISE, _STATED_HRV_NOISE, _DELTA_NOISE = ((0.35, 60), (0.25, 900)), 0.03, 0.04

_MINUTE_S, _FIVE_MINUTES = 60, 5
#: Asleep is who is so to this part.
_ASLEEP = 0.9


def vital_signs(person: SyntheticPerson, day: date, metric: str) -> tuple[Samples, ...]:
    """What was recorded of a metric other than heart rate on a civil day of the person, by device: nothing of a metric
    that no device of theirs measures.
    """
    if metric == RR_INTERVAL.name:
        return _beats(person, day)
    found = _recorded(person, day).get(metric)
    return () if found is None or len(found) == 0 else (found,)


@dataclass(frozen=True, slots=True)
class _Minutes:
    """The vital signs of a civil day, minute by minute, before any device measures them.

    Attributes:
        worn: whether the ring is.
        heart_rate: the mean of five minutes around, bpm.
        interval_ms: from beat to beat.
    """

    seconds: Floats
    asleep: Mask
    worn: Mask
    heart_rate: Floats
    interval_ms: Floats
    respiration: Floats
    saturation: Floats
    rmssd: Floats
    skin: Floats
    body: Floats


@lru_cache(maxsize=8)
def _minutes_of(person: SyntheticPerson, day: date) -> _Minutes:
    heart, traits = heart_of(person, day), traits_of(person)
    every = _MINUTE_S // GRID_S
    count = heart.length_s // _MINUTE_S
    seconds = heart.grid[: count * every : every]
    curve = heart.curve[: count * every].reshape(count, every).mean(axis=1)
    turn = seconds / heart.length_s
    depth, fever = heart.asleep[: count * every : every], fever_at(person, day, turn)
    luteal, high = luteal_at(person, day, turn), is_high(person, day, turn)
    nights = night_before(person, day), night_before(person, day + timedelta(days=1))

    def by_night(part: Callable[[NightCondition], float]) -> Floats:
        """Until noon of the night before, then of the night to come."""
        return np.where(turn < 0.5, part(nights[0]), part(nights[1]))

    asleep = depth > _ASLEEP
    rng = generator(person, day, 20)
    heart_rate = _smooth(curve)
    effort = np.maximum(heart_rate - person.resting_bpm - EFFORT_FROM_BPM, 0)
    breathing = traits.respiration + by_night(lambda night: night.respiration) + AWAKE_BREATHS * (1 - depth)
    breathing += EFFORT_BREATHS * effort + BREATHS_A_BPM * (heart_rate - person.resting_bpm)
    breathing += _FEVER_BREATHS * fever + remembering_noise(rng, seconds, _BREATH_NOISE)
    rmssd = traits.rmssd_ms * np.exp(RMSSD_AGEING * (min(age_of(person, day), RMSSD_OLDEST) - RMSSD_AT_AGE))
    rmssd = rmssd * np.exp(RMSSD_A_BPM * (heart_rate - RMSSD_AT_BPM) + remembering_noise(rng, seconds, _RMSSD_NOISE))
    rmssd *= by_night(lambda night: night.rmssd * RMSSD_AFTER_LOAD**night.load)
    rmssd *= _RMSSD_LUTEAL**luteal * _RMSSD_FEVER**fever * _RMSSD_HIGH**high
    warm = heart.sleep_depth(_SKIN_WARMING_S)[: count * every : every]
    skin = traits.skin_c + SKIN_ASLEEP_C * warm + _SKIN_LUTEAL_C * luteal + _SKIN_FEVER * fever
    skin += by_night(lambda night: night.skin_c) + remembering_noise(rng, seconds, _SKIN_NOISE) * (1.5 - depth)
    body = traits.body_c + BODY_SWING_C * np.cos(2 * np.pi * (turn - CIRCADIAN_PEAK_H / 24)) + fever
    body += _BODY_LUTEAL_C * (luteal - _usual_luteal(person, day)) + remembering_noise(rng, seconds, _BODY_NOISE)
    saturation = traits.saturation + _HIGH_SATURATION * high + remembering_noise(rng, seconds, _SATURATION_NOISE)
    return _Minutes(
        seconds=seconds,
        asleep=asleep,
        worn=_worn(heart, rng, seconds) & (~asleep | by_night(lambda night: night.worn).astype(np.bool_)),
        heart_rate=heart_rate,
        interval_ms=60_000 / curve,
        respiration=np.maximum(breathing * _HIGH_BREATHING**high, 6.0),
        saturation=np.minimum(saturation - _dips(rng, high), 100.0),
        rmssd=np.clip(rmssd, 2.0, 200.0),
        skin=skin,
        body=body,
    )


@lru_cache(maxsize=8)
def _recorded(person: SyntheticPerson, day: date) -> Mapping[str, Samples]:
    """What ring and patch recorded on the day, by metric; the beats apart."""
    minutes, start_us = _minutes_of(person, day), heart_of(person, day).start_us
    asleep = np.flatnonzero(minutes.asleep & minutes.worn)
    fives = np.arange(0, len(minutes.seconds), _FIVE_MINUTES)
    rested = fives[_whole(minutes.asleep & minutes.worn)]
    rmssd, sdnn = _variability(minutes)
    error = np.exp(generator(person, day, 21).normal(0, _STATED_HRV_NOISE, (2, len(fives))))
    worn = fives[minutes.worn[fives]]

    def samples(metric: str, device_id: str, places: Integers, values: Floats) -> Samples:
        times_us = start_us + minutes.seconds[places].astype(np.int64) * SECOND_US
        none = np.full(len(places), NO_CONFIDENCE, np.int8)
        return Samples(device_id, times_us, np.round(values, _DECIMALS[metric]), none, metric).frozen()

    found = [
        samples(RESPIRATORY_RATE.name, RING, asleep, minutes.respiration[asleep]),
        samples(OXYGEN_SATURATION.name, RING, asleep, minutes.saturation[asleep]),
        samples(HRV_RMSSD.name, RING, rested, (rmssd * error[0])[rested // _FIVE_MINUTES]),
        samples(HRV_SDNN.name, RING, rested, (sdnn * error[1])[rested // _FIVE_MINUTES]),
        samples(SKIN_TEMPERATURE.name, RING, worn, minutes.skin[worn]),
        samples(SKIN_TEMPERATURE_DELTA.name, RING, *_deviation(person, day, minutes)),
        samples(BODY_TEMPERATURE.name, PATCH, fives, minutes.body[fives]),
    ]
    return {each.metric: each for each in found}


#: How many decimals the devices state.
_DECIMALS = dict.fromkeys(METRICS, 2) | {
    RESPIRATORY_RATE.name: 1,
    OXYGEN_SATURATION.name: 1,
    HRV_RMSSD.name: 1,
    HRV_SDNN.name: 1,
}


def _variability(minutes: _Minutes) -> tuple[Floats, Floats]:
    """RMSSD and SDNN of every five minutes. SDNN holds what heart rate drifts meanwhile, too."""
    windows = len(minutes.seconds) // _FIVE_MINUTES
    rmssd, interval = (
        column[: windows * _FIVE_MINUTES].reshape(windows, -1) for column in (minutes.rmssd, minutes.interval_ms)
    )
    squares = (rmssd**2).mean(axis=1)
    return np.sqrt(squares), np.sqrt(_SDNN_OF_RMSSD**2 * squares + interval.var(axis=1))


def _deviation(person: SyntheticPerson, day: date, minutes: _Minutes) -> tuple[Integers, Floats]:
    """The one reading of a night, when the person gets up: how far the skin's temperature was from what is usual."""
    night, traits = night_before(person, day), traits_of(person)
    slept = np.flatnonzero(minutes.asleep & (minutes.seconds < minutes.seconds[-1] / 2))
    if not night.worn or len(slept) == 0:
        return np.empty(0, np.int64), np.empty(0)
    usual = traits.skin_c + SKIN_ASLEEP_C + _SKIN_LUTEAL_C * _usual_luteal(person, day)
    error = generator(person, day, 22).normal(0, _DELTA_NOISE)
    return slept[-1:], np.array([minutes.skin[slept].mean() - usual + error])


def _usual_luteal(person: SyntheticPerson, day: date) -> float:
    """The mean of `luteal_at` over a cycle."""
    return LUTEAL_DAYS / (FOLLICULAR_DAYS + LUTEAL_DAYS) if has_cycle(person, day) else 0.0


@lru_cache(maxsize=4)
def _beats(person: SyntheticPerson, day: date) -> tuple[Samples, ...]:
    minutes = _minutes_of(person, day)
    curves = BeatCurves(minutes.seconds, minutes.respiration, minutes.rmssd, _SDNN_OF_RMSSD * minutes.rmssd)
    return beats_of(person, day, curves, minutes.worn)


def _smooth(curve: Floats) -> Floats:
    """The mean of five minutes around each; of fewer at both ends."""
    ones = np.ones(_FIVE_MINUTES)
    return np.asarray(np.convolve(curve, ones, "same") / np.convolve(np.ones_like(curve), ones, "same"), np.float64)


def _whole(minutes: Mask) -> Mask:
    """Whether all minutes of each five are so; the last five may be fewer."""
    return np.asarray(np.logical_and.reduceat(minutes, np.arange(0, len(minutes), _FIVE_MINUTES)), np.bool_)


def _dips(rng: np.random.Generator, high: Floats) -> Floats:
    """By how much saturation dips in each minute, %."""
    below, above = _DIPS_AN_HOUR
    begins = rng.random(len(high)) < (below + (above - below) * high) / 60
    depths, long = rng.uniform(*DIP_PERCENT, len(high)), rng.random(len(high)) < 0.5
    dips = np.where(begins, depths, 0)
    dips[1:] = np.maximum(dips[1:], np.where(begins & long, depths, 0)[:-1])
    return dips


def _worn(heart: HeartDay, rng: np.random.Generator, seconds: Floats) -> Mask:
    """False while the ring is charged in the morning, and for some minutes now and then, when it sits loosely."""
    worn = np.ones(len(seconds), np.bool_)
    off = [(heart.at(heart.plan.wake_h) + rng.uniform(1_200, 3_600), rng.uniform(2_400, 4_800))]
    off += [(rng.uniform(0, heart.length_s), rng.uniform(240, 1_200)) for _ in range(rng.poisson(3))]
    for start, length in off:
        worn &= (seconds < start) | (seconds >= start + length)
    return worn
