"""A process that gives one decoder changed inputs. What it is at is in a file, for whoever finds it gone."""

from __future__ import annotations

import mmap
import os
import random
import resource
import struct
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import ALLOWED, Target

_HEAD = struct.Struct("<QQ")
MOST_BYTES = 4 << 20
#: What a body of a few kilobytes may take of the processor, and of memory beyond what was taken before.
_CPU_S = 5
_MEMORY_BYTES = 1 << 30
#: So many inputs warm libraries up before memory is looked at.
_WARM = 50
FOUND = 3


@dataclass(frozen=True, slots=True)
class Task:
    """What to do: inputs are told apart by seed and number, and are the same whenever they are made."""

    seed: int
    first: int = 0
    count: int | None = None
    seconds: float | None = None


class Place:
    """The input that is being read, and its number, in memory that outlives the process."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_HEAD.size + MOST_BYTES)
            self._memory = mmap.mmap(file.fileno(), 0)

    def put(self, number: int, data: bytes) -> None:
        """Say what comes next."""
        self._memory[_HEAD.size : _HEAD.size + len(data)] = data
        self._memory[: _HEAD.size] = _HEAD.pack(number, len(data))

    def get(self) -> tuple[int, bytes]:
        """What was said last."""
        number, size = _HEAD.unpack(self._memory[: _HEAD.size])
        return number, self._memory[_HEAD.size : _HEAD.size + size]


def input_of(target: Target, seed: int, number: int) -> bytes:
    """An input, made of a seed of the corpus."""
    dice = random.Random(f"{target.name}:{seed}:{number}")
    return target.change(dice, dice.choice(target.corpus()))[:MOST_BYTES]


def work(target: Target, task: Task, place: Place, report: Path) -> int:
    """Go through inputs until something is found, which the report says, or the task is done. The exit code."""
    soft = _virtual_bytes() + (4 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ends = None if task.seconds is None else time.monotonic() + task.seconds
    base = peak = 0
    parent = os.getppid()
    with target.opened() as read:
        for number in range(task.first, 1 << 62):
            done = number - task.first
            if (task.count is not None and done >= task.count) or (ends is not None and time.monotonic() >= ends):
                break
            if os.getppid() != parent:
                os._exit(1)  # nobody reads the report
            data = input_of(target, task.seed, number)
            place.put(number, data)
            started = time.process_time()
            try:
                read(data)
            except ALLOWED:
                pass
            except BaseException:  # whatever it is, it is what is looked for
                report.write_text(traceback.format_exc())
                return FOUND
            took_s = time.process_time() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
            if done <= _WARM:
                base = peak
            if took_s > _CPU_S or peak > base + _MEMORY_BYTES:
                report.write_text(f"took {took_s:.1f} s of the processor, {(peak - base) >> 20} MiB of memory")
                return FOUND
        place.put(number, b"")
    return 0


def _virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
