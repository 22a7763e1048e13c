"""The application on the network: a TCP port for everybody, a Unix socket for the owner's commands."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from pulsebase.api.border.connection_limits import ConnectionLimits, protocol_within
from pulsebase.live.subscriptions import Subscriptions
from pulsebase.model.errors import StopError

#: How long open requests may take to finish once the server is told to stop.
GRACE_S = 10
#: How often a leaving server checks whether its clients are gone.
_LEAVE_LOOK_S = 0.05


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket. Called before anything else is started, so that a taken address is noticed first.

    Raises:
        StopError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise StopError(f"cannot listen on {host} port {port}: {reason}") from error
    return listener


#: Where everybody may make folders of their own.
_ANYBODYS = "/tmp"
#: The longest path in which a folder for sockets is made. With that folder's name and a socket's, it has to be shorter
#: than 108 bytes (unix(7)).
_LONGEST_PLACE_BYTES = 107 - len("/pulsebase-abcdefgh/0123456789.worker")


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder for sockets that only the owner can enter. It exists while the block runs.

    Raises:
        StopError: the folder cannot be made, or every place for it has too long a path.
    """
    base = _runtime_folder()
    try:
        folder = tempfile.TemporaryDirectory(prefix="pulsebase-", dir=base, ignore_cleanup_errors=True)
    except OSError as error:
        raise StopError(f"cannot make a folder in {base}: {error.strerror}") from error
    with folder as path:
        yield Path(path)


@contextlib.contextmanager
def owner_socket() -> Iterator[tuple[Path, socket.socket]]:
    """Open a listening Unix socket in a folder that only the owner can enter.

    Raises:
        StopError: the socket cannot be made.
    """
    with contextlib.ExitStack() as closing:
        folder = closing.enter_context(private_folder())
        try:
            path = folder / "command.sock"
            listener = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(64)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StopError(f"cannot make the socket for commands in {folder.parent}: {reason}") from error
        yield path, listener


def _runtime_folder() -> str:
    """Return where the folder for sockets is made: the user's own place for such things, if it can be used (not after
    `su`, or in a container), or else one for temporary files.

    Raises:
        StopError: those that can be used have too long a path.
    """
    places = [place for place in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), _ANYBODYS) if place]
    usable = [place for place in places if os.access(place, os.W_OK | os.X_OK)]
    if not usable:
        return tempfile.gettempdir()  # making a folder there says why not
    for place in usable:
        if len(os.fsencode(place)) <= _LONGEST_PLACE_BYTES:
            return place
    raise StopError(
        f"no socket can be made in {usable[0]}, whose path is too long; XDG_RUNTIME_DIR may name another one, with a "
        f"path of at most {_LONGEST_PLACE_BYTES} bytes"
    )


@contextlib.contextmanager
def settled_interpreter() -> Iterator[None]:
    """Keep the interpreter's own pauses short during the block.

    The garbage collector skips all objects built so far and runs less often. A thread that waits for the interpreter
    (with a commit that is already on the disk, say) gets it within a millisecond.
    """
    thresholds, interval_s = gc.get_threshold(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.001)
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval_s)


class HttpServer(uvicorn.Server):
    """Ends the streams first when it stops: they would last as long as their clients. At the end it gives up what
    requests still wait for, and is done once none of their work goes on.
    """

    def __init__(self, config: uvicorn.Config, app: ASGIApp) -> None:
        super().__init__(config)
        state = app.state if isinstance(app, FastAPI) else None
        self._streams: Subscriptions | None = getattr(state, "streams", None)
        self._give_up: Callable[[], None] = getattr(state, "give_up", lambda: None)
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Whether it still waits for that.
        self.is_leaving = False

    def leave(self) -> None:
        """Leave new connections to other processes, and stop once all open ones have ended by themselves, with all
        their requests answered. Each answer says that it is the last one of its connection; idle connections end after
        a few seconds, as always. Setting `should_exit` afterwards stops the waiting.
        """
        self.is_leaving = True

    async def on_tick(self, counter: int) -> bool:
        if not self.is_leaving or self.should_exit:
            return await super().on_tick(counter)
        await self._leave()
        self.is_leaving = False
        return True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._streams is not None:
            self._streams.close()
        self._loop = asyncio.get_running_loop()
        await super().shutdown(sockets)
        self._give_up()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the end. Whoever closes what requests work with may do so after it."""
        super().run(sockets)
        # A request that is given up leaves its thread, which goes on until it notices.
        for thread in threading.enumerate():
            if self._loop is not None and getattr(thread, "loop", None) is self._loop:
                thread.join()

    async def _leave(self) -> None:
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        if self._streams is not None:
            self._streams.leave()
        while self.server_state.connections and not self.should_exit:
            await asyncio.sleep(_LEAVE_LOOK_S)


def make_server(app: ASGIApp, limits: ConnectionLimits) -> HttpServer:
    """Return a server that logs nothing by itself, never waits for a client for ever, and finishes open requests."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        loop="uvloop",
        http=protocol_within(limits),
        forwarded_allow_ips=list(limits.trusted_proxies),
        ws="none",
    )
    return HttpServer(config, app)


@contextlib.contextmanager
def serving(
    app: ASGIApp, listeners: list[socket.socket], limits: ConnectionLimits | None = None
) -> Iterator[HttpServer]:
    """Serve from a separate thread while the block runs. Open requests are answered before the block ends."""
    server = make_server(app, limits or ConnectionLimits())
    thread = threading.Thread(target=server.run, args=(listeners,), name="pulsebase-http", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise StopError("the server did not start; the log says why")
            thread.join(0.005)
        yield server
    finally:
        server.should_exit = True
        thread.join()
