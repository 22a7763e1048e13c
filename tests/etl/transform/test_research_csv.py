from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsebase.etl.extract.parts import everybody_in
from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.etl.transform.csv_layout import layout_of
from pulsebase.etl.transform.research_csv import ParsedBlock, TextBlock, parse_block
from pulsebase.model.timerange import MAX_US, from_us, to_us

UTC_ZONE = ZoneInfo("UTC")
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"]


def parsed(*lines: str | bytes, zone: str = "UTC") -> ParsedBlock:
    data = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
    return parse_block(TextBlock(data, 2), LocalClocks(everybody_in(ZoneInfo(zone))), "csv")


def times(*texts: str, zone: str = "UTC") -> list[str]:
    block = parsed(*(f"1,{text},70" for text in texts), zone=zone)
    assert block.errors == []
    return [f"{from_us(time_us):%Y-%m-%dT%H:%M:%S}" for time_us in block.candidates.times_us.tolist()]


def test_both_layouts_are_read() -> None:
    assert times(
        "2016-04-12 07:21:00",
        "4/12/2016 7:21:00 AM",
        "12/31/2016 11:59:59 PM",
        "1/1/2016 12:00:00 AM",
        "1/1/2016 12:00:01 PM",
        "2/29/2016 1:00:00 pm",
    ) == [
        "2016-04-12T07:21:00",
        "2016-04-12T07:21:00",
        "2016-12-31T23:59:59",
        "2016-01-01T00:00:00",
        "2016-01-01T12:00:01",
        "2016-02-29T13:00:00",
    ]


def test_local_times_are_read_in_the_zone() -> None:
    assert times("2016-01-12 07:21:00", "2016-07-12 07:21:00", zone="America/Chicago") == [
        "2016-01-12T13:21:00",
        "2016-07-12T12:21:00",
    ]


def test_where_clocks_fall_back_times_are_of_the_first_hour_until_they_step_back() -> None:
    # Berlin, 2016-10-30: 03:00 summer time becomes 02:00.
    assert times(
        "2016-10-30 02:00:00",
        "2016-10-30 02:50:00",
        "2016-10-30 02:49:00",  # disorder
        "2016-10-30 02:59:59",
        "2016-10-30 02:00:00",
        "2016-10-30 02:59:59",
        "2016-10-30 02:10:00",
        "2016-10-30 03:00:00",
        zone="Europe/Berlin",
    ) == [
        "2016-10-30T00:00:00",
        "2016-10-30T00:50:00",
        "2016-10-30T00:49:00",
        "2016-10-30T00:59:59",
        "2016-10-30T01:00:00",
        "2016-10-30T01:59:59",
        "2016-10-30T01:10:00",
        "2016-10-30T02:00:00",
    ]


def test_where_the_newest_come_first_times_are_of_the_second_hour_until_they_step_forward() -> None:
    ascending = ["01:59:00", "02:00:00", "02:10:00", "02:59:59", "02:00:01", "02:40:00", "02:50:00", "03:00:00"]
    walls = [f"2016-10-30 {clock}" for clock in ascending]
    assert times(*walls[::-1], zone="Europe/Berlin") == times(*walls, zone="Europe/Berlin")[::-1]
    disorder = [walls[7], walls[5], walls[6], *walls[4::-1]]
    assert times(*disorder, zone="Europe/Berlin")[:4] == [
        "2016-10-30T02:00:00",
        "2016-10-30T01:40:00",
        "2016-10-30T01:50:00",
        "2016-10-30T01:00:01",
    ]


def test_the_hour_that_comes_twice_may_be_of_the_day_before() -> None:
    # St John's, 2010-11-07: 00:01 becomes 23:01 of the day before.
    walls = ["06 22:59:00", "06 23:05:00", "06 23:55:00", "07 00:00:30", "06 23:05:00", "06 23:55:00", "07 00:00:30"]
    found = times(*(f"2010-11-{each}" for each in [*walls, "07 00:05:00"]), zone="America/St_Johns")
    assert [each[11:] for each in found] == [
        "01:29:00",
        "01:35:00",
        "02:25:00",
        "02:30:30",
        "02:35:00",
        "03:25:00",
        "03:30:30",
        "03:35:00",
    ]


@pytest.mark.parametrize(
    ("zone", "walls", "instants"),
    [
        pytest.param(
            "Europe/Berlin",
            "27 02:10, 27 02:20, 27 02:05, 27 02:06, 27 03:00",
            "00:10, 00:20, 01:05, 01:06, 02:00",
            id="off the wrist for most of the hour",
        ),
        pytest.param(
            "Europe/Berlin", "27 01:00, 27 02:00, 27 02:00, 27 03:00", "23:00, 00:00, 01:00, 02:00", id="every hour"
        ),
        pytest.param(
            "Antarctica/Troll", "27 01:05, 27 02:55, 27 01:05, 27 02:55", "23:05, 00:55, 01:05, 02:55", id="two hours"
        ),
    ],
)
def test_a_step_back_of_any_length_may_be_the_change(zone: str, walls: str, instants: str) -> None:
    found = times(*(f"2024-10-{each}:00" for each in walls.split(", ")), zone=zone)
    assert [each[11:16] for each in found] == instants.split(", ")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"])
@pytest.mark.parametrize("step_s", [7, 600])
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_whole_year_either_way_round_moves_no_reading(zone: str, step_s: int, newest_first: bool) -> None:
    begin = datetime(2024, 1, 1, tzinfo=UTC).timestamp() if step_s == 600 else datetime(2024, 10, 25).timestamp()
    count = 366 * 144 if step_s == 600 else 40_000
    instants = [int(begin) + step_s * n for n in range(count)]
    if newest_first:
        instants.reverse()
    walls = [datetime.fromtimestamp(at_s, ZoneInfo(zone)) for at_s in instants]
    clocks = LocalClocks(everybody_in(ZoneInfo(zone)))
    lines = [f"1,{wall:%Y-%m-%d %H:%M:%S},70\n" for wall in walls]
    found: list[int] = []
    for first in range(0, len(lines), 5_000):  # blocks end anywhere
        block = parse_block(TextBlock("".join(lines[first : first + 5_000]).encode(), 2), clocks, "csv")
        found += block.candidates.times_us.tolist()
    assert [at_us // 1_000_000 for at_us in found] == instants
    assert clocks.untold == 0


def test_times_whose_order_tells_nothing_are_counted() -> None:
    clocks = LocalClocks(everybody_in(ZoneInfo("Europe/Berlin")))
    nights = ["2016-10-30 02:10:00", "2016-10-30 02:50:00", "2016-10-30 03:50:00", "2017-10-29 02:00:00"]
    lines = "".join(f"1,{wall},70\n" for wall in nights)
    parse_block(TextBlock(lines.encode(), 2), clocks, "csv")
    assert clocks.untold == 3
    told = "".join(f"1,{wall},70\n" for wall in ("2017-10-29 02:59:00", "2017-10-29 02:00:00"))
    parse_block(TextBlock(told.encode(), 2), clocks, "csv")
    assert clocks.untold == 2


def test_each_persons_clock_falls_back_on_its_own_also_between_two_blocks() -> None:
    zones = {"1": ZoneInfo("Europe/Berlin"), "2": ZoneInfo("America/Chicago"), "3": ZoneInfo("Europe/Berlin")}
    clocks = LocalClocks(zones.__getitem__)
    blocks = [
        ["1,2016-10-30 02:59:00,1", "2,2016-11-06 01:50:00,2", "3,2016-10-30 02:50:00,3"],
        ["1,2016-10-30 02:01:00,4", "2,2016-11-06 01:10:00,5", "3,2016-10-30 02:55:00,6", "1,2017-10-29 02:00:00,7"],
    ]
    found = []
    for lines in blocks:
        block = parse_block(TextBlock("".join(f"{line}\n" for line in lines).encode(), 2), clocks, "csv").candidates
        found += [f"{from_us(at_us):%d %H:%M}" for at_us in block.times_us.tolist()]
    assert found == ["30 00:59", "06 06:50", "30 00:50", "30 01:01", "06 07:10", "30 00:55", "29 00:00"]


def test_a_time_alone_that_comes_twice_is_the_first() -> None:
    assert times("2016-10-30 01:59:59", "2016-10-30 02:30:00", "2016-10-30 03:00:00", zone="Europe/Berlin") == [
        "2016-10-29T23:59:59",
        "2016-10-30T00:30:00",
        "2016-10-30T02:00:00",
    ]


def test_a_time_that_does_not_exist_is_moved_forward() -> None:
    # Berlin, 2016-03-27: 02:00 becomes 03:00, so 02:30 is read as 03:30 summer time.
    assert times("2016-03-27 01:59:59", "2016-03-27 02:30:00", "2016-03-27 03:30:00", zone="Europe/Berlin") == [
        "2016-03-27T00:59:59",
        "2016-03-27T01:30:00",
        "2016-03-27T01:30:00",
    ]


@given(
    st.lists(st.datetimes(datetime(1970, 1, 3), datetime(2037, 12, 30)), min_size=1, max_size=20),
    st.sampled_from(ZONES),
    st.booleans(),
)
def test_times_are_those_of_the_standard_library(walls: list[datetime], zone: str, us_layout: bool) -> None:
    walls = sorted(wall.replace(microsecond=0, fold=0) for wall in walls)  # not the newest first
    form = "{0.month}/{0.day}/{0.year} {1}:{0:%M:%S %p}" if us_layout else "{0:%Y-%m-%d %H:%M:%S}"
    block = parsed(*("1," + form.format(wall, wall.hour % 12 or 12) + ",70" for wall in walls), zone=zone)
    assert block.errors == []
    assert block.candidates.times_us.tolist() == [to_us(wall.replace(tzinfo=ZoneInfo(zone))) for wall in walls]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", [1994, 2007, 2011, 2018])
def test_every_quarter_of_a_year_is_that_of_the_standard_library(zone: str, year: int) -> None:
    start_us = to_us(datetime(year, 1, 1, tzinfo=UTC))
    walls = [from_us(start_us + n * 900_000_000).replace(tzinfo=None) for n in range(365 * 96)]
    block = parsed(*(f"1,{wall:%Y-%m-%d %H:%M:%S},70" for wall in walls), zone=zone)
    assert block.candidates.times_us.tolist() == [to_us(wall.replace(tzinfo=ZoneInfo(zone))) for wall in walls]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2016-04-12",
        "2016-04-12 07:21",
        "2016-04-12 24:00:00",
        "2016-04-12 07:60:00",
        "2016-04-12 07:21:60",
        "2016-13-12 07:21:00",
        "2016-00-12 07:21:00",
        "2015-02-29 07:21:00",
        "1900-02-29 07:21:00",
        "2016-04-31 07:21:00",
        "2016-04-00 07:21:00",
        "2016/04/12 07:21:00",
        "2016-04-12 07:21:00 AM",
        "2016-04-12T07:21:00 Z",
        "2016-04-12 07:21:00+24:00",
        "2016-04-12 07:21:00+01:60",
        "2016-04-12 07:21:00+1",
        "2016-04-12 07:21:00 +01:00",
        "2016-04-12 07:21:00.",
        "2016-04-12 07:21:00.1234567890",
        "2016-04-12 07:21:00 1",
        "4/12/2016T7:21:00 AM",
        "4/12/2016 7:21:00Z",
        "4/12/2016 7:21:00 A.",
        "2016-04-12 07:21:000",
        "-2016-04-12 07:21:00",
        "16-04-12 07:21:00",
        "4/12/2016 7:21:00",
        "4/12/2016 13:21:00 PM",
        "4/12/2016 0:21:00 AM",
        "4/12/2016 7:21:00 XM",
        "4/12/2016 7:21:00  AM",
        "13/12/2016 7:21:00 AM",
        "4//2016 7:21:00 AM",
        "4/12/2016 7:21:00 AM and more than any time holds",
    ],
)
def test_what_is_no_time_is_refused_with_its_line(text: str) -> None:
    block = parsed("1,2016-04-12 07:21:00,70", f"1,{text},71", "1,2016-04-12 07:21:05,72")
    assert block.candidates.values.tolist() == [70, 72]
    assert [(error.index, error.field) for error in block.errors] == [(3, "timestamp")]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2016-04-12T07:21:00", "2016-04-12T11:21:00"),
        ("2016-04-12T07:21:00Z", "2016-04-12T07:21:00"),
        ("2016-04-12 07:21:00z", "2016-04-12T07:21:00"),
        ("2016-04-12 07:21:00+00:00", "2016-04-12T07:21:00"),
        ("2016-04-12T07:21:00-05:00", "2016-04-12T12:21:00"),
        ("2016-04-12T07:21:00+0545", "2016-04-12T01:36:00"),
        ("2016-04-12T07:21:00.250+02", "2016-04-12T05:21:00.250000"),
        ("2016-04-12 07:21:05.5", "2016-04-12T11:21:05.500000"),
        ("2016-04-12T07:21:05.123456789Z", "2016-04-12T07:21:05.123456"),
        ("4/12/2016 7:21:00AM", "2016-04-12T11:21:00"),
        ("4/12/2016 7:21:00 p.m.", "2016-04-12T23:21:00"),
        ("4/12/2016 7:21:00 Am", "2016-04-12T11:21:00"),
        ("4/12/2016 7:21:00\u202fAM", "2016-04-12T11:21:00"),
        ("4/12/2016\u00a07:21:00\u00a0PM\u00a0", "2016-04-12T23:21:00"),
    ],
)
def test_times_are_local_unless_they_say_their_offset(text: str, instant: str) -> None:
    block = parsed("1,2016-04-12 00:00:00,70", f"1,{text},71", "1,4/12/2016 1:00:00 AM,72", zone="America/New_York")
    assert block.errors == []
    found = [from_us(at_us).replace(tzinfo=None).isoformat() for at_us in block.candidates.times_us.tolist()]
    assert found == ["2016-04-12T04:00:00", instant, "2016-04-12T05:00:00"]


@given(st.datetimes(datetime(1970, 1, 3), datetime(2037, 12, 30)), st.integers(-14 * 60, 14 * 60), st.booleans())
def test_times_with_an_offset_are_those_of_the_standard_library(wall: datetime, minutes: int, colon: bool) -> None:
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{':' if colon else ''}{abs(minutes) % 60:02}"
    text = wall.isoformat() + offset
    block = parsed(f"1,{text},70", zone="Europe/Berlin")
    assert block.candidates.times_us.tolist() == [to_us(datetime.fromisoformat(text))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("4/12/2016 7:21", "has no seconds: a spreadsheet left them out"),
        ("2016-04-12 07:21", "has no seconds: a spreadsheet left them out"),
        ("4/12/2016 19:21:05", "has no AM or PM, so that day or month may come first"),
        ("4/12/16 7:21:00 AM", "has a year of two digits"),
        ("12.04.2016 07:21:00", "has the day first"),
        ("1460445660", "is a number"),
        ("soon", "is not a time such as 2016-04-12 07:21:00"),
    ],
)
def test_a_refusal_says_what_to_do(text: str, reason: str) -> None:
    (error,) = parsed(f"1,{text},70").errors
    assert error.reason.startswith(reason)
    assert reason == "is not a time such as 2016-04-12 07:21:00" or "write" in error.reason or "bring" in error.reason


@pytest.mark.parametrize("user_id", ["2.02E+09", "2.0225e+09", "2E+10", "2,02E+09", "2022484408.0", "7.00", "7,0"])
def test_ids_that_a_spreadsheet_changed_are_refused(user_id: str) -> None:
    good = "ann;2016-04-12 07:21:00;70\n2022484408;2016-04-12 07:21:00;70\n1e5;2016-04-12 07:21:00;71\n"
    lines = f"{good}{user_id};2016-04-12 07:21:00;72\n{user_id};2016-04-12 07:21:05;73\n1.05;2016-04-12 07:21:00;74\n"
    block = parse_block(
        TextBlock(lines.encode(), 2), LocalClocks(everybody_in(UTC_ZONE)), "csv", layout_of(b"Id;Time;Value")
    )
    assert [(error.index, error.field) for error in block.errors] == [(5, "user_id"), (6, "user_id")]
    assert all("spreadsheet" in error.reason and "bring the file" in error.reason for error in block.errors)
    assert list(block.candidates.user_ids) == ["ann", "2022484408", "1e5", "1.05"]
    assert block.candidates.positions is not None
    assert block.candidates.positions.tolist() == [2, 3, 4, 7]


def test_a_decimal_comma_is_read_where_commas_part_no_fields() -> None:
    layout = layout_of(b"Id;Time;Value")
    lines = b'7;2016-04-12 07:21:00;97,5\n7;2016-04-12 07:21:05;"98,25"\n7;2016-04-12 07:21:10;9,7,1\n'
    block = parse_block(TextBlock(lines, 2), LocalClocks(everybody_in(UTC_ZONE)), "csv", layout)
    assert block.candidates.values.tolist() == [97.5, 98.25]
    assert [(error.index, error.field) for error in block.errors] == [(4, "heart_rate")]
    (error,) = parsed('7,2016-04-12 07:21:00,"97,5"').errors
    assert "decimal comma" in error.reason


def test_times_before_1970_are_left_to_the_validation() -> None:
    assert parsed("1,1969-12-31 23:59:59,70").candidates.times_us.tolist() == [-1_000_000]
    assert parsed("1,9998-12-31 23:59:59,70").candidates.times_us.tolist()[0] < MAX_US


def test_values_are_numbers() -> None:
    texts = ["70", "72.346", "072", "-5", "+60", "300", "1000000", "88.", ".5", "9.7e1", "+6E+1"]
    values = parsed(*(f"1,2016-04-12 07:21:00,{text}" for text in texts)).candidates.values.tolist()
    assert values == [70, 72.346, 72, -5, 60, 300, 1_000_000, 88, 0.5, 97, 60]


@pytest.mark.parametrize("text", ["", "NaN", "NA", "n/a", "NULL", "-", '""'])
def test_a_line_without_a_value_is_no_reading_whatever_its_time(text: str) -> None:
    block = parsed("1,2016-04-12 07:21:00,70", f"1,2016-04-12 07:21:05,{text}", f"1,soon,{text}")
    assert block.candidates.values.tolist() == [70]
    assert (block.errors, block.empty) == ([], 2)


@pytest.mark.parametrize("text", ["inf", "e2", "1e", "0x46", "7O", "7 0", ".", "70bpm", "\uff11", "--7"])
def test_what_is_no_number_is_refused_with_its_line(text: str) -> None:
    block = parsed("1,2016-04-12 07:21:00,70", f"1,2016-04-12 07:21:05,{text}")
    assert block.candidates.values.tolist() == [70]
    assert [(error.index, error.field, error.reason) for error in block.errors] == [
        (3, "heart_rate", "is not a number")
    ]


def test_another_number_of_columns_is_refused_and_an_empty_line_is_nothing() -> None:
    block = parsed("1,2016-04-12 07:21:00,70", "", "  ", "1,2016-04-12 07:21:00", "1,2016-04-12 07:21:00,70,8", "x")
    assert [(error.index, error.reason) for error in block.errors] == [
        (5, "has 2 columns instead of 3"),
        (6, "has 4 columns instead of 3"),
        (7, "has 1 columns instead of 3"),
    ]
    assert block.lines == 6
    assert block.candidates.positions is not None
    assert block.candidates.positions.tolist() == [2]


def test_empty_fields_at_the_end_of_a_line_are_none() -> None:
    block = parsed("1,2016-04-12 07:21:00,70,", "1,2016-04-12 07:21:05,71, , ", '1,2016-04-12 07:21:10,72,"",', "1,,")
    assert block.candidates.values.tolist() == [70, 71]
    assert [(error.index, error.reason) for error in block.errors] == [(4, "has 5 columns instead of 3")]
    assert block.empty == 1


def test_quotes_and_blanks_around_fields_are_taken_off() -> None:
    block = parsed(
        '"7","2016-04-12 07:21:00","70"', " 7 , 2016-04-12 07:21:05 ,\t71 ", '" 7","4/12/2016 7:21:10 AM",72'
    )
    assert block.errors == []
    assert list(map(str, block.candidates.user_ids)) == ["7", "7", "7"]
    assert block.candidates.values.tolist() == [70, 71, 72]


def test_ids_keep_their_rows() -> None:
    ids = ["7", "7", "70", "7", "anna@x", "", "é", "x" * 500]
    block = parsed(*(f"{name},2016-04-12 07:21:00,70" for name in ids))
    found = list(map(str, block.candidates.user_ids))
    assert found[:-1] == ids[:-1]
    assert len(found[-1]) > 128  # shortened, still too long


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 40, b"1,2016-04-12 07:21:05,7\x000", b"1\0,2016-04-12 07:21:0\0,70", b"\xff\xfe,\x80,\x81", b'""",7,"x'],
)
def test_damaged_bytes_cost_their_line_alone(damage: bytes) -> None:
    block = parsed("1,2016-04-12 07:21:00,70", damage, "1,2016-04-12 07:21:10,72")
    assert block.candidates.values.tolist() == [70, 72]
    assert [error.index for error in block.errors] == [3]


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=10))
def test_no_bytes_break_the_reading(lines: list[bytes]) -> None:
    block = parsed(b"1,2016-04-12 07:21:00,70", *lines, b"1,2016-04-12 07:21:10,72")
    assert block.candidates.values.tolist()[0] == 70
    assert block.candidates.values.tolist()[-1] == 72
    assert len(block.candidates) + len(block.errors) <= block.lines == len(lines) + 2
