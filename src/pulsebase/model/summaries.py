"""Daily summaries: resting heart rate and minutes in zones, as a vendor stated them or as we computed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from pulsebase.model.errors import FieldError

#: Impossible values: of a heart rate in bpm, of minutes in a day, of kcal in a day. Beyond them a file is damaged.
_MOST_BPM = 1_000
_MOST_MINUTES = 25 * 60
_MOST_CALORIES = 100_000
_MOST_ZONES = 100
_MOST_CHARACTERS = 256
_FIRST_DAY = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class HeartRateZone:
    """Minutes spent between two heart rates in bpm, the lower one inclusive. Vendors sometimes leave out bounds,
    minutes or calories.
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
        """Return this day completed and corrected by `later`, which has the same day and method: a source may spread a
        day over several files.
        """
        if later.resting_heart_rate is None:
            later = replace(later, resting_heart_rate=self.resting_heart_rate)
        return replace(later, zones=later.zones or self.zones, custom_zones=later.custom_zones or self.custom_zones)


def resting_by_day(stored: Sequence[DailySummary]) -> dict[date, float]:
    """Return a resting heart rate for each day that has one. `stored` are in the order of `contract.Reader.summaries`;
    of several methods the first counts.
    """
    return {day.day: day.resting_heart_rate for day in reversed(stored) if day.resting_heart_rate is not None}


def summary_problem(day: DailySummary, today: date) -> FieldError | None:
    """Return what is impossible in a summary, None if it is plausible. `today` is the day in UTC; in some time zones it
    is tomorrow already.
    """
    if day.day < _FIRST_DAY or day.day - timedelta(days=1) > today:
        return FieldError("day", f"is not between {_FIRST_DAY} and tomorrow")
    if day.resting_heart_rate is not None and not 0 < day.resting_heart_rate <= _MOST_BPM:
        return FieldError("resting_heart_rate", f"must be above 0 and at most {_MOST_BPM}")
    if len(day.resting_heart_rate_method or "") > _MOST_CHARACTERS:
        return FieldError("resting_heart_rate_method", f"has more than {_MOST_CHARACTERS} characters")
    if not _is_stored(day.resting_heart_rate_method or ""):
        return FieldError("resting_heart_rate_method", "has a character that no store keeps")
    zones = (*day.zones, *day.custom_zones)
    if len(zones) > _MOST_ZONES or not all(map(_is_zone, zones)):
        return FieldError("zones", "are not what a day can have")
    return None


def _is_zone(zone: HeartRateZone) -> bool:
    bounds = _within(zone.min_bpm, _MOST_BPM) and _within(zone.max_bpm, _MOST_BPM)
    spent = _within(zone.minutes, _MOST_MINUTES) and _within(zone.calories, _MOST_CALORIES)
    return bounds and spent and len(zone.name) <= _MOST_CHARACTERS and _is_stored(zone.name)


def _is_stored(text: str) -> bool:
    """Return whether a text can be stored: without half of a pair of surrogates, which is no character, and without
    U+0000, which PostgreSQL cannot hold.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _within(value: float | None, most: int) -> bool:
    return value is None or 0 <= value <= most
