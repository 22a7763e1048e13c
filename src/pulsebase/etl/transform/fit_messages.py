"""The messages of one FIT file: its vital signs alone, one pass, no other message decoded. (FIT protocol 2.x:
definition and data messages, compressed timestamps, developer fields; profile: messages `file_id`, `record`,
`monitoring`, `monitoring_info`, `monitoring_hr_data`, `hr`, `hrv` and `beat_intervals`, and those of `fit_values`.)

No library is used, because the two maintained ones decode every field of every message. They read some 20,000 records
per second on one processor, and this reader some 400,000. The tests compare it with one of them.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from pulsebase.etl.transform.fit_beats import BeatClock
from pulsebase.etl.transform.fit_found import DEVICE_ID, EPOCH_S, Found, MetricRows
from pulsebase.etl.transform.fit_values import FieldChoice, choices_of
from pulsebase.ingest.blocks import BLOCK_READINGS, MalformedError
from pulsebase.model import metrics
from pulsebase.model.errors import FieldError
from pulsebase.model.timerange import DAY_US, SECOND_US, from_us

#: Times below this are seconds since the device was switched on.
_FIRST_ABSOLUTE = 0x10000000
_FIRST_US, _END_US = _FIRST_ABSOLUTE * SECOND_US, (1 << 32) * SECOND_US
_NO_TIME = 0xFFFFFFFF
_NO_TIME_16 = 0xFFFF
#: A heart rate that was not measured.
_NO_HEART_RATE = (0, 255)
_SINCE_START = "counts from when the device was switched on"

_FILE_ID, _RECORD, _MONITORING, _HRV, _MONITORING_INFO, _HR, _MONITORING_HR = 0, 20, 55, 78, 103, 132, 211
_BEAT_INTERVALS = 290
_HRV_TIME = 0
#: Of `beat_intervals`: the fraction of the message's time, and the intervals.
_INTERVALS_MS, _INTERVALS = 0, 1
_TIMESTAMP, _TIMESTAMP_16 = 253, 26
#: Of `hr`: a fraction of the second, and each beat's heart rate and time in full or as 12 bits.
_FRACTION, _FILTERED_BPM, _EVENT, _EVENT_12 = 0, 6, 9, 10
_FRACTIONS_PER_S, _NO_FRACTION, _EVENTS_PER_S = 32_768, 0xFFFF, 1_024
_LOCAL_TIMESTAMP, _RESTING_TODAY = 0, 1
#: The number of the field with the heart rate, by message.
_HEART_RATE_FIELDS = {_RECORD: 3, _MONITORING: 27}
_MANUFACTURER, _PRODUCT, _SERIAL = 1, 2, 3
_GARMIN = 1

#: Messages with vital signs that are ignored, with their names in the profile.
_OTHER_VITALS = {
    51: "blood_pressure",
    227: "stress_level",
    305: "hsa_spo2_data",
    306: "hsa_stress_data",
    307: "hsa_respiration_data",
    308: "hsa_heart_rate_data",
    370: "hrv_status_summary",
    372: "raw_bbi",
    398: "skin_temp_overnight",
    409: "hsa_wrist_temperature_data",
}
#: The same for fields of `record`.
_OTHER_FIELDS = {
    116: "current_stress of record",
}
#: An interval between beats that was not measured; the first is 65.535 s.
_NO_INTERVAL = (0xFFFF, 0)
_MS_US = 1_000


_LEAST_HEADER_BYTES = 12


def is_header(data: bytes, at: int) -> bool:
    """Return whether a file begins there."""
    return len(data) - at >= _LEAST_HEADER_BYTES <= data[at] and data[at + 8 : at + 12] == b".FIT"


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layout of the data messages with a local number. Places are counted after the header byte; -1 means that the
    field is missing.
    """

    number: int
    size: int
    order: str
    fields: dict[int, tuple[int, int]]  # number of the field: place, size
    time_place: int
    low_time_place: int
    bpm_place: int
    read_time: Callable[[bytes, int], tuple[Any, ...]]
    #: What is read besides, for each metric in one field or another.
    values: tuple[FieldChoice, ...]
    #: What is passed over: place and size of a field, a size of 0 for the message itself, and the name.
    others: tuple[tuple[int, int, str], ...]

    @classmethod
    def of(cls, number: int, size: int, order: str, fields: dict[int, tuple[int, int]]) -> _Layout:
        """Return the layout that a definition message states."""
        bpm_field = _HEART_RATE_FIELDS.get(number, -1)
        others: list[tuple[int, int, str]] = []
        if number in _OTHER_VITALS:
            others = [(0, 0, _OTHER_VITALS[number])]
        elif number == _RECORD:
            others = [(*fields[each], name) for each, name in _OTHER_FIELDS.items() if each in fields]
        if fields.get(bpm_field, (0, 1))[1] != 1:
            others.append((*fields[bpm_field], "heart_rate in more than a byte"))
        values, unfit = choices_of(number, order, fields)
        others += unfit
        return cls(
            number,
            size,
            order,
            fields,
            _place(fields, _TIMESTAMP, 4),
            _place(fields, _TIMESTAMP_16, 2) if number == _MONITORING else -1,
            _place(fields, bpm_field, 1),
            struct.Struct(order + "I").unpack_from,
            values,
            tuple(others),
        )

    def place(self, field_number: int, size: int) -> int:
        """Return the place of the field if it has this size, otherwise -1."""
        return _place(self.fields, field_number, size)


def _place(fields: dict[int, tuple[int, int]], field_number: int, size: int) -> int:
    at, its_size = fields.get(field_number, (-1, 0))
    return at if its_size == size else -1


class FitReader:
    """Passes once over the messages of one file, which begin before `last` and end by `end`. From `header_from` on, the
    header of another file ends this one.

    Attributes:
        found: what was collected.
        messages: the number of the last message, counted over all files so far.
        at: where the messages that were read end.
        broke_off: whether the message after them extends beyond the end.
        passed_over: vital signs that are ignored, by name.
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
        self._time_s: int | None = None  # of the last message with a time
        self._no_time = ("timestamp", "is missing")  # of the last message without a time: the field, and why
        self._east_s = 0  # how far the watch's own clock is ahead of UTC
        #: The clock of a strap: its latest time, and a moment that is known both on it and since FIT's epoch.
        self._event = 0
        self._strap: tuple[int, int] | None = None
        self._beats = BeatClock()
        self._readers: Mapping[int, Callable[[_Layout, int, int | None], None]] = {
            _FILE_ID: self._read_device,
            _HRV: self._read_intervals,
            _BEAT_INTERVALS: self._read_told_intervals,
            _HR: self._read_beats,
            _MONITORING_INFO: self._read_local_time,
            _MONITORING_HR: self._read_resting,
        }

    def read(self, at: int) -> Iterator[None]:
        """Gather vital signs; comes to a halt whenever they are a block.

        Raises:
            MalformedError: the messages are incomplete, or make no sense.
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
            if found.count >= BLOCK_READINGS:
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
                    self._refuse(self.found.heart_rates, *self._no_time)
                else:
                    self._keep(self.found.heart_rates, time_s * SECOND_US, bpm)
        elif (read := self._readers.get(layout.number)) is not None:
            read(layout, at, time_s)
        if layout.values:
            self._read_values(layout, at, time_s)
        if layout.others:
            self._pass_over(layout, at)
        return end

    def _keep(self, rows: MetricRows, time_us: int, value: float) -> None:
        if not _FIRST_US <= time_us < _END_US:
            early = time_us < _FIRST_US
            self._refuse(rows, "timestamp", _SINCE_START if early else "is later than a FIT file can say")
            return
        self.found.count += 1
        rows.times_us.append(time_us)
        rows.values.append(value)
        rows.places.append(self.messages)

    def _refuse(self, rows: MetricRows, field_name: str, reason: str) -> None:
        self.found.count += 1
        rows.errors.append(FieldError(field_name, reason, self.messages))

    def _read_values(self, layout: _Layout, at: int, time_s: int | None) -> None:
        for choice in layout.values:
            value = choice.value(self._data, at)
            if value is None:
                continue
            rows = self.found.of(choice.metric)
            if time_s is None:
                self._refuse(rows, *self._no_time)
            else:
                self._keep(rows, time_s * SECOND_US, value)

    def _intervals_in(self, layout: _Layout, at: int, field_number: int) -> list[int]:
        """The measured intervals in a field, in milliseconds."""
        place, size = layout.fields.get(field_number, (0, 0))
        data = self._data[at + place : at + place + size // 2 * 2]
        return [each for (each,) in struct.iter_unpack(layout.order + "H", data) if each not in _NO_INTERVAL]

    def _read_intervals(self, layout: _Layout, at: int, _: int | None) -> None:
        """Beats without times, between messages that tell one."""
        intervals_ms = self._intervals_in(layout, at, _HRV_TIME)
        rows = self.found.of(metrics.RR_INTERVAL.name)
        if self._time_s is None:
            for _each in intervals_ms:
                self._refuse(rows, "timestamp", "is missing: no message before says what time it was")
        else:
            for time_us, each in zip(self._beats.ends_us(intervals_ms, self._time_s), intervals_ms, strict=True):
                self._keep(rows, time_us, each)

    def _read_told_intervals(self, layout: _Layout, at: int, time_s: int | None) -> None:
        """Beats of which the last was at the message's time."""
        intervals_ms = self._intervals_in(layout, at, _INTERVALS)
        rows = self.found.of(metrics.RR_INTERVAL.name)
        if time_s is None:
            for _ in intervals_ms:
                self._refuse(rows, *self._no_time)
            return
        place = layout.place(_INTERVALS_MS, 2)
        (ms,) = (0,) if place < 0 else struct.unpack_from(layout.order + "H", self._data, at + place)
        time_us = time_s * SECOND_US + ((0 if ms in _NO_INTERVAL else ms) - sum(intervals_ms)) * _MS_US
        for each in intervals_ms:
            time_us += each * _MS_US
            self._keep(rows, time_us, each)

    def _pass_over(self, layout: _Layout, at: int) -> None:
        """Count what the message holds and is ignored. Bytes that are all 0xFF mean that there is no value."""
        for place, size, name in layout.others:
            if self._data[at + place : at + place + size].strip(b"\xff") or not size:
                self.passed_over[name] += 1

    def _read_beats(self, layout: _Layout, at: int, _: int | None) -> None:
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
        rows = self.found.heart_rates
        place, size = layout.fields.get(_FILTERED_BPM, (0, 0))
        for bpm, its_event in zip_longest(data[at + place : at + place + size], events[:size]):
            if bpm in _NO_HEART_RATE:
                continue
            if its_event is None:
                self._refuse(rows, "event_timestamp", "is missing")
            elif self._strap is None:
                reason = "is of the strap's own clock, and no message before says what time it was"
                self._refuse(rows, "event_timestamp", reason)
            else:
                event, time_us = self._strap
                self._keep(rows, time_us + (its_event - event) * SECOND_US // _EVENTS_PER_S, bpm)

    def _events_of(self, layout: _Layout, at: int) -> list[int | None]:
        """Return the times of a message's beats in 1/1024 s, from both ways of writing them. A missing time is None."""
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
        """Read the resting heart rate of a civil day on the watch. The mean of seven days next to it is ignored."""
        place = layout.place(_RESTING_TODAY, 1)
        bpm = self._data[at + place]
        if place < 0 or bpm in _NO_HEART_RATE:
            return
        if time_s is None:
            self._refuse(self.found.heart_rates, *self._no_time)
        elif time_s < _FIRST_ABSOLUTE:
            self._refuse(self.found.heart_rates, "timestamp", _SINCE_START)
        else:
            day = from_us((time_s + EPOCH_S + self._east_s) * SECOND_US).date()
            self.found.resting.append((day, bpm))
            self.found.count += 1

    def _time_of(self, layout: _Layout, at: int, offset_s: int | None) -> int | None:
        """Return the message's time in FIT's seconds, in whichever of the three ways it is stated, and remember it to
        complete partial times that follow. Without a time, return None and note why.
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
            # The low five bits. They have wrapped around once if they are lower than those of the time before.
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

    def _read_device(self, layout: _Layout, at: int, _: int | None) -> None:
        self.found.device_id = self._device_of(layout, at)

    def _device_of(self, layout: _Layout, at: int) -> str:
        """Return `garmin-PRODUCT-SERIAL` or `fit-MANUFACTURER-PRODUCT-SERIAL`, without the parts missing in the
        file.
        """
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
