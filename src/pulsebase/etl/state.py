"""What synchronisation remembers between runs: connections and their state, checkpoints, records of runs.

It is kept apart from readings: these few rows need the same guarantees (see `SyncState`) with every store and any
number of processes. Tokens are kept elsewhere, see `sources.tokens`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pulsebase.files import sqlite as sqlite_file
from pulsebase.model.errors import RetryLaterError, StopError

#: How many records of runs are kept; the oldest are removed.
RUNS_KEPT = 20_000
_VERSION = 1
_PAUSE_S = 10

#: A data set is `missing` if the person did not allow it, or something it takes is not known: nothing has failed.
Outcome = Literal["done", "stopped", "postponed", "failed", "missing"]


@dataclass(frozen=True, slots=True)
class Connection:
    """A person's connection to a source, and its state. Times are microseconds UTC.

    Attributes:
        account: the source's own id of the person, if it states one.
        tried_us: when the last run began.
        succeeded_us: when the last successful run began.
        due_us: no run before this time: the source asked to wait, or failures made us back off.
        failures: how many runs in a row failed.
        problem: what is wrong, in words that a person can act on.
        needs_person: no run until the person connects again.
    """

    user_id: str
    source: str
    account: str | None
    connected_us: int
    tried_us: int | None = None
    succeeded_us: int | None = None
    due_us: int | None = None
    failures: int = 0
    problem: str | None = None
    needs_person: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a person's data set was fetched from a source. Times are microseconds UTC.

    Attributes:
        last_us: the time of the last stored row.
        position_us: during a pass over a long range: everything before this was fetched and stored.
    """

    last_us: int | None = None
    position_us: int | None = None


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run. `reasons` counts the refusals by `field: reason`; `started_us` is in microseconds UTC.

    `read` counts the rows received, `written` those that were new or changed, `unchanged` those already stored. `error`
    says why a run was postponed, failed, or missing.
    """

    source: str
    data_set: str
    user_id: str
    outcome: Outcome
    read: int
    written: int
    unchanged: int
    rejected: int
    reasons: Mapping[str, int]
    started_us: int
    duration_s: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The record of a run and its number; later runs have higher numbers."""

    number: int
    run: RunReport


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Selects runs: those with a number below `before`, newest first, and only those of `people` if given."""

    user_id: str | None = None
    source: str | None = None
    people: frozenset[str] | None = None
    before: int | None = None
    limit: int = 100


class SyncState(Protocol):
    """The stored state. Every method may be called from any thread; its changes are on the disk when it returns."""

    def connections(self, user_id: str | None = None) -> Sequence[Connection]:
        """Return everybody's connections, or one person's, ordered by person and source."""

    def connection(self, user_id: str, source: str) -> Connection | None:
        """Return a person's connection to a source, or None."""

    def connect(self, user_id: str, source: str, account: str | None, now_us: int) -> None:
        """Store the connection, or renew it. Checkpoints of another account are removed."""

    def update(self, connection: Connection) -> None:
        """Update the state of a connection. One that was removed meanwhile stays removed."""

    def disconnect(self, user_id: str, source: str) -> None:
        """Remove the connection. Its checkpoints stay, so that the same account can resume."""

    def forget(self, user_id: str) -> None:
        """Remove everything about the person, including records of runs."""

    def scrub(self) -> None:
        """Remove the last traces of removed rows from the disk.

        Raises:
            RetryLaterError: another process uses the file now.
        """

    def checkpoint(self, user_id: str, source: str, data_set: str) -> Checkpoint:
        """Return the data set's checkpoint, an empty one if there is none."""

    def latest_us(self, user_id: str, source: str, data_sets: Sequence[str]) -> int | None:
        """Return the latest time of a stored row of these data sets, None if there is none."""

    def save_checkpoint(self, user_id: str, source: str, data_set: str, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint."""

    def add_run(self, run: RunReport) -> None:
        """Store the record of a run."""

    def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        """Return records of runs, newest first."""

    def close(self) -> None:
        """Close every file."""


_SCHEMA = """
CREATE TABLE connections (
    user_id TEXT NOT NULL, source TEXT NOT NULL, account TEXT, connected_us INTEGER NOT NULL, tried_us INTEGER,
    succeeded_us INTEGER, due_us INTEGER, failures INTEGER NOT NULL, problem TEXT, needs_person INTEGER NOT NULL,
    PRIMARY KEY (user_id, source)
) WITHOUT ROWID;
CREATE TABLE checkpoints (
    user_id TEXT NOT NULL, source TEXT NOT NULL, data_set TEXT NOT NULL, account TEXT, last_us INTEGER,
    position_us INTEGER, PRIMARY KEY (user_id, source, data_set)
) WITHOUT ROWID;
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, data_set TEXT NOT NULL, user_id TEXT NOT NULL,
    outcome TEXT NOT NULL, read INTEGER NOT NULL, written INTEGER NOT NULL, unchanged INTEGER NOT NULL,
    rejected INTEGER NOT NULL, reasons TEXT NOT NULL, started_us INTEGER NOT NULL, duration_s REAL NOT NULL, error TEXT
);
CREATE INDEX runs_of_people ON runs (user_id, number);
"""
_RUN = "source, data_set, user_id, outcome, read, written, unchanged, rejected, reasons, started_us, duration_s, error"
_CONNECTION = "user_id, source, account, connected_us, tried_us, succeeded_us, due_us, failures, problem, needs_person"


@dataclass(slots=True)
class SqliteSyncState:
    """The state in a SQLite file, which processes of one machine may share. Every change is flushed to the disk."""

    path: Path
    _connection: sqlite3.Connection = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        pragmas = "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"
        self._connection = sqlite_file.opened(self.path, pragmas, self._migrate)

    def connections(self, user_id: str | None = None) -> Sequence[Connection]:
        where, values = ("WHERE user_id = ?", (user_id,)) if user_id is not None else ("", ())
        rows = self._rows(f"SELECT {_CONNECTION} FROM connections {where} ORDER BY user_id, source", *values)
        names = _CONNECTION.split(", ")
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [Connection(**each | {"needs_person": bool(each["needs_person"])}) for each in found]

    def connection(self, user_id: str, source: str) -> Connection | None:
        found = [each for each in self.connections(user_id) if each.source == source]
        return found[0] if found else None

    def connect(self, user_id: str, source: str, account: str | None, now_us: int) -> None:
        with self._changing():
            self._connection.execute(
                "DELETE FROM checkpoints WHERE user_id = ? AND source = ? AND account IS NOT ?",
                (user_id, source, account),
            )
            self._connection.execute(
                f"INSERT OR REPLACE INTO connections ({_CONNECTION}) VALUES (?, ?, ?, ?, NULL, NULL, NULL, 0, NULL, 0)",
                (user_id, source, account, now_us),
            )

    def update(self, connection: Connection) -> None:
        self._change(
            "UPDATE connections SET tried_us = ?, succeeded_us = ?, due_us = ?, failures = ?, problem = ?, "
            "needs_person = ? WHERE user_id = ? AND source = ? AND connected_us = ?",
            connection.tried_us,
            connection.succeeded_us,
            connection.due_us,
            connection.failures,
            connection.problem,
            connection.needs_person,
            connection.user_id,
            connection.source,
            connection.connected_us,  # a run begun before the person reconnected must not change it
        )

    def disconnect(self, user_id: str, source: str) -> None:
        self._change("DELETE FROM connections WHERE user_id = ? AND source = ?", user_id, source)

    def forget(self, user_id: str) -> None:
        with self._changing():
            for table in ("connections", "checkpoints", "runs"):
                self._connection.execute(f"DELETE FROM {table} WHERE user_id = ?", (user_id,))

    def scrub(self) -> None:
        with self._asking() as connection:
            connection.execute("VACUUM")
            (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise RetryLaterError("what is remembered of sources is in use", _PAUSE_S)

    def checkpoint(self, user_id: str, source: str, data_set: str) -> Checkpoint:
        rows = self._rows(
            "SELECT last_us, position_us FROM checkpoints WHERE user_id = ? AND source = ? AND data_set = ?",
            user_id,
            source,
            data_set,
        )
        return Checkpoint(*rows[0]) if rows else Checkpoint()

    def latest_us(self, user_id: str, source: str, data_sets: Sequence[str]) -> int | None:
        rows = self._rows(
            "SELECT max(last_us) FROM checkpoints WHERE user_id = ? AND source = ? "
            "AND data_set IN (SELECT value FROM json_each(?))",
            user_id,
            source,
            json.dumps(list(data_sets)),
        )
        latest_us: int | None = rows[0][0]
        return latest_us

    def save_checkpoint(self, user_id: str, source: str, data_set: str, checkpoint: Checkpoint) -> None:
        self._change(
            "INSERT OR REPLACE INTO checkpoints (user_id, source, data_set, account, last_us, position_us) VALUES "
            "(?1, ?2, ?3, (SELECT account FROM connections WHERE user_id = ?1 AND source = ?2), ?4, ?5)",
            user_id,
            source,
            data_set,
            checkpoint.last_us,
            checkpoint.position_us,
        )

    def add_run(self, run: RunReport) -> None:
        values = [getattr(run, name) for name in _RUN.split(", ")]
        values[8] = json.dumps(dict(run.reasons), ensure_ascii=False)
        with self._changing():
            self._connection.execute(f"INSERT INTO runs ({_RUN}) VALUES ({', '.join('?' * len(values))})", values)
            self._connection.execute(
                "DELETE FROM runs WHERE number <= (SELECT max(number) FROM runs) - ?", (RUNS_KEPT,)
            )

    def runs(self, wanted: RunFilter) -> Sequence[RunRecord]:
        rows = self._rows(
            f"SELECT number, {_RUN} FROM runs WHERE (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR source = ?2) "
            "AND (?3 IS NULL OR number < ?3) AND (?5 IS NULL OR user_id IN (SELECT value FROM json_each(?5))) "
            "ORDER BY number DESC LIMIT ?4",
            wanted.user_id,
            wanted.source,
            wanted.before,
            wanted.limit,
            None if wanted.people is None else json.dumps(sorted(wanted.people)),
        )
        names = _RUN.split(", ")
        found = [(number, dict(zip(names, values, strict=True))) for number, *values in rows]
        return [RunRecord(number, RunReport(**run | {"reasons": json.loads(run["reasons"])})) for number, run in found]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._asking() as connection:
            return connection.execute(statement, values).fetchall()

    def _change(self, statement: str, *values: Any) -> None:
        with self._changing() as connection:
            connection.execute(statement, values)

    def _changing(self) -> AbstractContextManager[sqlite3.Connection]:
        return sqlite_file.changing(self._connection, self._lock, self.path)

    def _asking(self) -> AbstractContextManager[sqlite3.Connection]:
        return sqlite_file.asking(self._connection, self._lock, self.path)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # two processes may open a new file at once
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise StopError(f"{self.path} was written by a newer version of the program")
            if version < _VERSION:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
