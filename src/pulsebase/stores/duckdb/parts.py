"""What an embedded store is made of, and how it is opened."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

from pulsebase.model.timerange import HOUR_US
from pulsebase.stores.duckdb.engine.cached_state import CachedState
from pulsebase.stores.duckdb.engine.database import Database
from pulsebase.stores.duckdb.engine.lock import StoreLock
from pulsebase.stores.duckdb.engine.transactions import read_position, read_state
from pulsebase.stores.duckdb.engine.watchdog import Watchdog
from pulsebase.stores.duckdb.journal.journal import Journal
from pulsebase.stores.duckdb.journal.notes import JournalNotes
from pulsebase.stores.duckdb.merge.merge import HourSizes
from pulsebase.stores.duckdb.merge.origins import PushOrigins
from pulsebase.stores.duckdb.merge.stage import Stage
from pulsebase.stores.duckdb.options import DuckdbOptions
from pulsebase.stores.duckdb.people.expiry import Horizon
from pulsebase.stores.duckdb.people.priorities import Priorities
from pulsebase.stores.duckdb.read.unmerged import ChangeCache


@dataclass(frozen=True, slots=True)
class StoreParts:
    """The parts that the components of a store share.

    Attributes:
        lock: keeps other processes out.
        database: the DuckDB file.
        cached: what memory holds of the database, with the lock that commits take.
        journal: what is acknowledged, on the disk.
        notes: what commits changed, as far as somebody wants to know it.
        stage: what no merge has taken yet, in memory.
        priorities: everybody's priorities of devices.
        push_origins: the numbers of the origins by which devices send.
        hour_sizes: about how many readings are stored for each hour.
        horizon: what has expired.
        merge_due: set to wake the thread that merges.
        watchdog: stops queries whose time is up.
        write_lock: the right to write the database. If both are needed, it is taken before `cached.commit_lock`.
        wanted_quarters: the people for whom quarters of an hour are to be kept from the next merge on.
        change_cache: what unmerged rows change in rollups, as earlier queries computed it.
    """

    lock: StoreLock
    database: Database
    cached: CachedState
    journal: Journal
    notes: JournalNotes
    stage: Stage
    priorities: Priorities
    push_origins: PushOrigins
    hour_sizes: HourSizes
    horizon: Horizon
    merge_due: threading.Event
    watchdog: Watchdog = field(default_factory=Watchdog)
    write_lock: threading.RLock = field(default_factory=threading.RLock)
    wanted_quarters: set[int] = field(default_factory=set)
    change_cache: ChangeCache = field(default_factory=ChangeCache)

    def size_bytes(self) -> int:
        """Return the size of the database file, the engine's log and the journal."""
        return self.database.size_bytes() + self.journal.size_bytes()

    def close(self) -> None:
        """Let go of every file."""
        self.watchdog.close()
        self.notes.close()
        self.journal.close()
        self.database.close()
        self.lock.release()


def open_parts(path: Path, options: DuckdbOptions) -> StoreParts:
    """Open the store whose database file is `path`, or make it, and bring what no merge has taken into memory.

    Raises:
        StopError: it cannot be opened: another process has it, it is damaged, or of a newer version.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    cached, merge_due = CachedState(), threading.Event()
    with contextlib.ExitStack() as undo:
        lock = StoreLock(path)
        undo.callback(lock.release)
        database = Database(
            path,
            memory_limit=options.memory_limit,
            threads=options.threads,
            on_opened=cached.load,
            on_failure=merge_due.set,  # the next one who writes opens the file again
        )
        undo.callback(database.close)
        journal = Journal(path.with_name(path.name + ".journal"), database.instance_id)
        with database.reading() as connection:
            state, position = read_state(connection), read_position(connection)
            hour_sizes = HourSizes.read(connection)
            push_origins = PushOrigins.read(connection)
            priorities = Priorities(connection, state.epoch)
        stage = Stage(state.merged_seq)
        for rows in journal.replay(position, cached.users, cached.devices, len(cached.metrics)):
            stage.append(rows)
        notes = JournalNotes(path.with_name(path.name + ".notes"), journal, cached, lambda: stage.next_seq)
        undo.callback(notes.close)
        horizon_us = state.horizon_hour * HOUR_US
        parts = StoreParts(
            lock,
            database,
            cached,
            journal,
            notes,
            stage,
            priorities,
            push_origins,
            hour_sizes,
            Horizon(horizon_us, horizon_us),
            merge_due,
        )
        undo.pop_all()
    return parts
