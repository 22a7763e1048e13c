"""The process is killed at every single step of writing, merging, settling and checkpointing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pulsebase.stores.duckdb.store import DuckdbStore
from pulsebase.stores.memory import MemoryStore
from tests.support.victim import OPTIONS, Script, answers, begin, killed_before, ops, prepared

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
    after: Callable[[Path], None] = lambda _: None,
) -> Iterator[str]:
    """Kill one process a step, two at a time, until one gets through; where each was killed. What `after` says is done
    with the store that is left each time.
    """
    kill = partial(kill_and_look, folder, truth, script, (begun, end), seen=set(), after=after)
    with ThreadPoolExecutor(2) as pool:
        for step in range(0, MOST_STEPS, 2):
            for killed, where in pool.map(kill, (step, step + 1)):
                if not killed:
                    return
                yield where
    raise AssertionError("no process ever got through")


def kill_and_look(
    folder: Path,
    truth: list[list[Any]],
    script: Script,
    part: tuple[int, int],
    step: int,
    *,
    seen: set[tuple[int, bytes]],
    after: Callable[[Path], None],
) -> tuple[bool, str]:
    """Whether the process was killed, and where; the store it leaves is as it must be.

    Most steps leave the disk as it was: a store that is byte for byte one that was looked at would say the same.
    """
    mine = folder / str(step)
    shutil.copytree(folder / "template", mine)
    path = mine / "store.duckdb"
    killed, done, where = killed_before(step, path, *part, script)
    left = (done, digest_of(mine))
    if left not in seen:
        # What was not acknowledged happened or did not.
        look(path, truth[part[0] + done : part[0] + done + 2], f"step {step}, {where}")
        after(path)
        seen.add(left)
    shutil.rmtree(mine)
    return killed, where


def digest_of(folder: Path) -> bytes:
    """Of all files that a killed store left, but for the notes on who held it and how it was killed."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        content = b"" if file.is_dir() or file.name in ("store.duckdb.lock", "log") else file.read_bytes()
        digest.update(repr((str(file.relative_to(folder)), len(content))).encode() + content)
    return digest.digest()


def killed_in_the_middle_of(path: Path, where: str, begun: int, end: int) -> int:
    """Kill a process before its first step of this name; how many operations it finished. The store stays so."""
    for step in range(MOST_STEPS):
        trial = path.parent.with_name(f"trial-{step}")
        shutil.copytree(path.parent, trial)
        killed, done, before = killed_before(step, trial / path.name, begun, end)
        assert killed, f"no step {where}"
        if before.startswith(where):
            shutil.rmtree(path.parent)
            trial.rename(path.parent)
            return done
        shutil.rmtree(trial)
    raise AssertionError(f"no step {where}")


def look(path: Path, allowed: list[list[Any]], where: str) -> None:
    store = DuckdbStore(path, OPTIONS)
    try:
        found = answers(store)
        assert found in allowed, where
        assert store.check().problems == (), where
        assert store.stored() == found[0], f"{where}, merged"
    finally:
        store.close()
