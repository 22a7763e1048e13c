"""Rewriting what may still hold bytes of people who were removed: the engine leaves them until it reuses their space.

Removals note where rows lay (`to_scrub`). A scrub rewrites every table of ours, one at a time, locked meanwhile. Who
serves need not own them (see `roles`): a function of the owner does it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pulsebase.model.timerange import TimeRange
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.summaries import SUMMARIES

#: How long to wait for a table in use before giving up for now.
_LOCK_TIMEOUT_S = 30
_OURS = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname = 'pulsebase' AND tablename <> 'to_scrub'  -- which has times of nobody
"""


@dataclass(frozen=True, slots=True)
class ScrubNotes:
    """What removals until now have noted: the times between which rows lay, and which notes these are."""

    span: TimeRange
    places: tuple[str, ...]


def note_times(connection: Connection, times: str, values: Mapping[str, object]) -> None:
    """Note where rows of a person lie who is removed in this transaction; `times` is a query for their `timestamp`."""
    connection.execute(
        f"""
        INSERT INTO pulsebase.to_scrub
        SELECT coalesce(min(timestamp), 'epoch'), coalesce(max(timestamp), 'epoch') + interval '1 microsecond'
        FROM ({times}) AS times
        """,
        values,
    )


def noted(connection: Connection) -> ScrubNotes | None:
    """Return what is noted; None if nobody was removed since the last scrub."""
    rows = connection.execute("SELECT ctid::text, start_at, end_at FROM pulsebase.to_scrub", binary=True).fetchall()
    if not rows:
        return None
    span = TimeRange(min(start for _, start, _ in rows), max(end for _, _, end in rows))
    return ScrubNotes(span, tuple(place for place, *_ in rows))


def forget(connection: Connection, notes: ScrubNotes) -> None:
    """Note that everything was rewritten; what was noted since stays."""
    connection.execute("DELETE FROM pulsebase.to_scrub WHERE ctid::text = ANY(%s)", [list(notes.places)])


def tables_of_ours(connection: Connection) -> list[str]:
    """Return the names of all tables in the schema `pulsebase` that may hold bytes of somebody, and of summaries."""
    return [*(name for (name,) in connection.execute(_OURS).fetchall()), SUMMARIES]


def write_anew(connection: Connection, names: Collection[str]) -> None:
    """Rewrite these tables, which the owner of ours owns; in no transaction."""
    for name in names:
        connection.execute("SELECT pulsebase.write_anew(%s::regclass)", [name])


@contextlib.contextmanager
def waiting_briefly(connection: Connection) -> Iterator[None]:
    """Let statements of the block wait for a lock only so long, after which they fail."""
    connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("RESET lock_timeout")
