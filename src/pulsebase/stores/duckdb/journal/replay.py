"""Reading a journal at the start: does it belong to this database, is it complete, and what does it hold?

Nothing is changed. What does not fit is refused with a way out: bring back what belongs here, or move away what the
message names and go on without what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from pulsebase.model.errors import StoreCorruptError
from pulsebase.stores.duckdb.journal.file_list import FileList, ListedFile, list_path, read_list
from pulsebase.stores.duckdb.journal.format import (
    HEADER_BYTES,
    NO_FILE,
    VERSION_1,
    Header,
    check_rows,
    corrupt,
    file_name,
    frames,
    impossible_commit,
    is_file_name,
    read_header,
    restore_names,
)
from pulsebase.stores.duckdb.merge.stage import Rows
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers


class Position(NamedTuple):
    """How far a database got.

    Attributes:
        merged_seq: it holds the journal's rows before this sequence number.
        merged_file: the journal file that holds the row before it; `NO_FILE` if there was none yet, empty if the
            database has merged nothing since files have ids.
        changes: how many transactions changed it.
    """

    merged_seq: int
    merged_file: str
    changes: int


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    header: Header
    #: Taken from its name.
    first_seq: int
    size: int

    @property
    def is_empty(self) -> bool:
        return not self.header.is_version_1 and self.size == HEADER_BYTES


class Replay:
    """One pass over a journal.

    Complete once `rows` is exhausted:

    Attributes:
        listing: what must exist from now on; `closed` and so on as they were found.
        found: the list as it was on the disk.
        cut: the newest file and where it has to end, if an unfinished commit follows.
        leftovers: files that are not needed.
    """

    def __init__(self, folder: Path, store: str, position: Position) -> None:
        self.found = read_list(list_path(folder))
        self.listing = FileList(store, 0, NO_FILE, 0, 0)
        self.cut: tuple[Path, int] | None = None
        self.leftovers: list[Path] = []
        self._folder, self._store, self._position = folder, store, position
        listed = self.found.files if self.found else ()
        self._listed_ids = {entry.file for entry in listed}
        self._listed_names = {file_name(entry.first_seq) for entry in listed}

    def rows(self, users: IdNumbers, devices: IdNumbers, metrics: int = 1) -> Iterator[Rows]:
        """Yield the rows that the database lacks, commit by commit, after restoring the numbers they need.

        Raises:
            StoreCorruptError: something was changed or is missing, or is of another store or another time.
            StoreVersionError: something was written by a newer version.
        """
        self._check_list()
        files = self._files()
        self._check_that_all_are_there(files)
        end_seq = self._position.merged_seq
        holder = self._position.merged_file or NO_FILE
        for number, file in enumerate(files):
            later = files[number + 1 :]
            if later and later[0].first_seq <= self._position.merged_seq:
                continue
            if self._holds_nothing_new(file) and not later:
                continue
            try:
                for rows in self._rows_of(file, end_seq, holder, users, devices, metrics, newest=not later):
                    end_seq += len(rows)
                    holder = file.header.file
                    yield rows
            except StoreCorruptError as error:
                raise StoreCorruptError(f"{error}; {self._way_out([file, *later])}") from error
        if self.found is not None and end_seq < self.found.acknowledged_seq:
            raise self._lost(end_seq, self.found.acknowledged_seq, files[-1:])
        without_rows = [file for file in files if file.is_empty or self._is_cut_to_nothing(file)]
        self.leftovers += [file.path for file in without_rows]
        self.listing = self._listing_of([file for file in files if file not in without_rows], end_seq)

    def _is_cut_to_nothing(self, file: _File) -> bool:
        beginning = 0 if file.header.is_version_1 else HEADER_BYTES
        return self.cut is not None and self.cut[0] == file.path and self.cut[1] <= beginning

    def _listing_of(self, files: Sequence[_File], end_seq: int) -> FileList:
        """Return what must exist from now on.

        The engine's log may still be lost, so the list does not rely on what only the log has, unless the files do not
        reach back further.
        """
        merged_seq, holder, _ = self._position
        found, holder = self.found, holder or NO_FILE
        entries = tuple(ListedFile(file.header.file, file.first_seq) for file in files)
        listing = FileList(
            self._store,
            changes=found.changes if found else 0,
            base_file=found.base_file if found else (files[0].header.before if files else None) or NO_FILE,
            base_seq=found.base_seq if found else min([file.first_seq for file in files], default=merged_seq),
            acknowledged_seq=end_seq,
            closed=found is not None and found.closed and found.acknowledged_seq == end_seq,
            files=entries,
        )
        if listing.base_seq > merged_seq or listing.holder(merged_seq) != holder:
            return msgspec.structs.replace(listing, base_file=holder, base_seq=merged_seq)
        return listing

    # --- Which store and which time it belongs to -------------------------------------------------------------------

    def _check_list(self) -> None:
        found, position = self.found, self._position
        if found is None:
            return
        both = f"move {self._folder} and {list_path(self._folder)} away to go on with what the database holds"
        if found.store != self._store:
            raise StoreCorruptError(
                f"{self._folder} is the journal of another store; bring back the one of this database, or {both}"
            )
        if found.changes > position.changes or found.base_seq > position.merged_seq:
            raise StoreCorruptError(
                f"{self._folder} is the journal of a later state of the database: readings up to number "
                f"{found.base_seq} were in it, and {position.merged_seq} are; bring back the newer database, restore "
                f"database and journal of one time, or {both}"
            )

    def _files(self) -> list[_File]:
        """Return the files that may hold rows, by number."""
        going = {entry.file for entry in self.found.going} if self.found else set()
        files, strangers = [], []
        paths = self._paths()
        for path in paths:
            file = self._file_at(path, paths)
            if file is None:
                self.leftovers.append(path)
            elif self._is_listed(file, paths):
                files.append(file)
            elif file.header.file in going or (file.is_empty and file.header.store == self._store):
                self.leftovers.append(path)
            elif self._may_follow(file):
                files.append(file)
            else:
                strangers.append(path)
        if strangers:
            named = ", ".join(map(str, strangers))
            raise StoreCorruptError(
                f"{named}: not of this journal, but of another store or from before something else was brought back; "
                "bring back the journal's own files if these took their place, and move these away"
            )
        for file in files:
            self._check_header(file, paths)
        return files

    def _file_at(self, path: Path, paths: Sequence[Path]) -> _File | None:
        """Read a file's header; None if the file was being begun when the process died."""
        try:
            header = read_header(path, _head_of(path))
        except StoreCorruptError as error:
            raise StoreCorruptError(f"{error}; {self._way_out_of(path, paths)}") from error
        if header is not None:
            return _File(path, header, int(path.stem), path.stat().st_size)
        if path != paths[-1] or path.name in self._listed_names:
            raise StoreCorruptError(f"{corrupt(path, 0)}; {self._way_out_of(path, paths)}")
        return None

    def _is_listed(self, file: _File, paths: Sequence[Path]) -> bool:
        """Whether the list names this file. Where it names another one in this place, that one is missed."""
        if file.header.file in self._listed_ids:
            return True
        if file.path.name in self._listed_names:
            raise StoreCorruptError(
                f"{file.path} is another file than the one that was written there, which held readings from number "
                f"{file.first_seq} on; bring that one back, or {self._without(file.path, paths)}"
            )
        return False

    def _paths(self) -> list[Path]:
        """Return the journal's files. Others are ignored, unless one may be a journal file that lost its name."""
        paths = []
        for path in sorted(self._folder.iterdir()):
            if is_file_name(path.name):
                paths.append(path)
            elif path.suffix == ".journal" and not path.name.startswith("."):
                raise StoreCorruptError(
                    f"{path}: the name of a journal's file is the number of its first reading, in 20 digits; give it "
                    "its name back, or move it away if it is something else"
                )
        return paths

    def _may_follow(self, file: _File) -> bool:
        """Whether an unlisted file may belong to this journal. Whether it fits is checked when it is read."""
        if file.header.is_version_1:
            # These do not name their store; since a merge noted a file's id, no more of them can appear.
            merged_file = self._position.merged_file
            return self.found is None and (merged_file == "" or merged_file.startswith(VERSION_1))
        is_newer = self.found is None or file.first_seq >= self.found.acknowledged_seq
        return file.header.store == self._store and is_newer

    def _check_header(self, file: _File, paths: Sequence[Path]) -> None:
        header = file.header
        if header.first_seq is not None and header.first_seq != file.first_seq:
            raise StoreCorruptError(
                f"{file.path} was called {file_name(header.first_seq)} when it was written; give it its name back, "
                f"or {self._without(file.path, paths)}"
            )
        if header.changes > self._position.changes:
            raise StoreCorruptError(
                f"{file.path} is the journal of a later state of the database; bring back the newer database, restore "
                f"database and journal of one time, or {self._without(file.path, paths)}"
            )

    def _check_that_all_are_there(self, files: Sequence[_File]) -> None:
        if self.found is None:
            return
        there = {file.header.file for file in files}
        last_seq = self.found.acknowledged_seq if self.found.closed else None
        ends = [*(entry.first_seq for entry in self.found.files[1:]), last_seq]
        for entry, end_seq in zip(self.found.files, ends, strict=False):  # without a file there is no end
            is_needed = end_seq is None or end_seq > max(entry.first_seq, self._position.merged_seq)
            if is_needed and entry.file not in there:
                path = self._folder / file_name(entry.first_seq)
                later = [file for file in files if file.first_seq > entry.first_seq]
                to = "" if end_seq is None else f" up to {end_seq}"
                raise StoreCorruptError(
                    f"{path} is missing; it held the readings from number {entry.first_seq}{to}. Bring it back, "
                    f"{self._way_out(later)}"
                )

    def _holds_nothing_new(self, file: _File) -> bool:
        """Whether the list says that the database has all of the newest file."""
        found = self.found
        is_last = found is not None and bool(found.files) and found.files[-1].file == file.header.file
        return found is not None and is_last and found.closed and found.acknowledged_seq <= self._position.merged_seq

    # --- What it holds ----------------------------------------------------------------------------------------------

    def _rows_of(  # noqa: PLR0917 a file, and what numbers may occur
        self,
        file: _File,
        expected: int,
        holder: str,
        users: IdNumbers,
        devices: IdNumbers,
        metrics: int,
        *,
        newest: bool,
    ) -> Iterator[Rows]:
        """Yield the rows of one file from `expected` on; `holder` is the file that holds the row before it."""
        data = memoryview(file.path.read_bytes())
        cut = self.found.cut if self.found else None
        if cut is not None and cut.file == file.header.file:
            data = data[: cut.size]
        end = 0 if file.header.is_version_1 else HEADER_BYTES
        next_seq = file.header.first_seq
        for at, frame_end, frame in frames(file.path, file.header, data):
            if next_seq is not None and frame.first_seq != next_seq:
                raise corrupt(file.path, at)
            rows, end = frame.rows(), frame_end
            next_seq = frame.first_seq + len(rows)
            if next_seq <= self._position.merged_seq:
                continue
            if frame.first_seq > expected:
                raise _lost_readings(file.path, expected, frame.first_seq)
            if frame.first_seq < expected != self._position.merged_seq:
                raise impossible_commit(file.path, at, "its readings were there before")
            if holder != file.header.file:
                _check_that_it_continues(file, expected, holder)
                holder = file.header.file
            restore_names(file.path, at, frame, users, devices)
            check_rows(file.path, at, rows, users, devices, metrics)
            yield rows.take(slice(expected - frame.first_seq, None))
            expected = next_seq
        if end < file.size:
            if not newest:
                raise corrupt(file.path, end)
            self.cut = (file.path, end)

    # --- Ways out ---------------------------------------------------------------------------------------------------

    def _lost(self, start_seq: int, end_seq: int, newest: Sequence[_File]) -> StoreCorruptError:
        path = newest[0].path if newest else self._folder
        return StoreCorruptError(
            f"{_lost_readings(path, start_seq, end_seq)}; bring back what was cut off, {self._way_out([])}"
        )

    def _way_out(self, files: Sequence[_File]) -> str:
        return f"restore a backup, or {self._moving([file.path for file in files])}"

    def _way_out_of(self, path: Path, paths: Sequence[Path]) -> str:
        return f"restore a backup, or {self._without(path, paths)}"

    def _without(self, path: Path, paths: Sequence[Path]) -> str:
        return self._moving([each for each in paths if each >= path])

    def _moving(self, paths: Sequence[Path]) -> str:
        """Say what to move away so that the rest opens: the list, which names these files, goes too."""
        away = [paths[0].name, "the files of higher numbers"][: len(paths)] if paths else []
        if self.found is not None:
            away.append(str(list_path(self._folder)))
        *before, last = away
        return f"move {', '.join(before)}{' and ' if before else ''}{last} away to go on without what is gone"


def _check_that_it_continues(file: _File, seq: int, holder: str) -> None:
    """Refuse a file whose row `seq` does not follow the row that `holder` holds."""
    header = file.header
    # If the database had merged from the middle of this file, this file would be the holder.
    if not header.is_version_1 and (header.before != holder or header.first_seq != seq):
        raise StoreCorruptError(
            f"{file.path} does not go on where the database ends: they were taken apart, and each went on by itself"
        )


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def _lost_readings(path: Path, start_seq: int, end_seq: int) -> StoreCorruptError:
    return StoreCorruptError(f"{path}: the journal has lost the readings {start_seq} to {end_seq}")
