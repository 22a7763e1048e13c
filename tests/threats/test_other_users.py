"""Somebody with an account of their own on the machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pulsebase.files.locks import FolderLocks
from pulsebase.files.private import make_private, open_own, require_own
from pulsebase.model.errors import SettingsError, StopError
from pulsebase.model.readings import ReadingBatch
from pulsebase.settings_loading import load_settings
from pulsebase.stores.duckdb.engine.lock import StoreLock, lock_path
from pulsebase.stores.open import open_store

#: Nobody's files in particular, but not ours.
STRANGER = 65_534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to give files away")


def open_to_others(folder: Path) -> list[str]:
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    return [str(path) for path in paths if stat.S_IMODE(path.lstat().st_mode) & 0o077]


def test_nothing_that_a_command_makes_can_be_read_by_others(tmp_path: Path) -> None:
    environment = os.environ | {"PULSEBASE_STORE_URL": f"duckdb:///{tmp_path / 'home' / 'pulse.duckdb'}"}
    file = tmp_path / "week.csv"
    file.write_text("Id,Time,Value\n1,4/12/2016 7:21:00 AM,97\n")
    file.chmod(0o600)
    for arguments in (
        ["import", str(file), "--tz", "UTC"],
        ["export", "--format", "csv", "--out", str(tmp_path / "out.csv")],
        ["backup", str(tmp_path / "copy")],
    ):
        program = str(Path(sys.executable).with_name("pulsebase"))
        command = ["sh", "-c", 'umask 022; exec "$@"', "sh", program, *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
    assert (tmp_path / "out.csv").exists()
    assert open_to_others(tmp_path) == []


def test_what_others_could_read_is_closed_to_them_when_it_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pulse.duckdb"
    store = open_store(f"duckdb:///{path}")
    store.write([ReadingBatch.of_columns(["ann"], ["a"], [1], [7000], None, 0)])
    store.close()
    for each in tmp_path.rglob("*"):
        each.chmod(0o755 if each.is_dir() else 0o644)
    caplog.clear()
    open_store(f"duckdb:///{path}").close()
    assert open_to_others(tmp_path) == []
    assert "others could read" in caplog.text


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("data")
    lock_path(tmp_path / "pulse.duckdb").symlink_to(target)
    with pytest.raises(StopError, match="is a link"):
        StoreLock(tmp_path / "pulse.duckdb")
    assert target.read_text() == "data"
    locks = FolderLocks(tmp_path / "locks")
    with locks.held("ann"):
        (lock,) = (tmp_path / "locks").iterdir()
    lock.unlink()
    lock.symlink_to(target)
    with pytest.raises(StopError, match="is a link"), locks.held("ann"):
        pass


def test_links_below_a_folder_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o644)
    inside = tmp_path / "inside"
    inside.mkdir(mode=0o755)
    (inside / "link").symlink_to(outside)
    assert make_private(inside) == [inside]
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


@as_root
def test_settings_of_another_user_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".env"
    file.write_text("PULSEBASE_PORT=9\n")
    assert load_settings().port == 9
    os.chown(file, STRANGER, STRANGER)
    with pytest.raises(SettingsError, match="belongs to another user"):
        load_settings()


@as_root
def test_a_file_of_another_user_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "lock"
    theirs.write_text("")
    os.chown(theirs, STRANGER, STRANGER)
    os.close(open_own(theirs, os.O_RDWR))  # root may
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER + 1)
    with pytest.raises(StopError, match="belongs to another user"):
        open_own(theirs, os.O_RDWR)
    with pytest.raises(StopError, match="belongs to another user"):
        require_own(theirs)
