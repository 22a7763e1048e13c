"""Follow a store that other processes write to as well, by polling it for their commits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping

import pyarrow as pa

from pulsebase.live.commit_log import ChangedRange, CommitLog
from pulsebase.model.errors import PulsebaseError, TooManyRowsError
from pulsebase.model.readings import ReadingBatch
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import TimeRange
from pulsebase.model.users import MetricOverview
from pulsebase.stores.contract import Reader, SeriesQuery

logger = logging.getLogger(__name__)

#: A new reading is noticed within this time plus the time of the query.
POLL_S = 0.4
_MOST_ROWS = 1_000
#: What is stored of a person, by metric.
Overviews = Mapping[str, MetricOverview]
#: The origin of readings that were read back for the commit log, where nobody asks for it.
_NO_ORIGIN = 0


class StoreFollower:
    """Polls the number of readings and the last time of every watched person, metric by metric, and publishes changes
    to the commit log.

    Readings after the last known one are published as readings, any other change as a range to ask again. A reading
    that replaces another one is not noticed, since neither the number nor the last time changes.
    """

    def __init__(self, reader: Reader, commit_log: CommitLog, poll_s: float = POLL_S) -> None:
        self._reader, self._commit_log, self._poll_s = reader, commit_log, poll_s
        self._seen: dict[str, Overviews] = {}
        self._looking = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulsebase-follow", daemon=True)
        self._thread.start()

    def begin(self, people: Collection[str]) -> None:
        """Start following these people. Everything committed to their readings from now on is published while they are
        watched.

        Raises:
            PulsebaseError: the store cannot answer.
        """
        with self._looking:
            for user_id in people:
                if user_id not in self._seen:
                    self._seen[user_id] = self._overviews(user_id)

    def close(self) -> None:
        """Stop polling."""
        self._stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Poll once for everybody who is watched, and forget the others."""
        with self._looking:
            watched = self._commit_log.watched
            self._seen = {user_id: self._seen[user_id] for user_id in watched if user_id in self._seen}
            for user_id, before in self._seen.items():
                now = self._overviews(user_id)
                for metric in now.keys() | before.keys():
                    if metric not in now:
                        self._commit_log.publish_change(ChangedRange(user_id, _extent(before[metric])[1], metric))
                    elif now[metric] != before.get(metric):
                        self._tell(user_id, now[metric], before.get(metric))
                self._seen[user_id] = now

    def _overviews(self, user_id: str) -> Overviews:
        return {each.metric: each for each in self._reader.metrics(user_id)}

    def _tell(self, user_id: str, now: MetricOverview, before: MetricOverview | None) -> None:
        readings, everything = _extent(now)
        known, known_range = _extent(before) if before else (0, TimeRange(0, 0))
        behind = TimeRange(known_range.end_us, everything.end_us)
        rows = self._rows(user_id, behind, now.metric) if behind.length_us > 0 else None
        if rows is not None and len(rows):
            self._commit_log.publish([_batch(user_id, rows, now.metric)])
        if rows is None or len(rows) != readings - known:
            start_us = min(everything.start_us, known_range.start_us) if before else everything.start_us
            self._commit_log.publish_change(
                ChangedRange(user_id, TimeRange(start_us, max(everything.end_us, known_range.end_us)), now.metric)
            )

    def _rows(self, user_id: str, interval: TimeRange, metric: str) -> pa.Table | None:
        """Return the readings of the interval; None if they are too many to publish."""
        query = SeriesQuery(
            user_id, interval, Resolution.RAW, include_all=True, limit=_MOST_ROWS, kind="follow", metric=metric
        )
        try:
            return self._reader.series(query)
        except TooManyRowsError:
            return None

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_s):
            try:
                self.look()
            except PulsebaseError as error:  # the store may answer the next time, and what was missed is noticed then
                logger.warning("the store could not be followed: %s", error)
            except Exception:
                logger.exception("the store could not be followed")


def _extent(overview: MetricOverview) -> tuple[int, TimeRange]:
    if overview.first_us is None or overview.last_us is None:
        return 0, TimeRange(0, 0)
    return overview.readings, TimeRange(overview.first_us, overview.last_us + 1)


def _batch(user_id: str, rows: pa.Table, metric: str) -> ReadingBatch:
    return ReadingBatch.of_columns(
        [user_id] * len(rows),
        rows["device_id"].to_pylist(),
        rows["time_us"].to_numpy(),
        rows["value"].to_numpy(),
        rows["confidence"].to_pylist(),
        _NO_ORIGIN,
        metric,
    )
