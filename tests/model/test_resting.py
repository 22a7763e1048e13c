"""A resting heart rate of our own: the lowest mean of 30 minutes in a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pulsebase.model.resting import (
    LEAST_COVERED_MINUTES,
    MINUTES_IN_A_ROW,
    RestingHeartRate,
    resting_heart_rate,
)
from pulsebase.model.timerange import MINUTE_US

START_US = 1_705_276_800_000_000


def found(means: Sequence[float | None]) -> RestingHeartRate | None:
    """The resting heart rate of a day with these minutes; None for those without a reading."""
    covered = [place for place, mean in enumerate(means) if mean is not None]
    times = START_US + np.array(covered, np.int64) * MINUTE_US
    return resting_heart_rate(times, np.array([means[place] for place in covered], np.float64))


def test_the_lowest_half_hour_counts() -> None:
    means = [70.0] * 300 + [50.0] * 29 + [80.0] + [55.0] * 30 + [70.0] * 300
    # From the 271st minute on: 29 · 50 + 70, 30 minutes together.
    assert found(means) == RestingHeartRate((29 * 50 + 70) / 30, START_US + 299 * MINUTE_US)


def test_of_equal_half_hours_the_first_counts() -> None:
    assert found([70.0] * 100 + [60.0] * 40 + [70.0] * 460) == RestingHeartRate(60.0, START_US + 100 * MINUTE_US)


@pytest.mark.parametrize(("minutes", "is_stated"), [(LEAST_COVERED_MINUTES, True), (LEAST_COVERED_MINUTES - 1, False)])
def test_a_day_with_too_few_minutes_has_none(minutes: int, is_stated: bool) -> None:
    assert (found([61.5] * minutes) is not None) == is_stated


def test_minutes_on_both_sides_of_a_gap_are_not_averaged_together() -> None:
    means = [70.0] * 300 + [40.0] * 15 + [None] + [40.0] * 15 + [70.0] * 300
    assert found(means) == RestingHeartRate((15 * 40 + 15 * 70) / 30, START_US + 285 * MINUTE_US)


def test_a_day_of_scattered_minutes_has_none() -> None:
    lone: list[float | None] = [60.0] * 29 + [None]
    assert found(lone * 40) is None


def test_no_readings_have_none() -> None:
    assert found([]) is None


@pytest.mark.parametrize("seed", range(10))
def test_as_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    means: list[float | None] = rng.integers(45, 90, 800).astype(np.float64).tolist()
    for place in rng.integers(0, 800, 12).tolist():
        means[place] = None
    half_hours = [means[first : first + MINUTES_IN_A_ROW] for first in range(len(means) - MINUTES_IN_A_ROW + 1)]
    sums = [sum(part) if None not in part else float("inf") for part in half_hours]  # type: ignore[arg-type]
    stated = found(means)
    assert stated is not None
    assert stated.bpm == pytest.approx(min(sums) / MINUTES_IN_A_ROW)
    assert stated.start_us == START_US + sums.index(min(sums)) * MINUTE_US
