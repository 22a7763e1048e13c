"""Holding a state for a question that takes long: merges wait for it."""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import replace

from pulsebase.model.errors import StoreUnavailableError
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.postgres.database import OnlyAnswersError, PostgresDatabase

#: A state is held for so long at a time, and from then on if the question goes on.
_HELD_S = 60.0
_ATTEMPTS = 5


class PassedError(Exception):
    """Merges or the horizon have passed the state that is read."""


class HeldState:
    """A state that merges do not pass as long as the block goes on. What is read of it still has to be checked."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database, self._holder = database, uuid.uuid4()
        self._held_until = 0.0

    def __enter__(self) -> HeldState:
        for _ in range(_ATTEMPTS):
            self.state = self._database.read(commits.snapshot)
            self._held_until = 0.0
            with contextlib.suppress(PassedError):  # between the two
                self.check(at_once=True)
                return self
        raise StoreUnavailableError("merges go on too fast for this question; ask again", 2)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OnlyAnswersError, StoreUnavailableError):
            self._database.change(lambda connection: commits.let_go(connection, self._holder))

    def check(self, *, at_once: bool = False) -> None:
        """Prolong the hold, and from time to time make sure that the state still is what it was.

        Raises:
            PassedError: it is not.
        """
        if not self.prolong() and not at_once:
            return
        now = self._database.read(commits.marks)
        # Who is wiped out was removed, and is left out of what follows.
        if not replace(self.state, scrubs=now.scrubs).holds(now):
            raise PassedError

    def prolong(self) -> bool:
        """Hold the state for longer, if it is time to do so."""
        began = time.monotonic()
        if began < self._held_until - _HELD_S / 2:
            return False
        # A replica cannot hold anything, and has to be quicker than merges.
        with contextlib.suppress(OnlyAnswersError):
            self._database.change(lambda connection: commits.hold(connection, self._holder, self.state, _HELD_S))
        self._held_until = began + _HELD_S
        return True
