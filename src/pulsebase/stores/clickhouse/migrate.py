"""Setting up both halves: the tables of the log in PostgreSQL, and those of readings on every shard."""

from __future__ import annotations

import re
from importlib import resources

from pulsebase.model.errors import StopError
from pulsebase.stores.clickhouse.commits import PARTITION, PLACES, Connection, LogDatabase
from pulsebase.stores.clickhouse.engine import DURABLE, SETTINGS, ClickHouse, Server

_NUMBERED = re.compile(r"(\d{4})_\w+\.sql")
_LIMIT_S = 60.0
_TABLES = ("stage", "readings")


def _files(half: str) -> list[str]:
    folder = resources.files("pulsebase.stores.clickhouse").joinpath("schema", half)
    named = sorted((entry.name, entry) for entry in folder.iterdir() if _NUMBERED.fullmatch(entry.name))
    return [entry.read_text(encoding="utf-8") for _, entry in named]


def set_up(database: LogDatabase, cluster: ClickHouse) -> None:
    """Make the tables that are missing, in PostgreSQL and on every shard. Doing it again does no harm.

    Raises:
        StopError: the cluster is not one that keeps what it acknowledges, or has replicas.
    """

    def set_up_log(connection: Connection) -> None:
        if connection.execute("SELECT to_regclass('pulsebase.commit_marks') IS NULL").fetchone() == (True,):
            for sql in _files("postgres"):
                connection.execute(sql.encode())

    database.change(set_up_log)
    for server in cluster.shards().values():
        for statement in _statements(cluster):
            server.command(statement, _LIMIT_S)
    require_durable(cluster)


def require_durable(cluster: ClickHouse) -> None:
    """Refuse a cluster whose servers do not sync what they acknowledge, or acknowledge before it is written.

    Raises:
        StopError: it is one; the message names the setting.
    """
    for server in cluster.shards().values():
        _require_settings(server)
        _require_tables(server, cluster.address.database)


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


def _statements(cluster: ClickHouse) -> list[str]:
    names = {"database": cluster.address.database, "cluster": cluster.address.cluster}
    names["partition"] = str(PARTITION * PLACES)
    names["durable"] = ", ".join(f"{name} = {value}" for name, value in DURABLE.items())
    text = "\n".join(_files("cluster"))
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [each.strip() for each in bare.format(**names).split(";") if each.strip()]
