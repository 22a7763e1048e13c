"""Read Google's CSV files of heart rates in a Takeout piece by piece, and tell which of two kinds a file is. The other
vital signs are in `takeout_vitals`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np

from pulsebase.etl.extract.parts import FileOwner, Part, PassedOver, Stream, SummaryBlock
from pulsebase.etl.transform.takeout_csv import (
    HEART_RATE_COLUMNS,
    SOURCE,
    VALUE,
    LineColumns,
    Lines,
    header_of,
    parse_lines,
    readings,
    restings,
)
from pulsebase.ingest.lines import line_pieces
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.timerange import SECOND_US

#: Readings are seconds apart and resting heart rates a day. Neither kind has anything in between.
_READINGS_APART_US = 120 * SECOND_US
_DAYS_APART_US = 20 * 3600 * SECOND_US
#: Two readings of a day may be as far apart as two days; three are not.
_FEWEST_TIMES = 3

#: The longest header. The first line of another kind of file may be longer.
_HEADER_BYTES = 1 << 10

_RESTING = re.compile(r"resting[ _-]?heart[ _-]?rate", re.IGNORECASE)
_HEART_RATE = re.compile(r"heart[ _-]?rate([ _-]?\(?\d[\d ()_-]*)?(\.csv)?", re.IGNORECASE)
_OTHER = re.compile(r"variability|oxygen|respiratory|spo2", re.IGNORECASE)

#: The message about a file whose kind is undecided.
UNDECIDED = (
    "holds heart rates or resting heart rates, and neither its name nor its times tell which; "
    "name it heart_rate_….csv or resting_heart_rate_….csv"
)

What = Literal["heart rate", "resting heart rate", "something else", "undecided"]


def what_of(name: str, head: bytes) -> What | None:
    """Return what a file with this name and beginning holds; None if it is not such a file at all.

    Both kinds have the same columns. A file holds resting heart rates if its name, or the name of a folder it is in,
    says so, or if its times are one day apart, whatever its name.
    """
    first, _, text = head.partition(b"\n") if VALUE.encode() in head[:_HEADER_BYTES].lower() else (b"", b"", b"")
    names = header_of(first)
    if names is None:
        return None
    *folders, base = name.replace("\\", "/").split("/")
    if _OTHER.search(base):
        return "something else"
    if _RESTING.search(base):
        return "resting heart rate"
    by_times = _by_times(text, names)
    if by_times == "resting heart rate" or _HEART_RATE.fullmatch(base):
        return by_times if by_times != "undecided" else "heart rate"
    if by_times == "undecided" and any(map(_RESTING.search, folders)):
        return "resting heart rate"
    return by_times


def csv_heart_rates(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Read `heart_rate_YYYY-MM-DD.csv`; positions count lines from 1, and the header is line 1."""
    for lines in lines_of(stream):
        if isinstance(lines, PassedOver):
            yield lines
        else:
            yield readings(lines, HEART_RATE.name, owner.person, owner.device_id)


def csv_restings(stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """Read `daily_resting_heart_rate.csv` and `resting_heart_rate_*.csv` in the same way."""
    for lines in lines_of(stream):
        if isinstance(lines, PassedOver):
            yield lines
        else:
            days, errors = restings(lines, owner.person, owner.zone_of)
            yield SummaryBlock(days, errors, len(lines.numbers) + len(lines.errors))


def lines_of(stream: Stream, columns: LineColumns = HEART_RATE_COLUMNS) -> Iterator[Lines | PassedOver]:
    """Yield the lines below the header, and at the end the number of lines that were not read."""
    names: list[str] = []
    number, empty, count = 1, 0, 0
    for text in line_pieces(stream):
        if number == 1:
            first, _, text = text.partition(b"\n")  # noqa: PLW2901 what is left of it
            names, number = header_of(first, columns) or [], 2
            if not text:
                continue
        lines = parse_lines(text, names, number, columns)
        yield lines
        number += text.count(b"\n") + (not text.endswith(b"\n"))
        empty += lines.empty
        count += len(lines.numbers)
    if empty:
        yield PassedOver("lines without a value", empty)
    for name in names:
        if name not in (columns.time, columns.value, SOURCE) and count:
            yield PassedOver(f"column {name[:64]!r}", count)


def _by_times(text: bytes, names: list[str]) -> What:
    """Return what the first lines can be, by the distance of their times."""
    whole = text[: text.rfind(b"\n") + 1]
    times_us = np.unique(parse_lines(whole, names, 2).times_us)
    if len(times_us) < 2:
        return "undecided"
    apart_us = np.diff(times_us)
    if apart_us.min() >= _DAYS_APART_US and len(times_us) >= _FEWEST_TIMES:
        return "resting heart rate"
    return "heart rate" if np.median(apart_us) <= _READINGS_APART_US else "undecided"
