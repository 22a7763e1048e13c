"""What reading a body may take of the processor: few bytes can be made to take minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import thread_time

from pulsebase.ingest.blocks import MalformedError

_MIB = 1 << 20


class TooCostlyError(MalformedError):
    """What comes takes more of the processor to read than it may. What came before it stands."""


@dataclass(frozen=True, slots=True)
class ProcessorLimit:
    """Processor time for reading what was sent.

    Attributes:
        base_s: for a body however small, seconds.
        per_mib_s: beyond that for each MiB of it, as sent.
    """

    base_s: float = 10
    per_mib_s: float = 60

    def of(self, sent_bytes: int) -> float:
        """Seconds for a body of which so much was sent."""
        return self.base_s + self.per_mib_s * sent_bytes / _MIB


class ProcessorTime:
    """The processor time that one thread takes for a body, from the making of this in that thread on."""

    def __init__(self, limit: ProcessorLimit, sent_bytes: Callable[[], int]) -> None:
        self._limit, self._sent_bytes = limit, sent_bytes
        self._began_s = thread_time()

    def check(self) -> None:
        """Raises `TooCostlyError` once that is more than what came of the body by now allows."""
        allowed_s = self._limit.of(self._sent_bytes())
        if thread_time() - self._began_s > allowed_s:
            raise TooCostlyError(
                f"the body takes more of the processor to read than the {allowed_s:.1f} s that its size as sent allows"
            )
