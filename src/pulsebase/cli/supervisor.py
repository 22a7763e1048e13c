"""`serve` with several workers: the process that listens, and starts, replaces and stops the workers.

It answers no requests and opens no store. It owns the listening socket, so that connections wait there until a worker
accepts them, even while one is being replaced. Workers are started as new programs, not forked: a replacement uses the
program, the environment file and the libraries that are on the disk by then.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from pulsebase.api.server.http_server import bound_socket, private_folder
from pulsebase.cli.serve import say, url_of
from pulsebase.cli.worker import LEAVE, READY, Orders, require_several
from pulsebase.model.errors import StopError
from pulsebase.settings import Settings
from pulsebase.wiring_options import access_is_on
from pulsebase.worker_rpc import socket_of

logger = logging.getLogger(__name__)

#: The command of a worker; the number of its channel follows. With -P it does not import from the working directory.
_COMMAND = (sys.executable, "-P", "-m", "pulsebase.cli.worker")
_LOOK_S = 0.05
#: How long a worker may take to become ready.
_START_S = 60.0
#: How long to wait for a leaving worker before the next one is replaced. The worker may take longer to finish.
_LEAVE_S = 30.0
#: The shortest and longest pause before a worker that ended is restarted; it doubles with each failure in a row.
_BACK_OFF_S = (0.5, 30.0)
#: A worker that ran this long resets its count of failures.
_STEADY_S = 60.0


class Worker:
    """A worker's process."""

    def __init__(self, orders: Orders, command: Sequence[str] = _COMMAND) -> None:
        self.number, self.started_s = orders.number, time.monotonic()
        self._is_ready = False
        self._socket = socket_of(Path(orders.folder), orders.number)
        self._channel, theirs = socket.socketpair()
        with theirs:
            files = (theirs.fileno(), orders.listener)
            self._process = subprocess.Popen([*command, str(theirs.fileno())], pass_fds=files, stdin=subprocess.DEVNULL)
        self._channel.sendall(msgspec.json.encode(orders) + b"\n")
        self._channel.setblocking(False)

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    @property
    def is_ready(self) -> bool:
        """Return whether it is ready to answer requests."""
        if not self._is_ready:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self._is_ready = self._channel.recv(1) == READY
        return self._is_ready

    def leave(self) -> None:
        """Tell it to end once its current work is done."""
        with contextlib.suppress(OSError):  # it has ended by itself
            self._channel.sendall(LEAVE)

    def stop(self) -> None:
        """Tell it to end soon."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Clean up after it has ended, including files it left behind if it was killed."""
        self._channel.close()
        self._socket.unlink(missing_ok=True)


@dataclass(slots=True)
class _Place:
    """A slot for a worker: the one that answers now, and the one that will replace it."""

    worker: Worker | None = None
    coming: Worker | None = None
    failures: int = 0
    not_before_s: float = 0.0


#: Starts a worker with this number. The flag says whether its slot is the first one.
Start = Callable[[int, bool], Worker]


@dataclass(slots=True)
class Supervisor:
    """Keeps this number of workers running. Used by one thread, which calls `look` again and again."""

    count: int
    start: Start
    is_up: bool = False
    _places: list[_Place] = field(init=False)
    _to_replace: list[_Place] = field(init=False, default_factory=list)
    _leaving: list[tuple[Worker, float]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._places = [_Place() for _ in range(self.count)]

    def replace_all(self) -> None:
        """Replace each worker by a new one, one after the other."""
        logger.info("the workers are replaced, one after the other")
        self._to_replace = list(self._places)

    def look(self) -> None:
        """Start, replace and clean up workers as needed.

        Raises:
            StopError: the first worker did not start. It has printed the reason itself.
        """
        for worker, since_s in list(self._leaving):
            if worker.exit_code is not None:
                self._leaving.remove((worker, since_s))
                worker.close()
                if not self._leaving and not self._to_replace:
                    logger.info("the workers were replaced")
        for place in self._places:
            self._look_at(place)
            if not self.is_up and self._places[0].worker is None:
                return  # the first starts alone, so that errors are reported once and shared files are created once
        self.is_up = self.is_up or all(place.worker for place in self._places)
        self._replace_next()

    def stop(self) -> None:
        """End every worker and wait for them."""
        everybody = self._everybody()
        for worker in everybody:
            worker.stop()
        for worker in everybody:
            while worker.exit_code is None:
                time.sleep(_LOOK_S)
            worker.close()

    def _everybody(self) -> list[Worker]:
        placed = [worker for place in self._places for worker in (place.worker, place.coming) if worker]
        return [*placed, *(worker for worker, _ in self._leaving)]

    def _look_at(self, place: _Place) -> None:
        now_s = time.monotonic()
        if place.worker is not None and place.worker.exit_code is not None:
            steady = now_s - place.worker.started_s >= _STEADY_S
            self._ended(place, place.worker, 0 if steady else place.failures)
            place.worker = None
        if place.coming is not None:
            self._look_at_coming(place, place.coming)
        elif place.worker is None and now_s >= place.not_before_s:
            place.coming = self._started(place)

    def _look_at_coming(self, place: _Place, coming: Worker) -> None:
        if coming.is_ready:
            if place.worker is not None:
                place.worker.leave()
                logger.info(
                    "worker %d (process %d) leaves, %d answers", place.worker.number, place.worker.pid, coming.number
                )
                self._leaving.append((place.worker, time.monotonic()))
            place.worker, place.coming = coming, None
            return
        if coming.exit_code is None and time.monotonic() - coming.started_s > _START_S:
            coming.kill()
        if coming.exit_code is not None:
            if not self.is_up:
                raise StopError("a worker did not start")
            place.coming = None
            self._ended(place, coming, place.failures)
            if place.worker is not None:
                logger.error("the replacement of workers is stopped: the new one did not start")
                self._to_replace.clear()

    def _ended(self, place: _Place, worker: Worker, failures: int) -> None:
        first_s, most_s = _BACK_OFF_S
        pause_s = min(most_s, first_s * 2 ** min(failures, 16))
        place.failures, place.not_before_s = failures + 1, time.monotonic() + pause_s
        words = "worker %d (process %d) ended with code %s; another one is started in %.1f s"
        logger.error(words, worker.number, worker.pid, worker.exit_code, pause_s)
        worker.close()

    def _replace_next(self) -> None:
        now_s = time.monotonic()
        waits = any(place.coming for place in self._places) or any(
            now_s - since_s < _LEAVE_S for _, since_s in self._leaving
        )
        if self._to_replace and not waits:
            place = self._to_replace.pop(0)
            place.coming = self._started(place)

    def _started(self, place: _Place) -> Worker:
        taken = {worker.number for worker in self._everybody()}
        number = next(number for number in range(1, len(taken) + 2) if number not in taken)
        return self.start(number, place is self._places[0])


def run_workers(settings: Settings, given: Mapping[str, Any]) -> None:
    """Serve with several workers until SIGINT or SIGTERM; SIGHUP replaces them one by one. `given` are the settings
    from the command line, which are passed on to every worker.

    Raises:
        StopError: the port is taken, or the workers do not start.
    """
    require_several(settings)
    access_is_on(settings)  # raises before listening if the server would be open by mistake
    with (
        contextlib.closing(bound_socket(settings.host, settings.port)) as listener,
        private_folder() as folder,
        _signals() as signals,
    ):
        supervisor = Supervisor(settings.workers, _starter(listener, folder, given))
        try:
            _watch(supervisor, signals, f"Pulsebase is at {url_of(listener)}/app/  (API: /docs, stop: Ctrl+C)")
        finally:
            supervisor.stop()


def _starter(listener: socket.socket, folder: Path, given: Mapping[str, Any]) -> Start:
    stated = {name: value for name, value in given.items() if value is not None}
    started: list[int] = []

    def start(number: int, has_first_place: bool) -> Worker:
        orders = Orders(number, str(folder), listener.fileno(), stated, not started, has_first_place)
        started.append(number)
        return Worker(orders)

    return start


def _watch(supervisor: Supervisor, signals: queue.SimpleQueue[int], words: str) -> None:
    was_up = False
    while True:
        supervisor.look()
        if supervisor.is_up and not was_up:
            was_up = True
            say(words)
        with contextlib.suppress(queue.Empty):
            if signals.get(timeout=_LOOK_S) != signal.SIGHUP:
                say("Stopping …")
                return
            supervisor.replace_all()


@contextlib.contextmanager
def _signals() -> Iterator[queue.SimpleQueue[int]]:
    """Yield a queue of the signals that arrive during the block, in order."""
    came: queue.SimpleQueue[int] = queue.SimpleQueue()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        came.put(number)

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
