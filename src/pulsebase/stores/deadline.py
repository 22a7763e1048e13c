"""The time limit of a question, as a store keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from pulsebase.model.errors import QueryCancelledError, QueryTimeoutError
from pulsebase.stores.contract import Cancellation

TIMED_OUT = "the query ran into its time limit and was cancelled; ask for a shorter range or a coarser interval"
_AT_ONCE = 1024

T = TypeVar("T")


class Deadline:
    """When a query's time is up; asked between the steps that cannot be interrupted. `at` is of the monotonic clock."""

    def __init__(self, at: float | None, cancellation: Cancellation) -> None:
        self._at, self._cancellation = at, cancellation

    @classmethod
    def after(cls, timeout_s: float | None, cancellation: Cancellation | None) -> Deadline:
        """The deadline of a question that is asked now."""
        at = None if timeout_s is None else time.monotonic() + timeout_s
        return cls(at, cancellation or Cancellation())

    @property
    def cancellation(self) -> Cancellation:
        """What tells that nobody waits for the answer any more."""
        return self._cancellation

    def check(self) -> None:
        """Raises `QueryTimeoutError` once the time is up, `QueryCancelledError` once nobody waits for the answer."""
        if self._cancellation.cancelled:
            raise QueryCancelledError("the question was taken back")
        if self._at is not None and time.monotonic() > self._at:
            raise QueryTimeoutError(TIMED_OUT)

    def left_s(self) -> float | None:
        """The seconds that are left, for a question in several steps; None without a limit. Raises as `check` does."""
        self.check()
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def parts(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        """The same items in parts, with the deadline checked before each. Raises as `check` does."""
        for first in range(0, len(items), _AT_ONCE):
            self.check()
            yield items[first : first + _AT_ONCE]
