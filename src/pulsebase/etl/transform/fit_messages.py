"""The messages of one FIT file: its heart rates alone, one pass, no other message decoded. (FIT protocol 2.x:
definition and data messages, compressed timestamps, developer fields; profile: messages `file_id`, `record`,
`monitoring`, `monitoring_info`, `monitoring_hr_data` and `hr`.)

Written here since the two kept libraries, which decode every field of every message, read some 20,000 records a second
of one processor, this some 400,000. The tests hold it against one of them.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import zip_longest
from typing import Any

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
_FIRST_US, _END_US = _FIRST_ABSOLUTE * SECOND_US, (1 << 32) * SECOND_US
_NO_TIME = 0xFFFFFFFF
_NO_TIME_16 = 0xFFFF
#: A heart rate that was not measured.
_NO_HEART_RATE = (0, 255)
DEVICE_ID = "fit"
#: Names the resting heart rate that the watch itself has worked out.
METHOD = "garmin"
_SINCE_START = "counts from when the device was switched on"

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

#: Messages with vital signs that are not read, by the names of the profile.
_OTHER_VITALS = {
    51: "blood_pressure",
    78: "hrv",
    227: "stress_level",
    269: "spo2_data",
    290: "beat_intervals",
    297: "respiration_rate",
    305: "hsa_spo2_data",
    306: "hsa_stress_data",
    307: "hsa_respiration_data",
    308: "hsa_heart_rate_data",
    370: "hrv_status_summary",
    371: "hrv_value",
    372: "raw_bbi",
    398: "skin_temp_overnight",
    409: "hsa_wrist_temperature_data",
}
#: The same for fields of `record`.
_OTHER_FIELDS = {
    99: "respiration_rate of record",
    108: "enhanced_respiration_rate of record",
    116: "current_stress of record",
    139: "core_temperature of record",
}


_LEAST_HEADER_BYTES = 12


def is_header(data: bytes, at: int) -> bool:
    """Whether a file begins there."""
    return len(data) - at >= _LEAST_HEADER_BYTES <= data[at] and data[at + 8 : at + 12] == b".FIT"


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the data messages of a local number lie: places count from behind the header byte; -1 for no such field."""

    number: int
    size: int
    order: str
    fields: dict[int, tuple[int, int]]  # number of the field: place, size
    time_place: int
    low_time_place: int
    bpm_place: int
    read_time: Callable[[bytes, int], tuple[Any, ...]]
    #: What is passed over: place and size of a field, a size of 0 for the message itself, and the name.
    others: tuple[tuple[int, int, str], ...]

    @classmethod
    def of(cls, number: int, size: int, order: str, fields: dict[int, tuple[int, int]]) -> _Layout:
        """The layout of a definition message."""
        bpm_field = _HEART_RATE_FIELDS.get(number, -1)
        others: list[tuple[int, int, str]] = []
        if number in _OTHER_VITALS:
            others = [(0, 0, _OTHER_VITALS[number])]
        elif number == _RECORD:
            others = [(*fields[each], name) for each, name in _OTHER_FIELDS.items() if each in fields]
        if fields.get(bpm_field, (0, 1))[1] != 1:
            others.append((*fields[bpm_field], "heart_rate in more than a byte"))
        return cls(
            number,
            size,
            order,
            fields,
            _place(fields, _TIMESTAMP, 4),
            _place(fields, _TIMESTAMP_16, 2) if number == _MONITORING else -1,
            _place(fields, bpm_field, 1),
            struct.Struct(order + "I").unpack_from,
            tuple(others),
        )

    def place(self, field_number: int, size: int) -> int:
        """Where the field lies if it has this size, else -1."""
        return _place(self.fields, field_number, size)


def _place(fields: dict[int, tuple[int, int]], field_number: int, size: int) -> int:
    at, its_size = fields.get(field_number, (-1, 0))
    return at if its_size == size else -1


@dataclass(slots=True)
class Found:
    """Heart rates in order of the file, and the numbers of their messages, counted from 1; resting heart rates of days;
    and what was refused.
    """

    times_us: list[int] = field(default_factory=list)  # since FIT's epoch
    bpm: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)
    resting: list[tuple[date, int]] = field(default_factory=list)
    device_id: str = DEVICE_ID

    def taken(self, user_id: str, device_id: str | None) -> tuple[Block, list[DailySummary]]:
        """What was found, and begin anew."""
        errors, count = self.errors, len(self.times_us)
        rows = Candidates(
            Ids.repeated(user_id, count),
            Ids.repeated(device_id or self.device_id, count),
            np.array(self.times_us, np.int64) + EPOCH_S * SECOND_US,
            np.array(self.bpm, np.float64),
            np.full(count, NO_CONFIDENCE, np.int8),
            np.array(self.places, np.int64),
        )
        days = [DailySummary(user_id, day, bpm, METHOD) for day, bpm in self.resting]
        self.times_us, self.bpm, self.places, self.errors, self.resting = [], [], [], [], []
        return Block(rows, errors, count + len(errors)), days


class FitReader:
    """One pass over the messages of one file, which begin before `last` and lie before `end`. From `header_from` on the
    header of another file ends this one.

    Attributes:
        found: what is gathered.
        messages: the number of the last message; counting goes on from the files before.
        at: where the messages end that were read.
        broke_off: whether the one behind them reaches beyond the end.
        passed_over: vital signs that are not read, by name.
    """

    def __init__(self, data: bytes, last: int, end: int, messages: int, header_from: int | None) -> None:
        self.found = Found()
        self.messages = messages
        self.at = 0
        self.broke_off = False
        self.passed_over: Counter[str] = Counter()
        self._data, self._last, self._end = data, last, end
        self._header_from = end if header_from is None else header_from
        self._layouts: dict[int, _Layout] = {}
        self._time_s: int | None = None  # of the last message that told it
        self._no_time = ("timestamp", "is missing")  # of the last message without a time: the field, and why
        self._east_s = 0  # how far the watch's own clock is ahead of UTC
        #: The clock of a strap: its latest time, and one in microseconds since FIT's epoch that is known of both.
        self._event = 0
        self._strap: tuple[int, int] | None = None

    def read(self, at: int) -> Iterator[None]:
        """Gather heart rates; comes to a halt whenever they are a block.

        Raises:
            MalformedError: the messages break off, or make no sense any more.
        """
        data, found = self._data, self.found
        self.at = at
        while at < self._last:
            head = data[at]
            if head & 0x80:  # compressed: five bits of time
                at = self._read_data(at + 1, (head >> 5) & 0x3, head & 0x1F)
            elif head & 0x40:
                at = self._read_definition(at + 1, head)
            elif at >= self._header_from and is_header(data, at):
                return
            else:
                at = self._read_data(at + 1, head & 0xF, None)
            self.at = at
            if len(found.places) + len(found.errors) + len(found.resting) >= BLOCK_READINGS:
                yield

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
        self._layouts[head & 0xF] = _Layout.of(number, size, order, fields)
        self.messages += 1
        return fields_end

    def _read_data(self, at: int, local: int, offset_s: int | None) -> int:
        layout = self._layouts.get(local)
        if layout is None:
            raise MalformedError(f"the file is damaged behind message {self.messages}: data without a definition")
        end = at + layout.size
        if end > self._end:
            self._check_room(end)
        self.messages += 1
        time_s = self._time_of(layout, at, offset_s)
        if layout.bpm_place >= 0:
            bpm = self._data[at + layout.bpm_place]
            if bpm not in _NO_HEART_RATE:
                if time_s is None:
                    self._refuse(*self._no_time)
                else:
                    self._keep(time_s * SECOND_US, bpm)
        elif layout.number == _HR:
            self._read_beats(layout, at)
        elif layout.number == _FILE_ID:
            self.found.device_id = self._device_of(layout, at)
        elif layout.number == _MONITORING_INFO:
            self._read_local_time(layout, at, time_s)
        elif layout.number == _MONITORING_HR:
            self._read_resting(layout, at, time_s)
        if layout.others:
            self._pass_over(layout, at)
        return end

    def _keep(self, time_us: int, bpm: int) -> None:
        if not _FIRST_US <= time_us < _END_US:
            early = time_us < _FIRST_US
            self._refuse("timestamp", _SINCE_START if early else "is later than a FIT file can say")
            return
        found = self.found
        found.times_us.append(time_us)
        found.bpm.append(bpm)
        found.places.append(self.messages)

    def _refuse(self, field_name: str, reason: str) -> None:
        self.found.errors.append(FieldError(field_name, reason, self.messages))

    def _pass_over(self, layout: _Layout, at: int) -> None:
        """Count what the message has that is not read; bytes that are all 0xFF are no value."""
        for place, size, name in layout.others:
            if self._data[at + place : at + place + size].strip(b"\xff") or not size:
                self.passed_over[name] += 1

    def _read_beats(self, layout: _Layout, at: int) -> None:
        """Beats that a chest strap kept, in the water say, and handed over later. Their times are of the strap's own
        clock; messages with a time in full say when that was.
        """
        data, events = self._data, self._events_of(layout, at)
        fraction_place = layout.place(_FRACTION, 2)
        if layout.time_place >= 0 and events and events[0] is not None:
            (time_s,) = layout.read_time(data, at + layout.time_place)
            fraction = 0
            if fraction_place >= 0:
                (fraction,) = struct.unpack_from(layout.order + "H", data, at + fraction_place)
            if time_s != _NO_TIME:
                fraction = 0 if fraction == _NO_FRACTION else fraction
                self._strap = events[0], time_s * SECOND_US + fraction * SECOND_US // _FRACTIONS_PER_S
        place, size = layout.fields.get(_FILTERED_BPM, (0, 0))
        for bpm, its_event in zip_longest(data[at + place : at + place + size], events[:size]):
            if bpm in _NO_HEART_RATE:
                continue
            if its_event is None:
                self._refuse("event_timestamp", "is missing")
            elif self._strap is None:
                reason = "is of the strap's own clock, and no message before says what time it was"
                self._refuse("event_timestamp", reason)
            else:
                event, time_us = self._strap
                self._keep(time_us + (its_event - event) * SECOND_US // _EVENTS_PER_S, bpm)

    def _events_of(self, layout: _Layout, at: int) -> list[int | None]:
        """The times of a message's beats in 1/1024 s, both ways of writing them unrolled; None where there is none."""
        events: list[int | None] = []
        place, size = layout.fields.get(_EVENT, (0, 0))
        for (event,) in struct.iter_unpack(layout.order + "I", self._data[at + place : at + place + size // 4 * 4]):
            if event == _NO_TIME:
                events.append(None)
                continue
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
            (local_s,) = layout.read_time(self._data, at + place)
            self._east_s = local_s - time_s if abs(local_s - time_s) < DAY_US // SECOND_US else 0

    def _read_resting(self, layout: _Layout, at: int, time_s: int | None) -> None:
        """The day's resting heart rate, of the civil day on the watch; the mean of seven days beside it is left."""
        place = layout.place(_RESTING_TODAY, 1)
        bpm = self._data[at + place]
        if place < 0 or bpm in _NO_HEART_RATE:
            return
        if time_s is None:
            self._refuse(*self._no_time)
        elif time_s < _FIRST_ABSOLUTE:
            self._refuse("timestamp", _SINCE_START)
        else:
            day = from_us((time_s + EPOCH_S + self._east_s) * SECOND_US).date()
            self.found.resting.append((day, bpm))

    def _time_of(self, layout: _Layout, at: int, offset_s: int | None) -> int | None:
        """The message's time in FIT's seconds, from whichever of the three ways it is told in, and what parts of times
        are completed from then on; None for none, and why.
        """
        if layout.time_place >= 0:
            (time_s,) = layout.read_time(self._data, at + layout.time_place)
            if time_s != _NO_TIME:
                self._time_s = time_s
                return int(time_s)
        before_s = self._time_s
        if offset_s is not None:
            if before_s is None:
                self._no_time = "timestamp", "is told in five bits, and no message before tells it in full"
                return None
            # The low five bits, which have gone round once if they are lower than those of the time before.
            self._time_s = before_s + ((offset_s - before_s) & 0x1F)
            return self._time_s
        if layout.low_time_place >= 0:
            (low,) = struct.unpack_from(layout.order + "H", self._data, at + layout.low_time_place)
            if low != _NO_TIME_16:
                if before_s is None:
                    self._no_time = "timestamp_16", "is half of a time, and no message before tells it in full"
                    return None
                # Of the times with this low half the nearest: messages are not always in order.
                self._time_s = before_s + ((low - before_s + 0x8000) & 0xFFFF) - 0x8000
                return self._time_s
        self._no_time = "timestamp", "is missing"
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
            self.broke_off = True
            raise MalformedError(f"the file is cut short behind message {self.messages}")
