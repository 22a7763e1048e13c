"""`mcp`: answer assistants that speak the Model Context Protocol."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pulsebase.api.server.http_server import bound_socket
from pulsebase.cli.output import errors
from pulsebase.cli.serve import url_of
from pulsebase.model.errors import RejectedError, StopError
from pulsebase.settings import Settings


@dataclass(frozen=True, slots=True)
class McpOptions:
    """What the command was told; see its options."""

    url: str | None
    key_file: Path | None
    over_http: bool
    host: str
    port: int


def run_mcp(settings: Settings, options: McpOptions) -> None:
    """Answer one assistant on standard input and output, or many over HTTP, until stopped.

    Raises:
        RejectedError: options contradict each other.
        StopError: the extra is not installed, the store or the server cannot be reached, or the port is taken.
    """
    try:
        from pulsebase.assistants.server import http_server, run_http, run_stdio
    except ImportError as error:
        raise StopError("assistants take an extra: pip install 'pulsebase[mcp]'") from error
    from pulsebase.library.opening import connect, open_store

    if options.over_http:
        if options.url is None:
            raise RejectedError.of("--url", "is needed with --http: each assistant asks that server with its own key")
        if options.key_file is not None:
            raise RejectedError.of("--key-file", "is not for --http: each assistant shows its own key")
        listener = bound_socket(options.host, options.port)
        with contextlib.closing(listener), http_server(options.url, settings.allowed_hosts) as server:
            errors.print(f"Assistants are answered at {url_of(listener)}/mcp  (stop: Ctrl+C)", markup=False)
            run_http(server, listener)
        return
    if options.url is None and options.key_file is not None:
        raise RejectedError.of("--key-file", "goes with --url")
    if options.url is not None:
        library = connect(options.url, key_file=options.key_file, read_only=True)
    else:
        library = open_store(settings.store_url, read_only=True)
    with library:
        run_stdio(library)
