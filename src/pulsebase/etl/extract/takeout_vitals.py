"""CSV files of other vital signs than heart rate in a Takeout: Google's, which are there since 2024, and Fitbit's from
before. The names of their columns tell them apart, and where those do not, the name of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pulsebase.etl.extract.parts import FileOwner, Part, PassedOver, Stream, clock_remarks
from pulsebase.etl.extract.takeout_csv import lines_of
from pulsebase.etl.transform.civil import LocalClocks
from pulsebase.etl.transform.takeout_csv import LineColumns, Lines, at_night_ends, header_of, in_utc, readings
from pulsebase.model.metrics import HRV_RMSSD, OXYGEN_SATURATION, RESPIRATORY_RATE, SKIN_TEMPERATURE

_RMSSD = "root mean square of successive differences milliseconds"
#: No header is longer; the first line of something else may be.
_HEADER_BYTES = 1 << 10


@dataclass(frozen=True, slots=True)
class TakeoutVital:
    """A kind of files.

    Attributes:
        title: what the report calls it.
        columns: the columns that are read.
        beside: a column that it has besides, and others with the same columns have not.
        name: what the name of the file must hold, where columns alone do not tell.
        by_night: whether each value is of a whole night, and told by the day.
        none: a value that stands for none.
    """

    title: str
    columns: LineColumns
    beside: str | None = None
    name: re.Pattern[str] | None = None
    by_night: bool = False
    none: float | None = None


def _named(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


#: The first that fits a file is meant.
VITALS: Sequence[TakeoutVital] = (
    TakeoutVital("oxygen saturation", LineColumns("oxygen saturation percentage", OXYGEN_SATURATION.name)),
    TakeoutVital("heart rate variability", LineColumns(_RMSSD, HRV_RMSSD.name)),
    TakeoutVital(
        "respiratory rate of nights",
        LineColumns("breaths per minute", RESPIRATORY_RATE.name),
        name=_named("daily"),
        by_night=True,
    ),
    TakeoutVital("respiratory rate", LineColumns("breaths per minute", RESPIRATORY_RATE.name)),
    TakeoutVital(
        "oxygen saturation by minute",
        LineColumns("value", OXYGEN_SATURATION.name),
        name=_named(r"minute[ _-]*spo2"),
        none=50,
    ),
    TakeoutVital(
        "heart rate variability, details",
        LineColumns("rmssd", HRV_RMSSD.name, local=True),
        beside="coverage",
    ),
    TakeoutVital(
        "respiratory rate of nights, summary",
        LineColumns("daily_respiratory_rate", RESPIRATORY_RATE.name, local=True),
        by_night=True,
    ),
    TakeoutVital(
        "skin temperature of nights",
        LineColumns("nightly_temperature", SKIN_TEMPERATURE.name, time="sleep_end", local=True),
    ),
)


def vital_of(name: str, head: bytes) -> TakeoutVital | None:
    """Return what a file of this name holds that begins like this; None if it is no such file."""
    first = head[:_HEADER_BYTES].partition(b"\n")[0]
    if b"," not in first:
        return None
    base = name.replace("\\", "/").rpartition("/")[2]
    for vital in VITALS:
        names = header_of(first, vital.columns)
        if names is None or "user_id" in names or (vital.beside is not None and vital.beside not in names):
            continue
        if vital.name is None or vital.name.search(base):
            return vital
    return None


def vital_readings(vital: TakeoutVital, stream: Stream, owner: FileOwner) -> Iterator[Part]:
    """The readings of a file; positions count lines from 1, the header being line 1."""
    clocks = LocalClocks(owner.zone_of)
    none = 0
    for lines in lines_of(stream, vital.columns):
        if isinstance(lines, PassedOver):
            yield lines
            continue
        measured = _measured(lines, vital.none)
        none += len(lines.numbers) - len(measured.numbers)
        if vital.by_night:
            timed = at_night_ends(measured, owner.zone_of(owner.person))
        else:
            timed = in_utc(measured, clocks, owner.person)
        yield readings(timed, vital.columns.metric, owner.person, owner.device_id)
    if none:
        yield PassedOver(f"values of {vital.none:g}, which stand for none", none)
    yield from clock_remarks(clocks)


def _measured(lines: Lines, none: float | None) -> Lines:
    if none is None or not (lines.values == none).any():
        return lines
    return replace(lines.take(np.flatnonzero(lines.values != none)), errors=lines.errors, empty=lines.empty)
