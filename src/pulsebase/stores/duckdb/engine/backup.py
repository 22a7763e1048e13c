"""A consistent copy of an embedded store while it runs."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from pulsebase.model.errors import DiskFailedError, DiskFullError, RejectedError
from pulsebase.stores.contract import BackupReport
from pulsebase.stores.duckdb.journal.file_list import FileList, list_path, sync_folder, write_list
from pulsebase.stores.duckdb.journal.format import file_name


def copy_store(database: Path, journal: Path, listing: FileList, folder: Path) -> BackupReport:
    """Copy the database file, whose write-ahead log must be empty, and the journal's files that `listing` names.

    The caller prevents merges meanwhile. Commits may go on: a frame being written is cut short in the copy and dropped
    when the copy is opened, as after a crash; it was not acknowledged when the copy began.
    """
    target = folder.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RejectedError.of("folder", "must be an empty folder, or not exist yet")
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        copy = unfinished / database.name
        _copy_file(database, copy)
        (unfinished / journal.name).mkdir(mode=0o700)
        for entry in listing.files:
            name = file_name(entry.first_seq)
            _copy_file(journal / name, unfinished / journal.name / name)
        write_list(list_path(unfinished / journal.name), listing)
        size_bytes = _flush(unfinished)
        if target.exists():
            target.rmdir()
        unfinished.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("the copy was given up: its disk is full", retry_after_s=60) from error
        if error.errno == errno.EIO:
            raise DiskFailedError("the copy was given up: a disk reports an I/O error", retry_after_s=60) from error
        raise RejectedError.of("folder", f"cannot be written: {error.strerror}") from error
    return BackupReport(str(target), str(target / database.name), size_bytes)


def _copy_file(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)


def _flush(folder: Path) -> int:
    """Flush every file to the disk; return their total size."""
    size_bytes = 0
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
            continue
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            size_bytes += os.fstat(file.fileno()).st_size
    sync_folder(folder)
    return size_bytes
