"""Removing people. Their numbers are never given out again, so once PostgreSQL does not know them nobody sees a row of
theirs. The rows leave the cluster with the next scrub.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.extents import extents
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.scrub import note_times
from pulsebase.stores.postgres.series_keys import parts_of
from pulsebase.stores.postgres.summaries import SUMMARIES

_ATTEMPTS = 5
#: How long a removal waits before it looks again whether earlier commits are decided.
_PAUSE_S = 0.005


@dataclass(frozen=True, slots=True)
class RemovedPeople:
    """A state, and the people of whom there may be rows though they were removed."""

    state: Snapshot
    removed: tuple[int, ...]

    def not_removed(self) -> str:
        """Write the condition that a row is of nobody who was removed."""
        return without(self.removed)


def without(removed: Sequence[int]) -> str:
    """Write the condition that a row is of none of these people."""
    return f"person NOT IN ({', '.join(map(str, removed))})" if removed else "true"


def look_without_removed(connection: Connection) -> RemovedPeople:
    """Return the state of now, and who was removed."""
    return RemovedPeople(commits.snapshot(connection), removed_people(connection))


def removed_people(connection: Connection) -> tuple[int, ...]:
    """Return the numbers of the people who were removed, and of whom there may still be rows."""
    rows = connection.execute("SELECT person FROM pulsebase.removed_people ORDER BY person").fetchall()
    return tuple(person for (person,) in rows)


def unknown_people(connection: Connection, people: Collection[int]) -> list[int]:
    """Return those of these numbers that are nobody's any more. People are known before they have rows."""
    rows = connection.execute(
        "SELECT person FROM unnest(%s::bigint[]) AS person "
        "WHERE NOT EXISTS (SELECT FROM pulsebase.users WHERE user_no = person)",
        [list(people)],
    ).fetchall()
    return [person for (person,) in rows]


class ClickHousePeoplesReadings:
    """See `PeoplesReadings`."""

    def __init__(self, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._cluster, self._options = cluster, options

    def resolve_again(self, connection: Connection, user_id: str, device_id: str) -> None:
        """Do nothing: devices are resolved when a question is asked."""

    def remove(self, connection: Connection, series: Sequence[str]) -> int:
        """Count the person's readings, and note that their rows have to go.

        Raises:
            StoreUnavailableError: the person's shard does not answer, or writes that began before take too long.
        """
        user_id = parts_of(series[0])[0]
        row = connection.execute(
            "SELECT user_no FROM pulsebase.users WHERE user_id = %s FOR UPDATE", [user_id]
        ).fetchone()
        assert row is not None
        (person,) = row
        # From here on no commit begins that has rows of this person.
        count = self._count(connection, person)
        note_times(
            connection,
            f"SELECT now() AS timestamp UNION ALL SELECT timestamp FROM {SUMMARIES} WHERE user_id = %(user)s",
            {"user": user_id},
        )
        connection.execute(
            "INSERT INTO pulsebase.removed_people (person, last, merging_to) "
            "SELECT %s, last, merging_to FROM pulsebase.commit_marks",
            [person],
        )
        return count

    def _count(self, connection: Connection, person: int) -> int:
        for _ in range(_ATTEMPTS):
            state = self._decided(connection)
            found = extents(self._cluster, [person], state, self._options.question_limit_s, expired=False)
            count = sum(n for n, _, _ in found.values())
            if state.holds(commits.marks(connection)):
                return count
        raise StoreUnavailableError("merges go on too fast for this removal; nobody was removed", 2)

    def _decided(self, connection: Connection) -> Snapshot:
        """Wait until all commits of now are decided, and return the state then: so no reading is counted too late."""
        last = commits.snapshot(connection).last
        give_up_at = time.monotonic() + self._options.insert_limit_s
        while True:
            commits.abort_overdue(connection)
            state = commits.snapshot(connection, last)
            if state.first_in_flight > last:
                return state
            if time.monotonic() > give_up_at:
                raise StoreUnavailableError("writes that began before take too long; nobody was removed", 5)
            time.sleep(_PAUSE_S)
