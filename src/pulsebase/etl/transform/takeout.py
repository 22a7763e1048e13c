"""Turn records of Fitbit's files in a Google Takeout into rows. Every text here is a JSON list of records.

Heart rate: `{"dateTime": "05/01/20 14:00:03", "value": {"bpm": 63, "confidence": 2}}`, in UTC. Resting heart rate:
`{"dateTime": …, "value": {"date": "05/01/20", "value": 54.5, "error": 6.8}}`, where a day without one has no date. Time
in zones: `{"dateTime": "05/01/20 00:00:00", "value": {"valuesInZones": {"BELOW_DEFAULT_ZONE_1": 1321.0, …}}}`.

Copies that went through other programs write times as `2020-05-01 14:00:03` or `2020-05-01T14:00:03`, dates as
`2020-05-01` and whole numbers as `2.0`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import Ints, Mask, clock_us, letters_of, number
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import NOT_A_CONFIDENCE, Candidates, confidence_codes
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import Ids
from pulsebase.model.summaries import DailySummary, HeartRateZone

#: The method that marks the vendor's own values.
METHOD = "fitbit"
#: The vendor's names of zones in these files, and what its API and its apps call them.
ZONE_NAMES = {
    "BELOW_DEFAULT_ZONE_1": "Out of Range",
    "IN_DEFAULT_ZONE_1": "Fat Burn",
    "IN_DEFAULT_ZONE_2": "Cardio",
    "IN_DEFAULT_ZONE_3": "Peak",
}
_FORM = "00/00/00 00:00:00"
_ISO_FORMS = ("0000-00-00 00:00:00", "0000-00-00T00:00:00", "0000-00-00T00:00:00Z")
_DAY_END = re.compile("[ T]")
#: The text between two records of a list, whose records are objects that end in an object.
_BREAK = re.compile(rb"(?<=\})\s*,\s*(?=\{)")

#: The first record of a list of heart rates, and what separates it from the next.
_RECORD = re.compile(
    rb"\[\s*(?P<record>"
    rb'(?P<head>\{\s*"dateTime"\s*:\s*"(?P<time>\d\d/\d\d/\d\d \d\d:\d\d:\d\d)"\s*,\s*"value"\s*:\s*\{\s*"bpm"\s*:\s*)'
    rb'[1-9]\d{1,2}(?P<middle>\s*,\s*"confidence"\s*:\s*)\d(?P<tail>\s*\}\s*\}))(?P<break>\s*,\s*(?=\{))?'
)
_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_MOST_CONFIDENCE = 3

_Columns = tuple[Ints, Mask, npt.NDArray[np.float64], npt.NDArray[np.int8]]
RecordT = TypeVar("RecordT")


class _Beat(msgspec.Struct, gc=False):
    bpm: float
    confidence: float | None = None


class _Sample(msgspec.Struct, gc=False):
    dateTime: str  # noqa: N815 the file's name
    value: _Beat


class _Resting(msgspec.Struct):
    date: str | None
    value: float


class _RestingRecord(msgspec.Struct):
    value: _Resting


class _Zones(msgspec.Struct):
    valuesInZones: dict[str, float]  # noqa: N815 the file's name


class _ZonesRecord(msgspec.Struct):
    dateTime: str  # noqa: N815 the file's name
    value: _Zones


_samples = msgspec.json.Decoder(list[_Sample])
_restings = msgspec.json.Decoder(list[_RestingRecord])
_zones = msgspec.json.Decoder(list[_ZonesRecord])


def heart_rates(text: bytes, first: int, user_id: str, device_id: str) -> Block:
    """Return the readings. Positions count records from `first` on."""
    errors: list[FieldError] = []
    columns = _laid_out_alike(text)
    if columns is not None:
        times_us, good, bpm, confidences = columns
        places = np.arange(first, first + len(times_us))
    else:
        samples, places, errors = _decoded(text, first, _samples, "a reading")
        if not samples:
            return Block(_none(), errors, len(errors))
        times_us, good = _times([sample.dateTime for sample in samples])
        beats = [sample.value for sample in samples]
        bpm = np.array([beat.bpm for beat in beats], np.float64)
        confidences = confidence_codes([beat.confidence for beat in beats])
    if not good.all():
        reason = "is not a time such as 05/01/20 14:00:03 or 2020-05-01T14:00:03"
        errors += [FieldError("timestamp", reason, int(at)) for at in places[~good]]
        times_us, bpm, confidences, places = times_us[good], bpm[good], confidences[good], places[good]
    ids = Ids.repeated(user_id, len(places)), Ids.repeated(device_id, len(places))
    total = len(places) + len(errors)
    return Block(Candidates(*ids, times_us, bpm, confidences, places, twins=True), errors, total)


def _laid_out_alike(text: bytes) -> _Columns | None:
    """Return the columns of a list whose records differ only in their digits, as the vendor writes them; None for any
    other.

    The columns are times and which of them exist, heart rates and confidences. This is three times as fast as parsing
    each record: a pattern takes the first record apart, and the others must have the same layout.
    """
    first = _RECORD.match(text)
    if first is None:
        return None
    begin = first.start("time") - first.start("record")
    break_ = first["break"] or b","
    layouts = [
        (first["head"] + digits + first["middle"] + b"0" + first["tail"] + break_).translate(_AS_ZERO)
        for digits in (b"00", b"000")
    ]
    raw = text[first.start("record") : -1].rstrip() + break_
    plain = raw.translate(_AS_ZERO)
    counts = [plain.count(layout) for layout in layouts]
    if sum(count * len(layout) for count, layout in zip(counts, layouts, strict=True)) != len(raw):
        return None
    letters = np.frombuffer(raw, np.uint8)
    starts = np.flatnonzero(letters == ord("{"))[::2]
    wide = np.diff(starts, append=len(raw)) == len(layouts[1])

    def digit(at: int | Ints) -> Ints:
        found: Ints = letters[starts + at].astype(np.int64) - ord("0")
        return found

    month, day, year, hour, minute, second = (digit(begin + at) * 10 + digit(begin + at + 1) for at in range(0, 18, 3))
    times_us, exists = clock_us(year + 2000, month, day, hour, minute, second)
    beat = len(first["head"])
    if not digit(beat).all():  # 060 is no number of JSON
        return None
    bpm = digit(beat) * 10 + digit(beat + 1)
    bpm = np.where(wide, bpm * 10 + digit(beat + 2), bpm)
    stated = digit(beat + 2 + len(first["middle"]) + wide)
    confidences = np.where(stated <= _MOST_CONFIDENCE, stated, NOT_A_CONFIDENCE).astype(np.int8)
    return times_us, exists, bpm.astype(np.float64), confidences


def restings(text: bytes, first: int, user_id: str) -> tuple[list[DailySummary], list[FieldError], int]:
    """Return days with the vendor's resting heart rate, the errors, and the number of records."""
    records, places, errors = _decoded(text, first, _restings, "a resting heart rate")
    total = len(records) + len(errors)
    found = []
    for record, place in zip(records, places.tolist(), strict=True):
        if record.value.date is None or record.value.value <= 0:
            continue  # a day on which there is none
        day = _day(record.value.date)
        if day is None:
            errors.append(FieldError("date", "is not a date such as 05/01/20", place))
        else:
            found.append(DailySummary(user_id, day, record.value.value, METHOD))
    return found, errors, total


def zone_times(text: bytes, first: int, user_id: str) -> tuple[list[DailySummary], list[FieldError], int]:
    """Return days with the vendor's minutes in zones (the files state no bounds), the errors, and the number of
    records.
    """
    records, places, errors = _decoded(text, first, _zones, "a time in zones")
    total = len(records) + len(errors)
    found = []
    for record, place in zip(records, places.tolist(), strict=True):
        day = _day(_DAY_END.split(record.dateTime, maxsplit=1)[0])
        if day is None:
            errors.append(FieldError("dateTime", "is not a time such as 05/01/20 00:00:00", place))
            continue
        given = record.value.valuesInZones
        zones = [
            HeartRateZone(ours, None, None, round(given[name])) for name, ours in ZONE_NAMES.items() if name in given
        ]
        more = [HeartRateZone(name, None, None, round(given[name])) for name in sorted(given.keys() - ZONE_NAMES)]
        found.append(DailySummary(user_id, day, None, METHOD, tuple(zones), tuple(more)))
    return found, errors, total


def _decoded(
    text: bytes, first: int, decoder: msgspec.json.Decoder[list[RecordT]], what: str
) -> tuple[list[RecordT], Ints, list[FieldError]]:
    """Return the records that can be read, their places, and an error for each of the others."""
    try:
        records = decoder.decode(text)
        return records, np.arange(first, first + len(records)), []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    records, places, errors = [], [], []
    for place, each in enumerate(_BREAK.split(text.strip().removeprefix(b"[").removesuffix(b"]")), first):
        try:
            records += decoder.decode(b"[" + each + b"]")
            places.append(place)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            errors.append(FieldError("record", f"is not {what}", place))
    return records, np.array(places, np.int64), errors


def _times(texts: Sequence[str]) -> tuple[Ints, Mask]:
    letters, good = letters_of(texts, _FORM)
    month, day, year, hour, minute, second = (number(letters, at, at + 2) for at in range(0, 18, 3))
    times_us, exists = clock_us(year + 2000, month, day, hour, minute, second)
    good &= exists
    for form in () if good.all() else _ISO_FORMS:
        letters, alike = letters_of(texts, form)
        rest = (number(letters, at, at + 2) for at in (5, 8, 11, 14, 17))
        of_form, exists = clock_us(number(letters, 0, 4), *rest)
        alike &= exists
        times_us, good = np.where(alike, of_form, times_us), good | alike
    return times_us, good


def _day(text: str) -> date | None:
    for form in ("%m/%d/%y", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    return None


def _none() -> Candidates:
    return Candidates([], [], np.empty(0, np.int64), np.empty(0), np.empty(0, np.int8), np.empty(0, np.int64))
