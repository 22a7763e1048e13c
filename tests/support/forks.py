"""`pulsebase` processes without the wait for imports: forks of a process that has imported all and done nothing.

Starting an interpreter and importing the servers' libraries takes a second of processor time, and the tests run
hundreds of commands. A fork is a real process all the same: its own store, threads, signals and exit. Tests that are
about the start itself, or that start a command under another program, run the installed command.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, NoReturn, TypedDict

import typer.main

_ROOT = str(Path(__file__).parents[2])
_MOST_BYTES = 1 << 20
#: Of prctl(2): PR_SET_PTRACER, PR_SET_PTRACER_ANY.
_SET_TRACER, _ANYBODY = 0x59616D61, ctypes.c_ulong(-1)
#: What commands import, much of it when they first need it.
_LIBRARIES = (
    "anyio._backends._asyncio",
    "anyio.streams.memory",
    "cryptography.fernet",
    "h11",
    "httpx2",
    "numpy.char",
    "oauthlib.oauth2",
    "opentelemetry.sdk.trace",
    "prometheus_client",
    "psycopg_pool",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic.v1",
    "pydantic_settings",
    "rich._emoji_codes",
    "rich.progress",
    "rich.table",
    "truststore",
    "typer",
    "typer._adapters",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.auto",
    "zstandard",
)


#: Whoever asks gets the next answer.
_asking = threading.Lock()


class _Request(TypedDict):
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    is_held: bool


class Forked:
    """A command that runs, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self._status = pid, status
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """How it ended.

        Raises:
            subprocess.TimeoutExpired: it still runs after so many seconds.
        """
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("pulsebase", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def _ended_within(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout_s)[0]:
            self.returncode = int(os.read(self._status, 32))
            os.close(self._status)
        return self.returncode


def fork_command(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    stdin: IO[bytes] | None = None,
    is_held: bool = False,
) -> Forked:
    """Start `pulsebase` with these arguments; without `stdin` it has nothing to read.

    What stands on the `PYTHONPATH` of `env` was imported as well: each such path has a process of its own to fork from.
    One that is held has stopped itself before its first step, and goes on at a SIGCONT.
    """
    server = _server(env.get("PYTHONPATH", ""))
    reading, writing = os.pipe()
    request = _Request(arguments=list(arguments), cwd=str(cwd), env=dict(env), is_held=is_held)
    with open(os.devnull, "rb") if stdin is None else contextlib.nullcontext(stdin) as given:
        files = [given.fileno(), stdout.fileno(), stderr.fileno(), writing]
        try:
            with _asking:
                socket.send_fds(server, [json.dumps(request).encode()], files)
                pid = int(server.recv(32))
        finally:
            os.close(writing)
    return Forked(pid, reading)


@cache
def _server(path: str) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks", str(theirs.fileno())],
            cwd=_ROOT,
            env=os.environ | {"PYTHONPATH": path},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    atexit.register(_end, ours, process)
    return ours


def _end(server: socket.socket, process: subprocess.Popen[bytes]) -> None:
    server.close()
    process.wait(60)


def _import_everything() -> None:
    """All of it, the commands as far as they are the same whatever the environment says.

    What is there then is taken out of the sight of the garbage collector, which would look at each object in every
    child, and by that alone make a copy of its memory.
    """
    for name in _LIBRARIES:
        importlib.import_module(name)
    import pulsebase

    for module in pkgutil.walk_packages(pulsebase.__path__, "pulsebase."):
        importlib.import_module(module.name)
    from pulsebase.cli.app import app

    # Whoever starts the program makes its commands out of its functions, every time the same ones.
    typer.main.get_command = cache(typer.main.get_command)
    typer.main.get_command(app)
    from pulsebase.sources.cloud import http_client

    http_client("https://example.org").close()  # reads the authorities that every cloud is asked under
    gc.collect()
    gc.freeze()


def _serve(requests: socket.socket) -> bool:
    """Fork until nobody asks any more; True in a child, which has become the command by then."""
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([requests.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _report(children)
        if requests.fileno() not in ready:
            continue
        request, files, _, _ = socket.recv_fds(requests, _MOST_BYTES, 4)
        if not request:
            return False
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            *standard, status = files
            for end in (woken, wakes, requests.detach(), status, *children.values()):
                os.close(end)
            _become(json.loads(request), standard)
            return True
        *standard, children[pid] = files
        for file in standard:
            os.close(file)
        requests.send(str(pid).encode())


def _report(children: dict[int, int]) -> None:
    """Tell how each child ended that has, in the words of `Popen.returncode`."""
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            reporting = children.pop(pid)
            with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
                os.write(reporting, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(reporting)


def _end_at_once(code: int) -> NoReturn:
    """End with this code, after all that a command or a server may have left to be done.

    What is left out is that the interpreter takes itself apart, object by object of every library, which takes as long
    as most commands. The installed ones do that, which the documents' examples run where a shell is needed.
    """
    vars(threading)["_shutdown"]()  # waits for threads
    vars(atexit)["_run_exitfuncs"]()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _become(request: _Request, files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = ["pulsebase", *request["arguments"]]
    from pulsebase.cli.output import Output, console, errors

    Output.__init__(console)  # it looked at the environment when it was made
    Output.__init__(errors, stderr=True)
    if request["is_held"]:
        ctypes.CDLL(None).prctl(_SET_TRACER, _ANYBODY, 0, 0, 0)  # systems may allow that to parents alone
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the test run's terminal: it ends when its socket closes
    _import_everything()
    if _serve(socket.socket(fileno=int(sys.argv[1]))):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from pulsebase.cli.app import main

        code: str | int | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
        _end_at_once(code if isinstance(code, int) else int(code is not None))
    _end_at_once(0)
