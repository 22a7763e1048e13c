"""Daily summaries: resting heart rate and minutes in zones, as a vendor stated them or as we computed them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date


@dataclass(frozen=True, slots=True)
class HeartRateZone:
    """Minutes spent between two heart rates, in bpm, low inclusive. Vendors leave out bounds, minutes or calories at
    times.
    """

    name: str
    min_bpm: int | None
    max_bpm: int | None
    minutes: int | None = None
    calories: float | None = None


@dataclass(frozen=True, slots=True)
class DailySummary:
    """One person's civil day. Resting heart rate has no single definition, so its method is part of the value."""

    user_id: str
    day: date
    resting_heart_rate: float | None
    resting_heart_rate_method: str | None
    zones: tuple[HeartRateZone, ...] = ()
    custom_zones: tuple[HeartRateZone, ...] = ()

    def __post_init__(self) -> None:
        if self.resting_heart_rate_method == "":
            raise ValueError("a method without a name is no method: use None")

    def completed_by(self, later: DailySummary) -> DailySummary:
        """The same day and method with whatever `later` knows of it: a source may tell a day in several files."""
        if later.resting_heart_rate is None:
            later = replace(later, resting_heart_rate=self.resting_heart_rate)
        return replace(later, zones=later.zones or self.zones, custom_zones=later.custom_zones or self.custom_zones)
