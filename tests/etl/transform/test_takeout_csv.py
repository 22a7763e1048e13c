"""Lines of Google's CSV files: read as columns where all are alike, one by one where they are not."""

from __future__ import annotations

import pytest

from pulsebase.etl.transform import takeout_csv
from pulsebase.etl.transform.takeout_csv import Lines, header_of, parse_lines
from tests.support.health_files import at

NAMES = ["timestamp", "beats per minute", "data source"]
LINES = [f"2024-10-27T00:{n // 60:02}:{n % 60:02}Z,{60 + n % 90},Band" for n in range(300)]


def columns_of(lines: Lines) -> tuple[object, ...]:
    columns = (lines.times_us.tolist(), lines.values.tolist(), lines.numbers.tolist())
    return (*columns, list(lines.sources), lines.errors, lines.empty)


def both_ways(text: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Lines, Lines]:
    found = parse_lines(text, NAMES, 2)
    with monkeypatch.context() as slowly:
        slowly.setattr(takeout_csv, "_alike", lambda *_: None)
        return found, parse_lines(text, NAMES, 2)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"\n", b"\r\n"),
        (b"00:00:0", b"00:00:000"),
        (b":00Z", b":00.096319Z"),
        (b":00Z", b":00.096319789Z"),  # cut off behind microseconds
        (b":00Z", b":00+02:00"),
        (b":00Z", b":00"),  # UTC, as everywhere
        (b":00Z", b":61Z"),
        (b"10-27", b"02-30"),
        (b"2024-10-27T00:00:07Z", b"yesterday"),
        (b"2024-10-27T00:00:07Z", b""),
        (b"2024-10-27T00:00:07Z", b" 2024-10-27T00:00:07Z "),
        (b"2024-10-27T00:00:07Z", b"2024-10-27"),
        *(
            (b",67,", b"," + bpm + b",")
            for bpm in (b"", b"  ", b"67.0", b" 67", b'"67"', b"fast", b"1e2", b"inf", b"0")
        ),
        (b",67,Band", b",67"),
        (b",67,Band", b",67,Band,more"),
        (b",67,Band", b',67,"Phone, Health Connect"'),
        (b",67,Band", b',67,"a ""b"" c"'),
        (b",67,Band", b',67,"unended'),
        (b",67,Band", b",67,B\xff"),
        (b",67,Band", b",67,"),
        (b"Band\n", b"Band\n\n"),
    ],
)
def test_both_ways_of_reading_say_the_same(there: bytes, instead: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ("\n".join(LINES) + "\n").encode()
    assert there in text
    quick, slow = both_ways(text.replace(there, instead), monkeypatch)
    assert columns_of(quick) == columns_of(slow)


def test_lines_are_read_as_they_stand() -> None:
    text = (
        b"2026-09-12T04:00:00Z,80,Fitbit Charge 6\n"
        b"2026-09-12T04:00:10.096319Z,120.5,Fitbit Charge 6\n"
        b"2026-09-12T04:00:15Z,,Fitbit Charge 6\n"
        b"2026-09-12,70,Fitbit Charge 6\n"
        b"2026-09-12T04:00:20Z,fast,Fitbit Charge 6\n"
        b'2026-09-12T06:00:00+02:00,60,"Phone, Health Connect"'
    )
    begin = at("2026-09-12T04:00:00") * 1_000_000
    lines = parse_lines(text, NAMES, 2)
    assert lines.times_us.tolist() == [begin, begin + 10_096_319, begin]
    assert lines.values.tolist() == [80, 120.5, 60]
    assert lines.numbers.tolist() == [2, 3, 7]
    assert list(lines.sources) == ["Fitbit Charge 6", "Fitbit Charge 6", "Phone, Health Connect"]
    assert [(error.field, error.index) for error in lines.errors] == [("timestamp", 5), ("heart_rate", 6)]
    assert lines.empty == 1


def test_lines_as_the_vendor_writes_them_are_read_as_columns() -> None:
    text = ("\n".join([*LINES, '2024-10-27T01:00:00Z,,"Phone, Health Connect"'])).encode()
    assert takeout_csv._alike(text, NAMES) is not None


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (b"timestamp,beats per minute", NAMES[:2]),
        (b"timestamp,beats per minute,data source\r", NAMES),
        (b'\xef\xbb\xbf"timestamp","beats per minute","data source"', NAMES),
        (b"Timestamp, Beats per minute", NAMES[:2]),
        (b"data source,beats per minute,timestamp", NAMES[::-1]),
        (b"timestamp,beats per minute,timestamp", None),
        (b"timestamp,oxygen saturation percentage,data source", None),
        (b'"timestamp', None),
        (b"", None),
    ],
)
def test_the_first_line_tells_such_a_file(line: bytes, names: list[str] | None) -> None:
    assert header_of(line) == names
