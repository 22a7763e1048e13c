"""Every vital sign of an Apple Health export, and the beats in it."""

from __future__ import annotations

import random

import pytest

from pulsebase.etl.extract import apple_health
from pulsebase.etl.results import MetricCount
from tests.etl.desk import Desk
from tests.support.health_files import apple_export, apple_record, apple_resting, apple_value, at

START = "2024-01-15 03:00:00 +0200"
START_US = at("2024-01-15T01:00:00") * 1_000_000
WATCH = "Ann-s-Apple-Watch"
SDNN = "HeartRateVariabilitySDNN"


def sdnn(
    *beats: tuple[str, str], start: str = START, end: str = "2024-01-15 03:01:05 +0200", value: str = "41.5"
) -> str:
    return apple_value(SDNN, start, value, "ms", end=end, beats=beats)


def test_each_vital_sign_is_stored_as_its_metric(desk: Desk) -> None:
    result = desk.bring_one(
        apple_export(
            [
                apple_record(START, "62"),
                apple_value("OxygenSaturation", START, "0.97", "%"),
                apple_value("RespiratoryRate", START, "14.5", "count/min"),
                apple_value(SDNN, START, "41.8733", "ms"),
                apple_value("BodyTemperature", START, "36.8", "degC"),
                apple_value("AppleSleepingWristTemperature", START, "34.9123", "degC"),
                apple_resting(START, "54"),
            ]
        )
    )
    assert desk.readings == [
        (metric, "ann", WATCH, START_US, value)
        for metric, value in (
            ("body_temperature", 36.8),
            ("heart_rate", 62.0),
            ("hrv_sdnn", 41.87),
            ("oxygen_saturation", 97.0),
            ("respiratory_rate", 14.5),
            ("skin_temperature", 34.91),
        )
    ]
    assert (result.read, result.written, result.rejected, result.days) == (7, 6, 0, 1)
    assert {each.metric for each in result.metrics} == {metric for metric, *_ in desk.readings}
    assert result.passed_over == {"HKQuantityTypeIdentifierStepCount": 7}


def test_a_fraction_becomes_the_percentage_to_the_last_digit(desk: Desk) -> None:
    """Multiplied as they are, some doubles would miss it: 0.57 becomes 56.99…"""
    written = [f"0.{n}" for n in range(50, 100)] + ["0.975", "0.9999", "1", "1.0", "0.5"]
    minutes = [f"2024-01-15 03:{n:02}:00 +0200" for n in range(len(written))]
    result = desk.bring_one(
        apple_export([apple_value("OxygenSaturation", *each, "%") for each in zip(minutes, written, strict=True)])
    )
    assert result.rejected == 0
    assert [value for *_, value in desk.readings] == [*map(float, range(50, 100)), 97.5, 99.99, 100.0, 100.0, 50.0]


def test_other_units_and_values_are_refused_by_name(desk: Desk) -> None:
    desk.bring_one(
        apple_export(
            [
                apple_value("OxygenSaturation", START, "97", "%"),
                apple_value("OxygenSaturation", START, "0.3", "%"),
                apple_value("OxygenSaturation", START, "0.97", "count"),
                apple_value("BodyTemperature", START, "98.2", "degF"),
                apple_value("BodyTemperature", START, "98.2", "degC"),
                apple_value("RespiratoryRate", START, "deep", "count/min"),
                apple_value(SDNN, "yesterday", "40", "ms"),
            ]
        )
    )
    assert sorted(desk.reasons, key=lambda each: each[0] or 0) == [
        (1, "value", "is more than 1; oxygen saturation is a fraction in an Apple Health export"),
        (2, "oxygen_saturation", "out of range 50–100; send percent, 97 rather than 0.97"),
        (3, "unit", "is not %"),
        (4, "unit", "is not degC"),
        (5, "body_temperature", "out of range 30–45; send degrees Celsius, 36.8 rather than 98.2"),
        (6, "value", "is not a number"),
        (7, "startDate", "is not a time such as 2018-05-01 10:00:00 +0200"),
    ]
    assert desk.readings == []


@pytest.mark.parametrize(
    "times",
    [
        ("3:00:01.25 AM", "3:00:02.2 AM"),
        ("03:00:01.25", "03:00:02.20"),
        ("03:00:01,25", "03:00:02,2"),
        ("3:00:01.25\N{NARROW NO-BREAK SPACE}am", "3:00:02.20 a.m."),
    ],
    ids=["12 hours", "24 hours", "comma", "blanks"],
)
def test_beats_are_intervals_that_end_with_them(desk: Desk, times: tuple[str, str]) -> None:
    result = desk.bring_one(apple_export([sdnn(("63", times[0]), ("64.5", times[1]))]))
    assert desk.readings == [
        ("hrv_sdnn", "ann", WATCH, START_US, 41.5),
        ("rr_interval", "ann", WATCH, START_US + 1_250_000, 952.4),
        ("rr_interval", "ann", WATCH, START_US + 2_200_000, 930.2),
    ]
    assert result.metrics == [MetricCount("hrv_sdnn", 1, 1), MetricCount("rr_interval", 2, 2)]
    assert "InstantaneousBeatsPerMinute" not in result.passed_over


@pytest.mark.parametrize(
    ("start", "end", "times", "began"),
    [
        ("2024-01-15 23:59:30 +0100", "2024-01-16 00:00:35 +0100", ("23:59:31", "0:00:30"), "2024-01-15T22:59:30"),
        (
            "2024-01-15 12:00:00 -0330",
            "2024-01-15 12:01:00 -0330",
            ("12:00:01 PM", "12:01:00 PM"),
            "2024-01-15T15:30:00",
        ),
        (
            "2024-01-15 00:00:00 +0545",
            "2024-01-15 00:01:00 +0545",
            ("12:00:01 AM", "12:01:00 AM"),
            "2024-01-14T18:15:00",
        ),
        ("2024-01-15 00:00:00 +0000", "2024-01-15 00:01:00 +0000", ("23:59:59", "0:00:58"), "2024-01-14T23:59:58"),
    ],
    ids=["over midnight", "noon", "midnight", "before its record"],
)
def test_beats_are_of_the_day_of_their_record(
    desk: Desk, start: str, end: str, times: tuple[str, str], began: str
) -> None:
    desk.bring_one(apple_export([sdnn(*(("60", time) for time in times), start=start, end=end)]))
    first, last = (time_us for metric, _, _, time_us, _ in desk.readings if metric == "rr_interval")
    assert (first, last - first) == (at(began) * 1_000_000 + 1_000_000, 59_000_000)


def test_beats_that_make_no_sense_are_refused_alone(desk: Desk) -> None:
    """And named by the record that they are in."""
    beats = [("60", "3:00:01 AM"), ("", "3:00:02 AM"), ("0", "3:00:03 AM"), ("60", "3 o'clock"), ("60", "13:00:04 PM")]
    beats += [
        ("60", "25:00:00"),
        ("60", "9:00:00 AM"),
        ("300", "3:00:05 AM"),
        ("20", "3:00:06 AM"),
        ("61", "3:00:07 AM"),
    ]
    result = desk.bring_one(apple_export([apple_record(START, "62"), sdnn(*beats)]))
    assert {place for place, *_ in desk.reasons} == {2}
    assert [field for _, field, _ in desk.reasons] == ["bpm", "bpm", "time", "time", "time", "time"] + [
        "rr_interval"
    ] * 2
    assert [round(value, 1) for metric, *_, value in desk.readings if metric == "rr_interval"] == [1000.0, 983.6]
    assert (result.read, result.written, result.rejected) == (12, 4, 8)


def test_beats_out_of_order_and_doubled_are_each_kept_once(desk: Desk) -> None:
    times = [f"3:00:{second:02}.{second} AM" for second in range(10, 50)]
    beats = [(str(60 + n), time) for n, time in enumerate(times)]
    shuffled = beats + beats[:7]
    random.Random(5).shuffle(shuffled)
    result = desk.bring_one(apple_export([sdnn(*shuffled)]))
    assert (result.written, result.repeated) == (41, 7)
    again = desk.bring_one(apple_export([sdnn(*beats)]))
    assert (again.written, again.unchanged) == (0, 41)


@pytest.mark.parametrize("piece_bytes", [7, 100, 1_000])
def test_it_does_not_matter_where_a_record_is_cut(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(apple_health, "_PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(apple_health, "_DOCTYPE_BYTES", 1_000)
    monkeypatch.setattr(apple_health, "_BLOCK_RECORDS", 3)
    night = [
        sdnn(
            *((str(55 + n), f"3:{minute:02}:{n:02}.5 AM") for n in range(5)),
            start=f"2024-01-15 03:{minute:02}:00 +0200",
            end=f"2024-01-15 03:{minute:02}:10 +0200",
        )
        for minute in range(0, 50, 10)
    ]
    spo2 = [apple_value("OxygenSaturation", f"2024-01-15 04:{n:02}:00 +0200", "0.96", "%") for n in range(5)]
    result = desk.bring_one(apple_export([each for both in zip(night, spo2, strict=True) for each in both]))
    assert (result.read, result.written, result.rejected) == (35, 35, 0)
    assert len({time_us for metric, _, _, time_us, _ in desk.readings if metric == "rr_interval"}) == 25
