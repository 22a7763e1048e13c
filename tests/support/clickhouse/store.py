"""Stores on the cluster of two shards and a plain PostgreSQL."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from clickhouse_connect.driver.client import Client

from pulsebase.stores.clickhouse.migrate import set_up_both
from pulsebase.stores.postgres.database import connect
from tests.support.clickhouse.cluster import Cluster, two_shards
from tests.support.postgres import PASSWORDS, plain_postgres

#: Tables that say what the store is, not what is in it.
_KEPT = ("migrations", "commit_marks", "horizon", "metrics", "belongs")
_AS_AT_FIRST = (
    "UPDATE pulsebase.horizon SET start_at = 'epoch'; DELETE FROM pulsebase.metrics WHERE metric <> 'heart_rate'; "
    "UPDATE pulsebase.commit_marks "
    "SET last = 0, merging_to = 0, merged = 0, merged_readings = 0, days_to = 0, dropped_to = 0, expired_us = 0"
)


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the two halves are."""

    postgres: str
    cluster: str


def new_store(cluster: Cluster | None = None) -> Urls:
    """An empty store that is set up; on the cluster that tests share unless one is given."""
    cluster = cluster or two_shards()
    urls = Urls(plain_postgres().bare_database(), cluster.url_of(cluster.new_database()))
    with connect(urls.postgres) as connection:
        set_up_both(connection, urls.cluster, PASSWORDS)
    return urls


@functools.cache
def _shared() -> Urls:
    return new_store()


def empty_store() -> Urls:
    """A store that is set up and empty, the same each time: quicker than a new one. Who changes its tables, or leaves
    something at work on it, needs a new one. People are numbered from 1.
    """
    urls = _shared()
    with psycopg.connect(urls.postgres, autocommit=True) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'pulsebase'").fetchall()
        ours = ", ".join(f"pulsebase.{name}" for (name,) in found if name not in _KEPT)
        connection.execute(f"TRUNCATE {ours}, public.activities_heart_summary RESTART IDENTITY; {_AS_AT_FIRST}")
    for place in range(len(two_shards().shards)):
        client = shared_client(place)
        asked = (
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' "
            "AND total_rows > 0"
        )
        for (name,) in client.query(asked).result_rows:
            if name not in _KEPT:
                client.command(f"TRUNCATE TABLE {name}")
    return urls


@functools.cache
def shared_client(place: int) -> Client:
    """A client of a shard in the shared store; making one takes longer than what it is asked."""
    return two_shards().shards[place].client(database=urlsplit(_shared().cluster).path.strip("/"))
