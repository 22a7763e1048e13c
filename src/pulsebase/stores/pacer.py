"""Flow control: gives the stage's capacity to streams gradually, rather than all at once when a merge ends.

A stream faster than the merges would fill the stage, stop until a merge ends, fill the freed capacity in a moment, and
stop again: its blocks would wait as long as a merge takes. Here it is slowed down before the stage is full, by as much
as is needed, and the capacity that a merge frees is handed out over the time that the merge took.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.stores.contract import Cancellation

#: Up to this fraction of the stage's capacity streams do not wait …
_FREE_PART = 1 / 2
#: … and beyond this one they get none: the rest is for small writes, which do not wait for streams.
_FULL_PART = 7 / 8
#: The assumed speed of merges before the first one, in rows per second.
_FIRST_ROWS_PER_S = 1_000_000.0
#: The weight of one merge in the estimate of their speed; less for one of few rows, which is mostly overhead.
_WEIGHT = 0.5
_WEIGHTY_PART = 1 / 8
#: How often the block whose turn is next checks again.
_LOOK_S = 0.01


class Pacer:
    """Lets blocks of streams pass one after the other, in order of arrival.

    Between the two fractions above, the rate falls from twice the speed of merges to zero. So it settles where streams
    are as fast as merges, wherever that is, and a long merge slows them down before it stops them.
    """

    def __init__(self, most_rows: int, staged: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        """Pace a stage of `most_rows`, of which `staged()` are in use."""
        self._most_rows, self._staged, self._clock = most_rows, staged, clock
        self._free_rows, self._full_rows = most_rows * _FREE_PART, most_rows * _FULL_PART
        self._rows_per_s = _FIRST_ROWS_PER_S
        self._freed_rows, self._freed_at, self._freed_in_s = 0, clock(), 1.0
        self._passed_rows, self._passed_at = 0, -math.inf
        self._changed = threading.Condition()
        self._waiting: dict[object, int] = {}  # the rows of each block that waits, the next one first

    def note_merge(self, rows: int, seconds: float) -> None:
        """Note that a merge freed `rows` of the stage in `seconds`, counted from the merge before or since due."""
        seconds = max(seconds, 0.001)
        with self._changed:
            weight = _WEIGHT * min(1.0, rows / (self._most_rows * _WEIGHTY_PART))
            self._rows_per_s += weight * (rows / seconds - self._rows_per_s)
            self._freed_rows, self._freed_at, self._freed_in_s = rows, self._clock(), seconds
            self._changed.notify_all()

    @property
    def holds_back(self) -> bool:
        """Whether a block that arrived now would have to wait, or some wait already."""
        return bool(self._waiting) or self._rate() < math.inf

    def wait(
        self,
        rows: int,
        max_wait_s: float,
        *,
        within_turn: bool = False,
        cancellation: Cancellation | None = None,
    ) -> None:
        """Wait for this block's turn; `within_turn` it has it already, unless nothing may pass at all.

        Raises:
            StoreUnavailableError: it would take longer than `max_wait_s`, or was cancelled; raised at once if too much
                waits already.
        """
        give_up_at = self._clock() + max_wait_s
        me = object()
        cancellation = cancellation or Cancellation()
        with cancellation.stopping(self._look_again), self._changed:
            if within_turn and self._rate():
                self._passed_rows += rows  # which makes the next turn later
                return
            if self._ahead_s() > max_wait_s:
                raise _behind(self._ahead_s())
            self._waiting[me] = rows
            try:
                due_at = self._wait_until_due(me, give_up_at, cancellation)
                # A block that passed a little late does not delay the next one too.
                self._passed_rows, self._passed_at = rows, max(due_at, self._clock() - _LOOK_S)
            finally:
                del self._waiting[me]
                self._changed.notify_all()

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _wait_until_due(self, me: object, give_up_at: float, cancellation: Cancellation) -> float:
        while True:
            is_next = next(iter(self._waiting)) is me
            due_at, now = self._due_at() if is_next else math.inf, self._clock()
            if due_at <= now:
                return due_at
            if now >= give_up_at or cancellation.cancelled:
                raise _behind(self._ahead_s())
            self._changed.wait(min(_LOOK_S, give_up_at - now) if is_next else give_up_at - now)

    def _ahead_s(self) -> float:
        """Estimate how long merges need for the blocks that wait."""
        return sum(self._waiting.values()) / self._rows_per_s

    def _due_at(self) -> float:
        """Return when the next block may pass at the current rate."""
        rate = self._rate()
        return self._passed_at + self._passed_rows / rate if rate else math.inf

    def _rate(self) -> float:
        """Return how many rows per second may pass now."""
        filled = self._filled()
        if filled <= self._free_rows:
            return math.inf
        left_part = (self._full_rows - filled) / (self._full_rows - self._free_rows)
        return 2 * self._rows_per_s * max(left_part, 0.0)

    def _filled(self) -> float:
        """Return the staged rows plus what the last merge freed but is not to be handed out yet."""
        passed = (self._clock() - self._freed_at) / self._freed_in_s
        return self._staged() + self._freed_rows * max(0.0, 1 - passed)


def _behind(ahead_s: float) -> StoreUnavailableError:
    retry_after_s = min(max(1, math.ceil(ahead_s)), 10)
    return StoreUnavailableError(
        "too many readings wait for a merge; nothing of this request was stored", retry_after_s
    )
