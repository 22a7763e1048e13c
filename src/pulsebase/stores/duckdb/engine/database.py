"""The database file: opening it, and the pool of connections that reads use."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from pulsebase.files.disk_errors import meaning_of_words, translated
from pulsebase.model.errors import (
    DiskFailedError,
    DiskFullError,
    Kept,
    MemoryLimitError,
    PulsebaseError,
    StopError,
    StoreCorruptError,
    StoreUnavailableError,
    StoreVersionError,
)
from pulsebase.stores.duckdb.engine.engine_errors import (
    FATAL,
    INACCESSIBLE,
    INVALIDATED,
    damaged,
    first_line,
    tells_of_damage,
)
from pulsebase.stores.duckdb.engine.migrate import migrate
from pulsebase.stores.duckdb.engine.rewrite import copy_all
from pulsebase.stores.duckdb.engine.shared_lock import SharedLock
from pulsebase.stores.duckdb.engine.transactions import one_row
from pulsebase.stores.duckdb.journal.file_list import sync_folder

logger = logging.getLogger(__name__)

#: Free disk space that a checkpoint needs beyond twice the log's size: running out in the middle kills the engine.
_CHECKPOINT_ROOM_BYTES = 2 << 20
#: How long a checkpoint waits for queries that began before the last change.
_CHECKPOINT_PATIENCE_S = 1.0
_CHECKPOINT_PAUSE_S = 0.005
#: How long new queries are held back for running ones before a new file replaces the one in use.
_SWAP_PATIENCE_S = 1.0
_Setting = str | bool | int | float | list[str]


def _ignore(*_: object) -> None:
    """Do nothing."""


class Database:
    """An open database file. `writing()` is for one thread at a time; `reading()` for any number."""

    def __init__(
        self,
        path: Path,
        *,
        memory_limit: str,
        threads: int,
        on_opened: Callable[[duckdb.DuckDBPyConnection], None] = _ignore,
        on_failure: Callable[[], None] = _ignore,
    ) -> None:
        """Open the file, or make it.

        `on_opened` is called with the writer's connection whenever the file was opened: now, and again after a failure
        of the engine, when the last commit may or may not have been kept. `on_failure` is called when the engine
        failed. It has to see to it that something is written soon, since the next write opens the file again.
        """
        self.path = path
        self._on_opened, self._on_failure = on_opened, on_failure
        self._fresh_path = path.with_name(path.name + ".next")
        self._remove_fresh()
        shutil.rmtree(_spill_folder(path), ignore_errors=True)  # of an engine that was killed
        self._config: dict[str, _Setting] = {
            "memory_limit": memory_limit,
            "threads": threads,
            # Checkpoints are taken by the maintenance thread between merges, never in the middle of a commit.
            "checkpoint_threshold": "16GB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # No statement, people's own SQL least of all, reads or writes other files.
            "enable_external_access": False,
            "temp_directory": str(_spill_folder(path)),
        }
        self._writer = _connect(path, self._config)
        #: After a fatal error the engine refuses everything; the next one who writes opens the file again.
        self._failed = False
        #: The damage that was met since the start, and what to do about it.
        self.damage: StoreCorruptError | None = None
        self._written = False
        self._access = SharedLock()
        #: Tells a file that replaced another from the one it replaced.
        self._file_id: str | None = None
        self._idle: queue.LifoQueue[duckdb.DuckDBPyConnection] = queue.LifoQueue()
        try:
            self.instance_id = migrate(self._writer, path)
            self._file_id = _file_id(self._writer)
            self._on_opened(self._writer)
        except BaseException as error:
            self._writer.close()
            if isinstance(error, duckdb.Error):
                self._raise_translated(error)
            raise

    @contextlib.contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Run the block in a transaction that is committed at its end, and rolled back if it raises.

        Raises:
            StoreUnavailableError: it cannot be written now; nothing was changed. If the engine failed in the commit,
                `kept` says that the outcome is unknown.
            StoreCorruptError: the file is damaged; nothing was changed.
        """
        if self._failed:
            self._reopen()
        self._written = True
        connection = self._writer
        kept: Kept = "nothing"
        try:
            connection.execute("BEGIN")
            yield connection
            connection.execute("UPDATE state SET changes = changes + 1")
            kept = "unknown"
            connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                connection.execute("ROLLBACK")
            if isinstance(error, duckdb.Error):
                self._raise_translated(error, kept if isinstance(error, FATAL) else "nothing")
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Run the block in a read transaction on a connection of its own: all its statements see the same state.

        Raises:
            StoreUnavailableError: the engine has failed and is not opened again yet.
            StoreCorruptError: the file is damaged.
        """
        with self._access.shared():
            connection = self._connection()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("ROLLBACK")
            except BaseException as error:
                connection.close()  # an interrupted or failed connection is not used again
                if isinstance(error, duckdb.Error):
                    self._raise_translated(error)
                raise
            self._idle.put(connection)

    def checkpoint(self) -> None:
        """Write the write-ahead log into the file, unless the disk has no room for it or a long query runs.

        Raises:
            StoreUnavailableError: there was no room after all. Nothing is lost: the log has it.
        """
        needed = 2 * self.size_of_log() + _CHECKPOINT_ROOM_BYTES
        if shutil.disk_usage(self.path.parent).free < needed:
            logger.warning("the write-ahead log stays as it is: the disk has less than %d bytes of room", needed)
            return
        give_up_at = time.monotonic() + _CHECKPOINT_PATIENCE_S
        try:
            while not self._checkpointed():
                if time.monotonic() > give_up_at:
                    logger.info("the write-ahead log stays as it is until a long question has its answer")
                    return
                time.sleep(_CHECKPOINT_PAUSE_S)
        except duckdb.Error as error:
            self._raise_translated(error)
            raise

    def rewrite(self) -> None:
        """Replace the file by a new one with the same content, so that nothing is left of what was deleted.

        Called with the right to write, after a checkpoint. Queries go on meanwhile; at the end new ones wait a moment
        for running ones. A kill leaves the old file or the new one.

        Raises:
            StoreUnavailableError: not now: the disk has no room for it, or a long query runs. The file stays.
        """
        if self.size_of_log():
            raise StoreUnavailableError("the file cannot be rewritten while a long question runs", retry_after_s=30)
        if shutil.disk_usage(self.path.parent).free < self.path.stat().st_size + _CHECKPOINT_ROOM_BYTES:
            raise DiskFullError("the disk has no room for a new file beside the old one", retry_after_s=60)
        file_id = str(uuid.uuid4())
        try:
            with self.reading() as connection:
                self._write_fresh(connection, file_id)
            self._put_in_place(file_id)
        finally:
            self._remove_fresh()

    def size_of_log(self) -> int:
        """Return the size of the write-ahead log."""
        log = log_path(self.path)
        return log.stat().st_size if log.exists() else 0

    def size_bytes(self) -> int:
        """Return the size of the file and its write-ahead log."""
        return self.path.stat().st_size + self.size_of_log()

    def close(self) -> None:
        """Close every connection; the last one writes the write-ahead log into the file if anything was changed.

        A file that was only read, and perhaps refused, stays as it was.
        """
        if self._written:
            with contextlib.suppress(duckdb.Error):
                self._writer.execute("PRAGMA enable_checkpoint_on_shutdown")
        self._close_connections()

    def _write_fresh(self, source: duckdb.DuckDBPyConnection, file_id: str) -> None:
        """Copy everything that `source` sees into the new file, and flush it."""
        try:
            target = _connect(self._fresh_path, self._config | {"temp_directory": str(_spill_folder(self._fresh_path))})
            try:
                migrate(target, self._fresh_path)
                copy_all(source, target)
                target.execute("INSERT OR REPLACE INTO meta VALUES ('file_id', ?)", [file_id])
                target.execute("CHECKPOINT")
            finally:
                target.close()
        except (duckdb.Error, PulsebaseError) as error:
            if isinstance(error, StoreCorruptError):
                raise
            raise StoreUnavailableError(f"the file cannot be rewritten: {first_line(str(error))}", 60) from error
        with translated("the new file"):
            file = os.open(self._fresh_path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _put_in_place(self, file_id: str) -> None:
        with self._access.exclusive(_SWAP_PATIENCE_S) as is_alone:
            if not is_alone:
                raise StoreUnavailableError("the file cannot be replaced while a long question runs", retry_after_s=30)
            # The engine caches files by path: it opens the new one only once every connection is closed.
            self._failed = True
            self._close_connections()
            self._fresh_path.rename(self.path)
            self._file_id = file_id
            sync_folder(self.path.parent)
            self._reopen()

    def _remove_fresh(self) -> None:
        """Remove what is left of a new file that was not put in place."""
        for path in (self._fresh_path, log_path(self._fresh_path)):
            path.unlink(missing_ok=True)
        shutil.rmtree(_spill_folder(self._fresh_path), ignore_errors=True)

    def _close_connections(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()
        self._writer.close()

    def _checkpointed(self) -> bool:
        """Checkpoint, unless a query runs that began before the last change: the engine refuses it then."""
        try:
            self._writer.execute("CHECKPOINT")
        except duckdb.TransactionException:
            return False
        return True

    def _connection(self) -> duckdb.DuckDBPyConnection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        try:
            return self._writer.cursor()
        except duckdb.ConnectionException as error:
            if self.damage is not None:
                raise self.damage from error
            raise StoreUnavailableError("the database is being opened again", retry_after_s=5) from error

    def _reopen(self) -> None:
        """Open a new engine for the file. While a reader still has a connection, the engine returns the old instance.

        Raises:
            StoreUnavailableError: the instance has the file that was replaced.
        """
        self._close_connections()
        try:
            self._writer = _connect(self.path, self._config)
        except StoreCorruptError as error:
            self._note_damage(error)
            raise
        if _file_id(self._writer) != self._file_id:
            self._writer.close()
            raise StoreUnavailableError("the database is being opened again", retry_after_s=5)
        self._on_opened(self._writer)
        self._failed = False

    def _note_damage(self, damage: StoreCorruptError) -> StoreCorruptError:
        """Remember a damage, and log it the first time."""
        if self.damage is None:
            logger.error("%s", damage)
        self.damage = damage
        return damage

    def _raise_translated(self, error: duckdb.Error, kept: Kept = "nothing") -> None:
        """Raise the error of ours that an engine error stands for, if there is one."""
        is_fatal = isinstance(error, FATAL)
        while isinstance(error.__context__, duckdb.Error):  # the first error is the cause of the others
            error = error.__context__
            is_fatal = is_fatal or isinstance(error, FATAL)
        text = str(error)
        if is_fatal:
            self._failed = True
            self._on_failure()
        if INVALIDATED in text:  # by an error that another caller met
            raise self.damage or StoreUnavailableError("the database is being opened again", 5, kept) from error
        if (ours := meaning_of_words(text, "the database", kept)) is not None:
            raise ours from error
        if tells_of_damage(error):
            raise self._note_damage(damaged(self.path, text)) from error
        if "Could not write" in text:
            raise DiskFailedError(f"the database cannot be written: {first_line(text)}", 30, kept) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            reason = first_line(text)
            raise MemoryLimitError(f"the database's memory limit was reached: {reason}", 5, kept) from error
        if is_fatal:
            reason = f"the database is being opened again: {first_line(text)}"
            raise StoreUnavailableError(reason, 5, kept) from error


def _connect(path: Path, config: dict[str, _Setting]) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(path), config=config)
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        return connection
    except duckdb.Error as error:
        text = str(error)
        if "not a valid DuckDB database" in text:
            raise StopError(f"{path} is not a Pulsebase database; name another file, or move this one away") from error
        if "newer version" in text or "storage version" in text.lower():
            raise StoreVersionError(f"{path} was written by a newer version of DuckDB: {first_line(text)}") from error
        if isinstance(error, duckdb.IOException) and any(word in text for word in INACCESSIBLE):
            raise StopError(f"{path} cannot be opened: {first_line(text)}") from error
        if "Corrupt WAL" in text:
            raise StoreCorruptError(
                f"{log_path(path)} is damaged: {first_line(text)}; move it away: the journal has the readings too",
                log_path(path).name,
            ) from error
        raise damaged(path, text) from error


def log_path(path: Path) -> Path:
    """Return the path of a database file's write-ahead log."""
    return path.with_name(path.name + ".wal")


def _spill_folder(path: Path) -> Path:
    """Return the path of the folder into which the engine spills what outgrows its memory."""
    return path.with_name(path.name + ".tmp")


def _file_id(connection: duckdb.DuckDBPyConnection) -> str | None:
    row = one_row(connection, "SELECT value FROM meta WHERE key = 'file_id'")
    return None if row is None else str(row[0])
