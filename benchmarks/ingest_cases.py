"""Readings in: through each door, and what they take on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.bench import Bench, Figures, SkippedError, lane_figures, watched
from benchmarks.history import at_steps
from benchmarks.lane import LaneResult
from benchmarks.loadgen import run_load
from benchmarks.processes import folder_bytes
from benchmarks.system import Door, Running, System
from benchmarks.workloads import Readings, imported, live, rechunked

_DISK_STEPS_S = {"at_1_hz": (1, 1), "at_1_to_15_s": (1, 15), "at_10_minutes": (600, 600)}
#: What a system does with merged readings in the background (compacting, letting go of its journal) is given so long
#: before bytes are counted.
_SETTLE_S = 60


def json_batches(bench: Bench, system: System) -> Figures:
    return _ingest(bench, system, Door.BATCH, bench.sizes.batch_connections)


def bulk(bench: Bench, system: System) -> Figures:
    return _ingest(bench, system, Door.BULK, bench.sizes.bulk_connections)


def singles(bench: Bench, system: System) -> Figures:
    return _ingest(bench, system, Door.SINGLE, bench.sizes.single_connections)


def _load(bench: Bench, system: System, door: Door) -> Iterator[Readings]:
    sizes = bench.sizes
    count = int(system.ceilings_per_s[door] * sizes.seconds)
    if door is Door.BULK:
        return imported(sizes.seed, sizes.people, count, sizes.bulk_readings)
    # Bodies are cut from parts, so a part must hold whole bodies.
    return rechunked(live(sizes.seed, sizes.people, count), 100 * sizes.batch_readings)


def _ingest(bench: Bench, system: System, door: Door, connections: int) -> Figures:
    if door not in system.doors:
        raise SkippedError("has no such door")
    sizes = bench.sizes
    with bench.started(system) as running:
        if not running.has(door):
            raise SkippedError("has no such door yet")
        file = bench.write("load", system.requests(door, _load(bench, system, door), sizes))
        try:
            plan = bench.plan("load", file, running, connections, seconds=sizes.seconds, counted=system.counted)
            with watched(running) as watch:
                load = run_load([plan])
                unmerged_at_end = running.unmerged()
                unmerged_later, merged_after_s = bench.wait_merged(running, sizes.settle_s)
        finally:
            file.remove()
        lane = load.lanes["load"]
        figures = lane_figures(lane) | {
            "readings_per_s": round(lane.readings / lane.seconds) if lane.seconds else 0,
            "readings": lane.readings,
            "bad": lane.bad,
            "ran_out": lane.ran_out,
            "bytes_per_reading_sent": round(file.bytes / max(1, file.readings), 1),
            "unmerged_at_end": unmerged_at_end,
            "unmerged_later": unmerged_later,
            "merged_after_s": merged_after_s,
            "peak_memory_mib": watch.peak_mib,
            "server_cpu_s": watch.cpu_s,
            "generator_cpu_s": load.generator_cpu_s,
            "counts_agree": _agrees(bench, system, door, running, lane),
        }
    return figures


def _agrees(bench: Bench, system: System, door: Door, running: Running, lane: LaneResult) -> bool | None:
    """Whether the server counts what we sent, in its answers, in its metrics and, if asked, in what it holds."""
    expected = lane.readings - lane.bad
    said = [running.accepted()]
    if system.counted and door is not Door.SINGLE:
        said.append(lane.counted)
    agrees = [count == expected for count in said if count is not None]
    if bench.sizes.verify and running.stored() is not None:
        agrees.append(running.stored() == _distinct(bench, system, door, lane))
    return all(agrees) if agrees else None


def _distinct(bench: Bench, system: System, door: Door, lane: LaneResult) -> int:
    """Identities among the acknowledged: requests go out in order, and all that went out were answered."""
    identities = []
    left = lane.readings
    for part in _load(bench, system, door):
        kept = part[~part.bad] if door is Door.SINGLE else part
        kept, left = kept[:left], left - min(left, len(kept))
        identities.append(kept[~kept.bad].identities())
        if not left:
            break
    return len(np.unique(np.concatenate(identities))) if identities else 0


def disk(bench: Bench, system: System) -> Figures:
    profiles = {name: _disk_profile(bench, system, *steps_s) for name, steps_s in _DISK_STEPS_S.items()}
    return profiles | {"peak_memory_mib": max(profile["peak_memory_mib"] for profile in profiles.values())}


def _disk_profile(bench: Bench, system: System, low_s: int, high_s: int) -> Figures:
    sizes = bench.sizes
    with bench.folder_of(system) as folder:
        with system.start(folder, sizes) as running:
            empty_bytes = folder_bytes(running.data)
            parts = at_steps(sizes.seed, sizes.people, sizes.disk_readings, low_s, high_s)
            with watched(running) as watch:
                readings = bench.fill(system, running, parts)
                unmerged, _ = bench.wait_merged(running, sizes.merge_wait_s)
                time.sleep(min(sizes.settle_s, _SETTLE_S))
            running_bytes = folder_bytes(running.data)
        stopped_bytes = folder_bytes(running.data)
    return {
        "readings": readings,
        "unmerged": unmerged,
        "bytes_per_reading": round(running_bytes / readings, 2),
        "bytes_per_reading_stopped": round(stopped_bytes / readings, 2),
        "empty_bytes": empty_bytes,
        "peak_memory_mib": watch.peak_mib,
    }
