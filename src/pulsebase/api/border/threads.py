"""Worker threads for the blocking work of requests. Each kind of work has its own, so that one kind never waits for
another; all other work runs in the framework's threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

Made = TypeVar("Made")


class Threads:
    """The threads of one kind of work, a limited number in each event loop."""

    def __init__(self, name: str, most: float) -> None:
        self._most = most
        self._limiter: RunVar[CapacityLimiter] = RunVar(f"pulsebase_{name}_threads")

    async def run(self, work: Callable[[], Made]) -> Made:
        """Run the work in a thread that knows the caller, and return its result."""
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = CapacityLimiter(self._most)
            self._limiter.set(limiter)
        return await to_thread.run_sync(work, limiter=limiter)


#: Large and compressed bodies. They compete with everything else for the processor, so more threads are no faster.
BODIES = Threads("bodies", 4)
#: Uploads. Each keeps a thread as long as it arrives; the shares limit how many there are.
UPLOADS = Threads("uploads", math.inf)
#: Health checks and metrics, which have to be answered however busy the server is.
WATCH = Threads("watch", 4)
