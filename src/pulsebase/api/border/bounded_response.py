"""Answers that hold a state of the store for as long as somebody reads them, which is bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Mapping
from itertools import chain

from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from pulsebase.api.border.request_scope import is_head
from pulsebase.model.errors import PulsebaseError

logger = logging.getLogger(__name__)

#: How long whoever reads may take nothing.
STALL_S = 60.0


class BrokenOffAnswerError(Exception):
    """Half an answer is out; the connection has to end, so that whoever reads it can tell."""


class BoundedResponse(StreamingResponse):
    """A stream whose source is let go of once it is through, broken off, or given up: after `timeout_s` in all, or
    after `STALL_S` in which nothing was taken. Whoever reads a stream that was given up sees it break off.

    It begins once there is a first piece: what fails by then is answered with a problem. What fails later breaks the
    connection off, before the end that a whole answer has, and the log says why. For HEAD nothing is read.
    """

    def __init__(
        self,
        pieces: Generator[bytes, None, None],
        timeout_s: float,
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(pieces, headers=headers, media_type=media_type)
        self._pieces, self._timeout_s = pieces, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if not is_head(scope):
            try:
                first = await run_in_threadpool(next, self._pieces, b"")
            except BaseException:
                self._pieces.close()
                raise
            self.body_iterator = iterate_in_threadpool(chain([first], self._pieces))
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send everything in time."""
        now_s = asyncio.get_running_loop().time
        give_up_at = now_s() + self._timeout_s

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(max(0.0, min(STALL_S, give_up_at - now_s()))):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            logger.warning("an export was given up: it took too long, or nobody read on")
        except PulsebaseError as error:
            logger.error("an export was broken off: %s", error)
            raise BrokenOffAnswerError from error
        finally:
            self._pieces.close()  # not by a thread: whoever hung up has cancelled this
