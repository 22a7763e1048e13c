"""Questions are taken back when whoever asked them is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.types import Receive

from pulsebase.stores.contract import Cancellation


async def while_connected(request: Request, answer: Callable[[Cancellation], Response]) -> Response:
    """The answer, worked out in a thread; the work is cancelled if the client goes away meanwhile."""
    cancellation = Cancellation()
    working = asyncio.ensure_future(run_in_threadpool(answer, cancellation))
    leaving = asyncio.ensure_future(gone(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            cancellation.cancel()
        return await working
    finally:
        cancellation.cancel()  # also where the server itself gives the request up
        leaving.cancel()


async def gone(receive: Receive) -> None:
    """Returns when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
