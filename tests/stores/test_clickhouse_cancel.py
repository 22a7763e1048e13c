"""A question that was taken back, or took too long, ends on every shard."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pulsebase.model.errors import QueryCancelledError, QueryTimeoutError, StoreUnavailableError
from pulsebase.stores.contract import Cancellation
from tests.stores.clickhouse import Parts, new_store, opened
from tests.stores.harness import Reading, at
from tests.support.clickhouse.cluster import two_shards
from tests.support.process import wait_until

TEN = at("2024-01-15T10:00:00")
#: Takes a minute on each of two shards, and ends within half a second when it is told to.
SLOW = (
    "SELECT person, sum(sleepEachRow(0.05)) AS slept FROM all_rows WHERE person > 0 GROUP BY person "
    "SETTINGS max_block_size = 10, function_sleep_max_microseconds_per_block = 100000000"
)


@pytest.fixture
def parts() -> Iterator[Parts]:
    with opened(new_store()) as found:
        found.write(*(Reading(TEN + n * 1_000_000, 7000, user_id=person) for n in range(1200) for person in "ab"))
        yield found


def running(parts: Parts) -> list[int]:
    """How many questions run on each shard."""
    asked = "SELECT count() AS n FROM system.processes WHERE query LIKE '%sleepEachRow%' AND query NOT LIKE '%system.%'"
    return [server.ask(asked, 10)["n"][0].as_py() for server in parts.cluster.shards().values()]


def test_a_question_that_was_taken_back_ends_on_every_shard(parts: Parts) -> None:
    cancellation, failures = Cancellation(), list[Exception]()

    def ask() -> None:
        try:
            parts.cluster.ask(SLOW, 60, cancellation=cancellation)
        except QueryCancelledError as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: all(running(parts)), "the question runs on both shards")
    cancellation.cancel()
    asking.join(30)
    assert len(failures) == 1
    wait_until(lambda: not any(running(parts)), "it has ended everywhere")
    with pytest.raises(QueryCancelledError):
        parts.cluster.ask("SELECT 1 AS one", 10, cancellation=cancellation)
    assert parts.cluster.ask("SELECT 1 AS one", 10, cancellation=Cancellation()).num_rows == 1


def test_a_question_that_takes_too_long_ends_on_every_shard(parts: Parts) -> None:
    with pytest.raises(QueryTimeoutError):
        parts.cluster.ask(SLOW, 0.5)
    wait_until(lambda: not any(running(parts)), "it has ended everywhere")


def test_a_server_that_says_nothing_is_given_up_soon_after_the_limit(parts: Parts) -> None:
    shard, begun = two_shards().shards[0], time.monotonic()
    server = parts.cluster.shards()[1]
    os.kill(shard.pid(), signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError):
            server.ask("SELECT 1 AS one", 1)
    finally:
        os.kill(shard.pid(), signal.SIGCONT)
    assert time.monotonic() - begun < 60  # rather than after the longest limit
