"""A worker of `serve`: a process that its supervisor starts, and that answers on the supervisor's port.

Run as `python -m pulsebase.cli.worker FD`, where FD is the channel to the supervisor. The worker receives its orders
over it, reports when it is ready, and then waits for the message to leave. If the supervisor is gone, it stops.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pulsebase.api.server.http_server import HttpServer, serving, settled_interpreter
from pulsebase.cli.options import settings_for
from pulsebase.cli.output import errors
from pulsebase.cli.serve import say_who_may, stopping
from pulsebase.model.errors import PulsebaseError, SettingsError
from pulsebase.settings import Settings
from pulsebase.stores.open import parse_store_url
from pulsebase.wiring import BuiltServer, answers_of, build, scheduled
from pulsebase.wiring_options import connection_limits
from pulsebase.worker_rpc import OtherWorkers

READY, LEAVE = b"R", b"L"
_LOOK_S = 0.1
_ORDERS_LIMIT_BYTES = 1 << 20


class Orders(msgspec.Struct):
    """The orders for a worker.

    Attributes:
        number: tells it apart from the other workers.
        folder: where the workers find each other's sockets.
        listener: the file descriptor of the listening socket.
        given: settings from the command line.
        is_first: whether this is the server's first worker, which prints who may use the server.
        keeps_schedule: whether this worker runs the schedule.
    """

    number: int
    folder: str
    listener: int
    given: dict[str, Any]
    is_first: bool
    keeps_schedule: bool


@dataclass(frozen=True, slots=True)
class SupervisorChannel:
    """The connection to the supervisor."""

    socket: socket.socket
    stopped: threading.Event

    def orders(self) -> Orders:
        """Read the orders, the supervisor's first message."""
        text = b""
        while not text.endswith(b"\n") and len(text) < _ORDERS_LIMIT_BYTES:
            text += self.socket.recv(_ORDERS_LIMIT_BYTES)
        return msgspec.json.decode(text, type=Orders)

    def is_to_leave(self) -> bool:
        """Wait a moment for the message to leave. If the supervisor is gone, stop."""
        if not select.select([self.socket], [], [], _LOOK_S)[0]:
            return False
        word = self.socket.recv(1)
        if not word:
            self.stopped.set()
        return word == LEAVE


def require_several(settings: Settings) -> None:
    """Raise `SettingsError` if only one process can open the store."""
    if not parse_store_url(settings.store_url).is_shared:
        raise SettingsError(
            f"PULSEBASE_WORKERS={settings.workers}: only one process can open an embedded store or a store in memory; "
            "several workers need a server store (PULSEBASE_STORE_URL=postgresql://…)"
        )


def run_worker(channel: SupervisorChannel) -> None:
    """Answer until told to leave or to stop.

    Raises:
        PulsebaseError: it cannot start.
    """
    orders = channel.orders()
    listener = socket.socket(fileno=orders.listener)
    settings = settings_for(**orders.given)
    require_several(settings)
    other_workers = OtherWorkers(Path(orders.folder), orders.number)
    with (
        build(settings, other_workers=other_workers) as parts,
        other_workers.answering(answers_of(parts)),
        serving(parts.app, [listener], connection_limits(settings)) as server,
        settled_interpreter(),
        contextlib.ExitStack() as running,
    ):
        if orders.is_first:
            say_who_may(parts)
        if orders.keeps_schedule and settings.ingest_in_server:
            running.enter_context(scheduled(parts))
        channel.socket.sendall(READY)
        while not channel.stopped.is_set():
            if channel.is_to_leave():
                _leave(channel, parts, server, running)
                break


def _leave(channel: SupervisorChannel, parts: BuiltServer, server: HttpServer, running: contextlib.ExitStack) -> None:
    """Finish the requests, runs and imports in progress, and begin no new ones. A stop interrupts this."""
    server.leave()
    running.close()
    while (server.is_leaving or parts.services.imports.busy) and not channel.stopped.is_set():
        channel.is_to_leave()
    parts.services.other_workers.ask("remember", parts.services.imports.ended())


def main() -> None:
    """Run a worker. An error that stops it is printed in one line."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # SIGHUP is meant for the supervisor
    stopped = threading.Event()
    with stopping(stopped), socket.socket(fileno=int(sys.argv[1])) as supervisor:
        try:
            run_worker(SupervisorChannel(supervisor, stopped))
            return
        except PulsebaseError as error:
            line = f"pulsebase: {error}"
    errors.print_error(line)
    sys.exit(1)


if __name__ == "__main__":
    main()
