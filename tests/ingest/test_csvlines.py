"""CSV as it comes: a field in quotes is never read as a line, wherever the text is cut."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pulsebase.etl.extract import own_export
from pulsebase.etl.extract.parts import FileOwner, everybody_in
from pulsebase.ingest import ReadingRules, validate
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.ingest.csv_lines import csv_blocks
from pulsebase.ingest.lines import ndjson_blocks
from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import zone_named

HEADER = "user_id,device_id,timestamp,heart_rate,confidence\n"
GOOD = "ann,strap,2024-01-15T10:00:00Z,60,3\n"
HOSTILE = "eve,strap,2024-01-15T10:00:09Z,66,3"


def people(blocks: list[Block]) -> list[str]:
    verdicts = [validate(block.candidates, ReadingRules(), 1) for block in blocks]
    return [user for verdict in verdicts if verdict.accepted for user in verdict.accepted.users]


def faults(blocks: list[Block]) -> list[tuple[int | None, str]]:
    found = []
    for block in blocks:
        found += [*block.errors, *validate(block.candidates, ReadingRules(), 1).errors]
    return sorted(((error.index, error.field) for error in found), key=str)


def read(text: str) -> tuple[list[Block], str | None]:
    """What was read, and why no more was."""
    blocks = []
    try:
        for block in csv_blocks(io.BytesIO(text.encode())):
            blocks.append(block)
    except MalformedError as error:
        return blocks, str(error)
    return blocks, None


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("text", ["x{0}{1}{0}", '""{0}{1}{0}""', "{0}{1}{0}", "a, b{0}{1}{0}"])
def test_a_reading_inside_a_quoted_field_is_not_stored(place: int, text: str, break_: str) -> None:
    fields = ["ben", "strap", "2024-01-15T10:00:01Z", "61", "2"]
    fields[place] = f'"{text.format(break_, HOSTILE)}"'
    blocks, problem = read(HEADER + GOOD + ",".join(fields) + "\n" + GOOD)
    assert (people(blocks), problem) == (["ann", "ann"], None)
    assert [index for index, _ in faults(blocks)] == [1]


def test_an_export_that_is_read_again_is_cut_the_same() -> None:
    text = HEADER + GOOD + f'"ben\n{HOSTILE}\n",strap,2024-01-15T10:00:01Z,61,2\n' + GOOD
    owner = FileOwner(None, None, everybody_in(zone_named("UTC")))
    blocks = [part for part in own_export.csv(io.BytesIO(text.encode()), owner) if isinstance(part, Block)]
    assert people(blocks) == ["ann", "ann"]
    assert faults(blocks) == [(2, "user_id")]


def test_a_quote_that_nothing_ends_is_said_and_what_came_before_it_is_read() -> None:
    blocks, problem = read(HEADER + GOOD + f'ben,"strap,2024-01-15T10:00:01Z,61,2\n{HOSTILE}\n')
    assert people(blocks) == ["ann"]
    assert problem == "nothing ends the quote of the last field; what it holds is not read"


def test_fields_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    long = HEADER + GOOD + f'ben,"{"a" * 200_000}",2024-01-15T10:00:01Z,61,2\n'
    blocks, problem = read(long + GOOD)
    assert (people(blocks), problem) == (["ann"], "a field is longer than 131072 characters")
    monkeypatch.setattr("pulsebase.ingest.lines._TEXT_BYTES", 1 << 10)
    monkeypatch.setattr("pulsebase.ingest.csv_lines.LINE_BYTES", 1 << 12)
    blocks, problem = read(HEADER + GOOD + 'ben,"' + f"{HOSTILE}\n" * 1_000 + '",x\n')
    assert people(blocks) == ["ann"]
    assert problem == "a field in quotes is longer than 4096 characters, or nothing ends it"


def test_a_row_has_as_many_fields_as_names() -> None:
    blocks, _ = read(HEADER + GOOD + "ben,strap,2024-01-15T10:00:01Z,61\n" + GOOD)
    assert [(error.index, error.reason) for error in blocks[0].errors] == [
        (1, "has not as many fields as the first line has names")
    ]


@pytest.mark.parametrize(
    ("first", "field", "reason"),
    [
        (HEADER.replace(",", ";"), "columns", "are parted by semicolons; part them by commas"),
        (HEADER.replace(",", "\t"), "columns", "are parted by tabs; part them by commas"),
        (HEADER.replace("\n", "\r"), "columns", "lines must end in a line feed; these end in a carriage return alone"),
        (GOOD, "columns", "must be named in the first line: user_id, device_id, timestamp, heart_rate, confidence"),
        (f",{HEADER}", "column 1", "has no name; write a frame without its index (index=False)"),
        (f"note,{HEADER}", "note", "is not a known column"),
    ],
)
def test_a_first_line_that_does_not_name_the_columns_is_told_apart(first: str, field: str, reason: str) -> None:
    with pytest.raises(RejectedError) as caught:
        read(first + GOOD)
    assert [(error.field, error.reason) for error in caught.value.errors] == [(field, reason)]
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("bad_neighbour", [False, True])
def test_confidences_are_whole_numbers_and_no_number_is_none(quoted: bool, bad_neighbour: bool) -> None:
    stated = ["2", "2.0", "", "nan", "NaN", "1.5", "4", "x", "3.", "-1", "1e0", "inf"]
    rows = [f"ann,strap,2024-01-15T10:00:{row:02}Z,60,{text}" for row, text in enumerate(stated)]
    if quoted:
        rows = [",".join(f'"{field}"' for field in row.split(",")) for row in rows]
    if bad_neighbour:
        rows.append("ann,strap,2024-01-15T10:00:59Z,fast,1")
    blocks, _ = read(HEADER + "\n".join(rows))
    kept = [validate(block.candidates, ReadingRules(), 1).accepted for block in blocks]
    assert [code for batch in kept if batch for code in batch.confidences.tolist()] == [2, 2, -1, -1, -1, 3, 1]
    wrong = [row for row, text in enumerate(stated) if text in ("1.5", "4", "x", "-1", "inf")]
    assert [index for index, field in faults(blocks) if field == "confidence"] == sorted(wrong, key=str)


# --- against a reader that goes letter by letter --------------------------------------------------------------------


def rows_of(text: str) -> tuple[list[list[str]], bool]:
    """Whole rows, and whether a quote is open at the end. A quote begins a field or is a letter like others."""
    rows: list[list[str]] = []
    row, field, quoted, begun, at = [], "", False, False, 0
    while at < len(text):
        letter = text[at]
        if quoted:
            if letter == '"' and text[at + 1 : at + 2] == '"':
                field += '"'
                at += 1
            elif letter == '"':
                quoted = False
            else:
                field += letter
        elif letter == '"' and not begun:
            quoted = begun = True
        elif letter == ",":
            row.append(field)
            field, begun = "", False
        elif letter == "\n":
            rows.append([*row, field])
            row, field, begun = [], "", False
        elif letter != " " or begun:
            field += letter
            begun = True
        at += 1
    if (row or field) and not quoted:
        rows.append([*row, field])
    return [row for row in rows if len(row) > 1 or row[0].strip()], quoted


def person_of(row: list[str]) -> str | None:
    is_good = len(row) == 5 and row[1:] == HOSTILE.split(",")[1:] and row[0].isascii() and row[0].isalnum()
    return row[0] if is_good and len(row[0]) <= 128 else None


PIECES = st.sampled_from(
    ["ann", '"', '"', '""', ",", "\n", "\n", "\r\n", " ", HOSTILE, f"\n{HOSTILE}\n", HOSTILE.replace("eve", "ann"), "é"]
)


@settings(
    max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(PIECES, max_size=16).map("".join), st.integers(1, 60))
@example(f'"\n{HOSTILE}\n"', 1)
@example(f'a"\n{HOSTILE}\n"', 7)
def test_rows_are_cut_as_a_slow_reader_cuts_them(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setattr("pulsebase.ingest.lines._TEXT_BYTES", size)
    blocks, problem = read(HEADER + text)
    rows, is_open = rows_of(text.replace("\r\n", "\n"))
    assert (problem is not None) == is_open
    assert people(blocks) == [person for row in rows if (person := person_of([field.strip() for field in row]))]
    assert sum(block.total for block in blocks) == len(rows)


@pytest.mark.parametrize("size", range(1, 40))
def test_a_text_may_be_cut_at_any_byte(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEADER + GOOD + f'"ben\r\n{HOSTILE}\r\n",strap,2024-01-15T10:00:01Z,61,2\r\n' + '"ann"' + GOOD[3:]
    monkeypatch.setattr("pulsebase.ingest.lines._TEXT_BYTES", size)
    blocks, problem = read(text)
    assert (people(blocks), faults(blocks), problem) == (["ann", "ann"], [(1, "user_id")], None)


# --- NDJSON --------------------------------------------------------------------------------------------------------


def item(**fields: Any) -> dict[str, Any]:
    usual = {"user_id": "ann", "device_id": "strap", "timestamp": "2024-01-15T10:00:00Z", "heart_rate": 60}
    return usual | fields


def test_a_text_of_json_holds_no_line_break_so_one_ends_a_reading_always() -> None:
    text = json.dumps(item(device_id=f"x\n{json.dumps(item(user_id='eve'))}\n"))
    assert "\n" not in text
    blocks = list(ndjson_blocks(io.BytesIO(f"{text}\n{json.dumps(item())}\n".encode())))
    assert (people(blocks), faults(blocks)) == (["ann"], [(0, "device_id")])


def test_what_a_line_is_instead_of_a_reading_is_said() -> None:
    text = "\n".join(["no json", "[1]", "7", "null", json.dumps(item())])
    blocks = list(ndjson_blocks(io.BytesIO(text.encode())))
    assert [error.reason for error in blocks[0].errors] == [
        "is not JSON; a line holds one reading",
        "must be an object, not a list of them",
        "must be an object",
        "must be an object",
    ]
    assert people(blocks) == ["ann"]


@pytest.mark.parametrize("bad_neighbour", [False, True])
def test_confidences_of_json_are_whole_numbers_and_no_number_is_none(bad_neighbour: bool) -> None:
    stated: list[Any] = [2, 2.0, None, float("nan"), 1.5, 4.0, 1e300, 10**400, True, "1", 3.0]
    items = [item(confidence=each) for each in stated]
    if bad_neighbour:
        items.append(item(heart_rate="x"))
    blocks = list(ndjson_blocks(io.BytesIO("\n".join(map(json.dumps, items)).encode())))
    kept = [validate(block.candidates, ReadingRules(), 1).accepted for block in blocks]
    assert [code for batch in kept if batch for code in batch.confidences.tolist()] == [2, 2, -1, -1, 3]
    assert sorted(row for row, name in faults(blocks) if name == "confidence" and row is not None) == list(range(4, 10))
