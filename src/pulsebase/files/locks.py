"""Locks shared by the threads and processes of one machine. The kernel releases them when their holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pulsebase.files.disk_errors import translated
from pulsebase.files.private import open_own


def file_name(*names: str) -> str:
    """Return a valid file name for something named by several arbitrary texts."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:40]


class FolderLocks:
    """Named locks, each a file in a folder. Two holders in one process exclude each other too.

    Taking a lock raises `StoreUnavailableError` if its file cannot be made. Files stay once they were made. With a key,
    their names do not reveal whom the locks are about to anybody without it.
    """

    def __init__(self, folder: Path, key: bytes = b"") -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._key = folder, key

    @contextlib.contextmanager
    def held(self, *names: str) -> Iterator[None]:
        """Wait for the lock of these names and hold it during the block."""
        file = self._open(names)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    @contextlib.contextmanager
    def held_if_free(self, *names: str) -> Iterator[bool]:
        """Hold the lock during the block if it is free. Yields whether it was."""
        file = self._open(names)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine = True
            except BlockingIOError:
                mine = False
            yield mine
        finally:
            os.close(file)

    @contextlib.contextmanager
    def held_once(self, *names: str) -> Iterator[None]:
        """Hold a lock that is used only once, and remove its file at the end of the block."""
        with self.held(*names):
            try:
                yield
            finally:
                self._path(names).unlink(missing_ok=True)

    def is_held(self, *names: str) -> bool:
        """Whether somebody holds the lock. Asking does not create its file."""
        try:
            file = open_own(self._path(names), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(file)

    def _open(self, names: tuple[str, ...]) -> int:
        with translated("the folder of locks"):
            return open_own(self._path(names), os.O_RDWR | os.O_CREAT)

    def _path(self, names: tuple[str, ...]) -> Path:
        name = hashlib.blake2b("\0".join(names).encode(), key=self._key, digest_size=20).hexdigest()
        return self._folder / f"{name}.lock"
