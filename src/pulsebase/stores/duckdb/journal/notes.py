"""Notes of what commits changed: `contract.CommitNotes` of the embedded store.

A commit costs nothing more for it, since its journal frame says all there is to note. A small SQLite file beside the
journal notes up to which row frames were read. Frames are read when somebody asks for notes, and before a file of the
journal is dropped; so what was acknowledged is in the journal or noted. The file knows people by their numbers alone.
The numbers of notes begin at a random place of a wide range whenever notes begin, so that none is given twice.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from pulsebase.files import sqlite as sqlite_file
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.stores.contract import CommitNote
from pulsebase.stores.duckdb.engine.cached_state import CachedState
from pulsebase.stores.duckdb.journal.file_list import ListedFile
from pulsebase.stores.duckdb.journal.format import HEADER_BYTES, file_name, frames, read_header
from pulsebase.stores.duckdb.journal.journal import Journal
from pulsebase.stores.duckdb.merge.stage import TOMBSTONE, Rows
from pulsebase.stores.duckdb.people.id_numbers import FORGOTTEN
from pulsebase.stores.duckdb.people.series_numbers import person_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS read_to (seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS notes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, user_no INTEGER NOT NULL, series_no INTEGER, start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL, readings INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS notes_of_people ON notes (user_no);
"""
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON")
_ADD = "INSERT INTO notes (user_no, series_no, start_us, end_us, readings) VALUES (?, ?, ?, ?, ?)"
#: Where numbers may begin. As many again are left for what follows.
_FIRST_NUMBERS = 1 << 62


class JournalNotes:
    """The notes of one store. The file is there while notes are wanted."""

    def __init__(self, path: Path, journal: Journal, cached: CachedState, next_seq: Callable[[], int]) -> None:
        """`next_seq` returns the number that the next row to be acknowledged gets."""
        self._path, self._journal, self._cached, self._next_seq = path, journal, cached, next_seq
        self._lock, self._file_lock = threading.RLock(), threading.Lock()
        self._file: sqlite3.Connection | None = None
        #: The file of the journal that was read last, by its first row, and where its next frame begins.
        self._place = (-1, HEADER_BYTES)
        if path.exists():
            self._open()
            if self._read_to() > next_seq():  # an older copy of the store was brought back
                self._begin_at(next_seq())
        journal.before_dropping = self._read

    def want(self, wanted: bool) -> None:
        with self._cached.commit_lock, self._lock:
            if not wanted:
                self._remove()
            elif self._file is None:
                self._open()
                self._begin_at(self._next_seq())

    def notes(self, most: int) -> Sequence[CommitNote]:
        # The files are listed before the lock is taken: who drops some holds the list's lock, and then takes this one.
        end_seq, files = self._next_seq(), self._journal.listed().files
        self._read(files, end_seq)
        with self._lock:
            if self._file is None:
                return []
            with self._asking() as connection:
                rows = connection.execute(
                    "SELECT number, user_no, series_no, start_us, end_us, readings FROM notes ORDER BY number LIMIT ?",
                    [most],
                ).fetchall()
        found = [self._note_of(*row) for row in rows]
        if None in found:  # of people whose removal was cut short
            self.drop([row[0] for row, note in zip(rows, found, strict=True) if note is None])
        return [note for note in found if note is not None]

    def drop(self, numbers: Collection[int]) -> None:
        with self._lock:
            if self._file is not None:
                with self._changing() as connection:
                    connection.executemany("DELETE FROM notes WHERE number = ?", [(number,) for number in numbers])

    def add_everything_of(self, user_no: int) -> None:
        """Note that whatever is known of a person may have changed by something that is not in the journal."""
        with self._lock:
            if self._file is not None:
                with self._changing() as connection:
                    connection.execute(_ADD, (user_no, None, 0, MAX_US, 0))

    def forget(self, user_no: int) -> None:
        """Drop the notes of a person."""
        with self._lock:
            if self._file is not None:
                with self._changing() as connection:
                    connection.execute("DELETE FROM notes WHERE user_no = ?", [user_no])

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    # --- inside -----------------------------------------------------------------------------------------------------

    def _read(self, files: Sequence[ListedFile], end_seq: int) -> None:
        """Note what these files of the journal say up to a row, as far as that was not done before."""
        with self._lock:
            if self._file is None or (read_to := self._read_to()) >= end_seq:
                return
            found: dict[int, tuple[int, int, int]] = {}
            for entry, after in zip(files, [*(each.first_seq for each in files[1:]), end_seq], strict=True):
                if after > read_to and entry.first_seq < end_seq:
                    for rows in self._frames(entry.first_seq, read_to, end_seq):
                        _gather(rows, found)
            with self._changing() as connection:
                connection.executemany(_ADD, [(person_of(series), series, *kept) for series, kept in found.items()])
                connection.execute("UPDATE read_to SET seq = ?", [end_seq])

    def _frames(self, first_seq: int, read_to: int, end_seq: int) -> Iterator[Rows]:
        """Yield the rows from `read_to` to `end_seq` of a file, frame by frame; the next call goes on from there."""
        path = self._journal.folder / file_name(first_seq)
        data = memoryview(path.read_bytes())
        header = read_header(path, data)
        if header is None:
            return
        begin = self._place[1] if self._place[0] == first_seq else None
        for _, end, frame in frames(path, header, data, begin):
            if frame.first_seq >= end_seq:
                return
            self._place = (first_seq, end)
            if frame.first_seq >= read_to:
                yield frame.rows()

    def _note_of(  # noqa: PLR0917 a column each
        self, number: int, user_no: int, series_no: int | None, start_us: int, end_us: int, readings: int
    ) -> CommitNote | None:
        user_id = self._cached.users.text(user_no)
        if user_id == FORGOTTEN:
            return None
        metric = None if series_no is None else self._cached.metrics.name_of(series_no)
        return CommitNote(number, user_id, metric, TimeRange(start_us, end_us), readings)

    def _open(self) -> None:
        def set_up(connection: sqlite3.Connection) -> None:
            connection.executescript(_SCHEMA)
            if connection.execute("SELECT count(*) FROM read_to").fetchone() == (0,):
                _number_anew(connection)
                connection.execute("INSERT INTO read_to VALUES (?)", [self._next_seq()])

        self._file = sqlite_file.opened(self._path, _PRAGMAS, set_up)

    def _begin_at(self, seq: int) -> None:
        with self._changing() as connection:
            connection.execute("DELETE FROM notes")
            _number_anew(connection)
            connection.execute("UPDATE read_to SET seq = ?", [seq])

    def _remove(self) -> None:
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _read_to(self) -> int:
        with self._asking() as connection:
            return int(connection.execute("SELECT seq FROM read_to").fetchone()[0])

    def _asking(self) -> AbstractContextManager[sqlite3.Connection]:
        assert self._file is not None
        return sqlite_file.asking(self._file, self._file_lock, self._path)

    def _changing(self) -> AbstractContextManager[sqlite3.Connection]:
        assert self._file is not None
        return sqlite_file.changing(self._file, self._file_lock, self._path)


def _number_anew(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'notes'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('notes', ?)", [secrets.randbelow(_FIRST_NUMBERS)])


def _gather(rows: Rows, found: dict[int, tuple[int, int, int]]) -> None:
    """Add the rows of a commit to what was found of each series: from when until when, and how many were written."""
    order = np.argsort(rows.user_no, kind="stable")
    series, times, written = rows.user_no[order], rows.t[order], (rows.v != TOMBSTONE)[order]
    starts = np.flatnonzero(np.r_[True, series[1:] != series[:-1]])
    firsts = np.minimum.reduceat(times, starts).tolist()
    lasts = np.maximum.reduceat(times, starts).tolist()
    counts = np.add.reduceat(written.astype(np.int64), starts).tolist()
    for series_no, first, last, count in zip(series[starts].tolist(), firsts, lasts, counts, strict=True):
        start, end, readings = found.get(series_no, (first, last + 1, 0))
        found[series_no] = min(start, first), max(end, last + 1), readings + count
