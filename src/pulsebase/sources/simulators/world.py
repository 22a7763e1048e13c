"""What a simulated cloud knows at the current time of its clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pulsebase.model.summaries import HeartRateZone
from pulsebase.model.timerange import HOUR_US, MINUTE_US, TimeRange
from pulsebase.model.zones import fitbit_zones, zone_of
from pulsebase.sources.simulators.faults import Faults
from pulsebase.sources.simulators.nights import MeasuredNight, night_of
from pulsebase.sources.simulators.vendor_day import lowest_half_hour, minute_means
from pulsebase.sources.synthetic import Samples, SyntheticPerson, civil_days, day_range, synthetic_day

#: Hours that sync late appear this many hours after they ended.
_LATE_HOURS = (1.0, 20.0)
#: A made-up rate of energy by zone, in kcal per minute.
_KCAL_A_MINUTE = (1.3, 6.0, 9.5, 13.0)


class SimulatorClock:
    """The wall clock, possibly moved, or a clock that stands still until it is moved."""

    def __init__(self, start_us: int | None = None) -> None:
        self._lock, self._still_us = threading.Lock(), start_us

    def now_us(self) -> int:
        """Return the current time in microseconds since 1970."""
        with self._lock:
            return time.time_ns() // 1000 if self._still_us is None else self._still_us

    def set(self, at_us: int | None) -> None:
        """Stop at a moment; with None follow the wall clock again."""
        with self._lock:
            self._still_us = at_us

    def advance(self, by_us: int) -> None:
        """Move forward, and stop there."""
        now_us = self.now_us()
        self.set(now_us + by_us)


@dataclass(frozen=True, slots=True)
class ZoneTime:
    """A zone and the time and energy that the vendor states for it; None where it states nothing."""

    zone: HeartRateZone
    minutes: int | None
    calories: float | None


@dataclass(frozen=True, slots=True)
class VendorDay:
    """What the vendor states about a civil day. `stretches` are runs of minutes in one zone, with its index in
    `zones`.
    """

    day: date
    resting: int | None
    zones: tuple[ZoneTime, ...]
    stretches: tuple[tuple[TimeRange, int], ...]


class World:
    """The people, the clock and the faults behind one simulated cloud.

    The cloud shows what the wristbands have synced by now, without the placeholders of confidence 0.
    """

    def __init__(self, people: Sequence[SyntheticPerson], clock: SimulatorClock, seed: int) -> None:
        self.people = {person.user_id: person for person in people}
        self.clock, self.faults = clock, Faults(seed)

    def readings(self, person: SyntheticPerson, interval: TimeRange) -> Samples:
        """Return what the wristband recorded in the interval and has synced by now, in order of time."""
        now_us = self.clock.now_us()
        seen = TimeRange(interval.start_us, max(interval.start_us, min(interval.end_us, now_us)))
        days = [_visible(person, day).cut(seen) for day in civil_days(person, seen)]
        times, bpm = (np.concatenate([getattr(day, name) for day in days]) for name in ("times_us", "bpm"))
        keep = np.ones(len(times), np.bool_)
        hours = np.unique(times // HOUR_US * HOUR_US) if self.faults.is_on("late_sync") else times[:0]
        for hour_us in hours.tolist():
            if not self._synced(person, hour_us, now_us):
                keep &= times // HOUR_US * HOUR_US != hour_us
        return Samples(days[0].device_id, times[keep], bpm[keep], np.full(int(keep.sum()), -1, np.int8))

    def night(self, person: SyntheticPerson, day: date) -> MeasuredNight:
        """What the band measured in the night before the day and has synced by now."""
        night, now_us = night_of(person, day), self.clock.now_us()
        span = night.asleep
        hours = {
            hour: self._synced(person, hour, now_us)
            for hour in range(span.start_us // HOUR_US * HOUR_US, span.end_us, HOUR_US)
        }

        def known(times_us: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
            synced = np.array([hours[hour_us] for hour_us in (times_us // HOUR_US * HOUR_US).tolist()], np.bool_)
            return synced & (times_us < now_us)

        whole = all(hours.values()) and span.end_us <= now_us
        return night.known(known(night.oxygen_times_us), known(night.hrv_times_us), whole=whole)

    def day(self, person: SyntheticPerson, day: date) -> VendorDay:
        """Return what the vendor states about the day now. For the current day that is the state so far."""
        over = day_range(person, day).end_us <= self.clock.now_us()
        return _day_for_good(self, person, day) if over and not self.faults.any_on() else self._day(person, day)

    def _day(self, person: SyntheticPerson, day: date) -> VendorDay:
        span, now_us = day_range(person, day), self.clock.now_us()
        minutes, means = minute_means(self.readings(person, span)) if span.start_us < now_us else _NOTHING
        zones = fitbit_zones(person.max_heart_rate(day))
        places = zone_of(means, zones)
        counts = np.bincount(places, minlength=len(zones)).tolist()
        resting = None
        if len(minutes) and span.end_us <= now_us and not self._missing("resting", person, day):
            asleep = synthetic_day(person, day).asleep
            lowest = lowest_half_hour(minutes, means, asleep)
            resting = None if lowest is None else int(np.floor(lowest + 0.5))
        no_minutes = not len(minutes) or self._missing("minutes", person, day)
        no_calories = no_minutes or self._missing("calories", person, day)
        times = tuple(
            ZoneTime(
                zone, None if no_minutes else count, None if no_calories else round(count * _KCAL_A_MINUTE[place], 2)
            )
            for place, (zone, count) in enumerate(zip(zones, counts, strict=True))
        )
        return VendorDay(day, resting, times, () if no_minutes else _stretches(minutes, places))

    def _missing(self, what: str, person: SyntheticPerson, day: date) -> bool:
        return self.faults.hits(f"missing_{what}", self.clock.now_us(), person.seed, day.isoformat())

    def _synced(self, person: SyntheticPerson, hour_us: int, now_us: int) -> bool:
        if not self.faults.hits("late_sync", hour_us, person.seed, hour_us):
            return True
        first, last = _LATE_HOURS
        delay_h = first + (last - first) * self.faults.chance("delay", person.seed, hour_us)
        return hour_us + HOUR_US + round(delay_h * HOUR_US) <= now_us


_NOTHING = (np.empty(0, np.int64), np.empty(0, np.float64))


@lru_cache(maxsize=2_000)
def _day_for_good(world: World, person: SyntheticPerson, day: date) -> VendorDay:
    """Return a past day in a cloud without faults. It is cached, because every page of readings needs it."""
    return world._day(person, day)


@lru_cache(maxsize=16)
def _visible(person: SyntheticPerson, day: date) -> Samples:
    band = synthetic_day(person, day).wristband
    kept = band.confidences != 0
    return Samples(band.device_id, band.times_us[kept], band.bpm[kept], band.confidences[kept])


def _stretches(minutes: npt.NDArray[np.int64], places: npt.NDArray[np.intp]) -> tuple[tuple[TimeRange, int], ...]:
    """Return runs of consecutive minutes in one zone."""
    breaks = np.flatnonzero((np.diff(minutes) != 1) | (np.diff(places) != 0)) + 1
    firsts, lasts = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(minutes)]]) - 1
    return tuple(
        (TimeRange(int(minutes[first]) * MINUTE_US, (int(minutes[last]) + 1) * MINUTE_US), int(places[first]))
        for first, last in zip(firsts, lasts, strict=True)
    )
