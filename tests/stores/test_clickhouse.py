"""The laws and the state machine over the store on a cluster, on two shards."""

from __future__ import annotations

import psycopg

from pulsebase.stores.clickhouse.commits import PLACES
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.clickhouse.store import ClickHouseStore
from pulsebase.stores.postgres.options import PoolOptions
from pulsebase.stores.postgres.roles import API
from tests.stores.harness import Harness, Kept, StoredRow
from tests.stores.laws import StoreLaws
from tests.stores.machine import machine_of
from tests.support.clickhouse.cluster import two_shards
from tests.support.clickhouse.store import empty_store, shared_client
from tests.support.postgres import PASSWORDS, as_role

#: Merges happen where the tests say so, not when a clock says so.
BY_HAND = ClickHouseOptions(PoolOptions(size=1, overflow=4), merge_interval_s=3600)
_ROWS = f"""
SELECT * FROM (
    SELECT 0 AS commit, person, metric, time, device, value, confidence, origin, 0 AS settles, gone, stamp
    FROM readings FINAL
    UNION ALL
    SELECT intDiv(stamp, {PLACES}), person, metric, time, device, value, confidence, origin, settles, gone, stamp
    FROM stage
) AS all_rows
ORDER BY stamp, commit
"""


class ClickHouseHarness(Harness):
    """A store on two shards, opened as the role that serves; the back door asks each shard by itself."""

    keeps_in_memory = False

    def __init__(self) -> None:
        self.urls = empty_store()
        self.store: ClickHouseStore = self._opened()

    def _opened(self) -> ClickHouseStore:
        return ClickHouseStore(as_role(self.urls.postgres, API, PASSWORDS.api or ""), self.urls.cluster, BY_HAND)

    def reopen(self) -> None:
        self.store.close()
        self.store = self._opened()

    def settle(self) -> None:
        self.store.settle()

    def back_door(self) -> list[StoredRow]:
        """Merged and staged rows, put together without any code of the store's questions."""
        with psycopg.connect(self.urls.postgres) as connection:
            people: dict[int, str] = dict(connection.execute("SELECT user_no, user_id FROM pulsebase.users").fetchall())
            devices: dict[int, str] = dict(
                connection.execute("SELECT device_no, device_id FROM pulsebase.devices").fetchall()
            )
            metrics: dict[int, str] = dict(
                connection.execute("SELECT metric_no, metric FROM pulsebase.metrics").fetchall()
            )
            pushes = connection.execute("SELECT origin FROM pulsebase.origins WHERE kind = 'push'").fetchall()
            done = {
                number
                for (number,) in connection.execute(
                    "SELECT number FROM pulsebase.commits WHERE state = 'done' "
                    "AND number > (SELECT merged FROM pulsebase.commit_marks)"
                ).fetchall()
            }
        kept = Kept([number for (number,) in pushes])
        for place in range(len(two_shards().shards)):
            found = shared_client(place).query(_ROWS).result_rows
            for commit, person, metric, time, device, value, confidence, *rest in found:
                if person not in people or not (commit == 0 or commit in done):
                    continue
                origin, settles, gone, _ = rest
                key = (people[person], devices[device], time, metrics[metric])
                if gone or settles:
                    kept.drop(key)
                if not gone:
                    kept.add(key, value, None if confidence < 0 else confidence, origin)
        return kept.rows()


class TestClickHouseLaws(StoreLaws, harness=ClickHouseHarness):
    """Every law, nothing overridden."""


TestClickHouseMachine = machine_of(ClickHouseHarness, max_examples=4)
