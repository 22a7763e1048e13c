"""Time as people type it, and the days of every zone."""

import functools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import (
    DAY_US,
    HOUR_US,
    LAST_END_US,
    MAX_US,
    MINUTE_US,
    TimeRange,
    format_us,
    from_us,
    local_day_starts,
    parse_range,
    parse_reading_time,
    to_us,
    zone_named,
)

LOCAL = ZoneInfo("Europe/Berlin")
bounded = functools.partial(settings, deadline=None, derandomize=True)
INSTANTS = st.integers(0, LAST_END_US - 1)
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime", "posixrules", "Factory"}))


def asked(start: str, end: str, zone: str = "UTC") -> tuple[str, str]:
    found = parse_range(start, end, ZoneInfo(zone), start_field="start", end_field="end").range
    return format_us(found.start_us), format_us(found.end_us)


@bounded(max_examples=300)
@given(INSTANTS)
def test_what_is_written_is_read_back(at_us: int) -> None:
    assert parse_reading_time(format_us(at_us)) == at_us
    assert to_us(from_us(at_us)) == at_us


@bounded(max_examples=300)
@given(INSTANTS, st.integers(-14 * 4, 14 * 4), st.booleans(), st.booleans())
def test_any_offset_names_the_same_instant(at_us: int, quarters: int, colon: bool, lost_plus: bool) -> None:
    offset = timedelta(minutes=15 * quarters)
    wall = (from_us(at_us) + offset).replace(tzinfo=None)
    minutes = abs(quarters) * 15
    sign = "-" if quarters < 0 else "+"
    text = f"{wall.isoformat()}{sign}{minutes // 60:02}{':' if colon else ''}{minutes % 60:02}"
    assert parse_reading_time(text) == at_us
    typed = text.replace("+", " ") if lost_plus else text
    found = parse_range(typed, "9999-12-31", LOCAL, start_field="start", end_field="end")
    assert found.range.start_us == at_us


def test_a_bare_end_date_means_through_the_end_of_that_day() -> None:
    assert asked("2025-06-29", "2025-07-06") == ("2025-06-29T00:00:00Z", "2025-07-07T00:00:00Z")
    assert asked("2025-06-29", "2025-07-06T00:00") == ("2025-06-29T00:00:00Z", "2025-07-06T00:00:00Z")
    assert asked("2025-03-30", "2025-03-30", "Europe/Berlin") == ("2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z")


def test_the_length_as_typed_is_that_of_the_clock_on_the_wall() -> None:
    found = parse_range("2025-03-25", "2025-04-01", LOCAL, start_field="start", end_field="end")
    assert (found.typed_us, found.range.length_us) == (7 * DAY_US, 8 * DAY_US - HOUR_US)
    found = parse_range("2025-03-25T00:00:00+01:00", "2025-04-01T00:00", LOCAL, start_field="start", end_field="end")
    assert found.typed_us == 7 * DAY_US - HOUR_US
    found = parse_range("2025-03-30", "2025-03-30", LOCAL, start_field="start", end_field="end")
    assert found.typed_us == 23 * HOUR_US


def test_an_hour_that_is_skipped_is_shifted_and_of_one_that_comes_twice_the_first_is_meant() -> None:
    assert asked("2025-03-30T02:30", "2025-03-31", "Europe/Berlin")[0] == "2025-03-30T01:30:00Z"
    assert asked("2025-10-26T02:30", "2025-10-27", "Europe/Berlin")[0] == "2025-10-26T00:30:00Z"


@pytest.mark.parametrize(
    ("zone", "start", "end", "at", "typed_us"),
    [
        ("Europe/Berlin", "2025-03-30T02:00", "2025-03-30T03:00", "2025-03-30T01:00:00Z", HOUR_US),
        ("Europe/Berlin", "2025-03-30T02:30", "2025-03-30T03:00", "2025-03-30T01:30:00Z", HOUR_US // 2),
        ("Australia/Lord_Howe", "2024-10-06T02:00", "2024-10-06T02:30", "2024-10-05T15:30:00Z", HOUR_US // 2),
        ("Pacific/Apia", "2011-12-30", "2011-12-30", "2011-12-30T10:00:00Z", DAY_US),
        ("Pacific/Apia", "2011-12-30T06:00", "2011-12-30", "2011-12-30T16:00:00Z", 18 * HOUR_US),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00", "2018-11-04T03:00:00Z", HOUR_US),
    ],
)
def test_a_range_that_clocks_make_empty_is_an_empty_one(
    zone: str, start: str, end: str, at: str, typed_us: int
) -> None:
    assert asked(start, end, zone) == (at, at)
    found = parse_range(start, end, ZoneInfo(zone), start_field="start", end_field="end")
    assert found.typed_us == typed_us
    assert all(found.range.widened(step_us) == found.range for step_us in (0, MINUTE_US, HOUR_US, DAY_US))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2025-03-30T02:30", "2025-03-30T02:30"),
        ("2025-03-30T01:00Z", "2025-03-30T03:00"),
        ("2025-03-31", "2025-03-30"),
        ("2025-10-26T02:30", "2025-10-26T02:10"),
    ],
)
def test_a_range_that_is_none_on_the_clocks_face_is_refused_all_the_same(start: str, end: str) -> None:
    with pytest.raises(RejectedError):
        asked(start, end, "Europe/Berlin")


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        ("2025-06-29", "2025-06-28", "end"),
        ("2025-06-29T10:00", "2025-06-29T10:00", "end"),
        ("1969-12-31", "2025-06-28", "start"),
        ("1970-01-01T00:00:00+00:01", "2025-06-28", "start"),
        ("2200-01-01", "9999-12-31", "start"),
        ("2025-06-31", "2025-07-28", "start"),
        ("2025-06-29", "soon", "end"),
    ],
)
def test_a_wrong_range_is_refused_by_field(start: str, end: str, field: str) -> None:
    with pytest.raises(RejectedError) as caught:
        asked(start, end)
    assert [error.field for error in caught.value.errors] == [field]


@bounded(max_examples=300)
@given(st.text(max_size=30).filter(lambda text: not text.strip()[:4].isdecimal()))
def test_any_other_text_is_no_time(text: str) -> None:
    with pytest.raises(RejectedError):
        asked(text, text)
    with pytest.raises(ValueError, match="time"):
        parse_reading_time(text)


@pytest.mark.parametrize(
    "name", ["", "utc", "localtime", "Factory", "posixrules", "../UTC", "Europe", "UTC\x00", "/UTC"]
)
def test_only_the_names_of_zones_are_zones(name: str) -> None:
    with pytest.raises(RejectedError):
        zone_named(name)


@bounded(max_examples=200)
@given(INSTANTS, st.integers(1, 10 * DAY_US), st.sampled_from([1_000_000, MINUTE_US, 15 * MINUTE_US, HOUR_US]))
def test_widening_gives_the_smallest_range_of_whole_steps(start_us: int, length_us: int, step_us: int) -> None:
    narrow = TimeRange(start_us, start_us + length_us)
    wide = narrow.widened(step_us)
    assert wide.start_us % step_us == wide.end_us % step_us == 0
    assert 0 <= narrow.start_us - wide.start_us < step_us
    assert 0 <= wide.end_us - narrow.end_us < step_us
    assert narrow.widened(0) == narrow


@bounded(max_examples=300)
@given(st.integers(0, MAX_US - DAY_US), st.integers(1, 40 * DAY_US))
def test_days_of_utc_are_found_without_asking_a_calendar(start_us: int, length_us: int) -> None:
    found = TimeRange(start_us, min(start_us + length_us, MAX_US))
    assert local_day_starts(found, ZoneInfo("UTC")) == local_day_starts(found, ZoneInfo("Etc/UTC"))


def days(zone: str, first: str, last: str) -> list[str]:
    found = parse_range(first, last, ZoneInfo(zone), start_field="start", end_field="end").range
    return [format_us(start_us) for start_us in local_day_starts(found, ZoneInfo(zone))]


def test_samoa_had_no_thirtieth_of_december_2011() -> None:
    assert days("Pacific/Apia", "2011-12-29", "2012-01-01") == [
        "2011-12-29T10:00:00Z",
        "2011-12-30T10:00:00Z",
        "2011-12-31T10:00:00Z",
        "2012-01-01T10:00:00Z",
    ]


def test_days_of_23_24_and_25_hours() -> None:
    for first, hours in (("2025-03-30", 23), ("2025-06-01", 24), ("2025-10-26", 25)):
        start, end = days("Europe/Berlin", first, first)
        assert parse_reading_time(end) - parse_reading_time(start) == hours * HOUR_US


def test_days_of_zones_off_the_hour() -> None:
    assert days("Asia/Kolkata", "2025-06-29", "2025-06-29") == ["2025-06-28T18:30:00Z", "2025-06-29T18:30:00Z"]
    assert days("Asia/Kathmandu", "2025-06-29", "2025-06-29") == ["2025-06-28T18:15:00Z", "2025-06-29T18:15:00Z"]
    assert days("Pacific/Kiritimati", "1975-06-29", "1975-06-29") == ["1975-06-29T10:40:00Z", "1975-06-30T10:40:00Z"]
    assert days("Australia/Lord_Howe", "2025-10-05", "2025-10-05") == ["2025-10-04T13:30:00Z", "2025-10-05T13:00:00Z"]


def test_a_midnight_that_is_skipped_starts_its_day_when_the_clock_goes_on() -> None:
    start, end = days("America/Sao_Paulo", "2018-11-04", "2018-11-04")
    assert (start, end) == ("2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z")


@bounded(max_examples=300)
@given(ZONES, st.integers(0, LAST_END_US - 10 * DAY_US), st.integers(1, 9 * DAY_US))
def test_days_cover_what_was_asked_and_each_is_one_date(zone: str, start_us: int, length_us: int) -> None:
    found = TimeRange(start_us, start_us + length_us)
    starts = local_day_starts(found, ZoneInfo(zone))
    assert starts == sorted(set(starts))
    assert starts[0] <= found.start_us < found.end_us <= starts[-1]
    assert starts[-2] < found.end_us
    dates = [from_us(at_us).astimezone(ZoneInfo(zone)).date() for at_us in starts]
    assert dates == sorted(set(dates))
    for day, at_us in zip(dates, starts, strict=True):
        assert at_us == min(to_us(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))), at_us)
        assert at_us <= to_us(datetime(day.year, day.month, day.day, 12, tzinfo=UTC)) + 15 * HOUR_US
