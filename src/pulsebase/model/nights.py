"""A person's nights: from 22:00 to 07:00 by the clock on the wall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import pairwise
from zoneinfo import ZoneInfo

from pulsebase.model.timerange import TimeRange, from_us, local_day_starts, to_us

EVENING, MORNING = time(22), time(7)


@dataclass(frozen=True, slots=True)
class CivilNight:
    """A night, by the date of its morning."""

    morning: date
    range: TimeRange


def nights_of_days(day_starts: Sequence[int], zone: ZoneInfo) -> list[CivilNight]:
    """Return the night that ends in the morning of each civil day; `day_starts` are those of `local_day_starts`.

    A night begins at 22:00 of the civil day before, and ends at 07:00. It has eight or ten hours where clocks change
    meanwhile. What would be before 1970 is left away. A night into a day that follows on one that the zone skipped
    begins in the evening of the last day there was.
    """
    if len(day_starts) < 2:
        return []
    before = local_day_starts(TimeRange(day_starts[0] - 1, day_starts[0]), zone)[0]
    days = [from_us(start_us).astimezone(zone).date() for start_us in (before, *day_starts[:-1])]
    nights = [
        CivilNight(day, TimeRange(max(_at(previous, EVENING, zone), 0), _at(day, MORNING, zone)))
        for previous, day in pairwise(days)
    ]
    return [night for night in nights if night.range.length_us > 0]


def morning_us(day: date, zone: ZoneInfo) -> int:
    """Return when the night into a day ends: the instant of a value that a device states of the night, or of the day,
    without a time of its own.
    """
    return _at(day, MORNING, zone)


def _at(day: date, clock: time, zone: ZoneInfo) -> int:
    return to_us(datetime.combine(day, clock, zone))
