"""Server-sent events: what becomes of signals. Places are numbers of the file of events, so they outlive restarts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

import msgspec
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from pulsebase import telemetry
from pulsebase.api.border.cancellation import gone
from pulsebase.api.server.event_streams import EVENT_STREAM, HEADERS, HEARTBEAT, STALL_S
from pulsebase.authorization.streams import AuthorizedStreams
from pulsebase.events.kinds import body_of
from pulsebase.events.signal_table import SignalEvent

#: Returns what happened after a place, so many events at most, and the place after it; None at the end.
Following = Callable[[int, int], tuple[int, Sequence[SignalEvent]] | None]

_LOOK_S = 0.5
_MOST = 500
_PLACE = re.compile(r"[0-9]{1,18}")


class SignalStream(Response):
    """The answer of one listener: it lasts until the client leaves, its key ends, or the server stops."""

    media_type = EVENT_STREAM

    def __init__(self, streams: AuthorizedStreams, following: Following, place: int, last_event_id: str | None) -> None:
        super().__init__()
        self._streams, self._following = streams, following
        resumed = last_event_id is not None and _PLACE.fullmatch(last_event_id) and int(last_event_id) <= place
        self._place = int(last_event_id) if resumed and last_event_id is not None else place
        self._resumed = bool(resumed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the end."""
        scope["pulsebase.lasting"] = True
        await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        leaving = asyncio.ensure_future(gone(receive))
        try:
            await self._tell(send, "hello", msgspec.json.encode({"resumed": self._resumed}), self._place)
            if await self._follow(send, leaving):
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:  # the client takes nothing
            telemetry.STREAM_DROPPED.labels("stalled").inc()
        finally:
            leaving.cancel()

    async def _follow(self, send: Send, leaving: asyncio.Future[None]) -> bool:
        """Send what is new, again and again. Return whether the client is still there in the end."""
        quiet_s = 0.0
        while not leaving.done():
            found = await run_in_threadpool(self._following, self._place, _MOST)
            if found is None:
                return True
            self._place, events = found
            for event in events:
                body = body_of(event.type, event.at_us, event.user_id, msgspec.json.decode(event.data))
                await self._tell(send, event.type, body, event.number)
            if self._streams.ending:
                return True
            quiet_s = 0.0 if events else quiet_s + _LOOK_S
            if quiet_s >= self._streams.heartbeat_s:
                await self._send(send, HEARTBEAT)
                quiet_s = 0.0
            await asyncio.wait({leaving}, timeout=_LOOK_S)
        return False

    async def _tell(self, send: Send, kind: str, data: bytes, place: int) -> None:
        telemetry.STREAM_EVENTS.labels(kind).inc()
        await self._send(send, b"id: %d\nevent: %s\ndata: %s\n\n" % (place, kind.encode(), data))

    @staticmethod
    async def _send(send: Send, body: bytes) -> None:
        await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": True}), STALL_S)
