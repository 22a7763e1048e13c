"""The journal: one frame per group commit, appended and flushed to the disk before the commit is acknowledged.

`format` defines the bytes of its files, `file_list` the list that lies beside their folder, and `replay` reads them
back at the start and refuses what does not fit.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from pulsebase.files.disk_errors import named
from pulsebase.model.errors import OutcomeUnknownError, StopError, StoreUnavailableError
from pulsebase.stores.duckdb.journal.file_list import (
    FileList,
    ListedFile,
    Truncation,
    list_path,
    sync_folder,
    write_all,
    write_list,
)
from pulsebase.stores.duckdb.journal.format import file_name, frame_bytes, header_bytes, is_file_name, new_header
from pulsebase.stores.duckdb.journal.replay import Position, Replay
from pulsebase.stores.duckdb.merge.stage import Rows
from pulsebase.stores.duckdb.people.id_numbers import IdNumbers

logger = logging.getLogger(__name__)

#: A new file is begun beyond this size, so that merged ones can be dropped.
_FILE_BYTES = 16 << 20
_RETRY_S = 10
_RETRY_WHEN_BROKEN_S = 60


class Journal:
    """A folder of journal files and their list. One thread appends; `replay` comes before the first append."""

    def __init__(self, folder: Path, store: str) -> None:
        """Open the journal of the database with the id `store`."""
        self.folder = folder
        self._store = uuid.UUID(store).hex
        self._listing = FileList(self._store, 0, "", 0, 0)
        #: Whether the list on the disk may differ from this one.
        self._unlisted = True
        self._lists = threading.RLock()  # files are begun by one thread and dropped by another
        self._file: int | None = None
        self._size = 0
        self._end_seq = 0
        self._broken = False
        #: Called with the files that are to be dropped, and the number of the row after their last one.
        self.before_dropping: Callable[[Sequence[ListedFile], int], None] = lambda _files, _end_seq: None
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)

    def replay(self, position: Position, users: IdNumbers, devices: IdNumbers, metrics: int = 1) -> Iterator[Rows]:
        """Yield the rows that a database at this position lacks, oldest first, after restoring the numbers they need.

        At the end an unfinished commit is cut off, and the files are listed.

        Raises:
            StoreCorruptError: something was changed on the disk, is missing, or is of another store or time.
            StoreVersionError: something was written by a newer version.
        """
        replay = Replay(self.folder, self._store, position)
        yield from replay.rows(users, devices, metrics)
        if replay.cut is not None:
            path, size = replay.cut
            lost = path.stat().st_size - size
            logger.warning("dropped %d bytes of an unfinished commit at the end of the journal", lost)
            _truncate(path, size)
        self._listing, self._end_seq = replay.listing, replay.listing.acknowledged_seq
        self._unlisted = replay.listing != replay.found
        self._write_list()
        for path in (*replay.leftovers, *self.folder.glob("*.journal.new")):
            path.unlink()

    @property
    def is_sound(self) -> bool:
        """Whether it still accepts commits."""
        return not self._broken

    def refuse_when_broken(self) -> None:
        """Refuse to go on after a failure: a commit that may come back at the next start has its numbers already.

        Raises:
            StopError: the journal accepts nothing more.
        """
        if self._broken:
            raise StopError("the journal's disk failed; restart the server once the disk is sound")

    def append(self, first_seq: int, users: list[tuple[int, str]], devices: list[tuple[int, str]], rows: Rows) -> None:
        """Write a frame and return once it is on the disk.

        Raises:
            StoreUnavailableError: there was no room; the journal is as before.
            StopError: the disk failed. The journal is as before, and accepts nothing more until the next start.
            OutcomeUnknownError: the disk failed, and the next start may or may not find the frame; otherwise the same.
        """
        self.refuse_when_broken()
        if self._file is None or self._unlisted or self._size >= _FILE_BYTES:
            self.rotate(first_seq)
        record = frame_bytes(self._newest, first_seq, users, devices, rows)
        assert self._file is not None
        try:
            write_all(self._file, record)
        except OSError as error:
            self._roll_back(error)
            raise _unavailable(error) from error
        try:
            os.fdatasync(self._file)
        except OSError as error:
            # The kernel may have dropped the pages and will report success next time: trust nothing from here on.
            self._broken = True
            self._roll_back(error)
            raise StopError(f"the journal's disk failed, nothing of this was kept: {error.strerror}") from error
        self._size += len(record)
        self._end_seq = first_seq + len(rows)

    def fail(self) -> None:
        """Accept nothing more: the last frame could not be made visible, but the next start will replay it."""
        self._broken = True

    def rotate(self, first_seq: int) -> None:
        """Go on in a new file whose first row will be `first_seq`. An empty current file stays in use.

        Raises:
            StoreUnavailableError: the disk refuses it now.
            StopError: the journal accepts nothing more.
        """
        self.refuse_when_broken()
        with self._lists:
            try:
                if self._file is None or self._listing.files[-1].first_seq != first_seq:
                    self._begin(first_seq)
                self._write_list()
            except OSError as error:
                raise _unavailable(error) from error

    def holder(self, seq: int) -> str:
        """Return the id of the file that holds the row before `seq`, up to which rows were merged."""
        return self._listing.holder(seq)

    def drop_before(self, seq: int, changes: int) -> None:
        """Drop the files whose rows are all below `seq`, except the newest.

        The database file has these rows, and the given number of `changes`.

        Raises:
            StoreUnavailableError: the disk refuses it now.
        """
        with self._lists:
            files = self._listing.files
            ends = [entry.first_seq for entry in files[1:]]
            count = sum(end <= seq for end in ends)
            self._drop_files(count, seq, changes)

    def clear(self) -> None:
        """Drop every file; the next append begins a new one. The database must have all that is in them.

        Raises:
            StoreUnavailableError: the disk refuses it now.
        """
        with self._lists:
            self._close_file()
            self._drop_files(len(self._listing.files), self._end_seq, self._listing.changes)

    def listed(self) -> FileList:
        """Return the list as of this moment, as a copy of the store needs it."""
        with self._lists:
            return msgspec.structs.replace(self._listing, acknowledged_seq=self._end_seq, going=())

    def size_bytes(self) -> int:
        """Return the total size of the files."""
        size_bytes = 0
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # merged and removed meanwhile
                size_bytes += path.stat().st_size if is_file_name(path.name) else 0
        return size_bytes

    def close(self) -> None:
        """Close the file in use, and note in the list that nothing comes after it."""
        with self._lists:
            self._close_file()
            if self._broken:
                return
            closed = msgspec.structs.replace(self._listing, acknowledged_seq=self._end_seq, closed=True)
            try:
                self._replace_list(closed)
            except OSError as error:
                logger.warning("the end of the journal was not noted: %s", error.strerror)

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _newest(self) -> str:
        return self._listing.files[-1].file

    def _begin(self, first_seq: int) -> None:
        """Make a new file, replacing one without rows if there is one. The caller writes the list."""
        self._close_file()
        header = new_header(self._store, self._listing.holder(first_seq), first_seq, self._listing.changes)
        path = self.folder / file_name(first_seq)
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        file = os.open(fresh, flags, 0o600)
        try:
            beginning = header_bytes(header)
            write_all(file, beginning)
            os.fsync(file)
            fresh.rename(path)
            sync_folder(self.folder)
        except OSError:
            os.close(file)
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        self._file, self._size = file, len(beginning)
        self._listing = msgspec.structs.replace(
            self._listing,
            acknowledged_seq=self._end_seq,
            closed=False,
            files=(*self._listing.files, ListedFile(header.file, first_seq)),
            going=tuple(entry for entry in self._listing.going if entry.first_seq != first_seq),
        )
        self._unlisted = True

    def _drop_files(self, count: int, seq: int, changes: int) -> None:
        """Take the first `count` files off the list, then delete them."""
        listing = self._listing
        going = listing.going + listing.files[:count]
        if not going and (listing.changes, listing.base_seq) == (changes, seq) and not self._unlisted:
            return
        if count:
            after = listing.files[count].first_seq if count < len(listing.files) else self._end_seq
            self.before_dropping(listing.files[:count], after)
        shorter = msgspec.structs.replace(
            listing,
            changes=changes,
            base_file=listing.holder(seq),
            base_seq=seq,
            acknowledged_seq=self._end_seq,
            files=listing.files[count:],
            going=going,
        )
        try:
            self._replace_list(shorter)
            for entry in going:
                (self.folder / file_name(entry.first_seq)).unlink(missing_ok=True)
            self._listing = msgspec.structs.replace(shorter, going=())  # on the disk with the next list
        except OSError as error:
            raise _unavailable(error) from error

    def _roll_back(self, cause: OSError) -> None:
        """Truncate the file to its last acknowledged frame, and flush that.

        Raises:
            OutcomeUnknownError: that failed too.
        """
        assert self._file is not None
        try:
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)
        except OSError:
            self._broken = True
            self._note_cut(cause)

    def _note_cut(self, cause: OSError) -> None:
        """Note in the list where the file ends, since it cannot be truncated."""
        try:
            with self._lists:
                self._replace_list(msgspec.structs.replace(self._listing, cut=Truncation(self._newest, self._size)))
        except OSError:
            raise OutcomeUnknownError(
                f"the journal's disk failed ({cause.strerror}): it is not known whether this was stored; sending the "
                "same again does no harm",
                retry_after_s=_RETRY_WHEN_BROKEN_S,
            ) from cause

    def _replace_list(self, listing: FileList) -> None:
        if listing != self._listing:
            self._listing, self._unlisted = listing, True
        self._write_list()

    def _write_list(self) -> None:
        if self._unlisted:
            write_list(list_path(self.folder), self._listing)
            self._unlisted = False

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _unavailable(error: OSError) -> StoreUnavailableError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = "the disk is full" if is_full else os.strerror(error.errno or 0)
    ours = StoreUnavailableError(f"the journal cannot be written: {reason}", retry_after_s=_RETRY_S)
    ours.__cause__ = error
    return named(ours)


def _truncate(path: Path, size: int) -> None:
    """Truncate a file and flush that: an unfinished frame that came back once there is a next file would be damage."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(file, size)
        os.fsync(file)
    finally:
        os.close(file)
