"""Questions: each is answered from one state, whatever is written and merged meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.model.errors import FieldError, StoreUnavailableError, TooManyRowsError
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.numbers import devices_of, metric_of, person_of
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.contract import RAW_SCHEMA, Cancellation
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

_ATTEMPTS = 5


class OfOneState(Protocol):
    """What PostgreSQL says of a question, all of one moment."""

    @property
    def state(self) -> Snapshot:
        """Which rows of the cluster are visible at that moment."""


K = TypeVar("K", bound=OfOneState)
T = TypeVar("T")


def consistent(
    database: PostgresDatabase, look: Callable[[Connection], K | None], ask: Callable[[K], T], deadline: Deadline
) -> T | None:
    """Return what `ask` finds in the cluster with what `look` found in PostgreSQL, both of one state.

    `look` runs in one transaction; if it finds nothing that could be asked for, the answer is None. Merges may pass
    what a question has not read yet: then both are called again.

    Raises:
        StoreUnavailableError: that happened too often.
        QueryTimeoutError: the deadline has passed.
        QueryCancelledError: the question was taken back.
    """
    for _ in range(_ATTEMPTS):
        known = database.read(look, deadline.left_s(), deadline.cancellation)
        if known is None:
            return None
        answer = ask(known)
        if known.state.holds(database.read(commits.marks, deadline.left_s(), deadline.cancellation)):
            return answer
    raise StoreUnavailableError("merges go on too fast for this question; ask again", 2)


def limited_s(deadline: Deadline, options: ClickHouseOptions) -> float:
    """Return how long a question to the cluster may take."""
    left_s = deadline.left_s()
    return options.question_limit_s if left_s is None else min(left_s, options.question_limit_s)


@dataclass(frozen=True, slots=True)
class _Known:
    """What PostgreSQL says of a question, all of one moment."""

    state: Snapshot
    person: int
    metric: int
    devices: dict[int, str]


class RawReader:
    """Reads a person's stored readings. It may be used by many threads."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def readings(
        self,
        user_id: str,
        metric: str,
        interval: TimeRange,
        *,
        device_id: str | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> pa.Table:
        """Return every stored reading of a person and metric inside the interval, of one device or of all, counted or
        not: `RAW_SCHEMA`, by time, then by device (bytes).

        Raises:
            TooManyRowsError: more than `limit` rows.
            QueryTimeoutError: longer than `timeout_s`.
            QueryCancelledError: the question was taken back.
            StoreUnavailableError: the shard does not answer.
        """
        deadline = Deadline.after(timeout_s, cancellation)

        def look(connection: Connection) -> _Known | None:
            known = _known(connection, user_id, metric)
            return known if known and (device_id is None or device_id in known.devices.values()) else None

        def ask(known: _Known) -> tuple[pa.Table, _Known]:
            return self._rows(known, interval, device_id, limit, deadline), known

        found = consistent(self._database, look, ask, deadline)
        if found is None:
            return RAW_SCHEMA.empty_table()
        rows, known = found
        if limit is not None and rows.num_rows > limit:
            raise TooManyRowsError([FieldError("interval", f"would give more than {limit} rows")])
        return _answer(rows, known.devices)

    def _rows(
        self, known: _Known, interval: TimeRange, device_id: str | None, limit: int | None, deadline: Deadline
    ) -> pa.Table:
        conditions = [
            f"person = {known.person}",
            f"metric = {known.metric}",
            f"time >= {interval.start_us}",
            f"time < {interval.end_us}",
            known.state.condition(),
        ]
        if device_id is not None:
            conditions += [f"device = {number}" for number, text in known.devices.items() if text == device_id]
        return self._cluster.ask(
            "SELECT time, device, argMax(value, stamp) AS last_value, argMax(confidence, stamp) AS last_confidence "
            f"FROM all_rows WHERE {' AND '.join(conditions)} "
            "GROUP BY time, device HAVING argMax(gone, stamp) = 0" + ("" if limit is None else f" LIMIT {limit + 1}"),
            limited_s(deadline, self._options),
            cancellation=deadline.cancellation,
            people=[known.person],
        )


def _known(connection: Connection, user_id: str, metric: str) -> _Known | None:
    person, number = person_of(connection, user_id), metric_of(connection, metric)
    if person is None or number is None:
        return None
    return _Known(commits.snapshot(connection), person, number, devices_of(connection, person))


def _answer(rows: pa.Table, devices: dict[int, str]) -> pa.Table:
    numbers = sorted(devices, key=lambda number: devices[number].encode())
    places = pc.index_in(rows["device"].cast(pa.int64()), pa.array(numbers, pa.int64()))
    order = pc.sort_indices(
        pa.table({"time": rows["time"], "place": places}), [("time", "ascending"), ("place", "ascending")]
    )
    rows, places = rows.take(order), places.take(order)
    confidences = rows["last_confidence"]
    absent = pc.equal(confidences, NO_CONFIDENCE)
    return pa.table(
        [
            rows["time"].cast(pa.int64()),
            rows["last_value"].cast(pa.int16()),
            pa.array([devices[number] for number in numbers], pa.string()).take(places),
            pc.if_else(absent, None, confidences).cast(pa.int8()),
        ],
        schema=RAW_SCHEMA,
    )
