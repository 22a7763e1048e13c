"""What can be measured: one `MetricSpec` each. Validation, names and `metric=` are driven from here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One measured quantity.

    `scale` is how many stored units make one `unit` (values are stored as integers); `low` and `high` are the default
    inclusive bounds of an accepted value, in `unit`; `table` names the raw readings in answers and `summary_table`
    the daily summaries.
    """

    name: str
    unit: str
    scale: int
    low: float
    high: float
    table: str
    summary_table: str


HEART_RATE = MetricSpec(
    name="heart_rate",
    unit="bpm",
    scale=100,
    low=30,
    high=220,
    table="activities_heart_intraday",
    summary_table="activities_heart_summary",
)
