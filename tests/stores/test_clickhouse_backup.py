"""A backup of both halves, made as the guide tells, brings the store back as it was."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from pulsebase.model.timerange import SECOND_US, TimeRange
from pulsebase.stores.clickhouse.store import ClickHouseStore
from tests.stores.harness import Reading, at, rows_of, write
from tests.stores.test_clickhouse import BY_HAND
from tests.support.clickhouse.cluster import GIVEN_URL, two_shards
from tests.support.clickhouse.store import new_store
from tests.support.needs import need
from tests.support.postgres import execute, plain_postgres

TEN = at("2024-01-15T10:00:00")
#: They lie on both shards.
PEOPLE = ("ann", "bob")


def fill(store: ClickHouseStore, value: int) -> None:
    write(store, *(Reading(TEN + n * SECOND_US, value, user_id=person) for n in range(20) for person in PEOPLE))


def test_both_halves_come_back_as_they_were(tmp_path: Path) -> None:
    need(GIVEN_URL not in os.environ, "servers that may keep backups in their folders")
    urls = new_store()
    database, name = urlsplit(urls.postgres).path.strip("/"), urlsplit(urls.cluster).path.strip("/")
    store = ClickHouseStore(urls.postgres, urls.cluster, BY_HAND)
    fill(store, 7000)
    store.settle()
    fill(store, 7100)  # which stays in the stage
    store.delete("ann", TimeRange(TEN, TEN + 5 * SECOND_US))
    before = rows_of(store.stored())
    store.close()

    postgres, dump = plain_postgres(), str(tmp_path / "pulse.dump")
    postgres.run("pg_dump", "--format=custom", f"--file={dump}", urls.postgres)
    for shard in two_shards().shards:
        with shard.client() as client:
            client.command(f"BACKUP DATABASE {name} TO File('{name}')")

    store = ClickHouseStore(urls.postgres, urls.cluster, BY_HAND)
    fill(store, 9000)
    store.settle()
    store.close()

    execute(postgres.url, f"DROP DATABASE {database} WITH (FORCE)")
    execute(postgres.url, f"CREATE DATABASE {database}")
    postgres.run("pg_restore", f"--dbname={urls.postgres}", dump)
    for shard in two_shards().shards:
        with shard.client() as client:
            client.command(f"DROP DATABASE {name} SYNC")
            client.command(f"RESTORE DATABASE {name} FROM File('{name}')")

    store = ClickHouseStore(urls.postgres, urls.cluster, BY_HAND)
    assert rows_of(store.stored()) == before
    assert store.check().problems == ()
    fill(store, 9500)
    store.settle()
    assert [row[3] for row in rows_of(store.stored())] == [9500] * 40
    store.close()
