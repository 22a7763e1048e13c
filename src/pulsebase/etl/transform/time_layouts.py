"""Layouts of times in CSV files: ISO 8601, numbers since 1970, and layouts that a user writes (`%d.%m.%Y %H:%M`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.etl.transform.civil import Ints, Mask, clock_us
from pulsebase.model.timerange import MINUTE_US

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = "mon|tue|wed|thu|fri|sat|sun"
_OFFSET = r"Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?"
#: What the codes of a layout stand for; those in brackets are read.
_CODES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "b": rf"(?P<b>(?i:{'|'.join(_MONTHS)}))(?i:[a-z]*)\.?",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})(?:[.,](?P<f>\d{1,9}))?",
    "p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "z": rf"(?P<z>{_OFFSET})",
    "a": rf"(?i:{_DAYS})(?i:[a-z]*)\.?",
    "%": "%",
}
_ALIKE = {"B": "b", "h": "b", "A": "a", "e": "d", "k": "H", "l": "I", "Z": "z"}
_TOGETHER = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}
#: Codes that a layout needs, each one of a few.
_NEEDED = (("Y", "y"), ("m", "b"), ("d",), ("H", "I"))
_LONGEST_FORMAT = 64

#: How many microseconds a unit has, and how many digits its numbers have in our time.
_UNITS_US = {"s": 1_000_000.0, "ms": 1000.0, "us": 1.0, "ns": 0.001}
_DIGITS = {9: "s", 10: "s", 12: "ms", 13: "ms", 15: "us", 16: "us", 18: "ns", 19: "ns"}
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_COUNT = r"^(?P<n>\d{1,19})(?:[.,](?P<f>\d{1,9})\d*)?$"

ISO = "iso"
#: Layouts that need no option, since they can mean one time only.
_PLAIN = (
    r"^(?P<Y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?:[Tt]| +)(?P<H>\d{1,2}):(?P<M>\d{2}):(?P<S>\d{2})"
    rf"(?:[.,](?P<f>\d{{1,9}}))? *(?P<z>{_OFFSET})?$",
    r"^(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<Y>\d{4}) +(?P<I>\d{1,2}):(?P<M>\d{2}):(?P<S>\d{2}) *(?P<p>[AaPp])\.?[Mm]\.?$",
)
#: How the second of them is written as an option.
_CLOCK_OF_HALVES = "%m/%d/%Y %I:%M:%S %p"


class TimeFormatError(ValueError):
    """A layout of times cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class ReadTimes:
    """A column of times in microseconds since 1970-01-01 00:00. `good` says which texts are times, `utc` which of those
    are in UTC; the others are local.
    """

    us: Ints
    good: Mask
    utc: Mask


@dataclass(frozen=True, slots=True)
class TimeLayout:
    """How the times of a file are written: `patterns` that are tried in turn, or a `unit` since 1970. `shown` is what a
    user is told of it, where that is not `format`.
    """

    format: str
    patterns: tuple[str, ...] = ()
    unit: str | None = None
    shown: str = ""

    def read(self, texts: pa.Array) -> ReadTimes:
        """Read a column of texts without blanks around them."""
        if self.unit is not None:
            return _counted(texts, self.unit)
        count = len(texts)
        times = ReadTimes(np.zeros(count, np.int64), np.zeros(count, np.bool_), np.zeros(count, np.bool_))
        for pattern in self.patterns:
            left = np.flatnonzero(~times.good)
            if not len(left):
                break
            some = _matched(texts if len(left) == count else texts.take(pa.array(left)), pattern)
            times.us[left], times.good[left], times.utc[left] = some.us, some.good, some.utc
        return times

    def __str__(self) -> str:
        if self.unit is not None:
            return f"{UNIT_NAMES[self.unit]} since 1970"
        return self.shown or self.format


@lru_cache(maxsize=64)
def layout_of_format(text: str) -> TimeLayout:
    """Return the layout of this name, or of these codes.

    Raises:
        TimeFormatError: there is none.
    """
    name = text.lower()
    if name == ISO:
        return TimeLayout(ISO, _PLAIN, shown="ISO 8601")
    if name in _UNITS_US:
        return TimeLayout(name, unit=name)
    if "%" not in text or len(text) > _LONGEST_FORMAT:
        raise TimeFormatError("must be iso, s, ms, us, ns, or a layout such as %d.%m.%Y %H:%M:%S")
    codes = text
    for code, meant in _TOGETHER.items():
        codes = codes.replace(f"%{code}", meant)
    codes = re.sub(r"%S[.,]%f", "%S", codes)  # seconds may have a fraction anyway
    pattern, found = "", set()
    for code, plain in re.findall(r"%[-_]?(.)|(\s+|[^%])", codes, re.DOTALL):
        if not code:
            pattern += r"\s+" if plain.isspace() else re.escape(plain)
            continue
        known = _ALIKE.get(code, code)
        if known not in _CODES:
            raise TimeFormatError(f"has %{code}, which is not read; there are {', '.join(f'%{c}' for c in _CODES)}")
        if known in found:
            raise TimeFormatError(f"has %{code} twice")
        found.add(known)
        pattern += _CODES[known]
    for needed in _NEEDED:
        if not found & set(needed):
            raise TimeFormatError(f"has no {' or '.join(f'%{code}' for code in needed)}")
    if ("I" in found) != ("p" in found):
        raise TimeFormatError("must have both %I and %p, or neither")
    return TimeLayout(text, (f"^{pattern}$",))


def unit_of(text: str) -> str | None:
    """Return what a number since 1970 counts, by its digits; None if it is no such number."""
    found = re.fullmatch(r"(\d{9,19})([.,]\d+)?", text, re.ASCII)
    return None if found is None else _DIGITS.get(len(found[1]))


def any_plain(texts: Sequence[str]) -> bool:
    """Return whether one of the texts is a time in a layout that needs no option."""
    return plain_layout(texts) is not None


def plain_layout(texts: Sequence[str]) -> TimeLayout | None:
    """Return the layout of texts of which at least one needs no option, described as most of them are written; None if
    there is no such text.
    """
    begun = pa.array([text for text in texts if text[:1].isdigit()], pa.string())
    iso, clock = (int(_matched(begun, pattern).good.sum()) for pattern in _PLAIN)
    if not iso + clock:
        return None
    layout = layout_of_format(ISO)
    return layout if iso >= clock else replace(layout, shown=_CLOCK_OF_HALVES)


def _counted(texts: pa.Array, unit: str) -> ReadTimes:
    found = pc.extract_regex(texts, _COUNT)
    good = pc.is_valid(found).to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.utf8_length(pc.struct_field(found, "n")), 0).to_numpy(zero_copy_only=False)
    most = max(digits for digits, name in _DIGITS.items() if name == unit)
    good &= lengths <= most
    whole = _numbers(found, "n", good)
    fraction = _fraction(found, good)  # in millionths
    scale = _UNITS_US[unit]
    us = whole * int(scale) + fraction * int(scale) // 1_000_000 if scale >= 1 else whole // round(1 / scale)
    return ReadTimes(np.where(good, us, 0), good, good.copy())


def _matched(texts: pa.Array, pattern: str) -> ReadTimes:
    found = pc.extract_regex(texts, pattern)
    good = pc.is_valid(found).to_numpy(zero_copy_only=False)
    names = {field.name for field in found.type}
    zero = np.zeros(len(texts), np.int64)

    def field(name: str) -> Ints:
        return _numbers(found, name, good) if name in names else zero

    year = field("Y")
    if "y" in names:
        short = field("y")
        year = short + np.where(short < 69, 2000, 1900)  # as POSIX reads years of two digits
    month = field("m")
    if "b" in names:
        lower = pc.utf8_lower(pc.struct_field(found, "b"))
        month = pc.fill_null(pc.index_in(lower, pa.array(_MONTHS)), 0).to_numpy(zero_copy_only=False) + 1
    hour = field("H")
    if "I" in names:
        half = field("I")
        afternoon = pc.fill_null(pc.is_in(pc.struct_field(found, "p"), pa.array(["P", "p"])), False)
        hour = half % 12 + 12 * afternoon.to_numpy(zero_copy_only=False)
        good &= (half >= 1) & (half <= 12)
    wall_us, exists = clock_us(year, np.asarray(month, np.int64), field("d"), hour, field("M"), field("S"))
    good &= exists & (year >= 1000) & (year <= 9998)
    part_us = _fraction(found, good) if "f" in names else zero
    offset_us, utc = _offsets(pc.struct_field(found, "z")) if "z" in names else (zero, zero.astype(np.bool_))
    good &= offset_us < _NO_OFFSET_US
    return ReadTimes(np.where(good, wall_us + part_us - offset_us, 0), good, utc & good)


#: Stands for an offset that no zone has.
_NO_OFFSET_US = 24 * 60 * MINUTE_US


def _offsets(texts: pa.Array) -> tuple[Ints, Mask]:
    """Return offsets from UTC in microseconds, and which texts state one. A file has few different ones."""
    coded = texts.dictionary_encode()
    values = [_offset_us(text) for text in coded.dictionary.to_pylist()]
    codes = pc.fill_null(coded.indices, len(values)).to_numpy(zero_copy_only=False)
    return np.array([*(value or 0 for value in values), 0], np.int64)[codes], np.array(
        [*(value is not None for value in values), False], np.bool_
    )[codes]


def _offset_us(text: str) -> int | None:
    if not text:
        return None
    if text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours >= 24 or minutes >= 60:
        return _NO_OFFSET_US
    return (hours * 60 + minutes) * MINUTE_US * (-1 if text[0] == "-" else 1)


def _numbers(found: Any, name: str, good: Mask) -> Ints:
    texts = pc.if_else(pa.array(good), pc.struct_field(found, name), None)
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    return np.asarray(pc.fill_null(texts.cast(pa.int64()), 0).to_numpy(zero_copy_only=False), np.int64)


def _fraction(found: Any, good: Mask) -> Ints:
    """Return fractions in millionths, further digits cut off."""
    texts = pc.if_else(pa.array(good), pc.struct_field(found, "f"), None)
    stated = pc.fill_null(pc.not_equal(texts, ""), False)
    if not pc.any(stated).as_py():
        return np.zeros(len(good), np.int64)
    digits = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.fill_null(texts, ""), 6, "0"), 0, 6)
    return np.asarray(digits.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


# --- what to do about times that were not read ----------------------------------------------------------------------

_NEAR = re.compile(
    r"(?P<first>\d{1,4})(?P<mark>[-/.])(?P<second>\d{1,2})(?P=mark)(?P<third>\d{2,4})"
    r"(?P<gap>T| +)\d{1,2}:\d{2}(?P<seconds>:\d{2}([.,]\d+)?)?(?P<half> ?[AaPp]\.?[Mm]\.?)?",
    re.ASCII,
)


def formats_for(texts: Sequence[str]) -> list[str]:
    """Return the layouts that these texts may have, the more probable ones first; none if they look like no times."""
    found = [_NEAR.fullmatch(text) for text in texts]
    if not found or not all(found):
        return []
    near = [match for match in found if match is not None]
    first, mark = near[0], near[0]["mark"]
    clock = ("%I:%M" if first["half"] else "%H:%M") + (":%S" if first["seconds"] else "")
    clock += "" if not first["half"] else (" %p" if first["half"].startswith(" ") else "%p")
    gap = "T" if first["gap"] == "T" else " "
    if len(first["first"]) == 4:
        return [f"%Y{mark}%m{mark}%d{gap}{clock}"]
    year = "%Y" if len(first["third"]) == 4 else "%y"
    by_day, by_month = (f"%{a}{mark}%{b}{mark}{year}{gap}{clock}" for a, b in (("d", "m"), ("m", "d")))
    if any(int(match["first"]) > 12 for match in near) or mark == ".":
        return [by_day]
    return [by_month] if any(int(match["second"]) > 12 for match in near) else [by_day, by_month]
