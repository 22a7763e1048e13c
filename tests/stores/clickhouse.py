"""A store's parts on a cluster of two shards and a plain PostgreSQL, as the tests of the ClickHouse store use them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.timerange import MAX_US, TimeRange
from pulsebase.stores.clickhouse.address import Address
from pulsebase.stores.clickhouse.engine import ClickHouse
from pulsebase.stores.clickhouse.merge import Merger
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.read import RawReader
from pulsebase.stores.clickhouse.write import StageWriter
from pulsebase.stores.postgres.database import PostgresDatabase
from pulsebase.stores.postgres.options import PoolOptions
from tests.stores.harness import Reading, batch_of, rows_of
from tests.support.clickhouse.store import Urls, empty_store, new_store

__all__ = [
    "EVER",
    "IMPORTED",
    "OPTIONS",
    "PUSHED",
    "SYNCED",
    "Clock",
    "Parts",
    "Row",
    "Urls",
    "empty_store",
    "new_store",
    "opened",
]

OPTIONS = ClickHouseOptions(grace_s=10, lease_s=60)
EVER = TimeRange(0, MAX_US)
#: The origin of readings that a device sent, and of others.
PUSHED, SYNCED, IMPORTED = 1, 2, 3
Row = tuple[int, int, str, int | None]


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Parts:
    """One process's access to a store."""

    def __init__(self, urls: Urls, options: ClickHouseOptions = OPTIONS) -> None:
        self.urls, self.clock = urls, Clock()
        self.database = PostgresDatabase(urls.postgres, PoolOptions(1, 7, timeout_s=30))
        self.cluster = ClickHouse(Address.of(urls.cluster))
        self.writer = StageWriter(self.database, self.cluster, options)
        self.reader = RawReader(self.database, self.cluster, options)
        self.merger = Merger(self.database, self.cluster, options, self.clock)

    def close(self) -> None:
        self.cluster.close()
        self.database.close()

    def write(self, *readings: Reading, origin: int = SYNCED, metric: str = HEART_RATE.name) -> None:
        self.writer.write([batch_of(readings, origin, metric)], {PUSHED})

    def read(self, user_id: str, metric: str = HEART_RATE.name) -> list[Row]:
        """Everything stored of a person: time, value, device, confidence."""
        return [tuple(row) for row in rows_of(self.reader.readings(user_id, metric, EVER))]

    def merge(self) -> int:
        """Merge everything that is decided now."""
        self.merger.step()
        self.clock.now_s += OPTIONS.grace_s
        return self.merger.step()

    def origins(self) -> list[int]:
        """The origins of the merged readings, by person, time and device."""
        found = []
        for server in self.cluster.shards().values():
            rows = server.ask("SELECT person, time, device, origin FROM readings FINAL WHERE gone = 0", 30)
            found += rows_of(rows)
        return [origin for *_, origin in sorted(found)]

    def staged(self) -> int:
        """How many rows are in the stages."""
        return sum(
            server.ask("SELECT count() AS n FROM stage", 30)["n"][0].as_py()
            for server in self.cluster.shards().values()
        )


@contextlib.contextmanager
def opened(urls: Urls, **options: float) -> Iterator[Parts]:
    """A process's access to a store, as long as the block goes on."""
    parts = Parts(urls, replace(OPTIONS, **options))  # type: ignore[arg-type]
    try:
        yield parts
    finally:
        parts.close()
