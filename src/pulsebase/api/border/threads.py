"""Threads for the blocking work of requests, apart by kind, so that one kind never waits for another.

What no kind is named for runs in the framework's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

Made = TypeVar("Made")


class Threads:
    """As many threads as one kind of work may have at once, in each event loop."""

    def __init__(self, name: str, most: float) -> None:
        self._most = most
        self._limiter: RunVar[CapacityLimiter] = RunVar(f"pulsebase_{name}_threads")

    async def run(self, work: Callable[[], Made]) -> Made:
        """What the work makes, in a thread that knows the caller."""
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = CapacityLimiter(self._most)
            self._limiter.set(limiter)
        return await to_thread.run_sync(work, limiter=limiter)


#: Large and packed bodies. They take turns with everything else, so more are no faster.
BODIES = Threads("bodies", 4)
#: Uploads, each of which has a thread as long as it comes; how many there are, the shares say.
UPLOADS = Threads("uploads", math.inf)
#: Who watches the server has to be answered whatever it is at.
WATCH = Threads("watch", 4)
