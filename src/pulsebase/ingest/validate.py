"""Decide which readings may be stored. Whole columns are checked at once; every refusal names the row, the field and
the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pulsebase.ingest.candidates import Candidates, Decoded
from pulsebase.ingest.known_ids import NO_ID, known_ids
from pulsebase.ingest.refusals import Refusals
from pulsebase.ingest.times import read_lines
from pulsebase.model.errors import ErasedUserError, FieldError
from pulsebase.model.identifiers import ID_RULE
from pulsebase.model.metrics import HEART_RATE, MetricSpec
from pulsebase.model.readings import NO_CONFIDENCE, Ids, ReadingBatch
from pulsebase.model.timerange import LAST_END_US, format_us
from pulsebase.stores.erased_users import ErasedUsers

#: The reason is the same whether the store knows the person or not, so that it does not tell which.
OUT_OF_REACH = "is nobody whose readings may be sent with this key"
_Mask = npt.NDArray[np.bool_]


def wall_clock_us() -> int:
    """Return the current time in microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """The bounds of what is accepted. `low` and `high` are inclusive, in the metric's unit, and judge the value as
    sent. Nothing is taken for people who are `erased_users`, and nothing before `horizon_us`, where readings expire.
    Rules that are equal judge alike, so what comes under them can be checked together.

    A reading further ahead of the clock than `future_tolerance_us` is refused: it would freeze every sync that resumes
    at the last stored time. Only readings of `people` are accepted; None accepts anybody's.
    """

    low: float = HEART_RATE.low
    high: float = HEART_RATE.high
    future_tolerance_us: int = 600_000_000
    now_us: Callable[[], int] = field(default=wall_clock_us)
    metric: MetricSpec = HEART_RATE
    people: frozenset[str] | None = None
    erased_users: ErasedUsers = field(default_factory=ErasedUsers)
    horizon_us: Callable[[], int] = field(default=lambda: 0)
    #: The field of the value, which refusals name.
    value_field: str = HEART_RATE.name
    #: Bounds of other metrics that differ from their defaults, by name: lowest and highest value.
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def bounds_of(self, metric: MetricSpec) -> tuple[float, float]:
        """The lowest and the highest accepted value of a metric, in its unit."""
        if metric is self.metric:
            return self.low, self.high
        return self.bounds.get(metric.name, (metric.low, metric.high))

    def of_metric(self, metric: MetricSpec, value_field: str) -> ReadingRules:
        """The same, for readings of another metric, whose value is in this field."""
        if metric is self.metric:
            return self if value_field == self.value_field else replace(self, value_field=value_field)
        low, high = self.bounds_of(metric)
        return replace(self, metric=metric, low=low, high=high, value_field=value_field)

    def of_people(self, people: frozenset[str] | None) -> ReadingRules:
        """The same, for readings of these people alone; None for anybody's."""
        return self if people is self.people else replace(self, people=people)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The readings that may be stored (None if there are none), and why the others may not."""

    accepted: ReadingBatch | None
    refusals: Refusals

    @property
    def errors(self) -> list[FieldError]:
        """One error for each refused row, ordered by position."""
        return self.refusals.errors()


def validate(readings: Candidates | Decoded, rules: ReadingRules, origin: int) -> Verdict:
    """Sort the rows into a batch and refusals. A row with several faults is refused for the first one, in the order of
    the checks below; a time that cannot be read comes before all others.
    """
    if isinstance(readings, Decoded):
        users, devices, times_us, refusals = _read(readings)
    else:
        users, devices = known_ids.codes(readings.user_ids), known_ids.codes(readings.device_ids)
        times_us = readings.times_us
        refusals = Refusals(len(readings), 0 if readings.positions is None else readings.positions)
        _refuse_no_ids(users, devices, refusals)
    if rules.people is not None:
        _refuse_others(users, rules.people, refusals)
    erased_users = rules.erased_users.among(users)
    if erased_users is not None:
        refusals.add(erased_users, "user_id", ErasedUserError.REASON)
    values, confidences = readings.values, readings.confidences
    latest_us = rules.now_us() + rules.future_tolerance_us
    if times_us.min(initial=0) < 0:
        refusals.add(times_us < 0, "timestamp", "is before 1970-01-01T00:00:00Z")
    horizon_us = rules.horizon_us()
    if horizon_us and times_us.min(initial=horizon_us) < horizon_us:
        reason = f"before_retention: readings are kept from {format_us(horizon_us)} on"
        refusals.add(times_us < horizon_us, "timestamp", reason)
    if times_us.max(initial=0) > latest_us:
        refusals.add(times_us >= LAST_END_US, "timestamp", "is after the year 2199; check the unit it was written in")
        reason = f"is more than {rules.future_tolerance_us // 60_000_000} minutes in the future"
        refusals.add(times_us > latest_us, "timestamp", reason)
    within = (values >= rules.low) & (values <= rules.high)  # false for NaN, too
    if not within.all():
        hint = f"; {rules.metric.hint}" if rules.metric.hint else ""
        refusals.add(~within, rules.value_field, f"out of range {rules.low:g}–{rules.high:g}{hint}")
    if confidences.min(initial=0) < NO_CONFIDENCE or confidences.max(initial=0) > 3:
        stated = (confidences < NO_CONFIDENCE) | (confidences > 3)
        refusals.add(stated, "confidence", "must be 0, 1, 2 or 3")
    if len(refusals):
        rows = refusals.left()
        if len(rows) == 0:
            return Verdict(None, refusals)
        users, devices = users.take(rows), devices.take(rows)
        times_us, values, confidences = times_us[rows], values[rows], confidences[rows]
    stored = stored_values(values, rules.metric.scale)
    batch = ReadingBatch(users, devices, times_us, stored, confidences, origin, rules.metric.name)
    return Verdict(batch if len(batch) else None, refusals)


def readable(readings: Decoded) -> tuple[Candidates, list[FieldError]]:
    """Return the rows whose ids and times can be read, for callers that change them or pass them on, and the errors of
    the other rows, by position.
    """
    users, devices, times_us, refusals = _read(readings)
    positions = np.arange(readings.first_position, readings.first_position + len(readings))
    every = Candidates(users, devices, times_us, readings.values, readings.confidences, positions)
    return every.take(refusals.left()) if len(refusals) else every, refusals.errors()


def _read(readings: Decoded) -> tuple[Ids, Ids, npt.NDArray[np.int64], Refusals]:
    """Return the users, devices and times, and refusals for the rows that lack one of them."""
    times_us, unread = read_lines(readings.times, len(readings))
    refusals = Refusals(len(readings), readings.first_position)
    refusals.add_unread(unread)
    _refuse_no_ids(readings.users, readings.devices, refusals)
    return readings.users, readings.devices, times_us, refusals


def _refuse_no_ids(users: Ids, devices: Ids, refusals: Refusals) -> None:
    for ids, name in ((devices, "device_id"), (users, "user_id")):
        if ids.codes.min(initial=0) < 0:
            refusals.add(ids.codes == NO_ID, name, ID_RULE)


def _refuse_others(users: Ids, people: frozenset[str], refusals: Refusals) -> None:
    """Refuse rows of anybody who is not among `people`. The refusal must not tell whether the store knows them."""
    others = users.distinct() - people
    if others:
        codes = [code for code in np.unique(users.codes).tolist() if code != NO_ID and users.texts[code] in others]
        refusals.add(np.isin(users.codes, codes), "user_id", OUT_OF_REACH)


def stored_values(values: npt.NDArray[np.float64], scale: int) -> npt.NDArray[np.int16]:
    """Return the values in stored units, rounded half to even as decimals. They must be within the accepted bounds.

    The product of a double and the scale can miss a decimal tie by an ulp (`57.005 * 100`), so it is first rounded to
    six decimals, which puts every value of up to six decimals back on its tie.
    """
    whole = values.astype(np.int16)
    if (whole == values).all():
        return whole * np.int16(scale)
    return np.rint(np.round(values * scale, 6)).astype(np.int16)
