"""What was committed lately, kept for those who follow along.

A ring that commits append to and anybody reads from a place in it. Whoever reads has no queue of their own, so a slow
reader costs nothing and holds nobody up: what they have not read in time is gone, and they are told so.
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

from pulsebase.model.readings import ReadingBatch
from pulsebase.model.timerange import MAX_US, TimeRange

#: Commits of single readings are bounded by their number: each takes about a kilobyte, however little is in it.
MOST_COMMITS = 20_000
#: Of this many readings in one piece of news all are told, shared among the people it is about; of more their stretch.
MOST_TOLD = 5_000
_FEWEST_TOLD = 50
ALL_TIME = TimeRange(0, MAX_US)


@dataclass(frozen=True, slots=True)
class ChangedRange:
    """A stretch in which a person's readings are others now (everybody's where there is no id): to be asked again."""

    user_id: str | None
    range: TimeRange


@dataclass(frozen=True, slots=True)
class CommittedReadings:
    """One person's new readings, in the order of their commits: of two of a device and time the later holds."""

    device_ids: Sequence[str]
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.int16]
    confidences: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Commits:
    """What was committed up to `place`: readings by person, and stretches to ask again."""

    place: int
    readings: dict[str, CommittedReadings]
    changed: list[ChangedRange]


@dataclass
class _Commit:
    """One commit, by what it wrote or by what else it changed."""

    batches: Sequence[ReadingBatch] = ()
    change: ChangedRange | None = None
    readings: int = field(init=False)

    def __post_init__(self) -> None:
        self.readings = sum(map(len, self.batches))

    @cached_property
    def codes(self) -> list[dict[str, list[int]]]:
        """For each batch who is in it, by their codes in its column. Worked out when somebody follows, once."""
        return [_codes_in(batch) for batch in self.batches]


class CommitLog:
    """The last commits, at most `most_readings` readings of them (the newest is kept whatever its size).

    Every method may be called from any thread; `publish` and `publish_change` neither wait nor fail.
    """

    def __init__(self, most_readings: int) -> None:
        #: Places of another feed, before a restart or in another process, mean nothing here.
        self.instance = secrets.token_hex(4)
        self._most_readings = most_readings
        self._commits: deque[_Commit] = deque()
        self._readings = 0
        self._place = 0
        self._lock = threading.Lock()
        self._wakers: tuple[Callable[[], None], ...] = ()
        self._watched: Counter[str] = Counter()

    def publish(self, batches: Sequence[ReadingBatch]) -> None:
        """Tell of readings that are durable and visible."""
        self._append(_Commit(batches))

    def publish_change(self, change: ChangedRange) -> None:
        """Tell of a stretch whose readings went or are others now."""
        self._append(_Commit(change=change))

    @property
    def place(self) -> int:
        """Behind the last commit."""
        return self._place

    @property
    def watched(self) -> list[str]:
        """The people somebody follows now."""
        with self._lock:
            return sorted(self._watched)

    @contextlib.contextmanager
    def watching(self, people: Collection[str], wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` after every commit of the block, from whatever thread; it must be quick and must not raise."""
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

    def since(self, place: int, people: Collection[str]) -> Commits | None:
        """What came behind a place for some people; None where the ring no longer has all of it."""
        with self._lock:
            missed = self._place - place
            if not 0 <= missed <= len(self._commits):
                return None
            commits = list(islice(reversed(self._commits), missed))[::-1]
            news = Commits(self._place, {}, [])
        _tell(news, commits, people)
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


def _tell(news: Commits, commits: Sequence[_Commit], people: Collection[str]) -> None:
    parts: dict[str, list[ReadingBatch]] = {}
    for commit in commits:
        for batch, codes in zip(commit.batches, commit.codes, strict=True):
            for user_id in codes.keys() & people:
                rows = np.flatnonzero(np.isin(batch.users.codes, codes[user_id]))
                parts.setdefault(user_id, []).append(batch.take(rows))
        if commit.change is not None and (commit.change.user_id is None or commit.change.user_id in people):
            news.changed.append(commit.change)
    most = max(_FEWEST_TOLD, MOST_TOLD // max(len(parts), 1))
    for user_id, batches in parts.items():
        if sum(map(len, batches)) > most:
            first = min(int(batch.times_us.min()) for batch in batches)
            last = max(int(batch.times_us.max()) for batch in batches)
            news.changed.append(ChangedRange(user_id, TimeRange(first, last + 1)))
        else:
            news.readings[user_id] = _joined(batches)


def _joined(batches: Sequence[ReadingBatch]) -> CommittedReadings:
    return CommittedReadings(
        [device_id for batch in batches for device_id in batch.devices],
        np.concatenate([batch.times_us for batch in batches]),
        np.concatenate([batch.values for batch in batches]),
        np.concatenate([batch.confidences for batch in batches]),
    )
