"""The merge: moves staged readings into the ordered ones, and recomputes every rollup of the hours they touch.

It is one transaction, so rollups equal a recomputation from `readings` in every state that anybody can see. The stored
rows of the touched hours are fetched into memory, combined with the new ones and aggregated (`hour_rollups`), at a
fraction of what SQL would cost; `check` recomputes everything in SQL, independently.

Hours without stored rows cost nothing to fetch. The others have to be found in `readings`, which is cheap near the end
of the series and expensive far from it. So rows for old hours wait in the table `late` until there are enough of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa

from pulsebase.model.rollups import I64, Mask
from pulsebase.model.timerange import HOUR_US, SECOND_US
from pulsebase.model.users import default_priority
from pulsebase.stores.duckdb.engine.transactions import relation
from pulsebase.stores.duckdb.merge.hour_rollups import (
    HOUR_MASK,
    MINUTES_PER_HOUR,
    MINUTES_PER_QUARTER,
    DevicePrecedence,
    Minutes,
    bucket_rows,
    device_hours,
    hour_codes,
    hour_table,
    minutes_of,
    resolved,
)
from pulsebase.stores.duckdb.merge.ordering import distinct, group_starts, in_pieces, storage_order
from pulsebase.stores.duckdb.merge.origins import PushOrigins, last_of_each
from pulsebase.stores.duckdb.merge.rollup_sql import DAYS, IN_RANGE, RESOLVED_HOURS, RESOLVED_QUARTERS
from pulsebase.stores.duckdb.merge.stage import DTYPES, TOMBSTONE, Rows

_COLUMNS = ", ".join(DTYPES)
_NO_ROWS = Rows.empty()


_FORGET_QUARTERS = (
    "DELETE FROM q15 USING touched WHERE q15.user_no = touched.user_no AND q15.quarter // 4 = touched.hour"
)


#: Values are stored as whole hundreds and the rest, whatever their scale; of most the rest is constant.
_WHOLE = 100
#: Hours that span more than this, a century, are counted by sorting them.
_MOST_COUNTERS = 1 << 20


@dataclass(slots=True)
class HourSizes:
    """An estimate of how many rows `readings` holds for each UTC hour, by which the cost of a search is judged."""

    rows: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection) -> HourSizes:
        """Count the rows of each hour."""
        found = connection.execute(
            "SELECT hour, sum(n_all)::BIGINT FROM h1_dev WHERE hour >= (SELECT horizon_hour FROM state) GROUP BY hour"
        ).fetchall()
        return cls(dict(found))

    def add(self, hours: I64) -> None:
        """Add new rows, given by their hours."""
        if len(hours) == 0:
            return
        start = int(hours.min())
        if int(hours.max()) - start < _MOST_COUNTERS:
            counts = np.bincount(hours - start)
            places = np.flatnonzero(counts)
            counts = counts[places]
        else:
            places, counts = np.unique(hours - start, return_counts=True)
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            self.rows[start + place] = self.rows.get(start + place, 0) + count

    def take(self, rows: Mapping[int, int]) -> None:
        """Subtract rows that were deleted, by hour."""
        for hour, count in rows.items():
            self.rows[hour] = self.rows.get(hour, 0) - count

    def forget_before(self, hour: int) -> None:
        """Forget the hours before this one."""
        self.rows = {each: count for each, count in self.rows.items() if each >= hour}

    def first_within(self, most_rows: int) -> int:
        """Return the earliest hour from which on at most `most_rows` rows are stored."""
        left = most_rows
        first = 1 << 62
        for hour in sorted(self.rows, reverse=True):
            left -= self.rows[hour]
            if left < 0:
                return first
            first = hour
        return 0


@dataclass(frozen=True, slots=True)
class MergeBounds:
    """How much one merge may do for rows of hours that have stored rows already.

    Attributes:
        search_rows: how many stored rows it may scan for them; 8 million take about 50 ms of two cores.
        fetch_rows: how many stored rows it may fetch, at some 25 bytes each, several times over.
    """

    search_rows: int = 8_000_000
    fetch_rows: int = 3_000_000


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge: how many rows went into `readings`, and how many `late` holds now."""

    stored_rows: int
    late_rows: int


@dataclass(slots=True)
class Merge:
    """One merge, inside the transaction of `connection`."""

    connection: duckdb.DuckDBPyConnection
    precedence: DevicePrecedence
    pushes: PushOrigins
    sizes: HourSizes
    bounds: MergeBounds

    def staged(self, parts: Sequence[Rows], first_seq: int) -> Merged:
        """Merge staged rows, in order of arrival, into `readings` or, where that is expensive, into `late`."""
        hours = np.unique(np.concatenate([distinct(_hour_codes(part)) for part in parts]))
        known = self._stored_rows(hours)
        deferred = self._deferred(hours, known)
        if deferred.any():
            parts = self._set_late_aside(parts, hours[deferred], first_seq)
            hours, known = hours[~deferred], known[~deferred]
        self._merge_in(parts, hours, known)
        return Merged(sum(map(len, parts)), self._late_rows())

    def late(self) -> Merged:
        """Merge the late rows of some hours, which have a bounded number of stored rows."""
        found = self.connection.execute(f"SELECT DISTINCT user_no, t // {HOUR_US} AS hour FROM late").fetchnumpy()
        hours = np.sort(hour_codes(found["user_no"], found["hour"]))
        hours = hours[np.argsort(hours & HOUR_MASK, kind="stable")]  # hours of a day lie together in `readings`
        known = self._stored_rows(hours)
        piece = np.cumsum(known) <= self.bounds.fetch_rows
        piece[0] = True
        hours, known = hours[piece], known[piece]
        with relation(self.connection, "settled", hour_table(hours)):
            rows = _rows_of(
                self.connection,
                "SELECT late.* EXCLUDE (seq) FROM late SEMI JOIN settled "
                f"ON late.user_no = settled.user_no AND late.t // {HOUR_US} = settled.hour ORDER BY seq",
            )
            self._merge_in([rows], hours, known)
            self.connection.execute(
                "DELETE FROM late USING settled "
                f"WHERE late.user_no = settled.user_no AND late.t // {HOUR_US} = settled.hour"
            )
        return Merged(len(rows), self._late_rows())

    def _merge_in(self, arrived: Sequence[Rows], hours: I64, known: I64) -> None:
        """Merge rows, in order of arrival, into `readings` and recompute the rollups of their hours.

        `known` says how many readings are stored for each of the hours.
        """
        old_hours = hours[known > 0]
        stored = self._fetch(old_hours) if len(old_hours) else _NO_ROWS
        minutes, device_rollups, fresh, replaced = [], [], [], []
        for stored_count, rows in in_pieces(stored, arrived):
            order = storage_order(rows)
            complete = last_of_each(rows, order, self.pushes, stored_count)
            new = complete.take(order.kept >= stored_count) if stored_count else complete
            replaced.append(rows.take(order.replaced[order.replaced < stored_count]))
            fresh.append(_stored_table(_alive(new)))
            self.sizes.add(new.t // HOUR_US)
            complete = _alive(complete)
            minutes.append(minutes_of(complete))
            device_rollups.append(device_hours(complete, minutes[-1]))
        if minutes:
            self._delete(Rows.joined(replaced))
            self._insert("stored", pa.concat_tables(fresh).combine_chunks())
            self._roll_up(Minutes.joined(minutes), pa.concat_tables(device_rollups), hours, known)

    def _roll_up(self, minutes: Minutes, device_rollup: pa.Table, hours: I64, known: I64) -> None:
        """Replace every rollup of `hours`. `minutes` are of all their readings, in storage order."""
        with relation(self.connection, "touched", hour_table(hours)):
            if (known > 0).any():
                for table in ("h1_dev", "h1"):
                    self.connection.execute(
                        f"DELETE FROM {table} USING touched "
                        f"WHERE {table}.user_no = touched.user_no AND {table}.hour = touched.hour"
                    )
            winners = resolved(minutes, device_rollup, self.precedence)
            self._insert("h1_dev", device_rollup)
            self._insert("h1", bucket_rows(winners, MINUTES_PER_HOUR, "hour"))
            self._roll_up_quarters(winners)
            roll_up_days(self.connection)

    def _roll_up_quarters(self, winners: Minutes) -> None:
        people = [number for (number,) in self.connection.execute("SELECT user_no FROM q15_users").fetchall()]
        if not people:
            return
        self.connection.execute(_FORGET_QUARTERS)
        theirs = winners.take(np.isin(winners.user_no, np.array(people, np.int32)))
        self._insert("q15", bucket_rows(theirs, MINUTES_PER_QUARTER, "quarter"))

    def _deferred(self, hours: I64, known: I64) -> Mask:
        """Say which of the touched hours are too expensive to search for now."""
        of_hour = hours & HOUR_MASK
        deferred = (known > 0) & (of_hour < self.sizes.first_within(self.bounds.search_rows))
        newest_first = np.argsort(-of_hour, kind="stable")
        too_many = np.zeros(len(hours), np.bool_)
        too_many[newest_first] = np.cumsum(np.where(deferred, 0, known)[newest_first]) > self.bounds.fetch_rows
        deferred |= too_many & (known > 0)
        if self._late_rows():
            # Rows that wait already must not be overtaken by later ones.
            found = self.connection.execute(f"SELECT DISTINCT user_no, t // {HOUR_US} AS hour FROM late").fetchnumpy()
            deferred |= np.isin(hours, hour_codes(found["user_no"], found["hour"]))
        return deferred

    def _stored_rows(self, hours: I64) -> I64:
        """Count the readings that are stored for each of the hours."""
        with relation(self.connection, "touched", hour_table(hours)):
            found = self.connection.execute(
                "SELECT user_no, hour, sum(n_all)::BIGINT AS rows FROM h1_dev SEMI JOIN touched USING (user_no, hour) "
                "GROUP BY user_no, hour"
            ).fetchnumpy()
        rows = np.zeros(len(hours), np.int64)
        order = np.argsort(hours)
        place = order[np.searchsorted(hours, hour_codes(found["user_no"], found["hour"]), sorter=order)]
        rows[place] = found["rows"]
        return rows

    def _fetch(self, hours: I64) -> Rows:
        """Fetch the stored readings of these hours, of all devices."""
        of_hour = hours & HOUR_MASK
        with relation(self.connection, "old", hour_table(hours)):
            return _rows_of(
                self.connection,
                f"SELECT {_COLUMNS} FROM readings JOIN old USING (user_no) "
                f"WHERE second // {HOUR_US // SECOND_US} = hour AND {IN_RANGE}",
                {"start": int(of_hour.min()) * HOUR_US, "end": (int(of_hour.max()) + 1) * HOUR_US},
            )

    def _delete(self, rows: Rows) -> None:
        if len(rows) == 0:
            return
        with relation(self.connection, "gone", _stored_table(rows)):
            self.connection.execute(
                "DELETE FROM stored USING gone WHERE stored.user_no = gone.user_no AND stored.second = gone.second "
                "AND stored.microsecond = gone.microsecond AND stored.device_no = gone.device_no "
                "AND stored.second BETWEEN $first AND $last",
                {"first": int(rows.t.min()) // SECOND_US, "last": int(rows.t.max()) // SECOND_US},
            )

    def _set_late_aside(self, parts: Sequence[Rows], late_hours: I64, first_seq: int) -> list[Rows]:
        """Put the rows of these hours into `late`; return the others."""
        end_us = (int((late_hours & HOUR_MASK).max()) + 1) * HOUR_US
        left = []
        for part in parts:
            old = np.flatnonzero(part.t < end_us)  # most rows need no closer look
            late = old[_in_hours(part.take(old), late_hours)]
            if len(late):
                self._insert("late", _table(part.take(late)).add_column(0, "seq", pa.array(first_seq + late)))
                is_left = np.ones(len(part), np.bool_)
                is_left[late] = False
                left.append(part.take(is_left))
            else:
                left.append(part)
            first_seq += len(part)
        return left

    def _late_rows(self) -> int:
        return int(self.connection.execute("SELECT count(*) FROM late").fetchall()[0][0])

    def _insert(self, table: str, rows: pa.Table) -> None:
        if rows.num_rows == 0:
            return
        with relation(self.connection, "incoming", rows):
            self.connection.execute(f"INSERT INTO {table} SELECT * FROM incoming")


def roll_up_days(connection: duckdb.DuckDBPyConnection) -> None:
    """Recompute the days of the relation `touched` (user_no, hour) from `h1`."""
    connection.execute(
        "DELETE FROM d1 USING (SELECT DISTINCT user_no, hour // 24 AS day FROM touched) AS gone "
        "WHERE d1.user_no = gone.user_no AND d1.day = gone.day"
    )
    of_days = (
        "SELECT h1.* FROM h1 SEMI JOIN touched ON h1.user_no = touched.user_no AND h1.hour // 24 = touched.hour // 24"
    )
    connection.execute("INSERT INTO d1 " + DAYS.format(source=of_days))


def resolve_contested(connection: duckdb.DuckDBPyConnection, series: Sequence[int], device_no: int) -> None:
    """Resolve the devices of a person's series anew in the hours in which this device and another one have counted
    readings.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE touched AS "
        "SELECT user_no, hour FROM h1_dev WHERE user_no IN (SELECT unnest($series)) AND n > 0 "
        "AND hour >= (SELECT horizon_hour FROM state) GROUP BY user_no, hour "
        "HAVING count(*) > 1 AND bool_or(device_no = $device)",
        {"series": list(series), "device": device_no},
    )
    hours = "SELECT user_no, hour FROM touched"
    connection.execute("DELETE FROM h1 USING touched WHERE h1.user_no = touched.user_no AND h1.hour = touched.hour")
    connection.execute("INSERT INTO h1 " + RESOLVED_HOURS.format(hours=hours))
    kept = "SELECT DISTINCT user_no FROM touched SEMI JOIN q15_users USING (user_no)"
    if connection.execute(kept).fetchall():
        connection.execute(_FORGET_QUARTERS)
        of_kept = f"{hours} SEMI JOIN q15_users USING (user_no)"
        connection.execute("INSERT INTO q15 " + RESOLVED_QUARTERS.format(hours=of_kept))
    roll_up_days(connection)
    connection.execute("DROP TABLE touched")


def persist_names(
    connection: duckdb.DuckDBPyConnection, users: Sequence[tuple[int, str]], devices: Sequence[tuple[int, str]]
) -> None:
    """Store numbers that only the journal has so far. The caller notes that once the transaction is committed."""
    if users:
        table = pa.table({"number": [number for number, _ in users], "text": [text for _, text in users]})
        with relation(connection, "new_users", table):
            connection.execute("INSERT INTO users (user_no, user_id) SELECT number, text FROM new_users")
    for number, text in devices:
        connection.execute("INSERT INTO devices VALUES (?, ?, ?)", [number, text, default_priority(text)])


def _rows_of(connection: duckdb.DuckDBPyConnection, statement: str, values: dict[str, int] | None = None) -> Rows:
    return Rows(**connection.execute(statement, values).fetchnumpy())


def _alive(rows: Rows) -> Rows:
    gone = rows.v == TOMBSTONE
    return rows.take(~gone) if gone.any() else rows


def _table(rows: Rows) -> pa.Table:
    return pa.table({name: getattr(rows, name) for name in DTYPES})


def _stored_table(rows: Rows) -> pa.Table:
    """Convert rows to the columns of the table `stored`."""
    second = rows.t // SECOND_US
    beats = rows.v // _WHOLE
    columns = {
        "user_no": rows.user_no,
        "device_no": rows.device_no,
        "second": second,
        "microsecond": (rows.t - second * SECOND_US).astype(np.int32),
        "beats": beats,
        "hundredths": (rows.v - beats * _WHOLE).astype(np.int8),
        "confidence": rows.confidence,
        "origin": rows.origin,
    }
    return pa.table(columns)


def _hour_codes(rows: Rows) -> I64:
    return hour_codes(rows.user_no, rows.t // HOUR_US)


def _in_hours(rows: Rows, hours: I64) -> Mask:
    """Say which rows lie in these hours. Neighbours mostly share an hour, which is then looked up once."""
    codes = _hour_codes(rows)
    first = group_starts(codes)
    return np.repeat(np.isin(codes[first], hours), np.diff(first, append=len(codes)))
