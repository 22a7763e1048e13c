import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pulsebase.etl import state as state_module
from pulsebase.etl.state import Checkpoint, RunFilter, RunReport, SqliteSyncState
from pulsebase.model.errors import StopError

RUN = RunReport("fitbit", "heart_rate", "ann", "done", 5, 3, 1, 1, {"heart_rate: out of range": 1}, 10, 0.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
def state(path: Path) -> Iterator[SqliteSyncState]:
    opened = SqliteSyncState(path)
    yield opened
    opened.close()


def test_everything_is_there_after_a_reopening(state: SqliteSyncState, path: Path) -> None:
    state.connect("ann", "fitbit", "A1", 7)
    connection = state.connection("ann", "fitbit")
    assert connection is not None
    changed = replace(connection, tried_us=8, due_us=9, failures=2, problem="busy", needs_person=True)
    state.update(changed)
    state.save_checkpoint("ann", "fitbit", "heart_rate", Checkpoint(3, 4))
    state.add_run(RUN)
    other = SqliteSyncState(path)
    assert other.connections() == [changed]
    assert other.checkpoint("ann", "fitbit", "heart_rate") == Checkpoint(3, 4)
    assert [record.run for record in other.runs(RunFilter())] == [RUN]
    other.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_checkpoints_are_one_accounts(state: SqliteSyncState) -> None:
    state.connect("ann", "fitbit", "A1", 7)
    state.save_checkpoint("ann", "fitbit", "heart_rate", Checkpoint(3))
    state.disconnect("ann", "fitbit")
    state.connect("ann", "fitbit", "A1", 8)
    assert state.checkpoint("ann", "fitbit", "heart_rate") == Checkpoint(3)
    state.connect("ann", "fitbit", "A2", 9)
    assert state.checkpoint("ann", "fitbit", "heart_rate") == Checkpoint()


def test_a_run_that_began_before_a_new_consent_says_nothing_of_it(state: SqliteSyncState) -> None:
    state.connect("ann", "fitbit", "A1", 7)
    before = state.connection("ann", "fitbit")
    assert before is not None
    state.connect("ann", "fitbit", "A1", 8)
    state.update(replace(before, problem="refused", needs_person=True))
    after = state.connection("ann", "fitbit")
    assert after is not None
    assert (after.problem, after.needs_person) == (None, False)
    state.disconnect("ann", "fitbit")
    state.update(after)
    assert state.connections() == []


def test_runs_come_newest_first_by_person_source_and_page(state: SqliteSyncState) -> None:
    for user_id, source in (("ann", "fitbit"), ("bob", "fitbit"), ("ann", "google"), ("ann", "fitbit")):
        state.add_run(replace(RUN, user_id=user_id, source=source))
    assert [record.number for record in state.runs(RunFilter())] == [4, 3, 2, 1]
    assert [record.number for record in state.runs(RunFilter(user_id="ann", source="fitbit"))] == [4, 1]
    assert [record.number for record in state.runs(RunFilter(before=3, limit=1))] == [2]


def test_the_oldest_records_go(state: SqliteSyncState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "RUNS_KEPT", 3)
    for _ in range(5):
        state.add_run(RUN)
    assert [record.number for record in state.runs(RunFilter())] == [5, 4, 3]


def test_a_person_is_forgotten_whole(state: SqliteSyncState) -> None:
    for user_id in ("ann", "bob"):
        state.connect(user_id, "fitbit", None, 7)
        state.save_checkpoint(user_id, "fitbit", "heart_rate", Checkpoint(3))
        state.add_run(replace(RUN, user_id=user_id))
    state.forget("ann")
    assert [connection.user_id for connection in state.connections()] == ["bob"]
    assert state.checkpoint("ann", "fitbit", "heart_rate") == Checkpoint()
    assert state.checkpoint("bob", "fitbit", "heart_rate") == Checkpoint(3)
    assert state.runs(RunFilter(user_id="ann")) == []


def test_a_scrub_leaves_no_byte_of_who_was_forgotten(state: SqliteSyncState, path: Path) -> None:
    for user_id in ("somebody-forgotten", "bob"):
        state.connect(user_id, "fitbit", f"account of {user_id}", 7)
        state.add_run(replace(RUN, user_id=user_id, error=f"a cloud speaks of {user_id}"))
    state.forget("somebody-forgotten")
    state.scrub()
    assert not any(b"somebody-forgotten" in file.read_bytes() for file in path.parent.iterdir())
    assert [run.run.user_id for run in state.runs(RunFilter())] == ["bob"]


def test_a_file_of_a_newer_version_or_of_something_else_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(StopError, match="newer version"):
        SqliteSyncState(path)
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(StopError, match="not a database"):
        SqliteSyncState(path)
