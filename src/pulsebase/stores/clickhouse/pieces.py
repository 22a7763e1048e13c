"""What readings come to, as one relation in the SQL of a shard: in UTC days, hours, minutes and parts of minutes.

Days, hours and minutes are as merges have worked them out. Where a day cannot tell, because a bucket ends or a device's
priority changes in it, or because readings of it are staged, its hours are taken; so are minutes for hours, and for
minutes, where readings are staged or a bucket ends, the readings themselves. A row is what one device comes to in the
minutes of a piece in which just the devices `present` counted; so whoever asks chooses the device that wins among
these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import pyarrow as pa

from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US, TimeRange
from pulsebase.stores.clickhouse.commits import Snapshot

#: The columns of the relation; `piece` is where a piece starts, and counts from 1970 in microseconds. Of the rows with
#: the same minutes one `leads`.
PIECE = "person, piece, present, device, n, sum, min, max, minutes, leads"
_COUNTS = ("device", "n", "sum", "min", "max")
#: No rows, of the columns of the relation.
_NOTHING = (
    "SELECT toUInt64(0) AS person, toInt64(0) AS piece, CAST([], 'Array(UInt32)') AS present, toUInt32(0) AS device, "
    "toUInt64(0) AS n, toInt64(0) AS sum, toInt16(0) AS min, toInt16(0) AS max, toUInt16(0) AS minutes, true AS leads "
    "FROM minutes WHERE person = 0 AND person = 1"
)
_QUARTER_US = 15 * MINUTE_US
#: So many hours are read reading by reading, a day of a reading a second.
_FEW_HOURS = 24
#: So many minutes with staged readings are named in a statement; beyond them it looks for them itself.
_NAMED = 1000


class Expired(Enum):
    """What a question takes of expired readings."""

    NOTHING = "nothing"
    #: Quarters of an hour, as they were resolved; without devices.
    QUARTERS = "quarters"
    #: The same, of whole hours alone.
    HOURS = "hours"
    #: Whole hours of each device.
    HOURS_OF_DEVICES = "hours of devices"


@dataclass(frozen=True, slots=True)
class WhatCounts:
    """The counted readings of people in one metric that have not expired.

    Attributes:
        state: which rows are visible.
        people: a condition on `person`.
        metric: the number of the metric.
        interval: when.
        edges: where buckets start or end besides.
        changes: the minutes from which on devices have other priorities, by person.
        hours: whether a piece may be an hour.
        days: whether a piece may be a UTC day, where it may be an hour.
        by_time: whether hours are read in the order of time, as is quicker for many people.
        one_person: whether these are one person's, of whom few hours are read reading by reading: a statement that does
            not ask for minutes takes two thirds of the time.
        one_device: whether no minute can have several devices.
        fresh: the minutes in which people have visible staged readings, as person and minute; None if that is not
            known, or these are too many.
    """

    state: Snapshot
    people: str
    metric: int
    interval: TimeRange
    edges: Sequence[int] = ()
    changes: Mapping[int, Sequence[int]] = field(default_factory=dict)
    hours: bool = True
    days: bool = True
    by_time: bool = False
    one_person: bool = False
    one_device: bool = False
    fresh: Collection[tuple[int, int]] | None = None

    def pieces(self, expired: Expired = Expired.NOTHING) -> str:
        """Write the relation, together with what is kept of expired readings."""
        found = [self._kept(expired, TimeRange(self.interval.start_us, min(self.interval.end_us, self._horizon_us)))]
        left = TimeRange(max(self.interval.start_us, self._horizon_us), self.interval.end_us)
        if left.length_us > 0:
            found += replace(self, interval=left)._left()
        return " UNION ALL ".join(each for each in found if each) or _NOTHING

    @property
    def _horizon_us(self) -> int:
        return self.state.horizon_us

    def _left(self) -> list[str]:
        """Write the parts of the relation that are of readings that have not expired."""
        if not self.hours:
            return [self._minutes([]), self._of_readings(MINUTE_US)]
        if self._few_torn_hours():
            found = [self._of_readings(HOUR_US)]
        else:
            found = [self._of_readings(MINUTE_US)]
            if torn_hours := self._torn(HOUR_US, "intDiv(minute, 60)"):
                found.append(self._minutes(torn_hours))
        # Where buckets end within days, they do in each of them.
        if not self.days or any(at_us % DAY_US for at_us in self.edges):
            return [*found, self._hours([])]
        if torn_days := self._torn(DAY_US, "intDiv(hour, 24)"):
            found.append(self._hours(torn_days))
        return [*found, self._days()]

    def staged_minutes(self, most: int) -> str | None:
        """Write the question for the minutes in which people have visible staged readings, as `person` and `minute`.

        It finds one more than `most`, if there are so many. None: there can be none.
        """
        if self.state.last == self.state.merged:
            return None
        conditions = [*self._rows_of(self.interval.widened(HOUR_US)), self.state.staged()]
        return (
            f"SELECT DISTINCT person, intDiv(time, {MINUTE_US}) AS minute FROM stage "
            f"WHERE {' AND '.join(conditions)} LIMIT {most + 1}"
        )

    def _kept(self, expired: Expired, interval: TimeRange) -> str:
        """Write the relation of what is kept of readings that have expired."""
        if expired is Expired.NOTHING or interval.length_us <= 0:
            return ""
        if expired is Expired.HOURS_OF_DEVICES:
            return replace(self, interval=interval)._rolled_up("hours", "hour", HOUR_US, [])
        step_us = HOUR_US if expired is Expired.HOURS else _QUARTER_US
        first = -(-interval.start_us // step_us) * step_us // _QUARTER_US
        end = interval.end_us // step_us * step_us // _QUARTER_US
        conditions = [self.people, f"metric = {self.metric}", f"quarter >= {first}", f"quarter < {end}"]
        return (
            f"SELECT person, quarter * {_QUARTER_US} AS piece, CAST([], 'Array(UInt32)') AS present, "
            "toUInt32(0) AS device, n, sum, min, max, minutes, true AS leads "
            f"FROM kept FINAL WHERE {' AND '.join(conditions)}"
        )

    def last_rows(self, interval: TimeRange, condition: str = "true") -> str:
        """Write the relation of the last visible row of each reading that meets a condition: `person`, `time`,
        `device`, `v` and `c`, its confidence.
        """
        nothing_staged = self.state.last == self.state.merged
        visible = self.state.not_expired() if nothing_staged else self.state.condition()
        conditions = [*self._rows_of(interval), visible, condition]
        return (
            "SELECT person, time, device, argMax(value, stamp) AS v, argMax(confidence, stamp) AS c "
            f"FROM {'readings' if nothing_staged else 'rows'} WHERE {' AND '.join(conditions)} "
            "GROUP BY person, time, device HAVING argMax(gone, stamp) = 0"
        )

    def _rows_of(self, interval: TimeRange) -> list[str]:
        inside = [f"time >= {interval.start_us}", f"time < {interval.end_us}"]
        return [self.people, f"metric = {self.metric}", *inside]

    def _staged(self, step_us: int) -> str | None:
        """Write the steps of time in which people have staged readings, or the question for them."""
        if self.state.last == self.state.merged:
            return None
        if self.fresh is not None:
            steps = {(person, minute * MINUTE_US // step_us) for person, minute in self.fresh}
            return f"({_listed(steps)})" if steps else None
        conditions = [*self._rows_of(self.interval.widened(step_us)), self.state.staged()]
        return f"(SELECT person, intDiv(time, {step_us}) FROM stage WHERE {' AND '.join(conditions)})"

    def _bounds(self, step_us: int) -> list[int]:
        """Return where buckets start or end within a step of time."""
        return sorted(
            {at_us for at_us in (self.interval.start_us, self.interval.end_us, *self.edges) if at_us % step_us}
        )

    def _torn(self, step_us: int, step: str) -> list[str]:
        """Write conditions one of which holds for a person's step of time, which `step` is, if it cannot be taken
        whole.
        """
        torn = []
        if bounds := self._bounds(step_us):
            torn.append(f"{step} IN ({_listed({at_us // step_us for at_us in bounds})})")
        changes = ((who, minute * MINUTE_US) for who, minutes in self.changes.items() for minute in minutes)
        pairs = {(who, at_us // step_us) for who, at_us in changes if at_us % step_us}
        if pairs:
            torn.append(f"(person, {step}) IN ({_listed(pairs)})")
        if staged := self._staged(step_us):
            torn.append(f"(person, {step}) IN {staged}")
        return torn

    def _few_torn_hours(self) -> bool:
        """Whether hours that cannot be taken whole are those of one person, and so few that their readings are read."""
        if not self.one_person or (self.fresh is None and self.state.last != self.state.merged):
            return False
        torn = {at_us // HOUR_US for at_us in self._bounds(HOUR_US)}
        torn |= {minute // 60 for minutes in self.changes.values() for minute in minutes if minute % 60}
        torn |= {minute // 60 for _, minute in self.fresh or ()}
        return len(torn) <= _FEW_HOURS

    def _days(self) -> str:
        whole = [f"NOT {torn}" for torn in self._torn(DAY_US, "day")]
        return self._rolled_up("days", "day", DAY_US, whole)

    def _hours(self, torn_days: Sequence[str]) -> str:
        """Write the hours that can be taken whole, of days that cannot; of all if none of these conditions is given."""
        of_days = [f"({' OR '.join(torn_days)})"] if torn_days else []
        which = [*of_days, *(f"NOT {torn}" for torn in self._torn(HOUR_US, "hour"))]
        return self._rolled_up("hours_by_time" if self.by_time else "hours", "hour", HOUR_US, which)

    def _rolled_up(self, table: str, name: str, step_us: int, which: Sequence[str]) -> str:
        """Write the pieces of whole hours or days inside the interval that meet these conditions."""
        first, end = -(-self.interval.start_us // step_us), self.interval.end_us // step_us
        if first >= end:
            return ""
        conditions = [self.people, f"metric = {self.metric}", f"{name} >= {first}", f"{name} < {end}", *which]
        return (
            f"SELECT person, {name} * {step_us} AS piece, present, device, n, sum, min, max, minutes, "
            f"device = present[1] AS leads FROM {table} FINAL ARRAY JOIN {_joined('present', 'minutes', *_COUNTS)} "
            f"PREWHERE {' AND '.join(conditions)} WHERE n > 0"
        )

    def _minutes(self, torn_hours: Sequence[str]) -> str:
        """Write the minutes that can be taken whole, of hours that cannot; of all if none of these conditions is
        given.
        """
        whole = self.interval.widened(MINUTE_US)
        first, end = whole.start_us // MINUTE_US, whole.end_us // MINUTE_US
        conditions = [self.people, f"metric = {self.metric}", f"minute >= {first}", f"minute < {end}"]
        if torn_hours:
            conditions.append(f"({' OR '.join(torn_hours)})")
        conditions += [f"NOT {torn}" for torn in self._torn(MINUTE_US, "minute")]
        return (
            f"SELECT person, minute * {MINUTE_US} AS piece, "
            "arrayFilter((d, counted) -> counted > 0, of.device, of.n) AS present, device, n, sum, min, max, "
            f"1 AS minutes, device = present[1] AS leads FROM minutes FINAL ARRAY JOIN {_joined(*_COUNTS)} "
            f"PREWHERE {' AND '.join(conditions)} WHERE n > 0"
        )

    def _of_readings(self, step_us: int) -> str:
        """Write the minutes of the readings in steps of time, hours or minutes, that cannot be taken whole."""
        torn = self._torn(step_us, f"intDiv(time, {step_us})")
        if not torn:
            return ""
        rows = self.last_rows(self.interval.widened(MINUTE_US), f"({' OR '.join(torn)})") + " AND c != 0"
        if any(at_us % MINUTE_US for at_us in self.edges):
            return self._parts_of_minutes(rows)
        start_us, end_us = self.interval.start_us, self.interval.end_us
        # A device that counted in a minute takes part in it, though only others have readings in the part asked for.
        inside = f"time >= {start_us} AND time < {end_us}" if self._bounds(MINUTE_US) else "true"
        found = (
            f"SELECT person, intDiv(time, {MINUTE_US}) * {MINUTE_US} AS piece, device, countIf({inside}) AS n, "
            f"sumIf(toInt64(v), {inside}) AS sum, minIf(v, {inside}) AS min, maxIf(v, {inside}) AS max "
            f"FROM ({rows}) GROUP BY person, piece, device"
        )
        of_minute = "OVER (PARTITION BY person, piece)"
        present = f"arraySort(groupUniqArray(device) {of_minute})"
        leads = f"device = minIf(device, n > 0) {of_minute}"
        if self.one_device:
            present, leads = "CAST([], 'Array(UInt32)')", "true"
        of_all = (
            f"SELECT person, piece, {present} AS present, device, n, sum, min, max, 1 AS minutes, {leads} AS leads "
            f"FROM ({found})"
        )
        return of_all if inside == "true" else f"SELECT {PIECE} FROM ({of_all}) WHERE n > 0"

    def _parts_of_minutes(self, rows: str) -> str:
        """Write the parts of the minutes of these rows, where buckets end within minutes."""
        bounds = numbers_of(self._bounds(MINUTE_US))
        part = f"intDiv(time, {MINUTE_US}) * {MINUTE_US}"
        part = f"greatest({part}, arrayMax(arrayMap(b -> if(b <= time, b, 0), {bounds})))"
        counted = (
            f"SELECT person, intDiv(time, {MINUTE_US}) AS minute, {part} AS part, device, count() AS n, "
            f"sum(toInt64(v)) AS total, min(v) AS low, max(v) AS high FROM ({rows}) "
            "GROUP BY person, minute, part, device"
        )
        return (
            "SELECT person, row.1 AS piece, present, row.2 AS device, row.3 AS n, row.4 AS sum, row.5 AS min, "
            "row.6 AS max, 1 AS minutes, "
            "row.2 = arrayMin(each -> if(each.1 = row.1, each.2, row.2), found) AS leads FROM ("
            "SELECT person, minute, arraySort(groupUniqArray(device)) AS present, "
            f"groupArray((part, device, n, total, low, high)) AS found FROM ({counted}) GROUP BY person, minute"
            f") ARRAY JOIN found AS row WHERE piece >= {self.interval.start_us} AND piece < {self.interval.end_us}"
        )


def with_fresh(counts: WhatCounts, ask: Callable[[str], pa.Table]) -> WhatCounts:
    """Return the same with the minutes that have staged readings, unless these are too many to be named.

    To name them is quicker: a statement needs them several times.
    """
    question = counts.staged_minutes(_NAMED)
    if question is None:
        return counts
    found = ask(question)
    if found.num_rows > _NAMED:
        return counts
    return replace(counts, fresh=list(zip(found["person"].to_pylist(), found["minute"].to_pylist(), strict=True)))


def numbers_of(numbers: Collection[int]) -> str:
    """Write an array of numbers, which may be empty."""
    return f"CAST([{', '.join(map(str, numbers))}], 'Array(Int64)')"


def _listed(items: Collection[object]) -> str:
    return ", ".join(map(str, sorted(items, key=repr)))


def _joined(*names: str) -> str:
    return ", ".join(f"of.{name} AS {name}" for name in names)
