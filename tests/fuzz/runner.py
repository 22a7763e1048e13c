"""Runs a target in a process of its own, and keeps what ends or faults it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import Target
from tests.fuzz.worker import Place, Task, work

#: How long an input may take by the clock: another program may have the processor.
SILENT_S = 90.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many inputs a target was given, and the file with the one that it did not stand, with what it did."""

    inputs: int
    found: Path | None = None
    what: str = ""


def run(target: Target, task: Task, findings: Path, silent_s: float = SILENT_S) -> Outcome:
    """Give a target the inputs of a task. The first one that ends the process, faults or takes too much is kept."""
    with tempfile.TemporaryDirectory(prefix="pulsebase-fuzz-") as folder:
        place, report = Place(Path(folder) / "input"), Path(folder) / "report"
        context = multiprocessing.get_context("fork")  # what is imported is there, and no thread runs yet
        process = context.Process(target=lambda: os._exit(work(target, task, place, report)))
        sys.stdout.flush()
        process.start()
        hung = _watch(process, place, silent_s)
        number, data = place.get()
        if process.exitcode == 0 and not hung:
            return Outcome(number - task.first)
        what = f"took longer than {silent_s:g} s" if hung else f"ended the process ({process.exitcode})"
        if report.exists():
            what = report.read_text()
        findings.mkdir(parents=True, exist_ok=True)
        found = findings / f"{target.name}-{task.seed}-{number}"
        found.write_bytes(data)
        return Outcome(number - task.first + 1, found, what)


def _watch(process: multiprocessing.process.BaseProcess, place: Place, silent_s: float) -> bool:
    """Wait for the end of the process; whether it had to be ended, since it was at one input for too long."""
    last, since = -1, time.monotonic()
    while process.is_alive():
        process.join(0.2)
        number, _ = place.get()
        if number != last:
            last, since = number, time.monotonic()
        elif time.monotonic() - since > silent_s:
            process.kill()
            process.join()
            return True
    return False
