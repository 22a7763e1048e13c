"""Heart-rate zones and the minutes in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

import numpy as np
import numpy.typing as npt

from pulsebase.model.summaries import HeartRateZone

#: How the bounds of zones are found: from the age alone, or from the day's resting heart rate too.
ZoneRule = Literal["age", "karvonen"]

#: Fitbit's zones: where each begins, as a fraction of the highest heart rate, and the outer bounds that Fitbit states.
_ZONES = (("Out of Range", 0.0), ("Fat Burn", 0.50), ("Cardio", 0.70), ("Peak", 0.85))
_LOWEST_BPM, _HIGHEST_BPM = 30, 220


def max_heart_rate(birth_date: date, day: date) -> int:
    """220 − age in whole years on that day, in bpm (Fox, Naughton and Haskell 1971): the rule that Fitbit uses."""
    birthday_ahead = (day.month, day.day) < (birth_date.month, birth_date.day)
    return 220 - (day.year - birth_date.year - birthday_ahead)


def fitbit_zones(max_heart_rate: int, resting_heart_rate: float = 0) -> tuple[HeartRateZone, ...]:
    """Fitbit's zones by 50, 70 and 85 % of the highest heart rate; each zone's `max_bpm` is where the next begins.

    With a resting heart rate the parts are of the reserve above it (Karvonen 1957): rest + part × (max − rest).
    """
    reserve = max_heart_rate - resting_heart_rate
    starts = [_LOWEST_BPM, *(_half_up(resting_heart_rate + part * reserve) for _, part in _ZONES[1:])]
    ends = [*starts[1:], _HIGHEST_BPM]
    return tuple(HeartRateZone(name, low, high) for (name, _), low, high in zip(_ZONES, starts, ends, strict=True))


def zone_of(means: npt.NDArray[np.float64], zones: Sequence[HeartRateZone]) -> npt.NDArray[np.intp]:
    """Return the index of each minute's zone as Fitbit counts: the minute's mean is rounded half up, then classified.

    `means` must leave out readings of confidence 0. The lowest and highest zone include everything beyond them.
    """
    return np.searchsorted([zone.min_bpm or 0 for zone in zones[1:]], np.floor(means + 0.5), side="right")


def zone_minutes(means: npt.NDArray[np.float64], zones: Sequence[HeartRateZone]) -> tuple[HeartRateZone, ...]:
    """Return the zones with the minutes spent in each; see `zone_of`."""
    counts = np.bincount(zone_of(means, zones), minlength=len(zones))
    return tuple(
        HeartRateZone(zone.name, zone.min_bpm, zone.max_bpm, int(count))
        for zone, count in zip(zones, counts, strict=True)
    )


def _half_up(value: float) -> int:
    return int(np.floor(value + 0.5))
