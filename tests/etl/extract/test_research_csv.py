import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.extract.kinds import RESEARCH_CSV, kind_of
from pulsebase.etl.extract.parts import FileOwner, PassedOver, everybody_in
from pulsebase.etl.extract.research_csv import BLOCK_BYTES, DEVICE_ID, LINE_BYTES, research_csv
from pulsebase.ingest import ReadingRules, validate
from pulsebase.ingest.blocks import Block
from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import format_us

UTC = ZoneInfo("UTC")
NOBODY = FileOwner(None, None, everybody_in(UTC))
HEADER = b"Id,Time,Value\n"
GOOD = b"7,2016-04-12 07:21:00,70\n7,2016-04-12 07:21:05,71\n8,4/12/2016 7:21:10 AM,72\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heartrate.csv"


def blocks(path: Path, owner: FileOwner = NOBODY, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    with path.open("rb") as file:
        for part in research_csv(file, owner, block_bytes=block_bytes):
            assert isinstance(part, Block)
            yield part


def read(
    path: Path, block_bytes: int = 1 << 20
) -> tuple[list[tuple[str, str, str, float, int]], list[tuple[int, str]]]:
    """The rows (id, device, time, value, line) and the errors (line, field) of all blocks."""
    rows, errors = [], []
    for block in blocks(path, block_bytes=block_bytes):
        found = block.candidates
        assert found.positions is not None
        times = map(format_us, found.times_us.tolist())
        names = map(str, found.user_ids)
        rows += list(zip(names, found.device_ids, times, found.values.tolist(), found.positions.tolist(), strict=True))
        errors += [(error.index or 0, error.field) for error in block.errors]
    return rows, errors


EXPECTED = [
    ("7", DEVICE_ID, "2016-04-12T07:21:00Z", 70.0, 2),
    ("7", DEVICE_ID, "2016-04-12T07:21:05Z", 71.0, 3),
    ("8", DEVICE_ID, "2016-04-12T07:21:10Z", 72.0, 4),
]


@pytest.mark.parametrize("block_bytes", [1, 7, 40, 1 << 20])
@pytest.mark.parametrize(
    "data",
    [
        HEADER + GOOD,
        (HEADER + GOOD).rstrip(),
        (HEADER + GOOD).replace(b"\n", b"\r\n"),
        (HEADER + GOOD).replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + HEADER + GOOD,
        b'"Id", time ,VALUE\r\n' + GOOD,
        HEADER + GOOD + b"\n\n",
        (HEADER + GOOD).replace(b",", b";"),
        (HEADER + GOOD).replace(b",", b"\t"),
        b"Id,\xc2\xa0Time,Value\xe2\x80\xaf\n" + GOOD.replace(b" AM", b"\xe2\x80\xafAM").replace(b",7", b",\xc2\xa07"),
    ],
    ids=[
        "plain",
        "no last line break",
        "CRLF",
        "CR",
        "BOM",
        "quoted header",
        "empty lines",
        "semicolons",
        "tabs",
        "other blanks",
    ],
)
def test_a_file_is_read_whole_at_any_block_size(path: Path, data: bytes, block_bytes: int) -> None:
    path.write_bytes(data)
    assert read(path, block_bytes) == (EXPECTED, [])


@pytest.mark.parametrize("block_bytes", [3, 64, 1 << 20])
def test_bad_lines_are_named_and_sink_nothing(path: Path, block_bytes: int) -> None:
    path.write_bytes(HEADER + GOOD + b"7,2016-04-12 07:21:00\n\n7,soon,70\n7,2016-04-12 07:22:00,many\n" + GOOD)
    rows, errors = read(path, block_bytes)
    assert [row[4] for row in rows] == [2, 3, 4, 9, 10, 11]
    assert errors == [(5, "line"), (7, "timestamp"), (8, "heart_rate")]


def test_what_validation_refuses_is_named_by_its_line(path: Path) -> None:
    path.write_bytes(
        HEADER + b"7,soon,70\n7,2016-04-12 07:22:00,29\n7,2016-04-12 07:22:00,70\nn/a,2016-04-12 07:22:00,70\n"
    )
    (block,) = blocks(path)
    verdict = validate(block.candidates, ReadingRules(), 1)
    assert verdict.accepted is not None
    assert len(verdict.accepted) == 1
    assert [(error.index, error.field) for error in [*block.errors, *verdict.errors]] == [
        (2, "timestamp"),
        (3, "heart_rate"),
        (5, "user_id"),
    ]


def test_a_file_cut_off_in_the_middle_gives_its_good_part(path: Path) -> None:
    path.write_bytes((HEADER + GOOD)[:-15])
    rows, errors = read(path)
    assert rows == EXPECTED[:2]
    assert errors == [(4, "line")]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "found nothing"),
        (b"\n\n", "found nothing"),
        (b"\n" * 2_000 + HEADER, "found nothing"),
        (GOOD, "found '7,2016-04-12 07:21:00,70'"),
        (b"Id;Time,Value\n", "found 'Id;Time,Value'"),
        (b"Id,Time,Heartrate\n", "found 'Id,Time,Heartrate'"),
        (b"\xff\xfeI\0d\0", "found"),
        (b"{" * 300_000, "found '{{{"),
    ],
)
def test_a_file_without_the_header_is_refused_with_what_was_found(path: Path, data: bytes, found: str) -> None:
    path.write_bytes(data)
    with pytest.raises(RejectedError, match="the first line must be Id,Time,Value") as refused:
        list(blocks(path))
    assert found in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("block_bytes", [1, 30, 1 << 20])
@pytest.mark.parametrize(
    ("before", "count"),
    [
        (b"\n\n", 2),
        (b"\xef\xbb\xbf\r\n  \r\n", 2),
        (b"sep=,\n", 1),
        (b'\n"sep=;"\n\n', 3),
        (b"# exported by a tool\n# twice\n", 2),
    ],
)
def test_lines_before_the_header_are_passed_over(path: Path, before: bytes, count: int, block_bytes: int) -> None:
    path.write_bytes(before + HEADER + GOOD)
    with path.open("rb") as file:
        parts = list(research_csv(file, NOBODY, block_bytes=block_bytes))
    comments = [part for part in parts if isinstance(part, PassedOver)]
    assert comments == ([PassedOver("comment", 2)] if b"#" in before else [])
    places = [part.candidates.positions for part in parts if isinstance(part, Block)]
    lines = [line for found in places if found is not None for line in found.tolist()]
    assert lines == [count + 2, count + 3, count + 4]
    assert kind_of(before + HEADER + GOOD) is RESEARCH_CSV


@pytest.mark.parametrize(
    ("header", "line", "unread"),
    [
        (b"Time,Id,Value", b"2016-04-12 07:21:00,7,70", []),
        (b",Id,Time,Value", b"0,7,2016-04-12 07:21:00,70", ["column 1, which has no name"]),
        (b"Id,Time,Value,Confidence", b"7,2016-04-12 07:21:00,70,3", ["column confidence"]),
        (
            b"Value;note;Time;Id;",
            b"70;at rest, seated;2016-04-12 07:21:00;7;",
            ["column note", "column 5, which has no name"],
        ),
    ],
)
def test_columns_are_found_by_name_and_the_others_are_said_to_be_passed_over(
    path: Path, header: bytes, line: bytes, unread: list[str]
) -> None:
    path.write_bytes(header + b"\n" + line + b"\n" + line.replace(b":00", b":05") + b"\n7\n")
    with path.open("rb") as file:
        parts = list(research_csv(file, NOBODY))
    (block,) = (part for part in parts if isinstance(part, Block))
    assert [*map(str, block.candidates.user_ids)] == ["7", "7"]
    assert block.candidates.values.tolist() == [70, 70]
    assert [*map(format_us, block.candidates.times_us.tolist())] == ["2016-04-12T07:21:00Z", "2016-04-12T07:21:05Z"]
    assert [error.index for error in block.errors] == [4]
    assert parts[1:] == [PassedOver(name, 3) for name in unread]
    assert kind_of(path.read_bytes()) is RESEARCH_CSV


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"Id,Time,Value,Unit", "the column unit says what values are of"),
        (b"Id,Time,Value,Time", "names time twice"),
    ],
)
def test_a_header_that_may_mean_something_else_is_refused(path: Path, header: bytes, reason: str) -> None:
    path.write_bytes(header + b"\n" + GOOD)
    assert kind_of(header) is RESEARCH_CSV
    with pytest.raises(RejectedError, match=reason):
        list(blocks(path))


@pytest.mark.parametrize(
    "head", [b"Id,Time,Heartrate\n7,", b"Id Time\nId;Time\n", b"#\nTime|Value\n", b"ID\tTime\tHR\n"]
)
def test_a_header_that_is_nearly_right_is_told_so(head: bytes) -> None:
    assert (kind_of(head) is RESEARCH_CSV) == (b"Id Time" not in head)


@pytest.mark.parametrize("head", [b"a,b,c\n", b"time,hr\n", b"\n" * 100, b"# nothing\n", b"sep=;\n"])
def test_other_lines_are_no_research_csv(head: bytes) -> None:
    assert kind_of(head) is None


def test_a_header_alone_is_an_empty_file(path: Path) -> None:
    path.write_bytes(HEADER.strip())
    assert read(path) == ([], [])


def test_the_device_is_the_one_asked_for(path: Path) -> None:
    path.write_bytes(HEADER + GOOD)
    (block,) = blocks(path, FileOwner(None, "band", everybody_in(UTC)))
    assert set(block.candidates.device_ids) == {"band"}


def test_a_line_without_end_costs_no_memory_and_itself_alone(path: Path) -> None:
    with path.open("wb") as file:
        file.write(HEADER)
        for _ in range(200):
            file.write(b"x" * LINE_BYTES)
        file.write(b"\n" + GOOD)
    tracemalloc.start()
    rows, errors = read(path, 1 << 17)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row[:4] for row in rows] == [row[:4] for row in EXPECTED]
    assert errors == [(2, "line")]
    assert peak < 4 << 20


@pytest.mark.parametrize("block_bytes", [40, BLOCK_BYTES])
def test_lines_without_a_time_after_a_night_with_a_repeated_hour_are_refused_alone(block_bytes: int) -> None:
    lines = b"Id,Time,Value\n7,2024-10-27 02:30:00,70\n" + b"7,soon after that,71\n" * 4
    owner = FileOwner(None, None, everybody_in(ZoneInfo("Europe/Berlin")))
    parts = list(research_csv(io.BytesIO(lines), owner, block_bytes=block_bytes))
    blocks = [part for part in parts if isinstance(part, Block)]
    assert sum(len(block.candidates) for block in blocks) == 1
    assert [error.index for block in blocks for error in block.errors] == [3, 4, 5, 6]
