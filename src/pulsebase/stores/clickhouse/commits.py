"""The log of commits in PostgreSQL: it alone decides which rows of the cluster are seen.

A row in the cluster carries the number of its commit, and is visible when that commit is done. Whether a row is there
says nothing: an insertion is not one step over several shards.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.horizon import HORIZON

#: A stamp is the number of a commit times this, plus the row's place in it.
PLACES = 1 << 24
#: How many commits share a partition of the stage, which leaves it as a whole.
PARTITION = 100


#: Commits that nobody will end: their time is up, or the session that took their number has been gone for a moment, as
#: those of a process that died are. The moment is for writers that live, whose pool has replaced just this session.
_OVERDUE = """
state = 'in flight' AND (
    ends_at < clock_timestamp()
    OR began_at < clock_timestamp() - interval '2 s' AND session IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_stat_activity WHERE pid = session AND coalesce(backend_start <= began_at, true)
    )
)
"""
#: The horizon of writes, in microseconds UTC.
_HORIZON_US = f"(extract(epoch FROM {HORIZON}) * 1000000)::bigint"


@dataclass(frozen=True, slots=True)
class Marks:
    """How far merges have come, as numbers of commits.

    Attributes:
        merging_to: up to here a merge may have begun to write.
        merged: up to here everything is among the readings.
        dropped_to: up to here rows may be gone from the stage.
        horizon_us: readings before it have expired, in microseconds UTC.
        scrubs: how often rows of people who were removed have begun to be wiped out.
    """

    merging_to: int
    merged: int
    dropped_to: int
    horizon_us: int = 0
    scrubs: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the store.

    Attributes:
        last: the newest commit of this state.
        merged: up to here everything is among the readings; later commits are in the stage.
        hidden: the commits between these that are not done: in flight, or aborted.
        first_in_flight: the first of them that may still be done; `last + 1` if none may.
        horizon_us: readings before it have expired, in microseconds UTC.
        scrubs: how often rows of people who were removed have begun to be wiped out.
    """

    last: int
    merged: int
    hidden: tuple[int, ...]
    first_in_flight: int
    horizon_us: int = 0
    scrubs: int = 0

    def condition(self) -> str:
        """Write the condition that a row of the view `rows` is visible. It is made of numbers alone."""
        return f"({self.not_expired()} AND (merged OR ({self._in_stage()})))"

    def staged(self) -> str:
        """Write the condition that a row of the stage is visible, and not among the readings of this state."""
        return f"{self.not_expired()} AND {self._in_stage()}"

    def not_expired(self) -> str:
        """Write the condition that a reading is not before the horizon."""
        return f"time >= {self.horizon_us}"

    def _in_stage(self) -> str:
        inside = f"stamp >= {(self.merged + 1) * PLACES} AND stamp < {(self.last + 1) * PLACES}"
        return f"{inside} AND {self.not_hidden()}"

    def not_hidden(self) -> str:
        """Write the condition that a row of the stage belongs to none of the hidden commits."""
        if not self.hidden:
            return "true"
        return f"intDiv(stamp, {PLACES}) NOT IN ({', '.join(map(str, self.hidden))})"

    def holds(self, now: Marks) -> bool:
        """Whether an answer of this state that was read until `now` is right.

        The engine may have dropped a row that a merged one replaced: that is the same row if the state sees whatever
        was merged. And the stage must still have had what this state does not find among the readings. What expires,
        and rows of people who were removed, begin to go once the marks say so.
        """
        kept = now.horizon_us == self.horizon_us and now.scrubs == self.scrubs
        return kept and now.merging_to < self.first_in_flight and now.dropped_to <= self.merged


def take(connection: Connection, readings: int, lasts_s: float) -> int:
    """Return the number of a new commit, which is in flight for so long. To be called last in a transaction: until
    this ends, no other commit gets a number, so that whoever sees a commit sees all before it.
    """
    row = connection.execute(_take("%s", "%s"), [readings, lasts_s]).fetchone()
    assert row is not None
    return int(row[0])


@dataclass(frozen=True, slots=True)
class Taken:
    """A new commit, and the horizon from which on it may hold readings, in microseconds UTC."""

    number: int
    horizon_us: int


def take_for(connection: Connection, people: Collection[int], readings: int, lasts_s: float) -> Taken | None:
    """Take a number as `take` does, for readings of these people, by number; None if one of them was removed, and the
    transaction has to be given up. Until it ends, none of them can be removed.
    """
    found = connection.execute(
        "SELECT count(*) FROM (SELECT FROM pulsebase.users "
        f"WHERE user_no IN ({', '.join(map(str, sorted(people)))}) FOR KEY SHARE) AS known; "
        f"{_take(str(int(readings)), str(float(lasts_s)))}; "
        f"SELECT {_HORIZON_US}".encode()
    )
    answers = [found.fetchone()]
    while found.nextset():
        answers.append(found.fetchone())
    (known,), (number,), (horizon_us,) = (answer or (0,) for answer in answers)
    return Taken(number, horizon_us) if known == len(people) else None


def _take(readings: str, lasts_s: str) -> str:
    return (
        "WITH taken AS (UPDATE pulsebase.commit_marks SET last = last + 1 RETURNING last) "
        "INSERT INTO pulsebase.commits (number, readings, ends_at) "
        f"SELECT last, {readings}, clock_timestamp() + make_interval(secs => {lasts_s}) FROM taken RETURNING number"
    )


def note_readings(connection: Connection, number: int, readings: int) -> None:
    """Say how many rows a commit has, where that was not known when it began."""
    connection.execute("UPDATE pulsebase.commits SET readings = %s WHERE number = %s", [readings, number])


def finish(connection: Connection, number: int) -> bool:
    """Make a commit visible; False if it was aborted meanwhile."""
    return _decide(connection, number, "done")


def abort(connection: Connection, number: int) -> bool:
    """Give a commit up for good; False if it was decided before."""
    return _decide(connection, number, "aborted")


def _decide(connection: Connection, number: int, state: str) -> bool:
    changed = "UPDATE pulsebase.commits SET state = %s WHERE number = %s AND state = 'in flight'"
    return connection.execute(changed, [state, number]).rowcount == 1


def abort_overdue(connection: Connection) -> int:
    """Give up the commits that nobody will end, as their writers are gone or take too long; how many."""
    return connection.execute(f"UPDATE pulsebase.commits SET state = 'aborted' WHERE {_OVERDUE}").rowcount


def snapshot(connection: Connection, last: int | None = None) -> Snapshot:
    """Return the state after the newest commit, or after the commit `last`."""
    row = connection.execute(
        "SELECT m.last, m.merged, ARRAY(SELECT number FROM pulsebase.commits AS c "
        "WHERE c.state <> 'done' AND c.number > m.merged AND c.number <= m.last ORDER BY number), "
        "(SELECT min(number) FROM pulsebase.commits AS c WHERE c.state = 'in flight' AND c.number <= m.last), "
        "expired_us, scrubs "
        "FROM (SELECT least(last, %s::bigint) AS last, merged, expired_us, scrubs FROM pulsebase.commit_marks) AS m",
        [last],
    ).fetchone()
    assert row is not None
    newest, merged, hidden, in_flight, *rest = row
    return Snapshot(newest, merged, tuple(hidden), newest + 1 if in_flight is None else in_flight, *rest)


def marks(connection: Connection) -> Marks:
    """Return how far merges have come."""
    row = connection.execute(
        "SELECT merging_to, merged, dropped_to, expired_us, scrubs FROM pulsebase.commit_marks"
    ).fetchone()
    assert row is not None
    return Marks(*row)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for merges.

    Attributes:
        marks: how far they have come.
        last: the newest commit.
        decided: up to here all commits are done or aborted.
        overdue: whether commits are in flight that nobody will end.
        unmerged: about how many readings are in commits that are not merged.
        merged: how many readings were in those that are.
    """

    marks: Marks
    last: int
    decided: int
    overdue: bool
    unmerged: int
    merged: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Commits that are not merged: how many, and for how long the oldest that is in flight has been, in seconds."""

    commits: int
    in_flight_s: float


def waiting(connection: Connection) -> Waiting:
    """Return what there is of commits that are not merged."""
    row = connection.execute(
        "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() "
        "- min(began_at) FILTER (WHERE state = 'in flight')), 0)::float8 FROM pulsebase.commits"
    ).fetchone()
    assert row is not None
    return Waiting(*row)


def backlog(connection: Connection) -> Backlog:
    """Return what waits for merges."""
    row = connection.execute(
        "SELECT last, coalesce((SELECT min(number) FROM pulsebase.commits WHERE state = 'in flight'), last + 1), "
        f"EXISTS (SELECT FROM pulsebase.commits WHERE {_OVERDUE}), "
        "(SELECT coalesce(sum(readings), 0) FROM pulsebase.commits WHERE number > merged AND state <> 'aborted'), "
        "merged_readings FROM pulsebase.commit_marks"
    ).fetchone()
    assert row is not None
    last, in_flight, overdue, unmerged, merged = row
    return Backlog(marks(connection), last, in_flight - 1, overdue, int(unmerged), merged)


def reach(connection: Connection, after: int, to: int, readings: int) -> int:
    """Return the last commit up to `to` so that those after `after` hold no more readings than that; one at least."""
    row = connection.execute(
        "SELECT max(number) FROM (SELECT number, row_number() OVER by_number AS place, sum(readings) OVER by_number "
        "AS so_far FROM pulsebase.commits WHERE number > %s AND number <= %s WINDOW by_number AS (ORDER BY number)) "
        "AS c WHERE so_far <= %s OR place = 1",
        [after, to, readings],
    ).fetchone()
    return after if row is None or row[0] is None else int(row[0])


def begin_merge(connection: Connection, to: int) -> None:
    """Say that a merge up to this commit begins to write."""
    connection.execute("UPDATE pulsebase.commit_marks SET merging_to = greatest(merging_to, %s)", [to])


def end_merge(connection: Connection, after: int, to: int) -> bool:
    """Say that everything up to this commit is merged; False if another process has merged meanwhile."""
    moved = "UPDATE pulsebase.commit_marks SET (merged, days_to) = (%(to)s, %(to)s) WHERE merged = %(after)s"
    if connection.execute(moved, {"to": to, "after": after}).rowcount == 0:
        return False
    connection.execute(
        "WITH gone AS (DELETE FROM pulsebase.commits WHERE number <= %s RETURNING readings, state) "
        "UPDATE pulsebase.commit_marks SET merged_readings = merged_readings "
        "+ coalesce((SELECT sum(readings) FROM gone WHERE state = 'done'), 0)",
        [to],
    )
    return True


def move_horizon(connection: Connection, to_us: int) -> None:
    """Say that readings before this time, which are merged, have expired for questions."""
    connection.execute("UPDATE pulsebase.commit_marks SET expired_us = greatest(expired_us, %s)", [to_us])


def begin_scrub(connection: Connection) -> None:
    """Say that rows of people who were removed begin to be wiped out."""
    connection.execute("UPDATE pulsebase.commit_marks SET scrubs = scrubs + 1")


def begin_drop(connection: Connection, to: int) -> None:
    """Say that rows up to this commit, which is merged, may be gone from the stage."""
    connection.execute("UPDATE pulsebase.commit_marks SET dropped_to = greatest(dropped_to, %s)", [to])


def hold(connection: Connection, holder: uuid.UUID, state: Snapshot, lasts_s: float) -> None:
    """Ask merges not to pass a state for so long; again with the same holder, from now on."""
    connection.execute(
        "INSERT INTO pulsebase.held_states VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s)) "
        "ON CONFLICT (holder) DO UPDATE "
        "SET (merge_to, drop_to, ends_at) = (excluded.merge_to, excluded.drop_to, excluded.ends_at)",
        [holder, state.first_in_flight - 1, state.merged, lasts_s],
    )


def let_go(connection: Connection, holder: uuid.UUID) -> None:
    """Let merges pass the state of this holder, and those whose time is up."""
    connection.execute("DELETE FROM pulsebase.held_states WHERE holder = %s OR ends_at < clock_timestamp()", [holder])


def held(connection: Connection) -> tuple[int | None, int | None]:
    """Return how far merges may come, and up to where rows may leave the stage; None without limit."""
    row = connection.execute(
        "SELECT min(merge_to), min(drop_to) FROM pulsebase.held_states WHERE ends_at >= clock_timestamp()"
    ).fetchone()
    assert row is not None
    merge_to, drop_to = row
    return merge_to, drop_to


def hold_lease(connection: Connection, name: str, holder: uuid.UUID, lasts_s: float) -> bool:
    """Take or prolong the right to do something alone; False if another one has it.

    Whoever lets it run out may still be at work: what is done under a lease has to do no harm when it is done twice.
    """
    held = connection.execute(
        "INSERT INTO pulsebase.leases AS l VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s)) "
        "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at "
        "WHERE l.holder = excluded.holder OR l.ends_at < clock_timestamp()",
        [name, holder, lasts_s],
    )
    return held.rowcount == 1


def release_lease(connection: Connection, name: str, holder: uuid.UUID) -> None:
    """Give the right back, if it is still this one's."""
    connection.execute("DELETE FROM pulsebase.leases WHERE name = %s AND holder = %s", [name, holder])
