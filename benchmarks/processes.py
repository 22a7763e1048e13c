"""Servers as processes of their own: started, waited for, watched and stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
_START_S = 60
_STOP_S = 120
_SAMPLE_S = 0.25


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launched(
    command: Sequence[str], output: IO[bytes], folder: Path, env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    """The process, as soon as there is one."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=env, start_new_session=True
    )


@contextlib.contextmanager
def started(
    command: Sequence[str], port: int, *, folder: Path, ready_path: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once it answers; at the end told to stop, and waited for.

    Raises:
        RuntimeError: it did not start; the end of its log is in the message.
    """
    log = folder / "server.log"
    with log.open("ab") as output:
        process = launched(command, output, folder, env)
    try:
        _wait_until_ready(process, port, ready_path, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if fetch(port, path, timeout_s=5)[0] < 300:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def fetch(
    port: int, path: str, *, method: str = "GET", body: bytes | None = None, timeout_s: float = 60
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def folder_bytes(folder: Path) -> int:
    """What the folder's files take on the disk, holes left out."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # files come and go while a server runs
                total += (Path(parent) / name).lstat().st_blocks * 512
    return total


class Watch:
    """Peak memory and the processor time of a server and its children, while the block runs."""

    def __init__(self, roots: Sequence[int]) -> None:
        self._roots = roots
        self._cpu_s_before = self._cpu_s()
        self._peak_kib = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.cpu_s = round(self._cpu_s() - self._cpu_s_before, 2)
        self._ended.set()
        self._thread.join()
        self._look()
        if len(_tree(self._roots)) == 1:  # the kernel's own mark misses no moment
            self._peak_kib = max(self._peak_kib, _status(self._roots[0]).get("VmHWM", 0))

    @property
    def peak_mib(self) -> float:
        return round(self._peak_kib / 1024, 1)

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self._look()

    def _look(self) -> None:
        parts = [_status(pid) for pid in _tree(self._roots)]
        own = sum(part.get("RssAnon", 0) for part in parts)
        # Shared memory and the program's file are the same pages in every process.
        shared = sum(max((part.get(name, 0) for part in parts), default=0) for name in ("RssShmem", "RssFile"))
        self._peak_kib = max(self._peak_kib, own + shared)

    def _cpu_s(self) -> float:
        ticks = 0
        for pid in _tree(self._roots):
            with contextlib.suppress(OSError, IndexError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
                ticks += sum(int(field) for field in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")


def _tree(roots: Sequence[int]) -> list[int]:
    found = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += [int(child) for child in children.read_text().split()]
    return found


def _status(pid: int) -> dict[str, int]:
    """The memory lines of a process in KiB; empty once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
