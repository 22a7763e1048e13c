"""Read FIT files of activities and of days of monitoring, as watches write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pulsebase.etl.extract.parts import FileOwner, Part, PassedOver, Remark, Stream, SummaryBlock
from pulsebase.etl.transform.fit import Part as FitPart
from pulsebase.etl.transform.fit import vital_signs
from pulsebase.ingest.blocks import Block, MalformedError

#: A day of monitoring takes some 100 KiB, the longest activities a few MiB. Larger ones are not read into memory.
_FILE_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20


def fit(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """The readings of a file, the resting heart rates of its days, and how many other vital signs it holds.

    Raises:
        MalformedError: the file is damaged, incomplete or too large; what was yielded before is valid.
    """
    parts: list[bytes] = []
    size = 0
    damage: MalformedError | None = None
    try:
        while piece := stream.read(_PIECE_BYTES):
            parts.append(piece)
            size += len(piece)
            if size > _FILE_BYTES:
                raise MalformedError(f"a FIT file of more than {_FILE_BYTES} bytes is not read on")
    except MalformedError as error:
        damage = error
    try:
        for found in vital_signs(b"".join(parts), owner.person, owner.device_id):
            yield from _parts(found)
    except MalformedError as error:
        raise damage or error from None


def _parts(found: FitPart) -> Iterator[Part]:
    if isinstance(found, Block):
        yield found
    elif isinstance(found, str):
        yield Remark(found)
    elif isinstance(found, Counter):
        yield from (PassedOver(what, count) for what, count in found.items())
    else:
        yield SummaryBlock(found, [], len(found))
