"""The other vital signs of a Takeout, as Google writes them now and Fitbit did before, over a real ingestor."""

from __future__ import annotations

import io
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.extract.parts import FileOwner, everybody_in
from pulsebase.etl.results import FileResult
from pulsebase.ingest import lines
from tests.etl.desk import Desk
from tests.support.health_files import at, takeout_csv, zipped

FOLDER = "Takeout/Fitbit/"
BERLIN = FileOwner("ann", None, everybody_in(ZoneInfo("Europe/Berlin")))

OXYGEN = b"""timestamp,oxygen saturation percentage,data source
2026-09-12T02:00:00Z,96.5,Fitbit Charge 6
2026-09-12T02:01:00.5Z,97,Fitbit Charge 6
2026-09-12T02:02:00Z,,Fitbit Charge 6
2026-09-12T02:03:00Z,0.97,Fitbit Charge 6
"""
_SQUARES = b"root mean square of successive differences milliseconds"
VARIABILITY = (
    b"timestamp,"
    + _SQUARES
    + b""",standard deviation milliseconds,data source
2026-09-12T02:00:00Z,41.873,52.1,Fitbit Charge 6
2026-09-12T02:05:00Z,38.2,50.3,Fitbit Charge 6
"""
)
BREATHING = (
    b"timestamp,breaths per minute,data source\n2026-09-11T00:00:00Z,14.2,Ring\n2026-09-12T00:00:00Z,14.8,Ring\n"
)
MINUTE_OXYGEN = b"timestamp,value\n2024-01-15T02:00:00Z,95.1\n2024-01-15T02:01:00Z,50.0\n2024-01-15T02:02:00Z,93.0\n"
DETAILS = b"""timestamp,rmssd,coverage,low_frequency,high_frequency
2024-01-15T03:00:00,38.2,0.93,512.1,301.2
2024-01-15T03:05:00,41.0,0.6,500.0,280.0
"""
SUMMARY = b"timestamp,daily_respiratory_rate\n2024-01-15T00:00:00,15.6\n"
TEMPERATURE = b"""type,sleep_start,sleep_end,temperature_samples,nightly_temperature,baseline_relative_sample_sum
SKIN,2024-01-14T22:50,2024-01-15T06:33:30,463,34.22155,-68.9
"""


def bring(desk: Desk, data: bytes, name: str, owner: FileOwner = BERLIN) -> FileResult:
    (result,) = desk.bring(data, name, owner)
    return result


def seconds(desk: Desk, day: str) -> list[tuple[str, str, float, float]]:
    """(metric, device, seconds of the day, value)"""
    begin = at(f"{day}T00:00:00")
    return [(metric, device, at_us / 1e6 - begin, value) for metric, _, device, at_us, value in desk.readings]


def test_oxygen_saturation_of_google_is_read(desk: Desk) -> None:
    result = bring(desk, OXYGEN, FOLDER + "Physical Activity_GoogleData/oxygen_saturation_2026-09-01.csv")
    assert (result.kind, result.read, result.written, result.rejected) == ("Takeout oxygen saturation, CSV", 3, 2, 1)
    assert result.passed_over == {"lines without a value": 1}
    assert seconds(desk, "2026-09-12") == [
        ("oxygen_saturation", "Fitbit-Charge-6", 7_200.0, 96.5),
        ("oxygen_saturation", "Fitbit-Charge-6", 7_260.5, 97.0),
    ]
    reason = "out of range 50–100; send percent, 97 rather than 0.97"
    assert desk.reasons == [(5, "oxygen_saturation", reason)]


def test_heart_rate_variability_of_google_is_read(desk: Desk) -> None:
    """What its standard deviation is of, Google does not say: it is left, and counted."""
    result = bring(desk, VARIABILITY, "heart_rate_variability_2026-09-01.csv")
    assert (result.kind, result.written) == ("Takeout heart rate variability, CSV", 2)
    assert result.passed_over == {"column 'standard deviation milliseconds'": 2}
    assert [(metric, at_s, value) for metric, _, at_s, value in seconds(desk, "2026-09-12")] == [
        ("hrv_rmssd", 7_200.0, 41.87),
        ("hrv_rmssd", 7_500.0, 38.2),
    ]


def test_a_value_of_a_night_is_at_its_end_where_the_person_lives(desk: Desk) -> None:
    result = bring(desk, BREATHING, "Health Fitness Data_GoogleData/daily_respiratory_rate.csv")
    assert (result.kind, result.written) == ("Takeout respiratory rate of nights, CSV", 2)
    assert seconds(desk, "2026-09-12") == [  # at 7:00, two hours ahead of UTC
        ("respiratory_rate", "Ring", 5 * 3_600 - 86_400.0, 14.2),
        ("respiratory_rate", "Ring", 5 * 3_600.0, 14.8),
    ]


def test_a_respiratory_rate_with_its_time_is_at_that_time(desk: Desk) -> None:
    data = BREATHING.replace(b"T00:00:00Z", b"T03:10:00Z")
    assert bring(desk, data, "respiratory_rate_2026-09-11.csv").kind == "Takeout respiratory rate, CSV"
    assert [at_s for _, _, at_s, _ in seconds(desk, "2026-09-12")] == [11_400 - 86_400.0, 11_400.0]
    desk.bring(data, "daily_respiratory_rate_2026-09-11.csv", BERLIN)
    assert [at_s for _, _, at_s, _ in seconds(desk, "2026-09-12")][1::2] == [5 * 3_600 - 86_400.0, 5 * 3_600.0]


def test_oxygen_saturation_by_minute_of_fitbit_is_read(desk: Desk) -> None:
    """Fifty stands for a minute without a value."""
    result = bring(desk, MINUTE_OXYGEN, FOLDER + "Oxygen Saturation (SpO2)/Minute SpO2 - 2024-01-15.csv")
    assert (result.kind, result.written) == ("Takeout oxygen saturation by minute, CSV", 2)
    assert result.passed_over == {"values of 50, which stand for none": 1}
    assert [(device, at_s, value) for _, device, at_s, value in seconds(desk, "2024-01-15")] == [
        ("takeout", 7_200.0, 95.1),
        ("takeout", 7_320.0, 93.0),
    ]
    unnamed = desk.bring(MINUTE_OXYGEN, "x.csv", BERLIN)
    assert [(each.kind, each.read) for each in unnamed] == [(None, 0)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "America/New_York"])
def test_local_times_of_fitbit_are_on_the_persons_clock(desk: Desk, zone: str) -> None:
    owner = FileOwner("ann", "band", everybody_in(ZoneInfo(zone)))
    east_s = {"Europe/Berlin": 3_600, "Asia/Kathmandu": 20_700, "America/New_York": -18_000}[zone]
    files = {
        "Heart Rate Variability/Heart Rate Variability Details - 2024-01-15.csv": DETAILS,
        "Heart Rate Variability/Daily Respiratory Rate Summary - 2024-01-15.csv": SUMMARY,
        "Temperature/Computed Temperature - 2024-01-15.csv": TEMPERATURE,
    }
    results = desk.bring(zipped(files), owner=owner)
    assert [(each.kind, each.written, each.rejected) for each in results] == [
        ("Takeout heart rate variability, details, CSV", 2, 0),
        ("Takeout respiratory rate of nights, summary, CSV", 1, 0),
        ("Takeout skin temperature of nights, CSV", 1, 0),
    ]
    assert seconds(desk, "2024-01-15") == [
        ("hrv_rmssd", "band", 10_800.0 - east_s, 38.2),
        ("hrv_rmssd", "band", 11_100.0 - east_s, 41.0),
        ("respiratory_rate", "band", 7 * 3_600.0 - east_s, 15.6),
        ("skin_temperature", "band", 6 * 3_600.0 + 2_010 - east_s, 34.22),
    ]


def test_a_local_time_that_states_its_offset_is_read_as_it_says(desk: Desk) -> None:
    mixed = b"timestamp,rmssd,coverage\n2024-01-15T03:00:00,38,0.9\n2024-01-15T03:00:00Z,39,0.9\n"
    bring(desk, mixed + b"2024-01-15T03:00:00+05:00,40,0.9\nsoon,41,0.9\n2024-01-15T03:05:00,,0.9\n", "x.csv")
    assert [(at_s, value) for _, _, at_s, value in seconds(desk, "2024-01-15")] == [
        (-7_200.0, 40.0),
        (7_200.0, 38.0),
        (10_800.0, 39.0),
    ]
    assert [(place, field) for place, field, _ in desk.reasons] == [(5, "timestamp")]


def test_local_times_that_come_twice_are_told_apart_by_their_order(desk: Desk) -> None:
    night = [f"2024-10-27T{hour}:{minute:02}:00" for hour in ("01", "02", "02", "03") for minute in range(0, 60, 5)]
    data = "timestamp,rmssd,coverage\n" + "".join(f"{time},{30 + n % 20},0.9\n" for n, time in enumerate(night))
    result = bring(desk, data.encode(), "Heart Rate Variability Details - 2024-10-27.csv")
    assert (result.written, result.remark) == (48, None)
    times = [at_s for _, _, at_s, _ in seconds(desk, "2024-10-27")]
    assert times == [-3_600.0 + 300 * n for n in range(48)]


def test_what_is_no_number_and_broken_lines_are_refused_alone(desk: Desk) -> None:
    bring(
        desk, OXYGEN + b"2026-09-12T02:04:00Z,high,Ring\n2026-09-12T02:05:00Z\n2026-09-12T02:06:00Z,98,Ring\n", "o.csv"
    )
    assert [(place, field) for place, field, _ in desk.reasons] == [
        (5, "oxygen_saturation"),
        (6, "oxygen_saturation"),
        (7, "line"),
    ]
    assert [value for *_, value in desk.readings] == [96.5, 97.0, 98.0]


def test_a_night_of_a_day_that_no_calendar_has_is_refused(desk: Desk) -> None:
    data = b"timestamp,breaths per minute\n9999-12-31T23:00:00Z,14\n2026-09-12T00:00:00Z,14.8\n"
    west = FileOwner("ann", None, everybody_in(ZoneInfo("America/New_York")))
    result = bring(desk, data, "daily_respiratory_rate.csv", west)
    assert (result.read, result.written, result.rejected) == (2, 1, 1)


@pytest.mark.parametrize("breaks", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("piece_bytes", [16, 97, 1 << 20])
def test_it_does_not_matter_where_a_file_is_cut(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, piece_bytes: int, breaks: bytes
) -> None:
    monkeypatch.setattr(lines, "_TEXT_BYTES", piece_bytes)
    head, *_ = DETAILS.split(b"\n")
    data = head + b"\n" + b"".join(b"2024-01-15T03:%02d:00,%d,0.9,1,2\n" % (n, 30 + n) for n in range(60))
    result = bring(desk, data.replace(b"\n", breaks), "Heart Rate Variability Details - 2024-01-15.csv")
    assert (result.read, result.written, result.rejected) == (60, 60, 0)
    assert [(at_s, value) for _, _, at_s, value in seconds(desk, "2024-01-15")] == [
        (7_200.0 + 60 * n, 30.0 + n) for n in range(60)
    ]


def test_other_files_of_a_takeout_are_named_as_not_read(desk: Desk) -> None:
    files = {
        "daily_heart_rate_variability.csv": b"timestamp,average heart rate variability milliseconds,entropy\n",
        "Daily SpO2 - 2024-01-01.csv": b"timestamp,average_value,lower_bound,upper_bound\n",
        "Daily Heart Rate Variability Summary - 2024-01-(15).csv": b"timestamp,rmssd,nremhr,entropy\n",
        "steps_2024-01-01.csv": b"timestamp,steps\n",
        "heart_rate_2024-01-15.csv": takeout_csv([("2024-01-15T10:00:00Z", "70", "Band")]),
    }
    importer = desk.importer(BERLIN)
    (result,) = importer.upload("takeout.zip", io.BytesIO(zipped(files)))
    assert (result.kind, result.written) == ("Takeout heart rate, CSV", 1)
    assert [file.name.rpartition("/")[2] for file in importer.unread.named] == list(files)[:3]
    assert importer.unread.other_count == 1


def test_one_takeout_brings_several_metrics_and_one_undo_takes_them_back(desk: Desk) -> None:
    files = {
        "heart_rate_2026-09-12.csv": takeout_csv([("2026-09-12T02:00:00Z", "70", "Band")]),
        "oxygen_saturation_2026-09-01.csv": OXYGEN,
        "heart_rate_variability_2026-09-01.csv": VARIABILITY,
        "daily_respiratory_rate.csv": BREATHING,
    }
    results = desk.bring(zipped(files), owner=BERLIN)
    assert {each.metrics[0].metric: each.metrics[0].written for each in results} == {
        "heart_rate": 1,
        "oxygen_saturation": 2,
        "hrv_rmssd": 2,
        "respiratory_rate": 2,
    }
    (origin,) = desk.store.origins()
    assert desk.store.origin_readings([origin.number]) == {origin.number: 7}
    assert desk.store.delete_origin(origin.number, 100) == 7
    assert desk.readings == []
