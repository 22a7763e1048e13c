"""VictoriaMetrics from Debian's package: line protocol from devices, its JSON lines in bulk."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

from benchmarks.encode import victoria_lines
from benchmarks.history import Question
from benchmarks.peers.influxdb import line_requests
from benchmarks.peers.running import RunningPeer
from benchmarks.processes import free_port, started
from benchmarks.requests import Sent, get, post
from benchmarks.sizes import Sizes
from benchmarks.system import Door
from benchmarks.workloads import Readings, user_id


class VictoriaMetrics:
    name: ClassVar[str] = "victoria-metrics"
    durable: ClassVar[str] = "in memory; on the disk up to seconds later"
    counted: ClassVar[str] = ""
    rows: ClassVar[str] = ""
    ceilings_per_s: ClassVar[Mapping[Door, int]] = {Door.BATCH: 3_000_000, Door.BULK: 5_000_000, Door.SINGLE: 80_000}
    doors: ClassVar[Mapping[Door, str]] = {
        Door.BATCH: "line protocol",
        Door.BULK: "/api/v1/import",
        Door.SINGLE: "line protocol",
    }

    def absent(self) -> str | None:
        found = shutil.which("victoria-metrics")
        return None if found else "victoria-metrics is not installed (benchmarks/install_peers.sh)"

    @contextlib.contextmanager
    def start(self, folder: Path, sizes: Sizes) -> Iterator[RunningPeer]:
        del sizes
        data, port = folder / "data", free_port()
        data.mkdir()
        command = [
            "victoria-metrics",
            f"-storageDataPath={data}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y",
            "-search.latencyOffset=0s",
            "-loggerLevel=WARN",
        ]
        with started(command, port, folder=folder, ready_path="/health") as process:
            yield RunningPeer(port, data, process, frozenset(self.doors))

    def requests(self, door: Door, parts: Iterator[Readings], sizes: Sizes) -> Iterator[Sent]:
        if door is not Door.BULK:
            size = sizes.batch_readings if door is Door.BATCH else 1
            yield from line_requests(parts, size, "/write?precision=s")
            return
        for part in parts:
            yield Sent(post("/api/v1/import", victoria_lines(part), "application/json"), len(part))

    def ask(self, question: Question) -> bytes | None:
        series = f'heart_rate_bpm{{user_id="{user_id(question.person)}"}}'
        if not question.step_s:
            window = {"match[]": series, "start": question.start_s, "end": question.end_s}
            return get(f"/api/v1/export?{urlencode(window)}")
        # A point at t looks back over (t - step, t]: the first bucket's is a step after the start.
        step = f"[{question.step_s}s]"
        window = {
            "query": f"avg by (user_id) (avg_over_time({series}{step}))",
            "start": question.start_s + question.step_s,
            "end": question.end_s,
            "step": question.step_s,
        }
        return get(f"/api/v1/query_range?{urlencode(window)}")
