"""SQLite databases of apps on phones, over a real ingestor: Health Connect's export and Gadgetbridge's."""

from __future__ import annotations

import itertools
from datetime import date
from io import BytesIO
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.extract import sqlite_files
from pulsebase.etl.extract.parts import FileOwner, everybody_in
from pulsebase.etl.results import FileResult
from pulsebase.ingest.blocks import MalformedError
from pulsebase.model.timerange import SECOND_US
from tests.etl.desk import ANN, Desk
from tests.support.app_databases import GADGETBRIDGE, HEALTH_CONNECT, sqlite_file
from tests.support.health_files import at, zipped

BERLIN = FileOwner("ann", None, everybody_in(ZoneInfo("Europe/Berlin")))
START = at("2024-01-15T10:00:00")
FITBIT, FIT = "com.fitbit.FitbitMobile", "com.google.android.apps.fitness"
APPS = [{"row_id": 1, "package_name": FITBIT}, {"row_id": 7, "package_name": FIT}]


def health_connect() -> bytes:
    def instant(second: float, **value: float | None) -> dict[str, object]:
        return {"app_info_id": 1, "time": int((START + second) * 1000), "zone_offset": 3600, **value}

    def resting(time: str, zone_offset: int | None, bpm: int) -> dict[str, object]:
        return {"app_info_id": 1, "time": at(time) * 1000, "zone_offset": zone_offset, "beats_per_minute": bpm}

    return sqlite_file(
        HEALTH_CONNECT,
        {
            "application_info_table": APPS,
            "heart_rate_record_table": [{"row_id": 11, "app_info_id": 1}, {"row_id": 12, "app_info_id": 7}],
            "heart_rate_record_series_table": [
                {"parent_key": 11, "beats_per_minute": 62, "epoch_millis": START * 1000 + 250},
                {"parent_key": 11, "beats_per_minute": 63, "epoch_millis": (START + 5) * 1000},
                {"parent_key": 12, "beats_per_minute": 80, "epoch_millis": (START + 5) * 1000},
                {"parent_key": 99, "beats_per_minute": 64, "epoch_millis": (START + 6) * 1000},
                {"parent_key": 11, "beats_per_minute": 250, "epoch_millis": (START + 7) * 1000},
            ],
            "oxygen_saturation_record_table": [instant(1, percentage=96.5), instant(2, percentage=None)],
            "respiratory_rate_record_table": [instant(1, rate=14.2)],
            "heart_rate_variability_rmssd_record_table": [instant(1, heart_rate_variability_millis=41.25)],
            "body_temperature_record_table": [instant(1, temperature=36.7)],
            "skin_temperature_record_table": [{"row_id": 3, "app_info_id": 1, "baseline": 33.0}],
            "skin_temperature_delta_table": [{"parent_key": 3, "delta": -0.25, "epoch_millis": START * 1000}],
            "resting_heart_rate_record_table": [
                resting("2024-10-26T21:30:00", None, 54),
                resting("2024-10-27T22:30:00", 3600, 52),
                resting("2024-10-27T23:30:00", None, 53),
            ],
            "steps_record_table": [{"app_info_id": 1, "count": 12}, {"app_info_id": 1, "count": 8}],
            "sleep_session_record_table": [{"app_info_id": 1}],
        },
    )


def seconds(desk: Desk) -> list[tuple[str, str, float, float]]:
    """(metric, device, seconds since the start, value)"""
    return sorted(
        (metric, device, at_us / SECOND_US - START, value) for metric, _, device, at_us, value in desk.readings
    )


def restings(desk: Desk) -> dict[date, tuple[float | None, str | None]]:
    days = desk.store.summaries("ann", date(2024, 1, 1), date(2024, 12, 31))
    return {day.day: (day.resting_heart_rate, day.resting_heart_rate_method) for day in days}


def bring(desk: Desk, data: bytes, owner: FileOwner = BERLIN) -> FileResult:
    return desk.bring_one(data, owner)


def test_health_connect_is_read_with_the_apps_that_wrote_it(desk: Desk) -> None:
    result = bring(desk, health_connect())
    assert (result.kind, result.read, result.written, result.rejected) == ("Health Connect export", 13, 9, 1)
    assert seconds(desk) == [
        ("body_temperature", FITBIT, 1.0, 36.7),
        ("heart_rate", FITBIT, 0.25, 62.0),
        ("heart_rate", FITBIT, 5.0, 63.0),
        ("heart_rate", FIT, 5.0, 80.0),
        ("heart_rate", "health-connect", 6.0, 64.0),
        ("hrv_rmssd", FITBIT, 1.0, 41.25),
        ("oxygen_saturation", FITBIT, 1.0, 96.5),
        ("respiratory_rate", FITBIT, 1.0, 14.2),
        ("skin_temperature_delta", FITBIT, 0.0, -0.25),
    ]
    assert desk.reasons == [(5, "heart_rate", "out of range 30–220")]
    assert result.passed_over == {"rows without a value": 1, "sleep_session_record": 1, "steps_record": 2}


def test_resting_heart_rates_of_health_connect_are_of_the_day_that_the_person_had(desk: Desk) -> None:
    """The day of 25 hours ends at 23:00 UTC. A record without an offset is of the person's own zone."""
    assert bring(desk, health_connect()).days == 3
    assert restings(desk) == {
        date(2024, 10, 26): (54.0, "health_connect"),
        date(2024, 10, 27): (52.0, "health_connect"),
        date(2024, 10, 28): (53.0, "health_connect"),
    }


def test_a_database_imported_twice_stores_nothing_twice(desk: Desk) -> None:
    bring(desk, zipped({"health_connect_export.db": health_connect()}))
    again = bring(desk, health_connect())
    assert (again.written, again.unchanged) == (0, 9)


def test_a_database_may_go_under_one_device(desk: Desk) -> None:
    bring(desk, health_connect(), FileOwner("ann", "phone", BERLIN.zone_of))
    assert {device for _, device, *_ in desk.rows} == {"phone"}


def test_apps_without_a_package_are_known_by_their_names(desk: Desk) -> None:
    schema = """
        CREATE TABLE application_info_table (row_id INTEGER PRIMARY KEY, app_name TEXT);
        CREATE TABLE heart_rate_record_table (row_id INTEGER, app_info_id INTEGER);
        CREATE TABLE heart_rate_record_series_table (parent_key INTEGER, beats_per_minute REAL, epoch_millis INTEGER);
    """
    rows: dict[str, list[dict[str, object]]] = {
        "application_info_table": [{"row_id": 1, "app_name": "Google Fit"}],
        "heart_rate_record_table": [{"row_id": 5, "app_info_id": 1}],
        "heart_rate_record_series_table": [{"parent_key": 5, "beats_per_minute": 60, "epoch_millis": START * 1000}],
    }
    bring(desk, sqlite_file(schema, rows))
    assert seconds(desk) == [("heart_rate", "Google-Fit", 0.0, 60.0)]


def test_more_rows_than_a_file_can_hold_end_it(desk: Desk) -> None:
    """Records without a key of their own: each sample is joined with all of them."""
    schema = HEALTH_CONNECT.replace("row_id INTEGER PRIMARY KEY AUTOINCREMENT", "row_id INTEGER")
    records = [{"row_id": 1, "app_info_id": app} for app in range(500)]
    sample = {"parent_key": 1, "beats_per_minute": 60, "epoch_millis": START * 1000}
    whole = sqlite_file(schema, {"heart_rate_record_table": records, "heart_rate_record_series_table": [sample] * 500})
    assert bring(desk, whole).problem == "the database is damaged or cut short"


def gadgetbridge() -> bytes:
    minutes = [(0, 61), (60, 255), (120, -1), (180, 0), (240, 63)]
    return sqlite_file(
        GADGETBRIDGE,
        {
            "DEVICE": [
                {"_id": 1, "NAME": "Mi Band 5", "IDENTIFIER": "C8:0F:10:00:00:01"},
                {"_id": 2, "NAME": "Mi Band 5", "IDENTIFIER": "C8:0F:10:00:00:02"},
            ],
            "MI_BAND_ACTIVITY_SAMPLE": [
                {"TIMESTAMP": START + second, "DEVICE_ID": 1, "STEPS": 4, "HEART_RATE": bpm} for second, bpm in minutes
            ],
            "XIAOMI_ACTIVITY_SAMPLE": [
                {"TIMESTAMP": START, "DEVICE_ID": 2, "STEPS": 0, "HEART_RATE": 70, "SPO2": 97},
                {"TIMESTAMP": START + 60, "DEVICE_ID": 2, "STEPS": 0, "HEART_RATE": 71, "SPO2": 0},
            ],
            "HUAWEI_ACTIVITY_SAMPLE": [
                {"TIMESTAMP": START + 3, "DEVICE_ID": 9, "OTHER_TIMESTAMP": START + 63, "SPO": -1, "HEART_RATE": 75},
                {"TIMESTAMP": START + 63, "DEVICE_ID": 9, "OTHER_TIMESTAMP": START + 3, "SPO": 98, "HEART_RATE": 76},
            ],
            "HUAMI_HEART_RATE_MANUAL_SAMPLE": [
                {"TIMESTAMP": START * 1000 + 500, "DEVICE_ID": 1, "HEART_RATE": 90},
            ],
            "HUAMI_HEART_RATE_MAX_SAMPLE": [{"TIMESTAMP": START * 1000, "DEVICE_ID": 1, "HEART_RATE": 150}],
            "HUAMI_HEART_RATE_RESTING_SAMPLE": [
                {"TIMESTAMP": at("2024-03-31T21:59:00") * 1000, "DEVICE_ID": 1, "HEART_RATE": 55},
                {"TIMESTAMP": at("2024-03-31T22:01:00") * 1000, "DEVICE_ID": 1, "HEART_RATE": 56},
            ],
            "HUAMI_SPO2_SAMPLE": [{"TIMESTAMP": START * 1000, "DEVICE_ID": 1, "TYPE_NUM": 0, "SPO2": 95}],
            "GARMIN_HRV_VALUE_SAMPLE": [{"TIMESTAMP": START * 1000, "DEVICE_ID": 2, "VALUE": 44}],
            "GARMIN_RESPIRATORY_RATE_SAMPLE": [{"TIMESTAMP": START * 1000, "DEVICE_ID": 2, "RESPIRATORY_RATE": 15.5}],
            "XIAOMI_SLEEP_STAGE_SAMPLE": [{"TIMESTAMP": START * 1000, "DEVICE_ID": 2, "STAGE": 2}],
        },
    )


def test_gadgetbridge_is_read_from_all_its_tables(desk: Desk) -> None:
    result = bring(desk, gadgetbridge())
    assert (result.kind, result.problem, result.rejected) == ("Gadgetbridge database", None, 0)
    band, other = "Mi-Band-5-C8:0F:10:00:00:01", "Mi-Band-5-C8:0F:10:00:00:02"
    assert seconds(desk) == [
        ("heart_rate", band, 0.0, 61.0),
        ("heart_rate", band, 0.5, 90.0),
        ("heart_rate", band, 240.0, 63.0),
        ("heart_rate", other, 0.0, 70.0),
        ("heart_rate", other, 60.0, 71.0),
        ("heart_rate", "gadgetbridge", 3.0, 75.0),
        ("hrv_rmssd", other, 0.0, 44.0),
        ("oxygen_saturation", band, 0.0, 95.0),
        ("oxygen_saturation", other, 0.0, 97.0),
        ("respiratory_rate", other, 0.0, 15.5),
    ]
    assert result.passed_over == {
        "rows without HEART_RATE": 3,
        "rows without SPO2": 1,
        "rows without SPO": 1,
        "rows that only hold a place": 2,
        "HUAMI_HEART_RATE_MAX_SAMPLE": 1,
        "STEPS": 7,
        "XIAOMI_SLEEP_STAGE_SAMPLE": 1,
    }


def test_resting_heart_rates_of_gadgetbridge_are_of_the_persons_day(desk: Desk) -> None:
    """The day of 23 hours ends at 22:00 UTC."""
    bring(desk, gadgetbridge())
    assert restings(desk) == {
        date(2024, 3, 31): (55.0, "gadgetbridge"),
        date(2024, 4, 1): (56.0, "gadgetbridge"),
    }


def test_gadgetbridge_imported_twice_stores_nothing_twice(desk: Desk) -> None:
    bring(desk, gadgetbridge())
    again = bring(desk, gadgetbridge())
    assert (again.written, again.unchanged) == (0, 10)


def many_minutes(count: int) -> bytes:
    rows = [{"TIMESTAMP": START + 60 * n, "DEVICE_ID": 1, "HEART_RATE": 60 + n % 9} for n in range(count)]
    return sqlite_file(GADGETBRIDGE, {"MI_BAND_ACTIVITY_SAMPLE": rows})


def test_a_database_cut_short_gives_its_good_part(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "_ROWS_AT_ONCE", 100)
    whole = many_minutes(8_000)
    result = bring(desk, whole[: len(whole) // 4 * 3])
    assert result.problem == "the database is damaged or cut short"
    assert 100 <= result.written == len(desk.rows) < 8_000


def test_a_damaged_header_or_schema_is_said_to_be_so(desk: Desk) -> None:
    whole = many_minutes(10)
    for damaged in (whole[:16] + b"\xff" * 84 + whole[100:], whole[:100] + b"\xff" * 12 + whole[112:]):
        assert bring(desk, damaged).problem == "the database is damaged or cut short"
    assert desk.rows == []


def test_values_of_other_types_are_refused_by_row(desk: Desk) -> None:
    rows: list[dict[str, object]] = [
        {"TIMESTAMP": START, "DEVICE_ID": 1, "HEART_RATE": "many"},
        {"TIMESTAMP": "noon", "DEVICE_ID": 1, "HEART_RATE": 60},
        {"TIMESTAMP": 1 << 62, "DEVICE_ID": 1, "HEART_RATE": 60},
        {"TIMESTAMP": START + 1, "DEVICE_ID": b"\xff", "HEART_RATE": 61.5},
    ]
    loose = "CREATE TABLE DEVICE (_id, NAME, IDENTIFIER); CREATE TABLE A_SAMPLE (TIMESTAMP, DEVICE_ID, HEART_RATE);"
    result = bring(desk, sqlite_file(loose, {"A_SAMPLE": rows}))
    assert (result.read, result.written, result.rejected) == (4, 1, 3)
    assert [row[1:4] for row in desk.rows] == [("gadgetbridge", START + 1, 61.5)]
    assert {(place, name) for place, name, _ in desk.reasons} == {(1, "heart_rate"), (2, "timestamp"), (3, "timestamp")}


def test_views_and_names_that_are_none_are_never_asked(desk: Desk) -> None:
    schema = """
        CREATE TABLE DEVICE (_id, NAME, IDENTIFIER);
        CREATE TABLE A_SAMPLE (TIMESTAMP INTEGER, DEVICE_ID INTEGER, HEART_RATE INTEGER);
        CREATE VIEW Z_SAMPLE AS WITH RECURSIVE n(TIMESTAMP) AS (SELECT 1 UNION ALL SELECT TIMESTAMP + 1 FROM n)
            SELECT TIMESTAMP, 1 AS DEVICE_ID, 60 AS HEART_RATE FROM n;
        CREATE TABLE "B; DROP" (TIMESTAMP INTEGER, DEVICE_ID INTEGER, HEART_RATE INTEGER);
    """
    result = bring(desk, sqlite_file(schema, {"A_SAMPLE": [{"TIMESTAMP": START, "DEVICE_ID": 1, "HEART_RATE": 60}]}))
    assert (result.problem, result.read, len(desk.rows)) == (None, 1, 1)


def test_a_view_in_the_place_of_a_table_is_not_asked() -> None:
    """The name beside a statement need not be the one that the engine takes from it."""
    made = sqlite_file(
        """
        CREATE TABLE DEVICE (_id, NAME, IDENTIFIER);
        CREATE TABLE A_SAMPLE (TIMESTAMP INTEGER, DEVICE_ID INTEGER, HEART_RATE INTEGER);
        CREATE VIEW Z_SAMPLE AS SELECT a.TIMESTAMP, 1 AS DEVICE_ID, 60 AS HEART_RATE FROM A_SAMPLE a;
        CREATE TABLE X_SAMPLE (TIMESTAMP, DEVICE_ID, HEART_RATE);
        PRAGMA writable_schema = ON;
        UPDATE sqlite_master SET name = 'hidden' WHERE type = 'view';
        UPDATE sqlite_master SET name = 'Z_SAMPLE', sql = replace(sql, 'X_SAMPLE', 'Z_SAMPLE') WHERE name = 'X_SAMPLE';
        """,
    )
    with sqlite_files.database(BytesIO(made)) as found:
        assert sorted(found.tables) == ["A_SAMPLE", "DEVICE"]
    commented = sqlite_file(
        "CREATE TABLE A (a); PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE/**/TABLE A (a)';"
    )
    with pytest.raises(MalformedError), sqlite_files.database(BytesIO(commented)):
        pass


def in_circles(rows: int) -> bytes:
    """A table whose pages lead to each other, so that the ways to its few rows are without number."""
    size = 4096
    data = bytearray(sqlite_file("CREATE TABLE big_record_table (a)", {"big_record_table": [{"a": 1}] * rows}))
    assert (len(data) > 20 * size, int.from_bytes(data[16:18])) == (True, size)
    ways = [2, *range(8, 20), 3]  # the root of the table, interior pages, a leaf
    for page, to in itertools.pairwise(ways):
        cells = [to.to_bytes(4) + bytes([1 + number % 100]) for number in range(400)]
        first = size - 5 * len(cells)
        places = b"".join((first + 5 * number).to_bytes(2) for number in range(len(cells)))
        head = bytes([5, 0, 0]) + len(cells).to_bytes(2) + first.to_bytes(2) + b"\0" + to.to_bytes(4)
        whole = (head + places).ljust(first, b"\0") + b"".join(cells)
        data[(page - 1) * size : page * size] = whole
    return bytes(data)


def test_pages_that_lead_in_circles_are_not_counted_for_ever() -> None:
    with sqlite_files.database(BytesIO(in_circles(20_000))) as found, pytest.raises(MalformedError):
        found.count("big_record_table")


def test_a_product_of_tables_that_gives_no_row_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "_FIRST_STEPS", 1_000_000)
    made = sqlite_file("CREATE TABLE a (x)", {"a": [{"x": number} for number in range(1_000)]})
    with sqlite_files.database(BytesIO(made)) as found:
        assert sum(map(len, found.rows("SELECT x FROM a"))) == 1_000
        with pytest.raises(MalformedError):
            list(found.rows("SELECT a.x FROM a, a AS b, a AS c, a AS d WHERE a.x + b.x + c.x + d.x < 0"))


def test_long_texts_are_read_only_where_nobody_asks_for_them() -> None:
    rows: dict[str, list[dict[str, object]]] = {"a": [{"icon": b"x" * 100_000, "x": 1}], "b": [{"x": "x" * 3_000}]}
    with sqlite_files.database(BytesIO(sqlite_file("CREATE TABLE a (icon, x); CREATE TABLE b (x);", rows))) as found:
        assert list(found.rows("SELECT x FROM a")) == [[(1,)]]
        with pytest.raises(MalformedError):
            list(found.rows("SELECT x FROM b"))


def test_a_schema_of_tables_without_end_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "_SCHEMA_STEPS", 3_000)
    made = sqlite_file(f"BEGIN; {''.join(f'CREATE TABLE t{number} (x);' for number in range(1_000))} COMMIT;")
    with pytest.raises(MalformedError), sqlite_files.database(BytesIO(made)):
        pass


def test_another_database_is_of_no_kind(desk: Desk) -> None:
    assert "is of no kind that is read" in str(desk.bring_one(sqlite_file("CREATE TABLE letters (a)"), ANN).problem)
    empty = sqlite_file("CREATE TABLE heart_rate_record_series_table (a)")
    assert desk.bring_one(empty, ANN).problem == "tables: are not those of an export of Health Connect"


def test_a_database_is_left_nowhere(desk: Desk, tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("kept")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert bring(desk, gadgetbridge()).problem is None
    assert list(folder.iterdir()) == []
