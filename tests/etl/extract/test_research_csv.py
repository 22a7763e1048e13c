import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pulsebase.etl.extract.parts import FileOwner, everybody_in
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
    ],
    ids=["plain", "no last line break", "CRLF", "CR", "BOM", "quoted header", "empty lines"],
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
        (b"\n" + HEADER + GOOD, "found nothing"),
        (GOOD, "found '7,2016-04-12 07:21:00,70'"),
        (b"Id;Time;Value\n", "found 'Id;Time;Value'"),
        (b"Time,Id,Value\n", "found 'Time,Id,Value'"),
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
