"""The `pulsebase` command as real processes, and the words to talk to its server."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import httpx2 as httpx
import pyarrow as pa

from pulsebase.model.timerange import format_us
from tests.support.forks import Forked, fork_command

PULSEBASE = str(Path(sys.executable).with_name("pulsebase"))
START_LIMIT_S = 120.0
ARROW = "application/vnd.apache.arrow.stream"
#: 2024-01-01T00:00:00Z, where the readings of these tests begin.
BASE_US = 1_704_067_200_000_000

Columns = dict[str, list[Any]]
Process = subprocess.Popen[bytes] | Forked


@functools.cache
def _socket_folder() -> str:
    """Sockets have short names, so pytest's long folders are not for them. Servers that are killed leave theirs."""
    folder = tempfile.mkdtemp(prefix="pulsebase-")
    atexit.register(shutil.rmtree, folder)
    return folder


def run_command(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with somebody who types this."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(typed.encode())
        given.seek(0)
        process = fork_command(arguments, cwd=cwd, env=env, stdout=out, stderr=err, stdin=given)
        try:
            code = process.wait(START_LIMIT_S)
        finally:
            process.kill()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(["pulsebase", *arguments], code, *texts)


class Place:
    """A folder with a store, the environment in which commands find it, and the folder they run in."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.database = folder / "store.duckdb"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSEBASE_")}
        self.environment["XDG_RUNTIME_DIR"] = _socket_folder()
        self.environment["PULSEBASE_STORE_URL"] = f"duckdb:///{self.database}"
        self.environment["PULSEBASE_DEMO_STORE_URL"] = self.environment["PULSEBASE_STORE_URL"]
        self.environment |= {f"PULSEBASE_{name.upper()}": value for name, value in settings.items()}

    @property
    def lock_file(self) -> Path:
        return self.folder / "store.duckdb.lock"

    @property
    def journal_files(self) -> list[Path]:
        return sorted((self.folder / "store.duckdb.journal").iterdir())

    def holder(self) -> dict[str, Any]:
        """What the lock file says."""
        held: dict[str, Any] = json.loads(self.lock_file.read_text())
        return held

    def start(self, *arguments: str, output: IO[bytes], errors: IO[bytes] | None = None) -> Forked:
        """A command that goes on; errors are part of its output unless they have a place of their own."""
        return fork_command(arguments, cwd=self.folder, env=self.environment, stdout=output, stderr=errors or output)

    def run(self, *arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """One command to its end, with somebody who types this."""
        return run_command(arguments, cwd=self.folder, env=self.environment | environment, typed=typed)

    def refusal(self, *arguments: str, **environment: str) -> str:
        """The one line in which a command says why it stopped; nothing else was printed."""
        done = self.run(*arguments, **environment)
        lines = done.stderr.splitlines()
        assert (done.returncode, len(lines), done.stdout) == (1, 1, ""), done
        return lines[0]


class Server:
    """A server process that runs. `pid` is the server's own, also where another program started it."""

    def __init__(self, place: Place, process: Process, errors: Path, url: str) -> None:
        self.place, self.process, self.url = place, process, url
        self.pid: int = place.holder()["pid"] if place.lock_file.exists() else process.pid
        self._errors = errors
        self.client = httpx.Client(base_url=url, timeout=60)

    @property
    def errors(self) -> str:
        """What it has written to stderr."""
        return self._errors.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by this signal; its exit code."""
        self.client.close()
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
        try:
            return self.process.wait(START_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def post(self, readings: Sequence[Mapping[str, Any]]) -> httpx.Response:
        return self.client.post("/v1/metrics/heart-rate/batch", json={"readings": readings})

    def raw(self, user_id: str, client: httpx.Client | None = None) -> dict[int, float]:
        """All a person's readings of one device, by time."""
        asked = {"user_id": user_id, "start_date": "2024-01-01", "end_date": "2024-12-31", "interval": "raw"}
        answer = (client or self.client).get("/v1/timeseries", params=asked, headers={"Accept": ARROW})
        if answer.status_code == 404:
            return {}
        answer.raise_for_status()
        table = pa.ipc.open_stream(answer.content).read_all()
        times = table["timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return dict(zip(times.to_pylist(), table["value"].to_pylist(), strict=True))

    def metric(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", self.client.get("/metrics").text, re.MULTILINE)
        assert found is not None, name
        return float(found[1])


@contextlib.contextmanager
def serving(
    place: Place,
    *arguments: str,
    command: str = "serve",
    under: Sequence[str] = (),
    traced_by: Sequence[str] = (),
    **environment: str,
) -> Iterator[Server]:
    """A server on a free port; it is ended if it still runs.

    Either it is started by the programs `under`, or `traced_by` is the command of an strace, which sees all that it
    does and ends with it.
    """
    log, errors = place.folder / "server.out", place.folder / "server.err"
    with log.open("wb") as out, errors.open("wb") as err:
        line = [command, "--port", "0", *arguments]
        env = place.environment | environment
        process: Process
        tracer: subprocess.Popen[bytes] | None = None
        if under:
            process = subprocess.Popen([*under, PULSEBASE, *line], cwd=place.folder, env=env, stdout=out, stderr=err)
        else:
            held = bool(traced_by)
            process = fork_command(line, cwd=place.folder, env=env, stdout=out, stderr=err, is_held=held)
    try:
        if traced_by:
            tracer = _attached(traced_by, process.pid)
        server = Server(place, process, errors, _address(process, log, errors))
    except BaseException:
        process.kill()
        process.wait()
        raise
    try:
        yield server
    finally:
        server.stop()
        if tracer:
            tracer.wait(START_LIMIT_S)


def _attached(tracer: Sequence[str], pid: int) -> subprocess.Popen[bytes]:
    """A tracer that has taken hold of a held process; then it goes on."""
    status = Path(f"/proc/{pid}/status")
    wait_until(lambda: "\nState:\tT" in status.read_text(), "the process is held")
    process = subprocess.Popen([*tracer, f"--attach={pid}"])
    wait_until(lambda: process.poll() is not None or "\nTracerPid:\t0\n" not in status.read_text(), "it is traced")
    assert process.poll() is None, "the tracer ended"
    os.kill(pid, signal.SIGCONT)
    return process


def _address(process: Process, log: Path, errors: Path) -> str:
    give_up_at = time.monotonic() + START_LIMIT_S
    while time.monotonic() < give_up_at and process.poll() is None:
        found = re.search(r"http://\S+:[1-9]\d*(?=/app/)", log.read_text())
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {errors.read_text()}")


def reading(user_id: str, second: int, heart_rate: float = 70.0, device_id: str = "device_a") -> dict[str, Any]:
    """A reading as devices send it, this many seconds after `BASE_US`."""
    at = format_us(BASE_US + second * 1_000_000)
    return {"device_id": device_id, "user_id": user_id, "timestamp": at, "heart_rate": heart_rate}


def wait_until(happened: Any, what: str, limit_s: float = 60.0) -> None:
    """Ask again and again; fails if it does not come about."""
    give_up_at = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < give_up_at, f"did not come about: {what}"
        time.sleep(0.05)
