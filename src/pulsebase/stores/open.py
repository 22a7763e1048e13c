"""From a store's URL to the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pulsebase.model.errors import SettingsError
from pulsebase.stores.contract import Store
from pulsebase.stores.duckdb.store import DuckdbOptions, DuckdbStore
from pulsebase.stores.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A parsed store URL. `path` is the database file of an embedded store."""

    scheme: str
    path: Path | None = None


def parse_store_url(url: str) -> StoreAddress:
    """Read `duckdb:///relative.duckdb`, `duckdb:////absolute.duckdb` or `memory://`.

    Raises:
        SettingsError: the text is none of these.
    """
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise SettingsError("the store URL takes no ? and no #")
    if parts.scheme == "memory" and not parts.netloc and not parts.path:
        return StoreAddress("memory")
    path = unquote(parts.path)[1:]
    if parts.scheme == "duckdb" and not parts.netloc and path and not path.endswith("/"):
        return StoreAddress("duckdb", Path(path))
    raise SettingsError("the store URL must be duckdb:///relative.duckdb, duckdb:////absolute.duckdb or memory://")


def open_store(url: str, options: DuckdbOptions | None = None) -> Store:
    """Open the store at a URL; an embedded one is made if it is not there.

    Raises:
        StopError: the URL is wrong, or the store cannot be opened (locked, damaged, of a newer version).
    """
    address = parse_store_url(url)
    if address.path is None:
        return MemoryStore()
    return DuckdbStore(address.path, options)
