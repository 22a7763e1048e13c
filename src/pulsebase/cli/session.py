"""How commands reach the store: over the running server's socket, or by opening it themselves.

Either way a command speaks HTTP to the same application, so it works the same with the server up and down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx

from pulsebase.api.server import owner_socket, serving
from pulsebase.model.errors import StopError
from pulsebase.settings import Settings
from pulsebase.stores.duckdb.lock import Holder, holder_of
from pulsebase.stores.open import parse_store_url
from pulsebase.wiring import Parts, build

#: A check or an import of a large store takes its time.
_TIMEOUT_S = 3600.0


class RefusedError(StopError):
    """The server's answer was an error; the message is its detail."""


@contextlib.contextmanager
def session(settings: Settings) -> Iterator[httpx.Client]:
    """A client of the store named by the settings.

    Raises:
        StopError: the store cannot be opened, or is held by a process that takes no commands.
    """
    holder = _holder(settings)
    if holder is None:
        with build(settings) as parts, listening(parts) as (_, path), _client(path) as client:
            yield client
    elif holder.socket is None:
        raise StopError(
            f"the store is held by process {holder.pid}, which takes no commands yet; try again in a moment"
        )
    else:
        with _client(holder.socket) as client:
            yield client


@contextlib.contextmanager
def listening(parts: Parts, *more: Any) -> Iterator[tuple[Any, str]]:
    """Serve the parts on the owner's socket, and on more listeners, and tell other commands where."""
    with owner_socket() as (path, listener), serving(parts.app, [*more, listener]) as server:
        parts.advertise(str(path))
        try:
            yield server, str(path)
        finally:
            parts.advertise(None)


def answer_of(response: httpx.Response) -> Any:
    """The JSON of a good answer.

    Raises:
        RefusedError: the answer is a problem.
    """
    if response.is_success:
        return response.json()
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"status {response.status_code}"
    raise RefusedError(detail)


def _holder(settings: Settings) -> Holder | None:
    path = parse_store_url(settings.store_url).path
    return None if path is None else holder_of(path.absolute())


def _client(socket_path: str) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=socket_path)
    return httpx.Client(transport=transport, base_url="http://localhost", timeout=_TIMEOUT_S)
