"""Parse times of research CSV files from columns of bytes: local times, and times with an offset from UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import Ints, LocalClocks, Mask, clock_us, number
from pulsebase.etl.transform.csv_choices import option
from pulsebase.etl.transform.time_layouts import UNIT_NAMES, formats_for, unit_of
from pulsebase.model.readings import Ids
from pulsebase.model.timerange import MINUTE_US

Bytes = npt.NDArray[np.uint8]
_Runs = list[tuple[int, int]]

#: How many digits the six numbers of a time have: 2016-04-12 07:21:00, and 4/12/2016 7:21:00 AM.
_WIDTHS = [[4, 2, 2, 2, 2, 2], *([m, d, 4, h, 2, 2] for m in (1, 2) for d in (1, 2) for h in (1, 2))]
#: How many digits the numbers of an offset have: +01:00, +0100, +01.
_OFFSETS = ([2, 2], [4], [2])
_HALF_OF_DAY = re.compile(rb" ?([AaPp])\.?[Mm]\.?")
#: The most different endings of times in one block, such as ` AM` and ` PM`. A file with more is damaged.
_MOST_ENDS = 16
_MOST_DIGITS = 9

_NO_SECONDS = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}[ T]\d{1,2}:\d{2}( ?[AaPp]\.?[Mm]\.?)?", re.ASCII)
_NO_HALF = re.compile(r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}:\d{2}", re.ASCII)
_SHORT_YEAR = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2} .*", re.ASCII)
_DAY_FIRST = re.compile(r"\d{1,2}\.\d{1,2}\.\d{4} .*", re.ASCII)
_COUNTED = re.compile(r"\d{9,19}([.,]\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Times:
    """A column of times.

    Attributes:
        us: microseconds since 1970-01-01 00:00, in local time or in UTC.
        good: which fields hold a time.
        utc: which of those state their offset, so that they are in UTC.
    """

    column: Bytes
    us: Ints
    good: Mask
    utc: Mask

    def instants(self, rows: Mask, clocks: LocalClocks, ids: Ids) -> Ints:
        """Return the times of some rows in microseconds UTC. Local times are converted by the clocks of their
        people.
        """
        us, utc = self.us[rows], self.utc[rows]
        if not utc.any():
            return clocks.instants(us, ids)
        local = np.flatnonzero(~utc)
        us[local] = clocks.instants(us[local], ids.take(local))
        return us

    def text(self, row: int) -> str:
        """Return what the field holds, as far as it was kept."""
        text: bytes = self.column[row].tobytes()
        return text.rstrip(b"\0").decode("utf-8", "replace")


def why_no_time(text: str) -> str:
    """Return what is wrong with a text that is not a time, and what to do about it."""
    formats = [option("time_format", layout) for layout in formats_for([text])]
    to_do = f"; or add {' or '.join(formats)}" if formats else ""
    for form, reason in (
        (_NO_SECONDS, "has no seconds: a spreadsheet left them out; bring the file as it was before"),
        (_NO_HALF, "has no AM or PM, so that day or month may come first; write it as 2016-04-12 07:21:00"),
        (_SHORT_YEAR, "has a year of two digits; write it as 2016-04-12 07:21:00"),
        (_DAY_FIRST, "has the day first; write it as 2016-04-12 07:21:00"),
    ):
        if form.fullmatch(text):
            return reason + to_do
    if _COUNTED.fullmatch(text):
        unit = unit_of(text)
        to_do = (
            "" if unit is None else f"; or add {option('time_format', unit)} if all count {UNIT_NAMES[unit]} since 1970"
        )
        return f"is a number; write what it counts as 2016-04-12T07:21:00Z{to_do}"
    return "is not a time such as 2016-04-12 07:21:00 or 4/12/2016 7:21:00 AM"


def times_of(column: Bytes) -> Times:
    """Parse times in either layout.

    Fields with digits in the same places are read together: one group for the first layout, some dozen for the second.
    """
    count = len(column)
    times = Times(column, np.zeros(count, np.int64), np.zeros(count, np.bool_), np.zeros(count, np.bool_))
    digits = (column >= ord("0")) & (column <= ord("9"))
    shapes, place, sizes = np.unique(
        digits @ (1 << np.arange(column.shape[1])), return_inverse=True, return_counts=True
    )
    ends = np.cumsum(sizes)
    in_groups = np.argsort(place, kind="stable")
    for shape, begin, end in zip(shapes.tolist(), (ends - sizes).tolist(), ends.tolist(), strict=True):
        rows, runs = in_groups[begin:end], _runs(shape)
        if [end - begin for begin, end in runs[:6]] not in _WIDTHS or runs[0][0] != 0:
            continue
        if all(after[0] - before[1] == 1 for before, after in pairwise(runs[:6])):
            times.us[rows], times.good[rows], times.utc[rows] = _read(column[rows], runs)
    return times


def _runs(shape: int) -> _Runs:
    """Return the begin and end of each run of set bits, lowest bit first."""
    return [match.span() for match in re.finditer("1+", f"{shape:b}"[::-1])]


def _read(column: Bytes, runs: _Runs) -> tuple[Ints, Mask, Mask]:
    """Read fields whose numbers are in the same places. Return microseconds, which fields are times, and which of them
    state their offset.
    """
    numbers = [number(column, begin, end) for begin, end in runs[:6]]
    breaks = column[:, [end for _, end in runs[:5]]]
    part_us, runs = _fraction(column, runs)
    offset_us, utc, is_end = _offset(column, runs)
    afternoon = np.zeros(len(column), np.bool_)
    halved = afternoon.copy()
    if not is_end.all():
        utc, afternoon, halved, is_end = _ends(column[:, runs[5][1] :], utc, is_end)
    in_iso = (breaks[:, [0, 1, 3, 4]] == np.frombuffer(b"--::", np.uint8)).all(axis=1)
    iso = in_iso & ((breaks[:, 2] == ord(" ")) | (breaks[:, 2] == ord("T")) | (breaks[:, 2] == ord("t"))) & ~halved
    us = (breaks == np.frombuffer(b"// ::", np.uint8)).all(axis=1) & halved
    year, month, day = (np.where(us, numbers[b], numbers[a]) for a, b in ((0, 2), (1, 0), (2, 1)))
    hour, minute, second = numbers[3:]
    good = (iso | (us & (hour >= 1) & (hour <= 12))) & is_end & (year >= 1000) & (year <= 9998)
    hour = np.where(us, hour % 12 + np.where(afternoon, 12, 0), hour)
    wall_us, exists = clock_us(year, month, day, hour, minute, second)
    good &= exists
    return np.where(good, wall_us + part_us - offset_us, 0), good, utc & good


def _fraction(column: Bytes, runs: _Runs) -> tuple[Ints | int, _Runs]:
    """Return the microseconds of a fraction after the seconds, if there is one, and the runs of digits in which it is
    merged with the seconds.
    """
    end = runs[5][1]
    if len(runs) < 7 or runs[6][0] != end + 1 or not (column[:, end] == ord(".")).all():
        return 0, runs
    begin, end = runs[6]
    if end - begin > _MOST_DIGITS:
        return 0, runs
    digits = number(column, begin, min(end, begin + 6))
    return digits * 10 ** max(0, 6 - (end - begin)), [*runs[:5], (runs[5][0], end), *runs[7:]]


def _offset(column: Bytes, runs: _Runs) -> tuple[Ints | int, Mask, Mask]:
    """Return the offset after the seconds in microseconds, which fields have one, and which fields end with it."""
    end, found = runs[5][1], runs[6:]
    nowhere = np.zeros(len(column), np.bool_)
    if not found:
        ends = (column[:, end] == 0) if end < column.shape[1] else ~nowhere
        return 0, nowhere, ends
    if [b - a for a, b in found] not in _OFFSETS or found[0][0] != end + 1:
        return 0, nowhere, nowhere
    sign = column[:, end]
    signed = (sign == ord("+")) | (sign == ord("-"))
    numbers = [number(column, begin, last) for begin, last in found]
    hours, minutes = numbers if len(numbers) == 2 else (numbers[0], 0)
    if len(found) == 1 and found[0][1] - found[0][0] == 4:
        hours, minutes = numbers[0] // 100, numbers[0] % 100
    if len(found) == 2:
        between = found[0][1]
        signed &= (column[:, between] == ord(":")) & (found[1][0] == between + 1)
    last = found[-1][1]
    whole = signed & ((column[:, last] == 0) if last < column.shape[1] else True) & (hours < 24) & (minutes < 60)
    offset_us = (hours * 60 + minutes) * MINUTE_US * np.where(sign == ord("-"), -1, 1)
    return np.where(whole, offset_us, 0), whole, whole


def _ends(tail: Bytes, utc: Mask, is_end: Mask) -> tuple[Mask, Mask, Mask, Mask]:
    """Return which fields end in Z, in PM, in AM or PM, and in anything that a time may end in."""
    utc, is_end = utc.copy(), is_end.copy()
    afternoon, halved = np.zeros(len(tail), np.bool_), np.zeros(len(tail), np.bool_)
    texts = np.ascontiguousarray(tail).view(f"S{tail.shape[1]}").ravel()
    left = np.flatnonzero(~is_end)
    for _ in range(_MOST_ENDS):
        if not len(left):
            break
        text = bytes(texts[left[0]])
        same = texts[left] == text
        rows, left = left[same], left[~same]
        half = _HALF_OF_DAY.fullmatch(text)
        if text in (b"Z", b"z"):
            utc[rows] = is_end[rows] = True
        elif half:
            halved[rows] = is_end[rows] = True
            afternoon[rows] = half[1] in b"Pp"
    return utc, afternoon, halved, is_end
