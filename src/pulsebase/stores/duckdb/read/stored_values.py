"""Looking up what is stored of readings that are about to be written, see `contract.Reader.stored_values`.

An import asks this for every block, mostly about readings of which nothing is stored. So the few hours are looked up
first, and readings only in hours that have some.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.readings import Ids
from pulsebase.model.rollups import I64
from pulsebase.model.timerange import HOUR_US, SECOND_US, TimeRange
from pulsebase.stores.contract import StoredValues
from pulsebase.stores.duckdb.engine.transactions import State, relation
from pulsebase.stores.duckdb.merge.hour_rollups import HOUR_MASK, hour_codes, hour_table
from pulsebase.stores.duckdb.merge.ordering import distinct, storage_order
from pulsebase.stores.duckdb.merge.origins import PushOrigins, last_of_each
from pulsebase.stores.duckdb.merge.stage import DTYPES, TOMBSTONE, Rows, StageSnapshot
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers
from pulsebase.stores.duckdb.people.series_numbers import people_of
from pulsebase.stores.duckdb.read.unmerged import unmerged_rows

#: A block of an import usually spans some days.
_MOST_HOURS = 10_000
_COLUMNS = ", ".join(f"r.{name}" for name in DTYPES)
_STORED = f"""
SELECT {_COLUMNS} FROM readings AS r SEMI JOIN asked AS a
    ON a.user_no = r.user_no AND a.device_no = r.device_no AND a.second = r.second AND a.t = r.t
WHERE r.second BETWEEN $first AND $last AND r.user_no BETWEEN $first_user AND $last_user
"""


def numbers_of(names: IdNumbers, ids: Ids) -> npt.NDArray[np.int32]:
    """Return the numbers of a column of ids, -1 for unknown ones."""
    used = np.flatnonzero(np.bincount(ids.codes)).tolist()
    number_of_code = np.full(used[-1] + 1 if used else 0, -1, np.int32)
    for code in used:
        number = names.find(ids.texts[code])
        number_of_code[code] = -1 if number is None else number
    return number_of_code[ids.codes]


def is_of_other_hours(times_us: I64, stage: StageSnapshot, stored_hours: Mapping[int, int]) -> bool:
    """Whether, as memory can tell without the engine, nothing is stored of anybody in the hours of these times.

    `stored_hours` has every hour with stored readings that are not late. It is read after the stage snapshot, so that
    rows being merged are in one of the two.
    """
    first_us, last_us = int(times_us.min()), int(times_us.max())
    if last_us - first_us > _MOST_HOURS * HOUR_US:
        return False
    hours = range(first_us // HOUR_US, last_us // HOUR_US + 1)
    if any(hour in stored_hours for hour in hours):
        return False
    return not any(((rows.t >= first_us) & (rows.t <= last_us)).any() for _, rows in stage.parts)


def stored_values(
    connection: duckdb.DuckDBPyConnection,
    stage: StageSnapshot,
    state: State,
    *,
    keys: Rows,
    pushes: PushOrigins,
    people_count: int,
    metric_no: int,
) -> StoredValues:
    """Look up the keys of rows, which are of one metric, in a transaction and in a stage snapshot taken before it.

    Numbers of unknown people and devices are below 0; the numbers of known people are below `people_count`.
    """
    answer = StoredValues.nothing(len(keys))
    known = np.flatnonzero((keys.user_no >= 0) & (keys.device_no >= 0))
    if len(known) == 0:
        return answer
    asked = keys if len(known) == len(keys) else keys.take(known)
    interval = TimeRange(int(asked.t.min()), int(asked.t.max()) + 1)
    people = np.zeros(people_count, np.bool_)
    people[people_of(asked.user_no)] = True
    unmerged = unmerged_rows(connection, stage, state, interval, people, metric_no).rows
    merged = _merged(connection, asked)
    rows = Rows.joined([merged, unmerged])
    if len(rows) == 0:
        return answer
    rows = last_of_each(rows, storage_order(rows), pushes, len(merged))
    rows = rows.take(rows.v != TOMBSTONE)
    codes = storage_order(Rows.joined([rows, asked])).codes
    if len(rows) == 0 or codes is None:
        return answer
    of_rows, of_asked = codes[: len(rows)], codes[len(rows) :]
    place = np.minimum(np.searchsorted(of_rows, of_asked), len(rows) - 1)  # `rows` are in storage order
    there = of_rows[place] == of_asked
    answer.put(known[there], rows.v[place[there]], rows.confidence[place[there]], rows.origin[place[there]])
    return answer


def _merged(connection: duckdb.DuckDBPyConnection, asked: Rows) -> Rows:
    hour = asked.t // HOUR_US
    codes = hour_codes(asked.user_no, hour)
    stored = _stored_hours(connection, distinct(codes))
    if len(stored) == 0:
        return Rows.empty()
    asked = asked.take(np.isin(codes, stored))
    second = asked.t // SECOND_US
    columns = {"user_no": asked.user_no, "device_no": asked.device_no, "t": asked.t, "second": second}
    values = {
        "first": int(second.min()),
        "last": int(second.max()),
        "first_user": int(asked.user_no.min()),
        "last_user": int(asked.user_no.max()),
    }
    with relation(connection, "asked", pa.table(columns)):
        return Rows(**connection.execute(_STORED, values).fetchnumpy())


def _stored_hours(connection: duckdb.DuckDBPyConnection, codes: I64) -> I64:
    """Return those of the hours that have stored readings."""
    of_hour = codes & HOUR_MASK
    with relation(connection, "touched", hour_table(codes)):
        found = connection.execute(
            "SELECT DISTINCT user_no, hour FROM h1_dev SEMI JOIN touched USING (user_no, hour) "
            "WHERE hour BETWEEN $first AND $last",
            {"first": int(of_hour.min()), "last": int(of_hour.max())},
        ).fetchnumpy()
    return hour_codes(found["user_no"], found["hour"])
