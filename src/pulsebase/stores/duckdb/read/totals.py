"""Answers to `TotalsQuery`: kept days and hours, what unmerged rows change in them, and raw readings where the range
cuts an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.model.rollups import I64, Mask
from pulsebase.model.timerange import DAY_US, HOUR_US, MAX_US, MINUTE_US, TimeRange
from pulsebase.stores.contract import TOTALS_SCHEMA, TotalsQuery
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.duckdb.engine.transactions import State, one_row, relation
from pulsebase.stores.duckdb.merge.hour_rollups import (
    HOUR_MASK,
    MINUTES_PER_HOUR,
    DevicePrecedence,
    Minutes,
    bucket_rows,
    cut_at_hours,
    device_hours,
    hour_codes,
    hour_table,
    hours_of_codes,
    minutes_of,
    resolved,
)
from pulsebase.stores.duckdb.merge.ordering import storage_order
from pulsebase.stores.duckdb.merge.rollup_sql import IN_RANGE
from pulsebase.stores.duckdb.merge.stage import DTYPES, TOMBSTONE, Rows, StageSnapshot
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers
from pulsebase.stores.duckdb.people.series_numbers import bounds_of_metric, people_of
from pulsebase.stores.duckdb.read.unmerged import ChangeCache, Changes, DirtyHours, People, Unmerged, unmerged_rows

#: About how many stored readings are in memory at a time.
_PIECE_ROWS = 2_000_000
#: Hours further apart are fetched separately: the readings between them would be scanned for nothing.
_GAP_HOURS = 24

_ROLLED = """
SELECT user_no, sum(n)::BIGINT AS n, sum(sum)::BIGINT AS sum, sum(minutes)::BIGINT AS minutes
FROM (
    SELECT user_no, n, sum, minutes FROM d1 WHERE day >= $first_day AND day < $end_day AND {of_metric}
    UNION ALL
    SELECT user_no, n, sum, minutes FROM h1 WHERE hour >= $first_hour AND hour < $end_of_first AND {of_metric}
    UNION ALL
    SELECT user_no, n, sum, minutes FROM h1 WHERE hour >= $start_of_last AND hour < $end_hour AND {of_metric}
)
GROUP BY user_no
"""
_STORED = f"SELECT {', '.join(DTYPES)} FROM readings {{these}} WHERE {IN_RANGE}"
_DAYS = """
SELECT user_no, day, n FROM d1
SEMI JOIN (SELECT DISTINCT user_no, hour // 24 AS day FROM asked_hours) AS asked USING (user_no, day)
WHERE day BETWEEN $first AND $last
"""


#: Columns `user_no`, `n`, `sum` and `minutes`.
PersonSums = dict[str, npt.NDArray[np.signedinteger[Any]]]


@dataclass(frozen=True, slots=True)
class PeopleSnapshot:
    """Everybody's readings of a metric at one moment: the database as of a transaction, and a stage snapshot taken
    before it.
    """

    connection: duckdb.DuckDBPyConnection
    deadline: Deadline
    state: State
    stage: StageSnapshot
    precedence: DevicePrecedence
    users: IdNumbers
    known: ChangeCache
    metric_no: int


def answer(snapshot: PeopleSnapshot, query: TotalsQuery) -> pa.Table:
    """Answer a query with `TOTALS_SCHEMA` rows."""
    people = _asked(snapshot, query)
    sums = _Sums(len(people))
    connection, stage, state = snapshot.connection, snapshot.stage, snapshot.state
    touched = query.range.widened(HOUR_US)
    unmerged = unmerged_rows(connection, stage, state, touched, people, snapshot.metric_no)
    whole, cuts = cut_at_hours(query.range)
    if whole.length_us > 0:
        sums.add(_rolled(snapshot, whole))
        _add_changes(snapshot, unmerged, whole, sums)
    for cut in cuts:
        for piece in _minutes_of(snapshot, cut):
            sums.add(_of_readings(snapshot, unmerged, piece))
    snapshot.deadline.check()
    return sums.table(people, snapshot.users)


class _Sums:
    """Count, sum and minutes of each person, by number."""

    def __init__(self, people: int) -> None:
        self._columns = {name: np.zeros(people, np.int64) for name in ("n", "sum", "minutes")}

    def add(self, rows: PersonSums) -> None:
        """Add rows to the sums of their people."""
        people = people_of(rows["user_no"].astype(np.int32, copy=False))
        for name, column in self._columns.items():
            np.add.at(column, people, rows[name])

    def table(self, people: People, users: IdNumbers) -> pa.Table:
        """Return the selected people who have a counted reading, by id."""
        numbers = np.flatnonzero(people & (self._columns["n"] > 0))
        ids = pa.array([users.text(number) for number in numbers.tolist()], pa.string())
        order = pc.sort_indices(ids).to_numpy()  # by bytes
        columns = [pa.array(self._columns[name][numbers[order]]) for name in ("n", "sum", "minutes")]
        return pa.table([ids.take(pa.array(order)), *columns], schema=TOTALS_SCHEMA)


def _asked(snapshot: PeopleSnapshot, query: TotalsQuery) -> People:
    """Select the people the query is about. Who has no row in the database yet has neither gender nor birth date."""
    if query.genders is None and query.born_by is None and query.born_after is None:
        return np.ones(len(snapshot.users), np.bool_)
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if query.genders is not None:
        conditions.append("gender IN (SELECT unnest($genders))")
        values["genders"] = sorted(query.genders)
    if query.born_by is not None:
        conditions.append("birth_date <= $born_by")
        values["born_by"] = query.born_by
    if query.born_after is not None:
        conditions.append("birth_date > $born_after")
        values["born_after"] = query.born_after
    statement = f"SELECT user_no FROM users WHERE {' AND '.join(conditions)}"
    people = np.zeros(len(snapshot.users), np.bool_)
    people[snapshot.connection.execute(statement, values).fetchnumpy()["user_no"]] = True
    return people


def _rolled(snapshot: PeopleSnapshot, whole: TimeRange) -> PersonSums:
    """Sum the rollups of whole hours by person, using days where they are whole."""
    snapshot.deadline.check()
    first_hour, end_hour = whole.start_us // HOUR_US, whole.end_us // HOUR_US
    first_day, end_day = -(-whole.start_us // DAY_US), whole.end_us // DAY_US
    has_days = first_day < end_day
    values = {
        "first_day": first_day,
        "end_day": end_day,
        "first_hour": first_hour,
        "end_of_first": first_day * 24 if has_days else end_hour,
        "start_of_last": end_day * 24 if has_days else end_hour,
        "end_hour": end_hour,
    }
    statement = _ROLLED.format(of_metric=_of_metric(snapshot.metric_no))
    return snapshot.connection.execute(statement, values).fetchnumpy()


def _of_metric(metric_no: int) -> str:
    """Return the condition that rows are of this metric. Literals let the engine skip blocks."""
    lowest, highest = bounds_of_metric(metric_no)
    return f"user_no BETWEEN {lowest} AND {highest}"


def look_ahead(snapshot: PeopleSnapshot) -> None:
    """Compute what late rows change in their hours ahead of the next query, which then need not wait for it."""
    everybody = np.ones(len(snapshot.users), np.bool_)
    connection, stage, state = snapshot.connection, snapshot.stage, snapshot.state
    unmerged = unmerged_rows(connection, stage, state, TimeRange(0, MAX_US), everybody, snapshot.metric_no)
    codes = unmerged.codes()
    _changes(snapshot, unmerged.take(np.isin(codes, codes[unmerged.seq < state.merged_seq])))


def _add_changes(snapshot: PeopleSnapshot, unmerged: Unmerged, whole: TimeRange, sums: _Sums) -> None:
    """Add what unmerged rows change in the rollups of whole hours."""
    rows = unmerged.rows
    hours, changes = _changes(snapshot, unmerged.take((rows.t >= whole.start_us) & (rows.t < whole.end_us)))
    user_no, _ = hours_of_codes(hours.codes)
    sums.add({"user_no": user_no, "n": changes.count, "sum": changes.sum, "minutes": changes.minutes})


def _changes(snapshot: PeopleSnapshot, unmerged: Unmerged) -> tuple[DirtyHours, Changes]:
    """Return what rows, which must be all unmerged ones of each of their hours, change in the rollups."""
    hours = DirtyHours.of(unmerged)
    known, changes = snapshot.known.find(hours, snapshot.state.epoch)
    if not known.all():
        _work_out(snapshot, unmerged, hours, np.flatnonzero(~known), changes)
        snapshot.known.keep(hours, changes, snapshot.state.epoch)
    return hours, changes


def _work_out(
    snapshot: PeopleSnapshot, unmerged: Unmerged, hours: DirtyHours, places: npt.NDArray[np.intp], changes: Changes
) -> None:
    """Compute the changes of the hours at these indices: resolved with the unmerged rows, minus resolved as stored."""
    codes = unmerged.codes()
    stored_rows = _stored_rows(snapshot, hours.codes[places])
    for piece in _pieces(hours.codes[places], stored_rows):
        of_piece = np.sort(hours.codes[places][piece])
        has_stored = hours.codes[places][piece][stored_rows[piece] > 0]
        new = unmerged.rows.take(np.isin(codes, of_piece))
        stored = _stored_of_hours(snapshot, has_stored) if len(has_stored) else new.take(slice(0, 0))
        change = Changes.none(len(of_piece))
        for rows, sign in ((stored, -1), (Rows.joined([stored, new]), 1)):
            snapshot.deadline.check()
            complete = _complete(rows)
            found = bucket_rows(_resolved_minutes(complete, snapshot.precedence), MINUTES_PER_HOUR, "hour")
            place = np.searchsorted(of_piece, hour_codes(found["user_no"].to_numpy(), found["hour"].to_numpy()))
            for column, name in ((change.count, "n"), (change.sum, "sum"), (change.minutes, "minutes")):
                column[place] += sign * found[name].to_numpy().astype(np.int64)
        changes.put(np.searchsorted(hours.codes, of_piece), change)


def _of_readings(snapshot: PeopleSnapshot, unmerged: Unmerged, piece: TimeRange) -> PersonSums:
    """Sum the readings in a part of an hour by person."""
    minutes = piece.widened(MINUTE_US)
    rows = _complete(Rows.joined([_stored(snapshot, minutes), unmerged.inside(minutes)]))
    inside = (rows.t >= piece.start_us) & (rows.t < piece.end_us)
    # The whole minute decides who wins it; of its readings, those inside the piece count.
    chosen = rows.take(_of_winners(rows, snapshot.precedence) & inside)
    found = bucket_rows(minutes_of(chosen), MINUTES_PER_HOUR, "hour")
    return {name: found[name].to_numpy() for name in ("user_no", "n", "sum", "minutes")}


def _complete(rows: Rows) -> Rows:
    """Apply replacements and deletions to rows in order of arrival; return what is left, in storage order."""
    complete = rows.take(storage_order(rows).kept)
    return complete.take(complete.v != TOMBSTONE)


def _resolved_minutes(complete: Rows, precedence: DevicePrecedence) -> Minutes:
    """Return the winning minutes of rows that are whole minutes in storage order."""
    minutes = minutes_of(complete)
    return resolved(minutes, device_hours(complete, minutes), precedence)


def _of_winners(complete: Rows, precedence: DevicePrecedence) -> Mask:
    """Say which counted readings are of their minute's winner; for uncounted ones the result means nothing."""
    minutes = minutes_of(complete)
    if len(minutes) == 0:
        return np.zeros(len(complete), np.bool_)
    wins = np.isin(minutes.row, resolved(minutes, device_hours(complete, minutes), precedence).row)
    minute_of_row = np.searchsorted(minutes.row, np.arange(len(complete)), side="right") - 1
    found: Mask = wins[np.maximum(minute_of_row, 0)]
    return found


def _minutes_of(snapshot: PeopleSnapshot, cut: TimeRange) -> Iterator[TimeRange]:
    """Divide a part of an hour at whole minutes into pieces with a bounded number of stored readings."""
    hour = cut.start_us // HOUR_US
    (stored_rows,) = one_row(
        snapshot.connection, "SELECT coalesce(sum(n_all), 0)::BIGINT FROM h1_dev WHERE hour = ?", [hour]
    ) or (0,)
    step_us = max(HOUR_US // (stored_rows // _PIECE_ROWS + 1) // MINUTE_US, 1) * MINUTE_US
    start_us = cut.start_us
    while start_us < cut.end_us:
        end_us = min((start_us // MINUTE_US) * MINUTE_US + step_us, cut.end_us)
        yield TimeRange(start_us, end_us)
        start_us = end_us


def _pieces(codes: I64, stored_rows: I64) -> list[npt.NDArray[np.intp]]:
    """Group indices of hours that lie near each other and hold a bounded number of readings, in order of time."""
    hours = codes & HOUR_MASK
    order = np.argsort(hours, kind="stable")
    fill = np.cumsum(stored_rows[order]) // _PIECE_ROWS
    starts = np.flatnonzero((np.diff(hours[order]) > _GAP_HOURS) | (np.diff(fill) > 0)) + 1
    return np.split(order, starts)


def _stored_rows(snapshot: PeopleSnapshot, codes: I64) -> I64:
    """Estimate how many readings are stored for each of the hours; 0 where none counts, since then none matters.

    The estimate, which bounds memory, is a quarter of the person's readings of the day.
    """
    snapshot.deadline.check()
    user_no, hours = hours_of_codes(codes)
    values = {"first": int(hours.min()) // 24, "last": int(hours.max()) // 24}
    with relation(snapshot.connection, "asked_hours", hour_table(codes)):
        found = snapshot.connection.execute(_DAYS, values).fetchnumpy()
    days = hour_codes(found["user_no"], found["day"])
    order = np.argsort(days)
    asked = hour_codes(user_no, hours // 24)
    rows = np.zeros(len(codes), np.int64)
    if len(days):
        place = np.minimum(np.searchsorted(days, asked, sorter=order), len(days) - 1)
        there = days[order[place]] == asked
        rows[there] = found["n"][order[place[there]]] // 4 + 1
    return rows


def _stored_of_hours(snapshot: PeopleSnapshot, codes: I64) -> Rows:
    """Fetch the stored readings of these hours."""
    snapshot.deadline.check()
    hours = codes & HOUR_MASK
    values = {"start": int(hours.min()) * HOUR_US, "end": (int(hours.max()) + 1) * HOUR_US}
    these = "SEMI JOIN asked_hours AS asked ON readings.user_no = asked.user_no AND second // 3600 = asked.hour"
    with relation(snapshot.connection, "asked_hours", hour_table(codes)):
        return Rows(**snapshot.connection.execute(_STORED.format(these=these), values).fetchnumpy())


def _stored(snapshot: PeopleSnapshot, interval: TimeRange) -> Rows:
    """Fetch everybody's stored readings in the interval."""
    snapshot.deadline.check()
    values = {"start": interval.start_us, "end": interval.end_us}
    statement = f"{_STORED.format(these='')} AND {_of_metric(snapshot.metric_no)}"
    return Rows(**snapshot.connection.execute(statement, values).fetchnumpy())
