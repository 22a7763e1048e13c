"""A client of an application in this process."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import cache
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.testclient import TestClient


class InProcessClient(TestClient):
    """Asks an application on an event loop that all clients of this process share.

    A loop and a thread for each request, as the framework's client makes them, cost more than most of the requests.
    """

    def __init__(self, app: Any, base_url: str = "http://localhost", **options: Any) -> None:
        super().__init__(app, base_url=base_url, **options)
        self.portal = _portal()


@cache
def _portal() -> BlockingPortal:
    until_the_end = ExitStack()
    atexit.register(until_the_end.close)
    return until_the_end.enter_context(start_blocking_portal("asyncio"))
