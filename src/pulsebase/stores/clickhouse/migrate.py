"""Setting up both halves: the tables of the log in PostgreSQL, and those of readings on every shard."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources

from pulsebase.model.errors import StopError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.stores.clickhouse import own_sql
from pulsebase.stores.clickhouse.address import Address
from pulsebase.stores.clickhouse.commits import PARTITION, PLACES
from pulsebase.stores.clickhouse.engine import DURABLE, SETTINGS, ClickHouse, Server
from pulsebase.stores.clickhouse.later_rollups import make_days
from pulsebase.stores.clickhouse.numbers import metric_of
from pulsebase.stores.clickhouse.own_sql import NamesAt
from pulsebase.stores.clickhouse.removal import unknown_people
from pulsebase.stores.postgres.database import Connection
from pulsebase.stores.postgres.locks import setting_up
from pulsebase.stores.postgres.migrations import (
    PostgresMigration,
    migrating,
    migrations_with,
    relation_exists,
    require_migrated,
)
from pulsebase.stores.postgres.roles import RolePasswords, StoreRights, apply_roles

_PACKAGE = "pulsebase.stores.clickhouse"
_NUMBERED = re.compile(r"(\d{4})_\w+\.sql")
_LIMIT_S = 60.0
_TABLES = ("stage", "readings", "minutes", "hours", "hours_by_time", "days")
#: Makes the table of days, which is filled at once.
_MAKES_DAYS = "0005_days.sql"
#: A table of the store that keeps its readings in PostgreSQL.
_OF_ANOTHER_STORE = "pulsebase.stage"


def migrations() -> list[PostgresMigration]:
    """Return every migration of the half in PostgreSQL, in order."""
    return migrations_with(_PACKAGE)


def set_up_both(
    connection: Connection, cluster_url: str, passwords: RolePasswords, sql_url: str | None = None
) -> tuple[list[int], list[str]]:
    """Make the cluster's database if there is none, set both halves up, and give PostgreSQL its roles; return the
    numbers of the migrations that PostgreSQL needed, and the roles there are.

    With `sql_url`, by which the cluster reaches PostgreSQL, views for people's own SQL are made, see `own_sql`.

    Raises:
        StopError: see `set_up`.
    """
    address = Address.of(cluster_url)
    names = None if sql_url is None else NamesAt.of(sql_url)
    with contextlib.closing(ClickHouse(replace(address, database="default"))) as cluster:
        for server in cluster.shards().values():
            server.command(f"CREATE DATABASE IF NOT EXISTS {address.database}", _LIMIT_S)
    with contextlib.closing(ClickHouse(address)) as cluster, setting_up(connection):
        done = set_up(connection, cluster)
        if names is not None:
            _make_views(connection, cluster, names)
        return done, apply_roles(connection, passwords, StoreRights())


def _make_views(connection: Connection, cluster: ClickHouse, names: NamesAt) -> None:
    own_sql.let_read(connection, names)
    metric = metric_of(connection, HEART_RATE.name)
    assert metric is not None  # it is registered with the tables
    address = cluster.address
    for server in cluster.shards().values():
        for statement in own_sql.statements(address.database, address.cluster, metric, names):
            server.command(statement, _LIMIT_S)


def set_up(connection: Connection, cluster: ClickHouse) -> list[int]:
    """Bring both halves to the newest schema; return the numbers of the migrations that PostgreSQL needed.

    Doing it again changes nothing. Whoever else sets the store up at the same time has to wait, see `setting_up`.

    Raises:
        StopError: PostgreSQL holds another store, or the cluster is not one that keeps what it acknowledges, has
            replicas, or belongs to another store.
    """
    servers = cluster.shards()
    for server in servers.values():
        _require_settings(server)
    with migrating(connection) as done:
        if relation_exists(connection, _OF_ANOTHER_STORE):
            raise StopError(
                "the database holds readings itself; a cluster needs a database of its own, into which "
                "`pulsebase copy` brings them"
            )
        _require_nobody_elses(connection, servers)
        todo = [each for each in migrations() if each.number not in done]
        for migration in todo:
            migration.apply(connection)
    store = _store_id(connection)  # which stays from here on, whatever happens to the rest
    for number, server in servers.items():
        statements = _statements(cluster)
        of_days = statements.pop(_MAKES_DAYS)
        for statement in itertools.chain.from_iterable(statements.values()):
            server.command(statement, _LIMIT_S)
        make_days(server, of_days, functools.partial(unknown_people, connection))
        if not _belongs(server):
            server.command(f"INSERT INTO belongs VALUES ('{store}', {number}, {len(servers)})", _LIMIT_S)
    require_current(connection, cluster)
    return [migration.number for migration in todo]


def require_current(connection: Connection, cluster: ClickHouse) -> None:
    """Open the cluster; raise `StopError` unless both halves are set up for exactly this version of the program, and
    for each other. A server of the cluster that cannot be reached now is looked at before anything is asked of it.
    """
    require_migrated(connection, migrations())
    store = _store_id(connection)

    def require(server: Server, shard: int, shards: int) -> None:
        _require_settings(server)
        _require_tables(server, cluster.address.database)
        _require_place(server, store, shard, shards)

    cluster.open(require)


def _require_nobody_elses(connection: Connection, servers: Mapping[int, Server]) -> None:
    """Refuse servers that were set up for another store, or another place in this one, before anything is changed."""
    store = _store_id(connection) if relation_exists(connection, "pulsebase.commit_marks") else None
    for number, server in servers.items():
        if server.ask("EXISTS TABLE belongs", _LIMIT_S)["result"][0].as_py() and _belongs(server):
            _require_place(server, store, number, len(servers))


def _store_id(connection: Connection) -> uuid.UUID:
    row = connection.execute("SELECT store FROM pulsebase.commit_marks").fetchone()
    assert row is not None
    return uuid.UUID(str(row[0]))


def _belongs(server: Server) -> list[tuple[str, int, int]]:
    found = server.ask("SELECT DISTINCT toString(store) AS store, shard, shards FROM belongs", _LIMIT_S).to_pylist()
    return [(row["store"], row["shard"], row["shards"]) for row in found]


def _require_place(server: Server, store: uuid.UUID | None, shard: int, shards: int) -> None:
    """Refuse readings of another store, and those of people who would be looked for elsewhere."""
    found = _belongs(server)
    if {each for each, *_ in found} != {str(store)}:
        raise StopError(f"what {server.name} holds belongs to another database; name the one it was set up with")
    if found != [(str(store), shard, shards)]:
        raise StopError(
            f"{server.name} was set up as shard {found[0][1]} of {found[0][2]}, and is shard {shard} of {shards} now: "
            "people would be looked for on the wrong one; copy the store into a new cluster instead"
        )


def _require_settings(server: Server) -> None:
    wanted = {name: str(value) for name, value in SETTINGS.items()}
    names = ", ".join(f"'{name}'" for name in wanted)
    found = server.ask(f"SELECT name, value FROM system.settings WHERE name IN ({names})", _LIMIT_S)
    for row in found.to_pylist():
        if row["value"] not in {wanted[row["name"]], _AS_WORD.get(wanted[row["name"]])}:
            raise StopError(f"the server {server.name} does not let us set {row['name']} = {wanted[row['name']]}")


def _require_tables(server: Server, database: str) -> None:
    names = ", ".join(f"'{name}'" for name in _TABLES)
    found = server.ask(
        f"SELECT name, engine_full FROM system.tables WHERE database = {{database:String}} AND name IN ({names})",
        _LIMIT_S,
        {"database": database},
    ).to_pylist()
    if len(found) < len(_TABLES):
        raise StopError(f"the server {server.name} is not set up: run pulsebase db init")
    for row in found:
        for name, value in DURABLE.items():
            if f"{name} = {value}" not in row["engine_full"]:
                raise StopError(f"the table {row['name']} on {server.name} has not {name} = {value}")


_AS_WORD = {"0": "false", "1": "true"}


def _statements(cluster: ClickHouse) -> dict[str, list[str]]:
    """Return the statements of each file of the schema, in order."""
    names = {"database": cluster.address.database, "cluster": cluster.address.cluster}
    names["partition"] = str(PARTITION * PLACES)
    names["durable"] = ", ".join(f"{name} = {value}" for name, value in DURABLE.items())
    folder = resources.files(_PACKAGE).joinpath("schema", "cluster")
    named = sorted((entry.name, entry) for entry in folder.iterdir() if _NUMBERED.fullmatch(entry.name))
    found = {}
    for name, entry in named:
        lines = entry.read_text(encoding="utf-8").splitlines()
        bare = "\n".join(line for line in lines if not line.startswith("--"))
        found[name] = [each.strip() for each in bare.format(**names).split(";") if each.strip()]
    return found
