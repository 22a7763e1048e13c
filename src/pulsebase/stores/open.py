"""From a store's URL to the store."""

from __future__ import annotations

import contextlib
import glob
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from pulsebase.files.private import make_private, tell_of_private
from pulsebase.model.errors import SettingsError, StopError

if TYPE_CHECKING:  # a command that asks a running server parses a URL and needs no engine
    from pulsebase.stores.clickhouse.options import ClickHouseOptions
    from pulsebase.stores.contract import Store
    from pulsebase.stores.duckdb.options import DuckdbOptions
    from pulsebase.stores.timescale.options import TimescaleOptions

#: What a server store's URL may begin with; the second form names a driver, as SQLAlchemy does.
_SERVER_SCHEMES = ("postgresql", "postgresql+psycopg", "postgres")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_PATH_ENDINGS = (".duckdb", ".db")


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A parsed store URL. `path` is the database file of an embedded store, `conninfo` the URL of a server store's
    database, which may hold a password.
    """

    scheme: str
    path: Path | None = None
    conninfo: str | None = field(default=None, repr=False)

    @property
    def is_shared(self) -> bool:
        """Whether several processes may have the store at once."""
        return self.conninfo is not None

    @property
    def is_kept(self) -> bool:
        """Whether what is stored there outlives the process."""
        return self.path is not None or self.conninfo is not None


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """The ClickHouse cluster that keeps the readings of a server store.

    Attributes:
        url: `clickhouse[s]://user:password@host:port,host:port/database?cluster=name`.
        options: how it is used.
        sql_url: the database of people as the cluster reaches it, where that gets views for people's own SQL.
    """

    url: str = field(repr=False)
    options: ClickHouseOptions | None = None
    sql_url: str | None = field(default=None, repr=False)


def require_cluster_url(url: str) -> None:
    """Raise `SettingsError` unless the text is the URL of a ClickHouse cluster."""
    from pulsebase.stores.clickhouse.address import Address

    try:
        Address.of(url)
    except ValueError as error:
        raise SettingsError(f"the URL of a cluster {error}") from None


def require_sql_url(url: str) -> None:
    """Raise `SettingsError` unless a cluster can reach a database by this URL."""
    from pulsebase.stores.clickhouse.own_sql import NamesAt

    NamesAt.of(url)


def parse_store_url(url: str) -> StoreAddress:
    """Read `duckdb:///relative.duckdb`, `duckdb:////absolute.duckdb`, `postgresql://user@host/database`, `memory://`,
    or the path of a database file: a text that is no URL and ends in `.duckdb` or `.db`.

    Raises:
        SettingsError: the text is none of these.
    """
    if _SCHEME.match(url) is None and url.endswith(_PATH_ENDINGS):
        return StoreAddress("duckdb", Path(url).expanduser())
    parts = urlsplit(url)
    if parts.scheme in _SERVER_SCHEMES:
        return StoreAddress("postgresql", conninfo=_conninfo(parts))
    if parts.query or parts.fragment:
        raise SettingsError("the store URL takes no ? and no #")
    if parts.scheme == "memory" and not parts.netloc and not parts.path:
        return StoreAddress("memory")
    path = unquote(parts.path)[1:]
    if parts.scheme == "duckdb" and not parts.netloc and path and not path.endswith("/"):
        return StoreAddress("duckdb", Path(path))
    raise SettingsError(
        "the store URL must be duckdb:///relative.duckdb, duckdb:////absolute.duckdb, "
        "postgresql://user@host/database or memory://, or a path that ends in .duckdb or .db"
    )


def open_store(
    url: str,
    embedded: DuckdbOptions | None = None,
    server: TimescaleOptions | None = None,
    cluster: ClusterChoice | None = None,
) -> Store:
    """Open the store at a URL; an embedded one is made if it is not there, a server one must have been set up.

    With a cluster, the URL names the PostgreSQL database that keeps people and commits.

    Raises:
        StopError: the URL is wrong, or the store cannot be opened (locked, damaged, of a newer version, not there).
    """
    address = parse_store_url(url)
    if cluster is not None:
        from pulsebase.stores.clickhouse.store import ClickHouseStore  # loads the drivers

        return ClickHouseStore(_conninfo_beside_a_cluster(address), cluster.url, cluster.options)
    if address.conninfo is not None:
        from pulsebase.stores.timescale.store import TimescaleStore  # loads the driver

        return TimescaleStore(address.conninfo, server)
    if address.path is None:
        from pulsebase.stores.memory import MemoryStore

        return MemoryStore()
    from pulsebase.stores.duckdb.store import DuckdbStore

    opened = DuckdbStore(address.path, embedded)
    tell_of_private(changed for each in files_of(address.path) for changed in make_private(each))
    return opened


def set_up_store(
    url: str,
    compress_after_days: int,
    passwords: tuple[str | None, str | None] = (None, None),
    cluster: ClusterChoice | None = None,
) -> tuple[list[int], list[str]]:
    """Make the tables of a server store, or bring them to the newest schema, and the roles that have passwords (of the
    API and of the exporter): the numbers of the steps this took, and the roles there are. With a cluster, those of both
    halves; the roles are PostgreSQL's.

    Raises:
        StopError: the store is none that is set up, or something is missing or in the way.
    """
    address = parse_store_url(url)
    if address.conninfo is None:
        raise StopError("PULSEBASE_STORE_URL names no server store (postgresql://…); other stores set themselves up")
    from pulsebase.stores.postgres.database import connect
    from pulsebase.stores.postgres.roles import RolePasswords

    if cluster is not None:
        from pulsebase.stores.clickhouse import migrate

        with connect(address.conninfo) as connection:
            return migrate.set_up_both(connection, cluster.url, RolePasswords(*passwords), cluster.sql_url)
    from pulsebase.stores.timescale.migrate import set_up
    from pulsebase.stores.timescale.options import Policies
    from pulsebase.stores.timescale.roles import apply_roles

    with connect(address.conninfo) as connection:
        done = set_up(connection, Policies(compress_after_days))
        return done, apply_roles(connection, RolePasswords(*passwords))


def _conninfo_beside_a_cluster(address: StoreAddress) -> str:
    if address.conninfo is None:
        raise SettingsError("beside a cluster the store URL must be postgresql://…, where people and commits are kept")
    return address.conninfo


def excess_rights_of(url: str) -> str | None:
    """What the user in a server store's URL may do in the database beyond serving; None where that is nothing, or the
    database does not say just now.
    """
    address = parse_store_url(url)
    if address.conninfo is None:
        return None
    from pulsebase.stores.postgres.database import connect
    from pulsebase.stores.postgres.roles import excess_rights

    with contextlib.suppress(StopError), connect(address.conninfo) as connection:
        return excess_rights(connection)
    return None


def files_of(path: Path) -> list[Path]:
    """What an embedded store consists of: the database and what lies beside it under names that begin with its own."""
    return [path, *path.parent.glob(f"{glob.escape(path.name)}.*")]


def _conninfo(parts: SplitResult) -> str:
    """The URL as libpq reads it."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    conninfo = parts._replace(scheme="postgresql").geturl()
    try:
        named = conninfo_to_dict(conninfo).get("dbname")
    except ProgrammingError:
        raise SettingsError("the store URL must be postgresql://user:password@host:5432/database") from None
    if not named:
        raise SettingsError("the store URL must name a database: postgresql://user@host/database")
    return conninfo
