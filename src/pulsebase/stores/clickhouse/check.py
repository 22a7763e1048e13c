"""The check: compares every rollup with a recomputation from the merged readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse, Server
from pulsebase.stores.clickhouse.hold import HeldState
from pulsebase.stores.clickhouse.numbers import devices_with_people, metrics_by_number
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.read import consistent
from pulsebase.stores.clickhouse.removal import RemovedPeople, look_without_removed
from pulsebase.stores.clickhouse.rollups import (
    COUNTED_HOURS,
    DAYS_OF_HOURS,
    HOURS_OF_MINUTES,
    KEPT_DAYS,
    KEPT_HOURS,
    KEPT_MINUTES,
    MINUTES_OF_READINGS,
)
from pulsebase.stores.contract import Cancellation, CheckReport
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

_NO_LIMIT = Deadline(None, Cancellation())
#: How much is compared at once: a partition of the readings.
_PART_US = 30 * DAY_US
#: Rows that are only kept, only recomputed, and kept in all. Merges may be at work on hours with visible staged rows,
#: and on their days.
_COMPARED = """
SELECT countIf(balance > 0) AS surplus, countIf(balance < 0) AS missing, sum(copies) AS kept
FROM (
    SELECT sum(side) AS balance, countIf(side > 0) AS copies
    FROM (SELECT *, 1 AS side FROM ({kept}) UNION ALL SELECT *, -1 AS side FROM ({recomputed}))
    WHERE notEmpty(found) AND (person, metric, intDiv({name}, {in_one})) NOT IN (
        SELECT person, metric, intDiv(time, {one_us}) FROM stage WHERE {staged}
    )
    GROUP BY person, metric, {name}, found
)
"""
_COUNT = "SELECT count() AS n FROM readings FINAL WHERE gone = 0 AND {which}"
_PARTS = (
    "SELECT DISTINCT toInt64(partition) AS part FROM system.parts "
    "WHERE database = currentDatabase() AND active AND table IN ('readings', 'minutes')"
)
_SERIES = "SELECT DISTINCT person, metric, arrayJoin(of.device) AS device FROM hours FINAL WHERE {which}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What PostgreSQL says, all of one moment."""

    without: RemovedPeople
    devices: Mapping[int, int]
    metrics: Mapping[int, str]

    @property
    def state(self) -> Snapshot:
        """Which rows of the cluster are visible at that moment."""
        return self.without.state


def _look(connection: Connection) -> _Known:
    return _Known(
        look_without_removed(connection),
        devices_with_people(connection),
        metrics_by_number(connection),
    )


class Checker:
    """Checks the rollups. It may be used by many threads."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def check(self) -> CheckReport:
        """See `contract.Store.check`. What is not merged yet is not kept twice."""
        with HeldState(self._database) as held:  # of an earlier state, so merges do not pass the one that is checked

            def ask(known: _Known) -> CheckReport:
                return self._check(known, held)

            report = consistent(self._database, _look, ask, _NO_LIMIT)
        assert report is not None
        return report

    def _check(self, known: _Known, held: HeldState) -> CheckReport:
        readings = rollup_rows = 0
        problems: list[str] = []
        for number, server in self._cluster.shards().items():
            for part_us in self._parts(server, known.state):
                held.prolong()
                of_part = f"{known.state.not_expired()} AND time >= {part_us} AND time < {part_us + _PART_US}"
                of_part = f"{of_part} AND {known.without.not_removed()}"
                readings += self._ask(server, _COUNT.format(which=of_part))[0]["n"]
                for rollup, surplus, missing, kept in self._compared(server, known, part_us, of_part):
                    rollup_rows += kept
                    if surplus or missing:
                        problems.append(
                            f"{rollup} of shard {number}: {surplus} rows differ from the readings, {missing} "
                            "recomputed rows are not kept"
                        )
            problems += self._strangers(number, server, known)
        return CheckReport(readings, rollup_rows, tuple(problems))

    def _parts(self, server: Server, state: Snapshot) -> list[int]:
        """Return where the partitions begin that hold readings or minutes which have not expired."""
        starts = sorted(row["part"] * _PART_US for row in self._ask(server, _PARTS))
        return [start_us for start_us in starts if start_us + _PART_US > state.horizon_us]

    def _compared(
        self, server: Server, known: _Known, part_us: int, of_part: str
    ) -> Iterator[tuple[str, int, int, int]]:
        staged, not_removed = known.state.staged(), known.without.not_removed()
        from_us, to_us = max(part_us, known.state.horizon_us), part_us + _PART_US
        minutes = f"minute >= {from_us // MINUTE_US} AND minute < {to_us // MINUTE_US} AND {not_removed}"
        hours = f"hour >= {from_us // HOUR_US} AND hour < {to_us // HOUR_US} AND {not_removed}"
        days = f"day >= {from_us // DAY_US} AND day < {to_us // DAY_US} AND {not_removed}"
        for rollup, name, kept, recomputed in (
            ("minutes", "minute", KEPT_MINUTES.format(which=minutes), MINUTES_OF_READINGS.format(which=of_part)),
            ("hours", "hour", KEPT_HOURS.format(which=hours), HOURS_OF_MINUTES.format(which=minutes)),
            (
                "hours by time",
                "hour",
                COUNTED_HOURS.format(table="hours_by_time", which=hours),
                COUNTED_HOURS.format(table="hours", which=hours),
            ),
            ("days", "day", KEPT_DAYS.format(which=days), DAYS_OF_HOURS.format(which=hours)),
        ):
            in_one, one_us = {"minute": (60, HOUR_US), "hour": (1, HOUR_US), "day": (1, DAY_US)}[name]
            statement = _COMPARED.format(
                kept=kept, recomputed=recomputed, name=name, in_one=in_one, one_us=one_us, staged=staged
            )
            (row,) = self._ask(server, statement)
            yield rollup, row["surplus"], row["missing"], row["kept"]

    def _strangers(self, number: int, server: Server, known: _Known) -> Iterator[str]:
        found = self._ask(server, _SERIES.format(which=known.without.not_removed()))
        nobody = sum(known.devices.get(row["device"]) != row["person"] for row in found)
        if nobody:
            yield f"hours of shard {number}: {nobody} series are of a person or device that is not known"
        if of_none := sum(row["metric"] not in known.metrics for row in found):
            yield f"hours of shard {number}: {of_none} series are of a metric that is not known"

    def _ask(self, server: Server, statement: str) -> list[dict[str, int]]:
        rows: list[dict[str, int]] = server.ask(statement, self._options.question_limit_s).to_pylist()
        return rows
