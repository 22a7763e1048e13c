"""Questions about many people, and the hours of one, over a whole population; and how long it takes to store that."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from benchmarks.bench import Bench, Figures, SkippedError, lane_figures, watched
from benchmarks.loadgen import run_load
from benchmarks.population import (
    HOUR_S,
    Populated,
    arrow_body,
    cohort_questions,
    late_readings,
    span_s,
    top_hours_questions,
)
from benchmarks.processes import folder_bytes
from benchmarks.pulsebase_system import PROGRAM, Pulsebase, PulsebaseTimescale, embedded_url, environment
from benchmarks.requests import Sent
from benchmarks.system import System
from benchmarks.workloads import DAY_S
from pulsebase.sources.fixtures import FixtureSpec, fixture_readings

#: Most time for the questions of one case.
_MOST_S = 3_600.0
_GOOD = {"200", "202"}


def fixtures(bench: Bench, system: System) -> Figures:
    """Into an empty store until everything is merged; ours as a command of its own, without a server."""
    return _at_each_size(bench, system, _fixtures)


def cohort_ragged(bench: Bench, system: System) -> Figures:
    """Ends on any second, each question right after a burst of late readings."""

    def requests(system: Populated, people: int, span: tuple[int, int]) -> Iterator[Sent]:
        sizes = bench.sizes
        questions = cohort_questions(sizes.seed, span, sizes.cohort_rounds, step_s=1)
        for number, question in enumerate(questions):
            late = late_readings(sizes.seed + number, people, span[1], sizes.late_readings)
            yield Sent(system.late(arrow_body(late)), len(late), kind="late")
            yield Sent(system.ask_cohort(question), kind=question.kind)

    return _at_each_size(bench, system, partial(_asked, requests=requests))


def cohort_aligned(bench: Bench, system: System) -> Figures:
    """Ends on midnights and on whole hours in UTC, with everything merged."""

    def requests(system: Populated, people: int, span: tuple[int, int]) -> Iterator[Sent]:
        del people
        seed, count = bench.sizes.seed, bench.sizes.cohort_rounds
        for question in chain(
            cohort_questions(seed, span, count, step_s=DAY_S, name="days_"),
            cohort_questions(seed, span, count, step_s=HOUR_S, name="hours_"),
        ):
            yield Sent(system.ask_cohort(question), kind=question.kind)

    return _at_each_size(bench, system, partial(_asked, requests=requests))


def top_hours(bench: Bench, system: System) -> Figures:
    """A person's highest hours, one question after the other."""

    def requests(system: Populated, people: int, span: tuple[int, int]) -> Iterator[Sent]:
        for question in top_hours_questions(bench.sizes.seed, people, span, bench.sizes.top_hours_questions):
            yield Sent(system.ask_top_hours(question), kind="top_hours")

    return _at_each_size(bench, system, partial(_asked, requests=requests))


def copy(bench: Bench, system: System) -> Figures:
    """From the embedded store into an empty database by `pulsebase copy`, which compares both at the end."""
    if not isinstance(system, PulsebaseTimescale):
        raise SkippedError("is not copied into here")
    return _at_each_size(bench, system, _copied)


_Requests = Callable[[Populated, int, tuple[int, int]], Iterator[Sent]]


def _at_each_size(bench: Bench, system: System, measure: Callable[[Bench, Populated, FixtureSpec], Figures]) -> Figures:
    if not isinstance(system, Populated):
        raise SkippedError("is not asked about many people here")
    sizes = bench.sizes
    found = {"standard": measure(bench, system, FixtureSpec(sizes.readings_people, sizes.readings, sizes.seed))}
    if sizes.large_readings:
        found["large"] = measure(bench, system, FixtureSpec(sizes.large_people, sizes.large_readings, sizes.seed))
    return found | {"peak_memory_mib": max(part["peak_memory_mib"] for part in found.values())}


def _fixtures(bench: Bench, system: Populated, spec: FixtureSpec) -> Figures:
    figures = _command(bench, system, spec) if isinstance(system, Pulsebase) else _populated(bench, system, spec)
    started_s = time.process_time()
    for _ in fixture_readings(spec, 500_000):
        pass
    generation_us = (time.process_time() - started_s) / spec.readings * 1e6
    return figures | {
        "people": spec.users,
        "readings": spec.readings,
        "readings_per_s": round(spec.readings / figures["seconds"]),
        "bytes_per_reading": round(figures["data_bytes"] / spec.readings, 2),
        "generation_us_per_reading": round(generation_us, 3),
    }


def _command(bench: Bench, system: Pulsebase, spec: FixtureSpec) -> Figures:
    with bench.folder_of(system) as folder:
        started_s = time.monotonic()
        process = subprocess.Popen(
            system.fixtures_command(spec), env=environment(embedded_url(folder)), stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)  # for the most memory it ever had
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"the command ended with {process.returncode}")
        return {
            "seconds": round(time.monotonic() - started_s, 2),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_memory_mib": round(usage.ru_maxrss / 1024, 1),
            "data_bytes": folder_bytes(folder),
        }


def _copied(bench: Bench, system: Populated, spec: FixtureSpec) -> Figures:
    assert isinstance(system, PulsebaseTimescale)
    with bench.folder_of(system) as folder, system.database() as target:
        source = embedded_url(folder)
        subprocess.run(system.fixtures_command(spec), env=environment(source), stdout=subprocess.DEVNULL, check=True)
        command = [*PROGRAM, "copy", "--from", source, "--to", target]
        env = environment(source) | {"PYTHONUNBUFFERED": "1"}
        started_s = time.monotonic()
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        copied_s = 0.0
        for line in process.stdout:
            if " people copied, " in line:
                copied_s = time.monotonic() - started_s
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"the command ended with {process.returncode}")
        compared_s = time.monotonic() - started_s - copied_s
    return {
        "people": spec.users,
        "readings": spec.readings,
        "seconds": round(copied_s, 2),
        "readings_per_s": round(spec.readings / copied_s),
        "compared_s": round(compared_s, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_memory_mib": round(usage.ru_maxrss / 1024, 1),
    }


def _populated(bench: Bench, system: Populated, spec: FixtureSpec) -> Figures:
    with bench.started(system) as running, watched(running) as watch:
        empty_bytes = folder_bytes(running.data)
        started_s = time.monotonic()
        system.populate(running, spec)
        seconds = time.monotonic() - started_s
        data_bytes = folder_bytes(running.data) - empty_bytes
    return {
        "seconds": round(seconds, 2),
        "cpu_s": watch.cpu_s,
        "peak_memory_mib": watch.peak_mib,
        "data_bytes": data_bytes,
    }


def _asked(bench: Bench, system: Populated, spec: FixtureSpec, requests: _Requests) -> Figures:
    """Everything one after the other over one connection, on a population that the cases share."""
    running = bench.kept(system, spec, lambda running: system.populate(running, spec))
    bench.wait_merged(running, bench.sizes.merge_wait_s)
    file = bench.write("questions", requests(system, spec.users, span_s(spec)))
    plan = bench.plan("questions", file, running, 1, seconds=_MOST_S, counted="count")
    with watched(running) as watch:
        lane = run_load([plan]).lanes["questions"]
    file.remove()
    if not lane.statuses.keys() <= _GOOD:
        raise RuntimeError(f"not every question was answered: {lane.statuses}, {lane.errors}")
    return lane_figures(lane) | {
        "people": spec.users,
        "stored_readings": spec.readings,
        "late_readings": lane.readings,
        "found": lane.counted,
        "server_cpu_s": watch.cpu_s,
        "peak_memory_mib": watch.peak_mib,
    }
