"""Connect commands and programs to the store: over the socket of a running server, or by opening the store themselves.

Either way a command speaks HTTP to the same application, so it works the same whether a server runs or not. With a
running server it is fast, since it loads neither the application nor the engine.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import httpx2 as httpx

from pulsebase.files.private import require_own
from pulsebase.model.errors import StopError, StoreLockedError
from pulsebase.settings import Settings
from pulsebase.stores.duckdb.engine.lock import Holder, holder_of
from pulsebase.stores.open import parse_store_url

if TYPE_CHECKING:
    from pulsebase.wiring import BuiltServer

#: Long, because a check or an import of a large store takes time.
_TIMEOUT_S = 3600.0
#: How long a server may take to start or to stop before a command gives up on it.
_MAX_WAIT_S = 15.0


class RefusedError(StopError):
    """The server's answer was an error; the message is its detail."""


@contextlib.contextmanager
def session(settings: Settings) -> Iterator[httpx.Client]:
    """Yield a client of the store named by the settings.

    Raises:
        StopError: the store cannot be opened, or the process that holds it accepts no commands or stops meanwhile.
    """
    with contextlib.ExitStack() as closing:
        client, _ = open_session(settings, closing)
        try:
            yield client
        except httpx.TransportError as error:
            raise StopError("the server stopped before the command was done; run it again") from error


def open_session(settings: Settings, closing: contextlib.ExitStack) -> tuple[httpx.Client, BuiltServer | None]:
    """Return a client of the process that holds the store, and the parts of this process if it opened the store itself,
    as it does if nobody holds it. `closing` ends both.

    A server that is just starting or stopping is given some time to finish that.

    Raises:
        StopError: the store cannot be opened, or the process that holds it accepts no commands.
    """
    path, parts = _socket_of(settings, closing)
    return closing.enter_context(client_at(path)), parts


def _socket_of(settings: Settings, closing: contextlib.ExitStack) -> tuple[str, BuiltServer | None]:
    give_up_at = monotonic() + _MAX_WAIT_S
    while True:
        holder = _holder(settings)
        if holder is not None and holder.socket is not None:
            with contextlib.suppress(FileNotFoundError):  # the holder is about to end
                require_own(Path(holder.socket))
            return holder.socket, None
        if holder is None:
            from pulsebase.wiring import build

            with contextlib.suppress(StoreLockedError):  # another process was faster: use its socket
                parts = closing.enter_context(build(settings))
                return closing.enter_context(listening(parts))[1], parts
        if monotonic() > give_up_at:
            who = f"process {holder.pid}" if holder and holder.pid else "another process"
            raise StopError(f"the store is held by {who}, which accepts no commands; try again in a moment")
        sleep(0.05)


@contextlib.contextmanager
def listening(parts: BuiltServer, *more: Any) -> Iterator[tuple[Any, str]]:
    """Serve the parts on the owner's socket and on further listeners, and let other commands find the socket."""
    from pulsebase.api.server.http_server import owner_socket, serving
    from pulsebase.wiring_options import connection_limits

    limits = connection_limits(parts.settings)
    with owner_socket() as (path, listener), serving(parts.app, [*more, listener], limits) as server:
        parts.advertise(str(path))
        try:
            yield server, str(path)
        finally:
            parts.advertise(None)


def answer_of(response: httpx.Response) -> Any:
    """Return the JSON of a successful answer, None if it has no body.

    Raises:
        RefusedError: the answer is an error, or not from this program.
    """
    if not response.is_success:
        raise RefusedError(detail_of(response))
    try:
        return response.json() if response.content else None
    except ValueError:
        raise RefusedError("the server's answer cannot be read; is it another version of Pulsebase?") from None


def detail_of(response: httpx.Response) -> str:
    """Return the detail of an error answer. Errors about connections have no body."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = None
    return detail if isinstance(detail, str) else f"the server answered with status {response.status_code}"


def _holder(settings: Settings) -> Holder | None:
    path = parse_store_url(settings.store_url).path
    return None if path is None else holder_of(path.absolute())


def client_at(socket_path: str) -> httpx.Client:
    """Return a client for the process that listens on this socket."""
    # No TLS here, so no certificate authorities are loaded: that would take longer than most commands.
    transport = httpx.HTTPTransport(uds=socket_path, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return httpx.Client(transport=transport, base_url="http://localhost", timeout=_TIMEOUT_S)
