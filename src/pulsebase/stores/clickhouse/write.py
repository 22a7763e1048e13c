"""Writing: take a number, add the rows to the stage under it, and say that it is done. So are readings deleted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.columns import Columns, distinct_numbers
from pulsebase.model.errors import PulsebaseError, QueryTimeoutError, RejectedError, StoreUnavailableError
from pulsebase.model.readings import Ids, ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.commits import PLACES, Snapshot, Taken
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.numbers import KnownNumbers, Numbers, assign, device_of, metric_of, person_of
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.origins import gone
from pulsebase.stores.clickhouse.removal import RemovedPeople, removed_people
from pulsebase.stores.postgres.commit_notes import Change, changes_of, everything_of, note
from pulsebase.stores.postgres.database import Connection, PostgresDatabase
from pulsebase.stores.postgres.horizon import horizon_us
from pulsebase.stores.postgres.origins import kinds_of

_GIVEN_UP = "the write took too long and was given up; nothing was kept"
#: How long a deletion waits before it looks again whether earlier commits are decided.
_PAUSE_S = 0.005
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Rows(Columns):
    """The rows of a commit, in their order."""

    users: Ids
    devices: Ids
    metrics: Ids
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]
    origins: npt.NDArray[np.uint32]
    settles: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, batches: Sequence[ReadingBatch], pushes: Collection[int], *, afresh: bool) -> _Rows:
        sizes = [len(batch) for batch in batches]
        origins = np.array([batch.origin for batch in batches], np.uint32)
        settles = np.array([batch.origin in pushes for batch in batches], np.uint8)
        rows = cls(
            Ids.joined([batch.users for batch in batches]),
            Ids.joined([batch.devices for batch in batches]),
            Ids.joined([Ids.repeated(batch.metric, len(batch)) for batch in batches]),
            np.concatenate([batch.times_us for batch in batches]),
            np.concatenate([batch.values for batch in batches]),
            np.concatenate([batch.confidences for batch in batches]),
            np.repeat(origins, sizes),
            np.repeat(settles, sizes),
        )
        return rows._afresh() if afresh else rows

    def _afresh(self) -> _Rows:
        """The same, with the first row of each reading settling its origin, as if nothing had been stored before."""
        order = np.lexsort((self.times_us, self.metrics.codes, self.pairs()))
        same = np.zeros(len(self), np.bool_)
        for column in (self.times_us, self.metrics.codes, self.pairs()):
            ordered = column[order]
            same[1:] |= ordered[1:] != ordered[:-1]
        settles = self.settles.copy()
        settles[order[:1]] = 1
        settles[order[same]] = 1
        return replace(self, settles=settles)

    def since(self, time_us: int) -> _Rows:
        """The rows from this time on."""
        kept = self.times_us >= time_us
        return self if kept.all() else self.take(kept)

    def pairs(self) -> npt.NDArray[np.int64]:
        """A number for each row's person and device, by which both can be told."""
        return self.users.codes.astype(np.int64) * len(self.devices.texts) + self.devices.codes

    def devices_of_people(self) -> list[tuple[str, str]]:
        count = len(self.devices.texts)
        return [self._pair(pair, count) for pair in distinct_numbers(self.pairs())[0].tolist()]

    def _pair(self, pair: int, count: int) -> tuple[str, str]:
        return self.users.texts[pair // count], self.devices.texts[pair % count]

    def table(self, commit: int, numbers: Numbers) -> pa.Table:
        """The rows as the stage keeps them."""
        people = np.array([numbers.people.get(text, 0) for text in self.users.texts], np.uint64)
        metrics = np.array([numbers.metrics.get(text, 0) for text in self.metrics.texts], np.uint16)
        used, places = distinct_numbers(self.pairs())
        count = len(self.devices.texts)
        named = [self._pair(pair, count) for pair in used.tolist()]
        devices = np.array([numbers.devices[numbers.people[user], device] for user, device in named], np.uint32)
        return pa.table(
            {
                "person": people[self.users.codes],
                "metric": metrics[self.metrics.codes],
                "time": self.times_us,
                "device": devices[places],
                "value": self.values,
                "confidence": self.confidences,
                "origin": self.origins,
                "settles": self.settles,
                "gone": np.zeros(len(self), np.uint8),
                "stamp": commit * PLACES + np.arange(len(self), dtype=np.uint64),
            }
        )


class _RemovedError(Exception):
    """Somebody whose number was known has been removed; it never leaves this module."""


class StageWriter:
    """Commits rows to the stage. It may be used by many threads, and in many processes."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options
        self._known = KnownNumbers()
        #: Whether devices push by an origin, which stays so.
        self._pushes: dict[int, bool] = {}
        #: The horizon when this last looked; it never moves back.
        self._horizon_us = 0

    def write(
        self, batches: Sequence[ReadingBatch], pushes: Collection[int] | None = None, *, afresh: bool = False
    ) -> None:
        """Keep the batches in one commit, see `contract.Writer.write` and `write_afresh`. `pushes` are the origins by
        which devices send; without them they are looked up.

        Raises:
            StoreUnavailableError: nothing was kept.
            OutcomeUnknownError: it is not known whether it was kept.
        """
        batches = [batch for batch in batches if len(batch)]
        if not batches:
            return
        if pushes is None:
            pushes = self._push_origins({batch.origin for batch in batches})
        rows = _Rows.of(batches, pushes, afresh=afresh)
        if len(rows) > PLACES:
            raise RejectedError.of("readings", f"are more than the {PLACES} that one commit may hold")
        begun = self._begin(rows.since(self._horizon_us))
        if begun is None:
            return
        rows, numbers, commit = begun
        with self._deciding(commit):
            if len(rows):
                self._cluster.insert("stage", rows.table(commit, numbers), self._options.insert_limit_s)
        self._finish(commit, lambda: changes_of(batches))

    def _push_origins(self, origins: set[int]) -> set[int]:
        """Return those of the origins by which devices push."""
        if not origins <= self._pushes.keys():
            self._pushes.update(self._database.read(lambda connection: kinds_of(connection, origins)))
        return {origin for origin in origins if self._pushes.get(origin)}

    def _begin(self, rows: _Rows) -> tuple[_Rows, Numbers, int] | None:
        """Take a number for these rows, but for those before the horizon; None if all of them are."""
        if not len(rows):
            return None
        devices, metrics = rows.devices_of_people(), rows.metrics.distinct()
        numbers = self._known.find(devices, metrics)
        if numbers is not None:
            taken = self._take(rows, numbers)
            if taken is not None:
                self._horizon_us = max(self._horizon_us, taken.horizon_us)
                return rows.since(taken.horizon_us), numbers, taken.number
            self._known.forget(numbers.people)

        def begin(connection: Connection) -> tuple[_Rows, Numbers, int] | None:
            kept = rows.since(horizon_us(connection))
            if not len(kept):
                return None
            found = assign(connection, kept.devices_of_people(), kept.metrics.distinct())
            commit = commits.take(connection, len(kept), self._options.commit_lasts_s)
            # It may have moved until the number was taken, and does not move between numbers.
            return kept.since(horizon_us(connection)), found, commit

        begun = self._database.change(begin)
        if begun is not None:
            self._known.add(begun[1])
        return begun

    def _take(self, rows: _Rows, numbers: Numbers) -> Taken | None:
        """Take a number for rows of people who were known; None if one of them has been removed."""

        def begin(connection: Connection) -> Taken:
            taken = commits.take_for(connection, numbers.people.values(), len(rows), self._options.commit_lasts_s)
            if taken is None:
                raise _RemovedError
            return taken

        try:
            return self._database.change(begin)
        except _RemovedError:
            return None

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        """Remove a person's readings inside the interval, see `contract.Writer.delete`; how many there were.

        Raises:
            StoreUnavailableError: nothing was removed.
            OutcomeUnknownError: it is not known whether they were removed.
        """
        chosen = ""

        def begin(connection: Connection) -> int | None:
            nonlocal chosen
            found = _chosen(connection, user_id, interval, device_id, metric)
            if found is None:
                return None
            chosen = found
            return commits.take(connection, 0, self._options.commit_lasts_s)

        def add(state: Snapshot, stamp: int) -> int:
            self._cluster.command(
                "INSERT INTO all_stage (person, metric, time, device, value, confidence, origin, settles, gone, stamp) "
                f"SELECT person, metric, time, device, 0, -1, 0, 0, 1, {stamp} FROM all_rows "
                f"WHERE {chosen} AND {state.condition()} "
                "GROUP BY person, metric, time, device HAVING argMax(gone, stamp) = 0",
                self._options.insert_limit_s,
            )
            counted = self._cluster.ask(
                f"SELECT count() AS n FROM all_stage WHERE {chosen} AND stamp = {stamp}", self._options.insert_limit_s
            )
            return int(sum(counted["n"].to_pylist()))

        return self._delete(begin, add, [(user_id, metric, interval.start_us, interval.end_us, 0)])

    def delete_origin(self, origin: int, most: int) -> int:
        """Remove readings that are stored under an origin, see `contract.Writer.delete_origin`; how many went.

        Raises:
            StoreUnavailableError: nothing was removed.
            OutcomeUnknownError: it is not known whether they were removed.
        """
        removed: tuple[int, ...] = ()

        def begin(connection: Connection) -> int:
            nonlocal removed
            removed = removed_people(connection)
            return commits.take(connection, 0, self._options.commit_lasts_s)

        def add(state: Snapshot, stamp: int) -> int:
            count = 0
            for server in self._cluster.shards().values():
                if count < most:
                    statement = gone(RemovedPeople(state, removed), origin, most - count, stamp)
                    server.command(statement, self._options.insert_limit_s)
                    asked = f"SELECT count() AS n FROM stage WHERE stamp = {stamp}"
                    count += server.ask(asked, self._options.insert_limit_s)["n"][0].as_py()
            return count

        return self._delete(begin, add, everything_of(None))

    def _delete(
        self,
        begin: Callable[[Connection], int | None],
        add: Callable[[Snapshot, int], int],
        changes: Sequence[Change],
    ) -> int:
        """Delete readings in a commit. `begin` takes its number, unless there is nothing to delete; `add` adds the rows
        by which what it finds in a state is gone, with this stamp, and returns how many there are. `changes` are noted.
        """
        for _ in range(_ATTEMPTS):
            commit = self._database.change(begin)
            if commit is None:
                return 0
            with self._deciding(commit):
                state = self._state_before(commit)
                # What the horizon of writes has passed stays as it is, though questions may see it for a moment longer.
                horizon = max(state.horizon_us, self._database.read(horizon_us))
                count = add(replace(state, horizon_us=horizon), commit * PLACES)
                certain = state.holds(self._database.read(commits.marks))
            if certain and count:
                self._finish(commit, lambda: changes, count)
                return count
            self._abort(commit)
            if certain:
                return 0
        raise StoreUnavailableError("merges go on too fast for this deletion; nothing was removed", 2)

    def _abort(self, commit: int) -> None:
        self._database.change(lambda connection: commits.abort(connection, commit))

    def _state_before(self, commit: int) -> commits.Snapshot:
        """Wait until everything before a commit is decided, and return the state then: so nothing of it is missed."""
        give_up_at = time.monotonic() + self._options.insert_limit_s
        while True:
            self._database.change(commits.abort_overdue)
            state = self._database.read(lambda connection: commits.snapshot(connection, commit - 1))
            if state.first_in_flight == commit:
                return state
            if time.monotonic() > give_up_at:
                raise StoreUnavailableError("writes that began before take too long; nothing was removed", 5)
            time.sleep(_PAUSE_S)

    def _finish(self, commit: int, changes: Callable[[], Sequence[Change]], rows: int | None = None) -> None:
        def done(connection: Connection) -> bool:
            if rows is not None:
                commits.note_readings(connection, commit, rows)
            if not commits.finish(connection, commit):
                return False
            note(connection, changes)
            return True

        if not self._database.change(done):
            raise StoreUnavailableError(_GIVEN_UP, 5)

    @contextlib.contextmanager
    def _deciding(self, commit: int) -> Iterator[None]:
        """Abort the commit if the block fails. If that is not possible now, it ends by itself in time."""
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(PulsebaseError):
                self._abort(commit)
            if isinstance(error, QueryTimeoutError):
                raise StoreUnavailableError(_GIVEN_UP, 5) from error
            raise


def _chosen(
    connection: Connection, user_id: str, interval: TimeRange, device_id: str | None, metric: str | None
) -> str | None:
    """Write the condition for the readings that are to go, made of numbers alone; None if there can be none."""
    person = person_of(connection, user_id)
    if person is None:
        return None
    conditions = [f"person = {person}", f"time >= {interval.start_us}", f"time < {interval.end_us}"]
    if metric is not None:
        number = metric_of(connection, metric)
        if number is None:
            return None
        conditions.append(f"metric = {number}")
    if device_id is not None:
        device = device_of(connection, person, device_id)
        if device is None:
            return None
        conditions.append(f"device = {device}")
    return " AND ".join(conditions)
