"""The latest commits, kept for clients that follow along.

Commits are appended to a ring, and readers read on from a place in it. A reader has no queue of its own, so that a slow
one costs nothing and delays nobody: what it has not read in time is gone, and it is told so.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt

from pulsebase.model.columns import Columns
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import Ids, ReadingBatch
from pulsebase.model.timerange import MAX_US, TimeRange

#: Limits the number of commits, since each takes about a kilobyte however few readings it holds.
MOST_COMMITS = 20_000
#: One message lists at most this many readings, divided among its people. For more, it states only the time range.
MOST_TOLD = 5_000
_FEWEST_TOLD = 50
ALL_TIME = TimeRange(0, MAX_US)


@dataclass(frozen=True, slots=True)
class ChangedRange:
    """A time range in which readings of a metric (of all without one) of a person (of everybody without an id) changed,
    so that clients must ask again.
    """

    user_id: str | None
    range: TimeRange
    metric: str | None = None

    def concerns(self, people: Collection[str], metrics: Collection[str]) -> bool:
        """Whether it changed readings of any of these people in any of these metrics."""
        return (self.user_id is None or self.user_id in people) and (self.metric is None or self.metric in metrics)


@dataclass(frozen=True, slots=True)
class CommittedReadings(Columns):
    """One person's new readings of a metric in commit order. Of two with the same device and time the later one is
    valid.
    """

    devices: Ids
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Commits:
    """What was committed up to `place`: readings by person and metric, and time ranges to ask again."""

    place: int
    readings: dict[tuple[str, str], CommittedReadings]
    changed: list[ChangedRange]


@dataclass
class _Commit:
    """One commit: the batches it wrote, or the range that it changed."""

    batches: Sequence[ReadingBatch] = ()
    change: ChangedRange | None = None
    readings: int = field(init=False)

    def __post_init__(self) -> None:
        self.readings = sum(map(len, self.batches))

    @cached_property
    def codes(self) -> list[dict[str, list[int]]]:
        """For each batch, the codes of each person in its column. Computed once, when the first client reads it."""
        return [_codes_in(batch) for batch in self.batches]


class CommitLog:
    """The latest commits, with at most `most_readings` readings in all (the newest commit is kept whatever its size).

    Every method may be called from any thread; `publish` and `publish_change` neither wait nor fail.
    """

    def __init__(self, most_readings: int) -> None:
        #: Tells this log's places from those of another one, before a restart or in another process.
        self.instance = secrets.token_hex(4)
        self._most_readings = most_readings
        self._commits: deque[_Commit] = deque()
        self._readings = 0
        self._place = 0
        self._lock = threading.Lock()
        self._wakers: tuple[Callable[[], None], ...] = ()
        self._watched: Counter[str] = Counter()

    def publish(self, batches: Sequence[ReadingBatch]) -> None:
        """Publish readings that are durable and visible."""
        self._append(_Commit(batches))

    def publish_change(self, change: ChangedRange) -> None:
        """Publish a time range whose readings were deleted or changed."""
        self._append(_Commit(change=change))

    @property
    def place(self) -> int:
        """The place after the last commit."""
        return self._place

    @property
    def watched(self) -> list[str]:
        """The people whom a client follows now."""
        with self._lock:
            return sorted(self._watched)

    @contextlib.contextmanager
    def watching(self, people: Collection[str], wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` after every commit while the block runs, from any thread. It must be quick and must not raise."""
        with self._lock:
            self._watched.update(people)
            self._wakers = (*self._wakers, wake)
        try:
            yield
        finally:
            with self._lock:
                self._watched.subtract(people)
                self._watched += Counter()  # drops those at zero
                self._wakers = tuple(each for each in self._wakers if each is not wake)

    def since(
        self, place: int, people: Collection[str], metrics: Collection[str] = (HEART_RATE.name,)
    ) -> Commits | None:
        """Return what was committed after a place for these people in these metrics; None if the ring no longer has all
        of it.
        """
        with self._lock:
            missed = self._place - place
            if not 0 <= missed <= len(self._commits):
                return None
            commits = list(islice(reversed(self._commits), missed))[::-1]
            news = Commits(self._place, {}, [])
        _tell(news, commits, people, metrics)
        return news

    def _append(self, commit: _Commit) -> None:
        with self._lock:
            self._commits.append(commit)
            self._readings += commit.readings
            self._place += 1
            while len(self._commits) > 1 and (
                self._readings > self._most_readings or len(self._commits) > MOST_COMMITS
            ):
                self._readings -= self._commits.popleft().readings
            wakers = self._wakers
        for wake in wakers:
            wake()


def _codes_in(batch: ReadingBatch) -> dict[str, list[int]]:
    present = np.flatnonzero(np.bincount(batch.users.codes)).tolist()
    found: dict[str, list[int]] = {}
    for code in present:
        found.setdefault(batch.users.texts[code], []).append(code)
    return found


def _tell(news: Commits, commits: Sequence[_Commit], people: Collection[str], metrics: Collection[str]) -> None:
    parts: dict[tuple[str, str], list[ReadingBatch]] = {}
    for commit in commits:
        for batch, codes in zip(commit.batches, commit.codes, strict=True):
            for user_id in codes.keys() & people if batch.metric in metrics else ():
                rows = np.flatnonzero(np.isin(batch.users.codes, codes[user_id]))
                parts.setdefault((user_id, batch.metric), []).append(batch.take(rows))
        if commit.change is not None and commit.change.concerns(people, metrics):
            news.changed.append(commit.change)
    most = max(_FEWEST_TOLD, MOST_TOLD // max(len(parts), 1))
    for (user_id, metric), batches in parts.items():
        if sum(map(len, batches)) > most:
            first = min(int(batch.times_us.min()) for batch in batches)
            last = max(int(batch.times_us.max()) for batch in batches)
            news.changed.append(ChangedRange(user_id, TimeRange(first, last + 1), metric))
        else:
            news.readings[user_id, metric] = _joined(batches)


def _joined(batches: Sequence[ReadingBatch]) -> CommittedReadings:
    return CommittedReadings.joined(
        [CommittedReadings(batch.devices, batch.times_us, batch.values, batch.confidences) for batch in batches]
    )
