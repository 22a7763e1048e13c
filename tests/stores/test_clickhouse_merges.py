"""The thread that merges: it goes on by itself, in one process at a time, and holds writes back when it is behind."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pulsebase.model.errors import QueryTimeoutError, StoreUnavailableError
from pulsebase.stores.clickhouse import commits, merge
from pulsebase.stores.clickhouse.engine import Server
from pulsebase.stores.clickhouse.figures import Figures
from pulsebase.stores.clickhouse.merge_thread import MergeThread
from pulsebase.stores.clickhouse.options import ClickHouseOptions
from pulsebase.stores.contract import Cancellation
from tests.stores.clickhouse import EVER, OPTIONS, Parts, Urls, empty_store, opened
from tests.stores.harness import Reading, at
from tests.support.clickhouse.cluster import two_shards
from tests.support.postgres import execute
from tests.support.process import wait_until

TEN = at("2024-01-15T10:00:00")
SECOND = 1_000_000
AT_ONCE = ClickHouseOptions(grace_s=0, merge_interval_s=0.05)


@pytest.fixture
def urls() -> Urls:
    return empty_store()


@pytest.fixture
def parts(urls: Urls) -> Iterator[Parts]:
    with opened(urls) as found:
        yield found


def merging(parts: Parts, options: ClickHouseOptions) -> MergeThread:
    return MergeThread(parts.database, parts.cluster, options)


def fill(parts: Parts, readings: int) -> None:
    parts.write(*(Reading(TEN + n * SECOND, 7000, user_id=person) for n in range(readings // 2) for person in "ab"))


def merged(parts: Parts) -> bool:
    state = parts.database.read(commits.snapshot)
    return state.merged == state.last


def test_it_merges_by_itself_and_tells_how_far_it_is(parts: Parts) -> None:
    thread = merging(parts, AT_ONCE)
    for _ in range(3):
        fill(parts, 20)
    wait_until(lambda: thread.statistics()["unmerged_rows"] == 0, "all of it is merged")
    found = thread.statistics()
    assert (found["merge_failures"], found["merge_lag_seconds"]) == (0, 0)
    assert found["merges"] >= 1
    assert found["merge_seconds"] > 0
    of_store = Figures(parts.database, parts.cluster)
    figures = of_store.statistics()
    assert (figures["readings"], figures["stage_rows"], figures["waiting_commits"]) == (20, 60, 0)
    assert (figures["shards"], figures["reachable_shards"]) == (2, 2)
    assert figures["commit_in_flight_seconds"] == 0
    assert figures["most_parts"] > 0
    assert figures["size_bytes"] > 0
    stuck = parts.database.change(lambda connection: commits.take(connection, 1, 3600))
    figures = of_store.statistics()
    assert figures["waiting_commits"] == 1
    assert figures["commit_in_flight_seconds"] > 0
    parts.database.change(lambda connection: commits.abort(connection, stuck))
    parts.writer.delete("a", EVER)
    wait_until(lambda: merged(parts), "the deletion is merged")
    assert of_store.statistics()["readings"] == 10
    thread.ping()
    thread.close()
    thread.close()
    with pytest.raises(StoreUnavailableError, match="stopped"):
        thread.ping()
    fill(parts, 20)
    assert not merged(parts)


def commits_of(statement: str) -> int | None:
    """How many commits a merge takes into `readings` by this statement; None if it is another."""
    if not statement.lstrip().startswith("INSERT INTO readings"):
        return None
    first, end = map(int, re.findall(r"stamp >= (\d+) AND stamp < (\d+)", statement)[0])
    return (end - first) // commits.PLACES


def test_a_merge_that_a_shard_cannot_do_in_time_is_done_in_smaller_ones(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_LEAST_READINGS", 1)
    with opened(urls, merge_readings=256) as parts:
        for _ in range(8):
            fill(parts, 8)
        command, taken = Server.command, list[int]()

        def hasty(server: Server, statement: str, *rest: Any, **named: Any) -> None:
            if (size := commits_of(statement)) is not None:
                taken.append(size)
                if taken[-1] > 2:
                    raise QueryTimeoutError("too much at once")
            command(server, statement, *rest, **named)

        monkeypatch.setattr(Server, "command", hasty)
        parts.merger.step()
        parts.clock.now_s += OPTIONS.grace_s
        with pytest.raises(QueryTimeoutError):
            parts.merger.step()
        for _ in range(30):
            with contextlib.suppress(QueryTimeoutError):
                parts.merger.step()
        assert merged(parts)
        assert taken[0] == 8, "all of it is tried first"
        assert max(taken[1:]) <= 8
        assert 2 in taken
        assert len(parts.read("a")) == 4


def test_settling_gives_up_only_when_the_smallest_merge_takes_too_long(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_LEAST_READINGS", 2)
    with opened(urls, merge_readings=16) as parts:
        for _ in range(4):
            fill(parts, 2)
        command, most = Server.command, 1

        def hasty(server: Server, statement: str, *rest: Any, **named: Any) -> None:
            if (commits_of(statement) or 0) > most:
                raise QueryTimeoutError("too much at once")
            command(server, statement, *rest, **named)

        monkeypatch.setattr(Server, "command", hasty)
        parts.merger.merge_all()
        assert merged(parts)
        most = 0
        fill(parts, 2)
        with pytest.raises(QueryTimeoutError):
            parts.merger.merge_all()


def test_merges_that_take_long_are_made_smaller_before_they_take_too_long(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_LEAST_READINGS", 1)
    with opened(urls, merge_readings=256) as parts:
        for _ in range(20):
            fill(parts, 8)
        command, taken = Server.command, list[int]()

        def slow(server: Server, statement: str, *rest: Any, **named: Any) -> None:
            if (size := commits_of(statement)) is not None:
                taken.append(size)
                parts.clock.now_s += 2 * taken[-1]
            command(server, statement, *rest, **named)

        monkeypatch.setattr(Server, "command", slow)
        parts.merger.step()
        parts.clock.now_s += OPTIONS.grace_s
        while parts.merger.step():
            pass
        assert merged(parts)
        sizes = [size for size, _ in itertools.groupby(taken)]
        assert sizes[:3] == [8, 4, 2]
        assert max(sizes[2:]) <= 4


def test_settling_merges_what_is_there_though_it_is_young_and_another_process_has_the_lease(parts: Parts) -> None:
    thread = merging(parts, ClickHouseOptions(grace_s=3600, merge_interval_s=0.05))
    fill(parts, 20)
    assert thread.statistics()["unmerged_rows"] == 20
    assert parts.merger._hold_lease()
    thread.settle()
    assert merged(parts)
    assert thread.statistics()["unmerged_rows"] == 0
    thread.close()


def test_a_program_that_knows_no_days_keeps_nobody_from_merging(parts: Parts) -> None:
    holder = uuid.uuid4()
    assert parts.database.change(lambda connection: commits.hold_lease(connection, "merge", holder, 3600))
    thread = merging(parts, AT_ONCE)
    fill(parts, 20)
    wait_until(lambda: merged(parts), "it is merged beside that one")
    assert parts.database.change(lambda connection: commits.hold_lease(connection, "merge", holder, 3600))
    thread.close()


def test_writes_wait_for_merges_that_are_behind_and_go_on_when_they_have_caught_up(parts: Parts) -> None:
    thread = merging(parts, ClickHouseOptions(grace_s=3600, merge_interval_s=0.02, most_unmerged=40))
    fill(parts, 20)
    wait_until(lambda: thread._unmerged == 20, "the thread has seen them")
    assert thread.has_room(0)
    thread.pace(10, 0)
    fill(parts, 20)
    wait_until(lambda: not thread.has_room(0), "they fill the room")
    with pytest.raises(StoreUnavailableError):
        thread.pace(10, 0.05)
    cancellation, refused = Cancellation(), list[Exception]()

    def stream() -> None:
        try:
            thread.pace(1, 60, cancellation=cancellation)
        except StoreUnavailableError as error:
            refused.append(error)

    streaming = threading.Thread(target=stream)
    streaming.start()
    wait_until(lambda: thread._pacer._waiting, "a stream waits")
    cancellation.cancel()
    streaming.join(30)
    assert len(refused) == 1
    room: list[bool] = []
    waiting = threading.Thread(target=lambda: room.append(thread.has_room(60)))
    waiting.start()
    thread.settle()
    waiting.join(60)
    assert room == [True]
    thread.pace(10, 30)
    thread.close()


def test_merges_of_another_process_make_room_too(urls: Urls, parts: Parts) -> None:
    thread = merging(parts, ClickHouseOptions(grace_s=3600, merge_interval_s=0.02, most_unmerged=20))
    fill(parts, 20)
    wait_until(lambda: not thread.has_room(0), "they fill the room")
    with opened(urls) as other:
        other.merger.merge_all()
    assert thread.has_room(60)
    thread.close()


def test_much_that_waits_is_merged_before_the_grace_is_over(parts: Parts) -> None:
    thread = merging(parts, ClickHouseOptions(grace_s=1, merge_interval_s=0.02, most_unmerged=80))
    fill(parts, 20)
    wait_until(lambda: merged(parts), "it hurries")
    thread.close()


def test_it_goes_on_after_a_shard_was_dead(parts: Parts) -> None:
    thread = merging(parts, AT_ONCE)
    shard = two_shards().shards[1]
    fill(parts, 20)
    wait_until(lambda: merged(parts), "the first is merged")
    shard.kill()
    try:
        parts.write(Reading(TEN, 7100, user_id="b"))  # on the other one
        wait_until(lambda: thread.statistics()["merge_failures"] > 0, "a merge has failed")
        found = Figures(parts.database, parts.cluster).statistics()
        assert (found["shards"], found["reachable_shards"]) == (2, 1)
        assert not found.keys() & {"readings", "size_bytes", "stage_rows"}
        thread.ping()
    finally:
        shard.start()
    wait_until(lambda: merged(parts), "it goes on")
    thread.close()


def test_a_process_that_closes_hands_the_merges_over_at_once(urls: Urls, parts: Parts) -> None:
    first = merging(parts, AT_ONCE)
    fill(parts, 20)
    wait_until(lambda: merged(parts), "the first merges")
    first.close()
    with opened(urls) as other:
        second = merging(other, AT_ONCE)
        fill(other, 20)
        wait_until(lambda: merged(other), "the second does")
        second.close()
    assert OPTIONS.lease_s > 30, "it did not wait for that"


def test_two_threads_on_one_store_merge_everything_once(urls: Urls, parts: Parts) -> None:
    with opened(urls) as other:
        threads = [merging(parts, AT_ONCE), merging(other, AT_ONCE)]
        for _ in range(5):
            fill(parts, 20)
            fill(other, 20)
        execute(urls.postgres, "UPDATE pulsebase.leases SET ends_at = now() - interval '1 s'")
        wait_until(lambda: merged(parts), "all is merged")
        assert sum(each.statistics()["merge_failures"] for each in threads) == 0
        assert Figures(parts.database, parts.cluster).statistics()["readings"] == 20
        for each in threads:
            each.close()
