"""A lock for many readers, or one who needs the file alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class SharedLock:
    """Shared by any number, or held by one alone.

    A thread that shares it may share it again, but waits while another one waits to hold it alone. That wait is
    bounded, so the two cannot block each other for good.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._shut = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Share the lock during the block, once nobody holds it alone or waits to."""
        with self._changed:
            self._changed.wait_for(lambda: not self._shut)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self, max_wait_s: float) -> Iterator[bool]:
        """Keep everybody out during the block; yield whether all others left in time. One caller at a time."""
        with self._changed:
            self._shut = True
            is_empty = self._changed.wait_for(lambda: self._inside == 0, max_wait_s)
        try:
            yield is_empty
        finally:
            with self._changed:
                self._shut = False
                self._changed.notify_all()
