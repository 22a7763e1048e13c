"""Server-sent events: what is committed to some people's readings, as it is committed.

Nothing is queued for a client: each has a place in the feed and reads on from there when it can. One that falls out of
the feed, or takes nothing for a while, is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from pulsebase import telemetry
from pulsebase.api.cancel import gone
from pulsebase.ingest.feed import Feed, News, PersonReadings
from pulsebase.model.errors import RetryLaterError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import format_all_us, format_us
from pulsebase.query.follow import StoreFollower
from pulsebase.stores.contract import Reader

EVENT_STREAM = "text/event-stream"
#: Commits that come faster are told together.
STEP_S = 0.1
#: A client that takes nothing for so long is given up.
STALL_S = 20.0
_RETRY_AFTER_S = 5
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
)
#: A place in the feed as an event id states it; no feed comes to one that is longer.
_PLACE = re.compile(r"[0-9]{1,18}")
_HEARTBEAT = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How often a silent stream says that it is there. How many may listen, the shares say."""

    heartbeat_s: float = 15


class Streams:
    """Everybody who listens. `follower` is there where the store has commits that this process did not make."""

    def __init__(
        self, feed: Feed, reader: Reader, limits: StreamLimits | None = None, follower: StoreFollower | None = None
    ) -> None:
        self.feed, self.limits = feed, limits or StreamLimits()
        self._reader, self._follower = reader, follower
        self._open: set[_Listener] = set()
        self.closing = self.ending = False

    def close(self) -> None:
        """End every stream, from any thread; who asks from now on is refused."""
        self.closing = True
        self.leave()

    def leave(self) -> None:
        """End every stream, and from now on each after its first event: clients then begin another one elsewhere."""
        self.ending = True
        for listener in tuple(self._open):
            listener.wake()

    @contextlib.contextmanager
    def listening(self, people: Collection[str]) -> Iterator[_Listener]:
        """A place among those who listen.

        Raises:
            RetryLaterError: the server is stopping.
        """
        if self.closing:
            raise RetryLaterError("the server is shutting down", _RETRY_AFTER_S)
        listener = _Listener()
        self._open.add(listener)
        telemetry.STREAM_SUBSCRIBERS.set(len(self._open))
        try:
            with self.feed.watching(people, listener.wake):
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
        """The place that an event id stands for; None where what came behind it is not all known here.

        A follower's feed has only what came while somebody watched, so there is no going on from it.
        """
        instance, _, place = (last_event_id or "").partition("-")
        if instance != self.feed.instance or not _PLACE.fullmatch(place) or self._follower is not None:
            return None
        return int(place) if self.feed.since(int(place), people) is not None else None


class _Listener:
    """Wakes a coroutine from any thread, at most once until it has looked."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._awake = False

    def wake(self) -> None:
        if not self._awake:
            self._awake = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._news.set)

    def look(self) -> None:
        """What comes from now on wakes again."""
        self._news.clear()
        self._awake = False

    async def woken(self, leaving: asyncio.Future[None], limit_s: float) -> bool:
        """Wait for news or for the client to leave; whether something came within the limit."""
        waiting = asyncio.ensure_future(self._news.wait())
        try:
            both: set[asyncio.Future[Any]] = {waiting, leaving}
            done, _ = await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return bool(done)


class EventStream(Response):
    """The answer of one listener: it lasts until the client leaves, is dropped, or the server stops."""

    media_type = EVENT_STREAM

    def __init__(
        self,
        streams: Streams,
        people: Collection[str],
        last_event_id: str | None,
        unknown: Collection[str] = (),
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__()
        self._streams, self._feed = streams, streams.feed
        self._unknown, self._allowed = unknown, allowed
        self._people, self._last_event_id = frozenset(people), last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell until the end. Refusals come before the answer begins, so they are problems like any other."""
        with self._streams.listening(self._people) as listener:
            missing = await run_in_threadpool(self._streams.prepare, self._people)
            place = self._streams.resumed(self._last_event_id, self._people)
            hello = {"resumed": place is not None, "missing": sorted({*missing, *self._unknown})}
            place = self._feed.place if place is None else place
            scope["pulsebase.lasting"] = True
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            leaving = asyncio.ensure_future(gone(receive))
            try:
                await self._tell(send, "hello", hello, place)
                if await self._follow(listener, leaving, send, place):
                    await send({"type": "http.response.body", "body": b""})
            except TimeoutError:  # it takes nothing: only the end of the connection can tell it
                telemetry.STREAM_DROPPED.labels("stalled").inc()
            finally:
                leaving.cancel()

    async def _follow(self, listener: _Listener, leaving: asyncio.Future[None], send: Send, place: int) -> bool:
        """Tell what is new again and again; whether the client is still there in the end."""
        while not leaving.done():
            if not self._allowed():
                return True
            listener.look()
            news = self._feed.since(place, self._people)
            if news is None:
                telemetry.STREAM_DROPPED.labels("behind").inc()
                await self._tell(send, "dropped", {"reason": "more came than was taken; ask again for what is shown"})
                return True
            place = news.place
            if news.readings or news.changed:
                await self._tell(send, "readings", _shown(news), place)
            if self._streams.ending:
                return True
            await asyncio.sleep(STEP_S)
            if not await listener.woken(leaving, self._streams.limits.heartbeat_s):
                await self._send(send, _HEARTBEAT)
        return False

    async def _tell(self, send: Send, kind: str, data: dict[str, Any], place: int | None = None) -> None:
        telemetry.STREAM_EVENTS.labels(kind).inc()
        at = b"" if place is None else f"id: {self._feed.instance}-{place}\n".encode()
        await self._send(send, b"%sevent: %s\ndata: %s\n\n" % (at, kind.encode(), msgspec.json.encode(data)))

    @staticmethod
    async def _send(send: Send, body: bytes) -> None:
        """Raises `TimeoutError` if the client takes nothing."""
        await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": True}), STALL_S)


def _shown(news: News) -> dict[str, Any]:
    return {
        "series": [
            {"user_id": user_id, "columns": _columns(readings)} for user_id, readings in sorted(news.readings.items())
        ],
        "changed": [
            {
                "user_id": change.user_id,
                "start": format_us(change.range.start_us),
                "end": format_us(change.range.end_us),
            }
            for change in news.changed
        ],
    }


def _columns(readings: PersonReadings) -> dict[str, list[Any]]:
    """The columns of a raw series."""
    return {
        "timestamp": format_all_us(readings.times_us),
        "value": (readings.values / HEART_RATE.scale).tolist(),
        "device_id": list(readings.device_ids),
        "confidence": [None if each == NO_CONFIDENCE else each for each in readings.confidences.tolist()],
    }
