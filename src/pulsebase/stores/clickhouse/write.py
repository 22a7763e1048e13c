"""Writing: take a number, add the rows to the stage under it, and say that it is done. So are readings deleted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.errors import PulsebaseError, QueryTimeoutError, RejectedError, StoreUnavailableError
from pulsebase.model.readings import Ids, ReadingBatch
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.commits import PLACES
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.numbers import Numbers, assign, device_of, metric_of, person_of
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.postgres.database import Connection, PostgresDatabase

_GIVEN_UP = "the write took too long and was given up; nothing was kept"
#: How long a deletion waits before it looks again whether earlier commits are decided.
_PAUSE_S = 0.005
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Rows:
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
        settles = np.array([afresh or batch.origin in pushes for batch in batches], np.uint8)
        return cls(
            Ids.joined([batch.users for batch in batches]),
            Ids.joined([batch.devices for batch in batches]),
            Ids.joined([Ids.repeated(batch.metric, len(batch)) for batch in batches]),
            np.concatenate([batch.times_us for batch in batches]),
            np.concatenate([batch.values for batch in batches]),
            np.concatenate([batch.confidences for batch in batches]),
            np.repeat(origins, sizes),
            np.repeat(settles, sizes),
        )

    def __len__(self) -> int:
        return len(self.times_us)

    def pairs(self) -> npt.NDArray[np.int64]:
        """A number for each row's person and device, by which both can be told."""
        return self.users.codes.astype(np.int64) * len(self.devices.texts) + self.devices.codes

    def devices_of_people(self) -> list[tuple[str, str]]:
        count = len(self.devices.texts)
        return [self._pair(pair, count) for pair in np.unique(self.pairs()).tolist()]

    def _pair(self, pair: int, count: int) -> tuple[str, str]:
        return self.users.texts[pair // count], self.devices.texts[pair % count]

    def table(self, commit: int, numbers: Numbers) -> pa.Table:
        """The rows as the stage keeps them."""
        people = np.array([numbers.people[text] for text in self.users.texts], np.uint64)
        metrics = np.array([numbers.metrics[text] for text in self.metrics.texts], np.uint16)
        used, places = np.unique(self.pairs(), return_inverse=True)
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


class StageWriter:
    """Commits rows to the stage. It may be used by many threads, and in many processes."""

    def __init__(self, database: PostgresDatabase, cluster: ClickHouse, options: ClickHouseOptions) -> None:
        self._database, self._cluster, self._options = database, cluster, options

    def write(self, batches: Sequence[ReadingBatch], pushes: Collection[int], *, afresh: bool = False) -> None:
        """Keep the batches in one commit, see `contract.Writer.write`. `pushes` are the origins by which devices send.

        Raises:
            StoreUnavailableError: nothing was kept.
            OutcomeUnknownError: it is not known whether it was kept.
        """
        batches = [batch for batch in batches if len(batch)]
        if not batches:
            return
        rows = _Rows.of(batches, pushes, afresh=afresh)
        if len(rows) > PLACES:
            raise RejectedError.of("readings", f"are more than the {PLACES} that one commit may hold")

        def begin(connection: Connection) -> tuple[Numbers, int]:
            numbers = assign(connection, rows.devices_of_people(), rows.metrics.distinct())
            return numbers, commits.take(connection, len(rows), self._options.commit_lasts_s)

        numbers, commit = self._database.change(begin)
        with self._deciding(commit):
            self._cluster.insert("all_stage", rows.table(commit, numbers), self._options.insert_limit_s)
        self._finish(commit)

    def delete(self, user_id: str, interval: TimeRange, device_id: str | None = None, metric: str | None = None) -> int:
        """Remove a person's readings inside the interval, see `contract.Writer.delete`; how many there were.

        Raises:
            StoreUnavailableError: nothing was removed.
            OutcomeUnknownError: it is not known whether they were removed.
        """
        for _ in range(_ATTEMPTS):
            gone = self._delete(user_id, interval, device_id, metric)
            if gone is not None:
                return gone
        raise StoreUnavailableError("merges go on too fast for this deletion; nothing was removed", 2)

    def _delete(self, user_id: str, interval: TimeRange, device_id: str | None, metric: str | None) -> int | None:
        """Delete once; None if a merge made it uncertain what was there."""

        def begin(connection: Connection) -> tuple[str, int] | None:
            chosen = _chosen(connection, user_id, interval, device_id, metric)
            if chosen is None:
                return None
            return chosen, commits.take(connection, 0, self._options.commit_lasts_s)

        begun = self._database.change(begin)
        if begun is None:
            return 0
        chosen, commit = begun
        stamp = commit * PLACES
        with self._deciding(commit):
            state = self._state_before(commit)
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
            gone = int(sum(counted["n"].to_pylist()))
            certain = state.holds(self._database.read(commits.marks))
        if gone == 0 or not certain:
            self._database.change(lambda connection: commits.abort(connection, commit))
            return 0 if certain else None
        self._finish(commit, gone)
        return gone

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

    def _finish(self, commit: int, rows: int | None = None) -> None:
        def done(connection: Connection) -> bool:
            if rows is not None:
                commits.note_readings(connection, commit, rows)
            return commits.finish(connection, commit)

        if not self._database.change(done):
            raise StoreUnavailableError(_GIVEN_UP, 5)

    @contextlib.contextmanager
    def _deciding(self, commit: int) -> Iterator[None]:
        """Abort the commit if the block fails. If that is not possible now, it ends by itself in time."""
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(PulsebaseError):
                self._database.change(lambda connection: commits.abort(connection, commit))
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
