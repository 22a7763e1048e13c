"""SDNN and RMSSD: by hand, against a library, and what has to hold of any beats."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsebase.model.hrv import (
    FIVE_MINUTES_US,
    LEAST_BEATS_FIVE_MINUTES,
    TOLERANCE_US,
    Beats,
    Variability,
    WindowSums,
    beat_verdicts,
    five_minutes_in,
    variability,
    window_sums,
)
from tests.support.tachograms import UNIT_US, tachogram

START_US = 1_705_312_800_000_000  # 2024-01-15T10:00:00Z, where a window of five minutes begins
ONE_WINDOW = (np.array([0]), np.array([2**62]))

INTERVALS = st.lists(st.integers(6000, 7000), min_size=2, max_size=60)


def beats_of(intervals_ms: list[float], start_us: int = START_US) -> Beats:
    """Beats without a gap."""
    intervals = np.round(np.array(intervals_ms) * 10).astype(np.int64)
    return Beats.in_order(start_us + np.cumsum(intervals) * UNIT_US, intervals)


def stored(intervals: list[int]) -> Beats:
    return beats_of([each / 10 for each in intervals])


def stated(beats: Beats, least_beats: int = 2) -> Variability:
    """What is stated of all of the beats as one window."""
    return variability(window_sums(beats, *ONE_WINDOW, since_us=0), least_beats)


def shown(found: Variability) -> list[tuple[Any, ...]]:
    return list(
        zip(found.rmssd.tolist(), found.sdnn.tolist(), found.beats.tolist(), found.left_out.tolist(), strict=True)
    )


def test_right_by_hand() -> None:
    # Differences 10, −20, 30: (100 + 400 + 900) / 3. Mean 805, deviations −5, 5, −15, 15: 500 / 3.
    assert shown(stated(beats_of([800, 810, 790, 820]))) == [
        (pytest.approx(math.sqrt(1400 / 3)), pytest.approx(math.sqrt(500 / 3)), 4, 0)
    ]


def test_an_interval_more_than_a_fifth_from_the_one_before_it_is_left_out() -> None:
    kept, follows = beat_verdicts(beats_of([1000, 1200, 1200.1, 960.1, 960, 1200]))
    # 200 of 1,000 are 20 %; 240 of 1,200.1 are less; 240 of 960 are 25 %.
    assert kept.tolist() == [True, True, True, True, True, False]
    assert follows.tolist() == [False, True, True, True, True, False]
    assert beat_verdicts(beats_of([1000, 1200.1]))[0].tolist() == [True, False]
    assert beat_verdicts(beats_of([1000, 799.9]))[0].tolist() == [True, False]


def test_the_one_before_is_compared_with_whether_it_was_left_out_or_not() -> None:
    # A beat that comes early, and the pause after it: the first normal interval is compared with the pause.
    kept, follows = beat_verdicts(beats_of([800, 500, 1100, 800, 805, 810]))
    assert kept.tolist() == [True, False, False, False, True, True]
    assert follows.tolist() == [False, False, False, False, False, True]
    assert shown(stated(beats_of([800, 500, 1100, 800, 805, 810]))) == [(5.0, 5.0, 3, 3)]


def test_nothing_is_compared_across_a_gap() -> None:
    first, second = beats_of([800, 810]), beats_of([1200, 1190], START_US + 10_000_000)
    both = Beats.joined([first, second])
    assert beat_verdicts(both)[1].tolist() == [False, True, False, True]
    (row,) = shown(stated(both))
    assert (row[0], row[2], row[3]) == (10.0, 4, 0)


@pytest.mark.parametrize(
    ("moved_us", "is_kept", "is_successive"),
    [
        (TOLERANCE_US, True, True),
        (TOLERANCE_US + 1, True, False),
        (-TOLERANCE_US, True, True),
        (-TOLERANCE_US - 1, False, False),
    ],
)
def test_a_beat_follows_if_its_interval_begins_where_the_other_ended(
    moved_us: int, is_kept: bool, is_successive: bool
) -> None:
    beats = beats_of([800, 810])
    beats.times_us[1] += moved_us
    kept, follows = beat_verdicts(beats)
    assert (kept.tolist(), follows.tolist()) == ([True, is_kept], [False, is_successive])


def test_a_beat_stored_twice_counts_once() -> None:
    beats = beats_of([800, 810, 790, 820])
    twice = Beats.in_order(np.append(beats.times_us, beats.times_us[1] + 5_000), np.append(beats.intervals, 8100))
    kept, follows = beat_verdicts(twice)
    assert kept.tolist() == [True, True, False, True, True]
    assert follows.tolist() == [False, True, False, False, True]  # 790 is told from the copy, which is not kept
    same = Beats.in_order(np.append(beats.times_us, beats.times_us), np.append(beats.intervals, beats.intervals))
    assert beat_verdicts(same)[0].tolist() == [True, False] * 4


def test_beats_of_two_devices_are_not_compared() -> None:
    beats = beats_of([800, 400, 410])
    devices = Beats.in_order(beats.times_us, beats.intervals, [0, 1, 1])
    assert [each.tolist() for each in beat_verdicts(devices)] == [[True, True, True], [False, False, True]]


def test_the_order_in_which_beats_come_does_not_matter() -> None:
    times, intervals = tachogram(3, 500, START_US, ectopic=0.02, missed=0.02)
    mixed = np.random.default_rng(4).permutation(len(times))
    in_order, again = (Beats.in_order(times[rows], intervals[rows]) for rows in (slice(None), mixed))
    assert shown(stated(in_order)) == shown(stated(again))


def test_too_few_beats_are_counted_and_nothing_is_stated() -> None:
    enough = LEAST_BEATS_FIVE_MINUTES
    found = [stated(beats_of([800, 810] * (count // 2)), enough) for count in (enough, enough - 2)]
    assert not np.isnan([found[0].rmssd[0], found[0].sdnn[0]]).any()
    assert np.isnan([found[1].rmssd[0], found[1].sdnn[0]]).all()
    assert found[1].beats.tolist() == [enough - 2]


def test_rmssd_takes_half_as_many_differences() -> None:
    pairs = [beats_of([800, 810], START_US + place * 10_000_000) for place in range(4)]
    lone = [beats_of([800], START_US + place * 10_000_000) for place in range(4, 7)]
    assert shown(stated(Beats.joined(pairs), 8))[0][0] == 10.0
    (row,) = shown(stated(Beats.joined([*pairs, *lone]), 10))  # eleven intervals, four differences
    assert math.isnan(row[0])
    assert row[1] > 0


def test_a_window_holds_the_differences_of_its_own_beats_alone() -> None:
    starts, ends = five_minutes_in(START_US, START_US + 2 * FIVE_MINUTES_US)
    # 1 s each: the 300th beat is at the start of the second window, and belongs to it.
    beats = beats_of([1000.0] * 299 + [1010.0] + [1020.0] * 200)
    sums = window_sums(beats, starts, ends, since_us=0)
    assert (sums.start_us - START_US).tolist() == [0, FIVE_MINUTES_US]
    assert sums.beats.tolist() == [299, 201]
    assert sums.differences.tolist() == [298, 200]
    assert sums.difference_squares.tolist() == [0, 100**2]


def test_beats_outside_of_windows_are_compared_with_and_not_counted() -> None:
    beats = beats_of([800, 800, 500, 800, 800])
    window = (beats.times_us[2:3], beats.times_us[3:4] + 1)
    sums = window_sums(beats, *window, since_us=0)
    assert (sums.beats.tolist(), sums.left_out.tolist(), sums.differences.tolist()) == ([0], [2], [0])
    later = window_sums(beats, *ONE_WINDOW, since_us=int(beats.times_us[2]))
    assert (later.beats.tolist(), later.left_out.tolist(), later.differences.tolist()) == ([1], [2], [0])


def test_no_beats_are_no_windows() -> None:
    none = Beats.in_order([], [])
    assert len(window_sums(none, *ONE_WINDOW, since_us=0)) == 0
    assert len(stated(none)) == 0
    assert len(WindowSums.empty().merged(WindowSums.empty())) == 0


@pytest.mark.parametrize("seed", range(5))
def test_pieces_of_time_add_up(seed: int) -> None:
    times, intervals = tachogram(seed, 3_000, START_US, ectopic=0.02, missed=0.02)
    beats = Beats.in_order(times, intervals)
    starts, ends = five_minutes_in(START_US, int(times[-1]) // FIVE_MINUTES_US * FIVE_MINUTES_US + FIVE_MINUTES_US)
    whole = window_sums(beats, starts, ends, since_us=0)
    cuts = [START_US, *np.sort(np.random.default_rng(seed).integers(START_US, times[-1], 6)).tolist(), 2**62]
    found = WindowSums.empty()
    for since_us, until_us in pairwise(cuts):
        read = (times >= since_us - 60_000_000) & (times < until_us)
        found = found.merged(window_sums(beats.take(read), starts, ends, since_us=since_us))
    for name in WindowSums.__match_args__:
        assert getattr(found, name).tolist() == getattr(whole, name).tolist()


# --- against NeuroKit2, whose SDNN and RMSSD have the same definitions ---


def neurokit(intervals_ms: npt.NDArray[np.float64], times_s: npt.NDArray[np.float64]) -> tuple[float, float]:
    """RMSSD and SDNN of NeuroKit2, which finds out by the times which intervals are successive, to 10 ms."""
    import neurokit2

    found = neurokit2.hrv_time({"RRI": intervals_ms, "RRI_Time": times_s})
    return float(found["HRV_RMSSD"].iloc[0]), float(found["HRV_SDNN"].iloc[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("missed", [0.0, 0.03])
def test_neurokit_finds_the_same_of_normal_beats(seed: int, missed: float) -> None:
    times, intervals = tachogram(seed, 400, START_US, missed=missed)
    rmssd, sdnn = neurokit(intervals / 10, (times - START_US) / 1e6)
    (row,) = shown(stated(Beats.in_order(times, intervals)))
    assert row == (pytest.approx(rmssd, rel=1e-6), pytest.approx(sdnn, rel=1e-6), len(times), 0)


@pytest.mark.parametrize("seed", range(6))
def test_neurokit_finds_the_same_of_what_is_kept(seed: int) -> None:
    """NeuroKit2 leaves no interval out by itself, so it is given those that the rule keeps. What is successive it finds
    out from times: where an ectopic beat was left out, there is a gap for it, as for us.
    """
    times, intervals = tachogram(seed, 800, START_US, ectopic=0.02, missed=0.02)
    beats = Beats.in_order(times, intervals)
    kept = np.array(_kept_one_by_one(times.tolist(), intervals.tolist()))
    assert 10 < np.count_nonzero(~kept) < 200
    rmssd, sdnn = neurokit(intervals[kept] / 10, (times[kept] - START_US) / 1e6)
    (row,) = shown(stated(beats))
    assert row[:2] == (pytest.approx(rmssd, rel=1e-6), pytest.approx(sdnn, rel=1e-6))
    assert row[2:] == (np.count_nonzero(kept), np.count_nonzero(~kept))


def _kept_one_by_one(times: list[int], intervals: list[int]) -> list[bool]:
    """The rule in plain Python, for beats of one device."""
    kept = [True]
    for place in range(1, len(times)):
        apart_us = times[place] - intervals[place] * UNIT_US - times[place - 1]
        differs = abs(intervals[place] / intervals[place - 1] - 1) > 0.2
        kept.append(apart_us > TOLERANCE_US or (apart_us >= -TOLERANCE_US and not differs))
    return kept


# --- whatever the beats ---


@given(st.integers(2500, 25_000), st.integers(2, 200))
def test_constant_intervals_do_not_vary(interval: int, count: int) -> None:
    assert shown(stated(stored([interval] * count))) == [(0.0, 0.0, count, 0)]


@given(INTERVALS, st.integers(2, 3))
def test_both_scale_with_the_intervals(intervals: list[int], factor: int) -> None:
    (once,), (more,) = shown(stated(stored(intervals))), shown(stated(stored([each * factor for each in intervals])))
    assert more[:2] == (pytest.approx(factor * once[0]), pytest.approx(factor * once[1]))
    assert more[2:] == once[2:]


@given(INTERVALS, st.integers(1, 10_000))
def test_neither_changes_if_all_intervals_are_longer(intervals: list[int], longer: int) -> None:
    assert shown(stated(stored(intervals))) == shown(stated(stored([each + longer for each in intervals])))


@given(INTERVALS, st.randoms(use_true_random=False))
def test_sdnn_is_the_same_in_any_order(intervals: list[int], random: Any) -> None:
    mixed = random.sample(intervals, len(intervals))
    assert shown(stated(stored(intervals)))[0][1] == shown(stated(stored(mixed)))[0][1]


@given(st.integers(1, 500), st.integers(2, 30))
def test_rmssd_is_not(apart: int, count: int) -> None:
    """Intervals of two lengths: taking turns, they differ each time; one after the other, once."""
    turns = shown(stated(stored([6000, 6000 + apart] * count)))[0]
    sorted_ = shown(stated(stored([6000] * count + [6000 + apart] * count)))[0]
    assert turns[0] == pytest.approx(apart / 10)
    assert sorted_[0] == pytest.approx(apart / 10 / math.sqrt(2 * count - 1))
    assert turns[1] == sorted_[1]


@given(INTERVALS)
def test_rmssd_is_the_same_backwards(intervals: list[int]) -> None:
    assert shown(stated(stored(intervals)))[0][0] == shown(stated(stored(intervals[::-1])))[0][0]


@given(st.lists(st.tuples(st.integers(0, 40_000_000), st.integers(2500, 25_000), st.integers(0, 1)), max_size=80))
def test_every_beat_is_kept_or_left_out(rows: list[tuple[int, int, int]]) -> None:
    beats = Beats.in_order(*[np.array([row[place] for row in rows], np.int64) for place in range(3)])
    sums = window_sums(beats, *ONE_WINDOW, since_us=0)
    assert sums.beats.sum() + sums.left_out.sum() == len(rows)
    assert (sums.differences <= np.maximum(sums.beats - 1, 0)).all()
