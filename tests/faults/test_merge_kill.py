"""The process is killed at every single step of writing, merging, settling and checkpointing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pulsebase.stores.duckdb.store import DuckdbStore
from pulsebase.stores.memory import MemoryStore
from tests.support.sound import SoundContents
from tests.support.victim import (
    OPTIONS,
    Script,
    answers,
    begin,
    files_of_store,
    killed_before,
    left_by_kills,
    ops,
    prepared,
)

#: More steps than there can be: the loop ends when a process got through.
MOST_STEPS = 1000


@pytest.fixture(scope="module")
def truth() -> list[list[Any]]:
    """What must be answered after none, one, two … of the operations."""
    return truth_of(ops)


def truth_of(script: Script) -> list[list[Any]]:
    oracle = MemoryStore()
    begin(oracle)
    states = [answers(oracle)]
    for op in script():
        if op.change:
            op.change(oracle)
        states.append(answers(oracle))
    return states


@pytest.mark.parametrize(
    ("begun", "end", "must_be_met"),
    [
        (0, 5, ["INSERT INTO users", "INSERT INTO stored", "DELETE FROM stored", "INSERT INTO late", "COMMIT"]),
        (5, 9, ["INSERT INTO q15 ", "INSERT INTO late", "UPDATE state", "Stage.append", "Stage.drop_before"]),
        (
            9,
            11,
            ["DELETE FROM late", "DELETE FROM d1", "INSERT INTO d1", "INSERT OR REPLACE INTO priorities", "CHECKPOINT"],
        ),
        (
            11,
            14,
            ["write", "the second half of write", "fdatasync", "fsync", "Path.rename", "Journal.rotate", "the end"],
        ),
        (14, 15, ["CREATE OR REPLACE TEMP TABLE moved", "DELETE FROM stored", "INSERT INTO h1_dev", "Path.unlink"]),
        (15, 17, ["CHECKPOINT", "the end"]),
    ],
    ids=[
        "written and merged",
        "merged behind late rows",
        "settled and decided again",
        "written after",
        "brought together",
        "checkpointed and closed",
    ],
)
def test_a_kill_at_any_step_loses_nothing_and_leaves_nothing_by_halves(
    truth: list[list[Any]], tmp_path: Path, begun: int, end: int, must_be_met: list[str]
) -> None:
    prepared(tmp_path / "template" / "store.duckdb", ops()[:begun])
    met = list(every_kill(tmp_path, truth, begun, end))
    for step in must_be_met:
        assert any(where.startswith(step) for where in met), f"no kill before {step}: {met}"


def test_a_copy_at_a_step_is_what_a_process_that_is_killed_there_leaves(tmp_path: Path) -> None:
    """At the first step of each kind, but for the times that the journal notes."""
    template, copies = tmp_path / "template", tmp_path / "copies"
    prepared(template / "store.duckdb", ops()[:11])
    shutil.copytree(template, tmp_path / "working")
    copies.mkdir()
    steps = left_by_kills(tmp_path / "working" / "store.duckdb", 11, 14, ops, copies)
    kinds = {" ".join(left.where.split()[:3]): step for step, left in reversed(list(enumerate(steps)))}
    assert kinds.keys() >= {
        "write",
        "the second half",
        "fdatasync",
        "Journal.rotate",
        "COMMIT",
        "CHECKPOINT",
        "the end",
    }
    for step in sorted(kinds.values()):
        mine = tmp_path / str(step)
        shutil.copytree(template, mine)
        assert killed_before(step, mine / "store.duckdb", 11, 14) == (True, steps[step].done, steps[step].where)
        copied = [left.folder for left in steps[: step + 1] if left.folder]
        killed, copy = sizes_of(mine), copied[-1]
        assert killed == sizes_of(copy), steps[step].where
        assert (mine / "store.duckdb").read_bytes() == (copy / "store.duckdb").read_bytes(), steps[step].where


def sizes_of(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_size for file in files_of_store(folder)}


def test_a_kill_while_a_killed_store_is_opened_again_loses_nothing(truth: list[list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "template" / "store.duckdb"
    prepared(path, ops()[:4])
    done = killed_in_the_middle_of(path, "the second half of write", begun=4, end=9)
    assert done == 1  # merged, and then half of a commit
    met = list(every_kill(tmp_path, truth, 5, 5))
    assert "ftruncate" in met  # of the half commit


def every_kill(
    folder: Path,
    truth: list[list[Any]],
    begun: int,
    end: int,
    script: Script = ops,
    *,
    after: Callable[[DuckdbStore], None] = lambda _: None,
) -> Iterator[str]:
    """Look at the stores that kills leave, one a step, and do with each what `after` says; where each was killed.

    Opening a store takes as long as half of all that is asked, so it is done once for both.
    """
    working = folder / "working"
    shutil.copytree(folder / "template", working)
    copies = folder / "copies"
    copies.mkdir()
    found: list[Any] = []
    sound = SoundContents()
    done = -1
    for step, left in enumerate(left_by_kills(working / "store.duckdb", begun, end, script, copies)):
        where = f"step {step}, {left.where}"
        if left.folder:
            path = left.folder / "store.duckdb"
            if left.is_begun:
                assert stored_in(path) == found[0], where
            else:
                found = look(path, where, sound, after)
            shutil.rmtree(left.folder)
        if left.folder or left.done != done:
            # What was not acknowledged happened or did not.
            assert found in truth[begun + left.done : begun + left.done + 2], where
        done = left.done
        yield left.where


def killed_in_the_middle_of(path: Path, where: str, begun: int, end: int) -> int:
    """Kill a process before its first step of this name; how many operations it finished. The store stays so."""
    trial, copies = path.parent.with_name("trial"), path.parent.with_name("trial-copies")
    shutil.copytree(path.parent, trial)
    copies.mkdir()
    steps = [left.where for left in left_by_kills(trial / path.name, begun, end, ops, copies)]
    shutil.rmtree(copies)
    shutil.rmtree(trial)
    first = next(step for step, met in enumerate(steps) if met.startswith(where))
    killed, done, before = killed_before(first, path, begun, end)
    assert killed
    assert before == steps[first]
    return done


def stored_in(path: Path) -> pa.Table:
    """What a store holds that was looked at but for files that are not in place yet, which a start has to get over."""
    store = DuckdbStore(path, OPTIONS)
    try:
        return store.stored()
    finally:
        store.close()


def look(path: Path, where: str, sound: SoundContents, after: Callable[[DuckdbStore], None]) -> list[Any]:
    """What a store answers, which merges change nothing of and a check finds no fault with."""
    store = DuckdbStore(path, OPTIONS)
    try:
        found = answers(store)
        assert sound.problems(store) == (), where
        assert store.stored() == found[0], f"{where}, merged"
        after(store)
    finally:
        store.close()
    return found
