"""Cancel a query when the client that asked it has gone away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.types import Receive

from pulsebase.stores.contract import Cancellation


async def while_connected(request: Request, answer: Callable[[Cancellation], Response]) -> Response:
    """Work out the answer in a thread, and cancel the work if the client goes away meanwhile."""
    cancellation = Cancellation()
    working = asyncio.ensure_future(run_in_threadpool(answer, cancellation))
    leaving = asyncio.ensure_future(gone(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            cancellation.cancel()
        return await working
    finally:
        cancellation.cancel()  # also if the server itself gives the request up
        leaving.cancel()


async def gone(receive: Receive) -> None:
    """Return once the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
