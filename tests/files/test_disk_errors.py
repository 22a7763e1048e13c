"""What errors of disks and engines mean, each brought about by the engine itself where that is possible."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsebase.files import sqlite as sqlite_file
from pulsebase.files.disk_errors import meaning_of, meaning_of_words, named, translated
from pulsebase.files.locks import FolderLocks
from pulsebase.files.sealed import SealedFolder, key_in
from pulsebase.model.errors import (
    DiskFailedError,
    DiskFullError,
    MemoryLimitError,
    PulsebaseError,
    ReadOnlyStoreError,
    StoreCorruptError,
    StoreUnavailableError,
    after,
)
from pulsebase.stores.postgres.options import PoolOptions
from pulsebase.stores.timescale.options import TimescaleOptions
from pulsebase.stores.timescale.store import TimescaleStore
from tests.support.disk import mounted
from tests.support.postgres import plain_postgres

#: An error of the operating system, and what it means.
MEANINGS = [
    (errno.ENOSPC, DiskFullError, "the disk is full"),
    (errno.EDQUOT, DiskFullError, "the quota on the disk is used up"),
    (errno.EIO, DiskFailedError, "the disk reports an I/O error"),
    (errno.EROFS, ReadOnlyStoreError, "it may only be read"),
    (errno.EACCES, ReadOnlyStoreError, "it may only be read"),
]


@pytest.mark.parametrize(("number", "kind", "said"), MEANINGS, ids=str)
def test_an_error_of_the_system_is_told_by_its_reason(
    number: int, kind: type[StoreUnavailableError], said: str
) -> None:
    raw = OSError(number, os.strerror(number))
    with pytest.raises(kind, match=f"the upload .*{said}") as raised, translated("the upload"):
        raise raw
    assert (raised.value.kept, raised.value.retry_after_s > 0) == ("nothing", True)
    ours = meaning_of_words(f"IO Error: Could not write file: {os.strerror(number)}", "the database", "unknown")
    assert isinstance(ours, kind)
    assert ours.kept == "unknown"
    wrapped = StoreUnavailableError("the journal cannot be written", 10)
    wrapped.__cause__ = raw
    renamed = named(wrapped)
    assert (type(renamed), str(renamed), renamed.retry_after_s) == (kind, str(wrapped), 10)


def test_an_error_that_no_disk_is_to_blame_for_stays_what_it_is() -> None:
    assert meaning_of(TimeoutError(), "a file") is None
    assert meaning_of(ConnectionResetError(errno.ECONNRESET, "reset"), "a file") is None
    with pytest.raises(FileNotFoundError), translated("a file"):
        raise FileNotFoundError(errno.ENOENT, "gone")
    error = StoreUnavailableError("the server is shutting down")
    assert named(error) is error


def test_what_was_kept_is_said_with_the_error_and_its_kind_stays() -> None:
    with pytest.raises(DiskFullError, match=r"^no room; half of it was kept$") as raised, after("half of it was kept"):
        raise DiskFullError("no room", 7)
    assert (raised.value.kept, raised.value.retry_after_s) == ("as said", 7)
    with pytest.raises(StoreCorruptError) as damaged, after("half of it was kept"):
        raise StoreCorruptError("/there/x is damaged", "x")
    assert (damaged.value.file, damaged.value.said) == ("x", "half of it was kept")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small file that SQLite made."""
    path = tmp_path / "small.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE kept (value TEXT)")
        connection.execute("INSERT INTO kept VALUES ('before')")
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(path, isolation_level=None, timeout=0.05)
    yield opened
    opened.close()


def change(connection: sqlite3.Connection, path: Path, *values: str) -> None:
    with sqlite_file.changing(connection, threading.Lock(), path) as changed:
        for value in values:
            changed.execute("INSERT INTO kept VALUES (?)", (value,))


def kept(connection: sqlite3.Connection) -> list[str]:
    return [value for (value,) in connection.execute("SELECT value FROM kept")]


def test_a_change_that_finds_no_room_is_rolled_back_and_the_next_one_works(
    connection: sqlite3.Connection, path: Path
) -> None:
    connection.execute("PRAGMA max_page_count = 3")
    with pytest.raises(DiskFullError, match=r"small\.sqlite cannot be written: the disk is full"):
        change(connection, path, "small", "x" * 20_000)
    assert not connection.in_transaction
    assert kept(connection) == ["before"]
    connection.execute("PRAGMA max_page_count = 300")
    change(connection, path, "after")
    assert kept(connection) == ["before", "after"]


def test_a_file_that_may_only_be_read_says_so(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as connection:
        with pytest.raises(ReadOnlyStoreError, match="it may only be read"):
            change(connection, path, "after")
        assert kept(connection) == ["before"]


def test_a_file_that_somebody_else_writes_is_in_use(connection: sqlite3.Connection, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailableError, match="in use by another process"):
            change(connection, path, "after")
    change(connection, path, "after")
    assert kept(connection) == ["before", "after"]


def test_a_damaged_file_is_named(connection: sqlite3.Connection, path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    with (
        pytest.raises(StoreCorruptError, match="is damaged") as raised,
        sqlite_file.asking(connection, threading.Lock(), path),
    ):
        connection.execute("SELECT * FROM kept").fetchall()
    assert raised.value.file == "small.sqlite"


def test_a_fault_of_ours_is_no_fault_of_the_disk(connection: sqlite3.Connection, path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError), sqlite_file.asking(connection, threading.Lock(), path):
        connection.execute("SELECT * FROM nothing_of_that_name")


def test_locks_and_secrets_on_a_disk_that_may_only_be_read_say_so(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        locks, sealed = FolderLocks(disk.folder / "locks"), SealedFolder(disk.folder / "tokens", b"k" * 32)
        sealed.replace(b"a secret", "name")
    # What was mounted is gone lazily; the folders are made again, on a disk that takes nothing.
    with mounted(tmp_path / "disk", "size=1m,ro"):
        with pytest.raises((ReadOnlyStoreError, FileNotFoundError)), locks.held("erase"):
            pass
        with pytest.raises((ReadOnlyStoreError, FileNotFoundError)):
            sealed.replace(b"another", "name")


def test_a_secret_that_finds_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        sealed = SealedFolder(disk.folder / "tokens", b"k" * 32)
        sealed.replace(b"before", "name")
        for left_bytes in (0, 4096):
            disk.fill(left_bytes=left_bytes)
            with pytest.raises(DiskFullError, match="the folder of secrets"):
                sealed.replace(b"x" * 10_000, "name")
            assert sealed.read("name") == b"before"
            disk.make_room()
        assert len(sealed) == 1
        sealed.replace(b"after", "name")
        assert sealed.read("name") == b"after"


def test_a_key_that_finds_no_room_leaves_no_piece_of_one(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        disk.fill()
        with pytest.raises(PulsebaseError):
            key_in(disk.folder / "key")
        disk.make_room()
        assert list(disk.folder.iterdir()) == []
        assert key_in(disk.folder / "key") == key_in(disk.folder / "key")
        assert [path.name for path in disk.folder.iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ("53100", DiskFullError, "its server's disk is full"),
        ("53200", MemoryLimitError, "out of memory"),
        ("25006", ReadOnlyStoreError, "only answers questions"),
        ("58030", DiskFailedError, "its server's disk fails"),
        ("XX001", StoreCorruptError, "the database is damaged"),
        ("XX002", StoreCorruptError, "the database is damaged"),
    ],
)
def test_a_database_server_that_fails_is_told_by_its_reason(state: str, kind: type[PulsebaseError], said: str) -> None:
    options = TimescaleOptions(PoolOptions(1, 1, timeout_s=5), merge_interval_s=3600, hypertables=False)
    store = TimescaleStore(plain_postgres().new_database(), options)
    try:
        failing = f"DO $$ BEGIN RAISE EXCEPTION 'as it is' USING ERRCODE = '{state}'; END $$"
        with pytest.raises(kind, match=said):
            store._database.change(lambda connection: connection.execute(failing))
        with pytest.raises(kind, match=said):
            store._database.read(lambda connection: connection.execute(failing))
    finally:
        store.close()
