"""Real servers for the page's tests: their own processes, stores and ports."""

from __future__ import annotations

import atexit
import csv
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pulsebase.sources.fixtures import FixtureSpec
from tests.support.forks import fork_command
from tests.support.process import PULSEBASE, Process

START_LIMIT_S = 60
STOP_LIMIT_S = 60
#: What the demo says once its two people are there, and a server once it answers.
COMPLETE = "readings are complete"
READY = "Pulsebase is at"
#: So few that a test can ask for more people than the server gives at once.
MAX_PEOPLE = 2
#: As many as nobody wants to scroll through.
CROWD = 3_000
ONE_MORE_METRIC = Path(__file__).parents[1] / "support" / "one_more_metric"


@contextmanager
def demo_server(folder: Path) -> Iterator[str]:
    """Run `pulsebase demo` over a few days; gives the address it said, without a path."""
    limits = {"PULSEBASE_MAX_PEOPLE": str(MAX_PEOPLE)}
    with _server(folder, ["demo", "--days", "3"], COMPLETE, _environment(folder) | limits) as address:
        yield address


@contextmanager
def crowd_server(folder: Path) -> Iterator[str]:
    """Run `pulsebase serve` with thousands of people, of whom nobody has readings yet."""
    shutil.copytree(_crowd(), folder, dirs_exist_ok=True)
    with _server(folder, ["serve"], READY, _environment(folder)) as address:
        yield address


@cache
def _crowd() -> Path:
    """The folder of a store with thousands of people, to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="pulsebase-crowd-"))
    atexit.register(shutil.rmtree, folder)
    people = folder / "people.csv"
    with people.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "name", "gender", "age"])
        rows.writerows([f"p{n:04}", f"Person {n:04}", ("female", "male")[n % 2], 20 + n % 60] for n in range(CROWD))
    _command(folder, ["users", "import", str(people)])
    return folder


@contextmanager
def population_server(folder: Path, spec: FixtureSpec) -> Iterator[str]:
    """Run `pulsebase serve` over what `pulsebase fixtures` makes."""
    sizes = ["--users", str(spec.users), "--readings", str(spec.readings), "--start", str(spec.first_day)]
    _command(folder, ["fixtures", *sizes])
    with _server(folder, ["serve"], READY, _environment(folder)) as address:
        yield address


@contextmanager
def newer_server(folder: Path, settings: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Run `pulsebase serve` with one entry more in the registry of metrics, over an empty store. Gives its address, and
    the environment in which commands are of the same version.
    """
    environment = _environment(folder) | dict(settings) | {"PYTHONPATH": str(ONE_MORE_METRIC)}
    with _server(folder, ["serve"], READY, environment) as address:
        yield address, environment


def push(address: str, user_id: str, readings: Sequence[tuple[int, int]], device_id: str = "strap") -> None:
    """Send a person's readings, as (milliseconds since 1970, beats); returns when they are acknowledged."""
    for first in range(0, len(readings), 1_000):
        part = readings[first : first + 1_000]
        body = {
            "readings": [
                {"device_id": device_id, "user_id": user_id, "timestamp": zulu(at_ms), "heart_rate": beats}
                for at_ms, beats in part
            ]
        }
        assert _posted(f"{address}/v1/metrics/heart-rate/batch", body)["accepted"] == len(part)


def push_values(address: str, user_id: str, metric: str, values: Mapping[int, float], device_id: str = "ring") -> None:
    """Send a person's readings of a metric, by milliseconds since 1970; returns when they are acknowledged."""
    readings = [
        {"device_id": device_id, "user_id": user_id, "timestamp": zulu(at_ms), "metric": metric, "value": value}
        for at_ms, value in values.items()
    ]
    for first in range(0, len(readings), 1_000):
        part = readings[first : first + 1_000]
        assert _posted(f"{address}/v1/readings/batch", {"readings": part})["accepted"] == len(part)


def zulu(instant_ms: int) -> str:
    return datetime.fromtimestamp(instant_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_ms() -> int:
    """The present second."""
    return int(time.time()) * 1000


def fetched(url: str) -> Any:
    """What the server answers, as it understands JSON."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def _posted(url: str, body: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _environment(folder: Path) -> dict[str, str]:
    ours = ("PULSEBASE_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    url = f"duckdb:///{folder / 'store.duckdb'}"
    return kept | {"PULSEBASE_STORE_URL": url, "PULSEBASE_DEMO_STORE_URL": url, "PYTHONUNBUFFERED": "1"}


def _command(folder: Path, command: Sequence[str]) -> None:
    """Run a command to its end, which must be a good one."""
    log = folder / "command.log"
    with log.open("wb") as output:
        process = fork_command(command, cwd=folder, env=_environment(folder), stdout=output, stderr=output)
    assert process.wait(START_LIMIT_S) == 0, log.read_text(encoding="utf-8")


@contextmanager
def _server(folder: Path, command: Sequence[str], ready: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a server; the demo as the installed command: it starts a process of its own, which a fork has hung at."""
    log = folder / "server.log"
    line = [*command, "--port", "0"]
    process: Process
    with log.open("wb") as output:
        if command[0] == "demo":
            process = subprocess.Popen([PULSEBASE, *line], cwd=folder, env=environment, stdout=output, stderr=output)
        else:
            process = fork_command(line, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        yield _address(process, log, ready)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: Process, log: Path, ready: str) -> str:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text(encoding="utf-8")
        said = re.search(r"http://[^/\s]+", text)
        if said and ready in text:
            return said.group()
        time.sleep(0.1)
    raise RuntimeError(f"The server did not come up:\n{log.read_text(encoding='utf-8')}")
