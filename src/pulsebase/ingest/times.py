"""Parse columns of times as texts: the usual forms all at once, any other form one text at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.timerange import parse_reading_time

_I64 = npt.NDArray[np.int64]
_Letters = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]

_ZERO = np.uint8(ord("0"))
_LINE_END = np.uint8(ord("\n"))
_FRACTION = len("0000-00-00T00:00:00.")


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to write a time: its fixed characters, by place, and the places of its digits."""

    signs: Sequence[tuple[int, int]]
    digits: Sequence[int]

    @classmethod
    def of(cls, clock: str, zone: str) -> _Form:
        text = clock + zone
        signs = [(place, ord(text[place])) for place in range(len(text)) if text[place] != "0" or place >= len(clock)]
        return cls(signs, [place for place in range(len(clock)) if text[place] == "0"])


#: The usual forms by length. No two have the same length.
_FORM_OF: Mapping[int, _Form] = {
    len(clock + zone): _Form.of(clock, zone)
    for clock in (f"0000-00-00T00:00:00{fraction}" for fraction in ("", ".000", ".000000"))
    for zone in ("", "Z", "+00:00")
}


def read_lines(lines: str, count: int) -> tuple[_I64, list[tuple[int, str]]]:
    """As `read_times`, for texts given as `count` lines."""
    width = lines.find("\n") if count > 1 else len(lines)
    if width in _FORM_OF and len(lines) == count * (width + 1) - 1:
        times_us, read = _of_width(lines, count, width)
        if read.all():
            return times_us, []
    return read_times(lines.split("\n") if count else [])


def read_times(texts: Sequence[str]) -> tuple[_I64, list[tuple[int, str]]]:
    """Return microseconds since 1970, and the rows whose text is not a time, each with the reason; their time is 0.

    `parse_reading_time` defines what a text means. The forms that programs usually write, such as
    `2024-01-15T10:00:00Z` or `2024-01-15T10:00:00.123456+00:00`, are read to the same result without a call for each.
    """
    times_us, read = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    width_of = np.fromiter(map(len, texts), np.int64, len(texts))
    for width in set(width_of.tolist()) & _FORM_OF.keys():
        rows = np.flatnonzero(width_of == width)
        lines = "\n".join([texts[row] for row in rows.tolist()])
        times_us[rows], read[rows] = _of_width(lines, len(rows), width)
    unread = []
    for row in np.flatnonzero(~read).tolist():
        try:
            times_us[row] = parse_reading_time(texts[row])
        except (ValueError, OverflowError) as error:
            times_us[row] = 0
            unread.append((row, str(error)))
    return times_us, unread


def _of_width(lines: str, count: int, width: int) -> tuple[_I64, _Mask]:
    """Return the times of `count` lines, and which of them have the form of this width and are real times. Together the
    lines must be as long as `count` lines of this width. If all have the form, every line does have this width: the
    text then holds no line break except those between the lines.
    """
    form = _FORM_OF[width]
    raw = f"{lines}\n".encode("ascii", "replace")  # other characters become `?`, which is in no form
    # One row for each place in the text, so that each step below reads neighbouring memory.
    letters = np.ascontiguousarray(np.frombuffer(raw, np.uint8).reshape(count, width + 1).T)
    digits = letters - _ZERO
    read: _Mask = letters[width] == _LINE_END
    for place, sign in form.signs:
        read &= letters[place] == sign
    for place in form.digits:
        read &= digits[place] <= 9
    hour, minute, second = (_two(digits, place) for place in (11, 14, 17))
    read &= (hour <= 23) & (minute <= 59) & (second <= 59)
    days, exist = _days(digits)
    read &= exist
    clock_s = (hour.astype(np.int32) * 60 + minute) * 60 + second
    times_us = (days.astype(np.int64) * 86_400 + clock_s) * 1_000_000
    for power, place in enumerate(range(_FRACTION, form.digits[-1] + 1)):
        times_us += digits[place].astype(np.int64) * 10 ** (5 - power)
    return times_us, read


def _two(digits: _Letters, place: int) -> npt.NDArray[np.uint8]:
    return np.asarray(digits[place] * np.uint8(10) + digits[place + 1], np.uint8)


#: The first day (counted from 1970) of each month of the years 0 to 9999, and of the month after them.
_FIRST_DAYS = np.arange("0000-01", "10000-02", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int32)
_LENGTHS = np.diff(_FIRST_DAYS)


def _days(digits: _Letters) -> tuple[npt.NDArray[np.int32], _Mask]:
    """Return the days since 1970 of the dates that the texts begin with, and which of the dates exist."""
    year = _two(digits, 0).astype(np.int32) * 100 + _two(digits, 2)
    month, day = _two(digits, 5), _two(digits, 8)
    exist: _Mask = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    months = np.minimum(year * 12 + month - 1, len(_LENGTHS) - 1)
    exist &= day <= _LENGTHS[months]
    return _FIRST_DAYS[months] + day - 1, exist
