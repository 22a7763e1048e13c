"""What a vendor makes of a civil day: minutes in heart-rate zones and a resting heart rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsebase.model.timerange import MINUTE_US, TimeRange
from pulsebase.sources.synthetic import Samples

_WINDOW_MINUTES = 30
#: A window with fewer minutes of data than this says nothing.
_WINDOW_MINUTES_NEEDED = 20

#: Fitbit's zones: where each begins, in parts of (220 − age), and the bounds its lowest and highest state.
_ZONES = (("Out of Range", 0.0), ("Fat Burn", 0.50), ("Cardio", 0.70), ("Peak", 0.85))
_LOWEST_BPM, _HIGHEST_BPM = 30, 220


@dataclass(frozen=True, slots=True)
class VendorZone:
    """A zone: from `min_bpm` on, up to where the next begins."""

    name: str
    min_bpm: int
    max_bpm: int


def minute_means(samples: Samples) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The UTC minutes (since 1970) with a reading that counts, ascending, and the mean of each in bpm."""
    counted = samples.confidences != 0
    minutes, place = np.unique(samples.times_us[counted] // MINUTE_US, return_inverse=True)
    sums = np.bincount(place, samples.bpm[counted], len(minutes))
    return minutes, sums / np.bincount(place, minlength=len(minutes))


def fitbit_zones(max_heart_rate: int) -> tuple[VendorZone, ...]:
    """Fitbit's zones by 50, 70 and 85 % of (220 − age); each zone's `max_bpm` is where the next begins."""
    starts = [max(_LOWEST_BPM, _half_up(part * max_heart_rate)) for _, part in _ZONES]
    ends = [*starts[1:], _HIGHEST_BPM]
    return tuple(VendorZone(name, low, high) for (name, _), low, high in zip(_ZONES, starts, ends, strict=True))


def zone_of(means: npt.NDArray[np.float64], zones: Sequence[VendorZone]) -> npt.NDArray[np.intp]:
    """The place of each minute's zone, as Fitbit counts them: the mean of the minute, rounded half up, then classified.

    Confidence 0 was left out of `means`. The lowest and highest zone take what lies beyond them too.
    """
    return np.searchsorted([zone.min_bpm for zone in zones[1:]], np.floor(means + 0.5), side="right")


def lowest_half_hour(
    minutes: npt.NDArray[np.int64], means: npt.NDArray[np.float64], asleep: Sequence[TimeRange]
) -> float | None:
    """The lowest mean of minute means over 30 whole minutes asleep, to a tenth of a bpm; None without such a window."""
    lowest: list[float] = []
    for night in asleep:
        first, last = -(-night.start_us // MINUTE_US), night.end_us // MINUTE_US
        if last - first < _WINDOW_MINUTES:
            continue
        inside = (minutes >= first) & (minutes < last)
        sums, counts = np.zeros(last - first + 1), np.zeros(last - first + 1)
        sums[minutes[inside] - first + 1], counts[minutes[inside] - first + 1] = means[inside], 1
        in_window = [np.cumsum(column) for column in (sums, counts)]
        total, known = (column[_WINDOW_MINUTES:] - column[:-_WINDOW_MINUTES] for column in in_window)
        enough = known >= _WINDOW_MINUTES_NEEDED
        if enough.any():
            lowest.append(float(np.min(total[enough] / known[enough])))
    return round(min(lowest), 1) if lowest else None


def _half_up(value: float) -> int:
    return int(np.floor(value + 0.5))
