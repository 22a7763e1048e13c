"""A cluster of shards as processes: started, killed, started again."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from pulsebase.stores.clickhouse.address import Address
from tests.support.needs import need

#: What the cluster is called in the configuration of its servers.
CLUSTER = "pulsebase_test"
#: Names a cluster of two full servers, `clickhouse://user:password@host:8123,host:8123/default?cluster=name`.
GIVEN_URL = "PULSEBASE_TEST_CLICKHOUSE_URL"
_ROOT = Path(__file__).parents[3]
_SHARD = (
    "<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host>"
    "<port>{port}</port><compression>false</compression></replica></shard>"
)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Shard:
    """One server. Every server of the cluster can be asked, and asks the others."""

    def __init__(self, folder: Path, native_port: int, http_port: int, config: str) -> None:
        self.native_port, self.http_port = native_port, http_port
        self._folder, self._log = folder, folder.with_name(f"{folder.name}.asked")
        self._config = folder.with_name(f"{folder.name}.xml")
        self._config.write_text(config)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Start the process."""
        places = [str(self._folder), str(self._config), str(self.native_port), str(self.http_port), str(self._log)]
        with self._folder.with_name(f"{self._folder.name}.errors").open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.clickhouse.server", *places],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def wait_ready(self) -> None:
        """Wait until it answers."""
        process = self._running()
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"the shard in {self._folder} did not start"

    def kill(self) -> None:
        """End the process as a crash does."""
        process = self._running()
        process.kill()
        process.communicate()
        self._process = None

    def stop(self) -> None:
        """End the process if it runs."""
        if self._process is not None:
            self.kill()

    def pid(self) -> int:
        """The process."""
        return self._running().pid

    def asked(self) -> list[str]:
        """What other servers have asked it, in order."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def client(self, **named: Any) -> Client:
        """A client of this server."""
        return clickhouse_connect.get_client(
            host="127.0.0.1",
            port=self.http_port,
            compress=False,
            autogenerate_session_id=False,
            send_receive_timeout=60,
            **named,
        )

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the shard is not running"
        return self._process


class Cluster:
    """So many shards below a folder, each on its own."""

    def __init__(self, folder: Path, shards: int) -> None:
        need(find_spec("chdb") is not None, "ClickHouse's engine for tests: the package chdb")
        ports = _free_ports(2 * shards)
        native, http = ports[:shards], ports[shards:]
        listed = "".join(_SHARD.format(port=port) for port in native)
        self.shards: Sequence[Shard] = [
            Shard(
                folder / f"shard_{number}",
                native[number],
                http[number],
                _config(native[number], listed, folder / f"shard_{number}_backups"),
            )
            for number in range(shards)
        ]
        for shard in self.shards:
            shard.begin()
        for shard in self.shards:
            shard.wait_ready()

    def new_database(self, name: str = "") -> str:
        """The name of a new, empty database on every server; one of its own unless it is given."""
        name = name or f"test_{uuid.uuid4().hex[:12]}"
        for shard in self.shards:
            with shard.client() as client:
                client.command(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database from every server. One that starts again reads all tables that it has."""
        for shard in self.shards:
            with shard.client() as client:
                client.command(f"DROP DATABASE IF EXISTS {name} SYNC")

    def url_of(self, database: str) -> str:
        """The URL that names every server of the cluster, and a database."""
        hosts = ",".join(f"127.0.0.1:{shard.http_port}" for shard in self.shards)
        return f"clickhouse://{hosts}/{database}?cluster={CLUSTER}"

    def stop(self) -> None:
        """End all processes."""
        for shard in self.shards:
            shard.stop()


def _config(native_port: int, shards: str, backups: Path) -> str:
    return (
        f"<clickhouse><tcp_port>{native_port}</tcp_port><backups><allowed_path>{backups}/</allowed_path></backups>"
        f"<remote_servers><{CLUSTER}>{shards}</{CLUSTER}></remote_servers></clickhouse>"
    )


class GivenShard(Shard):
    """A server that somebody else runs. Tests that kill servers, or look into them, are skipped."""

    def __init__(self, address: Address, host: str, port: int) -> None:
        self.http_port = port
        self._address, self._host = address, host

    def client(self, **named: Any) -> Client:
        """A client of this server."""
        return clickhouse_connect.get_client(
            host=self._host,
            port=self.http_port,
            username=self._address.user,
            password=self._address.password,
            secure=self._address.encrypted,
            compress=False,
            autogenerate_session_id=False,
            send_receive_timeout=60,
            **named,
        )

    def begin(self) -> None:
        """Nothing that a test may do."""
        need(False, "a cluster of its own, whose servers it may kill")

    def wait_ready(self) -> None:
        """Nothing that a test may do."""
        self.begin()

    def kill(self) -> None:
        """Nothing that a test may do."""
        self.begin()

    def pid(self) -> int:
        """Nothing that a test may know."""
        self.begin()
        return 0

    def asked(self) -> list[str]:
        """Nothing that a test may know."""
        self.begin()
        return []


class GivenCluster(Cluster):
    """A cluster of two shards that somebody else runs, in which tests make databases, and drop them in the end."""

    def __init__(self, url: str) -> None:
        self._address = Address.of(url)
        self.shards = [GivenShard(self._address, *host) for host in self._address.hosts]
        assert len(self.shards) == 2, "the tests place people on two shards"

    def new_database(self, name: str = "") -> str:
        """The name of a new, empty database on every server; one of its own unless it is given."""
        name = super().new_database(name)
        atexit.register(self.drop_database, name)
        return name

    def url_of(self, database: str) -> str:
        """The URL that names every server of the cluster, and a database."""
        address = self._address
        credentials = ":".join(quote(text, safe="") for text in (address.user, address.password))
        hosts = ",".join(f"{host}:{port}" for host, port in address.hosts)
        scheme = "clickhouses" if address.encrypted else "clickhouse"
        return f"{scheme}://{credentials}@{hosts}/{database}?cluster={address.cluster}"

    def stop(self) -> None:
        """Leave it to whoever runs it."""


@functools.cache
def two_shards() -> Cluster:
    """The cluster that tests of one process share, the one that `PULSEBASE_TEST_CLICKHOUSE_URL` names if it does;
    whoever kills a shard starts it again.
    """
    if given := os.environ.get(GIVEN_URL):
        return GivenCluster(given)
    folder = tempfile.mkdtemp(prefix="pulsebase-clickhouse-")
    cluster = Cluster(Path(folder), 2)
    atexit.register(shutil.rmtree, folder)
    atexit.register(cluster.stop)
    return cluster
