"""Real servers for the tests of the server store, each started once a test process, and their empty databases.

TimescaleDB is one compiled to WebAssembly (`timescale/`): everything the store needs, but one session, so no two
transactions at once, no cancelling, no time limits and no background jobs. Plain PostgreSQL has those, and no
hypertables: there the store runs without its second migration. `PULSEBASE_TEST_TIMESCALE_URL` names a full server
(a user who may create databases) that takes the place of the first.
"""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from pulsebase.stores.timescale.database import connect
from pulsebase.stores.timescale.migrate import set_up
from pulsebase.stores.timescale.options import Policies
from tests.support.needs import need, need_program

_FOLDER = Path(__file__).parent / "timescale"
_TABLES = "users, devices, priorities, origins, stage, h1_dev, q15, h1, d1".replace(", ", ", pulsebase.").join(
    ("pulsebase.", ", public.activities_heart_intraday, public.activities_heart_summary")
)


@functools.cache
def timescale_url() -> str:
    """A server with TimescaleDB; its database is not set up yet."""
    elsewhere = os.environ.get("PULSEBASE_TEST_TIMESCALE_URL")
    if elsewhere:
        name = f"pulsebase_test_{uuid.uuid4().hex[:12]}"
        _execute(elsewhere, f"CREATE DATABASE {name}")
        atexit.register(_execute, elsewhere, f"DROP DATABASE {name} WITH (FORCE)")
        return urlsplit(elsewhere)._replace(path=f"/{name}").geturl()
    return start_timescale()


def start_timescale() -> str:
    """A new server with TimescaleDB; it ends with the test process."""
    need_program("node")
    need((_FOLDER / "node_modules").is_dir(), "TimescaleDB for tests: `make` installs it in tests/support/timescale")
    server = subprocess.Popen(
        ["node", "server.mjs"], cwd=_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    assert port, "TimescaleDB for tests did not start"
    atexit.register(server.communicate)  # closes its input, at which it ends
    return f"postgresql://postgres:any@127.0.0.1:{port}/template1"


@functools.cache
def timescale_database() -> str:
    """The URL of a database with TimescaleDB that is set up."""
    url = timescale_url()
    with connect(url) as connection:
        set_up(connection, Policies())
    return url


def empty(url: str) -> None:
    """Remove every row."""
    _execute(url, f"TRUNCATE {_TABLES}")


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(statement)
