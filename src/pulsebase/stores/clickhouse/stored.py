"""Stored readings as they are, with what brought them: for copies, for writes that look before, and for tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.model.readings import NO_CONFIDENCE, ReadingBatch
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.chains import KEY, LAST_AND_BROUGHT
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.numbers import devices_of_people, metrics_by_number, people_by_number
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.read import consistent
from pulsebase.stores.contract import STORED_SCHEMA, Cancellation, StoredValues
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

EVER = TimeRange(0, MAX_US)
_NO_LIMIT = Deadline(None, Cancellation())


@dataclass(frozen=True, slots=True)
class Named:
    """People, their devices and metrics by number, and the state they are of."""

    state: Snapshot
    people: Mapping[int, str]
    devices: Mapping[int, str]
    metrics: Mapping[int, str]

    def metrics_condition(self, metrics: Collection[str] | None) -> str | None:
        """Write the condition that a row is of one of these metrics, or of any; None if none can be."""
        if metrics is None:
            return "true"
        numbers = [number for number, name in self.metrics.items() if name in metrics]
        return f"metric IN {listed(numbers)}" if numbers else None


def looking_up(user_ids: Collection[str] | None = None) -> Callable[[Connection], Named | None]:
    """Make the look of a question about these people or everybody; None is found if nobody of them is known."""

    def look(connection: Connection) -> Named | None:
        people = people_by_number(connection, user_ids)
        if not people:
            return None
        devices = devices_of_people(connection, people)
        return Named(commits.snapshot(connection), people, devices, metrics_by_number(connection))

    return look


def listed(numbers: Collection[int]) -> str:
    """Write numbers as the engine lists them."""
    return f"({', '.join(map(str, numbers))})"


def inside(interval: TimeRange) -> str:
    """Write the condition that a row is inside the interval."""
    return f"time >= {interval.start_us} AND time < {interval.end_us}"


class StoredReader:
    """Reads stored readings row by row. Methods keep the promises of their names in `contract.Store`, and may be used
    by many threads.
    """

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def stored(self) -> pa.Table:
        return self._of(None, EVER)

    def readings(self, user_id: str, interval: TimeRange) -> pa.Table:
        return self._of([user_id], interval)

    def _of(self, user_ids: Collection[str] | None, interval: TimeRange) -> pa.Table:
        if interval.length_us <= 0:
            return STORED_SCHEMA.empty_table()

        def ask(named: Named) -> pa.Table:
            conditions = [inside(interval), named.state.condition()]
            if user_ids is not None:
                conditions.append(f"person IN {listed(named.people)}")
            return table_of(self._rows(" AND ".join(conditions), None if user_ids is None else named.people), named)

        found = consistent(self._database, looking_up(user_ids), ask, _NO_LIMIT)
        return STORED_SCHEMA.empty_table() if found is None else found

    def stored_values(self, readings: ReadingBatch) -> StoredValues:
        answer = StoredValues.nothing(len(readings))
        if not len(readings):
            return answer
        asked = consistent(
            self._database,
            looking_up(readings.users.distinct()),
            lambda named: self._values(readings, named),
            _NO_LIMIT,
        )
        if asked is not None and asked[1].num_rows:
            rows, found = asked
            columns = [found[name].to_numpy() for name in ("value", "confidence", "origin")]
            answer.put(rows, *columns)
        return answer

    def _values(self, readings: ReadingBatch, named: Named) -> tuple[npt.NDArray[np.intp], pa.Table]:
        """Return what is stored of the same readings, and in which rows of the batch each is."""
        people = {user_id: number for number, user_id in named.people.items()}
        metric = next((number for number, name in named.metrics.items() if name == readings.metric), None)
        interval = TimeRange(int(readings.times_us.min()), int(readings.times_us.max()) + 1)
        conditions = [f"person IN {listed(named.people)}", f"metric = {metric}", inside(interval)]
        if metric is None:
            return np.zeros(0, np.intp), _NOTHING
        if len(readings) <= _MOST_TIMES:
            conditions.append(f"time IN {listed(np.unique(readings.times_us).tolist())}")
        found = self._rows(" AND ".join([*conditions, named.state.condition()]), named.people)
        if not found.num_rows:
            return np.zeros(0, np.intp), _NOTHING
        device_ids = pa.array([named.devices[number] for number in found["device"].to_pylist()], pa.string())
        stored = pa.table(
            {
                "person": found["person"].cast(pa.int64()),
                "device_id": device_ids,
                "time": found["time"].cast(pa.int64()),
                "value": found["value"],
                "confidence": found["confidence"],
                "origin": found["origin"],
            }
        )
        wanted = pa.table(
            {
                "row": np.arange(len(readings)),
                "person": pa.array([people.get(user_id, 0) for user_id in readings.users.texts], pa.int64()).take(
                    pa.array(readings.users.codes)
                ),
                "device_id": pa.array(list(readings.devices.texts), pa.string()).take(pa.array(readings.devices.codes)),
                "time": readings.times_us,
            }
        )
        joined = wanted.join(stored, ["person", "device_id", "time"], join_type="inner")
        return joined["row"].to_numpy().astype(np.intp), joined

    def _rows(self, conditions: str, people: Collection[int] | None) -> pa.Table:
        """Return the visible readings with these conditions, of these people or of everybody, each with its origin."""
        return self._cluster.ask(
            f"SELECT {KEY}, last.2 AS value, last.3 AS confidence, brought.4 AS origin FROM ("
            f"SELECT {KEY}, {LAST_AND_BROUGHT} FROM all_rows WHERE {conditions} GROUP BY {KEY} HAVING last.6 = 0)",
            self._options.question_limit_s,
            people=people,
        )


#: Up to so many readings are looked up by their times; of more, everything between the first and the last.
_MOST_TIMES = 1 << 18
_NOTHING = pa.table({name: pa.array([], pa.int64()) for name in ("value", "confidence", "origin")})


def table_of(rows: pa.Table, named: Named) -> pa.Table:
    """Return readings as `STORED_SCHEMA` rows, by person, metric, device and time: those of people who are known."""
    placed = {
        "user_id": _places(rows["person"], named.people),
        "metric": _places(rows["metric"], named.metrics),
        "device_id": _places(rows["device"], named.devices),
    }
    times_us = rows["time"].cast(pa.int64()).to_numpy()
    # Each column is sorted by the places of its texts; nobody has a place below all.
    order = np.lexsort((times_us, *(places for places, _ in reversed(placed.values()))))
    order = order[placed["user_id"][0][order] >= 0]
    rows = rows.take(pa.array(order))
    texts = {name: in_order.take(pa.array(places[order])) for name, (places, in_order) in placed.items()}
    confidences = rows["confidence"]
    columns = texts | {
        "time_us": pa.array(times_us[order]),
        "value": rows["value"].cast(pa.int16()),
        "confidence": pc.if_else(pc.equal(confidences, NO_CONFIDENCE), None, confidences).cast(pa.int8()),
        "origin": rows["origin"].cast(pa.int32()),
    }
    return pa.table([columns[name] for name in STORED_SCHEMA.names], schema=STORED_SCHEMA)


def _places(numbers: pa.ChunkedArray, texts: Mapping[int, str]) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Return the place of each number's text among all of them by bytes, -1 for none, and these texts."""
    in_order = sorted(texts, key=lambda number: texts[number].encode())
    places = pc.index_in(numbers.cast(pa.int64()), pa.array(in_order, pa.int64()))
    found = pc.fill_null(places, -1).to_numpy().astype(np.int32)
    return found, pa.array([texts[number] for number in in_order], pa.string())
