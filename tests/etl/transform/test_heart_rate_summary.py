from datetime import date

import numpy as np
import pytest

from pulsebase.etl.transform.heart_rate import DevicePage
from pulsebase.etl.transform.heart_rate_summary import (
    RESTING_METHOD,
    DayPage,
    SummaryTransformer,
    lowest_half_hour,
    minute_means,
)
from pulsebase.model.timerange import MINUTE_US, SECOND_US, TimeRange


def page(readings: list[tuple[int, float, int]]) -> DevicePage:
    seconds, bpm, confidences = zip(*readings, strict=True)
    return DevicePage(
        "user", "fitbit", np.array(seconds) * SECOND_US, np.array(bpm, np.float64), np.array(confidences, np.int8)
    )


def test_minutes_leave_out_confidence_0_and_average_by_readings() -> None:
    minutes, means = minute_means(page([(0, 60, 3), (59, 61, -1), (60, 70, 0), (121, 80, 1), (122, 200, 0)]))
    assert minutes.tolist() == [0, 2]
    assert means.tolist() == [60.5, 80]


def test_the_resting_heart_rate_is_the_lowest_half_hour_asleep() -> None:
    minutes = np.arange(600)
    means = np.full(600, 70.0)
    means[100:130] = 40  # awake
    means[300:330] = 50
    asleep = [TimeRange(200 * MINUTE_US, 500 * MINUTE_US)]
    assert lowest_half_hour(minutes, means, asleep) == 50
    assert lowest_half_hour(minutes, means, [TimeRange(0, 29 * MINUTE_US)]) is None
    assert lowest_half_hour(minutes, means, []) is None


def test_a_window_with_little_data_says_nothing() -> None:
    minutes = np.array([10, 11, 12, *range(100, 160)])
    means = np.array([35.0, 35, 35, *[60.0] * 60])
    assert lowest_half_hour(minutes, means, [TimeRange(0, 200 * MINUTE_US)]) == 60


def test_a_day_without_a_counted_reading_has_no_summary() -> None:
    empty = DayPage(date(2025, 1, 1), page([(0, 70, 0)]), [], 190)
    assert SummaryTransformer().transform(empty) == []


@pytest.mark.parametrize(("asleep", "resting"), [(True, 55), (False, None)])
def test_a_summary_names_its_method_where_there_is_a_value(asleep: bool, resting: float | None) -> None:
    readings = page([(10 * n, 55, 3) for n in range(600)])
    day = DayPage(date(2025, 1, 1), readings, [TimeRange(0, 100 * MINUTE_US)] if asleep else [], 190)
    (summary,) = SummaryTransformer().transform(day)
    assert (summary.user_id, summary.day, summary.resting_heart_rate) == ("user", date(2025, 1, 1), resting)
    assert summary.resting_heart_rate_method == (RESTING_METHOD if asleep else None)
    assert [zone.minutes for zone in summary.zones] == [100, 0, 0, 0]
