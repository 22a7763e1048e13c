"""The specification's own design as a peer; see `specification_app`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

import numpy as np

from benchmarks.history import Question
from benchmarks.peers.running import RunningPeer
from benchmarks.processes import ROOT, free_port, started
from benchmarks.pulsebase_system import iso, json_batches, json_singles
from benchmarks.requests import Sent, get
from benchmarks.sizes import Sizes
from benchmarks.system import Door
from benchmarks.workloads import DEVICES, Readings, joined, user_id

_PATH = "/metrics/heart-rate"
_MINUTE_S = 60


class Specification:
    name: ClassVar[str] = "specification"
    durable: ClassVar[str] = "in memory; on the disk up to 5 s later, without a sync"
    counted: ClassVar[str] = "accepted"
    rows: ClassVar[str] = "count"
    ceilings_per_s: ClassVar[Mapping[Door, int]] = {Door.BATCH: 120_000, Door.SINGLE: 10_000}
    doors: ClassVar[Mapping[Door, str]] = {Door.BATCH: "JSON", Door.SINGLE: "JSON"}

    def absent(self) -> str | None:
        return None if find_spec("polars") else "polars is not installed (make bench installs it)"

    @contextlib.contextmanager
    def start(self, folder: Path, sizes: Sizes) -> Iterator[RunningPeer]:
        with app_started("specification_app", folder, sizes, self.doors) as running:
            yield replace(running, fill_by=write_files)

    def requests(self, door: Door, parts: Iterator[Readings], sizes: Sizes) -> Iterator[Sent]:
        if door is Door.BATCH:
            return json_batches(parts, sizes.batch_readings, f"{_PATH}/batch")
        return json_singles(parts, _PATH)

    def ask(self, question: Question) -> bytes | None:
        if question.step_s != _MINUTE_S:  # minutes are all it answers
            return None
        window = {"user_id": user_id(question.person), "start": iso(question.start_s), "end": iso(question.end_s)}
        return get(f"{_PATH}?{urlencode(window)}")


def write_files(data: Path, parts: Iterator[Readings]) -> int:
    """The files as the application would have written them: it rewrites a whole date for each hundred readings."""
    import polars as pl

    readings = joined(list(parts))
    people = pl.Series([user_id(person) for person in range(int(readings.people.max()) + 1)])
    rows = pl.DataFrame(
        {
            "device_id": pl.Series(DEVICES).gather(readings.devices),
            "user_id": people.gather(readings.people),
            "timestamp": pl.Series(readings.times_s * 1_000_000).cast(pl.Datetime("us", "UTC")),
            "heart_rate": readings.bpm.astype(np.float64),
        }
    )
    for (date,), part in rows.group_by(pl.col("timestamp").dt.date()):
        part.write_parquet(data / f"heart_rate_metrics_{date}.parquet")
    return len(readings)


@contextlib.contextmanager
def app_started(module: str, folder: Path, sizes: Sizes, doors: Mapping[Door, str]) -> Iterator[RunningPeer]:
    """A peer that is an application of ours over somebody else's engine, served as we serve Pulsebase."""
    data, port = folder / "data", free_port()
    data.mkdir()
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"DATA": str(data), "PEOPLE": str(sizes.people), "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.peers.{module}:app", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    with started(command, port, folder=folder, ready_path="/health", env=env) as process:
        more = data / "postmaster.pid"
        pids = (int(more.read_text().split()[0]),) if more.exists() else ()
        yield RunningPeer(port, data, process, frozenset(doors), pids)
