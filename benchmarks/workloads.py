"""The readings that are sent: the same seed makes the same readings, whole columns at a time.

Live load is in the order of time, all devices taking turns, with the faults that real devices show. History is in the
order of devices, as an import brings it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.generic]

DEVICES = ("device_a", "device_b")
#: Stored history ends here and live load starts here: 2025-03-03T00:00:00Z, a Monday.
NOW_S = 1_740_960_000
DAY_S = 86_400
WEEK_S = 7 * DAY_S

TWO_DEVICES_SHARE = 0.3
FAULT_SHARE = 0.01  # of each: confidence 0, bad, duplicate, late
LOW_BPM, HIGH_BPM = 30, 220
NO_CONFIDENCE = -1
_DUPLICATE_REACH = 5_000
_BLOCK_READINGS = 500_000

#: (standard deviation in bpm, seconds between knots) of the wandering of a heart, and of its jitter.
_WANDER = ((1.5, 20), (2.2, 120), (6.0, 900))
_JITTER_BPM = 0.5


@dataclass(frozen=True, slots=True)
class Readings:
    """Columns of equal length. `people` and `devices` are numbers; see `user_id` and `DEVICES`."""

    people: npt.NDArray[np.int16]
    devices: npt.NDArray[np.int8]
    times_s: Ints
    bpm: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.times_s)

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_] | Ints) -> Readings:
        return Readings(
            self.people[rows], self.devices[rows], self.times_s[rows], self.bpm[rows], self.confidences[rows]
        )

    @property
    def bad(self) -> npt.NDArray[np.bool_]:
        """What a server has to refuse."""
        return (self.bpm < LOW_BPM) | (self.bpm > HIGH_BPM)

    def identities(self) -> Ints:
        """One number a (person, device, time)."""
        return (self.times_s * len(DEVICES) + self.devices) * 65_536 + self.people


def joined(parts: list[Readings]) -> Readings:
    return Readings(
        np.concatenate([part.people for part in parts]),
        np.concatenate([part.devices for part in parts]),
        np.concatenate([part.times_s for part in parts]),
        np.concatenate([part.bpm for part in parts]),
        np.concatenate([part.confidences for part in parts]),
    )


def user_id(person: int) -> str:
    return f"u{person:05d}"


def streams(people: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int8]]:
    """(person, device) of every device: all wear one, the first 30 % a second one that overlaps it."""
    second = round(people * TWO_DEVICES_SHARE)
    wearers = np.concatenate([np.arange(people), np.arange(second)]).astype(np.int16)
    devices = np.concatenate([np.full(people, 1), np.zeros(second)]).astype(np.int8)
    return wearers, devices


def live(seed: int, people: int, readings: int, *, late_share: float = FAULT_SHARE) -> Iterator[Readings]:
    """One reading a second of every device from `NOW_S` on, in the order of time, in blocks."""
    wearers, devices = streams(people)
    block_s = max(1, _BLOCK_READINGS // len(wearers))
    sent, block = 0, 0
    while sent < readings:
        rng = np.random.default_rng([seed, 1, block])
        bpm = _beats(rng, block_s, len(wearers))
        times_s = np.repeat(NOW_S + block * block_s + np.arange(block_s), len(wearers))
        clean = readings_of(np.tile(wearers, block_s), np.tile(devices, block_s), times_s, bpm.ravel())
        part = _with_faults(rng, clean, late_share)[: readings - sent]
        yield part
        sent, block = sent + len(part), block + 1


def imported(seed: int, people: int, readings: int, body_readings: int) -> Iterator[Readings]:
    """The live load put into the order of an import: in each body device after device, each in the order it came."""
    for body in rechunked(live(seed, people, readings), body_readings):
        yield body[np.lexsort((body.devices, body.people))]


def rechunked(parts: Iterator[Readings], size: int) -> Iterator[Readings]:
    """The same readings in pieces of `size`; the last may be smaller."""
    held: list[Readings] = []
    count = 0
    for part in parts:
        held, count = [*held, part], count + len(part)
        if count < size:
            continue
        whole = joined(held)
        cut = count - count % size
        yield from (whole[start : start + size] for start in range(0, cut, size))
        held, count = [whole[cut:]], count - cut
    if count:
        yield joined(held)


def readings_of(wearers: Array, devices: Array, times_s: Ints, bpm: Array) -> Readings:
    none = np.full(len(times_s), NO_CONFIDENCE, np.int8)
    return Readings(wearers.astype(np.int16), devices.astype(np.int8), times_s, bpm.astype(np.int16), none)


def _with_faults(rng: np.random.Generator, clean: Readings, late_share: float) -> Readings:
    count = len(clean)
    bpm, confidences, times_s = clean.bpm.copy(), clean.confidences.copy(), clean.times_s.copy()
    drawn = rng.random(count)
    placeholder = drawn < FAULT_SHARE
    bpm[placeholder], confidences[placeholder] = 70, 0
    bad = (drawn >= FAULT_SHARE) & (drawn < 2 * FAULT_SHARE)
    bpm[bad] = np.where(rng.random(int(bad.sum())) < 0.5, 0, 255)
    late = rng.random(count) < late_share
    times_s[late] -= rng.integers(1, WEEK_S, int(late.sum()))
    faulty = Readings(clean.people, clean.devices, times_s, bpm, confidences)
    rows = np.arange(count)
    again = np.flatnonzero(rng.random(count) < FAULT_SHARE)
    rows[again] = np.maximum(0, again - rng.integers(1, _DUPLICATE_REACH, len(again)))
    return faulty[rows]


def _beats(rng: np.random.Generator, seconds: int, people: int) -> npt.NDArray[np.int16]:
    """(second, device) → bpm: wandering that remembers, as a heart's does, so that it compresses as a heart's does."""
    at = np.arange(seconds)
    bpm = np.broadcast_to(rng.normal(70, 8, people).astype(np.float32), (seconds, people)).copy()
    for deviation, spacing in _WANDER:
        knots = rng.normal(0, deviation, (seconds // spacing + 2, people)).astype(np.float32)
        knot, part = at // spacing, (at % spacing / spacing).astype(np.float32)[:, None]
        bpm += knots[knot] * (1 - part) + knots[knot + 1] * part
    bpm += rng.standard_normal((seconds, people), np.float32) * _JITTER_BPM
    return np.asarray(np.clip(np.rint(bpm), LOW_BPM + 1, HIGH_BPM - 1), np.int16)


def beats_at(rng: np.random.Generator, times_s: Ints) -> npt.NDArray[np.int16]:
    """One device's bpm at its times."""
    bpm = np.full(len(times_s), rng.normal(70, 8))
    for deviation, spacing in _WANDER:
        # Knots only where there are readings: most of a year holds one a day.
        spans = times_s // spacing
        number = np.concatenate([[0], np.cumsum(np.diff(spans) != 0)])
        knots = rng.normal(0, deviation, int(number[-1]) + 2)
        part = times_s % spacing / spacing
        bpm += knots[number] * (1 - part) + knots[number + 1] * part
    bpm += rng.normal(0, _JITTER_BPM, len(times_s))
    return np.asarray(np.clip(np.rint(bpm), LOW_BPM + 1, HIGH_BPM - 1), np.int16)
