"""How a body of line protocol is cut into lines: a text is never data, whatever it contains."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pulsebase.ingest.line_protocol import ParsedLines, parse_lines
from pulsebase.ingest.processor import ProcessorLimit, ProcessorTime, TooCostlyError
from tests.api.conftest import Api

NOW_US = 1_705_312_800_000_000
#: A reading as somebody may put it into a text.
HOSTILE = "heart_rate,user_id=eve bpm=66 1705312800"
GOOD = "heart_rate,user_id=ann,device_id=strap bpm=60 1705312801"


def parsed(body: str) -> ParsedLines:
    return parse_lines(body.encode(), "s", NOW_US)


def people(found: ParsedLines) -> list[str]:
    return list(found.candidates["heart_rate"].user_ids) if found.candidates else []


def refused(found: ParsedLines) -> list[tuple[int | None, str]]:
    return [(error.index, error.field) for error in found.errors]


@pytest.mark.parametrize(
    "text",
    [
        f"\n{HOSTILE}\n",
        f"\r\n{HOSTILE}\r\n",
        f'quoted \\"\n{HOSTILE}\n\\"',
        f"ends with a backslash \\\\\\\\\n{HOSTILE}\n",
        f"a, comma = and\n{HOSTILE}\n# a comment\n",
        f"C:\\dir\\\n{HOSTILE}\n",
    ],
)
@pytest.mark.parametrize(
    "place", ["note={},bpm=61", "bpm=61,note={}", "bpm={}", "a\\ b={}", "a\\=b={}", "bpm=6, note={}"]
)
def test_a_reading_inside_a_text_is_not_stored(text: str, place: str) -> None:
    fields = place.format(f'"{text}"')
    found = parsed(f"{GOOD}\nheart_rate,user_id=ben {fields} 1705312802\n{GOOD}")
    assert people(found) == ["ann", "ann"]
    assert [index for index, _ in refused(found)] == [2]
    assert readings(found) == [(1, "ann"), (3 + text.count("\n"), "ann")]


def test_a_text_that_nothing_ends_takes_the_rest_with_it_and_says_so() -> None:
    found = parsed(f'{GOOD}\nheart_rate,user_id=ben note="open 1705312802\n{HOSTILE}\n{HOSTILE}')
    assert people(found) == ["ann"]
    assert refused(found) == [(2, "line")]
    assert "no quote ends" in found.errors[0].reason
    assert "what follows it is not read" in found.errors[0].reason


@pytest.mark.parametrize(
    "line",
    [
        'heart_rate,user_id=ben,note=a" bpm=61 1705312802',
        'heart_rate,user_id=ben,note="a bpm=61 1705312802',
        'heart_rate,user_id=ben,no"te=a bpm=61 1705312802',
        'heart_"rate,user_id=ben bpm=61 1705312802',
        'heart_rate,user_id=ben b"pm=61 1705312802',
        '# a comment of "one" who says="stop',
        '   # and "another',
    ],
)
def test_quotes_elsewhere_are_letters(line: str) -> None:
    found = parsed(f"{line}\n{GOOD}\r\n{line}\r\n\n{GOOD}")
    assert people(found).count("ann") == 2
    assert "eve" not in people(found)


def test_quotes_in_tags_are_part_of_them() -> None:
    found = parsed('heart_rate,user_id=ben,note=5" bpm=61 1705312802\nheart_rate,user_id=cat,note=6" bpm=62 1705312802')
    assert people(found) == ["ben", "cat"]


def test_a_line_break_behind_a_backslash_ends_no_line() -> None:
    found = parsed(
        f"heart_rate,note=two\\\n{HOSTILE.replace(',', chr(92) + ',')},user_id=ben bpm=61 1705312802\n{GOOD}"
    )
    assert "eve" not in people(found)
    assert people(found)[-1] == "ann"


def test_whatever_the_door_unpacks_is_cut_the_same(api: Api) -> None:
    body = f'{GOOD}\nheart_rate,user_id=ben note="\n{HOSTILE}\n",bpm=61 1705312802\n'.encode()

    def pieces() -> Iterator[bytes]:
        for place in range(len(body)):
            yield body[place : place + 1]

    for content, headers in ((body, {}), (pieces(), {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
        content_of: Any = content
        answer = api.post("/api/v2/write", params={"precision": "s"}, content=content_of, headers=headers)
        assert (answer.status_code, "line 2: note is not a known field" in answer.json()["message"]) == (400, True)
        assert "dropped=1" in answer.json()["message"]
    assert {row["user_id"] for row in api.parts.store.stored().to_pylist()} == {"ann"}


# --- against a parser that goes letter by letter --------------------------------------------------------------------


def cut(body: str) -> Iterator[tuple[int, str, bool]]:
    """Lines with the number of the line of text that each begins on, and whether a text in it stays open."""
    at = 0
    while at <= len(body):
        blank = len(body) - len(body[at:].lstrip(" \t\r\v\f"))
        if body[blank : blank + 1] == "#":
            end, is_open = (body.find("\n", blank) if "\n" in body[blank:] else len(body)), False
        else:
            end, is_open = _end(body, blank)
        yield 1 + body.count("\n", 0, at), body[at:end], is_open
        at = len(body) + 1 if is_open else end + 1


def _end(body: str, at: int) -> tuple[int, bool]:
    """Where the line that begins at `at` ends, and whether a text is open there."""
    spaced = valued = quoted = False
    while at < len(body) and (quoted or body[at] != "\n"):
        letter = body[at]
        if letter == "\\":
            at += 1  # what follows has no meaning of its own
        elif letter == '"':
            quoted = valued and not quoted
        elif not quoted:
            spaced |= letter == " "
            valued = spaced and letter != "," and (valued or letter == "=")
        at += 1
    return min(at, len(body)), quoted


def split_at(text: str, sign: str, most: int = -1) -> list[str]:
    """Parts of a text at a sign that no backslash stands before and no text of a value holds."""
    parts, part, at, quoted = [], "", 0, False
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            part += text[at : at + 2]
            at += 2
            continue
        if text[at] == '"' and (quoted or part.endswith("=")):
            quoted = not quoted
        if text[at] == sign and not quoted and most != 0:
            parts.append(part)
            part, most = "", most - 1
        else:
            part += text[at]
        at += 1
    return [*parts, part]


def person_of(line: str) -> str | None:
    """Whose reading a line is, if it is a good one of whole numbers with a time, as far as this test writes them."""
    line = line.strip(" \t\r\v\f\n")
    space = 0
    while space < len(line) and line[space] != " ":
        space += 2 if line[space] == "\\" else 1
    measurement, *tags = split_at(line[:space], ",")
    named, fields = _pairs(tags, -1), None
    rest = [part for part in split_at(line[space:].strip(" "), " ") if part]
    if len(rest) == 2:
        fields = _pairs(split_at(rest[0], ","), 1)
    if measurement != "heart_rate" or named is None or fields is None or set(fields) != {"bpm"}:
        return None
    if not (_is_whole(fields["bpm"]) and _is_whole(rest[1]) and 946_684_800 <= int(rest[1]) < 7_258_118_400):
        return None
    return named.get("user_id")


def _pairs(texts: list[str], most: int) -> dict[str, str] | None:
    """Names and values, cut at the first `most` equals signs or all; None if a text has none or several."""
    pairs = [split_at(text, "=", most) for text in texts]
    return {pair[0]: pair[1] for pair in pairs} if all(len(pair) == 2 and all(pair) for pair in pairs) else None


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal()


PIECES = st.sampled_from(
    [
        "heart_rate",
        ",user_id=eve",
        ",user_id=ann",
        ",note=a",
        " bpm=60",
        ",bpm=60",
        " note=",
        ",note=",
        '"',
        '"',
        "\\",
        '\\"',
        "\\\\",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\\\n",
        "# ",
        "#",
        ",",
        "=",
        " ",
        " 1705312800",
        " 17",
        f"\n{HOSTILE}\n",
        f"{GOOD}\n",
        "é",
    ]
)
BODIES = st.lists(PIECES, max_size=24).map("".join)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(BODIES)
@example('heart_rate,user_id=a f="\\')
@example('heart_rate,user_id=a f="x\\"\n')
@example("heart_rate,user_id=a bpm=60 1705312800\\")
@example('#"\\\nheart_rate,user_id=ann bpm=60 1705312800\n"')
def test_lines_are_cut_as_a_slow_reader_cuts_them(body: str) -> None:
    found = parsed(body)
    read = dict(readings(found))
    errors = {error.index for error in found.errors}
    expected, wrong = {}, set()
    for number, line, is_open in cut(body):
        text = line.strip()
        if not is_open and (not text or text.startswith("#")):
            continue
        person = None if is_open else person_of(line)
        if person is None:
            wrong.add(number)
        else:
            expected[number] = person
    # Lines without a time are readings of now, which the slow reader does not know.
    untimed = {number for number in read if number in wrong and _has_no_time(body, number)}
    assert {number: person for number, person in read.items() if number not in untimed} == expected
    assert errors == wrong - untimed


def _has_no_time(body: str, number: int) -> bool:
    line = next(line for at, line, _ in cut(body) if at == number)
    return person_of(f"{line.rstrip()} 1705312800") is not None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet='a"\\\n\r,= #', max_size=20), st.booleans())
def test_what_a_writer_quotes_comes_out_as_one_line(text: str, first: bool) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    fields = f'note="{quoted}",bpm=61' if first else f'bpm=61,note="{quoted}"'
    found = parsed(f"{GOOD}\nheart_rate,user_id=ben {fields} 1705312802\n{GOOD}")
    assert people(found) == ["ann", "ann"]
    assert refused(found) == [(2, "note")]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(BODIES, st.integers(0, 400))
def test_a_body_that_breaks_off_gives_no_line_that_the_whole_does_not(body: str, place: int) -> None:
    whole = f'{GOOD}\nheart_rate,user_id=ben note="{HOSTILE}\n{HOSTILE}\n" 1705312802\n{body}'
    part = whole[:place]
    last = [number for number, _, _ in cut(part)][-1]
    by_line = [line for line in readings(parsed(part)) if line[0] != last]
    assert by_line == [line for line in readings(parsed(whole)) if line[0] < last]
    assert "eve" not in {person for number, person in readings(parsed(part)) if number <= 4}


def readings(found: ParsedLines) -> list[tuple[int, str]]:
    of_heart_rate = found.candidates.get("heart_rate")
    if of_heart_rate is None:
        return []
    assert of_heart_rate.positions is not None
    return list(zip(of_heart_rate.positions.tolist(), people(found), strict=True))


def test_few_long_lines_may_not_take_more_of_the_processor_than_many() -> None:
    line = f"heart_rate,{','.join(f't{number}=1' for number in range(8_000))},user_id=ann bpm=60\n"
    time = ProcessorTime(ProcessorLimit(base_s=0, per_mib_s=0), lambda: 0)
    with pytest.raises(TooCostlyError):
        parse_lines(line.encode() * 40, "s", NOW_US, time)
    assert not parse_lines(line.encode() * 5, "s", NOW_US, time).errors
