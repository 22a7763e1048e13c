"""The laws and the state machine over the server store, on TimescaleDB."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from pulsebase.stores.postgres.options import PoolOptions
from pulsebase.stores.postgres.roles import API
from pulsebase.stores.timescale.options import TimescaleOptions
from pulsebase.stores.timescale.store import TimescaleStore
from tests.stores.harness import Harness, Kept, StoredRow
from tests.stores.laws import StoreLaws
from tests.stores.machine import machine_of
from tests.support.postgres import PASSWORDS, as_role, empty_postgres, empty_timescale

#: Merges happen where the tests say so, not when a clock says so.
BY_HAND = TimescaleOptions(PoolOptions(size=1, overflow=4), merge_interval_s=3600)

_BACK_DOOR = """
SELECT user_id, device_id, (extract(epoch FROM timestamp) * 1000000)::bigint, v, confidence, origin
FROM (
    SELECT 0 AS seq, user_id, device_id, timestamp, (value * 100)::int AS v, confidence, origin
    FROM activities_heart_intraday
    UNION ALL SELECT 0, user_id, device_id, timestamp, v, confidence, origin FROM pulsebase.other_readings
    UNION ALL SELECT seq, user_id, device_id, timestamp, v, confidence, origin FROM pulsebase.stage
) AS versions ORDER BY seq
"""


class TimescaleHarness(Harness):
    """A store in an empty database, opened as the role that serves; the back door is the superuser's."""

    options = BY_HAND
    keeps_in_memory = False

    def __init__(self) -> None:
        self.url = self.empty_database()
        self.store: TimescaleStore = TimescaleStore(self.served_url, self.options)

    @property
    def served_url(self) -> str:
        return as_role(self.url, API, PASSWORDS.api or "")

    @staticmethod
    def empty_database() -> str:
        return empty_timescale()

    def reopen(self) -> None:
        self.store.close()
        self.store = TimescaleStore(self.served_url, self.options)

    def settle(self) -> None:
        self.store.settle()

    def back_door(self) -> list[StoredRow]:
        """Hypertable and stage, put together without any code of the store's queries."""
        with psycopg.connect(self.url, prepare_threshold=None) as connection:
            pushes = connection.execute("SELECT origin FROM pulsebase.origins WHERE kind = 'push'").fetchall()
            kept = Kept([number for (number,) in pushes])
            for key, device_id, time_us, *rest in connection.execute(_BACK_DOOR).fetchall():
                user_id, _, metric = key.partition("\x1f")
                kept.add((user_id, device_id, time_us, metric or "heart_rate"), *rest)
        return kept.rows()


class PostgresHarness(TimescaleHarness):
    """The same on plain PostgreSQL, where sessions are real: no hypertables, everything else. Writes of several
    readings are large ones, which are not staged.
    """

    options = replace(BY_HAND, hypertables=False, merge_at_once=3)

    @staticmethod
    def empty_database() -> str:
        return empty_postgres()


class TestTimescaleLaws(StoreLaws, harness=TimescaleHarness):
    """Every law, nothing overridden."""


TestTimescaleMachine = machine_of(TimescaleHarness, max_examples=4)
TestPostgresMachine = machine_of(PostgresHarness, max_examples=6)
