"""Google's CSV files of a Takeout, whole, over a real ingestor and the memory store."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.extract.parts import FileOwner, everybody_in
from pulsebase.etl.extract.takeout_csv import csv_heart_rates
from pulsebase.ingest import lines
from pulsebase.ingest.blocks import Block
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US
from tests.etl.desk import ANN, Desk
from tests.support.clock_changes import each_clock_change
from tests.support.health_files import at, takeout_csv, takeout_heart_rate, takeout_resting, zipped

FOLDER = "Takeout/Fitbit/Physical Activity_GoogleData"
TEN = at("2024-10-27T10:00:00")


def utc(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def readings(count: int, step_s: int = 5, source: str = "Band") -> bytes:
    return takeout_csv((utc(TEN + step_s * n), f"{60 + n % 90}.0", source) for n in range(count))


def restings(days: int, clock: str = "00:00:00") -> bytes:
    return takeout_csv((f"2024-10-{1 + n:02}T{clock}Z", f"{50 + n}.25", "Band") for n in range(days))


def summaries(desk: Desk) -> list[DailySummary]:
    return list(desk.store.summaries("ann", date.min, date.max))


def test_a_day_is_stored_under_its_devices_as_it_is_written(desk: Desk) -> None:
    rows = [
        ("2026-09-12T04:00:00Z", "80", "Fitbit Charge 6"),
        ("2026-09-12T04:00:05Z", "100.0", "Fitbit Charge 6"),
        ("2026-09-12T04:00:10.096319Z", "120", "Fitbit Charge 6"),
        ("2026-09-12T04:00:15Z", "", "Fitbit Charge 6"),
        ("2026-09-12T04:00:00Z", "60", "Phone, Health Connect"),
        ("2026-09-12T04:00:20Z", "300", "Fitbit Charge 6"),
    ]
    (result,) = desk.bring(takeout_csv(rows), "heart_rate_2026-09-12.csv")
    assert (result.kind, result.read, result.written, result.rejected) == ("Takeout heart rate, CSV", 5, 4, 1)
    assert dict(result.passed_over) == {"lines without a value": 1}
    begin_us = at("2026-09-12T04:00:00") * SECOND_US
    stored = [(row["device_id"], row["time_us"] - begin_us, row["value"]) for row in desk.store.stored().to_pylist()]
    assert sorted(stored) == [
        ("Fitbit-Charge-6", 0, 8000),
        ("Fitbit-Charge-6", 5_000_000, 10000),
        ("Fitbit-Charge-6", 10_096_319, 12000),
        ("Phone-Health-Connect.92e22384bb1db076", 0, 6000),
    ]
    assert desk.refusals == [("line", 7, "heart_rate")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("breaks", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("piece_bytes", [16, 97, 1 << 20])
def test_it_does_not_matter_where_a_file_is_cut(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, piece_bytes: int, breaks: bytes, mark: bytes
) -> None:
    monkeypatch.setattr(lines, "_TEXT_BYTES", piece_bytes)
    data = takeout_csv(((utc(TEN + n), str(60 + n), "") for n in range(100)), sources=False)
    (result,) = desk.bring(mark + data.replace(b"\n", breaks), "heart_rate_2024-10-27.csv")
    assert (result.read, result.written, result.problem) == (100, 100, None)
    assert desk.rows == [("ann", "takeout", TEN + n, 60.0 + n, None) for n in range(100)]


def test_importing_again_stores_no_more(desk: Desk) -> None:
    results = [desk.bring(readings(50), "heart_rate_2024-10-27.csv")[0] for _ in range(2)]
    assert [(result.written, result.unchanged) for result in results] == [(50, 0), (0, 50)]
    assert len(desk.rows) == 50


def test_another_device_may_be_wanted(desk: Desk) -> None:
    desk.bring(readings(5), "heart_rate_2024-10-27.csv", FileOwner("ann", "mine", everybody_in(ZoneInfo("UTC"))))
    assert {device for _, device, *_ in desk.rows} == {"mine"}


@each_clock_change
def test_the_days_on_which_clocks_change_are_whole(desk: Desk, zone: str, day: date, hours: int) -> None:
    """A file a civil day, its times in UTC."""
    begin = int(datetime.combine(day, time(), ZoneInfo(zone)).timestamp())
    end = int(datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).timestamp())
    assert end - begin == hours * 3600
    times = range(begin, end, 600)
    data = takeout_csv((utc(at_s), "70", "Band") for at_s in times)
    (result,) = desk.bring(data, f"heart_rate_{day}.csv")
    assert (result.read, result.written) == (hours * 6, hours * 6)
    assert [at_s for _, _, at_s, *_ in desk.rows] == list(times)


def test_both_generations_of_a_takeout_are_read(desk: Desk) -> None:
    files = {
        "Takeout/Fitbit/Global Export Data/heart_rate-2024-10-27.json": takeout_heart_rate([(TEN - 9, 61, 2)]),
        "Takeout/Fitbit/Global Export Data/resting_heart_rate-2024-10-27.json": takeout_resting([("10/02/24", 54.5)]),
        f"{FOLDER}/heart_rate_2024-10-27.csv": readings(10),
        f"{FOLDER}/daily_resting_heart_rate.csv": restings(3),
    }
    results = desk.bring(zipped(files), "takeout.zip")
    assert [(result.kind, result.written, result.days) for result in results] == [
        ("Takeout heart rate", 1, 0),
        ("Takeout resting heart rate", 0, 1),
        ("Takeout heart rate, CSV", 10, 0),
        ("Takeout resting heart rate, CSV", 0, 3),
    ]
    assert {bpm for *_, bpm, _ in desk.rows} == {*(60.0 + n for n in range(10)), 61.0}
    assert summaries(desk) == [
        DailySummary("ann", date(2024, 10, 1), 50.25, "google"),
        DailySummary("ann", date(2024, 10, 2), 54.5, "fitbit"),
        DailySummary("ann", date(2024, 10, 2), 51.25, "google"),
        DailySummary("ann", date(2024, 10, 3), 52.25, "google"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "daily_resting_heart_rate.csv",
        f"{FOLDER}/resting_heart_rate_2024-10-01.csv",
        "Resting Heart Rate/2024.csv",
        "file",  # every time is a day from the next
        "heart_rate.csv",
    ],
)
def test_what_a_heart_does_at_rest_is_never_a_reading(desk: Desk, name: str) -> None:
    (result,) = desk.bring(restings(5), name)
    assert (result.kind, result.days, result.written) == ("Takeout resting heart rate, CSV", 5, 0)
    assert desk.rows == []
    assert [day.resting_heart_rate for day in summaries(desk)] == [50.25 + n for n in range(5)]


@pytest.mark.parametrize("name", ["heart_rate_2024-10-27.csv", "heart_rate_2024-10-27 (1).csv", "upload", "a/b.txt"])
def test_readings_are_told_by_name_or_by_their_times(desk: Desk, name: str) -> None:
    (result,) = desk.bring(readings(30), name)
    assert (result.kind, result.written) == ("Takeout heart rate, CSV", 30)


def test_a_day_of_few_readings_is_told_by_its_name(desk: Desk) -> None:
    for count in (1, 2):
        (result,) = desk.bring(readings(count, 80_000), "heart_rate_2024-10-27.csv")
        assert result.written + result.unchanged == count


@pytest.mark.parametrize("data", [restings(1), restings(2), readings(2, 3600), takeout_csv([])])
def test_what_may_be_either_is_refused_and_says_what_to_do(desk: Desk, data: bytes) -> None:
    (result,) = desk.bring(data, "upload")
    assert (result.kind, desk.rows, summaries(desk)) == (None, [], [])
    assert result.problem == (
        "holds heart rates or resting heart rates, and neither its name nor its times tell which; "
        "name it heart_rate_….csv or resting_heart_rate_….csv"
    )


def test_what_is_named_for_another_sign_is_not_taken_for_a_heart_rate(desk: Desk) -> None:
    (result,) = desk.bring(readings(30), "heart_rate_variability_2024-10-27.csv")
    assert (result.kind, desk.rows) == (None, [])


def test_a_time_within_a_day_is_of_the_day_that_the_person_had(desk: Desk) -> None:
    zones = {"Asia/Kathmandu": date(2024, 10, 2), "America/New_York": date(2024, 10, 1)}
    for zone, day in zones.items():
        owner = FileOwner("ann", None, everybody_in(ZoneInfo(zone)))
        data = takeout_csv([("2024-10-01T18:30:00Z", "55", "Band")])
        desk.bring(data, "daily_resting_heart_rate.csv", owner)
        assert day in [each.day for each in summaries(desk)]
    owner = FileOwner("bob", None, everybody_in(ZoneInfo("America/New_York")))
    desk.bring(restings(1), "daily_resting_heart_rate.csv", owner)  # midnight in UTC is the day itself
    assert [each.day for each in desk.store.summaries("bob", date.min, date.max)] == [date(2024, 10, 1)]


def test_days_that_cannot_be_are_refused_by_line(desk: Desk) -> None:
    rows = [("2024-10-01T00:00:00Z", bpm, "") for bpm in ("0", "nan", "5000", "none", "55")]
    rows += [("9999-12-31T23:59:59Z", "55", ""), ("2024-10-02T00:00:00Z", "", "")]
    owner = FileOwner("ann", None, everybody_in(ZoneInfo("Pacific/Kiritimati")))
    (result,) = desk.bring(takeout_csv(rows), "daily_resting_heart_rate.csv", owner)
    assert (result.read, result.days, result.rejected, result.problem) == (6, 1, 2, None)
    assert [each.resting_heart_rate for each in summaries(desk)] == [55]


def test_an_empty_day_is_an_empty_day(desk: Desk) -> None:
    for data, name in ((takeout_csv([]), "heart_rate_2024-10-27.csv"), (b"[]", "heart_rate-2024-10-27.json")):
        (result,) = desk.bring(data, name)
        assert (result.read, result.problem) == (0, None)
        assert result.kind is not None


def test_columns_that_are_not_read_are_named(desk: Desk) -> None:
    text = b"timestamp,beats per minute,quality\n" + b"2024-10-27T10:00:00Z,70,3\n" * 2
    (result,) = desk.bring(text, "heart_rate_2024-10-27.csv")
    assert (result.read, dict(result.passed_over)) == (2, {"column 'quality'": 2})


def test_a_file_cut_short_in_its_archive_gives_its_good_part(desk: Desk) -> None:
    data = zipped({f"{FOLDER}/heart_rate_2024-10-27.csv": readings(2000)})
    first, *_ = desk.bring(data[: len(data) // 2], "takeout.zip")
    assert first.problem == "the archive is cut short inside this file"
    assert 0 < first.written < 2000
    assert len(desk.rows) == first.written


def test_a_large_file_takes_no_memory() -> None:
    line = b"2024-10-27T10:00:00Z,70.0,Fitbit Charge 6\n"
    stream = Repeated(b"timestamp,beats per minute,data source\n", line * 1000, 2_000)
    tracemalloc.start()
    count = sum(part.total for part in csv_heart_rates(stream, ANN) if isinstance(part, Block))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 2_000_000
    assert peak < 48 << 20


class Repeated:
    """A file of a head, and of a text so many times."""

    def __init__(self, head: bytes, text: bytes, times: int) -> None:
        self._left, self._text, self._times = head, text, times

    def read(self, size: int, /) -> bytes:
        while len(self._left) < size and self._times:
            self._left += self._text
            self._times -= 1
        taken, self._left = self._left[:size], self._left[size:]
        return taken
