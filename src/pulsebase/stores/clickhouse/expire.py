"""Expiry: what old readings come to is kept as it is, and they leave.

The horizon moves in two steps. First for writes: it moves with a commit, after which no commit has readings before it.
When everything up to this commit is merged, quarters of an hour are resolved and kept, and the horizon moves for
questions. Whoever dies in between leaves the second step to the next expiry. Hours stay as merges have left them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pulsebase.model.errors import PulsebaseError, StoreUnavailableError
from pulsebase.model.timerange import DAY_US, HOUR_US, MINUTE_US
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.commits import Marks
from pulsebase.stores.clickhouse.engine import ClickHouse, Server
from pulsebase.stores.clickhouse.numbers import ids_of_devices
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.priorities import Settings, everybodys_settings, ranks_of
from pulsebase.stores.clickhouse.removal import removed_people, without
from pulsebase.stores.clickhouse.stored import listed
from pulsebase.stores.contract import Expiry
from pulsebase.stores.postgres.database import Connection, PostgresDatabase
from pulsebase.stores.postgres.horizon import horizon_us, move_horizon
from pulsebase.stores.postgres.locks import lock_commits, lock_merges

#: How long an expiry waits for merges, and the pause before it looks again.
_MERGES_LIMIT_S, _PAUSE_S = 60.0, 0.1
#: About how many minutes of people with several devices are resolved at once.
_MINUTES = 1_000_000
#: The minutes of a range with their devices.
_OF_RANGE = """
SELECT person, metric, minute, arrayJoin(arrayZip(of.device, of.n, of.sum, of.min, of.max)) AS row
FROM minutes FINAL WHERE {inside}
"""
#: Series in which several devices counted in one minute, and how many minutes of devices they have.
_APART = """
SELECT person, metric, sum(length(of.device)) AS n FROM minutes FINAL WHERE {inside}
GROUP BY person, metric HAVING max(arrayCount(counted -> counted > 0, of.n)) > 1
"""
_ROWS_APART = f"""
SELECT person, metric, minute, row.1 AS device, row.2 AS n, row.3 AS total, row.4 AS low, row.5 AS high
FROM ({_OF_RANGE}) WHERE n > 0
"""
#: Quarters of all other series.
_KEEP = f"""
INSERT INTO kept (person, metric, quarter, n, sum, min, max, minutes, version)
SELECT person, metric, intDiv(minute, 15) AS quarter,
    sum(row.2), sum(row.3), min(row.4), max(row.5), count(), {{version}}
FROM ({_OF_RANGE}) WHERE row.2 > 0 AND (person, metric) NOT IN (SELECT person, metric FROM ({_APART}))
GROUP BY person, metric, quarter
"""
_COUNT = """
SELECT sum(n) AS n
FROM (SELECT arraySum(of.n_all) AS n FROM hours FINAL WHERE hour >= {start} AND hour < {end} AND {who})
"""


@dataclass(frozen=True, slots=True)
class _Range:
    """What expires, and of whom."""

    start_us: int
    end_us: int
    not_removed: str

    def inside(self) -> str:
        """Write the condition that a row of `minutes` is in it."""
        first, end = self.start_us // MINUTE_US, self.end_us // MINUTE_US
        return f"minute >= {first} AND minute < {end} AND {self.not_removed}"

    def count(self) -> str:
        """Write the question for how many readings there are."""
        return _COUNT.format(start=self.start_us // HOUR_US, end=self.end_us // HOUR_US, who=self.not_removed)


class Expirer:
    """Lets readings expire. `settle` merges what is decided now."""

    def __init__(
        self,
        database: PostgresDatabase,
        cluster: ClickHouse,
        options: ClickHouseOptions,
        settle: Callable[[], None],
    ) -> None:
        self._database, self._cluster, self._options, self._settle = database, cluster, options, settle

    def expire(self, before_us: int, *, dry_run: bool = False) -> Expiry:
        """See `contract.Store.expire`.

        Raises:
            StoreUnavailableError: merges do not get far enough now, or a shard does not answer; nothing has expired.
        """
        marks = self._database.read(commits.marks)
        horizon = self._database.read(horizon_us)
        if before_us <= horizon == marks.horizon_us:
            return Expiry(horizon, 0)
        to_us = max(before_us, horizon)
        if dry_run:
            self._settle()
            not_removed = without(self._database.read(removed_people))
            return Expiry(to_us, self._count(_Range(marks.horizon_us, to_us, not_removed)))
        self._wait_for_merges(self._database.change(lambda connection: _close(connection, to_us)))
        gone = self._database.change(lambda connection: self._keep(connection, to_us))
        with contextlib.suppress(PulsebaseError):  # the next expiry does it
            self.sweep()
        return Expiry(self._database.read(horizon_us), gone)

    def sweep(self) -> None:
        """Begin to delete the rows of readings that have expired."""
        end_us = self._database.read(commits.marks).horizon_us
        for server in self._cluster.shards().values():
            for table, old in (
                ("readings", f"time < {end_us}"),
                ("minutes", f"minute < {end_us // MINUTE_US}"),
                ("days", f"day < {end_us // DAY_US}"),
                ("hours_by_time", f"hour < {end_us // HOUR_US}"),
            ):
                limit_s = self._options.question_limit_s
                if server.ask(f"SELECT count() AS n FROM {table} WHERE {old}", limit_s)["n"][0].as_py():
                    server.command(f"ALTER TABLE {table} DELETE WHERE {old} SETTINGS mutations_sync = 0", limit_s)

    def _wait_for_merges(self, commit: int) -> None:
        give_up_at = time.monotonic() + _MERGES_LIMIT_S
        while self._database.read(commits.marks).merged < commit:
            if time.monotonic() > give_up_at:
                raise StoreUnavailableError("merges do not get far enough; nothing has expired yet", 30)
            self._settle()
            time.sleep(_PAUSE_S)

    def _keep(self, connection: Connection, to_us: int) -> int:
        """Keep what readings before the instant come to, and move the horizon for questions; how many there were."""
        # Nobody is removed and no priority changes meanwhile.
        lock_merges(connection)
        lock_commits(connection)
        marks: Marks = commits.marks(connection)
        if marks.horizon_us >= to_us:  # another process was quicker
            return 0
        expiring = _Range(marks.horizon_us, to_us, without(removed_people(connection)))
        version = _next_version(connection)
        settings = everybodys_settings(connection)
        for server in self._cluster.shards().values():
            server.command(_KEEP.format(inside=expiring.inside(), version=version), self._options.lease_s / 2)
            for rows in self._apart(server, expiring):
                devices = ids_of_devices(connection, rows["device"].unique().to_pylist())
                kept = _resolved(rows, devices, settings)
                kept = kept.append_column("version", pa.array(np.full(kept.num_rows, version, np.uint64)))
                server.insert("kept", kept, self._options.insert_limit_s)
        gone = self._count(expiring)
        commits.move_horizon(connection, to_us)
        return gone

    def _apart(self, server: Server, expiring: _Range) -> Iterator[pa.Table]:
        """Yield the minutes of series in which devices have to be resolved, some people at a time."""
        counts: dict[int, int] = {}
        limit_s = self._options.question_limit_s
        found = server.ask(_APART.format(inside=expiring.inside()), limit_s).to_pylist()
        pairs: dict[int, list[int]] = {}
        for row in found:
            counts[row["person"]] = counts.get(row["person"], 0) + row["n"]
            pairs.setdefault(row["person"], []).append(row["metric"])
        group: list[int] = []
        rows = 0
        for person in [*sorted(counts), None]:
            if group and (person is None or rows + counts[person] > _MINUTES):
                series = ", ".join(f"({each}, {metric})" for each in group for metric in pairs[each])
                chosen = f"{expiring.inside()} AND person IN {listed(group)} AND (person, metric) IN ({series})"
                yield server.ask(_ROWS_APART.format(inside=chosen), limit_s)
                group, rows = [], 0
            if person is not None:
                group.append(person)
                rows += counts[person]

    def _count(self, expiring: _Range) -> int:
        asked = [
            server.ask(expiring.count(), self._options.question_limit_s) for server in self._cluster.shards().values()
        ]
        return sum(answer["n"][0].as_py() or 0 for answer in asked)


def _close(connection: Connection, to_us: int) -> int:
    """Move the horizon for writes, and return the commit after which none has readings before it."""
    commit = commits.take(connection, 0, 1.0)
    commits.finish(connection, commit)
    move_horizon(connection, to_us)
    return commit


def _next_version(connection: Connection) -> int:
    row = connection.execute("SELECT nextval('pulsebase.expiry_attempts')").fetchone()
    assert row is not None
    return int(row[0])


def _resolved(rows: pa.Table, ids: Mapping[int, str], settings: Mapping[int, Settings]) -> pa.Table:
    """Return the quarters that minutes of devices come to, of each minute those of the device that wins it."""
    columns = {name: rows[name].to_numpy() for name in rows.column_names}
    order = np.lexsort((columns["minute"], columns["metric"], columns["person"]))
    columns = {name: column[order] for name, column in columns.items()}
    ranks = ranks_of(columns["device"], columns["person"], columns["minute"] * MINUTE_US, ids, settings)
    firsts = _firsts([columns[name] for name in ("person", "metric", "minute")])
    lowest = np.minimum.reduceat(ranks, firsts)
    wins = ranks == np.repeat(lowest, np.diff([*firsts, len(ranks)]))
    won = {name: column[wins] for name, column in columns.items()}
    won["quarter"] = won["minute"] // 15
    starts = _firsts([won[name] for name in ("person", "metric", "quarter")])
    return pa.table(
        {
            "person": won["person"][starts].astype(np.uint64),
            "metric": won["metric"][starts].astype(np.uint16),
            "quarter": won["quarter"][starts].astype(np.int64),
            "n": np.add.reduceat(won["n"].astype(np.int64), starts).astype(np.uint32),
            "sum": np.add.reduceat(won["total"].astype(np.int64), starts),
            "min": np.minimum.reduceat(won["low"], starts).astype(np.int16),
            "max": np.maximum.reduceat(won["high"], starts).astype(np.int16),
            "minutes": np.diff([*starts, len(won["minute"])]).astype(np.uint8),
        }
    )


def _firsts(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return where rows begin that differ from the one before, of columns in order."""
    differs = np.zeros(len(columns[0]), np.bool_)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(differs)
