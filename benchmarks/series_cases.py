"""Questions out: the mix over a stored year, idle, beside a stream, and over ten times the readings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from benchmarks.bench import Bench, Figures, SkippedError, lane_figures, watched
from benchmarks.clickhouse_system import PulsebaseClickhouse
from benchmarks.history import KINDS, mix, year
from benchmarks.lane import LanePlan
from benchmarks.loadgen import LoadResult, run_load
from benchmarks.processes import Watch, folder_bytes
from benchmarks.pulsebase_system import Pulsebase
from benchmarks.requests import RequestFile, Sent
from benchmarks.system import Door, Running, System
from benchmarks.workloads import Readings, live, rechunked

#: Questions before the clock starts, so that nothing is measured that happens once in a server's life.
_WARM_UP_S = 2.0


def series_idle(bench: Bench, system: System) -> Figures:
    sizes = bench.sizes
    quick = system.name in (Pulsebase.name, PulsebaseClickhouse.name)
    readings = sizes.stored_readings if quick else sizes.peer_stored_readings
    return _idle(bench, system, readings)


def growth(bench: Bench, system: System) -> Figures:
    sizes = bench.sizes
    small = _idle(bench, system, sizes.grown_from_readings)
    large = _idle(bench, system, sizes.grown_to_readings)
    ratios = {
        name: round(large["latency_ms"]["all"][name] / small["latency_ms"]["all"][name], 2) for name in ("p50", "p99")
    }
    return {
        "from": small,
        "to": large,
        "ratio": ratios,
        "peak_memory_mib": max(small["peak_memory_mib"], large["peak_memory_mib"]),
    }


def series_under_load(bench: Bench, system: System) -> Figures:
    sizes = bench.sizes
    with bench.started(system) as running:
        stored = bench.fill(system, running, year(sizes.seed, sizes.people, sizes.stored_readings))
        bench.wait_merged(running, sizes.merge_wait_s)
        files = {
            "stream": bench.write("stream", system.requests(Door.BATCH, _stream(bench), sizes)),
            "late": bench.write("late", system.requests(Door.BATCH, _late(bench), sizes)),
            "questions": _questions(bench, system, sizes.stored_readings, sizes.seconds),
        }
        with watched(running) as watch:
            before = running.unmerged()
            load = run_load(_beside(bench, running, system, files))
            after = running.unmerged()
        for file in files.values():
            file.remove()
        stream, late = load.lanes["stream"], load.lanes["late"]
        return _figures(load, watch, stored) | {
            "streamed_per_s": round(stream.readings / stream.seconds) if stream.seconds else 0,
            "stream": lane_figures(stream),
            "late": lane_figures(late) | {"readings": late.readings},
            "unmerged_before": before,
            "unmerged_at_end": after,
            "counts_agree": stream.counted + late.counted == stream.readings + late.readings - stream.bad - late.bad,
        }


def _idle(bench: Bench, system: System, readings: int) -> Figures:
    sizes = bench.sizes
    with bench.started(system) as running:
        warm_up = _questions(bench, system, readings, _WARM_UP_S, seed=sizes.seed + 1)
        with watched(running) as watch:
            stored = bench.fill(system, running, year(sizes.seed, sizes.people, readings))
            left, merged_after_s = bench.wait_merged(running, sizes.merge_wait_s)
            run_load([_asking(bench, running, system, warm_up, min(_WARM_UP_S, sizes.seconds))])
            file = _questions(bench, system, readings, sizes.seconds)
            load = run_load([_asking(bench, running, system, file, sizes.seconds)])
        file.remove()
        figures = _figures(load, watch, stored) | {"unmerged": left, "merged_after_s": merged_after_s}
        held = running.stored() if sizes.verify else None
        return figures | {
            "data_bytes": folder_bytes(running.data),
            "counts_agree": None if held is None else held == stored,
        }


def _figures(load: LoadResult, watch: Watch, stored: int) -> Figures:
    questions = load.lanes["questions"]
    return lane_figures(questions) | {
        "stored_readings": stored,
        "points": questions.counted,
        "peak_memory_mib": watch.peak_mib,
        "server_cpu_s": watch.cpu_s,
        "generator_cpu_s": load.generator_cpu_s,
    }


def _questions(bench: Bench, system: System, readings: int, seconds: float, *, seed: int | None = None) -> RequestFile:
    sizes = bench.sizes
    count = max(len(KINDS), round(sizes.questions_per_s * seconds))
    asked = mix(sizes.seed if seed is None else seed, sizes.people, readings, count)
    requests = [Sent(data, kind=question.kind) for question in asked if (data := system.ask(question)) is not None]
    if not requests:
        raise SkippedError("answers none of the questions")
    return bench.write(f"questions-{seed}", iter(requests))


def _asking(bench: Bench, running: Running, system: System, file: RequestFile, seconds: float) -> LanePlan:
    sizes = bench.sizes
    # A system that is asked only some kinds is asked less often, so the wait between questions stays the same.
    return bench.plan(
        "questions",
        file,
        running,
        sizes.question_connections,
        seconds=seconds,
        rate_per_s=sizes.questions_per_s,
        counted=system.rows,
    )


def _beside(bench: Bench, running: Running, system: System, files: dict[str, RequestFile]) -> list[LanePlan]:
    sizes = bench.sizes
    burst = max(1, sizes.late_readings // sizes.batch_readings)
    return [
        _asking(bench, running, system, files["questions"], sizes.seconds),
        bench.plan(
            "stream",
            files["stream"],
            running,
            sizes.batch_connections,
            seconds=sizes.seconds,
            rate_per_s=sizes.stream_readings_per_s / sizes.batch_readings,
            counted=system.counted,
        ),
        bench.plan(
            "late",
            files["late"],
            running,
            4,
            seconds=sizes.seconds,
            rate_per_s=burst / sizes.late_every_s,
            burst=burst,
            counted=system.counted,
        ),
    ]


def _stream(bench: Bench) -> Iterator[Readings]:
    sizes = bench.sizes
    count = round(sizes.stream_readings_per_s * sizes.seconds)
    return rechunked(live(sizes.seed, sizes.people, count), 100 * sizes.batch_readings)


def _late(bench: Bench) -> Iterator[Readings]:
    """All of them late by up to a week."""
    sizes = bench.sizes
    bursts = int(sizes.seconds / sizes.late_every_s) + 1
    size = max(sizes.batch_readings, sizes.late_readings // sizes.batch_readings * sizes.batch_readings)
    return islice(rechunked(live(sizes.seed + 2, sizes.people, bursts * size, late_share=1), size), bursts)
