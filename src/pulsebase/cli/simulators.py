"""`fitbit-sim`, `google-sim` and their like: run a simulated wearable cloud in the foreground."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from pulsebase.api.server.http_server import bound_socket, serving
from pulsebase.cli.output import console
from pulsebase.cli.serve import stopping, wait_for
from pulsebase.model.errors import RejectedError
from pulsebase.model.timerange import parse_reading_time
from pulsebase.sources.simulators.faults import parse_fault
from pulsebase.sources.simulators.fitbit import fitbit_app
from pulsebase.sources.simulators.google import google_app
from pulsebase.sources.simulators.oura import oura_app
from pulsebase.sources.simulators.polar import polar_app
from pulsebase.sources.simulators.withings import withings_app
from pulsebase.sources.simulators.world import SimulatorClock, World
from pulsebase.sources.synthetic import DEMO_PEOPLE

_APPS = {"fitbit": fitbit_app, "google": google_app, "oura": oura_app, "polar": polar_app, "withings": withings_app}


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """How a cloud is simulated. A `limit` of 0 removes the rate limit; None keeps the vendor's."""

    host: str
    port: int
    seed: int
    limit: int | None
    now: str | None
    faults: Sequence[str]


def run_simulator(kind: str, options: SimulatorOptions) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        RejectedError: an option is wrong.
        StopError: the port is taken.
    """
    try:
        start_us = None if options.now is None else parse_reading_time(options.now)
    except ValueError as error:
        raise RejectedError.of("--now", str(error)) from None
    world = World(DEMO_PEOPLE, SimulatorClock(start_us), options.seed)
    for text in options.faults:
        world.faults.set(*parse_fault(text))
    make = _APPS[kind]
    app = make(world) if options.limit is None else make(world, options.limit)
    stopped = threading.Event()
    listener = bound_socket(options.host, options.port)
    with contextlib.closing(listener), stopping(stopped), serving(app, [listener]):
        host, port = listener.getsockname()[:2]
        people = ", ".join(world.people)
        line = f"A simulated {kind} cloud of {people} is at http://{host}:{port}  (stop: Ctrl+C)"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        if options.limit == 0:
            console.print("It has no request limit, unlike any real vendor.", highlight=False)
        wait_for(stopped)
