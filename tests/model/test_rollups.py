"""The bucket algebra against plain Python."""

from collections import defaultdict
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.model.rollups import (
    Buckets,
    DeviceRanks,
    averages,
    buckets_of_readings,
    days_of,
    floors,
    merged,
    winning_rows,
)
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pulsebase.model.users import default_priority

STEPS = st.sampled_from([SECOND_US, MINUTE_US, 15 * MINUTE_US, HOUR_US, DAY_US])
#: Times that crowd around the edges of minutes, hours and days.
TIMES = st.builds(
    lambda step_us, place, off_us: max(0, step_us * place + off_us),
    STEPS,
    st.integers(0, 50),
    st.integers(-2, 2) | st.integers(0, 3 * MINUTE_US),
)
READINGS = st.lists(st.tuples(TIMES, st.integers(3000, 22000)), max_size=60).map(sorted)

#: start_us → (count, sum, min, max, minutes)
Figures = dict[int, tuple[int, int, int, int, int]]


def columns(readings: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([at for at, _ in readings], np.int64), np.array([value for _, value in readings], np.int16)


def figures(buckets: Buckets) -> Figures:
    names = ("count", "sum", "min", "max", "minutes")
    rows = zip(*(getattr(buckets, name).tolist() for name in names), strict=True)
    assert buckets.start_us.tolist() == sorted(set(buckets.start_us.tolist()))
    return dict(zip(buckets.start_us.tolist(), rows, strict=True))


def by_hand(readings: list[tuple[int, int]], step_us: int) -> Figures:
    groups: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for at, value in readings:
        groups[at - at % step_us].append((at, value))
    return {
        start: (
            len(group),
            sum(value for _, value in group),
            min(value for _, value in group),
            max(value for _, value in group),
            len({at // MINUTE_US for at, _ in group}),
        )
        for start, group in groups.items()
    }


@settings(max_examples=200, deadline=None, derandomize=True)
@given(READINGS, STEPS)
def test_buckets_are_what_a_loop_finds(readings: list[tuple[int, int]], step_us: int) -> None:
    times_us, values = columns(readings)
    assert figures(buckets_of_readings(times_us, values, floors(times_us, step_us))) == by_hand(readings, step_us)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(READINGS, st.sampled_from([(MINUTE_US, 15 * MINUTE_US), (MINUTE_US, DAY_US), (HOUR_US, DAY_US)]))
def test_merged_buckets_are_those_of_the_readings(readings: list[tuple[int, int]], steps: tuple[int, int]) -> None:
    fine_us, coarse_us = steps
    times_us, values = columns(readings)
    fine = buckets_of_readings(times_us, values, floors(times_us, fine_us))
    assert figures(merged(fine, floors(fine.start_us, coarse_us))) == by_hand(readings, coarse_us)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(READINGS, st.integers(0, 60))
def test_parts_put_together_are_the_whole(readings: list[tuple[int, int]], cut: int) -> None:
    times_us, values = columns(readings)
    whole = buckets_of_readings(times_us, values, floors(times_us, HOUR_US))
    early = whole.start_us < cut * HOUR_US
    assert figures(Buckets.concatenated([whole.take(~early), whole.take(early)])) == figures(whole)
    assert len(Buckets.concatenated([])) == 0


def test_a_time_lies_in_the_day_that_began_last() -> None:
    starts = np.array([0, 23 * HOUR_US, 48 * HOUR_US], np.int64)
    times = np.array([0, 23 * HOUR_US - 1, 23 * HOUR_US, 48 * HOUR_US - 1], np.int64)
    assert days_of(times, starts).tolist() == [0, 0, 23 * HOUR_US, 23 * HOUR_US]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 10**9), st.integers(3000, 22000), st.integers(0, 10**6))
def test_an_average_is_the_double_nearest_to_the_exact_quotient(count: int, value: int, more: int) -> None:
    total = count * value + more
    (average,) = averages(np.array([total], np.int64), np.array([count], np.int64)).tolist()
    assert average == float(Fraction(total, 100 * count))


DEVICES = ["device_a", "device_b", "Zeta", "alpha", "_under"]
HISTORY = st.dictionaries(
    st.integers(0, len(DEVICES) - 1),
    st.dictionaries(
        st.integers(0, 6).map(lambda minute: minute * MINUTE_US + minute % 2), st.none() | st.integers(1, 3), max_size=3
    ).map(lambda entries: sorted(entries.items())),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 6 * MINUTE_US - 1), st.integers(0, len(DEVICES) - 1), st.booleans()), max_size=40
    ).map(sorted),
    HISTORY,
)
def test_the_winner_of_a_minute_is_whom_a_loop_finds(
    rows: list[tuple[int, int, bool]], history: dict[int, list[tuple[int, int | None]]]
) -> None:
    def rank(device: int, minute: int) -> tuple[int, bytes]:
        own = [priority for since, priority in history.get(device, []) if since <= minute * MINUTE_US]
        believed = own[-1] if own and own[-1] is not None else default_priority(DEVICES[device])
        return believed, DEVICES[device].encode()

    best: dict[int, tuple[int, bytes]] = {}
    for at, device, counted in rows:
        if counted:
            minute = at // MINUTE_US
            best[minute] = min(rank(device, minute), best.get(minute, rank(device, minute)))
    expected = [counted and rank(device, at // MINUTE_US) == best[at // MINUTE_US] for at, device, counted in rows]

    times_us = np.array([at for at, _, _ in rows], np.int64)
    devices = np.array([device for _, device, _ in rows], np.int32)
    counted_rows = np.array([counted for _, _, counted in rows], np.bool_)
    ranks = DeviceRanks(range(len(DEVICES)), DEVICES.__getitem__).at(times_us, devices, history)
    assert winning_rows(times_us // MINUTE_US, ranks, counted_rows).tolist() == expected
