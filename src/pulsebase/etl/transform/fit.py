"""From the bytes of a FIT file (Garmin and others) to candidates: its heart rates alone, one pass, no other message
decoded. (FIT protocol 2.x: file header, definition and data messages, compressed timestamps, developer fields; profile:
messages `file_id`, `record`, `monitoring`, `monitoring_info`, `monitoring_hr_data` and `hr`.)

Written here since the two kept libraries, which decode every field of every message, read some 20,000 records a second
of one processor, this some 400,000. The tests hold it against one of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from pulsebase.ingest.blocks import BLOCK_READINGS, Block, MalformedError
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import DAY_US, SECOND_US, from_us

#: 1989-12-31T00:00:00Z, from which FIT counts seconds.
EPOCH_S = 631_065_600
#: Times below this are seconds since the device was switched on.
_FIRST_ABSOLUTE = 0x10000000
_NO_TIME = 0xFFFFFFFF
_NO_TIME_16 = 0xFFFF
#: A heart rate that was not measured.
_NO_HEART_RATE = (0, 255)
DEVICE_ID = "fit"
#: Names the resting heart rate that the watch itself has worked out.
METHOD = "garmin"

_FILE_ID, _RECORD, _MONITORING, _MONITORING_INFO, _HR, _MONITORING_HR = 0, 20, 55, 103, 132, 211
_TIMESTAMP, _TIMESTAMP_16 = 253, 26
#: Of `hr`: a fraction of the second, and each beat's heart rate and time in full or as 12 bits.
_FRACTION, _FILTERED_BPM, _EVENT, _EVENT_12 = 0, 6, 9, 10
_FRACTIONS_PER_S, _NO_FRACTION, _EVENTS_PER_S = 32_768, 0xFFFF, 1_024
_LOCAL_TIMESTAMP, _RESTING_TODAY = 0, 1
#: The number of the field with the heart rate, by message.
_HEART_RATE_FIELDS = {_RECORD: 3, _MONITORING: 27}
_MANUFACTURER, _PRODUCT, _SERIAL = 1, 2, 3
_GARMIN = 1
_LEAST_HEADER_BYTES = 12
_CRC_BYTES = 2


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the data messages of a local number lie: places count from behind the header byte; -1 for no such field."""

    number: int
    size: int
    order: str
    fields: dict[int, tuple[int, int]]  # number of the field: place, size

    def place(self, field_number: int, size: int) -> int:
        """Where the field lies if it has this size, else -1."""
        at, its_size = self.fields.get(field_number, (-1, 0))
        return at if its_size == size else -1


@dataclass(slots=True)
class _Found:
    """Heart rates in order of the file, and the numbers of their messages, counted from 1."""

    times_us: list[int] = field(default_factory=list)  # since FIT's epoch
    bpm: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)
    resting: list[tuple[date, int]] = field(default_factory=list)
    device_id: str = DEVICE_ID

    def block(self, user_id: str, device_id: str | None) -> Block:
        """What was found as a block, and begin anew."""
        errors, count = self.errors, len(self.times_us)
        rows = Candidates(
            Ids.repeated(user_id, count),
            Ids.repeated(device_id or self.device_id, count),
            np.array(self.times_us, np.int64) + EPOCH_S * SECOND_US,
            np.array(self.bpm, np.float64),
            np.full(count, NO_CONFIDENCE, np.int8),
            np.array(self.places, np.int64),
        )
        self.times_us, self.bpm, self.places, self.errors = [], [], [], []
        return Block(rows, errors, count + len(errors))


def heart_rates(data: bytes, user_id: str, device_id: str | None) -> Iterator[Block | Sequence[DailySummary]]:
    """The readings of a file, or of several that follow each other, and the resting heart rates of days. Without a
    device the file names its own.

    Raises:
        MalformedError: the file is damaged or cut short; what came before is good.
    """
    at, messages = 0, 0
    while at < len(data):
        header_bytes = data[at]
        if (
            len(data) - at < _LEAST_HEADER_BYTES
            or header_bytes < _LEAST_HEADER_BYTES
            or data[at + 8 : at + 12] != b".FIT"
        ):
            raise MalformedError(f"the file is damaged behind message {messages}: there is no FIT header")
        (data_bytes,) = struct.unpack_from("<I", data, at + 4)
        end = at + header_bytes + data_bytes
        reader = _Reader(data, min(end, len(data)), messages)
        damage = None
        try:
            for found in reader.read(at + header_bytes):
                yield found.block(user_id, device_id)
        except MalformedError as error:
            damage = error
        messages = reader.messages
        yield reader.found.block(user_id, device_id)
        if reader.found.resting:
            yield [DailySummary(user_id, day, bpm, METHOD) for day, bpm in reader.found.resting]
        if damage is not None:
            raise damage
        if end + _CRC_BYTES > len(data):
            raise MalformedError(f"the file is cut short behind message {messages}")
        if checksum(data[at : end + _CRC_BYTES]) != 0:
            raise MalformedError("the file's checksum does not match: some of what was read may be damaged")
        at = end + _CRC_BYTES


class _Reader:
    """One pass over the messages of one file."""

    def __init__(self, data: bytes, end: int, messages: int) -> None:
        self.found = _Found()
        self.messages = messages
        self._data, self._end = data, end
        self._layouts: dict[int, _Layout] = {}
        self._time_s = 0  # of the last message that told it in full; 0 for none yet
        self._east_s = 0  # how far the watch's own clock is ahead of UTC
        #: The clock of a strap: its latest time, and one in microseconds since FIT's epoch that is known of both.
        self._event = 0
        self._strap: tuple[int, int] | None = None

    def read(self, at: int) -> Iterator[_Found]:
        """Gather heart rates; what is found so far, whenever that is a block.

        Raises:
            MalformedError: the messages break off, or make no sense any more.
        """
        data = self._data
        while at < self._end:
            head = data[at]
            if head & 0x80:  # compressed: five bits of time
                at = self._read_data(at + 1, (head >> 5) & 0x3, head & 0x1F)
            elif head & 0x40:
                at = self._read_definition(at + 1, head)
            else:
                at = self._read_data(at + 1, head & 0xF, None)
            if len(self.found.places) >= BLOCK_READINGS:
                yield self.found

    def _read_definition(self, at: int, head: int) -> int:
        data = self._data
        fields_at = at + 5
        self._check_room(fields_at)
        order = ">" if data[at + 1] else "<"
        (number,) = struct.unpack_from(order + "H", data, at + 2)
        size, fields = 0, {}
        fields_end = fields_at + 3 * data[at + 4]
        self._check_room(fields_end)
        for place in range(fields_at, fields_end, 3):
            fields[data[place]] = size, data[place + 1]
            size += data[place + 1]
        if head & 0x20:  # developer fields follow
            self._check_room(fields_end + 1)
            developer_at, fields_end = fields_end + 1, fields_end + 1 + 3 * data[fields_end]
            self._check_room(fields_end)
            size += sum(data[place + 1] for place in range(developer_at, fields_end, 3))
        self._layouts[head & 0xF] = _Layout(number, size, order, fields)
        self.messages += 1
        return fields_end

    def _read_data(self, at: int, local: int, offset_s: int | None) -> int:
        layout = self._layouts.get(local)
        if layout is None:
            raise MalformedError(f"the file is damaged behind message {self.messages}: data without a definition")
        end = at + layout.size
        self._check_room(end)
        self.messages += 1
        time_s = self._time_of(layout, at, offset_s)
        heart_rate_field = _HEART_RATE_FIELDS.get(layout.number)
        if heart_rate_field is not None:
            place = layout.place(heart_rate_field, 1)
            if place >= 0 and time_s is not None and self._data[at + place] not in _NO_HEART_RATE:
                self._keep(time_s * SECOND_US, self._data[at + place])
        elif layout.number == _HR:
            self._read_beats(layout, at)
        elif layout.number == _FILE_ID:
            self.found.device_id = self._device_of(layout, at)
        elif layout.number == _MONITORING_INFO:
            self._read_local_time(layout, at, time_s)
        elif layout.number == _MONITORING_HR:
            self._read_resting(layout, at, time_s)
        return end

    def _keep(self, time_us: int, bpm: int) -> None:
        found = self.found
        if time_us < _FIRST_ABSOLUTE * SECOND_US:
            reason = "counts from when the device was switched on"
            found.errors.append(FieldError("timestamp", reason, self.messages))
            return
        found.times_us.append(time_us)
        found.bpm.append(bpm)
        found.places.append(self.messages)

    def _read_beats(self, layout: _Layout, at: int) -> None:
        """Beats that a chest strap kept, in the water say, and handed over later. Their times are of the strap's own
        clock; messages with a time in full say when that was.
        """
        data, events = self._data, self._events_of(layout, at)
        time_place, fraction_place = layout.place(_TIMESTAMP, 4), layout.place(_FRACTION, 2)
        if time_place >= 0 and events:
            (time_s,) = struct.unpack_from(layout.order + "I", data, at + time_place)
            fraction = 0
            if fraction_place >= 0:
                (fraction,) = struct.unpack_from(layout.order + "H", data, at + fraction_place)
            if time_s != _NO_TIME:
                fraction = 0 if fraction == _NO_FRACTION else fraction
                self._strap = events[0], time_s * SECOND_US + fraction * SECOND_US // _FRACTIONS_PER_S
        place, size = layout.fields.get(_FILTERED_BPM, (0, 0))
        both = zip(events, data[at + place : at + place + size], strict=False)  # what fills the shorter says nothing
        beats = [(event, bpm) for event, bpm in both if bpm not in _NO_HEART_RATE]
        if self._strap is None:
            reason = "is of the strap's own clock, and no message before says what time it was"
            self.found.errors += [FieldError("event_timestamp", reason, self.messages) for _ in beats]
            return
        event, time_us = self._strap
        for its_event, bpm in beats:
            self._keep(time_us + (its_event - event) * SECOND_US // _EVENTS_PER_S, bpm)

    def _events_of(self, layout: _Layout, at: int) -> list[int]:
        """The times of a message's beats in 1/1024 s, both ways of writing them unrolled."""
        events = []
        place, size = layout.fields.get(_EVENT, (0, 0))
        for (event,) in struct.iter_unpack(layout.order + "I", self._data[at + place : at + place + size // 4 * 4]):
            self._event += (event - self._event + 0x80000000) % 0x100000000 - 0x80000000
            events.append(self._event)
        place, size = layout.fields.get(_EVENT_12, (0, 0))
        bits = int.from_bytes(self._data[at + place : at + place + size], "little")
        for shift in range(0, size * 8 - 11, 12):
            self._event += ((bits >> shift) - self._event) & 0xFFF
            events.append(self._event)
        return events

    def _read_local_time(self, layout: _Layout, at: int, time_s: int | None) -> None:
        place = layout.place(_LOCAL_TIMESTAMP, 4)
        if place >= 0 and time_s is not None:
            (local_s,) = struct.unpack_from(layout.order + "I", self._data, at + place)
            self._east_s = local_s - time_s if abs(local_s - time_s) < DAY_US // SECOND_US else 0

    def _read_resting(self, layout: _Layout, at: int, time_s: int | None) -> None:
        """The day's resting heart rate, of the civil day on the watch; the mean of seven days beside it is left."""
        place = layout.place(_RESTING_TODAY, 1)
        if place >= 0 and time_s is not None and time_s >= _FIRST_ABSOLUTE:
            bpm = self._data[at + place]
            if bpm not in _NO_HEART_RATE:
                day = from_us((time_s + EPOCH_S + self._east_s) * SECOND_US).date()
                self.found.resting.append((day, bpm))

    def _time_of(self, layout: _Layout, at: int, offset_s: int | None) -> int | None:
        """The message's time in FIT's seconds, from whichever of the three ways it is told in; None for none."""
        place = layout.place(_TIMESTAMP, 4)
        if place >= 0:
            (time_s,) = struct.unpack_from(layout.order + "I", self._data, at + place)
            if time_s == _NO_TIME:
                return None
            self._time_s = time_s
            return int(time_s)
        if offset_s is not None:
            # The low five bits, which have gone round once if they are lower than those of the time before.
            self._time_s += (offset_s - self._time_s) & 0x1F
            return self._time_s
        place = layout.place(_TIMESTAMP_16, 2) if layout.number == _MONITORING else -1
        if place >= 0:
            (low,) = struct.unpack_from(layout.order + "H", self._data, at + place)
            return None if low == _NO_TIME_16 else self._time_s + ((low - self._time_s) & 0xFFFF)
        return None

    def _device_of(self, layout: _Layout, at: int) -> str:
        """`garmin-PRODUCT-SERIAL`, or `fit-MANUFACTURER-PRODUCT-SERIAL`, without the parts that the file leaves out."""
        numbers = []
        for field_number, form, size, invalid in (
            (_MANUFACTURER, "H", 2, (0xFFFF,)),
            (_PRODUCT, "H", 2, (0xFFFF,)),
            (_SERIAL, "I", 4, (0, _NO_TIME)),
        ):
            place = layout.place(field_number, size)
            value = None if place < 0 else struct.unpack_from(layout.order + form, self._data, at + place)[0]
            numbers.append(None if value in invalid else value)
        manufacturer, *rest = numbers
        names = ["garmin"] if manufacturer == _GARMIN else [DEVICE_ID, manufacturer]
        return "-".join(str(name) for name in [*names, *rest] if name is not None)

    def _check_room(self, end: int) -> None:
        if end > self._end:
            raise MalformedError(f"the file is cut short behind message {self.messages}")


def checksum(data: bytes) -> int:
    """The protocol's CRC-16 (polynomial 0x8005 reflected, start 0); 0 over data that end with their own."""
    crc = 0
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return table


_CRC_TABLE = _crc_table()
