"""What the server's files hold of somebody who was removed, before and after a scrub."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import psycopg

from pulsebase.model.metrics import HEART_RATE, OXYGEN_SATURATION
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import SECOND_US
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.erasures import Erasure, mark_of
from tests.stores.harness import Reading, at, batch_of
from tests.stores.test_timescale import PostgresHarness, TimescaleHarness

TEN = at("2024-01-15T10:00:00")
METRICS_USED = (HEART_RATE.name, OXYGEN_SATURATION.name)
SECRET, NAME = "person-who-wants-to-be-forgotten", "Forgettable Fortescue"


def removed(harness: TimescaleHarness) -> None:
    store = harness.store
    origin = store.register_origin("test", "scrub")
    for user_id in (SECRET, "bob"):
        readings = [Reading(TEN + n * SECOND_US, 7000, f"{user_id}s", user_id=user_id) for n in range(100)]
        store.write([batch_of(readings, origin, metric) for metric in METRICS_USED])
        store.put_user(User(user_id, NAME if user_id == SECRET else None))
        store.put_priority(DevicePriority(user_id, f"{user_id}s", 1))
        store.put_summaries([DailySummary(user_id, date(2024, 1, 15), 50.0, None)])
    store.register_origin("sync", f"cloud/{SECRET}")
    harness.settle()
    store.write([batch_of([Reading(TEN, 7100, user_id=SECRET)], origin, metric) for metric in METRICS_USED])
    assert store.remove_user(SECRET) == 202


def files_with(url: str, *texts: str) -> list[str]:
    """Our tables and indexes whose files hold one of the texts."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("CHECKPOINT")
        ((folder,),) = connection.execute("SHOW data_directory").fetchall()
        found = connection.execute(
            "SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't', 'm') AND "
            "relnamespace::regnamespace::text IN ('pulsebase', 'public')"
        ).fetchall()
    return sorted(
        name for name, path in found if any(text.encode() in (Path(folder) / path).read_bytes() for text in texts)
    )


def test_after_a_scrub_no_table_and_no_index_has_a_byte_of_who_was_removed() -> None:
    harness = PostgresHarness()
    try:
        removed(harness)
        assert {"users", "activities_heart_intraday", "other_readings", "series"} <= set(
            files_with(harness.url, SECRET, NAME)
        )
        harness.store.scrub()
        assert files_with(harness.url, SECRET, NAME) == []
        assert "users" in files_with(harness.url, "bob")
        assert harness.store.check().problems == ()
    finally:
        harness.discard()


def test_chunks_and_aggregates_are_written_anew() -> None:
    harness = TimescaleHarness()
    try:
        removed(harness)
        harness.store.scrub()
        with psycopg.connect(harness.url, prepare_threshold=None) as connection:
            assert connection.execute("SELECT count(*) FROM pulsebase.to_scrub").fetchall() == [(0,)]
            for table in (
                "activities_heart_intraday",
                "activities_heart_intraday_1h",
                "activities_heart_summary",
                "vital_signs",
            ):
                # Aggregates may still show people of other tests, whose rows were taken away behind the server's back.
                people = {user_id for (user_id,) in connection.execute(f"SELECT user_id FROM {table}")}
                assert "bob" in people
                assert SECRET not in people
            internal = connection.execute(
                "SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks "
                "WHERE hypertable_name = 'other_readings'"
            ).fetchall()
            ((chunk,),) = internal
            kept = {key for (key,) in connection.execute(f"SELECT user_id FROM {chunk}")}
            assert kept == {f"bob\x1f{METRICS_USED[1]}"}
        assert harness.store.stored().num_rows == 200
        assert harness.store.check().problems == ()
    finally:
        harness.discard()


def test_the_log_is_shared_by_every_process() -> None:
    harness = PostgresHarness()
    try:
        said = harness.store.capabilities()
        assert (said.writes_alone, said.embedded) == (False, None)
        assert said.erasure_log is not None
        log, other = said.erasure_log(), said.erasure_log()
        key = log.key()
        assert key is not None
        assert other.key() == key
        log.add(mark_of(key, SECRET), Erasure("a", 1))
        log.update(Erasure("a", 1, hidden_us=2, deleted={"readings": 3}))
        assert other.find("a") == Erasure("a", 1, hidden_us=2, deleted={"readings": 3})
        assert other.receipts() == [log.find("a")]
        assert other.marks() == {mark_of(key, SECRET)}
        assert (other.allow(mark_of(key, SECRET)), log.allow(mark_of(key, SECRET))) == (True, False)
        assert log.marks() == frozenset()
        assert files_with(harness.url, SECRET) == []
    finally:
        harness.discard()
