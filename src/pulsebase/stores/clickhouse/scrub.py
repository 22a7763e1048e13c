"""Wiping out what may still hold bytes of people who were removed, see `stores.postgres.scrub` for the other half.

Files of the cluster hold numbers of people, whose ids went with the removal. Their rows are deleted from every part of
every table, and replaced parts have to leave the disk. Nothing that began before the removal may bring rows after that:
commits are decided first, merges have ended, and no insertion of that time runs on any server.

Tables are wiped in the order in which rows get from one into the other, so that none is filled again. Insertions that
have read a table before it was wiped have ended before those are wiped that they may fill.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pulsebase.model.errors import StopError
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.engine import ClickHouse, Server
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.wipe import number, wait, wipe_out
from pulsebase.stores.contract import Cancellation, ScrubReport
from pulsebase.stores.postgres.database import Connection, PostgresDatabase
from pulsebase.stores.postgres.scrub import ScrubNotes, forget, noted, tables_of_ours, waiting_briefly, write_anew
from pulsebase.stores.postgres.summaries import SUMMARIES

#: How long a scrub waits for what began before a removal, or before a table was wiped.
_QUIET_LIMIT_S = 60.0
#: Clocks of servers measure durations alike, but for this.
_MARGIN_S = 1.0
_RUNNING = """
SELECT count() AS n FROM system.processes
WHERE query_kind = 'Insert' AND elapsed > {since_s}
  AND (current_database = currentDatabase() OR position(query, currentDatabase()) > 0)
"""
#: Tables from which rows get into those after them. All others have copies of these.
_IN_ORDER = ("stage", "readings", "minutes", "hours")
#: What merges choose rows by, and what tables that came later are filled from.
_SOURCES = ("stage", "hours")
_TABLES = f"""
SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
AND name IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'person')
ORDER BY indexOf({list(_IN_ORDER)}, name) = 0, indexOf({list(_IN_ORDER)}, name), name
"""
_CLUSTER_BYTES = "SELECT sum(bytes_on_disk) AS n FROM system.parts WHERE database = currentDatabase()"
_POSTGRES_BYTES = (
    f"SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint + pg_total_relation_size('{SUMMARIES}') "
    "FROM pg_class WHERE relnamespace = 'pulsebase'::regnamespace AND relkind = 'r'"
)


@dataclass(frozen=True, slots=True)
class _Removed:
    """Who was removed since they were last wiped out, and what may bring rows of theirs.

    Attributes:
        people: their numbers.
        last: up to here commits may have rows of theirs.
        merging_to: up to here merges may have brought them among the readings.
        since_s: how long ago the last of them was removed.
        notes: what the half in PostgreSQL has noted.
    """

    people: tuple[int, ...]
    last: int
    merging_to: int
    since_s: float
    notes: ScrubNotes | None


class Scrubber:
    """Wipes out who was removed. It may be used by many threads, and in many processes."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def scrub(self, cancellation: Cancellation | None = None) -> ScrubReport:
        """See `contract.Store.scrub`. Backups, and the servers' own copies (PostgreSQL's log), are out of reach.

        Raises:
            StoreUnavailableError: not now; what is left is wiped out by the next call.
        """
        before_bytes = self._bytes()
        removed = self._database.read(_look)
        if removed.people:
            self._wait_until_quiet(removed)
            self._database.change(commits.begin_scrub)
            for server in self._cluster.shards().values():
                self._wipe_out(server, removed.people)
        if removed.notes is not None:
            with self._database.outside(cancellation or Cancellation()) as connection, waiting_briefly(connection):
                write_anew(connection, tables_of_ours(connection))
        self._database.change(lambda connection: _forget(connection, removed))
        return ScrubReport(before_bytes, self._bytes())

    def _wait_until_quiet(self, removed: _Removed) -> None:
        """Wait until nothing brings rows any more that began before the people were removed."""
        asked_at = time.monotonic()
        wait(lambda: self._decided(removed), _QUIET_LIMIT_S, "writes and merges that began before a removal go on")

        def nothing_runs() -> bool:
            since_s = removed.since_s + time.monotonic() - asked_at - _MARGIN_S
            statement = _RUNNING.format(since_s=max(0.0, since_s))
            return not any(
                number(server, statement, self._options.question_limit_s) for server in self._cluster.shards().values()
            )

        wait(nothing_runs, _QUIET_LIMIT_S, "a server still inserts what was sent before a removal")

    def _decided(self, removed: _Removed) -> bool:
        """Whether commits and merges of before the removals have ended."""
        self._database.change(commits.abort_overdue)
        state = self._database.read(commits.snapshot)
        return state.first_in_flight > removed.last and state.merged >= removed.merging_to

    def _wipe_out(self, server: Server, people: tuple[int, ...]) -> None:
        """Delete the rows of these people from all tables of a shard, and wait until no file has them.

        Tables may be made, or get another name, meanwhile: they are listed anew after each of them.
        """
        done: set[str] = set()
        while left := [table for table in self._tables(server) if table not in done]:
            table = left[0]
            try:
                wipe_out(server, table, people, self._options.question_limit_s)
            except StopError:
                if table in self._tables(server):
                    raise
                continue  # it has another name now
            done.add(table)
            if table in _SOURCES:
                self._wait_for_insertions(server)

    def _tables(self, server: Server) -> list[str]:
        return list(server.ask(_TABLES, self._options.question_limit_s)["name"].to_pylist())

    def _wait_for_insertions(self, server: Server) -> None:
        """Wait until those have ended that run now: what they have read may be wiped."""
        asked_at = time.monotonic()

        def ended() -> bool:
            statement = _RUNNING.format(since_s=max(0.0, time.monotonic() - asked_at - _MARGIN_S))
            return not number(server, statement, self._options.question_limit_s)

        wait(ended, _QUIET_LIMIT_S, "a server still inserts what it has read before that was wiped out")

    def _bytes(self) -> int:
        """What both halves take on the disk."""
        row = self._database.read(lambda connection: connection.execute(_POSTGRES_BYTES).fetchone())
        assert row is not None
        limit_s = self._options.question_limit_s
        shards = self._cluster.shards().values()
        return int(row[0]) + sum(number(server, _CLUSTER_BYTES, limit_s) for server in shards)


def _look(connection: Connection) -> _Removed:
    row = connection.execute(
        "SELECT coalesce(array_agg(person), '{}'), coalesce(max(last), 0), coalesce(max(merging_to), 0), "
        "coalesce(extract(epoch FROM clock_timestamp() - max(removed_at)), 0)::float8 FROM pulsebase.removed_people"
    ).fetchone()
    assert row is not None
    people, last, merging_to, since_s = row
    return _Removed(tuple(sorted(people)), last, merging_to, since_s, noted(connection))


def _forget(connection: Connection, removed: _Removed) -> None:
    connection.execute("DELETE FROM pulsebase.removed_people WHERE person = ANY(%s)", [list(removed.people)])
    if removed.notes is not None:
        forget(connection, removed.notes)
