"""Apple Health's `export.xml`, gigabytes of it at times: read as it comes, by an event parser.

The document type is left out before the parser sees it. So nothing can be declared that the parser would expand or
fetch, and the exports of iOS 16, whose own declarations are not well-formed, are read like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.parsers import expat

from pulsebase.etl.extract.parts import FileOwner, Part, Stream, SummaryBlock
from pulsebase.etl.transform.apple_health import (
    RECORD_TYPE,
    RESTING_TYPE,
    Records,
    heart_rates,
    resting_heart_rates,
)
from pulsebase.ingest.blocks import MalformedError

_PIECE_BYTES = 1 << 18
_BLOCK_RECORDS = 20_000
#: The document type of an export takes some 7 KiB.
_DOCTYPE_BYTES = 1 << 20
#: A tag of more than this, with all its attributes, is no record.
_TAG_BYTES = 1 << 20
#: Whole elements of what is of no use here, most of a file: taken out before the parser builds texts of all their
#: attributes. No valid attribute holds `<`, so that such a tag begins nowhere but between elements (or in a comment,
#: where it is of no use either). The tag of a record with others inside than these stays, and so does its end.
_OF_NO_USE = re.compile(
    rb'<Record type="(?!HKQuantityTypeIdentifier(?:Resting)?HeartRate")[^<>\n]*'
    rb"(?:/>|(?<!/)>(?:\s*<MetadataEntry [^<>\n]*/>)*\s*</Record>)|<MetadataEntry [^<>\n]*/>"
)


def apple_health(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """The heart-rate records of an export.

    Raises:
        MalformedError: the file is damaged or cut short; what came before is good.
    """
    reader = _Reader()
    damage: MalformedError | None = None
    pieces = _pieces(stream)
    ended = False
    while not ended:
        try:
            piece = next(pieces, b"")
            ended = piece == b""
            reader.feed(_OF_NO_USE.sub(_line_breaks, piece), ended)
        except MalformedError as error:
            ended, damage = True, error
        if ended or len(reader.records) + len(reader.resting) >= _BLOCK_RECORDS:
            yield from reader.taken(owner)
    if damage is not None:
        raise damage


class _Reader:
    """Gathers the attributes of heart-rate records; everything else in the file is passed over."""

    def __init__(self) -> None:
        self.records, self.resting = Records(), Records()
        self._read = 0
        self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.ordered_attributes = True
        self._parser.specified_attributes = True
        self._parser.StartElementHandler = self._on_element
        self._parser.EntityDeclHandler = _refuse_entities  # in an encoding whose document type was not found

    def feed(self, piece: bytes, ended: bool) -> None:
        """Read on."""
        try:
            self._parser.Parse(piece, ended)
        except (LookupError, ValueError):
            raise MalformedError("the file is in an encoding that is not read; save it as UTF-8") from None
        except expat.ExpatError as error:
            what = "is cut short" if ended else "is damaged"
            raise MalformedError(f"the file {what} at line {error.lineno}") from None
        self._fed += len(piece)
        if self._fed - self._parser.CurrentByteIndex > _TAG_BYTES + _PIECE_BYTES:
            raise MalformedError(f"the file is damaged at line {self._parser.CurrentLineNumber}: a tag without an end")

    def taken(self, owner: FileOwner) -> Iterator[Part]:
        """What was gathered; begin anew."""
        records, resting = self.records, self.resting
        self.records, self.resting = Records(), Records()
        if len(records):
            yield heart_rates(records, owner.person, owner.device_id)
        if len(resting):
            yield SummaryBlock(*resting_heart_rates(resting, owner.person), len(resting))

    def _on_element(self, name: str, attributes: list[str]) -> None:
        if name != "Record":
            return
        given = dict(zip(attributes[::2], attributes[1::2], strict=True))
        kind = given.get("type")
        if kind == RECORD_TYPE:
            self._read += 1
            self.records.add(self._read, given)
        elif kind == RESTING_TYPE:
            self._read += 1
            self.resting.add(self._read, given)


def _line_breaks(match: re.Match[bytes]) -> bytes:
    """Those of what is taken out, so that lines keep their numbers."""
    return b"\n" * match[0].count(b"\n")


def _refuse_entities(*_: object) -> None:
    raise MalformedError("the file declares entities, which no export does")


def _pieces(stream: Stream) -> Iterator[bytes]:
    """The file without its document type, line breaks kept, so that lines keep their numbers."""
    head = stream.read(_DOCTYPE_BYTES)
    begin = head.find(b"<!DOCTYPE")
    root = head.find(b"<HealthData")
    if begin >= 0 and (root < 0 or begin < root):
        end = head.find(b"]>", begin) + 2
        if end < 2:
            raise MalformedError("the file is damaged: its document type has no end")
        head = head[:begin] + b"\n" * head.count(b"\n", begin, end) + head[end:]
    yield head
    while piece := stream.read(_PIECE_BYTES):
        yield piece
