"""How tests are shared out, what ends those that hang, and where their temporary files lie."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import SLOW, group_of, slowness
from tests.support import ram_disk
from tests.support.scheduling import GroupScheduling


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


class Worker:
    """A process that keeps in mind which tests it was given."""

    def __init__(self) -> None:
        self.given: list[int] = []
        self.shutting_down = False
        self.gateway = SimpleNamespace(id="a process")

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_what_a_process_that_died_had_left_is_run_but_the_test_it_died_in_is_not() -> None:
    """At the end of a run, when the other process has been told that there is no more to do."""
    tests = ["tests/cli/test_a.py::test_0", "tests/cli/test_a.py::test_1"]
    tests += [f"tests/test_settings.py::test_{number}" for number in range(2, 8)]
    shared_by_two: Any = SimpleNamespace(
        option=SimpleNamespace(loadscopereorder=True), getvalue={"tx": ["2*popen"]}.__getitem__
    )
    scheduling = GroupScheduling(group_of, shared_by_two, None)
    dying, other, new = Worker(), Worker(), Worker()
    for worker in (dying, other):
        scheduling.add_node(worker)
        scheduling.add_node_collection(worker, tests)
    scheduling.schedule()
    for index in other.given:  # which grows
        scheduling.mark_test_complete(other, index)
    assert other.shutting_down
    assert scheduling.remove_node(dying) == tests[dying.given[0]]
    assert not scheduling.tests_finished
    scheduling.add_node(new)
    scheduling.add_node_collection(new, tests)
    scheduling.schedule()
    assert sorted(other.given + dying.given) == list(range(len(tests)))
    # A process begins a test when it knows the next one, or that there is none.
    assert new.given == dying.given[1:] == [1, 3]


def test_a_test_that_hangs_fails_and_one_that_is_deaf_to_that_ends_its_process(pytestconfig: pytest.Config) -> None:
    limit_s, end_s = float(pytestconfig.getini("timeout")), float(pytestconfig.getini("faulthandler_timeout"))
    assert (0 < limit_s < end_s, pytestconfig.getini("faulthandler_exit_on_timeout")) == (True, True)


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
