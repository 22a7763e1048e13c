"""What the store says of itself for the metrics: how much it holds, which shards answer, and whether commits end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pulsebase.model.errors import PulsebaseError
from pulsebase.model.timerange import HOUR_US
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.engine import ClickHouse, Server
from pulsebase.stores.postgres.database import PostgresDatabase

_LIMIT_S = 5.0
#: Of one shard. Replaced rows of the stage count; parts are those of the partition that has most.
_OF_SHARD = """
SELECT toUInt64(sum(bytes_on_disk)) AS bytes, toUInt64(sumIf(rows, table = 'stage')) AS staged,
    toUInt64(sumIf(rows, table = 'hours')) AS hours, toUInt64(sumIf(rows, table = 'readings')) AS readings,
    toUInt64(max(of_partition)) AS parts
FROM (
    SELECT table, sum(bytes_on_disk) AS bytes_on_disk, sum(rows) AS rows, count() AS of_partition
    FROM system.parts WHERE database = currentDatabase() AND active GROUP BY table, partition_id
)
"""
#: Readings that are merged and have not expired: hours know how many they have.
_READINGS = "SELECT toUInt64(sum(arraySum(of.n_all))) AS n FROM hours FINAL WHERE hour >= {hour}"
#: Of more hours than that, the rows of readings tell: about, as the engine has not dropped all that were replaced.
_MANY_HOURS = 2_000_000


class Figures:
    """Finds out when it is asked. It may be used by many threads."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse) -> None:
        self._database, self._cluster = database, cluster

    def statistics(self) -> dict[str, float]:
        """See `contract.Store.statistics`. What cannot be found out now is left out."""
        found = self._of_shards()
        with contextlib.suppress(PulsebaseError):
            waiting = self._database.read(commits.waiting)
            found["waiting_commits"] = float(waiting.commits)
            found["commit_in_flight_seconds"] = waiting.in_flight_s
        return found

    def _of_shards(self) -> dict[str, float]:
        shards, servers = self._cluster.seen()
        answers = self._asked(servers, _OF_SHARD)
        found = {"shards": float(shards), "reachable_shards": float(len(answers))}
        if not answers or len(answers) < shards:
            return found
        found["size_bytes"] = float(_sum(answers, "bytes"))
        found["stage_rows"] = float(_sum(answers, "staged"))
        found["most_parts"] = float(max(each["parts"] for each in answers))
        if _sum(answers, "hours") > _MANY_HOURS:
            return found | {"readings": float(_sum(answers, "readings"))}
        with contextlib.suppress(PulsebaseError):
            horizon_us = self._database.read(commits.marks).horizon_us
            counts = self._asked(servers, _READINGS.format(hour=horizon_us // HOUR_US))
            if len(counts) == shards:
                found["readings"] = float(_sum(counts, "n"))
        return found

    @staticmethod
    def _asked(servers: Sequence[Server], question: str) -> list[Mapping[str, int]]:
        """Return the answers of those that answer."""

        def ask(server: Server) -> Mapping[str, int] | None:
            try:
                row: Mapping[str, int] = server.ask(question, _LIMIT_S).to_pylist()[0]
            except PulsebaseError:
                return None
            return row

        with ThreadPoolExecutor(max(1, len(servers))) as threads:
            return [answer for answer in threads.map(ask, servers) if answer is not None]


def _sum(answers: Sequence[Mapping[str, int]], name: str) -> int:
    return sum(each[name] for each in answers)
