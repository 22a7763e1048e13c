"""One consistent state of everybody's readings, for exports and for the readings of an origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.readings import READING_SCHEMA
from pulsebase.model.rollups import I64
from pulsebase.model.timerange import DAY_US, TimeRange
from pulsebase.stores.contract import EXPORT_BATCH_READINGS
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.duckdb.engine.cached_state import CachedState
from pulsebase.stores.duckdb.engine.transactions import relation
from pulsebase.stores.duckdb.merge.ordering import group_starts, storage_order
from pulsebase.stores.duckdb.merge.origins import PushOrigins
from pulsebase.stores.duckdb.merge.rollup_sql import IN_RANGE
from pulsebase.stores.duckdb.merge.stage import DTYPES, NO_CONFIDENCE, TOMBSTONE, Rows
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN, IdNumbers
from pulsebase.stores.duckdb.people.series_numbers import (
    MetricNumbers,
    bounds_of_metric,
    metrics_of,
    people_of,
    series_number,
)
from pulsebase.stores.duckdb.read.unmerged import SAME_KEY, keys_of, owned_rows

#: Readings fetched at a time, at some 25 bytes each, several times over. A person's day is not divided.
_PIECE_ROWS = 1 << 20
_HOURS_OF_DAY = 24
_COLUMNS = ", ".join(DTYPES)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Whole UTC days, clipped to the requested interval, or a range of people on one day."""

    start_us: int
    end_us: int
    first_user: int = 0
    last_user: int = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True)
class _Asked:
    """The series an export is about: those of some metrics, of some people or of everybody, all by number."""

    metrics: Sequence[int]
    people: Sequence[int] | None

    def condition(self, values: dict[str, object]) -> str:
        """Return the condition as SQL, and put what it compares with into `values`."""
        if self.people is not None:
            values["asked"] = [series_number(person, metric) for metric in self.metrics for person in self.people]
            return " AND user_no IN (SELECT unnest($asked))"
        bounds = [f"user_no BETWEEN {lowest} AND {highest}" for lowest, highest in map(bounds_of_metric, self.metrics)]
        return f" AND ({' OR '.join(bounds) or 'false'})"

    def among(self, series: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Say which of these numbers are of the series."""
        found: npt.NDArray[np.bool_] = np.isin(metrics_of(series), self.metrics)
        if self.people is not None:
            found &= np.isin(people_of(series), self.people)
        return found


@dataclass(frozen=True, slots=True)
class ExportSnapshot:
    """The database as of a transaction, and the rows that it has not merged.

    `arrived` are these rows in order of arrival, `unmerged` the last of each key, in storage order.
    """

    connection: duckdb.DuckDBPyConnection
    deadline: Deadline
    arrived: Rows
    unmerged: Rows
    users: IdNumbers
    devices: IdNumbers
    metrics: MetricNumbers

    @classmethod
    def of(
        cls,
        connection: duckdb.DuckDBPyConnection,
        deadline: Deadline,
        staged: Sequence[Rows],
        cached: CachedState,
    ) -> ExportSnapshot:
        """Combine a transaction with what is staged beyond it."""
        late = Rows(**connection.execute("SELECT * EXCLUDE (seq) FROM late ORDER BY seq").fetchnumpy())
        deadline.check()
        rows = Rows.joined([late, *staged])
        deadline.check()
        order = storage_order(rows)
        deadline.check()
        unmerged = rows.take(order.kept)
        return cls(connection, deadline, rows, unmerged, cached.users, cached.devices, cached.metrics)

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None, metrics: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        """See `contract.Reader.export`."""
        asked = None
        if user_ids is not None or metrics is not None:
            asked = _Asked(self.metrics.chosen(metrics), self._numbers_of(user_ids))
        for piece in self._pieces(interval, asked):
            rows = self._rows(piece, asked)
            ends = np.append(group_starts(rows.t // DAY_US), len(rows)).tolist()
            for start, end in pairwise(ends):
                for first in range(start, end, EXPORT_BATCH_READINGS):
                    batch = self._batch(rows.take(slice(first, min(first + EXPORT_BATCH_READINGS, end))))
                    if batch.num_rows:
                        yield batch

    def of_origin(self, origin: int, most: int, pushes: PushOrigins) -> Rows:
        """Return readings stored under this origin, `most` at most."""
        fresh = self._owned(pushes)
        fresh = fresh.take((fresh.origin == origin) & (fresh.v != TOMBSTONE))
        statement = f"SELECT {_COLUMNS} FROM readings AS r"
        values = {"origin": origin, "most": most - min(len(fresh), most)}
        with relation(self.connection, "unmerged", keys_of(self.unmerged)):
            if len(self.unmerged):
                statement += f" ANTI JOIN unmerged AS u ON {SAME_KEY}"
            statement += " WHERE r.origin = $origin LIMIT $most"
            stored = Rows(**self.connection.execute(statement, values).fetchnumpy())
        return Rows.joined([fresh.take(slice(0, most)), stored])

    def counts(self, origins: Sequence[int], pushes: PushOrigins) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        if not origins:
            return {}
        # Literals let the engine skip blocks.
        asked = f"origin IN ({', '.join(str(int(number)) for number in origins)})"
        found = Counter(self._counts(f"SELECT origin, count(*) FROM readings WHERE {asked} GROUP BY origin"))
        if len(self.unmerged):
            with relation(self.connection, "unmerged", keys_of(self.unmerged)):
                replaced = f"SELECT r.origin, count(*) FROM readings AS r JOIN unmerged AS u ON {SAME_KEY}"
                found.subtract(self._counts(f"{replaced} WHERE r.{asked} GROUP BY r.origin"))
            self.deadline.check()
            owned = self._owned(pushes)
            alive = owned.origin[owned.v != TOMBSTONE]
            come = np.unique(alive[np.isin(alive, origins)], return_counts=True)
            found.update(dict(zip(*(each.tolist() for each in come), strict=True)))
        return {number: found[number] for number in origins}

    def _owned(self, pushes: PushOrigins) -> Rows:
        return owned_rows(self.connection, self.deadline, self.arrived, self.unmerged, pushes)

    def _numbers_of(self, user_ids: Sequence[str] | None) -> Sequence[int] | None:
        if user_ids is None:
            return None
        return sorted({number for number in map(self.users.find, user_ids) if number is not None})

    def _counts(self, statement: str) -> dict[int, int]:
        return dict(self.connection.execute(statement).fetchall())

    def _pieces(self, interval: TimeRange, asked: _Asked | None) -> Iterator[_Piece]:
        """Divide the interval into pieces of about `_PIECE_ROWS` rows, each of which is read at once."""
        first_day, end_day = interval.start_us // DAY_US, -(-interval.end_us // DAY_US)
        days = self._sizes("hour // 24", self.unmerged.t // DAY_US, first_day, end_day, asked)
        start_day: int | None = None
        rows = 0
        for day, count in zip(*(column.tolist() for column in days), strict=True):
            if start_day is not None and rows + count > _PIECE_ROWS:
                yield _cut(interval, start_day, day)
                start_day, rows = None, 0
            if count > _PIECE_ROWS:
                yield from self._parts_of_day(interval, day, asked)
                continue
            start_day, rows = day if start_day is None else start_day, rows + count
            end_day = day + 1
        if start_day is not None:
            yield _cut(interval, start_day, end_day)

    def _parts_of_day(self, interval: TimeRange, day: int, asked: _Asked | None) -> Iterator[_Piece]:
        whole = _cut(interval, day, day + 1)
        people, counts = self._sizes("user_no", self.unmerged.user_no.astype(np.int64), day, day + 1, asked)
        part = (np.cumsum(counts) - 1) // _PIECE_ROWS
        starts = group_starts(part)
        ends = np.append(starts[1:], len(people)) - 1
        for start, end in zip(starts, ends, strict=True):
            yield _Piece(whole.start_us, whole.end_us, int(people[start]), int(people[end]))

    def _sizes(
        self, column: str, of_unmerged: I64, first_day: int, end_day: int, asked: _Asked | None
    ) -> tuple[I64, I64]:
        """Estimate how many rows there are for each value of a column on these days, by value."""
        statement = (
            f"SELECT ({column})::BIGINT AS key, sum(n_all)::BIGINT AS rows FROM h1_dev "
            "WHERE hour >= $first AND hour < $end"
        )
        values: dict[str, object] = {"first": first_day * _HOURS_OF_DAY, "end": end_day * _HOURS_OF_DAY}
        if asked is not None:
            statement += asked.condition(values)
        found = self.connection.execute(statement + " GROUP BY key", values).fetchnumpy()
        days = self.unmerged.t // DAY_US
        fresh = of_unmerged[(days >= first_day) & (days < end_day) & _is_asked(self.unmerged, asked)]
        keys, place = np.unique(np.concatenate([found["key"], fresh]), return_inverse=True)
        counts = np.concatenate([found["rows"], np.ones(len(fresh), np.int64)])
        return keys, np.bincount(place, counts, len(keys)).astype(np.int64)

    def _rows(self, piece: _Piece, asked: _Asked | None) -> Rows:
        """Read a piece, in storage order."""
        statement = f"SELECT {_COLUMNS} FROM readings WHERE {IN_RANGE} AND user_no BETWEEN $first_user AND $last_user"
        values: dict[str, object] = {
            "start": piece.start_us,
            "end": piece.end_us,
            "first_user": piece.first_user,
            "last_user": piece.last_user,
        }
        if asked is not None:
            statement += asked.condition(values)
        stored = Rows(**self.connection.execute(statement, values).fetchnumpy())
        fresh = self.unmerged
        fresh = fresh.take(
            (fresh.t >= piece.start_us)
            & (fresh.t < piece.end_us)
            & (fresh.user_no >= piece.first_user)
            & (fresh.user_no <= piece.last_user)
            & _is_asked(fresh, asked)
        )
        rows = Rows.joined([stored, fresh]) if len(fresh) else stored
        rows = rows.take(storage_order(rows).kept)
        return rows.take(rows.v != TOMBSTONE) if len(fresh) else rows

    def _batch(self, rows: Rows) -> pa.RecordBatch:
        """Encode rows, without those of people who were removed since this state."""
        codes, texts = _texts(people_of(rows.user_no), self.users)
        if FORGOTTEN in texts:
            known = np.array([text != FORGOTTEN for text in texts], np.bool_)[codes]
            codes, rows = codes[known], rows.take(known)
        columns = [
            _dictionary(codes, texts),
            _dictionary(*_texts(rows.device_no, self.devices)),
            pa.array(rows.t).cast(READING_SCHEMA.field("time").type),
            pa.array(rows.v),
            pa.array(rows.confidence, pa.int8(), mask=rows.confidence == NO_CONFIDENCE),
            _dictionary(metrics_of(rows.user_no), self.metrics.names),
        ]
        return pa.record_batch(columns, schema=READING_SCHEMA)


def _dictionary(codes: npt.NDArray[np.int32], texts: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts, pa.string()))


def _cut(interval: TimeRange, first_day: int, end_day: int) -> _Piece:
    return _Piece(max(interval.start_us, first_day * DAY_US), min(interval.end_us, end_day * DAY_US))


def _is_asked(rows: Rows, asked: _Asked | None) -> npt.NDArray[np.bool_]:
    return np.ones(len(rows), np.bool_) if asked is None else asked.among(rows.user_no)


def _texts(numbers: npt.NDArray[np.int32], names: IdNumbers) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Encode numbers as a dictionary column: codes, and the list of the distinct texts they stand for."""
    present = np.flatnonzero(np.bincount(numbers)) if len(numbers) else np.empty(0, np.int64)
    codes = np.zeros(int(present[-1]) + 1 if len(present) else 0, np.int32)
    codes[present] = np.arange(len(present), dtype=np.int32)
    return codes[numbers], [names.text(number) for number in present.tolist()]
