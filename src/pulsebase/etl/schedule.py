"""Schedules: when a person's next synchronisation is due."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pulsebase.model.errors import SettingsError
from pulsebase.model.timerange import SECOND_US, from_us, to_us


class Schedule(Protocol):
    """Computes when the next run is due."""

    def next_us(self, after_us: int, zone: ZoneInfo) -> int:
        """Return the first moment after this one at which a person living in `zone` is due."""


class CronSchedule:
    """A cron expression of five fields, read in the person's local time.

    As in cron, a local time skipped by a clock change runs right after the change, and a repeated one runs once.
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
    """A run at a fixed interval in seconds, counted from the start of the last run."""

    def __init__(self, every_s: float) -> None:
        self._every = timedelta(seconds=every_s)

    def next_us(self, after_us: int, zone: ZoneInfo) -> int:
        del zone
        return after_us + int(self._every.total_seconds() * SECOND_US)
