"""The rule that picks a rung."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.resolution import LADDER, Resolution, coarser, resolution_for_length, resolution_for_points
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange, local_day_starts

RAW, SECOND, MINUTE, QUARTER, HOUR, DAY = Resolution


@pytest.mark.parametrize(
    ("length_us", "rung"),
    [
        (1, RAW),
        (2 * MINUTE_US - 1, RAW),
        (2 * MINUTE_US, MINUTE),
        (2 * HOUR_US, MINUTE),
        (2 * HOUR_US + 1, HOUR),
        (DAY_US, HOUR),
        (7 * DAY_US, HOUR),
        (7 * DAY_US + 1, DAY),
        (80_000 * DAY_US, DAY),
    ],
)
def test_the_length_picks_the_rung(length_us: int, rung: Resolution) -> None:
    assert resolution_for_length(length_us) is rung


def test_each_rung_stands_for_a_table() -> None:
    assert [rung.table_of(HEART_RATE).removeprefix("activities_heart_intraday") for rung in LADDER] == [
        "",
        "",
        "_1m",
        "_15m",
        "_1h",
        "_1d",
    ]


def test_the_ladder_goes_up_one_rung_at_a_time() -> None:
    assert [coarser(rung) for rung in LADDER] == [*LADDER[1:], None]


def _points(rung: Resolution, asked: TimeRange, zone: ZoneInfo) -> int:
    if rung is DAY:
        return len(local_day_starts(asked, zone)) - 1
    step_us = rung.step_us or SECOND_US
    return len(range(asked.start_us // step_us, -(-asked.end_us // step_us)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(0, 20_000 * DAY_US),
    st.integers(1, 400 * DAY_US),
    st.integers(1, 100_000),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
)
def test_max_points_picks_the_finest_rung_that_fits(start_us: int, length_us: int, most: int, name: str) -> None:
    zone = ZoneInfo(name)
    asked = TimeRange(start_us, start_us + length_us)
    fitting = [rung for rung in LADDER if _points(rung, asked, zone) <= most]
    assert resolution_for_points(asked, most, zone) is (fitting[0] if fitting else None)
