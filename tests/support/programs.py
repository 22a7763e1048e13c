"""Programs of the system that run beside a test: on free ports of this machine, ended with it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx

from tests.support.needs import need
from tests.support.process import wait_until

#: Some are where only administrators look.
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def free_port() -> int:
    """A port that nobody listens on now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """Where the program is; without it the test cannot go on."""
    found = shutil.which(name) or shutil.which(name, path=_PATH)
    need(found is not None, f"the program {name}: scripts/system-packages.sh installs it")
    assert found is not None
    return found


@contextlib.contextmanager
def running(*command: str, folder: Path, ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program, once it answers at the address `ready` with 200; what it says goes to a file in the folder."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen([program(command[0]), *command[1:]], cwd=folder, stdout=out, stderr=out)
    try:
        wait_until(lambda: answers(ready) or process.poll() is not None, f"{command[0]} is ready", 60)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    """Whether something at this address says that all is well."""
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
