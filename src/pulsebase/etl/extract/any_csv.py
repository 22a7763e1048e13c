"""Read CSV files of any layout in blocks, with constant memory: the user or the file says which columns hold what."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain

import numpy as np

from pulsebase.etl.extract.parts import FileOwner, Part, PassedOver, ReadAs, Stream, clock_remarks
from pulsebase.etl.extract.research_csv import BLOCK_BYTES, LINE_BYTES, line_blocks, to_header
from pulsebase.etl.transform.any_csv import CsvOwner, parse_lines
from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.etl.transform.csv_layout import is_comment
from pulsebase.etl.transform.csv_plan import BOM, CsvPlan
from pulsebase.ingest.blocks import Block
from pulsebase.model.errors import FieldError, shown_name


def any_csv(plan: CsvPlan, stream: Stream, owner: FileOwner, *, block_bytes: int = BLOCK_BYTES) -> Iterator[Part]:
    """The readings of a file with this plan; positions and the `index` of errors are line numbers, the first line being
    line 1.

    Raises:
        MalformedError: the archive that holds the file is damaged; what was yielded before is valid.
    """
    yield ReadAs(plan.read_as)
    lines = line_blocks(_InUtf8(stream) if plan.in_utf16 else stream, block_bytes)
    before, header, data = to_header(lines)
    number = len(before) + 2
    if not plan.has_header:
        data, number = header.removeprefix(BOM) + b"\n" + data, number - 1
    clocks = LocalClocks(owner.zone_of)
    whose = CsvOwner(None if plan.user is not None else owner.person, owner.device_id)
    total = empty = 0
    rest, rest_line = b"", number
    for piece in chain([data], lines, [None]):
        text = rest + (piece or b"")
        first, count = rest_line, text.count(b"\n")
        rest, rest_line = b"", first + count
        while text:
            parsed = parse_lines(text, first, plan, clocks, whose)
            total, empty = total + parsed.block.total, empty + parsed.empty
            yield parsed.block
            text = b""
            if parsed.rest and (piece is None or len(parsed.rest) > LINE_BYTES):
                # A quote that nothing ends spoils its own line only.
                _, _, text = parsed.rest.partition(b"\n")
                first, total = parsed.rest_line + 1, total + 1
                yield Block(parsed.block.candidates.take(np.empty(0, np.intp)), [_open_quote(parsed.rest_line)], 1)
            elif parsed.rest:
                rest, rest_line = parsed.rest, parsed.rest_line
    comments = sum(map(is_comment, before))
    if comments:
        yield PassedOver("comment", comments)
    if empty:
        yield PassedOver("lines without a value", empty)
    used = set(plan.used)
    if total and plan.has_header:
        for place, name in enumerate(plan.names):
            if place not in used:
                yield PassedOver(
                    f"column {shown_name(name)}" if name else f"column {place + 1}, which has no name", total
                )
    yield from clock_remarks(clocks)


class _InUtf8:
    """A stream of text in UTF-16 as UTF-8. What is damaged is replaced."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def read(self, size: int, /) -> bytes:
        while True:
            piece = self._stream.read(size)
            text = self._decoder.decode(piece, final=not piece).encode("utf-8", "replace")
            if text or not piece:
                return text


def _open_quote(line: int) -> FieldError:
    return FieldError("line", "begins a field in quotes that nothing ends", line)
