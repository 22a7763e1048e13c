"""The beats of synthetic people's hearts, with the heart rate, the breathing and the variability they have meanwhile.

A beat comes whenever the integral of the heart's momentary frequency has grown by one (the integral pulse frequency
model). The momentary interval swings about that of the heart rate with two waves, one of the breath and one of blood
pressure (as McSharry et al., IEEE Trans Biomed Eng 2003;50:289, have it), as far as RMSSD and SDNN ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from pulsebase.model.metrics import RR_INTERVAL
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.sources.synthetic_body import HeartDay, heart_of, remembering_noise
from pulsebase.sources.synthetic_people import (
    CHEST_STRAP,
    RING,
    Floats,
    Mask,
    Samples,
    Spans,
    SyntheticPerson,
    generator,
)

#: The frequency of the wave of blood pressure, Hz (McSharry et al.: 0.1).
_PRESSURE_HZ = 0.1
#: How far a wave's size and frequency wander: ours.
_WANDERING, _WANDERING_NOISE = 0.25, ((1.0, 12),)
#: The least part of the fast variance that the breath has: ours.
_LEAST_OF_BREATH = 0.05
#: Frequencies are integrated on this grid.
_STEP_S = 0.25
#: A night of beats is some 25,000, so the ring keeps those of one night a week: the one to Sunday.
_NIGHT_KEPT = 6
#: The chest strap is put on so long before exercise, and taken off so long after, seconds.
_STRAP_S = (180, 480)
#: Beats are told to a tenth of a millisecond, as intervals are stored.
_TICKS_A_SECOND, _US_A_TICK = 10_000, 100


@dataclass(frozen=True, slots=True)
class BeatCurves:
    """What beats follow, at seconds of the day: breaths/min, and RMSSD and SDNN in ms, the latter without the drift of
    heart rate.
    """

    seconds: Floats
    respiration: Floats
    rmssd: Floats
    sdnn: Floats


def beats_of(person: SyntheticPerson, day: date, curves: BeatCurves, worn: Mask) -> tuple[Samples, ...]:
    """The intervals recorded on a civil day: by the chest strap in exercise, if they have one, and by the ring in one
    night a week, as far as it is `worn` at the curves' seconds.
    """
    heart = heart_of(person, day)
    found = []
    if day.weekday() == _NIGHT_KEPT:
        spans = [(max(start, 0.0), min(end, float(heart.length_s))) for start, end in heart.nights_s()[:1]]
        found.append(_intervals(heart, curves, RING, spans, generator(person, day, 23)))
        ring = found[0]
        minute = np.searchsorted(curves.seconds, (ring.times_us - heart.start_us) / 1_000_000, side="right") - 1
        kept = worn[minute]
        found[0] = Samples(RING, ring.times_us[kept], ring.values[kept], ring.confidences[kept], ring.metric)
    if person.chest_strap and heart.sessions:
        before, after = _STRAP_S
        starts = [(heart.at(each.start_h), each.minutes * 60) for each in heart.sessions]
        spans = [(start - before, start + length + after) for start, length in starts]
        found.append(_intervals(heart, curves, CHEST_STRAP, sorted(spans), generator(person, day, 24)))
    return tuple(samples.frozen() for samples in found if len(samples))


def _intervals(heart: HeartDay, curves: BeatCurves, device_id: str, spans: Spans, rng: np.random.Generator) -> Samples:
    """The intervals that begin and end in one of the spans. The spans ascend, and do not overlap."""
    ticks, lengths = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start, end in spans:
        beats = np.rint(_beats(heart, curves, start, end, rng) * _TICKS_A_SECOND).astype(np.int64)
        ticks.append(beats[1:])
        lengths.append(np.diff(beats))
    times_us = heart.start_us + np.concatenate(ticks) * _US_A_TICK
    values = np.concatenate(lengths) / RR_INTERVAL.scale
    none = np.full(len(times_us), NO_CONFIDENCE, np.int8)
    return Samples(device_id, times_us, values, none, RR_INTERVAL.name)


def _beats(heart: HeartDay, curves: BeatCurves, start: float, end: float, rng: np.random.Generator) -> Floats:
    """The seconds of the day at which the heart beats in the span."""
    at = np.arange(start, end, _STEP_S)
    into = at - at[0]
    bpm = np.interp(at, heart.grid, heart.curve)
    breath_hz, rmssd, sdnn = (
        np.interp(at, curves.seconds, column) for column in (curves.respiration / 60, curves.rmssd, curves.sdnn)
    )
    interval_s = 60 / bpm
    of_breath, of_pressure = _sizes(interval_s, breath_hz, rmssd / 1_000, sdnn / 1_000)
    for size, hertz in ((of_breath, breath_hz), (of_pressure, np.full_like(at, _PRESSURE_HZ))):
        wandering = 1 + _WANDERING * remembering_noise(rng, into, _WANDERING_NOISE) / np.sqrt(2 / 3)
        phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(hertz * wandering) * _STEP_S
        swelling = (1 + _WANDERING * remembering_noise(rng, into, _WANDERING_NOISE)) / np.sqrt(
            1 + _WANDERING**2 * 2 / 3
        )
        interval_s = interval_s + size * swelling * np.sin(phase)
    turns = np.cumsum(_STEP_S / np.maximum(interval_s, 0.26))
    whole = np.arange(1, int(turns[-1]) + 1)
    return np.interp(whole, turns, at + _STEP_S)


def _sizes(interval_s: Floats, breath_hz: Floats, rmssd_s: Floats, sdnn_s: Floats) -> tuple[Floats, Floats]:
    """The amplitudes of the two waves that give beats this RMSSD and SDNN, as far as they can.

    A wave of variance v and frequency f has successive differences of mean square 4 v sin²(π f T) at the interval T;
    the integral flattens it by sinc(f T).
    """
    breath, pressure = np.sin(np.pi * breath_hz * interval_s) ** 2, np.sin(np.pi * _PRESSURE_HZ * interval_s) ** 2
    part = (rmssd_s**2 / 4 - pressure * sdnn_s**2) / (breath - pressure)
    part = np.clip(part, _LEAST_OF_BREATH * sdnn_s**2, sdnn_s**2)
    of_breath = np.sqrt(2 * part) / np.sinc(breath_hz * interval_s)
    of_pressure = np.sqrt(2 * (sdnn_s**2 - part)) / np.sinc(_PRESSURE_HZ * interval_s)
    return of_breath, of_pressure
