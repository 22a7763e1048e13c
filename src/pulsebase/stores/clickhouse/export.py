"""Exports: everything of one state, however long it takes to read."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.timerange import DAY_US, HOUR_US, TimeRange
from pulsebase.stores.clickhouse.chains import KEY
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.hold import HeldState, PassedError
from pulsebase.stores.clickhouse.numbers import devices_of_people, metrics_by_number, people_by_number
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.stored import Named, inside, listed, table_of
from pulsebase.stores.contract import EXPORT_BATCH_READINGS
from pulsebase.stores.postgres.database import Connection, PostgresDatabase
from pulsebase.stores.postgres.people import known_numbers
from pulsebase.stores.postgres.series_keys import require_known_metrics
from pulsebase.stores.postgres.spool import Spool, exported, grouped

_ATTEMPTS = 3
#: About how many readings, and of how many people at most, are asked for at once.
_READINGS, _PEOPLE = 4 * EXPORT_BATCH_READINGS, 10_000
_GROUP = f"""
SELECT {KEY}, argMax(value, stamp) AS value, argMax(confidence, stamp) AS confidence, 0 AS origin
FROM all_rows WHERE {{conditions}} GROUP BY {KEY} HAVING argMax(gone, stamp) = 0
"""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is exported: the state, the names in it, and the condition for the metrics."""

    named: Named
    metrics: str

    def conditions(self, interval: TimeRange, people: Sequence[int] | None = None) -> str:
        """Write the conditions for readings of these people or everybody inside the interval."""
        of_people = "true" if people is None else f"person IN {listed(people)}"
        return f"{of_people} AND {self.metrics} AND {inside(interval)}"


class Exporter:
    """Exports readings. It may be used by many threads."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def export(
        self, interval: TimeRange, user_ids: Sequence[str] | None = None, metrics: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `contract.Reader.export`."""

        def still_known(numbers: Sequence[int]) -> set[int]:
            return self._database.read(lambda connection: known_numbers(connection, numbers))

        yield from exported(lambda spool: self._fill(spool, interval, user_ids, metrics), still_known)

    def _fill(
        self, spool: Spool, interval: TimeRange, user_ids: Sequence[str] | None, metrics: Sequence[str] | None
    ) -> None:
        """Fill the file with the answer, from one state.

        Raises:
            StoreUnavailableError: merges passed the state again and again.
            StoreVersionError: every metric is asked for, and there is one that only a newer version knows.
        """
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(PassedError), HeldState(self._database) as hold, spool.filled() as keep:
                chosen = self._choose(hold.state, user_ids, metrics)
                if chosen is None or interval.length_us <= 0:
                    return
                everybody = user_ids is None
                for day in self._days(chosen, interval, everybody):
                    counts = self._counts(chosen, day, everybody)
                    for group in grouped(counts, _READINGS, _PEOPLE):
                        keep(self._of_group(chosen, day, list(group.values())), group)
                        hold.check()
                hold.check(at_once=True)
                return
        raise StoreUnavailableError("merges go on too fast for this export; ask again", 10)

    def _choose(self, state: Snapshot, user_ids: Sequence[str] | None, metrics: Sequence[str] | None) -> _Chosen | None:
        """Look up the names of what is asked for; None if there is nothing of it."""

        def look(connection: Connection) -> Named:
            if metrics is None:
                require_known_metrics(connection)
            return Named(state, people_by_number(connection, user_ids), {}, metrics_by_number(connection))

        named = self._database.read(look)
        condition = named.metrics_condition(metrics)
        return None if condition is None or not named.people else _Chosen(named, condition)

    def _days(self, chosen: _Chosen, interval: TimeRange, everybody: bool) -> list[TimeRange]:
        """Return the days on which there may be readings, each cut to the interval."""
        state, people = chosen.named.state, self._asked(chosen, everybody)
        from_us = max(interval.start_us, state.horizon_us)
        hours = f"hour >= {from_us // HOUR_US} AND hour * {HOUR_US} < {interval.end_us} AND {chosen.metrics}"
        days: set[int] = set()
        for statement in (
            f"SELECT DISTINCT intDiv(hour, 24) AS day FROM all_hours WHERE {people} AND {hours}",
            f"SELECT DISTINCT intDiv(time, {DAY_US}) AS day FROM all_stage "
            f"WHERE {people} AND {chosen.conditions(interval)} AND {state.staged()}",
        ):
            days.update(self._ask(statement)["day"].to_pylist())
        return [
            TimeRange(max(day * DAY_US, interval.start_us), min((day + 1) * DAY_US, interval.end_us))
            for day in sorted(days)
        ]

    def _counts(self, chosen: _Chosen, day: TimeRange, everybody: bool) -> Iterator[tuple[int, str, int]]:
        """Yield people with about how many readings they have on a day, as number, id and count, by id."""
        state, people = chosen.named.state, self._asked(chosen, everybody)
        hours = f"hour >= {day.start_us // HOUR_US} AND hour * {HOUR_US} < {day.end_us} AND {chosen.metrics}"
        counts: Counter[int] = Counter()
        for statement in (
            f"SELECT person, sum(of_hour) AS n FROM (SELECT person, arraySum(of.n_all) AS of_hour FROM all_hours "
            f"WHERE {people} AND {hours}) GROUP BY person",
            f"SELECT person, count() AS n FROM all_stage "
            f"WHERE {people} AND {chosen.conditions(day)} AND {state.staged()} GROUP BY person",
        ):
            found = self._ask(statement)
            for number, count in zip(found["person"].to_pylist(), found["n"].to_pylist(), strict=True):
                counts[number] += count
        names = chosen.named.people
        for number in sorted(counts.keys() & names.keys(), key=lambda number: names[number].encode()):
            yield number, names[number], counts[number]

    @staticmethod
    def _asked(chosen: _Chosen, everybody: bool) -> str:
        """Write the condition for the people who are asked for, unless the statement would get too long."""
        people = chosen.named.people
        return "true" if everybody or len(people) > _PEOPLE else f"person IN {listed(people)}"

    def _of_group(self, chosen: _Chosen, day: TimeRange, people: Sequence[int]) -> pa.Table:
        named = chosen.named
        rows = self._ask(_GROUP.format(conditions=f"{chosen.conditions(day, people)} AND {named.state.condition()}"))
        devices = self._database.read(lambda connection: devices_of_people(connection, people))
        return table_of(rows, replace(named, people=_of(named.people, people), devices=devices))

    def _ask(self, statement: str) -> pa.Table:
        return self._cluster.ask(statement, self._options.question_limit_s)


def _of(names: Mapping[int, str], numbers: Sequence[int]) -> dict[int, str]:
    return {number: names[number] for number in numbers}
