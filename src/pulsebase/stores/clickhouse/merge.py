"""Merges: what was staged long enough ago goes among the readings, and leaves the stage some time later.

One process merges at a time, under a lease. Nothing breaks if two do: both write the same rows under the same stamps,
and the mark moves once. Times are measured by each process's own monotonic clock, from when it saw something itself, so
that a clock that jumps shortens no grace.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable

from pulsebase.model.errors import QueryTimeoutError
from pulsebase.stores.clickhouse import commits, rollups
from pulsebase.stores.clickhouse.chains import KEY, LAST_AND_BROUGHT
from pulsebase.stores.clickhouse.clean import clean
from pulsebase.stores.clickhouse.commits import PARTITION, Backlog, Marks, Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse, Server
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.removal import removed_people, without
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

#: Programs that work out no days hold a lease "merge", and cannot end what they merge: it must not keep others from it.
_LEASE = "merge with days"
#: However busy shards are, a merge may take so many readings.
_LEAST_READINGS = 1_000
#: The first merge takes this part of the most readings: nobody knows yet how fast the shards are.
_FIRST_PART = 4
#: Merges are made smaller that take a larger part of the lease: before a statement runs into its limit, half of it, and
#: all that was done is done again while writes wait.
_LARGEST_PART = 1 / 8
#: So many readings with several rows are told apart from those with one; with more, all are merged alike.
_MOST_APART = 50_000
_PLACE = f"cityHash64({KEY})"
#: Rows that may leave the reading the origin that it has. Of other rows the last one brings it, whatever came before.
_UNSETTLED = "settles = 0 AND gone = 0"
#: What a merge finds in the stage: whether there are rows, and such rows.
_FOUND = f"SELECT DISTINCT {_UNSETTLED} AS unsettled FROM stage WHERE {{inside}}"
#: Where there are readings with several rows, one of which is unsettled: staged twice, or among the readings already.
#: Those are looked for between the first and the last staged time of an hour.
_SEVERAL = f"""
SELECT DISTINCT {_PLACE} AS place
FROM (
    SELECT {KEY} FROM stage WHERE {{inside}} GROUP BY {KEY} HAVING count() > 1 AND max({_UNSETTLED})
    UNION ALL
    SELECT {KEY} FROM stage WHERE {{inside}} AND {_UNSETTLED} AND ({KEY}) IN (
        SELECT r.person, r.metric, r.time, r.device
        FROM readings AS r
        INNER JOIN (
            SELECT person, metric, intDiv(time, 3600000000) AS hour, min(time) AS first, max(time) AS last
            FROM stage WHERE {{inside}} AND {_UNSETTLED} GROUP BY person, metric, hour
        ) AS staged
        ON r.person = staged.person AND r.metric = staged.metric AND intDiv(r.time, 3600000000) = staged.hour
        WHERE r.time BETWEEN staged.first AND staged.last AND (r.person, r.metric, intDiv(r.time, 3600000000)) IN (
            SELECT person, metric, intDiv(time, 3600000000) FROM stage WHERE {{inside}} AND {_UNSETTLED}
        )
    )
)
LIMIT {_MOST_APART + 1}
"""
#: Every reading with staged rows that meet a condition, once: its last row, under the origin that its rows add up to.
_MERGED = f"""
INSERT INTO readings ({KEY}, value, confidence, origin, gone, stamp)
WITH staged AS (SELECT * FROM stage WHERE {{inside}})
SELECT {KEY}, last.2, last.3, brought.4, last.6, last.1
FROM (
    SELECT {KEY}, {LAST_AND_BROUGHT}
    FROM (
        SELECT {KEY}, value, confidence, origin, settles, gone, stamp, false AS merged FROM staged
        UNION ALL
        SELECT {KEY}, value, confidence, origin, 0 AS settles, gone, stamp, true AS merged
        FROM readings WHERE ({KEY}) IN (SELECT {KEY} FROM staged)
    )
    GROUP BY {KEY}
)
"""
#: The same of readings whose last row brought them: as they have no other, or by settling it. Rows before it are
#: replaced by it among the readings.
_MERGED_AS_STAGED = f"""
INSERT INTO readings ({KEY}, value, confidence, origin, gone, stamp)
SELECT {KEY}, value, confidence, origin, gone, stamp FROM stage WHERE {{inside}}
"""


class Merger:
    """Merges when it is told to. `clock` tells seconds that never go back."""

    def __init__(
        self,
        database: PostgresDatabase,
        cluster: ClickHouse,
        options: ClickHouseOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._cluster, self._options, self._clock = database, cluster, options, clock
        self._holder = uuid.uuid4()
        #: What waited for merges when this last looked.
        self.backlog = Backlog(Marks(0, 0, 0), 0, 0, overdue=False, unmerged=0, merged=0)
        #: Commits up to which everything was decided, or merged, at a time.
        self._decided: deque[tuple[float, int]] = deque()
        self._merged: deque[tuple[float, int]] = deque()
        #: The same of the stage.
        self._dropped: deque[tuple[float, int]] = deque()
        #: About the most readings that one merge takes now.
        self._most_readings = options.merge_readings // _FIRST_PART

    def step(self, *, hurry: bool = False) -> int:
        """Do what is due now, if no other process does; return how many commits were merged. In a hurry it is due
        after a tenth of the grace.

        Raises:
            StoreUnavailableError: not now; the next step goes on.
        """
        looked = self._look()
        marks, grace_s = looked.marks, self._options.grace_s
        to = _older_than(self._decided, self._clock(), looked.decided, grace_s / 10 if hurry else grace_s)
        read_by_nobody = _older_than(self._merged, self._clock(), marks.merged, grace_s)
        whole_partitions = (read_by_nobody + 1) // PARTITION * PARTITION - 1
        if (to <= marks.merged and whole_partitions <= marks.dropped_to) or not self._hold_lease():
            return 0
        merge_to, drop_to = self._database.read(commits.held)
        to = _at_most(to, merge_to)
        whole_partitions = (_at_most(read_by_nobody, drop_to) + 1) // PARTITION * PARTITION - 1
        count = 0
        if to > marks.merged:
            end = self._end_of_merge(marks.merged, to)
            if self._merge(marks.merged, end):
                count = end - marks.merged
                _older_than(self._merged, self._clock(), end, grace_s)
        if whole_partitions > marks.dropped_to:
            self._drop(whole_partitions)
        return count

    def merge_all(self) -> None:
        """Merge what is decided now and no export holds, without a grace, even if another process merges too."""
        looked = self._look()
        merged, to = looked.marks.merged, _at_most(looked.decided, self._database.read(commits.held)[0])
        while merged < to:
            self._hold_lease()
            tried = self._most_readings
            try:
                self._merge(merged, self._end_of_merge(merged, to), alone=False)
            except QueryTimeoutError:
                if tried == _LEAST_READINGS:
                    raise
            merged = self._database.read(commits.marks).merged

    def clean(self) -> int:
        """Wipe out merged rows that say that readings are gone, where that pays and no other process merges; return how
        many there were. Only those go that left the stage so long ago that no merge can still bring what they replaced.

        Raises:
            StoreUnavailableError: not now; the next call begins anew.
        """
        dropped_to = self._look().marks.dropped_to
        to = _older_than(self._dropped, self._clock(), dropped_to, 2 * self._options.lease_s)
        if not to:
            return 0
        count = 0
        for server in self._cluster.shards().values():
            if not self._hold_lease():
                break
            count += clean(server, to, self._options.clean_readings, self._options.lease_s / 2)
        return count

    def release(self) -> None:
        """Let another process merge at once."""
        self._database.change(lambda connection: commits.release_lease(connection, _LEASE, self._holder))

    def _look(self) -> Backlog:
        """See what waits for merges, and give up what is overdue."""
        self.backlog = self._database.read(commits.backlog)
        if self.backlog.overdue:
            self._database.change(commits.abort_overdue)
            self.backlog = self._database.read(commits.backlog)
        return self.backlog

    def _end_of_merge(self, after: int, to: int) -> int:
        most = self._most_readings
        return self._database.read(lambda connection: commits.reach(connection, after, to, most))

    def _hold_lease(self) -> bool:
        return self._database.change(
            lambda connection: commits.hold_lease(connection, _LEASE, self._holder, self._options.lease_s)
        )

    def _merge(self, after: int, to: int, *, alone: bool = True) -> bool:
        """Merge these commits; False if another process has done so, or, to be `alone`, may be doing it."""

        def begin(connection: Connection) -> tuple[Snapshot, str]:
            commits.begin_merge(connection, to)
            return commits.snapshot(connection, to), without(removed_people(connection))

        self._cluster.ping(self._options.lease_s / 2)  # or the shards before a dead one would merge the same each time
        state, not_removed = self._database.change(begin)
        if state.merged != after:  # another process has merged
            return False
        began = self._clock()
        try:
            for server in self._cluster.shards().values():
                if not self._hold_lease() and alone:
                    return False
                self._merge_shard(server, f"{state.staged()} AND {not_removed}", to)
        except QueryTimeoutError:  # the shards are busy: smaller merges get through
            self._most_readings = max(_LEAST_READINGS, self._most_readings // 4)
            raise
        slow = self._clock() - began > self._options.lease_s * _LARGEST_PART
        self._most_readings = max(_LEAST_READINGS, self._most_readings // 2) if slow else self._most_readings * 2
        self._most_readings = min(self._options.merge_readings, self._most_readings)
        return self._database.change(lambda connection: commits.end_merge(connection, after, to))

    def _merge_shard(self, server: Server, inside: str, to: int) -> None:
        found = server.ask(_FOUND.format(inside=inside), self._options.lease_s / 2)["unsettled"].to_pylist()
        if not found:
            return
        merged = self._statements(server, inside) if any(found) else [_MERGED_AS_STAGED.format(inside=inside)]
        for statement in (*merged, *rollups.statements(inside, to)):
            server.command(statement, self._options.lease_s / 2)

    def _statements(self, server: Server, inside: str) -> list[str]:
        """Write the statements that put staged rows among the readings, where some of them are unsettled.

        Most readings come once. Whether some come more than once is asked first, as their rows have to be grouped: that
        takes several times as long.
        """
        places = server.ask(_SEVERAL.format(inside=inside), self._options.lease_s / 2)["place"].to_pylist()
        if len(places) > _MOST_APART:
            return [_MERGED.format(inside=inside)]
        if not places:
            return [_MERGED_AS_STAGED.format(inside=inside)]
        several = f"{_PLACE} IN ({', '.join(map(str, places))})"
        return [
            _MERGED.format(inside=f"{inside} AND {several}"),
            _MERGED_AS_STAGED.format(inside=f"{inside} AND NOT {several}"),
        ]

    def _drop(self, to: int) -> None:
        """Drop the partitions of the stage with commits up to this one."""
        self._database.change(lambda connection: commits.begin_drop(connection, to))
        for server in self._cluster.shards().values():
            found = server.ask(
                "SELECT DISTINCT partition FROM system.parts "
                "WHERE database = currentDatabase() AND table = 'stage' AND active",
                self._options.question_limit_s,
            )
            for partition in found["partition"].to_pylist():
                if (int(partition) + 1) * PARTITION - 1 <= to:
                    server.command(f"ALTER TABLE stage DROP PARTITION {int(partition)}", self._options.lease_s / 2)


def _at_most(number: int, limit: int | None) -> int:
    return number if limit is None else min(number, limit)


def _older_than(seen: deque[tuple[float, int]], now: float, number: int, age_s: float) -> int:
    """Remember a number, and return the highest that was remembered so long ago; 0 if none was."""
    if not seen or seen[-1][1] < number:
        seen.append((now, number))
    old = 0
    while seen and seen[0][0] <= now - age_s:
        old = seen[0][1]
        if len(seen) > 1 and seen[1][0] <= now - age_s:
            seen.popleft()
        else:
            break
    return old
