"""Compute minutes in heart-rate zones from the readings, as days with their own methods next to those of sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from pulsebase.model.errors import RejectedError
from pulsebase.model.resolution import Resolution
from pulsebase.model.rollups import averages
from pulsebase.model.summaries import DailySummary, HeartRateZone, resting_by_day
from pulsebase.model.timerange import MINUTE_US, TimeRange, from_us
from pulsebase.model.users import User
from pulsebase.model.zones import ZoneRule, fitbit_zones, max_heart_rate, zone_minutes
from pulsebase.query.plan import SeriesPlan
from pulsebase.stores.contract import Reader, SeriesQuery

#: The most days of one question, since every reading of each day is read.
MOST_DAYS = 366
_DAYS_AT_ONCE = 31


def own_days(
    reader: Reader,
    user: User,
    stored: Sequence[DailySummary],
    *,
    plan: SeriesPlan,
    rule: ZoneRule,
    timeout_s: float | None,
) -> list[DailySummary]:
    """Return one entry for each civil day of `plan` that has a counted reading, with the method `zones-age` or
    `zones-karvonen`. `stored` are the days stated by sources.

    A person without a birth date gets no entries. By Karvonen's rule, a day without a stored resting heart rate gets
    none.

    Raises:
        RejectedError: too many days.
    """
    starts = plan.day_starts
    if len(starts) - 1 > MOST_DAYS:
        raise RejectedError.of("zones", f"goes with at most {MOST_DAYS} days at a time")
    if user.birth_date is None:
        return []
    resting = resting_by_day(stored)
    found = []
    for first in range(0, len(starts) - 1, _DAYS_AT_ONCE):
        part = starts[first : first + _DAYS_AT_ONCE + 1]
        table = reader.series(_minutes(user.user_id, TimeRange(part[0], part[-1]), plan, timeout_s))
        means = averages(table["sum"].to_numpy(), table["count"].to_numpy())
        places = np.searchsorted(np.array(part), table["time_us"].to_numpy(), side="right") - 1
        for place, start_us in enumerate(part[:-1]):
            day = from_us(start_us).astimezone(plan.zone).date()
            of_day = means[places == place]
            zones = _zones_on(user.birth_date, day, rule, resting.get(day))
            if len(of_day) and zones is not None:
                found.append(DailySummary(user.user_id, day, None, f"zones-{rule}", zone_minutes(of_day, zones)))
    return found


def _zones_on(birth_date: date, day: date, rule: ZoneRule, resting: float | None) -> tuple[HeartRateZone, ...] | None:
    if rule == "age":
        return fitbit_zones(max_heart_rate(birth_date, day))
    return None if resting is None else fitbit_zones(max_heart_rate(birth_date, day), resting)


def _minutes(user_id: str, interval: TimeRange, plan: SeriesPlan, timeout_s: float | None) -> SeriesQuery:
    return SeriesQuery(
        user_id=user_id,
        range=interval.widened(MINUTE_US),
        resolution=Resolution.MINUTE,
        timeout_s=timeout_s,
        cancellation=plan.question.cancellation,
    )
