"""Some hundred changed inputs for every decoder; `make fuzz` gives them more."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.mutate import bytes_changed
from tests.fuzz.runner import Outcome, run
from tests.fuzz.targets import SERVED, TARGETS, Target
from tests.fuzz.worker import Task, input_of

#: Fewer where a refusal costs a process, or an answer a way over the network.
_FEW = {"parquet": 8, "http": 60, "http-bodies": 40}


@pytest.mark.parametrize("names", [[name for name in TARGETS if name not in _FEW], *([name] for name in _FEW)])
def test_changed_inputs_are_read_or_refused(names: Sequence[str], tmp_path: Path) -> None:
    """In a process that runs nothing else: this one has threads."""
    line = [sys.executable, "-m", "tests.fuzz", "--seed", "1", "--findings", str(tmp_path)]
    line += ["--count", str(_FEW.get(names[0], 200))]
    line += [part for name in names for part in ("--target", name)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("nothing found") == len(names)


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in SERVED])
def test_what_inputs_are_made_of_is_read(name: str) -> None:
    """Where nothing is read, changes find nothing."""
    with TARGETS[name].opened() as read:
        for data in TARGETS[name].corpus():
            results: Any = read(data)
            assert [result for result in results or () if result.problem or result.rejected] == []


def test_a_seed_gives_the_same_inputs_again() -> None:
    target = TARGETS["archives"]
    assert [input_of(target, 3, number) for number in range(9)] == [input_of(target, 3, number) for number in range(9)]
    assert input_of(target, 3, 1) != input_of(target, 4, 1)


# --- that something would be found ---


def outcome_of(read: Callable[[bytes], object], folder: Path, silent_s: float = 30) -> Outcome:
    target = Target("made-up", lambda: [b"0123456789"], bytes_changed, lambda: contextlib.nullcontext(read))
    return run(target, Task(1, count=200), folder, silent_s)


def test_what_ends_the_process_is_found_with_its_input(tmp_path: Path) -> None:
    outcome = outcome_of(lambda data: os.kill(os.getpid(), signal.SIGKILL) if data[:1] != b"0" else None, tmp_path)
    assert outcome.found is not None
    assert outcome.found.read_bytes()[:1] != b"0"
    assert "ended the process (-9)" in outcome.what


def test_errors_of_other_kinds_are_found(tmp_path: Path) -> None:
    outcome = outcome_of(int, tmp_path)
    assert outcome.found is not None
    assert "ValueError" in outcome.what


def test_what_does_not_end_is_found(tmp_path: Path) -> None:
    outcome = outcome_of(lambda data: time.sleep(60) if data[:1] != b"0" else None, tmp_path, silent_s=0.5)
    assert outcome.found is not None
    assert "took longer than 0.5 s" in outcome.what


def test_what_takes_a_lot_of_memory_is_found(tmp_path: Path) -> None:
    warm: list[bytes] = []

    def read(data: bytes) -> None:
        warm.append(data)
        if len(warm) > 100:
            assert bytearray(3 << 29)

    outcome = outcome_of(read, tmp_path)
    assert outcome.found is not None
    assert "MiB of memory" in outcome.what


def test_inputs_that_are_stood_are_counted(tmp_path: Path) -> None:
    assert outcome_of(lambda _: None, tmp_path) == Outcome(200)
    assert list(tmp_path.iterdir()) == []
