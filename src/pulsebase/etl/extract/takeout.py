"""Read Fitbit's files in a Google Takeout: JSON lists, which are cut into pieces of whole records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from pulsebase.etl.extract.parts import FileOwner, Part, Stream, SummaryBlock
from pulsebase.etl.transform import takeout
from pulsebase.ingest.blocks import Block, MalformedError

DEVICE_ID = "takeout"

#: Some twelve thousand records.
_PIECE_BYTES = 1 << 20
#: No valid record comes near this size.
_RECORD_BYTES = 64 << 10
#: Where a record ends: its object, and the object in it, or whatever the next one follows. Looked for from the end of a
#: piece.
_RECORD_END = re.compile(rb"\}\s*\}\s*(?:,|\Z)|\}\s*,(?=\s*\{)")
_BOM = b"\xef\xbb\xbf"

PartT = TypeVar("PartT", bound=Block | SummaryBlock)


def heart_rates(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Read `heart_rate-YYYY-MM-DD.json`."""
    device_id = owner.device_id or DEVICE_ID
    return _parts(stream, lambda text, first: takeout.heart_rates(text, first, owner.person, device_id))


def restings(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Read `resting_heart_rate-YYYY-MM-DD.json`."""
    return _parts(stream, lambda text, first: SummaryBlock(*takeout.restings(text, first, owner.person)))


def zone_times(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Read `time_in_heart_rate_zones-YYYY-MM-DD.json`."""
    return _parts(stream, lambda text, first: SummaryBlock(*takeout.zone_times(text, first, owner.person)))


def _parts(stream: Stream, parse: Callable[[bytes, int], PartT]) -> Iterator[PartT]:
    """Parse a list piece by piece. `parse` gets a list and the number of its first record, counted from 1.

    Raises:
        MalformedError: the list is incomplete; what was yielded before is valid.
    """
    data = stream.read(_PIECE_BYTES).removeprefix(_BOM).lstrip().removeprefix(b"[")
    first = 1
    while True:
        damage: MalformedError | None = None
        try:
            piece = stream.read(_PIECE_BYTES)
        except MalformedError as error:
            piece, damage = b"", error
        complete = piece == b"" and damage is None and data.rstrip().endswith(b"]")
        if complete:
            data = data.rstrip()[:-1]
        cut = len(data) if complete else _last_end(data)
        text = data[:cut].strip(b", \t\r\n")  # the comma behind a record may come with the next piece
        if text:
            part = parse(b"[" + text + b"]", first)
            yield part
            first += part.total
        data = data[cut:] + piece
        if piece == b"":
            if complete:
                return
            raise damage or MalformedError(f"the file is cut short behind record {first - 1}")
        if len(data) > _RECORD_BYTES + _PIECE_BYTES:
            raise MalformedError(f"the file is damaged behind record {first - 1}")


def _last_end(data: bytes) -> int:
    """Return where the last whole record in the data ends, including its comma; 0 if there is none."""
    for reach in (1 << 12, 1 << 16, len(data)):
        ends = [match.end() for match in _RECORD_END.finditer(data, max(0, len(data) - reach))]
        if ends:
            return ends[-1]
    return 0
