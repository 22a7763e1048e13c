"""What was found in the messages of a FIT file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np

from pulsebase.ingest.blocks import Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model import metrics
from pulsebase.model.errors import FieldError
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US

#: 1989-12-31T00:00:00Z, from which FIT counts seconds.
EPOCH_S = 631_065_600
DEVICE_ID = "fit"
#: The method of resting heart rates that the watch itself computed.
METHOD = "garmin"


@dataclass(slots=True)
class MetricRows:
    """Readings of one metric in order of the file, the numbers of their messages (from 1), and what was refused."""

    metric: str
    times_us: list[int] = field(default_factory=list)  # since FIT's epoch
    values: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)

    def block(self, user_id: str, device_id: str) -> Block:
        """Return them as a block."""
        count = len(self.times_us)
        rows = Candidates(
            Ids.repeated(user_id, count),
            Ids.repeated(device_id, count),
            np.array(self.times_us, np.int64) + EPOCH_S * SECOND_US,
            np.array(self.values, np.float64),
            np.full(count, NO_CONFIDENCE, np.int8),
            np.array(self.places, np.int64),
            self.metric,
        )
        return Block(rows, self.errors, count + len(self.errors))


@dataclass(slots=True)
class Found:
    """Heart rates, readings of other metrics, and resting heart rates of days. `count` is how many there are."""

    heart_rates: MetricRows = field(default_factory=lambda: MetricRows(metrics.HEART_RATE.name))
    others: dict[str, MetricRows] = field(default_factory=dict)
    resting: list[tuple[date, int]] = field(default_factory=list)
    device_id: str = DEVICE_ID
    count: int = 0

    def of(self, metric: str) -> MetricRows:
        """Return what was found of a metric other than heart rate."""
        rows = self.others.get(metric)
        if rows is None:
            rows = self.others[metric] = MetricRows(metric)
        return rows

    def taken(self, user_id: str, device_id: str | None) -> tuple[list[Block], list[DailySummary]]:
        """What was found, heart rates first, and begin anew."""
        blocks = [
            rows.block(user_id, device_id or self.device_id) for rows in (self.heart_rates, *self.others.values())
        ]
        days = [DailySummary(user_id, day, bpm, METHOD) for day, bpm in self.resting]
        self.heart_rates, self.others, self.resting, self.count = MetricRows(metrics.HEART_RATE.name), {}, [], 0
        return blocks, days
