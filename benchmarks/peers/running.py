"""A started peer: a process, its port and its folder; most say nothing of themselves."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.system import Door
from benchmarks.workloads import Readings


@dataclass(frozen=True, slots=True)
class RunningPeer:
    port: int
    data: Path
    process: subprocess.Popen[bytes]
    doors: frozenset[Door]
    more_pids: tuple[int, ...] = ()
    fill_by: Callable[[Path, Iterator[Readings]], int] | None = None

    def pids(self) -> list[int]:
        return [self.process.pid, *self.more_pids]

    def has(self, door: Door) -> bool:
        return door in self.doors

    def prefill(self, parts: Iterator[Readings]) -> int | None:
        return None if self.fill_by is None else self.fill_by(self.data, parts)

    def unmerged(self) -> int | None:
        return None

    def accepted(self) -> int | None:
        return None

    def stored(self) -> int | None:
        return None
