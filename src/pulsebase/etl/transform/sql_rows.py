"""Turn rows of other programs' databases into candidates, whole columns at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pulsebase.etl.transform.civil import Ints, Mask
from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US, from_us

#: (time, value, key of the device)
Row = tuple[object, object, object]
_NO_TIME = "is not a number of seconds or milliseconds since 1970"
_NO_NUMBER = "is not a number"
_MILLISECOND_US = SECOND_US // 1000
#: Counts from here on are milliseconds, those below seconds, as both stand for times from 1973 to 5138.
MILLISECONDS_FROM = 10**11
#: The largest count of milliseconds that is looked at; more overflows 64 bits as microseconds.
_MOST_COUNT = 10**15


@dataclass(frozen=True, slots=True)
class RowReader:
    """What rows of a table are.

    Attributes:
        user_id: the person.
        metric: of the values.
        device_of: the id of the device for a key.
        is_none: which values stand for none; they are left out.
    """

    user_id: str
    metric: str
    device_of: Callable[[object], str]
    is_none: Callable[[npt.NDArray[np.float64]], Mask] = np.isnan

    def block(self, rows: Sequence[Row], first: int) -> tuple[Block, int]:
        """Return the readings of the rows, the first of which is number `first`, and how many rows hold none."""
        numbers = np.arange(first, first + len(rows))
        counts, values, good, errors = _columns(rows, numbers, self.metric)
        none = good & self.is_none(values)
        good &= ~none
        kept = np.flatnonzero(good)
        codes: dict[object, int] = {}
        of_row = [codes.setdefault(rows[row][2], len(codes)) for row in kept.tolist()]
        candidates = Candidates(
            Ids.repeated(self.user_id, len(kept)),
            Ids(np.array(of_row, np.int32), list(map(self.device_of, codes))),
            counts[kept] * np.where(counts[kept] < MILLISECONDS_FROM, SECOND_US, _MILLISECOND_US),
            values[kept],
            np.full(len(kept), NO_CONFIDENCE, np.int8),
            numbers[kept],
            self.metric,
        )
        return Block(candidates, errors, len(kept) + len(errors)), int(none.sum())


def resting_days(
    rows: Sequence[Row], first: int, user_id: str, zone_of: Callable[[str], ZoneInfo], method: str
) -> tuple[list[DailySummary], list[FieldError]]:
    """Return days with a resting heart rate, the last of a day, and the errors. The key of a row is its offset from UTC
    in seconds; without one the day is the one that the person had.
    """
    found: dict[date, float] = {}
    counts, values, good, errors = _columns(rows, np.arange(first, first + len(rows)), "resting_heart_rate")
    for row in np.flatnonzero(good & (values > 0)).tolist():
        count, offset_s = int(counts[row]), rows[row][2]
        at_us = count * (SECOND_US if count < MILLISECONDS_FROM else _MILLISECOND_US)
        try:
            if isinstance(offset_s, int):
                found[from_us(at_us + offset_s * SECOND_US).date()] = float(values[row])
            else:
                found[from_us(at_us).astimezone(zone_of(user_id)).date()] = float(values[row])
        except OverflowError:
            errors.append(FieldError("timestamp", _NO_TIME, first + row))
    return [DailySummary(user_id, day, bpm, method) for day, bpm in found.items()], errors


def _columns(
    rows: Sequence[Row], numbers: Ints, metric: str
) -> tuple[Ints, npt.NDArray[np.float64], Mask, list[FieldError]]:
    """Return counts of time, values (not a number where there is none), which rows can be used, and the errors."""
    times: list[Any] = [row[0] for row in rows]
    stated: list[Any] = [row[1] for row in rows]
    errors: list[FieldError] = []
    good = np.ones(len(rows), np.bool_)
    if not set(map(type, times)) <= {int} or (times and not -_MOST_COUNT < min(times) <= max(times) < _MOST_COUNT):
        for row, count in enumerate(times):
            if not isinstance(count, int) or not -_MOST_COUNT < count < _MOST_COUNT:
                good[row], times[row] = False, 0
                errors.append(FieldError("timestamp", _NO_TIME, int(numbers[row])))
    if not set(map(type, stated)) <= {int, float}:
        for row, value in enumerate(stated):
            if value is None:
                stated[row] = np.nan
            elif not isinstance(value, int | float):
                stated[row] = np.nan
                if good[row]:
                    errors.append(FieldError(metric, _NO_NUMBER, int(numbers[row])))
                good[row] = False
    return np.array(times, np.int64), np.array(stated, np.float64), good, errors
