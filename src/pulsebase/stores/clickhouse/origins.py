"""What is stored under the origins: how much, and that it is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pulsebase.stores.clickhouse.chains import KEY, LAST_AND_BROUGHT
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.read import consistent
from pulsebase.stores.clickhouse.removal import RemovedPeople, look_without_removed
from pulsebase.stores.clickhouse.stored import listed
from pulsebase.stores.contract import Cancellation
from pulsebase.stores.deadline import Deadline
from pulsebase.stores.postgres.database import PostgresDatabase

#: Merged readings that nothing staged replaces, and staged ones, each under its origin.
_COUNTS = f"""
WITH fresh AS (SELECT {KEY} FROM stage WHERE {{staged}} AND {{people}})
SELECT origin, sum(n) AS n
FROM (
    SELECT origin, count() AS n FROM readings FINAL
    WHERE {{live}} AND {{people}} AND gone = 0 AND origin IN {{origins}} AND ({KEY}) NOT IN fresh
    GROUP BY origin
    UNION ALL
    SELECT brought.4 AS origin, count() AS n
    FROM (
        SELECT {KEY}, {LAST_AND_BROUGHT} FROM rows WHERE {{visible}} AND ({KEY}) IN fresh GROUP BY {KEY}
    )
    WHERE last.6 = 0 AND brought.4 IN {{origins}}
    GROUP BY brought.4
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
            statement = _COUNTS.format(
                staged=known.state.staged(),
                live=known.state.not_expired(),
                visible=known.state.condition(),
                people=known.not_removed(),
                origins=listed(numbers),
            )
            counts: Counter[int] = Counter()
            limit_s = self._options.question_limit_s
            for answer in self._cluster.ask_shards(statement, limit_s, None, deadline.cancellation):
                for row in answer.to_pylist():
                    counts[row["origin"]] += row["n"]
            return counts

        counts = consistent(self._database, look_without_removed, ask, deadline) or Counter()
        return {number: counts[number] for number in numbers}
