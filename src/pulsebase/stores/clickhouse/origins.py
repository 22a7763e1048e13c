"""What is stored under the origins: how much, of everybody or of a person, and that it is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pulsebase.stores.clickhouse.chains import KEY, LAST_AND_BROUGHT
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.read import consistent
from pulsebase.stores.clickhouse.removal import RemovedPeople, look_without_removed
from pulsebase.stores.clickhouse.stored import Named, listed, looking_up
from pulsebase.stores.contract import Cancellation, OriginExtent
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.postgres.database import PostgresDatabase

#: Merged readings that nothing staged replaces, and staged ones, each under its origin.
_EXTENTS = f"""
WITH fresh AS (SELECT {KEY} FROM stage WHERE {{staged}} AND {{people}})
SELECT origin, sum(n) AS readings, min(first) AS first_us, max(last) AS last_us
FROM (
    SELECT origin, count() AS n, min(time) AS first, max(time) AS last FROM readings FINAL
    WHERE {{live}} AND {{people}} AND gone = 0 AND {{origins}} AND ({KEY}) NOT IN fresh
    GROUP BY origin
    UNION ALL
    SELECT origin, count() AS n, min(time) AS first, max(time) AS last
    FROM (
        SELECT time, brought.4 AS origin FROM (
            SELECT {KEY}, {LAST_AND_BROUGHT} FROM rows WHERE {{visible}} AND ({KEY}) IN fresh GROUP BY {KEY}
        ) WHERE last.6 = 0
    )
    WHERE {{origins}}
    GROUP BY origin
)
GROUP BY origin
"""
#: Rows of a shard's stage by which readings of an origin are gone.
_GONE = f"""
INSERT INTO stage ({KEY}, value, confidence, origin, settles, gone, stamp)
WITH fresh AS (SELECT {KEY} FROM stage WHERE {{staged}} AND {{people}})
SELECT {KEY}, 0, -1, 0, 0, 1, {{stamp}}
FROM (
    SELECT {KEY} FROM readings FINAL
    WHERE {{live}} AND {{people}} AND gone = 0 AND origin = {{origin}} AND ({KEY}) NOT IN fresh
    UNION ALL
    SELECT {KEY}
    FROM (
        SELECT {KEY}, {LAST_AND_BROUGHT} FROM rows WHERE {{visible}} AND ({KEY}) IN fresh GROUP BY {KEY}
    )
    WHERE last.6 = 0 AND brought.4 = {{origin}}
)
LIMIT {{most}}
"""


def gone(known: RemovedPeople, origin: int, most: int, stamp: int) -> str:
    """Write the statement for the rows of a shard's stage by which readings of an origin are gone, `most` at most."""
    return _GONE.format(
        staged=known.state.staged(),
        live=known.state.not_expired(),
        visible=known.state.condition(),
        people=known.not_removed(),
        origin=int(origin),
        most=int(most),
        stamp=int(stamp),
    )


class OriginCounter:
    """Counts the readings of origins. It may be used by many threads."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def origin_readings(self, numbers: Sequence[int], cancellation: Cancellation | None = None) -> Mapping[int, int]:
        """See `contract.Reader.origin_readings`."""
        deadline = Deadline.after(None, cancellation)
        if not numbers:
            return {}

        def ask(known: RemovedPeople) -> Counter[int]:
            statement = _statement(known.state, known.not_removed(), f"origin IN {listed(numbers)}")
            counts: Counter[int] = Counter()
            limit_s = self._options.question_limit_s
            for answer in self._cluster.ask_shards(statement, limit_s, None, deadline.cancellation):
                for row in answer.to_pylist():
                    counts[row["origin"]] += row["readings"]
            return counts

        counts = consistent(self._database, look_without_removed, ask, deadline) or Counter()
        return {number: counts[number] for number in numbers}

    def origin_extents(self, user_id: str, cancellation: Cancellation | None = None) -> list[OriginExtent]:
        """See `contract.Reader.origin_extents`."""
        deadline = Deadline.after(None, cancellation)

        def ask(named: Named) -> list[OriginExtent]:
            (person,) = named.people
            statement = f"{_statement(named.state, f'person = {person}', 'true')} ORDER BY origin"
            limit_s = self._options.question_limit_s
            (answer,) = self._cluster.ask_shards(statement, limit_s, person, deadline.cancellation)
            columns = ("origin", "readings", "first_us", "last_us")
            return [OriginExtent(*(int(row[name]) for name in columns)) for row in answer.to_pylist()]

        return consistent(self._database, looking_up([user_id]), ask, deadline) or []


def _statement(state: Snapshot, people: str, origins: str) -> str:
    """Write the question what is stored of these people under these origins; both are conditions."""
    return _EXTENTS.format(
        staged=state.staged(), live=state.not_expired(), visible=state.condition(), people=people, origins=origins
    )
