"""A server of this process with a port, for clients that know nothing but HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pulsebase.api.server.http_server import bound_socket
from pulsebase.session import listening
from pulsebase.settings import Settings
from pulsebase.wiring import build


@contextlib.contextmanager
def served(**settings: Any) -> Iterator[str]:
    """Yield the address of a server with these settings, which is there during the block."""
    listener = bound_socket("127.0.0.1", 0)
    with (
        contextlib.closing(listener),
        build(Settings(_env_file=None, port=0, **settings)) as parts,
        listening(parts, listener),
    ):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
