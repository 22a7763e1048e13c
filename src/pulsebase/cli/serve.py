"""`serve` and `demo`: run the server in the foreground until it is told to stop."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType

from pulsebase.api.server.http_server import bound_socket, settled_interpreter
from pulsebase.cli.output import console
from pulsebase.cli.session import listening
from pulsebase.etl.scheduler import Scheduler
from pulsebase.settings import Settings
from pulsebase.sources.synthetic import DEMO_PEOPLE
from pulsebase.stores.open import parse_store_url
from pulsebase.wiring import (
    BuiltServer,
    build,
    excess_of_store,
    scheduled,
)
from pulsebase.wiring_demo import demo, demo_settings, simulated_fitbit
from pulsebase.wiring_options import access_is_on, is_loopback

#: How quickly a stop is noticed, in seconds.
_LOOK_S = 0.1


def run_server(settings: Settings, *, with_demo: bool) -> None:
    """Serve until SIGINT or SIGTERM. Then answer open requests, commit queued readings and close the store.

    Raises:
        StopError: the port is taken, or the store cannot be opened.
    """
    stopped = threading.Event()
    access_is_on(settings)  # raises before listening if the server would be open by mistake
    listener = bound_socket(settings.host, settings.port)
    with contextlib.ExitStack() as opened:
        opened.enter_context(contextlib.closing(listener))
        opened.enter_context(stopping(stopped))
        if with_demo:
            settings = opened.enter_context(simulated_fitbit(demo_settings(settings), DEMO_PEOPLE))
        parts = opened.enter_context(build(settings, synthetic=DEMO_PEOPLE if with_demo else ()))
        opened.enter_context(listening(parts, listener))
        say(f"Pulsebase is at {url_of(listener)}/app/  (API: /docs, stop: Ctrl+C)")
        say_who_may(parts)
        with contextlib.ExitStack() as running, settled_interpreter():
            if with_demo:
                scheduler = running.enter_context(demo(parts))
                if (path := parse_store_url(settings.store_url).path) is not None:
                    say(f"The demo has a store of its own: {path}")
                threading.Thread(target=_announce, args=(scheduler, stopped), daemon=True).start()
            elif settings.ingest_in_server:
                running.enter_context(scheduled(parts))
            wait_for(stopped)
            say("Stopping …")


def say_who_may(parts: BuiltServer) -> None:
    """Print at the start who can use the server, if that may be a surprise."""
    settings = parts.settings
    if not is_loopback(settings.host) and not access_is_on(settings):
        say("Access is off: everybody who reaches this address can read and write everything.")
    elif access_is_on(settings) and not parts.has_keys():
        say("Clients need a key, and there is none yet: create one with `pulsebase keys create NAME --scope admin`.")
    if excess := excess_of_store(settings):
        say(f"The database user may do more than serving takes: {excess}. `pulsebase db init` makes a narrower role.")


def _announce(scheduler: Scheduler, stopped: threading.Event) -> None:
    say("Bringing two synthetic people up to now, from a simulated Fitbit cloud with its hourly limit lifted …")
    while not stopped.is_set():
        if scheduler.wait_caught_up(0.5):
            say("Their readings are complete up to now, and new ones follow.")
            return


@contextlib.contextmanager
def stopping(stopped: threading.Event) -> Iterator[None]:
    """Set the event if SIGINT or SIGTERM arrives during the block."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopped.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for(stopped: threading.Event) -> None:
    """Wait until the event is set, which a signal may do.

    `Event.wait` cannot be used. A signal that arrives just before it sleeps would only be handled after the next
    signal, and the handler would then wait for a lock that the waiting thread holds.
    """
    while not stopped.is_set():
        time.sleep(_LOOK_S)


def url_of(listener: socket.socket) -> str:
    """Return the URL at which browsers on this machine reach the listener."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def say(text: str) -> None:
    """Print a line for the person who started the server."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
