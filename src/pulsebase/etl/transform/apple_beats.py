"""Turn the beats in an Apple Health export, given as texts, into RR intervals.

A record of heart rate variability holds the beats that it was worked out from: `<InstantaneousBeatsPerMinute bpm="62"
time="9:41:02.37 AM"/>`. The time is that of the beat, on the clock by which the record's own times are local, without a
day. The rate is that of the interval which the beat ends: 60,000 ms divided by it. Differences of times would not do,
since a beat may be missing in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from pulsebase.etl.transform.apple_health import LONG_SOURCE, devices_of, times_of
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.metrics import RR_INTERVAL
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.timerange import DAY_US, SECOND_US

_MINUTE_MS = 60_000
#: How far from its record a beat may lie; records take a minute or some minutes.
_AROUND_US = 60 * SECOND_US
#: As phones with a clock of 12 or 24 hours write it, with a point or a comma.
_TIME = re.compile(r"(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d{1,6}))?(?:\s*([ap])\.?\s?m\.?)?", re.ASCII | re.IGNORECASE)
_BLANKS = str.maketrans({"\N{NARROW NO-BREAK SPACE}": " ", "\N{NO-BREAK SPACE}": " "})
_BPM = re.compile(r"\d{1,3}(\.\d{0,20})?", re.ASCII)
_NOON_HOUR = 12


@dataclass(slots=True)
class BeatRecord:
    """The record that holds beats: its number among all that are read, its times and its source."""

    place: int
    start: str
    end: str
    source: str


@dataclass(slots=True)
class AppleBeats:
    """Beats with the record of each, column by column, as texts."""

    records: list[BeatRecord] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    bpm: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)

    def add(self, record: BeatRecord, time: str, bpm: str) -> None:
        """Add a beat."""
        self.records.append(record)
        self.times.append(time)
        self.bpm.append(bpm)


def rr_intervals(beats: AppleBeats, user_id: str, device_id: str | None) -> Block:
    """Return the interval that ends with each beat, in milliseconds. Positions are those of the records."""
    starts_us, start_ok = times_of([record.start for record in beats.records])
    ends_us, end_ok = times_of([record.end for record in beats.records])
    ends_us = np.where(end_ok, ends_us, starts_us)
    devices, source_ok = devices_of([record.source for record in beats.records], device_id)
    errors: list[FieldError] = []
    rows: list[int] = []
    times_us: list[int] = []
    values: list[float] = []
    for row, (record, time, bpm) in enumerate(zip(beats.records, beats.times, beats.bpm, strict=True)):
        of_day_us, rate = _of_day_us(time), float(bpm) if _BPM.fullmatch(bpm) else 0.0
        fault = None
        if not start_ok[row]:
            fault = "startDate", "is not a time such as 2018-05-01 10:00:00 +0200"
        elif of_day_us is None:
            fault = "time", "is not a time such as 9:41:02.37 AM"
        elif not rate:
            fault = "bpm", "is not a number of beats a minute"
        elif not source_ok[row]:
            fault = "sourceName", LONG_SOURCE
        else:
            at_us = _nearest_us(of_day_us + _west_us(record.start), int(starts_us[row]))
            if int(starts_us[row]) - _AROUND_US <= at_us <= int(ends_us[row]) + _AROUND_US:
                rows.append(row)
                times_us.append(at_us)
                values.append(_MINUTE_MS / rate)
                continue
            fault = "time", "is not within its record"
        errors.append(FieldError(*fault, record.place))
    count = len(rows)
    candidates = Candidates(
        Ids.repeated(user_id, count),
        devices.take(np.array(rows, np.intp)),
        np.array(times_us, np.int64),
        np.array(values, np.float64),
        np.full(count, NO_CONFIDENCE, np.int8),
        np.array([beats.records[row].place for row in rows], np.int64),
        RR_INTERVAL.name,
    )
    return Block(candidates, errors, len(beats))


def _of_day_us(text: str) -> int | None:
    """Return microseconds since midnight on the record's clock."""
    found = _TIME.fullmatch(text.translate(_BLANKS).strip())
    if found is None:
        return None
    hour, minute, second = (int(part) for part in found.group(1, 2, 3))
    if found[5]:
        if not 1 <= hour <= _NOON_HOUR:
            return None
        hour = hour % _NOON_HOUR + (_NOON_HOUR if found[5].lower() == "p" else 0)
    if hour >= 24 or minute >= 60 or second >= 60:
        return None
    return ((hour * 60 + minute) * 60 + second) * SECOND_US + int((found[4] or "").ljust(6, "0"))


def _west_us(start: str) -> int:
    """Return what is added to a time on the record's clock for UTC. The start is a valid time."""
    east_us = (int(start[21:23]) * 60 + int(start[23:25])) * 60 * SECOND_US
    return east_us if start[20] == "-" else -east_us


def _nearest_us(of_day_us: int, near_us: int) -> int:
    """Return the moment at this time of a UTC day that is nearest to another."""
    return near_us + (of_day_us - near_us + DAY_US // 2) % DAY_US - DAY_US // 2
