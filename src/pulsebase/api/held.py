"""Answers that hold a state of the store for as long as somebody reads them, which is bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterator, Mapping
from itertools import chain

from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

from pulsebase.model.errors import PulsebaseError

logger = logging.getLogger(__name__)

#: How long whoever reads may take nothing.
STALL_S = 60.0


class BrokenOffAnswerError(Exception):
    """Half an answer is out; the connection has to end, so that whoever reads it can tell."""


class HeldResponse(StreamingResponse):
    """A stream whose source is let go of once it is through, broken off, or given up: after `timeout_s` in all, or
    after `STALL_S` in which nothing was taken. Whoever reads a stream that was given up sees it break off.

    Making it waits for the first piece, which is done in a thread: what fails by then is answered with a problem. What
    fails later breaks the connection off, before the end that a whole answer has, and the log says why.
    """

    def __init__(
        self,
        pieces: Generator[bytes, None, None],
        timeout_s: float,
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(_begun(pieces), headers=headers, media_type=media_type)
        self._pieces, self._timeout_s = pieces, timeout_s

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


def _begun(pieces: Generator[bytes, None, None]) -> Iterator[bytes]:
    """The pieces, the first of which, and whatever goes wrong with it, is there before anything is sent."""
    try:
        first = next(pieces, b"")
    except BaseException:
        pieces.close()
        raise
    return chain([first], pieces)
