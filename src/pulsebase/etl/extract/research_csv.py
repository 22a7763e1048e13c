"""Read research CSV files (Fitabase: `Id,Time,Value`) in blocks: with constant memory, and an invalid line affects no
other.
"""

from __future__ import annotations

from collections.abc import Iterator

from pulsebase.etl.extract.parts import FileOwner, Part, PassedOver, Stream, clock_remarks
from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.etl.transform.csv_layout import comes_before, is_comment, layout_of
from pulsebase.etl.transform.research_csv import TextBlock, parse_block
from pulsebase.ingest.blocks import Block, MalformedError
from pulsebase.model.metrics import HEART_RATE

#: The device of readings, since the file names none.
DEVICE_ID = "csv"

#: Bytes read at a time: some thirty thousand lines, whose columns still fit a processor's cache.
BLOCK_BYTES = 1 << 20
#: No valid line comes near this. A longer one is cut, because a file without line breaks would fill the memory.
LINE_BYTES = 64 << 10


#: The most blank lines and comments before the header. A file with more of them is something else.
_MOST_BEFORE = 1_000


def research_csv(stream: Stream, owner: FileOwner, *, block_bytes: int = BLOCK_BYTES) -> Iterator[Part]:
    """The file's readings, heart rates unless the owner names another metric; positions and the `index` of errors are
    line numbers, the first line being line 1.

    Raises:
        RejectedError: the first line with content is not the header; the error says what was found instead.
        MalformedError: the archive that holds the file is damaged; what was yielded before is valid.
    """
    lines = line_blocks(stream, block_bytes)
    before, header, data = to_header(lines)
    layout = layout_of(header)
    comments = sum(map(is_comment, before))
    if comments:
        yield PassedOver("comment", comments)
    metric = owner.metric or HEART_RATE.name
    number, total, empty, clocks = len(before) + 2, 0, 0, LocalClocks(owner.zone_of)
    following: bytes | None = data
    while following is not None:
        if following:
            text = TextBlock(following, number)
            parsed = parse_block(text, clocks, owner.device_id or DEVICE_ID, layout, metric)
            found = len(parsed.candidates) + len(parsed.errors)
            yield Block(parsed.candidates, parsed.errors, found)
            number, total, empty = number + parsed.lines, total + found, empty + parsed.empty
        following = next(lines, None)
    if empty:
        yield PassedOver("lines without a value", empty)
    if total:
        yield from (PassedOver(name, total) for name in layout.unread)
    yield from clock_remarks(clocks)


def to_header(lines: Iterator[bytes]) -> tuple[list[bytes], bytes, bytes]:
    """Return the lines before the header, the header (empty if there is none), and the rest of its block."""
    before: list[bytes] = []
    for data in lines:
        rest = data
        while rest:
            line, _, rest = rest.partition(b"\n")
            if not comes_before(line) or len(before) == _MOST_BEFORE:
                return before, line, rest
            before.append(line)
    return before, b"", b""


def line_blocks(stream: Stream, block_bytes: int) -> Iterator[bytes]:
    """Yield whole lines, with every line break converted to a line feed."""
    rest = b""
    damage: MalformedError | None = None
    while True:
        try:
            chunk = stream.read(block_bytes)
        except MalformedError as error:
            chunk, damage = b"", error
        if not chunk:
            break
        data = rest + chunk
        # A carriage return at the very end may be half of a line break, so it waits for what follows.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
        rest = data[cut:]
        if cut:
            yield _with_line_feeds(data[:cut])
        if len(rest) > LINE_BYTES:
            rest = rest[: LINE_BYTES // 2] + rest[-1:]
    if rest:
        yield _with_line_feeds(rest.rstrip(b"\r\n") + b"\n")
    if damage is not None:
        raise damage


def _with_line_feeds(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
