"""When somebody's data is due."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pulsebase.model.errors import SettingsError
from pulsebase.model.timerange import SECOND_US, from_us, to_us


class Schedule(Protocol):
    """Says when a run follows another."""

    def next_us(self, after_us: int, zone: ZoneInfo) -> int:
        """The first moment after this one at which a person who lives in `zone` is due."""


class CronSchedule:
    """A cron expression of five fields, read on the wall clock of the person's zone.

    A time that a change of clocks skips comes right after it, and one that it repeats comes once, as cron has it.
    """

    def __init__(self, expression: str) -> None:
        try:
            CronSim(expression, from_us(0))
        except CronSimError as error:
            raise SettingsError(f"PULSEBASE_INGEST_SCHEDULE: is no cron expression: {error}") from None
        self._expression = expression

    def next_us(self, after_us: int, zone: ZoneInfo) -> int:
        after = from_us(after_us).astimezone(zone)
        return to_us(next(CronSim(self._expression, after)))


class EverySchedule:
    """Again and again, so many seconds after the beginning of the last run."""

    def __init__(self, every_s: float) -> None:
        self._every = timedelta(seconds=every_s)

    def next_us(self, after_us: int, zone: ZoneInfo) -> int:
        del zone
        return after_us + int(self._every.total_seconds() * SECOND_US)
