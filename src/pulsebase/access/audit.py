"""The audit: what was read and changed, by whom and about whom. A background thread writes it, counted by minute."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from pulsebase import telemetry
from pulsebase.access.access_file import (
    EVERYBODY,
    NO_PERSON,
    AccessFile,
    AuditEntry,
    AuditFilter,
    EntryCount,
    EntryName,
)
from pulsebase.access.caller import Caller
from pulsebase.model.errors import RetryLaterError
from pulsebase.model.readings import Ids
from pulsebase.model.timerange import MINUTE_US

logger = logging.getLogger(__name__)

#: How often the thread looks for changed keys, in seconds.
LOOK_S = 0.5
#: The audit is written every so many looks, once a second: so much of it a crash can lose.
_WRITTEN_EVERY = 2
#: How many requests may wait to be counted, and entries to be written. If the disk hangs for longer, the rest is lost,
#: and a metric counts the loss.
_MOST_WAITING = 20_000
_MOST_UNWRITTEN = 200_000
_DAY_MINUTES = 24 * 60
#: Entries that are too old are removed every so many looks.
_PRUNED_EVERY = 240

_Note = tuple[Caller, str, str, int, int]


class AuditTrail:
    """Collects the audit. Noting a request costs one append to a list. Holds ids, route templates and outcomes only,
    never a reading or a key.
    """

    def __init__(
        self, state: AccessFile, kept_days: int, known: Callable[[str], bool], now_us: Callable[[], int]
    ) -> None:
        self._state, self._kept_days, self._known, self._now_us = state, kept_days, known, now_us
        self._notes: list[_Note] = []
        self._unwritten: dict[EntryName, EntryCount] = {}
        self._writing = threading.Lock()

    def note(self, caller: Caller, method: str, route: str, status: int) -> None:
        """Note an answered request."""
        if len(self._notes) < _MOST_WAITING:
            self._notes.append((caller, method, route, status, self._now_us()))
        else:
            telemetry.ACCESS_TRAIL_LOST.inc()

    def flush(self) -> None:
        """Write the notes to the file. What cannot be written now is kept for the next time."""
        with self._writing:
            notes, self._notes = self._notes, []
            if len(self._unwritten) < _MOST_UNWRITTEN:
                _count(notes, self._unwritten)
            else:
                telemetry.ACCESS_TRAIL_LOST.inc(len(notes))
            if not self._unwritten:
                return
            try:
                self._state.add_entries(self._unwritten.items(), self._known)
                self._unwritten = {}
            except RetryLaterError as error:
                logger.error("the audit waits in memory: %s", error)
            except sqlite3.Error:
                logger.exception("the audit cannot be written")

    def prune(self) -> None:
        """Remove the entries that are older than the retention time."""
        oldest = self._now_us() // MINUTE_US - self._kept_days * _DAY_MINUTES
        while self._state.prune(oldest):
            pass

    def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """Return entries of the audit, newest first, including everything noted so far."""
        self.flush()
        return self._state.entries(wanted)


class AuditThread:
    """Calls `look` and writes the audit at intervals until it is closed, then writes once more."""

    def __init__(self, audit: AuditTrail, look: Callable[[], None]) -> None:
        self._audit, self._look = audit, look
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulsebase-access", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Write the rest and stop."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        while not self._stopping.wait(LOOK_S):
            try:
                self._look()
                if turn % _WRITTEN_EVERY == 0:
                    self._audit.flush()
                if turn % _PRUNED_EVERY == 0:
                    self._audit.prune()
            except Exception:  # the next turn may succeed; the audit itself counts what is lost
                logger.exception("access cannot be kept up to date")
            turn += 1
        self._audit.flush()


def _count(notes: Sequence[_Note], counts: dict[EntryName, EntryCount]) -> None:
    """Add the notes to the counts, grouped by key, route, outcome and minute."""
    alike: dict[tuple[int, int, str, str, int], list[tuple[Caller, int]]] = {}
    for caller, method, route, status, at_us in notes:
        name = at_us // MINUTE_US, caller.principal.number, method, route, status
        alike.setdefault(name, []).append((caller, at_us))
    for name, group in alike.items():
        first_us, last_us = group[0][1], group[-1][1]
        for person, requests in _people([caller for caller, _ in group]).items():
            before = counts.get((*name, person))
            first = first_us if before is None else before[0]
            counts[*name, person] = first, last_us, requests + (0 if before is None else before[2])


def _people(callers: Sequence[Caller]) -> Counter[str | int]:
    """Count how many requests were about each person."""
    people: Counter[str | int] = Counter()
    columns: dict[int, list[Ids]] = {}
    for caller in callers:
        if caller.everybody:
            people[EVERYBODY] += 1
        elif not caller.named and not caller.asked:
            people[NO_PERSON] += 1
        else:
            people.update(caller.asked)
            for ids in caller.named:
                columns.setdefault(id(ids.texts), []).append(ids)
    for several in columns.values():
        texts = several[0].texts
        counts = np.zeros(len(texts), np.int64)
        for ids in several:
            counts[ids.codes[ids.codes >= 0]] += 1  # once for each person, however often the column names them
        for code in np.flatnonzero(counts).tolist():
            people[texts[code]] += int(counts[code])
    return people
