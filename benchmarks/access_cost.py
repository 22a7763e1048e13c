"""What access costs the hot path: `python -m benchmarks.access_cost`.

Two servers, one without access and one with it, are sent the same readings in turns, through the door for one reading
and the one for 1,000. What counts is the processor time of the server for each request, so that whatever else runs on
the machine weighs on both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import watched
from benchmarks.lane import LanePlan
from benchmarks.loadgen import run_load
from benchmarks.machine import facts
from benchmarks.processes import free_port, started
from benchmarks.pulsebase_system import PROGRAM, Pulsebase, RunningPulsebase, embedded_url, environment
from benchmarks.requests import Sent, write_requests
from benchmarks.sizes import Sizes
from benchmarks.system import Door
from benchmarks.workloads import live, rechunked

PEOPLE = 1_000
CONNECTIONS = {Door.SINGLE: 64, Door.BATCH: 16}
#: Far more than is sent: the buckets are kept, and refuse nothing. And no merge: one takes as much as many requests,
#: and comes when it comes, so that it would fall on one side.
LIMITS = {
    "PULSEBASE_KEY_REQUESTS_PER_S": "1000000",
    "PULSEBASE_ADDRESS_REQUESTS_PER_S": "1000000",
    "PULSEBASE_MERGE_READINGS": "1000000000",
    "PULSEBASE_MERGE_INTERVAL_S": "3600",
}


@dataclass(frozen=True, slots=True)
class Side:
    """A server, and what its clients put into the head of each request."""

    running: RunningPulsebase
    header: bytes


@contextlib.contextmanager
def side(folder: Path, access: str) -> Iterator[Side]:
    data = folder / access
    data.mkdir()
    env = environment(embedded_url(data)) | LIMITS | {"PULSEBASE_ACCESS": access}
    port = free_port()
    with started([*PROGRAM, "serve", "--port", str(port)], port, folder=data, ready_path="/health", env=env) as process:
        header = b""
        if access == "on":
            made = [*PROGRAM, "keys", "create", "bench", "--scope", "ingest"]
            key = subprocess.run(made, env=env, capture_output=True, check=True, cwd=data).stdout.strip()
            header = b"Authorization: Bearer " + key + b"\r\n"
        yield Side(RunningPulsebase(port, data, env, process), header)


def requests(door: Door, round_: int, count: int, header: bytes) -> Iterator[Sent]:
    """The same readings for both sides, others each round."""
    sizes = Sizes()
    readings = count * (sizes.batch_readings if door is Door.BATCH else 1)
    parts = rechunked(live(round_, PEOPLE, readings), 100 * sizes.batch_readings)
    for sent in Pulsebase().requests(door, parts, sizes):
        yield Sent(sent.data.replace(b"\r\n", b"\r\n" + header, 1), sent.readings, sent.bad)


def cpu_us(one: Side, door: Door, round_: int, count: int, folder: Path) -> float:
    """The server's processor time for a request."""
    file = write_requests(folder / "requests", requests(door, round_, count, one.header))
    plan = LanePlan("lane", str(file.path), one.running.port, CONNECTIONS[door], seconds=600)
    with watched(one.running) as watch:
        result = run_load([plan]).lanes["lane"]
    file.remove()
    if result.statuses.keys() != {"202"}:
        raise RuntimeError(f"not everything was taken: {result.statuses} {result.errors}")
    return watch.cpu_s * 1e6 / result.requests


def measure(singles: int, batches: int, rounds: int) -> dict[str, object]:
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="pulsebase-access-") as name:
        folder = Path(name)
        with side(folder, "off") as off, side(folder, "on") as on:
            for door, count in ((Door.SINGLE, singles), (Door.BATCH, batches)):
                pairs = []
                for round_ in range(rounds + 1):
                    turns = [(off, "off"), (on, "on")]
                    cpu = {
                        which: cpu_us(one, door, round_, count, folder)
                        for one, which in (turns if round_ % 2 else reversed(turns))
                    }
                    if round_:  # the first warms both up
                        pairs.append((cpu["off"], cpu["on"]))
                        print(door.name, round_, {which: round(value, 1) for which, value in cpu.items()}, flush=True)
                found[door.name.lower()] = {
                    "off_us": round(statistics.median(pair[0] for pair in pairs), 1),
                    "on_us": round(statistics.median(pair[1] for pair in pairs), 1),
                    "ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 4),
                    "ratios": [round(pair[1] / pair[0], 4) for pair in pairs],
                }
        return {"machine": facts(folder), "people": PEOPLE, "requests": [singles, batches], "doors": found}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--singles", type=int, default=40_000, help="requests of a round")
    options.add_argument("--batches", type=int, default=1_000, help="requests of a round")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    result = json.dumps(measure(given.singles, given.batches, given.rounds), indent=1)
    print(result)
    if given.out is not None:
        given.out.write_text(result + "\n")


if __name__ == "__main__":
    main()
