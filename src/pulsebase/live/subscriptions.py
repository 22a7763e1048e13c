"""Subscriptions to the readings of some people, as they are committed.

Nothing is queued for a listener: each has a place in the commit log and reads on from there when it can. A listener
that is too slow, so that the log has dropped what it missed, is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from pulsebase import telemetry
from pulsebase.live.commit_log import CommitLog
from pulsebase.live.follower import StoreFollower
from pulsebase.model.errors import RetryLaterError
from pulsebase.stores.contract import Reader

_RETRY_AFTER_S = 5
#: A place in the log as an event id states it. No log gets as far as a longer number.
_PLACE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How often a stream without events sends a heartbeat. The number of streams is limited by `access.shares`."""

    heartbeat_s: float = 15


class Subscriptions:
    """All listeners. There is a `follower` if other processes write to the same store."""

    def __init__(
        self,
        commit_log: CommitLog,
        reader: Reader,
        limits: StreamLimits | None = None,
        follower: StoreFollower | None = None,
    ) -> None:
        self.commit_log, self.limits = commit_log, limits or StreamLimits()
        self._reader, self._follower = reader, follower
        self._open: set[Listener] = set()
        self.closing = self.ending = False

    def close(self) -> None:
        """End every stream and refuse new ones. May be called from any thread."""
        self.closing = True
        self.leave()

    def leave(self) -> None:
        """End every stream. New ones end after their first event, so that clients reconnect to another process."""
        self.ending = True
        for listener in tuple(self._open):
            listener.wake()

    @contextlib.contextmanager
    def listening(self, people: Collection[str]) -> Iterator[Listener]:
        """Register a listener while the block runs.

        Raises:
            RetryLaterError: the server is stopping.
        """
        if self.closing:
            raise RetryLaterError("the server is shutting down", _RETRY_AFTER_S)
        listener = Listener()
        self._open.add(listener)
        telemetry.STREAM_SUBSCRIBERS.set(len(self._open))
        try:
            with self.commit_log.watching(people, listener.wake):
                yield listener
        finally:
            self._open.discard(listener)
            telemetry.STREAM_SUBSCRIBERS.set(len(self._open))

    def prepare(self, people: Collection[str]) -> list[str]:
        """See that everything committed from now on is told; who of these people is not known. Called in a thread."""
        if self._follower is not None:
            self._follower.begin(people)
        return [user_id for user_id in sorted(people) if not self._reader.knows(user_id)]

    def resumed(self, last_event_id: str | None, people: Collection[str]) -> int | None:
        """Return the place that an event id stands for; None if the log does not have everything after it.

        With a follower the log has gaps, since it only fills while somebody watches; so no stream can be resumed.
        """
        instance, _, place = (last_event_id or "").partition("-")
        if instance != self.commit_log.instance or not _PLACE.fullmatch(place) or self._follower is not None:
            return None
        return int(place) if self.commit_log.since(int(place), people) is not None else None


class Listener:
    """Wakes a coroutine from any thread, at most once until it has called `look`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._awake = False

    def wake(self) -> None:
        """Wake the coroutine: there is something new."""
        if not self._awake:
            self._awake = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._news.set)

    def look(self) -> None:
        """Note that the coroutine looks now, so that later news wakes it again."""
        self._news.clear()
        self._awake = False

    async def woken(self, leaving: asyncio.Future[None], limit_s: float) -> bool:
        """Wait for news or for the client to leave. Return whether either happened within the limit."""
        waiting = asyncio.ensure_future(self._news.wait())
        try:
            both: set[asyncio.Future[Any]] = {waiting, leaving}
            done, _ = await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return bool(done)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one listener asked for.

    Attributes:
        subscriptions: all listeners.
        people: whose readings are sent.
        last_event_id: the last event that the client says it has seen.
        unknown: the other people asked for, who are reported as missing.
        allowed: called again and again; the stream ends once it returns False.
    """

    subscriptions: Subscriptions
    people: frozenset[str]
    last_event_id: str | None = None
    unknown: Collection[str] = ()
    allowed: Callable[[], bool] = field(default=lambda: True)
