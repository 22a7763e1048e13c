"""The small files beside a store where their disk is full: said so, nothing lost, and service again with room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from pulsebase.access.access_file import AccessFile
from pulsebase.etl.state import Checkpoint, RunReport, SqliteSyncState
from pulsebase.model.errors import DiskFullError, StopError
from pulsebase.stores.erasures import SqliteErasureLog
from tests.support.disk import SmallDisk, mounted


class Closable(Protocol):
    def close(self) -> None: ...


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        yield disk


def outcome(opening: Callable[[Path], Closable], path: Path) -> str | None:
    """What is said of an attempt to open the file, if it fails."""
    try:
        opening(path).close()
    except StopError as error:
        return str(error)
    return None


@pytest.mark.parametrize("opening", [SqliteSyncState, AccessFile, SqliteErasureLog])
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "there already"])
@pytest.mark.parametrize("left_bytes", [0, 4096, 20_000])
def test_a_file_that_finds_no_room_says_so_and_names_the_folder(
    opening: Callable[[Path], Closable], disk: SmallDisk, is_new: bool, left_bytes: int
) -> None:
    path = disk.folder / "state.sqlite"
    if not is_new:
        opening(path).close()
    disk.fill(left_bytes=left_bytes)
    said = outcome(opening, path)
    if is_new and not left_bytes:
        assert said is not None
    assert said in (None, f"{path}: the disk of {disk.folder} is full; make room there and start again")
    disk.make_room()
    opening(path).close()


def test_a_change_that_finds_no_room_is_refused_and_nothing_is_lost(disk: SmallDisk) -> None:
    state = SqliteSyncState(disk.folder / "state.sqlite")
    state.connect("ann", "fitbit", "A1", 7)
    state.save_checkpoint("ann", "fitbit", "heart_rate", Checkpoint(3, 4))
    disk.fill()
    run = RunReport("fitbit", "heart_rate", "ann", "done", 1, 1, 0, 0, {"why": 9_000}, 1, 0.5, "x" * 9_000)

    def change() -> None:
        for _ in range(100):  # there may be room inside of the file
            state.add_run(run)
            state.save_checkpoint("ann", "fitbit", "heart_rate", Checkpoint(5, 6))

    with pytest.raises(DiskFullError, match=r"state\.sqlite cannot be written: the disk is full"):
        change()
    assert state.checkpoint("ann", "fitbit", "heart_rate") in (Checkpoint(3, 4), Checkpoint(5, 6))
    disk.make_room()
    state.save_checkpoint("ann", "fitbit", "heart_rate", Checkpoint(7, 8))
    state.close()
    again = SqliteSyncState(disk.folder / "state.sqlite")
    assert again.checkpoint("ann", "fitbit", "heart_rate") == Checkpoint(7, 8)
    assert [each.account for each in again.connections()] == ["A1"]
    again.close()
