"""The server store when its server, or the way to it, fails; and several processes on one database.

On plain PostgreSQL: the sessions, locks and crashes are real.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from pulsebase.model.errors import (
    OutcomeUnknownError,
    QueryCancelledError,
    QueryTimeoutError,
    StopError,
    StoreUnavailableError,
)
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import DAY_US, MAX_US, SECOND_US, TimeRange
from pulsebase.stores.contract import Cancellation, SeriesQuery
from pulsebase.stores.postgres.database import connect
from pulsebase.stores.postgres.locks import lock_commits, lock_merges
from pulsebase.stores.postgres.options import PoolOptions
from pulsebase.stores.timescale.aggregates import find_stale, forget_stale
from pulsebase.stores.timescale.options import TimescaleOptions
from pulsebase.stores.timescale.store import TimescaleStore
from tests.stores.harness import Reading, at, batch_of, rows_of, span, write
from tests.support.postgres import execute, plain_postgres
from tests.support.process import wait_until
from tests.support.wire import Cut, FailingWire

TEN = at("2024-01-15T10:00:00")
QUICK = TimescaleOptions(PoolOptions(1, 3, timeout_s=5), merge_interval_s=3600, hypertables=False)


@pytest.fixture
def url() -> str:
    return plain_postgres().new_database()


@pytest.fixture
def store(url: str) -> Iterator[TimescaleStore]:
    opened = TimescaleStore(url, QUICK)
    yield opened
    opened.close()


def stored(store: TimescaleStore) -> list[int]:
    values: list[int] = store.stored()["value"].to_pylist()
    return values


def minutes(timeout_s: float | None = None, cancellation: Cancellation | None = None) -> SeriesQuery:
    asked = TimeRange(TEN, TEN + 3600 * 1_000_000)
    return SeriesQuery("ann", asked, Resolution.MINUTE, timeout_s=timeout_s, cancellation=cancellation)


def often(options: TimescaleOptions) -> TimescaleOptions:
    """Merges all the time."""
    return replace(options, merge_readings=50, merge_interval_s=0.01)


def question(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def hang_up(url: str) -> None:
    """End every other session of the database, as a restart of the server would."""
    execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


@contextlib.contextmanager
def holding(url: str, statement: str) -> Iterator[None]:
    """What the statement locks stays locked during the block."""
    with psycopg.connect(url) as connection:
        connection.execute(statement)
        yield
        connection.rollback()


# --- a server that goes away ---------------------------------------------------------------------------------------


def test_lost_connections_are_replaced_and_the_question_asked_again(store: TimescaleStore, url: str) -> None:
    write(store, Reading(TEN, 7000))
    hang_up(url)
    assert store.series(minutes()).num_rows == 1
    hang_up(url)
    write(store, Reading(TEN + 1, 7100))
    hang_up(url)
    assert stored(store) == [7000, 7100]


def test_nothing_acknowledged_is_lost_when_the_server_crashes(store: TimescaleStore) -> None:
    acknowledged: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        for n in range(30):
            if n == 10:
                crash = pool.submit(plain_postgres().control, "-m", "immediate", "restart")
            try:
                write(store, Reading(TEN + n, 7000 + n))
                acknowledged.append(7000 + n)
            except (StoreUnavailableError, OutcomeUnknownError):
                pass  # not acknowledged
            if n == 20:
                crash.result()
        write(store, Reading(TEN + 99, 9999))
    assert set(acknowledged) <= set(stored(store))
    store.settle()
    assert set(acknowledged) | {9999} <= set(stored(store))
    assert store.check().problems == ()


@pytest.mark.parametrize(("cut", "kept"), [("before", [7000]), ("after", [7000, 7100])])
def test_a_commit_whose_answer_is_lost_is_called_unknown_and_may_be_sent_again(
    url: str, cut: Cut, kept: list[int]
) -> None:
    wire = FailingWire(lambda: _connected(url))
    parts = urlsplit(url)
    store = TimescaleStore(f"postgresql://postgres@127.0.0.1:{wire.port}{parts.path}", QUICK)
    try:
        write(store, Reading(TEN, 7000))
        wire.cut_next(b"COMMIT", cut)
        with pytest.raises(OutcomeUnknownError, match="not known whether"):
            write(store, Reading(TEN + 1, 7100))
        assert wire.cuts == 1
        assert stored(store) == kept
        write(store, Reading(TEN + 1, 7100))
        assert stored(store) == [7000, 7100]
    finally:
        store.close()
        wire.close()


def test_a_write_whose_connection_is_cut_before_the_commit_is_done_again(url: str) -> None:
    wire = FailingWire(lambda: _connected(url))
    store = TimescaleStore(f"postgresql://postgres@127.0.0.1:{wire.port}{urlsplit(url).path}", QUICK)
    try:
        origin = store.register_origin("test", "laws")
        wire.cut_next(b"COPY", "after")
        write(store, Reading(TEN, 7000))
        assert wire.cuts == 1
        assert stored(store) == [7000]
        assert origin == store.register_origin("test", "laws")
    finally:
        store.close()
        wire.close()


def _connected(url: str) -> socket.socket:
    folder = parse_qs(urlsplit(url).query)["host"][0]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(Path(folder) / ".s.PGSQL.5432"))
    return connection


def test_a_commit_that_fails_keeps_nothing(store: TimescaleStore, url: str) -> None:
    write(store, Reading(TEN, 7000))
    execute(
        url,
        """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON pulsebase.stage DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION full_disk()
        """,
    )
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        write(store, Reading(TEN + 1, 7100, user_id="bob"))
    execute(url, "DROP TRIGGER full_disk ON pulsebase.stage")
    assert stored(store) == [7000]
    assert store.user("bob") is None
    write(store, Reading(TEN + 1, 7100))
    assert stored(store) == [7000, 7100]


# --- a server that is busy -----------------------------------------------------------------------------------------


def test_a_question_that_takes_too_long_is_cancelled_on_the_server(store: TimescaleStore, url: str) -> None:
    write(store, Reading(TEN, 7000))
    with holding(url, "LOCK TABLE activities_heart_intraday IN ACCESS EXCLUSIVE MODE"):
        with pytest.raises(QueryTimeoutError):
            store.series(minutes(timeout_s=0.2))
        left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute(left).fetchone() == (0,)
    assert store.series(minutes(timeout_s=60)).num_rows == 1


def test_a_question_that_is_taken_back_is_cancelled_on_the_server(store: TimescaleStore, url: str) -> None:
    write(store, Reading(TEN, 7000))
    cancellation = Cancellation()
    with holding(url, "LOCK TABLE activities_heart_intraday IN ACCESS EXCLUSIVE MODE"), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(store.series, minutes(cancellation=cancellation))
        _wait_for_a_waiter(url)
        cancellation.cancel()
        with pytest.raises(QueryCancelledError):
            asked.result(timeout=30)
    with pytest.raises(QueryCancelledError):
        store.series(minutes(cancellation=cancellation))
    assert store.series(minutes()).num_rows == 1


def test_while_merges_are_held_up_a_full_stage_says_so_and_blocks_that_need_no_stage_go_on(url: str) -> None:
    store = TimescaleStore(url, replace(QUICK, most_unmerged=2, merge_at_once=3))
    try:
        with connect(url) as merging:
            lock_merges(merging)
            store.pace(2, 0)
            write(store, Reading(TEN, 7000), Reading(TEN + 1, 7100))
            assert not store.has_room(0)
            with pytest.raises(StoreUnavailableError):
                store.pace(2, 0)
            store.pace(3, 0)
        assert store.has_room(30)  # asking has woken the merge
        write(store, Reading(TEN + 2, 7200))
        assert stored(store) == [7000, 7100, 7200]
    finally:
        store.close()


def test_a_stream_that_waits_for_room_is_told_when_that_is_taken_back(url: str) -> None:
    store = TimescaleStore(url, replace(QUICK, most_unmerged=1, merge_at_once=3))
    cancellation = Cancellation()
    try:
        with connect(url) as merging, ThreadPoolExecutor(1) as pool:
            merging.execute("BEGIN")
            lock_merges(merging)
            write(store, Reading(TEN, 7000))
            waiting = pool.submit(store.pace, 1, 3600, cancellation=cancellation)
            _wait_for_a_waiter(url)  # the merge that was asked for
            cancellation.cancel()
            with pytest.raises(StoreUnavailableError):
                waiting.result(30)
            merging.execute("ROLLBACK")
    finally:
        store.close()


def _wait_for_a_waiter(url: str, *, gone: bool = False) -> None:
    """Until a session waits for a lock, or none does any more."""
    with psycopg.connect(url, autocommit=True) as connection:
        waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while connection.execute(waiting).fetchone() != (not gone,):
            pass


def test_a_write_that_the_servers_time_limit_ends_keeps_nothing(url: str) -> None:
    execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET statement_timeout = '200ms'")
    store = TimescaleStore(url, QUICK)
    try:
        with psycopg.connect(url) as connection:
            lock_commits(connection)
            with pytest.raises(StoreUnavailableError, match="nothing was changed"):
                write(store, Reading(TEN, 7000))
        assert stored(store) == []
        write(store, Reading(TEN, 7000))
        assert stored(store) == [7000]
    finally:
        store.close()


def test_a_pool_run_dry_is_said_and_recovers(url: str) -> None:
    store = TimescaleStore(url, replace(QUICK, pool=PoolOptions(1, 0, timeout_s=0.2)))
    try:
        with (
            ThreadPoolExecutor(1) as pool,
            holding(url, "LOCK TABLE pulsebase.devices IN ACCESS EXCLUSIVE MODE"),
        ):
            asked = pool.submit(store.series, minutes())
            _wait_for_a_waiter(url)
            with pytest.raises(StoreUnavailableError, match="every connection"):
                store.user("ann")
        assert asked.result().num_rows == 0
        assert store.user("ann") is None
    finally:
        store.close()


def test_a_lock_that_is_not_to_be_had_is_tried_again(url: str) -> None:
    execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET lock_timeout = '150ms'")
    store = TimescaleStore(url, QUICK)
    try:
        with ThreadPoolExecutor(1) as pool:
            with holding(url, "LOCK TABLE pulsebase.stage IN ACCESS EXCLUSIVE MODE"):
                with pytest.raises(StoreUnavailableError, match="busy"):
                    write(store, Reading(TEN, 7000))
                writing = pool.submit(write, store, Reading(TEN, 7000))
                _wait_for_a_waiter(url)
                _wait_for_a_waiter(url, gone=True)
                _wait_for_a_waiter(url)  # the second attempt
            writing.result()
        assert stored(store) == [7000]
    finally:
        store.close()


def test_a_database_that_only_answers_questions_answers_them(store: TimescaleStore, url: str) -> None:
    write(store, Reading(TEN, 7000))
    execute(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_read_only = on")
    hang_up(url)
    with pytest.raises(StoreUnavailableError, match="only answers questions"):
        write(store, Reading(TEN + 1, 7100))
    assert store.series(minutes()).num_rows == 1
    store.ping()
    # Another process may begin there, with the origins it knows.
    other = TimescaleStore(url, QUICK)
    try:
        assert other.register_origin("test", "laws") == 1
    finally:
        other.close()


def test_a_replica_answers_what_its_server_has(
    store: TimescaleStore, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(store, Reading(TEN, 7000))
    with plain_postgres().replica() as there:
        replica = TimescaleStore(urlsplit(there)._replace(path=urlsplit(url).path).geturl(), often(QUICK))
        try:
            write(store, Reading(TEN + 1, 7100))
            wait_until(lambda: stored(replica) == [7000, 7100], "the replica followed")
            assert rows_of(replica.series(minutes())) == rows_of(store.series(minutes()))
            assert replica.register_origin("test", "laws") == 1
            replica.ping()
            for refused in (
                lambda: write(replica, Reading(TEN + 2, 7200)),
                lambda: replica.register_origin("test", "new"),
                lambda: replica.delete("ann", span("2024-01-15", "2024-01-16")),
            ):
                with pytest.raises(StoreUnavailableError, match="only answers questions") as caught:
                    refused()
                assert caught.value.retry_after_s > 0
            store.settle()
            wait_until(lambda: stored(replica) == [7000, 7100], "the replica followed")
            # That it cannot merge is none of its failures.
            assert (replica.statistics()["merge_failures"], caplog.messages) == (0, [])
        finally:
            replica.close()


REFRESHING = """
CREATE TABLE busy (who text);
CREATE TABLE refreshed (name text, first_at timestamptz, last_at timestamptz);
CREATE PROCEDURE refresh_continuous_aggregate(name text, first_at timestamptz, last_at timestamptz) LANGUAGE plpgsql AS
$$ BEGIN
    IF EXISTS (SELECT FROM busy) THEN
        RAISE 'could not refresh continuous aggregate due to a concurrent refresh' USING ERRCODE = '55P03';
    END IF;
    INSERT INTO refreshed VALUES (name, first_at, last_at);
END $$;
INSERT INTO busy VALUES ('a policy');
"""


def test_a_refresh_that_meets_another_one_is_done_later_by_whoever_is_there(store: TimescaleStore, url: str) -> None:
    """The extension's procedure as it answers then, on a server where others can be busy."""
    execute(url, REFRESHING)
    write(store, Reading(TEN, 7000), Reading(TEN + DAY_US, 7100))
    store.settle()
    store._refresh()
    store.close()
    found = "SELECT name, extract(epoch FROM last_at - first_at)::int / 86400 FROM refreshed ORDER BY name"
    assert question(url, found) == []
    execute(url, "DELETE FROM busy")
    other = TimescaleStore(url, QUICK)
    try:
        for _ in range(2):
            other._refresh()
            assert question(url, found) == [
                (f"public.activities_heart_intraday_{rung}", 2) for rung in ("1d", "1h", "1m")
            ]
        write(other, Reading(TEN, 7200))
        other.settle()
        other._refresh()
        assert len(question(url, found)) == 6
    finally:
        other.close()


def test_what_changes_during_a_refresh_is_refreshed_after_it(store: TimescaleStore, url: str) -> None:
    write(store, Reading(TEN, 7000))
    store.settle()
    with connect(url) as connection:
        seen = find_stale(connection)
        assert seen is not None
        write(store, Reading(TEN, 7100))
        store.settle()
        forget_stale(connection, seen)
        left = find_stale(connection)
        assert left is not None
        assert (left.interval, left.changes) == (seen.interval, 2)
        ((since_us,),) = connection.execute("SELECT since FROM pulsebase.stale", binary=True).fetchall()
        assert since_us == seen.asked_us


def test_a_database_that_loses_its_tables_says_what_to_do(store: TimescaleStore, url: str) -> None:
    execute(url, "DROP SCHEMA pulsebase CASCADE")
    with pytest.raises(StopError, match="run pulsebase db init"):
        store.user("ann")
    with pytest.raises(StopError, match="run pulsebase db init"):
        write(store, Reading(TEN, 7000))
    assert store.statistics()["merges"] == 0


# --- several processes on one database -----------------------------------------------------------------------------


def test_several_stores_write_and_merge_at_once(url: str) -> None:
    stores = [TimescaleStore(url, often(QUICK)) for _ in range(3)]
    try:

        def work(number: int) -> None:
            for n in range(20):
                write(
                    stores[number],
                    *(Reading(TEN + (n * 10 + k) * 1_000_000, 7000 + n, f"device_{number}") for k in range(10)),
                    Reading(TEN, 5000 + n, "shared"),
                )

        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(work, number) for number in range(3)]:
                done.result()
        for store in stores:
            assert store.stored().num_rows == 601
        report = stores[0].check()
        assert report.problems == ()
        assert report.readings == 601
        assert sum(store.statistics()["merge_failures"] for store in stores) == 0
    finally:
        for store in stores:
            store.close()


def test_large_writes_go_past_the_stage_and_keep_their_place_in_the_order(store: TimescaleStore, url: str) -> None:
    other = TimescaleStore(url, replace(QUICK, merge_at_once=3))
    staged = "SELECT count(*)::int FROM pulsebase.stage"
    try:
        write(store, Reading(TEN, 7000), Reading(TEN + 9, 7009))
        write(other, Reading(TEN, 8000), Reading(TEN + 1, 8001), Reading(TEN + 2, 8002, user_id="bob"))
        assert (stored(store), question(url, staged)) == ([8000, 8001, 7009, 8002], [(1,)])
        write(store, Reading(TEN, 7500))
        for _ in range(2):
            assert stored(other) == [7500, 8001, 7009, 8002]
            store.settle()
        assert [each.user.user_id for each in other.users("", 9, None)] == ["ann", "bob"]
        assert other.check().problems == ()
    finally:
        other.close()


def test_a_large_write_meets_rows_that_no_rollup_knows(url: str) -> None:
    store = TimescaleStore(url, replace(QUICK, merge_at_once=3))
    try:
        execute(
            url,
            "INSERT INTO activities_heart_intraday (timestamp, value, user_id, device_id, origin) "
            "SELECT TIMESTAMPTZ '2024-01-15T10:00:00Z' + n * INTERVAL '1 s', 50, 'ann', 'watch', 0 "
            "FROM generate_series(0, 5) AS n",
        )
        write(store, *(Reading(TEN + n * SECOND_US, 7000 + n, device_id="watch") for n in range(3)))
        assert stored(store) == [7000, 7001, 7002, 5000, 5000, 5000]
        assert store.check().problems == ()
    finally:
        store.close()


def test_a_large_write_leaves_out_what_has_expired(url: str) -> None:
    store = TimescaleStore(url, replace(QUICK, merge_at_once=3))
    try:
        horizon_us = TEN - TEN % DAY_US
        store.expire(horizon_us)
        write(store, *(Reading(horizon_us + n, 7000) for n in range(-2, 2)))
        expired = [Reading(horizon_us - 9 + n, 7000, user_id="eve") for n in range(3)]
        write(store, *expired)
        write(store, Reading(horizon_us, 7000), Reading(horizon_us + 1, 7000), expired[0])
        assert [row[2] for row in rows_of(store.stored())] == [horizon_us, horizon_us + 1]
        assert store.user("eve") is None
        assert store.check().problems == ()
    finally:
        store.close()


def test_an_origin_goes_while_others_write_and_merge(url: str) -> None:
    stores = [TimescaleStore(url, often(QUICK)) for _ in range(2)]
    try:
        file, watch = (stores[0].register_origin(kind, "both") for kind in ("import", "push"))
        readings = [Reading(TEN + n * 30_000_000, 7000 + n % 50, ("a", "b")[n % 2]) for n in range(1500)]
        stores[0].write([batch_of(readings, file)])

        def write_again() -> None:
            for first in range(0, 1500, 100):
                stores[1].write([batch_of([each._replace(value=9000) for each in readings[first : first + 50]], watch)])

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write_again)
            while stores[0].delete_origin(file, 40):
                pass
            writing.result()
        for store in stores:
            while store.delete_origin(file, 40):
                pass
            assert stored(store) == [9000] * 750
            assert store.origin_readings([file, watch]) == {file: 0, watch: 750}
        assert stores[0].check().problems == ()
    finally:
        for store in stores:
            store.close()


def test_an_origin_that_another_process_took_the_name_from_is_not_used_again(store: TimescaleStore, url: str) -> None:
    other = TimescaleStore(url, QUICK)
    try:
        before = store.register_origin("sync", "fitbit/ann")
        store.write([batch_of([Reading(TEN, 7000)], before)])
        other.remove_user("ann")
        again = store.register_origin("sync", "fitbit/ann")
        store.write([batch_of([Reading(TEN, 7100)], again)])
        assert again == other.register_origin("sync", "fitbit/ann") != before
        assert [each.name for each in other.origins() if other.origin_readings([each.number])[each.number]] == [
            "fitbit/ann"
        ]
    finally:
        other.close()


def test_an_export_is_of_one_state_whatever_another_process_does(store: TimescaleStore, url: str) -> None:
    other = TimescaleStore(url, often(QUICK))
    try:
        for user_id in ("ann", "bob", "cid"):
            write(other, *(Reading(TEN + n * 3_600_000_000, 7000 + n, user_id=user_id) for n in range(50)))
        batches = store.export(TimeRange(0, MAX_US))
        found = [next(batches)]
        other.delete("ann", span("2024-01-15", "2024-01-18"))
        write(other, *(Reading(TEN + n * 3_600_000_000, 9000) for n in range(50)))
        other.remove_user("bob")
        other.settle()
        found += batches
        values = [(row["user_id"], row["value"]) for batch in found[1:] for row in batch.to_pylist()]
        first_day = found[0].num_rows // 3
        assert sorted(values) == [(name, 7000 + n) for name in ("ann", "cid") for n in range(first_day, 50)]
    finally:
        other.close()


def test_a_stage_that_was_merged_is_left_tidy(url: str) -> None:
    """By the store's own thread, with no help from the server's."""
    execute(url, "ALTER TABLE pulsebase.stage SET (autovacuum_enabled = false)")
    store = TimescaleStore(url, replace(QUICK, merge_readings=1))
    try:
        write(store, *(Reading(TEN + n * 1000, 7000) for n in range(25_000)))
        with psycopg.connect(url, autocommit=True) as connection:
            empty = "SELECT pg_relation_size('pulsebase.stage') = 0"
            while connection.execute(empty).fetchone() != (True,):
                pass
        assert len(stored(store)) == 25_000
    finally:
        store.close()


def test_the_order_of_commits_holds_between_processes(url: str) -> None:
    one, other = (TimescaleStore(url, QUICK) for _ in range(2))
    try:
        for n in range(6):
            write((one, other)[n % 2], Reading(TEN, 7000 + n))
            if n == 3:
                one.settle()
            assert stored((other, one)[n % 2]) == [7000 + n]
        other.settle()
        assert stored(one) == [7005]
    finally:
        one.close()
        other.close()


def test_a_write_does_not_wait_for_another_processs_merge(store: TimescaleStore, url: str) -> None:
    with psycopg.connect(url) as connection:
        lock_merges(connection)
        write(store, Reading(TEN, 7000))
        assert stored(store) == [7000]
        merging = threading.Thread(target=store.settle)
        merging.start()
        _wait_for_a_waiter(url)
        write(store, Reading(TEN + 1, 7100))
    merging.join()
    assert stored(store) == [7000, 7100]
    assert store.check().problems == ()
