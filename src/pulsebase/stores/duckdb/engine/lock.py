"""One process per store, by an OS lock that the kernel releases when the process dies.

The lock file also names its holder, so that commands find the running server: its process id and, once the server
listens there, the path of its Unix socket.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pulsebase.files.private import open_own
from pulsebase.model.errors import StopError, StoreLockedError

_ATTEMPTS = 10
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a store."""

    pid: int
    socket: str | None = None


def lock_path(database: Path) -> Path:
    """Return the path of a database's lock file."""
    return database.with_name(database.name + ".lock")


def holder_of(database: Path) -> Holder | None:
    """Return who holds the store now, or None if nobody does."""
    try:
        file = open_own(lock_path(database), os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StopError(f"{lock_path(database)}: {error.strerror}") from error
    try:
        # Shared, so that two processes that look do not take each other for the holder.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written_in(file) or Holder(pid=0)
    finally:
        os.close(file)
    return None


class StoreLock:
    """Holds the lock from construction to `release`."""

    def __init__(self, database: Path) -> None:
        self._path = lock_path(database)
        try:
            self._file = open_own(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StopError(f"{self._path}: {error.strerror}; the store's folder must be writable") from error
        if not self._taken():
            os.close(self._file)
            holder = holder_of(database)
            who = f"process {holder.pid}" if holder and holder.pid else "another process"
            raise StoreLockedError(f"{database} is in use by {who}; one process at a time may open it")
        killed = _written_in(self._file)
        if killed is not None and killed.socket is not None:
            _remove_socket(Path(killed.socket))
        self._write(Holder(os.getpid()))

    def advertise(self, socket: str | None) -> None:
        """Note in the file where the holder listens for commands."""
        self._write(Holder(os.getpid(), socket))

    def release(self) -> None:
        """Release the lock. The file stays: deleting it would let two processes lock two different files."""
        os.ftruncate(self._file, 0)
        os.close(self._file)

    def _taken(self) -> bool:
        """Take the lock if it is free. A process that only looks (`holder_of`) holds it for a moment, so try again."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def _write(self, holder: Holder) -> None:
        text = json.dumps(asdict(holder)).encode()
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))


def _written_in(file: int) -> Holder | None:
    with contextlib.suppress(ValueError, TypeError):
        return Holder(**json.loads(os.pread(file, 4096, 0)))
    return None


def _remove_socket(path: Path) -> None:
    """Remove what a killed holder left behind: its socket, and the folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        if path.is_socket():
            path.unlink()
            path.parent.rmdir()
