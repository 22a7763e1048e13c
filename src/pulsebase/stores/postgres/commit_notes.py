"""Notes of what commits changed, in the transactions of these commits: `contract.CommitNotes` for server stores."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.stores.contract import CommitNote
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

#: Of whom and of what, from when until when, and how many readings were written. See `contract.CommitNote`.
Change = tuple[str | None, str | None, int, int, int]

#: How long `want` waits for transactions that began before it, and how often it looks.
_WAIT_S, _LOOK_S = 30.0, 0.01
#: One statement for all notes of a commit, which may be of thousands of people.
_ADD = (
    "INSERT INTO pulsebase.commit_notes (user_id, metric, start_us, end_us, readings) "
    "SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
)


def note(connection: Connection, changes: Callable[[], Iterable[Change]]) -> None:
    """Note changes of this transaction, if notes are wanted; otherwise they are not asked for."""
    if connection.execute("SELECT FROM pulsebase.commit_notes_wanted").fetchone() is None:
        return
    if found := list(changes()):
        connection.execute(_ADD, [list(column) for column in zip(*found, strict=True)])


def everything_of(user_id: str | None) -> Sequence[Change]:
    """Say that whatever is known of a person may have changed, or of everybody."""
    return [(user_id, None, 0, MAX_US, 0)]


def changes_of(batches: Sequence[ReadingBatch]) -> list[Change]:
    """Return what these batches write: a change for each person and metric."""
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for batch in batches:
        count = len(batch.users.texts)
        first = np.full(count, MAX_US, np.int64)
        last = np.full(count, -1, np.int64)
        np.minimum.at(first, batch.users.codes, batch.times_us)
        np.maximum.at(last, batch.users.codes, batch.times_us)
        sizes = np.bincount(batch.users.codes, minlength=count)
        for code in np.flatnonzero(sizes).tolist():
            key = batch.users.texts[code], batch.metric
            start, end, readings = found.get(key, (MAX_US, 0, 0))
            found[key] = (
                min(start, int(first[code])),
                max(end, int(last[code]) + 1),
                readings + int(sizes[code]),
            )
    return [(*key, *change) for key, change in found.items()]


def forget(connection: Connection, user_id: str) -> None:
    """Drop the notes of a person."""
    connection.execute("DELETE FROM pulsebase.commit_notes WHERE user_id = %s", [user_id])


@dataclass(frozen=True, slots=True)
class PostgresCommitNotes:
    """See `contract.CommitNotes`."""

    database: PostgresDatabase

    def want(self, wanted: bool) -> None:
        """See `contract.CommitNotes.want`.

        Raises:
            StoreUnavailableError: transactions that began before take too long; it may be asked for again.
        """
        if not wanted:
            self.database.change(_unwanted)
            return
        if self.database.read(_is_wanted):
            return
        self.database.change(
            lambda connection: (
                connection.execute(
                    "INSERT INTO pulsebase.commit_notes_wanted DEFAULT VALUES ON CONFLICT DO NOTHING"
                ).rowcount
            )
        )
        # A transaction that began before may have looked already, and commit after this returned.
        next_id, give_up_at = self.database.read(_transactions)[1], time.monotonic() + _WAIT_S
        while self.database.read(_transactions)[0] < next_id:
            if time.monotonic() > give_up_at:
                self.database.change(_unwanted)
                raise StoreUnavailableError("the database is busy with a long transaction", retry_after_s=30)
            time.sleep(_LOOK_S)

    def notes(self, most: int) -> Sequence[CommitNote]:
        def look(connection: Connection) -> Sequence[CommitNote]:
            rows = connection.execute(
                "SELECT number, user_id, metric, start_us, end_us, readings FROM pulsebase.commit_notes "
                "ORDER BY number LIMIT %s",
                [most],
            ).fetchall()
            return [
                CommitNote(number, user_id, metric, TimeRange(start_us, end_us), readings)
                for number, user_id, metric, start_us, end_us, readings in rows
            ]

        return self.database.read(look)

    def drop(self, numbers: Collection[int]) -> None:
        delete = "DELETE FROM pulsebase.commit_notes WHERE number = ANY(%s)"
        self.database.change(lambda connection: connection.execute(delete, [list(numbers)]).rowcount)


def _unwanted(connection: Connection) -> None:
    connection.execute("DELETE FROM pulsebase.commit_notes_wanted")
    connection.execute("DELETE FROM pulsebase.commit_notes")


def _is_wanted(connection: Connection) -> bool:
    return connection.execute("SELECT FROM pulsebase.commit_notes_wanted").fetchone() is not None


def _transactions(connection: Connection) -> tuple[int, int]:
    """Return the number of the oldest transaction under way that changes something, and the next to be given."""
    row = connection.execute(
        "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() AS s"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
