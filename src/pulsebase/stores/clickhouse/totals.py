"""Answers to `TotalsQuery`: one question to every shard, whose answers put the devices of minutes apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pulsebase.model.rollups import I64
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.numbers import ids_of_devices, metric_of, people_asked
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.pieces import Expired, WhatCounts, numbers_of, with_fresh
from pulsebase.stores.clickhouse.priorities import Settings, changes_of, everybodys_settings, ranks_of
from pulsebase.stores.clickhouse.read import consistent, limited_s
from pulsebase.stores.contract import TOTALS_SCHEMA, TotalsQuery
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

#: So many people are named to the shards. Of more, these tell what everybody's readings come to.
_NAMED = 2000
#: The hours of so many people are read person by person, those of more among everybody's.
_FEW = 20


@dataclass(frozen=True, slots=True)
class _People:
    """What PostgreSQL says of the people asked for: their ids and settings by number."""

    state: Snapshot
    metric: int
    people: Mapping[int, str]
    settings: Mapping[int, Settings]


class TotalsReader:
    """Reads what people's readings come to. It may be used by many threads."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def totals(self, query: TotalsQuery) -> pa.Table:
        """Answer a question, see `contract.Reader.totals`.

        Raises:
            QueryTimeoutError: longer than its `timeout_s`.
            QueryCancelledError: it was taken back.
            StoreUnavailableError: a shard does not answer.
        """
        deadline = Deadline.after(query.timeout_s, query.cancellation)

        def ask(known: _People) -> pa.Table:
            def ask_shards(statement: str) -> pa.Table:
                limit_s = limited_s(deadline, self._options)
                return pa.concat_tables(self._cluster.ask_shards(statement, limit_s, None, deadline.cancellation))

            counts = with_fresh(_counts(query, known), ask_shards)
            rows = ask_shards(_statement(counts))
            rows = rows.filter(pc.is_in(rows["person"].cast(pa.int64()), pa.array(list(known.people), pa.int64())))
            alone = pc.less_equal(pc.list_value_length(rows["present"]), 1)
            apart = rows.filter(pc.invert(alone))
            ids = self._ids(_Sets.of(apart), deadline)
            # Whoever was removed since then has no devices any more, and is left out.
            apart = apart.filter(pc.is_in(apart["device"].cast(pa.int64()), pa.array(list(ids), pa.int64())))
            won = _winners(apart, _Sets.of(apart), ids, known)
            return _added(pa.concat_tables([rows.filter(alone), won]), known)

        found = consistent(self._database, lambda connection: _look(connection, query), ask, deadline)
        return TOTALS_SCHEMA.empty_table() if found is None else found

    def _ids(self, sets: _Sets, deadline: Deadline) -> dict[int, str]:
        numbers = np.unique(sets.devices).tolist()
        if not numbers:
            return {}
        return self._database.read(
            lambda connection: ids_of_devices(connection, numbers), deadline.left_s(), deadline.cancellation
        )


def _look(connection: Connection, query: TotalsQuery) -> _People | None:
    metric = metric_of(connection, query.metric)
    people = {} if metric is None else people_asked(connection, query.genders, query.born_by, query.born_after)
    if metric is None or not people:
        return None
    settings = {who: each for who, each in everybodys_settings(connection).items() if who in people}
    return _People(commits.snapshot(connection), metric, people, settings)


def _counts(query: TotalsQuery, known: _People) -> WhatCounts:
    changes = {who: changes_of(settings, query.range) for who, settings in known.settings.items()}
    changes = {who: minutes for who, minutes in changes.items() if minutes}
    people = f"person IN ({', '.join(map(str, known.people))})" if len(known.people) <= _NAMED else "true"
    by_time = len(known.people) > _FEW
    return WhatCounts(known.state, people, known.metric, query.range, (), changes, by_time=by_time)


def _statement(counts: WhatCounts) -> str:
    """Write the question: what people's devices come to, for each set of devices in a minute, and each order of them
    that holds in turn.

    A shard takes milliseconds to plan a statement, less for one that works out less.
    """
    keys, epoch = "person, present, device", ""
    if counts.changes:
        pairs = ", ".join(f"{who}, {numbers_of(minutes)}" for who, minutes in counts.changes.items())
        keys = f"{keys}, epoch"
        epoch = f"arrayCount(change -> change * 60000000 <= piece, map({pairs})[toInt64(person)]) AS epoch, "
    return (
        f"SELECT {epoch}person, present, device, min(piece) AS first, sum(n) AS count, sum(sum) AS total, "
        f"sum(minutes) AS minutes FROM ({counts.pieces(Expired.HOURS)}) GROUP BY {keys}"
    )


@dataclass(frozen=True, slots=True)
class _Sets:
    """The devices of the sets in which rows are, one set after the other, and the row of each."""

    devices: I64
    rows: npt.NDArray[np.intp]

    @classmethod
    def of(cls, table: pa.Table) -> _Sets:
        sets = table["present"].combine_chunks()
        lengths = pc.list_value_length(sets).to_numpy(zero_copy_only=False)
        return cls(sets.flatten().cast(pa.int64()).to_numpy(), np.repeat(np.arange(len(lengths)), lengths))


def _winners(rows: pa.Table, sets: _Sets, ids: Mapping[int, str], known: _People) -> pa.Table:
    """Return the rows of the devices that win their sets."""
    if rows.num_rows == 0:
        return rows
    people, times_us = (rows[name].to_numpy()[sets.rows] for name in ("person", "first"))
    ranks = ranks_of(sets.devices, people, times_us, ids, known.settings)
    lowest = np.minimum.reduceat(ranks, np.flatnonzero(np.diff(sets.rows, prepend=-1)))
    wins = (ranks == lowest[sets.rows]) & (sets.devices == rows["device"].to_numpy()[sets.rows])
    return rows.take(pa.array(sets.rows[wins]))


def _added(rows: pa.Table, known: _People) -> pa.Table:
    """Return the rows of each person as one, by id (bytes)."""
    people = pa.array(list(known.people), pa.int64())
    sums = rows.group_by("person").aggregate([(name, "sum") for name in ("count", "total", "minutes")])
    places = pc.index_in(sums["person"].cast(pa.int64()), people)
    sums = sums.append_column("user_id", pa.array(list(known.people.values()), pa.string()).take(places))
    sums = sums.filter(pc.is_valid(sums["user_id"])).sort_by("user_id")
    columns = [sums[name] for name in ("user_id", "count_sum", "total_sum", "minutes_sum")]
    return pa.table(
        [column.cast(field.type) for column, field in zip(columns, TOTALS_SCHEMA, strict=True)], TOTALS_SCHEMA
    )
