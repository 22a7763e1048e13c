"""Erase people: from every answer at once, from every file in the background, and for good."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from pulsebase.etl.connections import Connections
from pulsebase.files.locks import FolderLocks
from pulsebase.ingest import Ingestor
from pulsebase.model.errors import (
    PulsebaseError,
    RetryLaterError,
    StopError,
    StoreCorruptError,
    UnknownUserError,
    after,
    shown,
)
from pulsebase.model.users import User
from pulsebase.stores.contract import Store
from pulsebase.stores.erased_users import ErasedUsers
from pulsebase.stores.erasures import Erasure, ErasureLog, mark_of
from pulsebase.stores.records import everybody

logger = logging.getLogger(__name__)

#: How often the thread checks whether another process has erased somebody, or a stage was left undone.
_ROUND_S = 60.0
#: How often it checks while another process scrubs.
_OTHERS_S = 2.0
#: After how long it tries again if a disk failed.
_RETRY_S = 5.0
_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class ErasureMarks:
    """The log of erasures, and the key that turns ids into the marks stored in it."""

    log: ErasureLog
    key: bytes

    def of(self, user_id: str) -> bytes:
        """Return the person's mark."""
        return mark_of(self.key, user_id)


class PersonalTraces(Protocol):
    """What mentions people outside of the store: keys, the audit, the reports of imports."""

    def people(self) -> Iterable[str]:
        """Return the ids of everybody mentioned."""

    def forget(self, person: User) -> None:
        """Remove every mention of the person."""

    def scrub(self) -> None:
        """Remove the last traces of forgotten people from the disk.

        Raises:
            RetryLaterError: it cannot be done now.
        """


class Erasures:
    """Carries out erasures. A thread of its own finishes them; every method may be called from any thread.

    Processes on one machine share `locks`: one at a time erases, and one at a time scrubs. `tell` has the other workers
    of the same server call `learn` at once; any other process finds out in its next round.
    """

    def __init__(
        self,
        store: Store,
        ingestor: Ingestor,
        connections: Connections,
        *,
        marks: ErasureMarks,
        erased_users: ErasedUsers,
        traces: PersonalTraces,
        locks: FolderLocks,
        tell: Callable[[], object],
        now_us: Callable[[], int],
    ) -> None:
        self._store, self._ingestor, self._connections = store, ingestor, connections
        self._marks, self._erased_users, self._now_us = marks, erased_users, now_us
        self._traces, self._locks, self._tell = traces, locks, tell
        self._known: frozenset[bytes] = frozenset()
        #: Receipts of a later stage than the log could be told of yet.
        self._unnoted: dict[str, Erasure] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pulsebase-erase", daemon=True)
        self._thread.start()

    def changing(self) -> AbstractContextManager[None]:
        """Return the lock to hold while records of people are changed."""
        return self._locks.held("people")

    def learn(self) -> None:
        """Load who was erased by other processes, and wait until readings accepted for them before are stored."""
        self._erased_users.replace(self._marks.log.marks())
        self._ingestor.drain()

    def erase(self, user_id: str) -> Erasure:
        """Remove a person from every answer, for good, begin to remove them from every file, and return the receipt.

        The first step refuses all new data for the person. A crash does not undo that, and the next round removes
        whatever the crash left. Connections are removed before readings.

        If a disk fails meanwhile, the receipt has the stage `requested` and states the problem: new data is refused
        already, and the person is removed as soon as that is possible.

        Raises:
            UnknownUserError: nobody of that id is known.
        """
        with self._locks.held("erase"):
            if self._store.user(user_id) is None and not self._connections.of(user_id):
                raise UnknownUserError
            erasure = Erasure(secrets.token_urlsafe(_ID_BYTES), self._now_us())
            mark, marks = self._marks.of(user_id), self._marks.log.marks()
            self._marks.log.add(mark, erasure)
            try:
                self._erased_users.replace(marks | {mark})
                self._ingestor.drain()  # readings accepted before are stored first, so that they are removed too
                self._tell()
                erasure = replace(erasure, deleted=self._remove(user_id), hidden_us=self._now_us())
                self._note(erasure)
            except (RetryLaterError, StopError) as error:
                # The mark stays: the thread carries on, and the receipt says how far it is.
                logger.warning("an erasure goes on later: %s", error)
                erasure = replace(erasure, problem=_reason(error))
            finally:
                self._wake.set()
        return erasure

    def allow(self, user_id: str) -> None:
        """Allow new data under an erased id again.

        Raises:
            UnknownUserError: nobody of that id was erased.
        """
        with self._locks.held("erase"):
            if not self._marks.log.allow(self._marks.of(user_id)):
                raise UnknownUserError
            with after("the id is allowed again all the same, though a server may not know it before its next start"):
                self._erased_users.replace(self._marks.log.marks())
                self._tell()

    def find(self, erasure_id: str) -> Erasure | None:
        """Return the receipt of that id, or None."""
        return self._marks.log.find(erasure_id)

    def receipts(self) -> Sequence[Erasure]:
        """Return every receipt, newest first."""
        return self._marks.log.receipts()

    def close(self) -> None:
        """Stop the thread after its current step. Unfinished erasures are continued at the next start."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._marks.log.close()

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping:
            self._wake.wait(pause_s)
            self._wake.clear()
            if self._stopping:
                return
            try:
                pause_s = self._round()
            except RetryLaterError as error:
                pause_s = min(error.retry_after_s, _RETRY_S)
            except Exception as error:
                if not isinstance(error, PulsebaseError):
                    logger.exception("an erasure failed and will be tried again")
                pause_s = _ROUND_S

    def _round(self) -> float:
        """Take unfinished erasures as far as possible now. Return in how many seconds to look again."""
        with self._locks.held("erase"):
            self._remove_returned()
        with self._locks.held_if_free("scrub") as mine:
            return self._scrub() if mine else _OTHERS_S

    def _scrub(self) -> float:
        hidden = [each for each in self.receipts() if each.stage == "hidden"]
        if not hidden:
            return _RETRY_S if self._unnoted else _ROUND_S
        try:
            report = self._store.scrub()
            self._connections.scrub()
            self._traces.scrub()
        except RetryLaterError as error:
            for each in hidden:
                self._marks.log.update(replace(each, problem=str(error)))
            logger.info("bytes of erased people stay in files for now: %s", error)
            return error.retry_after_s
        now_us = self._now_us()
        for each in hidden:
            done = replace(each, scrubbed_us=now_us, problem=None)
            sized = replace(done, before_bytes=report.before_bytes, after_bytes=report.after_bytes)
            self._marks.log.update(sized)
        self._wake.set()  # somebody may have been erased meanwhile
        return _ROUND_S

    def _remove_returned(self) -> None:
        """Remove erased people who are in the store all the same: after a kill or a restored backup, or because another
        process did not know yet.
        """
        marks = self._marks.log.marks()
        unfinished = [each for each in self.receipts() if each.stage == "requested"]
        if marks == self._known and not unfinished:
            return
        self._erased_users.replace(marks)
        if marks - self._known or unfinished:
            self._ingestor.drain()
            for user_id in [user_id for user_id in self._everybody() if self._erased_users.holds(user_id)]:
                deleted = self._remove(user_id)
                if not unfinished:  # only a receipt leads to a scrub, so it gets one of its own
                    now_us = self._now_us()
                    again = Erasure(secrets.token_urlsafe(_ID_BYTES), now_us, now_us, deleted)
                    self._marks.log.add(self._marks.of(user_id), again)
            for user_id in filter(self._erased_users.holds, self._traces.people()):  # erased on another machine
                self._traces.forget(User(user_id))
        for each in unfinished:
            self._note(self._unnoted.get(each.erasure_id) or replace(each, hidden_us=self._now_us()))
        self._known = marks

    def _note(self, erasure: Erasure) -> None:
        """Store the receipt of a person who was removed. If that fails now, the thread does it later."""
        self._unnoted[erasure.erasure_id] = erasure
        try:
            self._marks.log.update(erasure)
        except RetryLaterError as error:
            logger.warning("the receipt of an erasure waits in memory: %s", error)
        else:
            del self._unnoted[erasure.erasure_id]

    def _everybody(self) -> Iterator[str]:
        yield from self._connections.everybody()
        yield from (each.user.user_id for each in everybody(self._store))

    def _remove(self, user_id: str) -> dict[str, int]:
        """Remove a person everywhere. Return how many rows of each kind there were."""
        counts = {"connections": len(self._connections.of(user_id))}
        with self._connections.forgotten(user_id), self.changing():
            person = self._store.user(user_id)
            self._traces.forget(person or User(user_id))  # now, while the name is still known
            if person is None:
                return {"readings": 0, **counts}
            counts |= {
                "devices": len(self._store.devices(user_id)),
                "priorities": len(self._store.priorities(user_id)),
                "summaries": len(self._store.summaries(user_id, date.min, date.max)),
                "annotations": len(self._store.annotations(user_id)),
            }
            return {"readings": self._store.remove_user(user_id), **counts}


def _reason(error: PulsebaseError) -> str:
    """Return why an erasure is delayed, in words that anybody may see."""
    is_plain = isinstance(error, RetryLaterError | StoreCorruptError)
    return shown(error) if is_plain else "the store needs its operator"
