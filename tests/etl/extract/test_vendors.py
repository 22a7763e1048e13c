"""Files of other vendors, made after what their exports hold, over a real ingestor."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.extract import json_objects, vendor_json
from pulsebase.etl.extract.kinds import kind_of_file
from pulsebase.etl.extract.parts import FileOwner, Part, everybody_in
from pulsebase.etl.extract.unread import unread
from pulsebase.etl.results import FileResult
from pulsebase.ingest.blocks import Block
from pulsebase.model.timerange import SECOND_US
from tests.etl.desk import Desk
from tests.support.health_files import at, zipped

BERLIN = FileOwner("ann", None, everybody_in(ZoneInfo("Europe/Berlin")))
TEN = at("2024-01-15T10:00:00")
TEN_MS = TEN * 1000
#: (metric, device, seconds since ten, value)
Found = tuple[str, str, float, float]


@dataclass(frozen=True)
class Case:
    """A file, and what it holds."""

    name: str
    data: bytes
    kind: str
    found: list[Found]
    passed_over: dict[str, int]
    refused: list[tuple[int, str]]


_HEART = "com.samsung.health.heart_rate."
SAMSUNG = f"""com.samsung.shealth.tracker.heart_rate,6312001,7
\ufeffsource,{_HEART}start_time,{_HEART}binning_data,{_HEART}heart_rate,{_HEART}time_offset,{_HEART}deviceuuid
,2024-01-15 10:00:00.000,,63.0,UTC+0100,M4qL0ZhU0c,
,2024-01-15 10:00:05.500,,64.0,UTC+0100,,
,2024-01-15 11:00:00.000,a.binning_data.json,70.0,UTC+0100,M4qL0ZhU0c,
,2024-01-15 11:30:00.000,,,UTC+0100,M4qL0ZhU0c,
,noon,,66.0,UTC+0100,M4qL0ZhU0c,
,2024-01-15 12:00:00.000,66.0,M4qL0ZhU0c
"""
_OXYGEN = "com.samsung.health.oxygen_saturation."
SAMSUNG_OXYGEN = f"""com.samsung.shealth.tracker.oxygen_saturation,6312001,5
{_OXYGEN}start_time,{_OXYGEN}spo2,{_OXYGEN}time_offset,{_OXYGEN}deviceuuid,
{TEN_MS},96.0,UTC+0100,M4qL0ZhU0c,
2024-01-15 10:01:00.000,0,UTC+0100,M4qL0ZhU0c,
"""
MI_FITNESS = """Uid,Sid,Key,Time,Value,UpdateTime
1,hm_band8,heart_rate,{ten},"{{""time"":{ten},""bpm"":62}}",1
1,hm_band8,single_heart_rate,{ten},"{{""bpm"":65,""time"":{later}}}",1
1,hm_band8,spo2,{later},"{{""spo2"":97}}",1
1,hm_band8,steps,{ten},"{{""steps"":11}}",1
1,hm_band8,steps,{later},"{{""steps"":12}}",1
1,hm_band8,sleep,{ten},"{{}}",1
1,hm_band8,heart_rate,{ten},bpm,1
1,hm_band8,resting_heart_rate,{night},"{{""date_time"":{night},""bpm"":55}}",1
""".format(ten=TEN, later=TEN + 60, night=at("2024-10-27T22:30:00"))
WITHINGS = b"""start,duration,value
2024-01-15T11:00:00+01:00,"[60,30,60]","[52,51,53]"
2024-01-15T12:00:00+01:00,[60],[54]
2024-01-15T12:30:00+01:00,[60],"[54,55]"
"""
SAMSUNG_MINUTES = json.dumps(
    [
        {"heart_rate": 52.0, "heart_rate_min": 50.0, "start_time": TEN_MS, "end_time": TEN_MS + 59_999},
        {"heart_rate": 0.0, "start_time": TEN_MS + 60_000},
        {"heart_rate": 53.5, "start_time": TEN_MS + 120_000},
        {"heart_rate": 54.0, "start_time": "noon"},
    ]
).encode()
SAMSUNG_NIGHT = json.dumps(
    [{"rmssd": 41.5, "sdnn": 50.25, "start_time": TEN_MS}, {"respiratory_rate": 14.5, "start_time": TEN_MS}]
).encode()
OURA = json.dumps(
    {
        "data": [
            {"bpm": 62, "source": "awake", "timestamp": "2024-01-15T11:00:00+01:00"},
            {"bpm": 63, "source": "rest", "timestamp": "2024-01-15T10:05:00.000Z"},
            {"bpm": None, "source": "rest", "timestamp": "2024-01-15T10:10:00.000Z"},
        ],
        "next_token": None,
    }
).encode()
FITBIT = json.dumps(
    {
        "activities-heart": [
            {
                "dateTime": "2024-01-15",
                "value": {
                    "customHeartRateZones": [],
                    "heartRateZones": [{"name": "Fat Burn", "min": 88, "max": 120, "minutes": 12, "caloriesOut": 80.5}],
                    "restingHeartRate": 58,
                },
            }
        ],
        "activities-heart-intraday": {
            "dataset": [
                {"time": "11:00:00", "value": 64},
                {"time": "11:00:10", "value": 63},
                {"time": "later", "value": 62},
            ],
            "datasetInterval": 1,
            "datasetType": "second",
        },
    }
).encode()
POLAR = json.dumps(
    {
        "polar_user": "https://www.polaraccesslink/v3/users/1",
        "date": "2024-01-15",
        "heart_rate_samples": [
            {"heart_rate": 63, "sample_time": "11:02:08"},
            {"heart_rate": 62, "sample_time": "11:07:08"},
            {"heart_rate": 61, "sample_time": "noon"},
        ],
    }
).encode()
POLAR_EXPORT = json.dumps(
    {
        "deviceDays": [
            {
                "userId": 1,
                "deviceId": "7B2A1C",
                "date": "2024-01-15",
                "samples": [
                    {"heartRate": 71, "secondsFromDayStart": 39_600, "source": "UNKNOWN"},
                    {"heartRate": 72, "secondsFromDayStart": 39_900},
                ],
            }
        ]
    }
).encode()
EMPATICA = f"{TEN}.000000\n1.000000\n93.00\n101.00\nfast\n100.00\n".encode()
EMPATICA_TEMPERATURE = f"{TEN}.000000\n4.000000\n33.25\n33.27\n382.21\n".encode()
EMPATICA_BEATS = f"{TEN}.000000, IBI\n1.5,0.8125\n2.296875,0.796875\n".encode()

CASES = [
    Case(
        "com.samsung.shealth.tracker.heart_rate.20240115.csv",
        SAMSUNG.encode(),
        "Samsung Health",
        [("heart_rate", "M4qL0ZhU0c", 0, 63), ("heart_rate", "samsung-health", 5.5, 64)],
        {"rows of intervals, whose minutes are in files of their own": 1, "rows without a value": 1},
        [(7, "timestamp"), (8, "line")],
    ),
    Case(
        "com.samsung.shealth.tracker.oxygen_saturation.20240115.csv",
        SAMSUNG_OXYGEN.encode(),
        "Samsung Health",
        [("oxygen_saturation", "M4qL0ZhU0c", 0, 96)],
        {"rows without a value": 1},
        [],
    ),
    Case(
        "20240115_1_MiFitness_hlth_center_fitness_data.csv",
        MI_FITNESS.encode(),
        "Mi Fitness",
        [
            ("heart_rate", "hm_band8", 0, 62),
            ("heart_rate", "hm_band8", 60, 65),
            ("oxygen_saturation", "hm_band8", 60, 97),
        ],
        {"steps": 2, "sleep": 1},
        [(8, "Value")],
    ),
    Case(
        "HEARTRATE_AUTO/HEARTRATE_AUTO_1.csv",
        b"\xef\xbb\xbfdate,time,heartRate\r\n2024-01-15,11:00,63\r\n2024-01-15,11:01,64\r\n2024-01-15,25:00,65\r\n",
        "Zepp",
        [("heart_rate", "zepp", 0, 63), ("heart_rate", "zepp", 60, 64)],
        {},
        [(4, "timestamp")],
    ),
    Case(
        "HEARTRATE/HEARTRATE_1.csv",
        b"time,heartRate\n2024-01-15 10:00:03+0000,63\n2024-01-15 10:00:09+0000,64\n",
        "Zepp",
        [("heart_rate", "zepp", 3, 63), ("heart_rate", "zepp", 9, 64)],
        {},
        [],
    ),
    Case(
        "raw_tracker_hr.csv",
        WITHINGS,
        "Withings heart rate",
        [("heart_rate", "withings-tracker", at_s, bpm) for at_s, bpm in ((0, 52), (60, 51), (90, 53), (3600, 54))],
        {},
        [(4, "line")],
    ),
    Case(
        "raw_bed_HR RMS SD.csv",
        b'start,duration,value\n2024-01-15T10:00:00+00:00,"[60]","[41]"\n',
        "Withings heart rate variability",
        [("hrv_rmssd", "withings-bed", 0, 41)],
        {},
        [],
    ),
    Case(
        "oura_heartrate.csv",
        b"timestamp;bpm;source\n2024-01-15T10:00:00.000Z;63;awake\n2024-01-15T10:05:00.000Z;;rest\n",
        "Oura",
        [("heart_rate", "oura", 0, 63)],
        {},
        [(3, "heart_rate")],
    ),
    Case(
        "a.com.samsung.health.heart_rate.binning_data.json",
        SAMSUNG_MINUTES,
        "Samsung Health, minutes",
        [("heart_rate", "samsung-health", 0, 52), ("heart_rate", "samsung-health", 120, 53.5)],
        {"values of 0, which stand for none": 1},
        [(4, "timestamp")],
    ),
    Case(
        "a.binning_data.json",
        SAMSUNG_NIGHT,
        "Samsung Health, minutes",
        [
            ("hrv_rmssd", "samsung-health", 0, 41.5),
            ("hrv_sdnn", "samsung-health", 0, 50.25),
            ("respiratory_rate", "samsung-health", 0, 14.5),
        ],
        {},
        [],
    ),
    Case(
        "heartrate.json",
        OURA,
        "Oura heart rate",
        [("heart_rate", "oura", 0, 62), ("heart_rate", "oura", 300, 63)],
        {},
        [(3, "heart_rate")],
    ),
    Case(
        "2024-01-15.json",
        FITBIT,
        "page of Fitbit's Web API",
        [("heart_rate", "fitbit", 0, 64), ("heart_rate", "fitbit", 10, 63)],
        {},
        [(3, "timestamp")],
    ),
    Case(
        "continuous.json",
        POLAR,
        "Polar continuous heart rate",
        [("heart_rate", "polar", 128, 63), ("heart_rate", "polar", 428, 62)],
        {},
        [(3, "timestamp")],
    ),
    Case(
        "247ohr_1_2024-01-15.json",
        POLAR_EXPORT,
        "Polar continuous heart rate",
        [("heart_rate", "7B2A1C", 0, 71), ("heart_rate", "7B2A1C", 300, 72)],
        {},
        [],
    ),
    Case(
        "empatica/HR.csv",
        EMPATICA,
        "Empatica heart rate",
        [("heart_rate", "empatica", 0, 93), ("heart_rate", "empatica", 1, 101), ("heart_rate", "empatica", 3, 100)],
        {},
        [(5, "heart_rate")],
    ),
    Case(
        "empatica/TEMP.csv",
        EMPATICA_TEMPERATURE,
        "Empatica temperature",
        [("skin_temperature", "empatica", 0, 33.25), ("skin_temperature", "empatica", 0.25, 33.27)],
        {},
        [(5, "skin_temperature")],
    ),
    Case(
        "empatica/IBI.csv",
        EMPATICA_BEATS,
        "Empatica beats",
        [("rr_interval", "empatica", 1.5, 812.5), ("rr_interval", "empatica", 2.296875, 796.9)],
        {},
        [],
    ),
]
each_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def bring(desk: Desk, data: bytes, name: str, owner: FileOwner = BERLIN) -> FileResult:
    (result,) = desk.bring(data, name, owner)
    return result


def found(desk: Desk) -> list[Found]:
    return sorted((metric, device, at_us / SECOND_US - TEN, value) for metric, _, device, at_us, value in desk.readings)


@each_case
def test_a_file_is_read_with_its_devices_and_times(desk: Desk, case: Case) -> None:
    result = bring(desk, case.data, case.name)
    assert (result.kind, result.problem) == (case.kind, None)
    assert found(desk) == case.found
    assert result.passed_over == case.passed_over
    assert [(place, name) for place, name, _ in desk.reasons] == case.refused
    assert (result.written, result.rejected) == (len(case.found), len(case.refused))


@each_case
def test_a_file_imported_twice_stores_nothing_twice(desk: Desk, case: Case) -> None:
    bring(desk, case.data, case.name)
    (again,) = desk.bring(zipped({case.name: case.data}), "export.zip", BERLIN)
    assert (again.written, again.unchanged) == (0, len(case.found))


@each_case
def test_a_damaged_archive_leaves_what_was_read(desk: Desk, case: Case) -> None:
    """The checksum of the file is wrong, which comes out at its end."""
    archive = bytearray(zipped({case.name: case.data}, method=zipfile.ZIP_STORED))
    archive[14:18] = bytes(4)
    (result,) = desk.bring(bytes(archive), "export.zip", BERLIN)
    assert result.problem == "its checksum in the archive does not match: some of it is damaged"
    assert found(desk) == case.found


@pytest.mark.parametrize("name", ["a.com.samsung.health.heart_rate.binning_data.json", "heartrate.json"])
def test_a_list_cut_short_gives_its_good_part(desk: Desk, name: str) -> None:
    data = next(case.data for case in CASES if case.name == name)
    result = bring(desk, data[: data.index(b"}") + 40], name)
    assert result.problem == "the file is cut short or damaged behind record 1"
    assert len(desk.rows) == 1


def test_tables_of_samsung_that_are_not_read_are_said_once(desk: Desk) -> None:
    sleep = "com.samsung.shealth.sleep"
    files = {
        f"{sleep}.1.csv": f"{sleep},6312001,7\n\ufeffstart_time,end_time,efficiency\n1,2,90,\n3,4,95,\n".encode(),
        "com.samsung.shealth.tracker.heart_rate.1.csv": SAMSUNG.encode(),
    }
    importer = desk.importer(BERLIN)
    list(importer.upload("samsung.zip", io.BytesIO(zipped(files))))
    (total,) = importer.totals.kinds
    assert (total.kind, total.files, total.written, total.passed_over[sleep]) == ("Samsung Health", 2, 2, 2)
    assert not importer.unread.named


def test_resting_heart_rates_and_zones_are_daily_summaries(desk: Desk) -> None:
    bring(desk, FITBIT, "page.json")
    bring(desk, MI_FITNESS.encode(), "mi.csv")
    days = desk.store.summaries("ann", date(2024, 1, 1), date(2024, 12, 31))
    assert {(day.day, day.resting_heart_rate_method): day.resting_heart_rate for day in days} == {
        (date(2024, 1, 15), "fitbit"): 58,
        (date(2024, 10, 27), "mi_fitness"): 55,  # 23:30 on the day of 25 hours
    }
    assert [zone.minutes for day in days for zone in day.zones] == [12]


def zepp(day: str, clocks: list[str]) -> bytes:
    return ("date,time,heartRate\n" + "".join(f"{day},{clock},{60 + n}\n" for n, clock in enumerate(clocks))).encode()


def polar(day: str, clocks: list[str]) -> bytes:
    samples = [{"heart_rate": 60 + n, "sample_time": f"{clock}:00"} for n, clock in enumerate(clocks)]
    return json.dumps({"date": day, "heart_rate_samples": samples}).encode()


def fitbit(day: str, clocks: list[str]) -> bytes:
    points = [{"time": f"{clock}:00", "value": 60 + n} for n, clock in enumerate(clocks)]
    page = {"activities-heart": [{"dateTime": day, "value": {}}], "activities-heart-intraday": {"dataset": points}}
    return json.dumps(page).encode()


each_local = pytest.mark.parametrize("make", [zepp, polar, fitbit])


@each_local
def test_the_hour_that_comes_twice_is_told_apart_by_its_order(desk: Desk, make: Callable[..., bytes]) -> None:
    result = bring(desk, make("2024-10-27", ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]), "day")
    assert (result.written, result.remark) == (6, None)
    begin = at("2024-10-26T23:30:00")
    assert [(row[2] - begin, row[3]) for row in desk.rows] == [(1800 * n, 60.0 + n) for n in range(6)]


@each_local
def test_the_hour_that_is_missing_is_moved_on(desk: Desk, make: Callable[..., bytes]) -> None:
    result = bring(desk, make("2024-03-31", ["01:30", "02:15", "03:30"]), "day")
    assert result.remark == "1 times did not exist as clocks went forward, and were moved on by the change"
    assert sorted(row[2] for row in desk.rows) == sorted(
        map(at, ("2024-03-31T00:30:00", "2024-03-31T01:15:00", "2024-03-31T01:30:00"))
    )


def test_a_page_of_long_means_is_refused_with_what_to_ask_for(desk: Desk) -> None:
    page = json.loads(FITBIT)
    page["activities-heart-intraday"] |= {"datasetInterval": 15, "datasetType": "minute"}
    bring(desk, json.dumps(page).encode(), "page.json")
    reason = "holds means of 15 minutes; ask the API for 1sec or 1min"
    assert (desk.rows, desk.reasons) == ([], [(1, "activities-heart-intraday", reason)])


def test_several_pages_in_a_file_are_read(desk: Desk) -> None:
    for data in (b"[" + FITBIT + b"," + FITBIT.replace(b"2024-01-15", b"2024-01-16") + b"]", FITBIT + b"\n" + FITBIT):
        bring(desk, data, "pages.json")
    assert len(desk.rows) == 4


def lifesnaps_line(person: str, second: int, bpm: object, kind: str = "heart_rate", confidence: object = 1) -> bytes:
    data = {"dateTime": f"2021-05-24T00:00:{second:02}", "value": {"bpm": bpm, "confidence": confidence}}
    return json.dumps({"_id": {"$oid": "x"}, "type": kind, "id": {"$oid": person}, "data": data}).encode() + b"\n"


def test_lifesnaps_names_its_people(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_json, "_BLOCK_READINGS", 2)
    lines = [
        lifesnaps_line("p1", 0, 63),
        lifesnaps_line("p2", 0, 70, confidence=3),
        lifesnaps_line("p1", 5, 64),
        lifesnaps_line("p1", 5, 64, "steps"),
        lifesnaps_line("p1", 9, 64, confidence="sure"),
        lifesnaps_line("p1", 9, 64).replace(b'{"$oid": "p1"}', b"null"),
        lifesnaps_line("\ud800", 9, 64),
        lifesnaps_line("p1", 9, 64, "\ud800"),
    ]
    nobody = FileOwner(None, None, BERLIN.zone_of)
    result = bring(desk, b"".join(lines), "fitbit.jsonl", nobody)
    start = at("2021-05-24T00:00:00")
    assert desk.rows == [
        ("p1", "lifesnaps", start, 63.0, 1),
        ("p1", "lifesnaps", start + 5, 64.0, 1),
        ("p2", "lifesnaps", start, 70.0, 3),
    ]
    assert (result.kind, result.passed_over) == ("LifeSnaps", {"steps": 1, "?": 1})
    assert sorted((place, name) for place, name, _ in desk.reasons) == [(5, "confidence"), (6, "id"), (7, "id")]


def test_lines_cut_short_give_their_good_part(desk: Desk) -> None:
    whole = lifesnaps_line("p1", 0, 63) + lifesnaps_line("p1", 1, 64)
    result = bring(desk, whole[:-9], "fitbit.jsonl")
    assert (result.problem, result.written) == ("the file is cut short or damaged behind record 1", 1)


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 18])
def test_it_does_not_matter_where_a_list_is_cut_into_pieces(
    desk: Desk, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_objects, "_PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(json_objects, "_HEAD_CHARACTERS", 1)
    bring(desk, SAMSUNG_MINUTES, "minutes.json")
    assert len(desk.rows) == 2


def test_a_second_answer_of_a_service_is_not_lost_in_silence(desk: Desk) -> None:
    reading = {"bpm": 62, "source": "awake", "timestamp": "2024-01-15T10:00:00+00:00"}
    page = json.dumps({"data": [reading], "next_token": None}).encode()
    assert bring(desk, page, "oura.json").problem is None
    result = bring(desk, page + b"\n" + page, "oura.json")
    assert result.problem == "something else follows behind record 1, which is not read"
    assert len(desk.rows) == 1


def test_digits_of_other_scripts_are_no_numbers(desk: Desk) -> None:
    wide = "\uff16\uff12"
    rows = [("2024-01-15T10:00:00+00:00", wide), (f"2024-01-15T10:00:{wide[1]}0+00:00", 62)]
    page = {"data": [{"bpm": bpm, "source": "awake", "timestamp": text} for text, bpm in rows]}
    bring(desk, json.dumps(page).encode(), "oura.json")
    assert [(place, field) for place, field, _ in desk.reasons] == [(1, "heart_rate"), (2, "timestamp")]
    assert desk.rows == []


def test_what_has_no_end_takes_no_memory(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_objects, "_OBJECT_CHARACTERS", 10_000)
    data = SAMSUNG_MINUTES[:-1] + b', {"heart_rate": "' + b"1" * 2_000_000
    assert bring(desk, data, "minutes.json").problem == "the file is damaged behind record 4"


def test_wrong_first_lines_of_empatica_are_named(desk: Desk) -> None:
    result = bring(desk, b"1705312800\n0\n93.00\n", "HR.csv")
    assert result.problem == "the second line must be the number of values a second"


def test_a_series_of_withings_without_its_name_says_what_to_do() -> None:
    named = unread("mine.csv", WITHINGS)
    assert named.named
    assert "raw_tracker_hr.csv" in named.what
    assert not unread("raw_tracker_steps.csv", WITHINGS).named


@pytest.mark.parametrize("make", [polar, fitbit])
def test_a_long_day_comes_in_blocks(make: Callable[[str, list[str]], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_json, "_BLOCK_READINGS", 10)
    data = make("2024-01-15", [f"10:{minute:02d}" for minute in range(45)])
    kind = kind_of_file("day.json", data)
    assert kind is not None
    blocks = [part for part in kind.read(io.BytesIO(data), BERLIN) if isinstance(part, Block)]
    assert [len(block.candidates) for block in blocks if block.total] == [10, 10, 10, 10, 5]


@pytest.mark.parametrize("read", [vendor_json.polar, vendor_json.fitbit_pages, vendor_json.lifesnaps])
def test_whoever_waits_hears_of_a_file_in_which_nothing_is(
    read: Callable[..., Iterator[Part]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the parts of a file it is looked whether the import is cancelled."""
    monkeypatch.setattr(vendor_json, "_MOST_SILENT", 10)
    parts = [part for part in read(io.BytesIO(b"[" + b"{}," * 35 + b"{}]"), BERLIN) if isinstance(part, Block)]
    assert [part.total for part in parts] == [0, 0, 0]
