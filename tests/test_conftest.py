"""The order in which tests begin, and where their temporary files lie."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.conftest import SLOW, group_of, slowness
from tests.support import ram_disk


@pytest.mark.parametrize("file", SLOW)
def test_files_of_slow_tests_exist_and_run_by_themselves(file: str) -> None:
    assert (Path(__file__).parents[1] / file).is_file()
    assert group_of(f"{file}::test") == f"{file}::test", "groups begin first anyway"


def test_slow_tests_begin_before_others_and_the_slowest_first() -> None:
    tests = [
        "tests/api/test_bulk.py::test",
        "tests/threats/test_shares.py::test",
        f"{SLOW[1]}::test",
        f"{SLOW[0]}::test",
    ]
    assert sorted(tests, key=slowness) == [tests[3], tests[2], tests[0], tests[1]]


def test_a_slow_file_s_tests_of_the_large_engine_stay_with_their_group() -> None:
    assert slowness("tests/query/test_cohorts.py::test[timescale]") == slowness("tests/api/test_bulk.py::test")


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has said where temporary files lie."""
    monkeypatch.setenv("TMPDIR", "")
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.usefixtures("undecided")
def test_without_room_in_memory_temporary_files_lie_where_they_always_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ram_disk.use_if_there_is_room(tmp_path / "not there")
    monkeypatch.setattr(ram_disk, "_FILES_BYTES", 1 << 60)
    ram_disk.use_if_there_is_room(tmp_path)
    assert "TMPDIR" not in os.environ
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("undecided")
def test_temporary_files_of_runs_that_were_killed_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FILES_BYTES", "_OTHERS_BYTES"):
        monkeypatch.setattr(ram_disk, name, 0)
    killed, running = tmp_path / f"pb-{1 << 23}", tmp_path / f"pb-{os.getppid()}"
    for folder in (killed, running):
        folder.mkdir()
    ram_disk.use_if_there_is_room(tmp_path)
    assert tempfile.gettempdir() == str(tmp_path / f"pb-{os.getpid()}")
    assert (killed.exists(), running.exists()) == (False, True)
