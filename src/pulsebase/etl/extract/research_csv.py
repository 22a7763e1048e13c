"""Research CSV files (Fitabase: `Id,Time,Value`), read in blocks: constant memory, and no line sinks the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

from pulsebase.etl.transform.research_csv import TextBlock, header_problem, parse_block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError

#: The device of readings whose file names none.
DEVICE_ID = "csv"

#: Bytes read at a time: some thirty thousand lines, whose columns still fit a processor's cache.
BLOCK_BYTES = 1 << 20
#: No line of three fields comes near this; a longer one is cut, or a file without line breaks would fill the memory.
LINE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines of a file.

    `candidates.positions` and the `index` of each error are line numbers, the header being line 1. `bytes_read` counts
    from the file's start to the end of the block; `lines` are the lines in it, empty ones included.
    """

    candidates: Candidates
    errors: list[FieldError]
    bytes_read: int
    lines: int


def read_research_csv(
    path: Path, zone: ZoneInfo, device_id: str = DEVICE_ID, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[Block]:
    """The file's readings, block by block, for validation to judge; local times are read in `zone`.

    Raises (at the first block):
        RejectedError: the first line is not the header; says what was found instead.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        lines = _line_blocks(file, block_bytes)
        # An empty file still gets to hear what is missing.
        data, bytes_read = next(lines, (b"\n", 0))
        header, _, data = data.partition(b"\n")
        problem = header_problem(header)
        if problem is not None:
            raise problem
        number = 2
        while True:
            if data:
                parsed = parse_block(TextBlock(data, number), zone, device_id)
                yield Block(parsed.candidates, parsed.errors, bytes_read, parsed.lines)
                number += parsed.lines
            following = next(lines, None)
            if following is None:
                return
            data, bytes_read = following


def _line_blocks(file: BinaryIO, block_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines, every line break made a line feed, and the bytes read up to the end of each block."""
    rest, bytes_read = b"", 0
    while chunk := file.read(block_bytes):
        bytes_read += len(chunk)
        data = rest + chunk
        # A carriage return at the very end may be half of a line break, so it waits for what follows.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
        rest = data[cut:]
        if cut:
            yield _with_line_feeds(data[:cut]), bytes_read - len(rest)
        if len(rest) > LINE_BYTES:
            rest = rest[: LINE_BYTES // 2] + rest[-1:]
    if rest:
        yield _with_line_feeds(rest.rstrip(b"\r\n") + b"\n"), bytes_read


def _with_line_feeds(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
