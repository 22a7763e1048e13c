"""Runs cases over systems and writes a JSON file each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import cohort_cases, dashboard_case, file_cases, ingest_cases, series_cases
from benchmarks.bench import Bench, Figures, SkippedError, bench
from benchmarks.clickhouse_system import PulsebaseClickhouse
from benchmarks.machine import facts
from benchmarks.peers import PEERS
from benchmarks.pulsebase_system import Pulsebase, PulsebaseTimescale
from benchmarks.sizes import Sizes
from benchmarks.system import System

RESULTS = Path(__file__).parent / "results"

Case = Callable[[Bench, System], Figures]

CASES: dict[str, Case] = {
    "json_batches": ingest_cases.json_batches,
    "bulk": ingest_cases.bulk,
    "singles": ingest_cases.singles,
    "series_idle": series_cases.series_idle,
    "series_under_load": series_cases.series_under_load,
    "growth": series_cases.growth,
    "disk": ingest_cases.disk,
    "files": file_cases.files,
    "fixtures": cohort_cases.fixtures,
    "cohort_ragged": cohort_cases.cohort_ragged,
    "cohort_aligned": cohort_cases.cohort_aligned,
    "top_hours": cohort_cases.top_hours,
    "copy": cohort_cases.copy,
    "dashboard": dashboard_case.dashboard,
}
#: What peers take part in too; the others are about us alone.
PEER_CASES = CASES.keys() - {"series_under_load", "growth", "copy", "dashboard"}

_ALL: tuple[System, ...] = (Pulsebase(), PulsebaseTimescale(), PulsebaseClickhouse(), *PEERS)
SYSTEMS = {system.name: system for system in _ALL}


def run(
    sizes: Sizes, cases: Sequence[str], systems: Sequence[str], results: Path, folder: Path | None = None
) -> dict[str, Any]:
    """Case by case, all systems one after the other. A result file is always of one run."""
    results.mkdir(parents=True, exist_ok=True)
    done = {}
    with bench(sizes, folder) as ready:
        machine = facts(ready.folder)
        for name in cases:
            taking_part = [system for system in systems if _takes_part(system, name)]
            if not taking_part:
                continue
            result = {
                "case": name,
                "machine": machine,
                "sizes": asdict(sizes),
                "systems": {system: _run_one(ready, name, SYSTEMS[system]) for system in taking_part},
            }
            (results / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
            done[name] = result
    return done


def _takes_part(system: str, case: str) -> bool:
    if system == PulsebaseTimescale.name and case == "disk":
        return False  # the disk is another machine's
    if case == "copy":
        return system == PulsebaseTimescale.name
    return system == Pulsebase.name or case in PEER_CASES


def _run_one(ready: Bench, name: str, system: System) -> Figures:
    """The figures, or why there are none. One peer that fails must not cost the others their run."""
    absent = system.absent()
    if absent:
        print(f"{name}: {system.name}: absent, {absent}", flush=True)
        return {"absent": absent}
    started_s = time.monotonic()
    try:
        figures = CASES[name](ready, system)
    except SkippedError as reason:
        figures = {"absent": str(reason)}
    except Exception as error:
        figures = {"failed": f"{type(error).__name__}: {error}"[-2_000:]}
    else:
        figures = {
            "durable": system.durable,
            "doors": {door.value: text for door, text in system.doors.items()},
        } | figures
    print(f"{name}: {system.name}: {summary(figures)} ({time.monotonic() - started_s:.0f} s)", flush=True)
    return figures


def summary(figures: Figures) -> str:
    """One line for whoever waits."""
    for name in ("absent", "failed"):
        if name in figures:
            return f"{name}, {figures[name].strip()[-200:]}"
    shown: Figures = {
        name: figures[name]
        for name in ("readings_per_s", "ratio", "unmerged_at_end", "unmerged_later", "peak_memory_mib", "counts_agree")
        if name in figures
    }
    if "latency_ms" in figures:
        shown |= {"latency_ms": figures["latency_ms"].get("all")}
    shown |= {
        name: f"{part['processor_s_per_million']:g} s a million"
        for name, part in figures.items()
        if isinstance(part, dict) and "processor_s_per_million" in part
    }
    for name in ("standard", "large"):
        if name in figures:
            part = figures[name]
            shown[name] = part["latency_ms"]["all"] if "latency_ms" in part else f"{part['seconds']} s"
    shown |= {name: part["bytes_per_reading"] for name, part in figures.items() if name.startswith("at_")}
    return ", ".join(f"{name} {value}" for name, value in shown.items())
