"""How a program gets at a store: by its path, or by the address of a server."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import weakref
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2 as httpx

from pulsebase.files.private import UMASK
from pulsebase.library.client import Library
from pulsebase.library.requests import Requests
from pulsebase.model.errors import RejectedError, StopError
from pulsebase.session import open_session
from pulsebase.settings_loading import load_settings
from pulsebase.stores.open import parse_store_url

if TYPE_CHECKING:
    from pulsebase.stores.contract import Store

# Whether and where a program shows our log lines is for the program to say.
logging.getLogger("pulsebase").addHandler(logging.NullHandler())

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def open_store(
    place: str | os.PathLike[str] | None = None, *, clickhouse_url: str | None = None, read_only: bool = False
) -> Library:
    """Open a store: `pulse.duckdb` (a path), `duckdb:////absolute.duckdb`, `postgresql://…` or `memory://`.

    An embedded store is made if it is not there. If a server or another program has it open, the questions go to that
    one. Without a place it is the store of the settings, which are read as for commands. `clickhouse_url` names the
    ClickHouse cluster of a server store that keeps its readings in one. `read_only` has the library refuse whatever
    would change something.

    Raises:
        StopError: the store cannot be opened (damaged, of a newer version), or a setting is wrong.
    """
    settings = load_settings(store_url=None if place is None else os.fspath(place), clickhouse_url=clickhouse_url)
    before = os.umask(UMASK)  # for the files of a new store; the program's own umask stays
    try:
        with contextlib.ExitStack() as opening:
            client, parts = open_session(settings, opening)
            closing = opening.pop_all()
    finally:
        os.umask(before)
    address = parse_store_url(settings.store_url)
    where = address.scheme if address.path is None else str(address.path)
    store = None if parts is None or read_only else parts.store
    where = where if parts else f"another process, {where}"
    return _library(Requests(client, where, read_only=read_only), where, closing, store)


def connect(
    url: str,
    key: str | None = None,
    *,
    key_file: str | Path | None = None,
    timeout_s: float = 60,
    read_only: bool = False,
) -> Library:
    """Connect to a server at `http://127.0.0.1:8000` or `https://pulse.example.org`.

    `key`, or the line in `key_file`, is what `pulsebase keys create` showed; a server on this machine may need none.
    `timeout_s` is how long the server may say nothing. `read_only` narrows what is done with a key to reading.

    Raises:
        RejectedError: an argument is wrong.
        StopError: there is no Pulsebase at the URL, or the key opens nothing.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise RejectedError.of("url", "must be http://host:port or https://host")
    if key is not None and key_file is not None:
        raise RejectedError.of("key", "and key_file are two ways to give one key")
    if key_file is not None:
        key = _key_in(Path(key_file))
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key and key):
        raise RejectedError.of("key", "must be one line of printable characters")
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    is_near = parts.hostname in _LOOPBACK
    with contextlib.ExitStack() as opening:
        # Without TLS no certificate authorities are loaded, and no proxy leads to this machine.
        verify = True if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client = opening.enter_context(
            httpx.Client(
                base_url=url.rstrip("/"), headers=headers, timeout=timeout_s, verify=verify, trust_env=not is_near
            )
        )
        place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        requests = Requests(client, place, read_only=read_only)
        if requests.json("/").get("name") != "Pulsebase":
            raise StopError(f"{place} is not Pulsebase")
        requests.json("/v1/metrics")
        closing = opening.pop_all()
    return _library(requests, place, closing, None)


def _library(requests: Requests, place: str, closing: contextlib.ExitStack, store: Store | None) -> Library:
    library = Library(requests, place, lambda: None, store)
    # Also when it is forgotten, or the program ends without closing it.
    library._close = weakref.finalize(library, closing.close)
    return library


def _key_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise StopError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from None
