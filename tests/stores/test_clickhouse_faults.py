"""Shards, writers and merges that end at the worst moment: nothing acknowledged is lost, nothing half is seen."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing.connection import Connection as Pipe
from typing import Any
from urllib.parse import urlsplit

import pytest
from clickhouse_connect.driver.httpclient import HttpClient

from pulsebase.model.errors import StopError, StoreUnavailableError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.resolution import Resolution
from pulsebase.model.timerange import TimeRange
from pulsebase.stores.clickhouse import commits
from pulsebase.stores.clickhouse.address import Address
from pulsebase.stores.clickhouse.commits import Snapshot
from pulsebase.stores.clickhouse.store import ClickHouseStore
from pulsebase.stores.contract import SeriesQuery
from pulsebase.stores.postgres.database import Connection
from tests.stores.clickhouse import EVER, OPTIONS, SYNCED, Parts, Urls, new_store, opened
from tests.stores.harness import Reading, at, batch_of
from tests.support.clickhouse.cluster import two_shards
from tests.support.postgres import execute, plain_postgres
from tests.support.process import wait_until

TEN = at("2024-01-15T10:00:00")
SECOND = 1_000_000
#: They have the numbers 1 and 2, and so lie on different shards.
PEOPLE = ("ann", "bob")
TOGETHER = 40
KILLS = 5

_PROCESSES = multiprocessing.get_context("forkserver")


@pytest.fixture
def urls() -> Iterator[Urls]:
    urls = new_store()
    with opened(urls) as parts:
        parts.write(*(Reading(TEN - SECOND, 6000, user_id=person) for person in PEOPLE))
    yield urls
    two_shards().drop_database(Address.of(urls.cluster).database)


@pytest.fixture
def parts(urls: Urls) -> Iterator[Parts]:
    with opened(urls) as found:
        assert values(found) == [[6000], [6000]]  # a server that was seen once is asked at once when it is back
        yield found


def values(parts: Parts) -> list[list[int]]:
    """The values of each person, by time."""
    return [[value for _, value, *_ in parts.read(person)] for person in PEOPLE]


def write_both(parts: Parts, value: int, rows: int = 1) -> None:
    parts.write(*(Reading(TEN + n * SECOND, value, user_id=person) for n in range(rows) for person in PEOPLE))


def instead(owner: Any, method: str, other: Callable[..., Any]) -> None:
    """Let this be called in place of a method."""
    setattr(owner, method, other)


# --- shards ---


@pytest.mark.parametrize("dead", [0, 1])
def test_a_write_while_a_shard_is_dead_leaves_nothing_to_be_seen(parts: Parts, dead: int) -> None:
    shard = two_shards().shards[dead]
    shard.kill()
    try:
        with pytest.raises(StoreUnavailableError):
            write_both(parts, 7000)
    finally:
        shard.start()
    assert values(parts) == [[6000], [6000]]
    write_both(parts, 7100)
    for _ in range(2):
        assert values(parts) == [[6000, 7100], [6000, 7100]]
        parts.merge()


def test_a_write_that_only_some_shards_took_is_not_seen(parts: Parts) -> None:
    first, second = parts.cluster.shards().values()
    second.command("ALTER TABLE stage ADD CONSTRAINT refused CHECK value != 7000", 30)
    with pytest.raises(RuntimeError, match="VIOLATED_CONSTRAINT"):
        write_both(parts, 7000)
    assert first.ask("SELECT count() AS n FROM stage WHERE value = 7000", 30)["n"].to_pylist() == [1]
    for _ in range(2):
        assert values(parts) == [[6000], [6000]]
        parts.merge()


@pytest.mark.parametrize("dying", [0, 1])
def test_a_write_in_which_a_shard_dies_leaves_nothing_to_be_seen(parts: Parts, dying: int) -> None:
    shard = two_shards().shards[dying]
    os.kill(shard.pid(), signal.SIGSTOP)  # so that the insertion is under way until the shard dies
    failures: list[Exception] = []

    def work() -> None:
        try:
            write_both(parts, 7000, rows=20_000)
        except StoreUnavailableError as error:
            failures.append(error)

    writer = threading.Thread(target=work)
    writer.start()
    try:
        wait_until(lambda: parts.database.read(in_flight) == 1, "the commit is in flight")
    finally:
        shard.kill()
        writer.join(60)
        shard.start()
    assert len(failures) == 1
    for _ in range(2):
        assert values(parts) == [[6000], [6000]]
        parts.merge()


def in_flight(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM pulsebase.commits WHERE state = 'in flight'").fetchone()
    return int(row[0]) if row else 0


@pytest.mark.parametrize("left", [0, 1 / 3, 0.99])
def test_an_answer_that_breaks_off_is_no_answer(parts: Parts, monkeypatch: pytest.MonkeyPatch, left: float) -> None:
    parts.write(*(Reading(TEN + n * SECOND, 7000) for n in range(100)))
    whole = HttpClient.raw_query

    def broken(client: HttpClient, *arguments: Any, **options: Any) -> bytes:
        answer = whole(client, *arguments, **options)
        return answer[: int(left * len(answer))]

    monkeypatch.setattr(HttpClient, "raw_query", broken)
    with pytest.raises(StoreUnavailableError, match="broke its answer off"):
        parts.read("ann")
    monkeypatch.undo()
    assert len(parts.read("ann")) == 101


def test_what_was_acknowledged_outlives_the_death_of_every_shard(parts: Parts) -> None:
    write_both(parts, 7000, rows=3)
    parts.merge()
    write_both(parts, 7100, rows=1)
    for shard in two_shards().shards:
        shard.kill()
    with pytest.raises(StoreUnavailableError):
        parts.read("ann")
    for shard in two_shards().shards:
        shard.start()
    assert values(parts) == [[6000, 7100, 7000, 7000]] * 2


def test_people_on_living_shards_are_written_and_read_while_another_is_dead(parts: Parts) -> None:
    dead = two_shards().shards[0]
    dead.kill()
    try:
        for n in range(4):  # whichever server is asked first
            parts.write(Reading(TEN + n * SECOND, 7000 + n))
            assert [value for _, value, *_ in parts.read("ann")] == [6000, *range(7000, 7001 + n)]
        with pytest.raises(StoreUnavailableError):
            parts.read("bob")
    finally:
        dead.start()
    assert [value for _, value, *_ in parts.read("bob")] == [6000]


def test_a_store_opens_while_a_shard_is_dead_and_serves_the_people_of_the_others(urls: Urls) -> None:
    dead = two_shards().shards[0]
    dead.kill()
    store = None
    try:
        store = ClickHouseStore(urls.postgres, urls.cluster)  # ann lies on the one, bob on the other
        asked = [SeriesQuery(person, TimeRange(TEN - SECOND, TEN), Resolution.RAW) for person in PEOPLE]
        assert store.series(asked[0]).num_rows == 1
        store.write([batch_of([Reading(TEN, 7000)], SYNCED, HEART_RATE.name)])
        with pytest.raises(StoreUnavailableError):
            store.write([batch_of([Reading(TEN, 7000, user_id="bob")], SYNCED, HEART_RATE.name)])
        for refused in (lambda: store.series(asked[1]), store.stored, store.ping, store.settle):
            with pytest.raises(StoreUnavailableError):
                refused()
    finally:
        dead.start()
        try:
            if store is not None:
                wait_until(lambda: not _refused(lambda: store.series(asked[1])), "the shard is seen")
                assert store.stored().num_rows == 3
                store.settle()
        finally:
            if store is not None:
                store.close()


def _refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except StoreUnavailableError:
        return True
    return False


def test_a_shard_that_comes_late_has_to_be_the_right_one(urls: Urls) -> None:
    late = two_shards().shards[0]
    name = urlsplit(urls.cluster).path.strip("/")
    with late.client(database=name) as client:
        client.command("RENAME TABLE belongs TO of_this_store")
        client.command("CREATE TABLE belongs AS of_this_store")
        client.command("INSERT INTO belongs SELECT generateUUIDv4(), shard, shards FROM of_this_store")
    with pytest.raises(StopError, match="belongs to another database"):
        ClickHouseStore(urls.postgres, urls.cluster)
    late.kill()
    store = None
    try:
        store = ClickHouseStore(urls.postgres, urls.cluster)
    finally:
        late.start()
    try:
        for refused in (lambda: store.overview("bob"), store.stored, store.settle):
            with pytest.raises((StoreUnavailableError, StopError), match=r"belongs to another|cannot be reached"):
                refused()
        overview = store.overview("ann")
        assert overview is not None
        assert overview.readings == 1
    finally:
        store.close()


def test_without_any_shard_a_store_is_refused(urls: Urls) -> None:
    nobody = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", urls.cluster)
    with pytest.raises(StoreUnavailableError, match="no server of the cluster"):
        ClickHouseStore(urls.postgres, nobody)


def test_a_shard_that_does_not_answer_ends_a_write_in_time(urls: Urls) -> None:
    shard = two_shards().shards[1]
    with opened(urls, insert_limit_s=1) as parts:
        assert values(parts) == [[6000], [6000]]
        os.kill(shard.pid(), signal.SIGSTOP)
        begun = time.monotonic()
        try:
            with pytest.raises(StoreUnavailableError):
                write_both(parts, 7000)
        finally:
            os.kill(shard.pid(), signal.SIGCONT)
        assert time.monotonic() - begun < 60
        assert values(parts) == [[6000], [6000]]


def test_shards_killed_at_any_moment_lose_nothing_and_tear_nothing(urls: Urls, parts: Parts) -> None:
    dice, acknowledged, stop = random.Random(7), set[int](), threading.Event()

    def write_on() -> None:
        with opened(urls) as own:
            for n in count():
                if stop.is_set():
                    return
                with contextlib.suppress(StoreUnavailableError):
                    own.write(
                        *(
                            Reading(TEN + n * SECOND, 7000 + n, f"d{k}", user_id=person)
                            for k in range(TOGETHER)
                            for person in PEOPLE
                        )
                    )
                    acknowledged.add(n)

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for _ in range(KILLS):
            before = len(acknowledged)
            wait_until(lambda before=before: len(acknowledged) > before + 1, "the writer goes on")
            time.sleep(dice.uniform(0, 0.1))
            shard = dice.choice(two_shards().shards)
            shard.kill()
            with contextlib.suppress(StoreUnavailableError):
                parts.merge()
            shard.start()
            parts.merge()
    finally:
        stop.set()
        writer.join(120)
    for _ in range(2):
        for person in PEOPLE:
            found = Counter(
                ((time_us - TEN) // SECOND, value) for time_us, value, *_ in parts.read(person) if time_us >= TEN
            )
            assert found == {(n, 7000 + n): TOGETHER for n in acknowledged}
        parts.merge()


# --- PostgreSQL ---


def test_a_write_during_which_postgresql_crashes_is_kept_or_refused(urls: Urls, parts: Parts) -> None:
    insert, server = parts.cluster.insert, plain_postgres()

    def crashing(*arguments: Any) -> None:
        insert(*arguments)
        server.control("-m", "immediate", "restart")

    instead(parts.cluster, "insert", crashing)
    write_both(parts, 7000)  # the commit is in the log, and can be ended
    instead(parts.cluster, "insert", insert)
    write_both(parts, 7100)
    for _ in range(2):
        assert values(parts) == [[6000, 7100], [6000, 7100]]
        parts.merge()


# --- writers ---


def _die_writing(urls: Urls, step: str, commit_lasts_s: float = 0.05) -> None:
    """Write, and be killed at this step."""

    def die(*_: object, **__: object) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def and_die(original: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any) -> Any:
            original(*arguments)
            die()

        return done

    with opened(urls, commit_lasts_s=commit_lasts_s) as parts:
        changes, change = count(), parts.database.change

        def changing(work: Any) -> Any:
            number = next(changes)
            if step == f"before change {number}":
                die()
            answer = change(work)
            if step == f"after change {number}":
                die()
            return answer

        instead(parts.database, "change", changing)
        if step == "before insertion":
            instead(parts.cluster, "insert", die)
        elif step == "after insertion":
            instead(parts.cluster, "insert", and_die(parts.cluster.insert))
        write_both(parts, 7000)
        os._exit(1)


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        ("before change 0", False),
        ("after change 0", False),
        ("before insertion", False),
        ("after insertion", False),
        ("before change 1", False),
        ("after change 1", True),
    ],
)
def test_a_writer_killed_at_any_step_keeps_all_or_nothing(urls: Urls, parts: Parts, step: str, kept: bool) -> None:
    process = _PROCESSES.Process(target=_die_writing, args=(urls, step))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    expected = [6000, 7000] if kept else [6000]
    assert values(parts) == [expected, expected]
    # It ends by itself, and merges go on.
    wait_until(lambda: parts.merger.step() >= 0 and parts.database.read(in_flight) == 0, "the commit ends by itself")
    parts.merge()
    state = parts.database.read(commits.snapshot)
    assert state.merged == state.last
    assert values(parts) == [expected, expected]


def test_nobody_waits_for_the_commit_of_a_dead_process(urls: Urls, parts: Parts) -> None:
    process = _PROCESSES.Process(target=_die_writing, args=(urls, "after insertion", 3600.0))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert parts.writer.delete("ann", EVER) == 1  # which waits until everything before it is decided
    assert values(parts) == [[], [6000]]


def test_a_writer_that_took_too_long_is_told_that_nothing_was_kept(urls: Urls, parts: Parts) -> None:
    insert = parts.cluster.insert

    def slowly(*arguments: Any) -> None:
        insert(*arguments)
        execute(
            urls.postgres, "UPDATE pulsebase.commits SET ends_at = now() - interval '1 s' WHERE state = 'in flight'"
        )
        parts.merge()

    instead(parts.cluster, "insert", slowly)
    with pytest.raises(StoreUnavailableError, match="nothing was kept"):
        write_both(parts, 7000)
    assert values(parts) == [[6000], [6000]]


def _write_on(urls: Urls, name: str, said: Pipe) -> None:
    with opened(urls) as parts:
        for n in count():
            parts.write(*(Reading(TEN + n * SECOND, 7000 + k, f"{name}_{k}") for k in range(TOGETHER)))
            said.send(n)


def test_processes_see_each_others_writes_at_once_and_whole(urls: Urls, parts: Parts) -> None:
    workers = []
    for name in ("one", "two"):
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=_write_on, args=(urls, name, theirs), daemon=True)
        process.start()
        theirs.close()
        workers.append((name, process, ours))
    acknowledged = dict.fromkeys(("one", "two"), 0)
    try:
        for _ in range(6):
            for name, _, said in workers:
                acknowledged[name] = said.recv() + 1
                assert_whole(parts, acknowledged)
            parts.merge()
    finally:
        for _, process, _ in workers:
            process.kill()
            process.join()
    for name, _, said in workers:
        with contextlib.suppress(EOFError):
            while True:
                acknowledged[name] = said.recv() + 1
    assert_whole(parts, acknowledged)


def assert_whole(parts: Parts, acknowledged: dict[str, int]) -> None:
    found: dict[tuple[str, int], int] = {}
    for time_us, _, device, _ in parts.read("ann"):
        if time_us >= TEN:
            key = device.partition("_")[0], (time_us - TEN) // SECOND
            found[key] = found.get(key, 0) + 1
    assert set(found.values()) <= {TOGETHER}
    for name, number in acknowledged.items():
        assert {(name, n) for n in range(number)} <= found.keys()


# --- merges ---


def optimize(parts: Parts) -> None:
    """Let the engine drop every row that was replaced."""
    for server in parts.cluster.shards().values():
        server.command("OPTIMIZE TABLE readings FINAL", 60)


def test_a_merge_during_a_question_takes_nothing_from_its_answer(parts: Parts) -> None:
    write_both(parts, 7000)
    parts.merge()
    ask, stale = parts.cluster.ask, list[Any]()

    def interrupted(statement: str, *rest: Any, **named: Any) -> Any:
        if not stale:
            stale.append(None)
            parts.writer.delete("ann", TimeRange(TEN, TEN + SECOND))
            parts.merge()
            optimize(parts)
            stale[0] = ask(statement, *rest, **named).num_rows
        return ask(statement, *rest, **named)

    instead(parts.cluster, "ask", interrupted)
    assert [value for _, value, *_ in parts.read("ann")] == [6000]
    assert stale == [1], "the state of the first attempt has lost a row, so its answer was no state at all"


def test_a_question_is_asked_again_only_if_a_merge_passed_it(parts: Parts) -> None:
    write_both(parts, 7000)
    asked, ask = list[str](), parts.cluster.ask

    def counting(statement: str, *rest: Any, **named: Any) -> Any:
        asked.append(statement)
        if len(asked) == 1:
            parts.merge()  # of what the question saw
        return ask(statement, *rest, **named)

    instead(parts.cluster, "ask", counting)
    assert [value for _, value, *_ in parts.read("ann")] == [6000, 7000]
    assert len(asked) == 1


def test_a_commit_in_flight_holds_merges_back_and_counts_when_it_is_done(parts: Parts) -> None:
    insert = parts.cluster.insert

    def overtaken(*arguments: Any) -> None:
        insert(*arguments)
        instead(parts.cluster, "insert", insert)
        write_both(parts, 7100)
        assert values(parts) == [[6000, 7100], [6000, 7100]]
        parts.merge()

    instead(parts.cluster, "insert", overtaken)
    write_both(parts, 7000, rows=2)  # its number is the lower one
    for _ in range(2):
        assert values(parts) == [[6000, 7100, 7000], [6000, 7100, 7000]]
        parts.merge()


def test_a_commit_is_merged_once_it_was_decided_for_a_grace(parts: Parts) -> None:
    assert parts.merger.step() == 0
    parts.clock.now_s += OPTIONS.grace_s - 1
    write_both(parts, 7000)
    assert parts.merger.step() == 0
    parts.clock.now_s += 1
    assert parts.merger.step() == 1
    parts.clock.now_s += OPTIONS.grace_s
    assert parts.merger.step() == 1


def test_a_merge_that_dies_between_shards_is_done_again_by_another_process(urls: Urls, parts: Parts) -> None:
    write_both(parts, 7000, rows=3)
    merge_shard = parts.merger._merge_shard
    done = list[None]()

    def dying(*arguments: Any) -> None:
        if done:
            raise ConnectionResetError
        done.append(merge_shard(*arguments))

    instead(parts.merger, "_merge_shard", dying)
    with pytest.raises(ConnectionResetError):
        parts.merge()
    assert values(parts) == [[6000, 7000, 7000, 7000]] * 2
    with opened(urls) as other:
        assert other.merge() == 0, "the lease is still the other's"
        execute(urls.postgres, "UPDATE pulsebase.leases SET ends_at = now() - interval '1 s'")
        write_both(other, 7100)
        other.merge()
        state = other.database.read(commits.snapshot)
        assert state.merged == state.last
        optimize(other)
        assert values(other) == [[6000, 7100, 7000, 7000]] * 2
        assert other.origins() == [SYNCED] * 8


def test_two_processes_that_both_merge_move_the_mark_once(urls: Urls, parts: Parts) -> None:
    write_both(parts, 7000, rows=3)
    with opened(urls) as other:
        merge_shard, late = parts.merger._merge_shard, list[int]()

        def overtaken(*arguments: Any) -> None:
            if not late:
                execute(urls.postgres, "UPDATE pulsebase.leases SET ends_at = now() - interval '1 s'")
                late.append(other.merge())
                other.merger.release()
                write_both(other, 7100)
            merge_shard(*arguments)

        instead(parts.merger, "_merge_shard", overtaken)
        assert (parts.merge(), late) == (0, [2])
        for _ in range(2):
            assert values(parts) == [[6000, 7100, 7000, 7000]] * 2
            parts.merge()


def test_merged_partitions_leave_the_stage_a_grace_later(urls: Urls, parts: Parts) -> None:
    parts.merge()
    before = commits.PARTITION - 2
    execute(
        urls.postgres,
        f"UPDATE pulsebase.commit_marks SET (last, merging_to, merged, days_to) = ({', '.join([str(before)] * 4)})",
    )
    write_both(parts, 7000)
    states: list[Snapshot] = [parts.database.read(commits.snapshot)]
    assert parts.merge() == 1
    staged = parts.staged()
    assert staged == 2 * len(PEOPLE)
    states.append(parts.database.read(commits.snapshot))
    parts.clock.now_s += OPTIONS.grace_s
    parts.merger.step()
    assert parts.staged() == 0
    assert values(parts) == [[6000, 7000]] * 2
    marks = parts.database.read(commits.marks)
    assert [state.holds(marks) for state in states] == [False, True]
    write_both(parts, 7100)
    assert values(parts) == [[6000, 7100]] * 2


def test_a_deletion_waits_for_writes_that_began_before_it(parts: Parts) -> None:
    insert, deleting = parts.cluster.insert, list[threading.Thread]()
    counts: list[int] = []

    def delete() -> None:
        counts.append(parts.writer.delete("ann", TimeRange(TEN, TEN + SECOND)))

    def overtaken(*arguments: Any) -> None:
        deleting.append(threading.Thread(target=delete))
        deleting[0].start()
        wait_until(lambda: parts.database.read(in_flight) == 2, "the deletion has begun")
        insert(*arguments)

    instead(parts.cluster, "insert", overtaken)
    parts.writer.write([batch_of([Reading(TEN, 7000)], SYNCED, HEART_RATE.name)], ())
    deleting[0].join(60)
    assert counts == [1]
    assert values(parts) == [[6000], [6000]]
