"""Read TCX and GPX, the XML files of activities that most programs for sports write.

Times are in UTC, also where an offset is missing, as both schemas say. In TCX the device comes behind the track points
of its activity, so these wait for it; in GPX the program or device that wrote the file comes first.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from xml.parsers import expat

from pulsebase.etl.extract.parts import FileOwner, Part, PassedOver, Stream
from pulsebase.etl.extract.xml_text import Cleaner, parse_piece, xml_pieces
from pulsebase.etl.transform.gathered import GatheredReadings, number_of
from pulsebase.ingest.blocks import MalformedError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.timerange import parse_reading_time

TCX_DEVICE_ID, GPX_DEVICE_ID = "tcx", "gpx"
_PIECE_BYTES = 1 << 18
_BLOCK_POINTS = 20_000
#: The longest activity: eleven days with a point every second.
_MOST_POINTS = 1_000_000
_MOST_DEPTH = 64
#: The longest text that is looked at. Names of devices are shorter.
_TEXT_CHARACTERS = 200
#: Tags with all their attributes are shorter.
_TAG_BYTES = 1 << 20
_NO_TIME = -(1 << 62)
_POINTS = frozenset({"Trackpoint", "trkpt"})
#: The elements whose text is the heart rate: in TCX inside of `HeartRateBpm`, in GPX in the extensions of the point.
_BPM = frozenset({"hr", "heartrate"})


def tcx(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """The heart rates of the track points; positions count the points.

    Raises:
        MalformedError: the file is damaged or incomplete; what was yielded before is valid.
    """
    return _tracks(stream, owner, TCX_DEVICE_ID)


def gpx(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """The same of a GPX file."""
    return _tracks(stream, owner, GPX_DEVICE_ID)


def _tracks(stream: Stream, owner: FileOwner, fallback: str) -> Iterator[Part]:
    reader, cleaner = _Reader(), Cleaner()
    readings = GatheredReadings(owner.person, owner.zone_of, owner.device_id, fallback)
    pieces = xml_pieces(_WithoutBlanks(stream), _PIECE_BYTES, _PIECE_BYTES)
    damage: MalformedError | None = None
    ended = False
    while not ended:
        try:
            piece = next(pieces, None)
            ended = piece is None
            reader.feed(cleaner.clean(piece or b"", ended=ended), ended)
        except MalformedError as error:
            ended, damage = True, error
        for place, at_us, bpm, device in reader.taken(ended):
            readings.add(HEART_RATE.name, place, None if at_us == _NO_TIME else at_us, bpm, device)
            if len(readings) >= _BLOCK_POINTS:
                yield from readings.taken()
        yield from readings.so_far()  # also where the points of an activity wait
    yield from cleaner.remarks()
    if reader.without:
        yield PassedOver("track points without a heart rate", reader.without)
    if damage is not None:
        raise damage


class _WithoutBlanks:
    """A stream without blanks at its start, which Strava writes before the declaration, where XML allows none."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._begun = stream, False

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        while not self._begun and piece:
            rest = piece.lstrip()
            self._begun = bool(rest)
            piece = rest or self._stream.read(size)
        return piece


class _Reader:
    """Gathers the points that have a heart rate. Those of an activity wait until its device is known."""

    def __init__(self) -> None:
        self.without = 0
        self._open: list[str] = []
        self._text: list[str] | None = None
        self._number = 0
        self._time, self._bpm = "", ""
        self._device, self._unit = "", ""
        self._places, self._times_us, self._values = array("q"), array("q"), array("d")
        self._fed = 0
        self._parser = expat.ParserCreate("UTF-8")
        self._parser.buffer_text = True
        self._parser.specified_attributes = True  # those that a document type gives to each element may be long
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = _refuse_entities
        self._done: list[tuple[array[int], array[int], array[float], str]] = []

    def feed(self, piece: bytes, ended: bool) -> None:
        """Parse the next piece of the file."""
        parse_piece(self._parser, piece, ended)
        self._fed += len(piece)
        if self._fed - self._parser.CurrentByteIndex > _TAG_BYTES:
            raise MalformedError(f"the file is damaged at line {self._parser.CurrentLineNumber}: a tag without an end")

    def taken(self, ended: bool) -> Iterator[tuple[int, int, float, str]]:
        """Yield points whose device is known (at the end of the file all of them): number, time, bpm, device."""
        if ended or (self._open and self._open[0] == "gpx"):
            self._close()
        done, self._done = self._done, []
        for places, times_us, values, device in done:
            for place, at_us, bpm in zip(places, times_us, values, strict=True):
                yield place, at_us, bpm, device

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        self._open.append(name)
        if len(self._open) > _MOST_DEPTH:
            raise MalformedError(
                f"the file is damaged at line {self._parser.CurrentLineNumber}: it is nested too deeply"
            )
        if len(self._open) == 1 and name == "gpx":
            self._device = attributes.get("creator", "")[:_TEXT_CHARACTERS]
        if name in _POINTS:
            self._number += 1
            self._time = self._bpm = ""
        self._text = []

    def _characters(self, text: str) -> None:
        if self._text is not None and len(self._text) < _TEXT_CHARACTERS:
            self._text.append(text[:_TEXT_CHARACTERS])

    def _end(self, name: str) -> None:
        text, self._text = "".join(self._text or ())[:_TEXT_CHARACTERS].strip(), None
        name = self._open.pop()
        parent = self._open[-1] if self._open else ""
        if name in _POINTS:
            self._end_point()
        elif parent in _POINTS and name.lower() == "time":
            self._time = text
        elif (name == "Value" and parent == "HeartRateBpm" and "Trackpoint" in self._open) or (
            name in _BPM and "trkpt" in self._open
        ):
            self._bpm = text
        elif parent == "Creator" and name == "Name":
            self._device = text
        elif parent == "Creator" and name == "UnitId":
            self._unit = text if text.strip("0") else ""
        elif name == "Activity":
            self._close()
            self._device = self._unit = ""

    def _end_point(self) -> None:
        bpm = number_of(self._bpm)
        if not self._bpm or bpm == 0:
            self.without += 1
            return
        try:
            at_us = parse_reading_time(self._time)
        except (ValueError, OverflowError):
            at_us = _NO_TIME
        if len(self._places) >= _MOST_POINTS:
            raise MalformedError(f"an activity of more than {_MOST_POINTS:,} track points is not read on")
        self._places.append(self._number)
        self._times_us.append(at_us)
        self._values.append(float("nan") if bpm is None else bpm)

    def _close(self) -> None:
        """Note that the device of the points so far is known."""
        if self._places:
            device = f"{self._device} {self._unit}".strip()
            self._done.append((self._places, self._times_us, self._values, device))
            self._places, self._times_us, self._values = array("q"), array("q"), array("d")


def _refuse_entities(*_: object) -> None:
    raise MalformedError("the file declares entities, which no activity does")
