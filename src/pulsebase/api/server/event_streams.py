"""Server-sent events: the readings of some people, as they are committed.

A client is dropped if it falls so far behind that the commit log no longer has what it missed, or takes nothing for a
while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from pulsebase import telemetry
from pulsebase.api.border.cancellation import gone
from pulsebase.live.commit_log import Commits, CommittedReadings
from pulsebase.live.subscriptions import Listener, Subscription
from pulsebase.model.metrics import HEART_RATE, METRICS, MetricSpec
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import format_all_us, format_us

EVENT_STREAM = "text/event-stream"
#: Commits that follow each other faster are sent together.
STEP_S = 0.1
#: A client that takes nothing for this long is dropped.
STALL_S = 20.0
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
)
HEARTBEAT = b": still here\n\n"


class EventStream(Response):
    """The answer of one listener: it lasts until the client leaves, is dropped, or the server stops."""

    media_type = EVENT_STREAM

    def __init__(self, wanted: Subscription, metrics: Sequence[MetricSpec] = (HEART_RATE,)) -> None:
        super().__init__()
        self._metrics = tuple(metric.name for metric in metrics)
        self._streams, self._commit_log = wanted.subscriptions, wanted.subscriptions.commit_log
        self._unknown, self._allowed = wanted.unknown, wanted.allowed
        self._people, self._last_event_id = wanted.people, wanted.last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the end. Refusals come before the answer begins, so they are ordinary problems."""
        with self._streams.listening(self._people) as listener:
            missing = await run_in_threadpool(self._streams.prepare, self._people)
            place = self._streams.resumed(self._last_event_id, self._people)
            hello = {"resumed": place is not None, "missing": sorted({*missing, *self._unknown})}
            place = self._commit_log.place if place is None else place
            scope["pulsebase.lasting"] = True
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            leaving = asyncio.ensure_future(gone(receive))
            try:
                await self._tell(send, "hello", hello, place)
                if await self._follow(listener, leaving, send, place):
                    await send({"type": "http.response.body", "body": b""})
            except TimeoutError:  # the client takes nothing: only the end of the connection can tell it
                telemetry.STREAM_DROPPED.labels("stalled").inc()
            finally:
                leaving.cancel()

    async def _follow(self, listener: Listener, leaving: asyncio.Future[None], send: Send, place: int) -> bool:
        """Send what is new, again and again. Return whether the client is still there in the end."""
        while not leaving.done():
            if not self._allowed():
                return True
            listener.look()
            news = self._commit_log.since(place, self._people, self._metrics)
            if news is None:
                telemetry.STREAM_DROPPED.labels("behind").inc()
                await self._tell(send, "dropped", {"reason": "more came than was taken; ask again for what is shown"})
                return True
            place = news.place
            if news.readings or news.changed:
                await self._tell(send, "readings", _shown(news, self._metrics), place)
            if self._streams.ending:
                return True
            await asyncio.sleep(STEP_S)
            if not await listener.woken(leaving, self._streams.limits.heartbeat_s):
                await self._send(send, HEARTBEAT)
        return False

    async def _tell(self, send: Send, kind: str, data: dict[str, Any], place: int | None = None) -> None:
        telemetry.STREAM_EVENTS.labels(kind).inc()
        at = b"" if place is None else f"id: {self._commit_log.instance}-{place}\n".encode()
        await self._send(send, b"%sevent: %s\ndata: %s\n\n" % (at, kind.encode(), msgspec.json.encode(data)))

    @staticmethod
    async def _send(send: Send, body: bytes) -> None:
        """Send bytes. Raises `TimeoutError` if the client takes nothing for `STALL_S`."""
        await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": True}), STALL_S)


def _shown(news: Commits, metrics: Sequence[str]) -> dict[str, Any]:
    """Return news as they are told; of heart rate alone, as ever, without the metric's name."""
    named = tuple(metrics) != (HEART_RATE.name,)
    return {
        "series": [
            {"user_id": user_id}
            | ({"metric": metric} if named else {})
            | {"columns": _columns(readings, METRICS[metric])}
            for (user_id, metric), readings in sorted(news.readings.items(), key=lambda each: each[0])
        ],
        "changed": [
            {"user_id": change.user_id}
            | ({"metric": change.metric} if named else {})
            | {"start": format_us(change.range.start_us), "end": format_us(change.range.end_us)}
            for change in news.changed
        ],
    }


def _columns(readings: CommittedReadings, metric: MetricSpec) -> dict[str, list[Any]]:
    """Return the columns of a raw series."""
    return {
        "timestamp": format_all_us(readings.times_us),
        "value": (readings.values / metric.scale).tolist(),
        "device_id": list(readings.devices),
        "confidence": [None if each == NO_CONFIDENCE else each for each in readings.confidences.tolist()],
    }
