"""CSV files of any layout, over a real ingestor and the memory store."""

from __future__ import annotations

import io
import tracemalloc
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.extract.any_csv import any_csv
from pulsebase.etl.extract.parts import FileOwner, everybody_in
from pulsebase.etl.transform.csv_choices import CsvChoices, checked_choices
from pulsebase.etl.transform.csv_plan import CsvPlan, plan_of
from pulsebase.ingest.blocks import Block
from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import format_us
from tests.etl.desk import Desk
from tests.support.clock_changes import each_clock_change
from tests.support.health_files import zipped

UTC = ZoneInfo("UTC")


def owner(user: str | None = "ann", zone: ZoneInfo = UTC, metric: str | None = None, **said: Any) -> FileOwner:
    return FileOwner(user, None, everybody_in(zone), metric, checked_choices(**said))


def stored(desk: Desk) -> list[tuple[str, str, str, str, float]]:
    """(metric, person, device, time, value)"""
    return [(metric, user, device, format_us(us), value) for metric, user, device, us, value in desk.readings]


def test_a_file_whose_columns_say_what_they_are_needs_no_option(desk: Desk) -> None:
    lines = (
        "\ufeffTimestamp;Heart Rate (bpm);Device name;Note\n"
        "2024-01-15T10:00:00Z;63,5;Ann’s Apple\u00a0Watch;\n"
        '2024-01-15T12:00:05+02:00;64;H10;"at rest;\nin bed"\n'
        "2024-01-15T10:00:10Z;;H10;no contact\n"
        "2024-01-15T10:00:15Z;250;H10;\n"
        "soon;61;H10;\n"
        "2024-01-15T10:00:20Z;many;H10;\n"
        "2024-01-15T10:00:25Z;66\n"
        "2024-01-15T10:00:30Z;67;H10;\n"
    )
    result = desk.bring_one(lines.encode())
    assert (result.kind, result.counts, result.problem) == ("CSV", "line", None)
    assert (result.read, result.written, result.rejected) == (7, 3, 4)
    assert result.read_as == (
        "time from column Timestamp (ISO 8601), heart_rate from column Heart Rate (bpm), "
        "devices from column Device name, columns separated by semicolons"
    )
    assert result.passed_over == {"lines without a value": 1, "column Note": 7}
    assert sorted(stored(desk)) == [
        ("heart_rate", "ann", "Ann-s-Apple-Watch", "2024-01-15T10:00:00Z", 63.5),
        ("heart_rate", "ann", "H10", "2024-01-15T10:00:05Z", 64),
        ("heart_rate", "ann", "H10", "2024-01-15T10:00:30Z", 67),
    ]
    assert [(place, field) for place, field, _ in sorted(desk.reasons, key=lambda each: each[0] or 0)] == [
        (6, "heart_rate"),
        (7, "timestamp"),
        (8, "heart_rate"),
        (9, "line"),
    ]


@pytest.mark.parametrize(
    ("text", "said", "expected"),
    [
        ("1705312800", {}, "2024-01-15T10:00:00Z"),
        ("1705312800.25", {}, "2024-01-15T10:00:00.25Z"),
        ("1705312800123", {}, "2024-01-15T10:00:00.123Z"),
        ("1705312800123456", {}, "2024-01-15T10:00:00.123456Z"),
        ("1705312800123456789", {}, "2024-01-15T10:00:00.123456Z"),
        ("1705312800", {"time_format": "s"}, "2024-01-15T10:00:00Z"),
        ("2024-01-15 11:00:00.5", {}, "2024-01-15T10:00:00.5Z"),
        ("2024-01-15T10:00:00 +0000", {}, "2024-01-15T10:00:00Z"),
        ("1/15/2024 11:00:00\u202fAM", {}, "2024-01-15T10:00:00Z"),
        ("15.01.2024 11:00", {"time_format": "%d.%m.%Y %H:%M"}, "2024-01-15T10:00:00Z"),
        ("15/1/24 11:00:07", {"time_format": "%d/%m/%y %T"}, "2024-01-15T10:00:07Z"),
        ("Jan 15, 2024 12:00:00 pm", {"time_format": "%b %d, %Y %I:%M:%S %p"}, "2024-01-15T11:00:00Z"),
        ("20240115 110003.250", {"time_format": "%Y%m%d %H%M%S.%f"}, "2024-01-15T10:00:03.25Z"),
        ("2024-01-15 10:00:03.250 -0100", {"time_format": "%F %T.%f %z"}, "2024-01-15T11:00:03.25Z"),
    ],
)
def test_times_are_read_in_each_layout(desk: Desk, text: str, said: dict[str, Any], expected: str) -> None:
    result = desk.bring_one(f"time;bpm\n{text};61\n".encode(), owner(zone=ZoneInfo("Europe/Berlin"), **said))
    assert (result.problem, desk.reasons) == (None, [])
    assert [time for _, _, _, time, _ in stored(desk)] == [expected]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Time,Pulse\n4/12/2016 7:21:00 AM,97\n", "column Time (%m/%d/%Y %I:%M:%S %p), heart_rate from column Pulse"),
        (
            "Id,Time,bpm\n7,2016-04-12T07:21:00,97\n",
            "column Time (ISO 8601), heart_rate from column bpm, column Id the same in all lines",
        ),
    ],
)
def test_what_a_file_was_taken_for_is_said(desk: Desk, lines: str, expected: str) -> None:
    assert desk.bring_one(lines.encode()).read_as == f"time from {expected}"
    assert stored(desk) == [("heart_rate", "ann", "csv", "2016-04-12T07:21:00Z", 97)]


@pytest.mark.parametrize(
    ("lines", "said", "expected"),
    [
        ("day,clock,v\n2024-01-15,10:00:00,61\n", {"time_columns": ["day", "clock"], "value_column": "v"}, ("ann", 61)),
        ("date,time,heartRate\n2024-01-15,10:00:00,61\n", {}, ("ann", 61)),
        ("when,v\n2024-01-15 10:00:00,61\n", {"time_columns": ["WHEN"], "value_column": "2"}, ("ann", 61)),
        ("2024-01-15 10:00:00,61\n", {"time_columns": ["1"], "value_column": "2"}, ("ann", 61)),
        ("x\tvalue\tz\n2024-01-15 10:00:00\t61,5\tbo\n", {"time_columns": ["x"], "user_column": "z"}, ("bo", 61.5)),
        ('time,bpm\n2024-01-15 10:00:00,"61,5"\n', {"decimal_comma": True}, ("ann", 61.5)),
        ("time!bpm\n2024-01-15 10:00:00!61\n", {"delimiter": "!"}, ("ann", 61)),
        ("Id,Time,Value\nbo,15.01.2024 10:00:00,61\n", {"time_format": "%d.%m.%Y %H:%M:%S"}, ("bo", 61)),
        ("user_id;device_id;timestamp;heart_rate\nbo;d;2024-01-15T10:00:00Z;61\n", {}, ("bo", 61)),
        ("Time (UTC),Pulse\n2024-01-15 10:00:00,61\n", {}, ("ann", 61)),
    ],
)  # fmt: skip
def test_columns_are_taken_as_they_are_named(
    desk: Desk, lines: str, said: dict[str, Any], expected: tuple[str, float]
) -> None:
    zone = ZoneInfo("Asia/Tokyo") if "UTC" in lines else UTC
    result = desk.bring_one(
        lines.encode(), owner(zone=zone, metric="heart_rate" if {"time_columns"} & said.keys() else None, **said)
    )
    assert (result.problem, desk.reasons) == (None, [])
    assert [(user, time, value) for _, user, _, time, value in stored(desk)] == [
        (expected[0], "2024-01-15T10:00:00Z", expected[1])
    ]


@pytest.mark.parametrize(
    ("lines", "said", "what_to_do"),
    [
        ("Id;Time;Value\n7;2024-01-15 10:00:00;61\n", {"delimiter": ","}, "by semicolons: add --delimiter ';'"),
        ("a,bpm\nx,61\n", {}, "name the column of the time with --time-column; its columns are a, bpm"),
        ("time,rate\n2024-01-15 10:00:00,61\n", {}, "name the column of the value with --value-column"),
        ("time,rate\n2024-01-15 10:00:00,61\n", {"value_column": "rate"}, "of: add --metric heart_rate"),
        ("time,value\n2024-01-15 10:00:00,61\n", {}, "of: add --value-column value --metric heart_rate"),
        ("time,bpm,spo2\n2024-01-15 10:00:00,61,97\n", {}, "add --value-column bpm, then --value-column spo2"),
        ("time,bpm\n2024-01-15 10:00:00,61\n", {"value_column": "hr"}, "has no column hr for --value-column"),
        ("time,bpm\n15.01.2024 10:00,61\n", {}, "add --time-format '%d.%m.%Y %H:%M'"),
        ("time,bpm\n01/02/2024 10:00:00,61\n", {}, "'%d/%m/%Y %H:%M:%S' or --time-format '%m/%d/%Y %H:%M:%S'"),
        ("time,bpm\n13/02/2024 10:00:00,61\n", {}, "is not plain: add --time-format '%d/%m/%Y %H:%M:%S'"),
        ("time,bpm\n2024-01-15 10:00,61\n", {}, "add --time-format '%Y-%m-%d %H:%M'"),
        ("2024-01-15 10:00:00,61\n", {"time_columns": ["1"], "value_column": "bpm"}, "names no columns; call them by"),
        ("15.01.2024 10:00:00,61\n", {"time_columns": ["1"], "value_column": "2"}, "column 2 is of: add --metric"),
        ("time,bpm\nnoon,61\n", {}, "say their layout with --time-format"),
        ('time,bpm\n2024-01-15 10:00:00,"61,5"\n', {}, "add --decimal-comma"),
        ("id,time,bpm\n1,1705312800,61\n2,1705312805,61\n1,1705312809,61\n", {}, "--user-column id"),
        ("time,value,type\n1705312800,61,HeartRate\n1705312800,9,Step\n", {"metric": "heart_rate"}, "column type says"),
    ],
)  # fmt: skip
def test_a_near_miss_says_what_is_missing(desk: Desk, lines: str, said: dict[str, Any], what_to_do: str) -> None:
    result = desk.bring_one(lines.encode(), owner(**said))
    assert result.problem is not None
    assert what_to_do in result.problem
    assert not any(quoted in result.problem for quoted in ("61", "2024", "noon"))  # nothing of the data
    assert stored(desk) == []


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"time_columns": ["a", "b", "c"]}, "--time-column"),
        ({"value_column": ""}, "--value-column"),
        ({"delimiter": "ab"}, "--delimiter"),
        ({"time_format": "soon"}, "--time-format"),
        ({"time_format": "%d.%m.%Y"}, "--time-format"),
        ({"time_format": "%Y-%m-%d %I:%M"}, "--time-format"),
        ({"time_format": "%Y-%m-%d %H:%M %Q"}, "--time-format"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(said: dict[str, Any], field: str) -> None:
    with pytest.raises(RejectedError) as refused:
        checked_choices(**said, spelled=lambda name: f"--{name.replace('_', '-')}")
    assert [error.field for error in refused.value.errors] == [field]


def test_two_people_never_become_one(desk: Desk) -> None:
    lines = b"user,time,bpm\nann,2024-01-15 10:00:00,61\nbo,2024-01-15 10:00:00,62\n"
    desk.bring_one(lines, owner("cleo"))
    assert [(user, value) for _, user, _, _, value in stored(desk)] == [("ann", 61), ("bo", 62)]
    later = b"id,time,bpm\n" + b"7,2024-01-16 10:00:00,61\n" * 300 + b"8,2024-01-16 10:00:01,62\n"
    result = desk.bring_one(later, owner("cleo"))
    assert (result.written, result.repeated, result.rejected) == (1, 299, 1)
    assert desk.reasons == [(302, "id", "is another one than in the first line; import a file for each")]
    assert desk.bring_one(lines, owner(None)).unchanged == 2


def test_values_are_of_the_metric_that_a_column_states(desk: Desk) -> None:
    lines = (
        b'sourceName,sourceVersion,device,type,unit,creationDate,startDate,endDate,value\n"Watch","5.1",'
        b'"<<HKDevice: 0x1>, name:Apple Watch>","HeartRate","count/min",2019-07-29 15:28:48 -0800,'
        b"2019-07-29 15:26:47 -0800,2019-07-29 15:26:47 -0800,62\n"
    )
    desk.bring_one(lines)
    assert stored(desk) == [("heart_rate", "ann", "Watch", "2019-07-29T23:26:47Z", 62)]
    result = desk.bring_one(lines, owner(metric="respiratory_rate"))
    assert result.problem == "Apple Health as CSV: holds heart_rate, as column type says, not respiratory_rate"


def test_a_file_of_a_known_kind_stays_what_it_is_and_days_are_no_readings(desk: Desk) -> None:
    files = {
        "a/heart_rate_2024-01-15.csv": b"timestamp,beats per minute\n2024-01-15T10:00:00Z,61\n",
        "a/Daily Heart Rate.csv": b"timestamp,heart rate\n2024-01-15T10:00:00Z,61\n",
        "a/strap.csv": b"time,bpm\n15.01.2024 10:00:00,61\n",
        "a/steps.csv": b"time,steps\n2024-01-15T10:00:00Z,61\n",
    }
    importer = desk.importer()
    results = list(importer.upload("a.zip", io.BytesIO(zipped(files))))
    assert [result.kind for result in results] == ["Takeout heart rate, CSV"]
    assert {file.name.rpartition("/")[2]: file.what for file in importer.unread.named} == {
        "Daily Heart Rate.csv": "looks like vital signs",
        "strap.csv": "has times in column time in a layout that is not plain: add --time-format '%d.%m.%Y %H:%M:%S'",
    }


@each_clock_change
def test_days_of_23_and_25_hours_have_every_reading_once(desk: Desk, zone: str, day: date, hours: int) -> None:
    lived_in = ZoneInfo(zone)
    begin = datetime.combine(day, time(), lived_in)
    begin_s, end_s = (int(each.timestamp()) for each in (begin, begin + timedelta(days=1)))
    assert end_s - begin_s == hours * 3600
    walls = [datetime.fromtimestamp(at_s, lived_in) for at_s in range(begin_s, end_s, 300)]
    lines = "time;bpm\n" + "".join(f"{wall:%d.%m.%Y %H:%M};61\n" for wall in walls)
    result = desk.bring_one(lines.encode(), owner(zone=lived_in, time_format="%d.%m.%Y %H:%M"))
    assert (result.written, result.rejected, result.remark) == (hours * 12, 0, None)
    assert [at_s for _, _, at_s, _, _ in desk.rows] == list(range(begin_s, end_s, 300))


@pytest.mark.parametrize("block_bytes", [40, 1000, 1 << 20])
def test_quotes_and_blocks_cut_nothing(block_bytes: int) -> None:
    lines = ['time,bpm,"note"']
    lines += [f'2024-01-15 10:00:{n:02},{60 + n},"one, two\n""three"" {n}"' for n in range(20)]
    lines += ["2024-01-15 10:00:30,90,5'11\"", '2024-01-15 10:00:31,91,"no end', "2024-01-15 10:00:32,92,"]
    data = "\r\n".join(lines).encode()
    plan = plan_of(data, CsvChoices(), None, has_person=True)
    assert isinstance(plan, CsvPlan)
    parts = list(any_csv(plan, io.BytesIO(data), owner(), block_bytes=block_bytes))
    blocks = [part for part in parts if isinstance(part, Block)]
    values = [value for block in blocks for value in block.candidates.values.tolist()]
    assert values == [*range(60, 80), 90, 92]
    (error,) = [error for block in blocks for error in block.errors]
    assert (error.index, error.reason) == (43, "begins a field in quotes that nothing ends")


def test_a_quote_that_nothing_ends_for_long_spoils_its_own_line() -> None:
    good = "".join(f"{1_705_312_800 + n},{60 + n % 60},fine\n" for n in range(20_000))  # more than a field may have
    before, after = good[: good.index("\n", 4_000) + 1], '1705312798,58,"end"\n'
    data = f'time,bpm,note\n{before}1705312799,59,"open\n{good}{after}'.encode()
    plan = plan_of(data[:2_000], CsvChoices(), None, has_person=True)
    assert isinstance(plan, CsvPlan)
    blocks = [part for part in any_csv(plan, io.BytesIO(data), owner()) if isinstance(part, Block)]
    whole = data.count(b"\n") - 2  # but the header and that line
    assert sum(len(block.candidates) for block in blocks) == whole
    assert [error.reason for block in blocks for error in block.errors] == [
        "begins a field in quotes that nothing ends"
    ]


def test_a_damaged_file_is_read_as_far_as_it_goes(desk: Desk) -> None:
    lines = b"time,bpm\n2024-01-15 10:00:00,61\n\0\0\0\n\xff\xfe,,\n2024-01-15 10:00:05,62\n2024-01-15 10:0"
    result = desk.bring_one(b"time,bpm\n" + b"2024-01-15 09:00:00,60\n" * 3000 + lines[9:])
    assert (result.problem, result.written, result.repeated) == (None, 3, 2999)
    assert sorted((place, field) for place, field, _ in desk.reasons) == [(3003, "line"), (3006, "line")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_text_in_utf_16_is_read(desk: Desk, encoding: str) -> None:
    mark = b"" if encoding == "utf-16" else b"\xfe\xff"
    text = "time\tbpm\tdevice\n" + "2024-01-15 10:00:00\t61\tMüller\n" * 3
    assert desk.bring_one(mark + text.encode(encoding)).written == 1
    assert [device for _, _, device, _, _ in stored(desk)] == ["M-ller.a78429899bb825ce"]


def test_memory_does_not_grow_with_the_file(desk: Desk) -> None:
    del desk
    lines = b"".join(b"%d,61,H10\n" % (1_705_312_800 + n) for n in range(20_000))
    plan = plan_of(b"time,bpm,device\n" + lines[:4000], CsvChoices(), None, has_person=True)
    assert isinstance(plan, CsvPlan)

    def most_bytes(times: int) -> int:
        file = io.BytesIO(b"time,bpm,device\n" + lines * times)
        tracemalloc.start()
        try:
            for _ in any_csv(plan, file, owner()):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert most_bytes(24) < 1.2 * most_bytes(8) + (1 << 20)
