"""InfluxDB 1 from Debian's package, by line protocol over HTTP."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

from benchmarks.encode import influx_lines, pieces
from benchmarks.history import Question
from benchmarks.peers.running import RunningPeer
from benchmarks.processes import fetch, free_port, started
from benchmarks.requests import Sent, get, post
from benchmarks.sizes import Sizes
from benchmarks.system import Door
from benchmarks.workloads import Readings, user_id

#: Its documentation asks for 5,000 to 10,000 points a request.
_BULK_POINTS = 10_000
_CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{data}/meta"
[data]
  dir = "{data}/data"
  wal-dir = "{data}/wal"
  index-version = "tsi1"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
"""


class InfluxDB:
    name: ClassVar[str] = "influxdb"
    durable: ClassVar[str] = "in its log, on the disk"
    counted: ClassVar[str] = ""
    rows: ClassVar[str] = ""
    ceilings_per_s: ClassVar[Mapping[Door, int]] = {Door.BATCH: 1_500_000, Door.BULK: 2_000_000, Door.SINGLE: 80_000}
    doors: ClassVar[Mapping[Door, str]] = {
        Door.BATCH: "line protocol",
        Door.BULK: "line protocol, 10,000 a request",
        Door.SINGLE: "line protocol",
    }

    def absent(self) -> str | None:
        return None if shutil.which("influxd") else "influxd is not installed (benchmarks/install_peers.sh)"

    @contextlib.contextmanager
    def start(self, folder: Path, sizes: Sizes) -> Iterator[RunningPeer]:
        del sizes
        data, port = folder / "data", free_port()
        data.mkdir()
        config = folder / "influxdb.conf"
        config.write_text(_CONFIG.format(data=data, port=port, rpc_port=free_port()))
        command = ["influxd", "run", "-config", str(config)]
        with started(command, port, folder=folder, ready_path="/ping") as process:
            fetch(port, "/query?q=CREATE+DATABASE+bench", method="POST", body=b"")
            yield RunningPeer(port, data, process, frozenset(self.doors))

    def requests(self, door: Door, parts: Iterator[Readings], sizes: Sizes) -> Iterator[Sent]:
        size = {Door.BATCH: sizes.batch_readings, Door.BULK: _BULK_POINTS, Door.SINGLE: 1}[door]
        return line_requests(parts, size, "/write?db=bench&precision=s")

    def ask(self, question: Question) -> bytes | None:
        where = f"user_id='{user_id(question.person)}' AND time >= {question.start_s}s AND time < {question.end_s}s"
        if question.step_s:
            text = (
                'SELECT mean("bpm"), min("bpm"), max("bpm"), count("bpm") FROM heart_rate '
                f"WHERE {where} GROUP BY time({question.step_s}s) fill(none)"
            )
        else:
            text = f'SELECT "bpm", device_id FROM heart_rate WHERE {where}'
        return get(f"/query?{urlencode({'db': 'bench', 'epoch': 's', 'q': text})}")


def line_requests(parts: Iterator[Readings], size: int, path: str) -> Iterator[Sent]:
    """Requests of line protocol, `size` readings each."""
    for part in parts:
        text, ends = influx_lines(part)
        for number, piece in enumerate(pieces(text, ends, size)):
            yield Sent(post(path, piece, "text/plain"), min(size, len(part) - number * size))
