"""Read Apple Health's `export.xml`, which may have gigabytes, as a stream with an event parser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from xml.parsers import expat

from pulsebase.etl.extract.parts import AboutPerson, FileOwner, Part, PassedOver, Stream, SummaryBlock
from pulsebase.etl.extract.xml_text import Cleaner, parse_piece, xml_pieces
from pulsebase.etl.transform.apple_beats import AppleBeats, BeatRecord, rr_intervals
from pulsebase.etl.transform.apple_health import (
    READING_TYPES,
    RESTING_TYPE,
    VARIABILITY_TYPE,
    Records,
    person_of,
    readings,
    resting_heart_rates,
)
from pulsebase.ingest.blocks import MalformedError
from pulsebase.model.errors import shown_name

_PIECE_BYTES = 1 << 18
_BLOCK_RECORDS = 20_000
#: What the texts of a block's attributes may come from.
_BLOCK_BYTES = 16 << 20
#: The document type of an export takes some 7 KiB.
_DOCTYPE_BYTES = 1 << 20
#: A tag longer than this, with all its attributes, is not a record.
_TAG_BYTES = 1 << 20
#: The deepest nesting of elements. The parser keeps the names of all that are open. An export has five.
_MOST_DEPTH = 64
#: A tag from its attributes on, up to the first `>`: where a comment or an instruction holds what looks like a tag, its
#: own end comes first and is never taken for the tag's. In the second form apostrophes may be in texts; one that begins
#: a text, in which a quotation mark would end nothing, is left to the parser, and finding that out costs a little.
_TAG = rb"[^<>\n]*+"
_TAG_WITH_APOSTROPHES = rb"[^<>\n']*+(?:(?<!=)'[^<>\n']*+)*+"


def _of_no_use(tag: bytes) -> re.Pattern[bytes]:
    """Return a pattern for whole elements that are not needed, which are most of a file. They are removed before the
    parser creates strings for all their attributes. No valid attribute contains `<`, so such a tag can only begin
    between elements (or in a comment, where it is not needed either). If a record contains other elements than these,
    its start and end tags stay.
    """
    entry = rb"<MetadataEntry " + tag + rb'(?<="/)>'
    read = "|".join(sorted([*READING_TYPES, RESTING_TYPE])).encode()
    record = rb'<Record type="(?!(?:' + read + rb')")([^"<>\n]*+)"' + tag
    end = rb'(?:(?<="/)>|(?<=")>(?:\s*+' + entry + rb")*+\s*+</Record>)"
    return re.compile(record + end + b"|" + entry)


_OF_NO_USE, _OF_NO_USE_WITH_APOSTROPHES = _of_no_use(_TAG), _of_no_use(_TAG_WITH_APOSTROPHES)
#: Elements next to records that hold no information of interest.
_ME = "Me"
_FRAME = ("HealthData", "ExportDate")
#: A beat in a record of heart rate variability.
_BEAT = "InstantaneousBeatsPerMinute"
#: How many types are counted separately. An export has some 150.
_MOST_TYPES = 500
_OTHERS = b"others"
_MOST_NAME_BYTES = 100


def apple_health(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """The readings of an export, its resting heart rates, what it states of the person, and how many records of other
    types it has.

    Raises:
        MalformedError: the file is damaged or incomplete; what was yielded before is valid.
    """
    reader, cleaner = _Reader(), Cleaner()
    damage: MalformedError | None = None
    pieces = xml_pieces(stream, _DOCTYPE_BYTES, _PIECE_BYTES)
    ended = False
    while not ended:
        try:
            piece = next(pieces, None)
            ended = piece is None
            reader.feed(cleaner.clean(reader.passed_over.without(piece or b""), ended=ended), ended)
        except MalformedError as error:
            ended, damage = True, error
        if ended or reader.is_block:
            yield from reader.taken(owner)
    about = person_of(reader.me, owner.person, datetime.now(UTC).date())
    if about is not None:
        yield AboutPerson(about)
    yield from cleaner.remarks()
    yield from reader.passed_over.parts()
    if damage is not None:
        raise damage


class _PassedOver:
    """Counts what is ignored, by the type of the record or the name of the element."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._cut = self._counting()

    def without(self, piece: bytes) -> bytes:
        """Return the piece without what is ignored, and count that. Line breaks stay, so lines keep their numbers."""
        pattern = _OF_NO_USE_WITH_APOSTROPHES if b"'" in piece else _OF_NO_USE
        return pattern.sub(self._cut, piece)

    def add(self, kind: bytes) -> None:
        """Count one more of a kind."""
        if len(self._counts) >= _MOST_TYPES or len(kind) > _MOST_NAME_BYTES:
            kind = kind if kind in self._counts else _OTHERS
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def _counting(self) -> Callable[[re.Match[bytes]], bytes]:
        """Return a function that counts a match and returns what stays of it. It runs for every match, so it avoids
        lookups.
        """
        counts, add = self._counts, self.add

        def cut(match: re.Match[bytes]) -> bytes:
            if match.lastindex is None:
                return b""
            try:
                counts[match[1]] += 1
            except KeyError:
                add(match[1])
            return b"\n" * match[0].count(b"\n")

        return cut

    def parts(self) -> Iterator[PassedOver]:
        """Yield all counts, the highest first."""
        for kind, count in sorted(self._counts.items(), key=lambda item: -item[1]):
            name = kind.decode(errors="replace")
            yield PassedOver("".join(letter if letter.isprintable() else "?" for letter in shown_name(name)), count)


class _Reader:
    """Gathers the attributes of records with readings and of beats; everything else in the file is passed over."""

    def __init__(self) -> None:
        self._records: dict[str, Records] = {}  # by type
        self._resting = Records()
        self._beats = AppleBeats()
        #: The record that began last, if it may hold beats.
        self._beats_in: BeatRecord | None = None
        self._gathered = 0
        #: The attributes of the element that tells of the person.
        self.me: dict[str, str] = {}
        self.passed_over = _PassedOver()
        self._read = 0
        self._fed = self._taken = 0
        #: The open elements, in no order. The parser itself removes an element when it ends, which is cheap.
        self._open: list[str] = []
        self._parser = expat.ParserCreate("UTF-8")
        self._parser.specified_attributes = True
        self._parser.StartElementHandler = self._on_element
        self._parser.EndElementHandler = self._open.remove
        self._parser.EntityDeclHandler = _refuse_entities  # of a document type that was not found

    @property
    def is_block(self) -> bool:
        """Whether enough was gathered."""
        return self._gathered >= _BLOCK_RECORDS or self._fed - self._taken >= _BLOCK_BYTES

    def feed(self, piece: bytes, ended: bool) -> None:
        """Parse the next piece of the file."""
        parse_piece(self._parser, piece, ended)
        self._fed += len(piece)
        if self._fed - self._parser.CurrentByteIndex > _TAG_BYTES + _PIECE_BYTES:
            raise MalformedError(f"the file is damaged at line {self._parser.CurrentLineNumber}: a tag without an end")

    def taken(self, owner: FileOwner) -> Iterator[Part]:
        """What was gathered; begin anew."""
        records, resting, beats = self._records, self._resting, self._beats
        self._records, self._resting, self._beats = {}, Records(), AppleBeats()
        self._taken, self._gathered = self._fed, 0
        for kind, some in records.items():
            yield readings(some, READING_TYPES[kind], owner.person, owner.device_id)
        if len(beats):
            yield rr_intervals(beats, owner.person, owner.device_id)
        if len(resting):
            yield SummaryBlock(*resting_heart_rates(resting, owner.person), len(resting))

    def _on_element(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(name)
        if name == "Record":
            self._on_record(attributes)
        elif name == _BEAT and self._beats_in is not None:
            self._gathered += 1
            self._beats.add(self._beats_in, attributes.get("time", ""), attributes.get("bpm", ""))
        elif name == _ME and len(self._open) == 2:
            self.me = attributes
        elif name == _BEAT or (len(self._open) == 2 and name not in _FRAME):
            self.passed_over.add(name.encode())
        if len(self._open) > _MOST_DEPTH:
            raise MalformedError(
                f"the file is damaged at line {self._parser.CurrentLineNumber}: elements without an end"
            )

    def _on_record(self, attributes: dict[str, str]) -> None:
        kind = attributes.get("type", "")
        self._beats_in = None
        if kind not in READING_TYPES and kind != RESTING_TYPE:
            self.passed_over.add(kind.encode() or b"records without a type")
            return
        self._read += 1
        self._gathered += 1
        if kind == RESTING_TYPE:
            self._resting.add(self._read, attributes)
            return
        records = self._records.get(kind)
        if records is None:
            records = self._records[kind] = Records()
        records.add(self._read, attributes)
        if kind == VARIABILITY_TYPE:
            start, end = attributes.get("startDate", ""), attributes.get("endDate", "")
            self._beats_in = BeatRecord(self._read, start, end, attributes.get("sourceName", ""))


def _refuse_entities(*_: object) -> None:
    raise MalformedError("the file declares entities, which no export does")
