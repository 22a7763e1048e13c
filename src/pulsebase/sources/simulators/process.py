"""Run a simulated cloud in a separate process, so that it takes no time from the server that queries it."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

import uvicorn

from pulsebase.model.errors import StopError
from pulsebase.sources.simulators.fitbit import fitbit_app
from pulsebase.sources.simulators.world import SimulatorClock, World
from pulsebase.sources.synthetic import SyntheticPerson

_START_LIMIT_S = 60


@contextlib.contextmanager
def unlimited_fitbit(people: Sequence[SyntheticPerson]) -> Iterator[str]:
    """Yield the address of a Fitbit-shaped cloud with these people, on a free port and without the hourly limit. It
    ends with the block, and also with this process, however that ends.

    Raises:
        StopError: it did not start.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(tuple(people), there), name="pulsebase-simulator", daemon=True)
    process.start()
    there.close()
    try:
        try:
            if not here.poll(_START_LIMIT_S):
                raise EOFError
            port = here.recv()
        except EOFError:
            raise StopError("the simulated cloud did not start; the log says why") from None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.join()


def _serve(people: tuple[SyntheticPerson, ...], ready: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches both processes; the parent ends this one
    app = fitbit_app(World(people, SimulatorClock(), seed=0), hourly_limit=0)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        ready.send(listener.getsockname()[1])
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
