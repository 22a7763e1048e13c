"""The ladder of resolutions raw / 1s / 1m / 15m / 1h / 1d, and the rules that pick one; defined only here."""

from __future__ import annotations

from enum import Enum
from zoneinfo import ZoneInfo

from pulsebase.model.metrics import MetricSpec
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, SECOND_US, TimeRange, local_day_starts


class Resolution(Enum):
    """A rung of the ladder. The value is the name in `interval=`."""

    RAW = "raw"
    SECOND = "1s"
    MINUTE = "1m"
    QUARTER = "15m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def step_us(self) -> int:
        """The length of a bucket in microseconds; 0 for raw. A local day may be longer or shorter than `DAY`'s."""
        return _STEP_US[self]

    def table_of(self, metric: MetricSpec) -> str:
        """The name the answer states; of heart rate the table of the specification that the rung stands for."""
        suffix = "" if self in (Resolution.RAW, Resolution.SECOND) else f"_{self.value}"
        return metric.table + suffix


_STEP_US = {
    Resolution.RAW: 0,
    Resolution.SECOND: SECOND_US,
    Resolution.MINUTE: MINUTE_US,
    Resolution.QUARTER: 15 * MINUTE_US,
    Resolution.HOUR: HOUR_US,
    Resolution.DAY: DAY_US,
}

#: From the finest to the coarsest, the order in which `max_points` tries them.
LADDER = tuple(Resolution)


def resolution_for_length(length_us: int) -> Resolution:
    """The rung of the specification's policy for a range of this length, as typed.

    Under 2 minutes raw, up to and including 2 hours 1m, up to and including 7 days 1h, beyond that 1d.
    """
    if length_us < 2 * MINUTE_US:
        return Resolution.RAW
    if length_us <= 2 * HOUR_US:
        return Resolution.MINUTE
    if length_us <= 7 * DAY_US:
        return Resolution.HOUR
    return Resolution.DAY


def resolution_for_points(asked: TimeRange, max_points: int, zone: ZoneInfo) -> Resolution | None:
    """The finest rung whose buckets over the widened range stay within `max_points`; None if no rung does.

    Raw counts as one reading a second here. Where the stored readings are denser, the caller steps to the next rung,
    see `coarser`.
    """
    for rung in LADDER[:-1]:
        step_us = rung.step_us or SECOND_US
        if asked.widened(step_us).length_us // step_us <= max_points:
            return rung
    return Resolution.DAY if len(local_day_starts(asked, zone)) - 1 <= max_points else None


def coarser(rung: Resolution) -> Resolution | None:
    """The next rung up the ladder, or None above days."""
    position = LADDER.index(rung) + 1
    return LADDER[position] if position < len(LADDER) else None
