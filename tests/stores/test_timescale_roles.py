"""What the roles of a database may do, and what they may not, on plain PostgreSQL and on TimescaleDB.

That the role for serving may do all that a store promises is what the laws and the state machine try.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from pulsebase.model.errors import StopError
from pulsebase.model.metrics import HEART_RATE, OXYGEN_SATURATION
from pulsebase.model.timerange import DAY_US
from pulsebase.stores.contract import Store
from pulsebase.stores.postgres.database import connect
from pulsebase.stores.postgres.roles import API, EXPORTER, OWNER, RolePasswords, excess_rights
from pulsebase.stores.timescale.migrate import require_current, set_up
from pulsebase.stores.timescale.options import Policies
from pulsebase.stores.timescale.roles import apply_roles
from pulsebase.stores.timescale.store import TimescaleStore
from tests.stores.harness import Reading, at, batch_of
from tests.stores.test_timescale import BY_HAND, PostgresHarness, TimescaleHarness
from tests.support.postgres import PASSWORDS, as_role, bare_timescale, execute, plain_postgres

TEN = at("2024-01-15T10:00:00")
READINGS = "public.activities_heart_intraday"


@pytest.fixture(params=[PostgresHarness, TimescaleHarness], ids=["PostgreSQL", "TimescaleDB"])
def harness(request: pytest.FixtureRequest) -> Iterator[TimescaleHarness]:
    """A database with roles, some merged and some staged readings, and a person."""
    made: TimescaleHarness = request.param()
    write_metrics(made.store, Reading(TEN, 7000), Reading(TEN + DAY_US, 7100))
    made.settle()
    write_metrics(made.store, Reading(TEN + 1, 7200))
    yield made
    made.discard()


def write_metrics(store: Store, *readings: Reading) -> None:
    """Write each reading as one of heart rate and one of another metric, which are kept in different tables."""
    origin = store.register_origin("test", "roles")
    store.write([batch_of(readings, origin, metric) for metric in (HEART_RATE.name, OXYGEN_SATURATION.name)])


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        return connection.execute(statement).fetchall()


def refused(url: str, statement: str) -> bool:
    """Whether the server refuses it for want of rights; it must not carry it out."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        try:
            connection.execute(statement)
        except errors.InsufficientPrivilege:
            return True
    return False


BEYOND_SERVING = (
    f"DROP TABLE {READINGS}",
    f"TRUNCATE {READINGS}",
    "TRUNCATE pulsebase.other_readings",
    "DROP VIEW vital_signs",
    f"ALTER TABLE {READINGS} DROP COLUMN value",
    "DROP TABLE pulsebase.users",
    "DROP SCHEMA pulsebase CASCADE",
    "CREATE TABLE public.mine (a int)",
    "CREATE TABLE pulsebase.mine (a int)",
    "DELETE FROM pulsebase.migrations",
    "CREATE ROLE friend LOGIN",
    f"ALTER ROLE {API} SUPERUSER",
    f"GRANT {OWNER} TO {API}",
    f"SET ROLE {OWNER}",
    "CREATE DATABASE mine",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "COPY pulsebase.stage FROM PROGRAM 'true'",
    "COPY pulsebase.stage TO PROGRAM 'true'",
    "COPY pulsebase.users TO '/tmp/people'",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SELECT rolpassword FROM pg_authid",
    "CREATE OR REPLACE FUNCTION pulsebase.drop_expired_chunks() RETURNS void LANGUAGE sql AS 'SELECT'",
    "SELECT pulsebase.write_anew('pg_catalog.pg_authid')",
)


def test_the_role_for_serving_may_change_rows_and_nothing_else(harness: TimescaleHarness) -> None:
    assert [statement for statement in BEYOND_SERVING if not refused(harness.served_url, statement)] == []
    assert rows(harness.url, f"SELECT count(*) FROM {READINGS}") == [(2,)]


def test_the_role_for_serving_may_do_nothing_beyond_serving(harness: TimescaleHarness) -> None:
    with connect(harness.served_url) as connection:
        assert excess_rights(connection) is None
        require_current(connection, hypertables=harness.options.hypertables)
    with connect(harness.url) as connection:
        assert excess_rights(connection) == "it is a superuser"
    with connect(as_role(harness.url, OWNER)) as connection:
        assert excess_rights(connection) == "it owns the tables"


def test_the_role_for_serving_lets_readings_expire_by_whole_chunks(harness: TimescaleHarness) -> None:
    chunks = (
        "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = '{}'"
        if harness.options.hypertables
        else "SELECT 1"
    )
    tables = ("activities_heart_intraday", "other_readings")
    before = [rows(harness.url, chunks.format(table))[0][0] for table in tables]
    assert harness.store.expire(TEN + 14 * DAY_US).readings == 6
    assert harness.store.stored().num_rows == 0
    if harness.options.hypertables:
        assert min(before) > 0
        assert [rows(harness.url, chunks.format(table)) for table in tables] == [[(count - 1,)] for count in before]


def test_the_exporter_sees_what_the_server_says_of_itself_and_no_row(harness: TimescaleHarness) -> None:
    url = as_role(harness.url, EXPORTER, PASSWORDS.exporter or "")
    assert rows(url, "SELECT pg_database_size(current_database()) > 0, current_setting('data_directory') <> ''") == [
        (True, True)
    ]
    readable = (
        "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'v', 'm', 'p') AND has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE') "
        "AND (n.nspname IN ('pulsebase', 'public') OR c.relname ~ 'hyper_|_materialized_|_view_[0-9]')"
    )
    assert rows(url, readable) == []
    for table in (
        READINGS,
        "pulsebase.stage",
        "pulsebase.users",
        "pulsebase.h1",
        "pulsebase.erasure_key",
        "vital_signs",
    ):
        assert refused(url, f"SELECT * FROM {table}")
    if not harness.options.hypertables:  # the other engine has no such folder
        assert rows(url, "SELECT count(*) > 0 FROM pg_ls_waldir()") == [(True,)]
    assert refused(url, "SELECT pulsebase.drop_expired_chunks()")
    assert refused(url, "SELECT pg_read_file('/etc/passwd')")
    assert rows(url, "SELECT count(*) FROM pg_stats WHERE schemaname IN ('pulsebase', 'public')") == [(0,)]


def test_the_owner_brings_the_schema_forward_and_gives_the_others_what_is_new() -> None:
    url = plain_postgres().new_database()
    owner = as_role(url, OWNER)
    execute(url, "DROP TABLE pulsebase.horizon; DELETE FROM pulsebase.migrations WHERE number >= 3")
    execute(url, "DROP TABLE pulsebase.to_scrub, pulsebase.erased, pulsebase.erasure_receipts, pulsebase.erasure_key")
    execute(url, "DROP TABLE pulsebase.commit_notes, pulsebase.commit_notes_wanted, pulsebase.annotations")
    execute(url, "DROP TABLE pulsebase.other_readings, pulsebase.series, pulsebase.metrics CASCADE")
    execute(url, "DROP FUNCTION pulsebase.write_anew, pulsebase.drop_expired_chunks")
    with connect(owner) as connection:
        assert set_up(connection, Policies(), hypertables=False) == [3, 4, 5, 6, 9, 10]
        assert apply_roles(connection, RolePasswords()) == [OWNER, API, EXPORTER]
    store = TimescaleStore(as_role(url, API), PostgresHarness.options)
    try:
        write_metrics(store, Reading(TEN, 7000))
        assert rows(as_role(url, API), "SELECT count(*) FROM vital_signs_1h") == [(0,)]
        assert store.remove_user("ann") == 2
        store.scrub()
    finally:
        store.close()


def test_a_database_without_roles_is_left_as_it_is() -> None:
    url = bare_timescale()
    with connect(url) as connection:
        set_up(connection, Policies())
        assert apply_roles(connection, RolePasswords()) == []
    owners = "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname IN ('pulsebase', 'public')"
    assert rows(url, owners) == [("postgres",)]
    store = TimescaleStore(url, BY_HAND)
    try:
        write_metrics(store, Reading(TEN, 7000))
        assert store.remove_user("ann") == 2
        store.scrub()
        assert store.expire(TEN + DAY_US).readings == 0
    finally:
        store.close()
        bare_timescale()


def test_what_a_superuser_has_set_up_before_is_handed_over_with_its_readings() -> None:
    url = bare_timescale()
    with connect(url) as connection:
        set_up(connection, Policies())
    store = TimescaleStore(url, BY_HAND)
    write_metrics(store, Reading(TEN, 7000))
    store.settle()
    store.close()
    with connect(url) as connection:
        apply_roles(connection, PASSWORDS)
    store = TimescaleStore(as_role(url, API), BY_HAND)
    try:
        write_metrics(store, Reading(TEN, 7100), Reading(TEN + 1, 7200))
        store.settle()
        store._refresh()
        assert store.check().problems == ()
        assert store.remove_user("ann") == 4
        store.scrub()
    finally:
        store.close()
        bare_timescale()


def test_passwords_go_to_the_server_as_verifiers_alone() -> None:
    url = plain_postgres().new_database()
    sent: list[str] = []
    with connect(url) as connection:
        connection.add_notice_handler(lambda notice: sent.append(f"{notice.message_primary}"))
        connection.execute("SET log_statement = 'all'; SET client_min_messages = 'log'")
        apply_roles(connection, RolePasswords("a long secret", "another long secret"))
    ours = [line for line in sent if "PASSWORD" in line]
    assert len(ours) == 2
    assert not any("secret" in line for line in sent)
    ((stored,),) = rows(url, f"SELECT rolpassword FROM pg_authid WHERE rolname = '{API}'")
    kind, salted, keys = stored.split("$")
    rounds, salt = salted.split(":")
    assert kind == "SCRAM-SHA-256"
    derived = hashlib.pbkdf2_hmac("sha256", b"a long secret", base64.b64decode(salt), int(rounds))
    client_key = hmac.digest(derived, b"Client Key", "sha256")
    assert base64.b64decode(keys.split(":")[0]) == hashlib.sha256(client_key).digest()
    assert rows(url, f"SELECT rolpassword FROM pg_authid WHERE rolname = '{OWNER}'") == [(None,)]


def test_a_role_of_that_name_that_may_far_more_is_refused() -> None:
    url = plain_postgres().new_database()
    execute(url, f"ALTER ROLE {EXPORTER} CREATEROLE")
    try:
        with connect(url) as connection, pytest.raises(StopError, match=f"{EXPORTER} exists and may do far more"):
            apply_roles(connection, PASSWORDS)
    finally:
        execute(url, f"ALTER ROLE {EXPORTER} NOCREATEROLE")


def test_who_may_not_make_roles_is_told_so() -> None:
    url = plain_postgres().new_database()
    with connect(as_role(url, API)) as connection, pytest.raises(StopError, match="takes a superuser"):
        apply_roles(connection, PASSWORDS)
