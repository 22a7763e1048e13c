"""Nights from 22:00 to 07:00 by the clock on the wall."""

from zoneinfo import ZoneInfo

import pytest

from pulsebase.model.nights import nights_of_days
from pulsebase.model.timerange import HOUR_US, format_us, local_day_starts, parse_range


def nights(name: str, first: str, last: str) -> list[tuple[str, str, str, float]]:
    zone = ZoneInfo(name)
    asked = parse_range(first, last, zone, start_field="start", end_field="end").range
    return [
        (
            night.morning.isoformat(),
            format_us(night.range.start_us),
            format_us(night.range.end_us),
            night.range.length_us / HOUR_US,
        )
        for night in nights_of_days(local_day_starts(asked, zone), zone)
    ]


@pytest.mark.parametrize(
    ("zone", "day", "start", "end", "hours"),
    [
        ("Europe/Berlin", "2025-03-29", "2025-03-28T21:00:00Z", "2025-03-29T06:00:00Z", 9),
        ("Europe/Berlin", "2025-03-30", "2025-03-29T21:00:00Z", "2025-03-30T05:00:00Z", 8),
        ("America/New_York", "2025-11-02", "2025-11-02T02:00:00Z", "2025-11-02T12:00:00Z", 10),
        ("UTC", "2025-01-01", "2024-12-31T22:00:00Z", "2025-01-01T07:00:00Z", 9),
        ("UTC", "1970-01-01", "1970-01-01T00:00:00Z", "1970-01-01T07:00:00Z", 7),
    ],
)
def test_a_night_goes_by_the_date_of_its_morning(zone: str, day: str, start: str, end: str, hours: float) -> None:
    assert nights(zone, day, day) == [(day, start, end, hours)]


def test_after_a_day_that_was_skipped_the_night_begins_in_the_evening_of_the_last_day() -> None:
    assert nights("Pacific/Apia", "2011-12-29", "2011-12-31")[1:] == [
        ("2011-12-31", "2011-12-30T08:00:00Z", "2011-12-30T17:00:00Z", 9)
    ]


def test_no_days_have_no_nights() -> None:
    assert nights_of_days([], ZoneInfo("UTC")) == []
