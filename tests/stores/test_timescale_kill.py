"""Two processes on one server store, of which one is killed: the other goes on with what it left behind.

On plain PostgreSQL: the sessions, locks and crashes are real.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from multiprocessing.connection import Connection

import psycopg
import pytest

from pulsebase.model.timerange import SECOND_US
from pulsebase.stores.postgres.options import PoolOptions
from pulsebase.stores.timescale.options import TimescaleOptions
from pulsebase.stores.timescale.store import TimescaleStore
from tests.stores.harness import Reading, at, rows_of, write
from tests.support.postgres import plain_postgres

TEN = at("2024-01-15T10:00:00")
BY_HAND = TimescaleOptions(PoolOptions(1, 3, timeout_s=30), merge_interval_s=3600, hypertables=False)
#: Readings of one write, which is seen whole or not at all.
TOGETHER = 40
KILLS = 6


class Worker:
    """A process that writes and merges, over and over, and what was acknowledged to it."""

    def __init__(self, url: str, name: str) -> None:
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload([__name__])
        self._said, theirs = processes.Pipe(duplex=False)
        self._process = processes.Process(target=_write_and_merge, args=(url, name, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.acknowledged = 0

    def wait_for(self, acknowledged: int) -> None:
        while self.acknowledged < acknowledged:
            self._said.recv()
            self.acknowledged += 1

    def kill(self) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        with contextlib.suppress(EOFError):
            self.wait_for(1 << 30)


def _write_and_merge(url: str, name: str, acknowledged: Connection) -> None:
    store = TimescaleStore(url, BY_HAND)
    for n in count():
        write(store, *(Reading(TEN + (n * TOGETHER + k) * SECOND_US, 7000 + n, name) for k in range(TOGETHER)))
        acknowledged.send(n)
        store.settle()


@pytest.fixture
def url() -> str:
    return plain_postgres().new_database()


@pytest.fixture
def other(url: str) -> Iterator[TimescaleStore]:
    """The process that goes on."""
    opened = TimescaleStore(url, BY_HAND)
    yield opened
    opened.close()


def test_a_process_killed_in_the_middle_of_a_merge_leaves_it_to_another(url: str, other: TimescaleStore) -> None:
    with psycopg.connect(url) as holding:
        holding.execute("LOCK TABLE activities_heart_intraday IN SHARE MODE")  # questions are answered, merges wait
        worker = Worker(url, "killed")
        worker.wait_for(1)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'activities_heart_intraday'::regclass"
        while holding.execute(waiting).fetchone() != (1,):
            pass
        worker.kill()
        write(other, Reading(TEN, 9000))
        before = rows_of(other.stored())
        assert len(before) == TOGETHER + 1
    other.settle()
    assert rows_of(other.stored()) == before
    report = other.check()
    assert (report.problems, report.readings) == ((), TOGETHER + 1)


def test_processes_killed_at_any_moment_lose_nothing_and_double_nothing(url: str) -> None:
    other = TimescaleStore(url, replace(BY_HAND, merge_readings=1, merge_interval_s=0.01))
    dice = random.Random(5)
    acknowledged = {}
    try:
        for kill in range(KILLS):
            worker = Worker(url, f"worker_{kill}")
            worker.wait_for(1 + dice.randrange(3))
            time.sleep(dice.uniform(0, 0.03))
            write(other, Reading(TEN + kill, 5000))
            worker.kill()
            acknowledged[f"worker_{kill}"] = worker.acknowledged
        report = other.check()
        assert report.problems == ()
        found = Counter((device, value) for _, device, _, value, *_ in rows_of(other.stored()))
        assert found.pop(("device_a", 5000)) == KILLS
        assert set(found.values()) == {TOGETHER}
        for name, count_of in acknowledged.items():
            assert {(name, 7000 + n) for n in range(count_of)} <= found.keys()
        # Whoever was killed may have committed one more, whose acknowledgement it had no time to pass on.
        assert sum(acknowledged.values()) <= len(found) <= sum(acknowledged.values()) + KILLS
        assert other.statistics()["merge_failures"] == 0
    finally:
        other.close()
