"""Streamed answers with a time limit. Such an answer pins a state of the store for as long as the client reads it."""

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

#: How long a client may take nothing of the answer before it is given up.
STALL_S = 60.0


class BrokenOffAnswerError(Exception):
    """Half an answer was sent. The connection has to break, so that the client can tell."""


class BoundedResponse(StreamingResponse):
    """A stream that closes its source when it is complete, when it fails, and when it is given up: after `timeout_s` in
    all, or after `STALL_S` in which the client took nothing. The client of a stream that was given up sees it break.

    The answer begins once the first piece is there, so that an error until then is answered with a problem. A later
    error breaks the connection before the proper end of the answer, and the log says why. For HEAD nothing is read.
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
        """Send the answer."""
        if not is_head(scope):
            try:
                first = await run_in_threadpool(next, self._pieces, b"")
            except BaseException:
                self._pieces.close()
                raise
            self.body_iterator = iterate_in_threadpool(chain([first], self._pieces))
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send all pieces within the time limits."""
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
            self._pieces.close()  # here, not in a thread: a client that hung up has cancelled this task
