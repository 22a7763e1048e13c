import numpy as np

from pulsebase.model.timerange import MINUTE_US, SECOND_US, TimeRange
from pulsebase.sources.simulators.vendor_day import lowest_half_hour, minute_means
from pulsebase.sources.synthetic import Samples


def samples(readings: list[tuple[int, float, int]]) -> Samples:
    seconds, bpm, confidences = zip(*readings, strict=True)
    return Samples("fitbit", np.array(seconds) * SECOND_US, np.array(bpm, np.float64), np.array(confidences, np.int8))


def test_minutes_leave_out_confidence_0_and_average_by_readings() -> None:
    minutes, means = minute_means(samples([(0, 60, 3), (59, 61, -1), (60, 70, 0), (121, 80, 1), (122, 200, 0)]))
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
