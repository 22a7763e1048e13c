"""The load generator, a process of its own: `python -m benchmarks.loadgen` reads plans from standard input as JSON and
prints what came of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.lane import Lane, LanePlan, LaneResult

#: Beyond its time a lane waits so long for answers.
_LINGER_S = 120


class LoadResult(Struct, frozen=True):
    """What came of each lane, and what sending cost this process."""

    lanes: dict[str, LaneResult]
    generator_cpu_s: float


def run_load(plans: Sequence[LanePlan]) -> LoadResult:
    """Run the lanes side by side in a process of their own.

    Raises:
        RuntimeError: the generator did not end well.
    """
    longest_s = max(plan.seconds for plan in plans) + _LINGER_S
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.loadgen"],
        input=msgspec.json.encode(plans),
        capture_output=True,
        timeout=longest_s + 60,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed:\n{done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=LoadResult)


async def _run(plans: list[LanePlan]) -> LoadResult:
    lanes = [Lane(plan) for plan in plans]
    for lane in lanes:
        await lane.connect()
    before = os.times()
    async with asyncio.timeout(max(plan.seconds for plan in plans) + _LINGER_S):
        await asyncio.gather(*(lane.run() for lane in lanes))
    after = os.times()
    cpu_s = after.user + after.system - before.user - before.system
    return LoadResult({lane.plan.name: lane.result() for lane in lanes}, round(cpu_s, 2))


def main() -> None:
    plans = msgspec.json.decode(sys.stdin.buffer.read(), type=list[LanePlan])
    gc.disable()  # a pause of ours must not look like a pause of the server
    result = uvloop.run(_run(plans))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
