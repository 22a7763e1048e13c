"""Lets any number of questions in at once, or one who has to be alone with the file."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class ExclusiveAccess:
    """Whoever is inside may go in again, unless somebody waits to be alone: then that one gives up instead."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._shut = False

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside during the block, once nobody is alone there or about to be."""
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
    def alone(self, max_wait_s: float) -> Iterator[bool]:
        """Let nobody in during the block; says whether everybody was out in time. One caller at a time."""
        with self._changed:
            self._shut = True
            is_empty = self._changed.wait_for(lambda: self._inside == 0, max_wait_s)
        try:
            yield is_empty
        finally:
            with self._changed:
                self._shut = False
                self._changed.notify_all()
