"""What is stored before questions are asked, and the questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.workloads import DAY_S, NOW_S, WEEK_S, Ints, Readings, beats_at, joined, readings_of, streams

_MEAN_STEP_S = 8
_WRISTBAND_STEPS_S = (1, 15)
_YEAR_DAYS = 365
#: Devices made at a time: a bound on memory.
_STREAMS_AT_ONCE = 20


def year(seed: int, people: int, readings: int) -> Iterator[Readings]:
    """A year of everybody, ending at `NOW_S`, device after device: a reading a day, over the last week one an hour,
    and all the rest at steps of 1–15 s up to the end.

    So more readings mean a longer dense part, and every question finds as many points whatever the size.
    """
    per_stream = readings // len(streams(people)[0])
    dense_s = dense_seconds(people, readings)
    days = NOW_S - np.arange(_YEAR_DAYS, 0, -1) * DAY_S + 60
    hours = NOW_S - np.arange(WEEK_S // 3600, 0, -1) * 3600 + 120
    sparse = np.union1d(days, hours)
    sparse = sparse[sparse < NOW_S - dense_s]

    def times(rng: np.random.Generator) -> Ints:
        low, high = _WRISTBAND_STEPS_S
        steps = rng.integers(low, high + 1, max(1, per_stream - len(sparse)))
        dense = NOW_S - 1 - np.cumsum(steps)[::-1]
        return np.asarray(np.concatenate([sparse[sparse < dense[0]], dense]), np.int64)

    return _each_stream(seed, people, times)


def dense_seconds(people: int, readings: int) -> int:
    """How far back from `NOW_S` the dense part of everybody's year reaches, nearly."""
    per_stream = readings // len(streams(people)[0])
    return max(4 * 3600, (per_stream - _YEAR_DAYS - WEEK_S // 3600) * _MEAN_STEP_S)


def at_steps(seed: int, people: int, readings: int, low_s: int, high_s: int) -> Iterator[Readings]:
    """Every device's readings at steps of `low_s` to `high_s` up to `NOW_S`, device after device."""
    per_stream = max(1, readings // len(streams(people)[0]))

    def times(rng: np.random.Generator) -> Ints:
        return np.asarray(NOW_S - np.cumsum(rng.integers(low_s, high_s + 1, per_stream))[::-1], np.int64)

    return _each_stream(seed, people, times)


def _each_stream(seed: int, people: int, times: Callable[[np.random.Generator], Ints]) -> Iterator[Readings]:
    wearers, devices = streams(people)
    order = np.lexsort((devices, wearers))
    held: list[Readings] = []
    for stream in order:
        rng = np.random.default_rng([seed, 2, int(stream)])
        times_s = times(rng)
        same = np.ones(len(times_s))
        held.append(readings_of(same * wearers[stream], same * devices[stream], times_s, beats_at(rng, times_s)))
        if len(held) == _STREAMS_AT_ONCE:
            yield joined(held)
            held = []
    if held:
        yield joined(held)


@dataclass(frozen=True, slots=True)
class Question:
    """One person's series over [start_s, end_s) at steps of `step_s` (0: raw)."""

    kind: str
    person: int
    start_s: int
    end_s: int
    step_s: int


#: name → (length, step) in seconds; `day` is what a chart asks with max_points=1000: 15-minute steps.
KINDS = {
    "two_hours_1m": (7_200, 60),
    "week_1h": (WEEK_S, 3_600),
    "year_1d": (_YEAR_DAYS * DAY_S, DAY_S),
    "minute_raw": (60, 0),
    "day_1000_points": (DAY_S, 900),
}


def mix(seed: int, people: int, readings: int, count: int) -> list[Question]:
    """Questions in equal shares and in no order, each of a random person; the short ones anywhere in the dense part."""
    rng = np.random.default_rng([seed, 3])
    dense_s = dense_seconds(people, readings)
    kinds = rng.permutation(np.resize(np.array(list(KINDS)), count))
    questions = []
    for kind in kinds.tolist():
        length_s, step_s = KINDS[kind]
        back_s = int(rng.integers(0, max(60, dense_s - length_s))) if length_s <= DAY_S else 0
        end_s = NOW_S - back_s // 60 * 60
        questions.append(Question(kind, int(rng.integers(people)), end_s - length_s, end_s, step_s))
    return questions
