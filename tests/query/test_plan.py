"""From a question as typed to a plan."""

import re

import pytest

from pulsebase.model.errors import RejectedError
from pulsebase.model.metrics import HEART_RATE, OXYGEN_SATURATION
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import format_us
from pulsebase.query.plan import SeriesPlan, SeriesQuestion, metrics_named, plan_series


def stated(plan: SeriesPlan) -> tuple[str, str, str]:
    return plan.resolution.value, format_us(plan.range.start_us), format_us(plan.range.end_us)


def test_the_range_is_widened_to_whole_buckets() -> None:
    start, end = "2025-06-29T10:07:08.5Z", "2025-06-29T11:08:09.5Z"
    expected = {
        "raw": ("2025-06-29T10:07:08.5Z", "2025-06-29T11:08:09.5Z"),
        "1s": ("2025-06-29T10:07:08Z", "2025-06-29T11:08:10Z"),
        "1m": ("2025-06-29T10:07:00Z", "2025-06-29T11:09:00Z"),
        "15m": ("2025-06-29T10:00:00Z", "2025-06-29T11:15:00Z"),
        "1h": ("2025-06-29T10:00:00Z", "2025-06-29T12:00:00Z"),
        "1d": ("2025-06-29T00:00:00Z", "2025-06-30T00:00:00Z"),
    }
    for name, (first, last) in expected.items():
        assert stated(plan_series(SeriesQuestion(start, end, interval=Resolution(name)))) == (name, first, last)


def test_the_rung_follows_the_range_as_typed_and_not_as_read() -> None:
    assert stated(plan_series(SeriesQuestion("2025-06-29", "2025-07-06"))) == (
        "1h",
        "2025-06-29T00:00:00Z",
        "2025-07-07T00:00:00Z",
    )
    assert plan_series(SeriesQuestion("2025-06-29", "2025-07-07")).resolution is Resolution.DAY


def test_days_are_those_of_the_zone() -> None:
    plan = plan_series(SeriesQuestion("2025-03-29", "2025-03-31", "Europe/Berlin", Resolution.DAY))
    assert [format_us(at_us) for at_us in plan.day_starts] == [
        "2025-03-28T23:00:00Z",
        "2025-03-29T23:00:00Z",
        "2025-03-30T22:00:00Z",
        "2025-03-31T22:00:00Z",
    ]
    query = plan.query("ann", 10, 1.0)
    assert (query.day_starts, query.range, query.limit) == (plan.day_starts, plan.range, 10)


def test_a_rung_up_the_same_question_is_widened_anew() -> None:
    plan: SeriesPlan | None = plan_series(SeriesQuestion("2025-06-29T10:07:08Z", "2025-06-29T10:08:00Z"))
    rungs = []
    while plan is not None:
        rungs.append(stated(plan)[:2])
        plan = plan.coarser()
    assert rungs == [
        ("raw", "2025-06-29T10:07:08Z"),
        ("1s", "2025-06-29T10:07:08Z"),
        ("1m", "2025-06-29T10:07:00Z"),
        ("15m", "2025-06-29T10:00:00Z"),
        ("1h", "2025-06-29T10:00:00Z"),
        ("1d", "2025-06-29T00:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (SeriesQuestion("2025-06-29", "2025-06-30", "Nowhere"), "tz"),
        (SeriesQuestion("2025-06-30", "2025-06-29"), "end_date"),
        (SeriesQuestion("soon", "2025-06-29", start_field="start"), "start"),
        (SeriesQuestion("2025-06-29", "2025-06-30", interval=Resolution.RAW, max_points=1), "max_points"),
        (SeriesQuestion("2025-06-29", "2025-06-30", max_points=1), "max_points"),
    ],
)
def test_a_wrong_question_is_refused_by_field(question: SeriesQuestion, field: str) -> None:
    with pytest.raises(RejectedError) as caught:
        plan_series(question)
    assert [error.field for error in caught.value.errors] == [field]


def test_a_metric_is_of_readings_or_of_days() -> None:
    assert metrics_named(["activities_heart_summary"]) is None
    assert metrics_named(["activities_heart_intraday", "heart-rate", "heart_rate"]) == [HEART_RATE]
    assert metrics_named(["spo2", "heart_rate"]) == [OXYGEN_SATURATION, HEART_RATE]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["steps"], "is no metric; there are heart_rate, "),
        (["oxygen_saturaton"], "is no metric; do you mean oxygen_saturation?"),
        (["SpO2"], "is no metric; do you mean oxygen_saturation?"),
        (["activities_heart_summary", "heart_rate"], "cannot be asked for together with other metrics"),
    ],
)
def test_a_metric_that_is_none_is_refused_with_the_nearest(names: list[str], said: str) -> None:
    with pytest.raises(RejectedError, match=re.escape(said)) as caught:
        metrics_named(names)
    assert [error.field for error in caught.value.errors] == ["metric"]
