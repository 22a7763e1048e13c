"""What the cases share: folders, prepared requests, a started system that is watched, and waiting for merges."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.lane import LanePlan, LaneResult
from benchmarks.loadgen import run_load
from benchmarks.processes import Watch
from benchmarks.requests import RequestFile, Sent, write_requests
from benchmarks.sizes import Sizes
from benchmarks.system import Door, Running, System
from benchmarks.workloads import Readings, rechunked

Figures = dict[str, Any]

_FILL_READINGS = 5_000_000
_POLL_S = 0.25


class SkippedError(Exception):
    """A case that a system cannot run; the message says why."""


@dataclass(frozen=True, slots=True)
class Bench:
    """`folder` must lie on the disk that is to be measured; request bodies wait in memory where there is room."""

    sizes: Sizes
    folder: Path
    bodies: Path
    closing: contextlib.ExitStack
    _kept: dict[tuple[str, Hashable], Running] = field(default_factory=dict)

    def kept(self, system: System, what: Hashable, fill: Callable[[Running], None]) -> Running:
        """A started system that several cases share until the end of the run, filled the first time it is asked for.

        It costs hours to fill some, and an idle server costs the others next to nothing.
        """
        key = (system.name, what)
        if key not in self._kept:
            running = self.closing.enter_context(self.started(system))
            fill(running)
            self._kept[key] = running
        return self._kept[key]

    @contextlib.contextmanager
    def started(self, system: System) -> Iterator[Running]:
        with self.folder_of(system) as folder, system.start(folder, self.sizes) as running:
            yield running

    @contextlib.contextmanager
    def folder_of(self, system: System) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=f"{system.name}-", dir=self.folder, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            folder.chmod(0o755)  # PostgreSQL drops root, and has to get at its files
            yield folder

    def write(self, name: str, requests: Iterator[Sent]) -> RequestFile:
        return write_requests(self.bodies / name, requests)

    def fill(self, system: System, running: Running, parts: Iterator[Readings]) -> int:
        """Store readings through the fastest door there is, as setting up. How many were taken.

        Raises:
            RuntimeError: not all of them were.
        """
        prefilled = running.prefill(parts)
        if prefilled is not None:
            return prefilled
        door = Door.BULK if running.has(Door.BULK) else Door.BATCH
        taken = 0
        for round_ in rechunked(parts, _FILL_READINGS):
            pieces = (
                round_[start : start + self.sizes.bulk_readings]
                for start in range(0, len(round_), self.sizes.bulk_readings)
            )
            file = self.write("fill", system.requests(door, pieces, self.sizes))
            result = run_load([self.plan("fill", file, running, 4, seconds=3_600)]).lanes["fill"]
            file.remove()
            if result.readings != file.readings:
                raise RuntimeError(f"filling stopped at {result.readings} of {file.readings}: {result.errors}")
            taken += result.readings
        return taken

    def plan(
        self,
        name: str,
        file: RequestFile,
        running: Running,
        connections: int,
        *,
        seconds: float,
        rate_per_s: float = 0,
        burst: int = 1,
        counted: str = "",
    ) -> LanePlan:
        return LanePlan(name, str(file.path), running.port, connections, seconds, rate_per_s, burst, counted)

    def wait_merged(self, running: Running, most_s: float) -> tuple[int | None, float]:
        """(what is unmerged at the end, seconds until nothing was)."""
        started_s = time.monotonic()
        while True:
            left, waited_s = running.unmerged(), time.monotonic() - started_s
            if not left or waited_s >= most_s:
                return left, round(waited_s, 1)
            time.sleep(_POLL_S)


@contextlib.contextmanager
def bench(sizes: Sizes, folder: Path | None) -> Iterator[Bench]:
    with contextlib.ExitStack() as closing:
        base = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="pulsebase-bench-", dir=folder)))
        base.chmod(0o755)
        memory = Path("/dev/shm")
        roomy = memory.is_dir() and shutil.disk_usage(memory).free > 8 << 30
        bodies = closing.enter_context(tempfile.TemporaryDirectory(prefix="bodies-", dir=memory if roomy else base))
        yield Bench(sizes, base, Path(bodies), closing)


def lane_figures(result: LaneResult) -> Figures:
    """Every lane's figures under the same names."""
    return {
        "requests": result.requests,
        "seconds": round(result.seconds, 2),
        "latency_ms": result.latency_ms,
        "statuses": result.statuses,
        "retried": result.retried,
        "unsent": result.unsent,
        "errors": result.errors,
    }


def watched(running: Running) -> Watch:
    return Watch(running.pids())
