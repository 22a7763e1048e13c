"""Setting a database up: what it must have, what is recognised and migrated, and what is refused by name."""

from __future__ import annotations

from datetime import timedelta

from psycopg import errors

from pulsebase.model.errors import StopError
from pulsebase.stores.postgres.database import Connection, first_line
from pulsebase.stores.postgres.migrations import (
    PostgresMigration,
    migrating,
    migrations_with,
    relation_exists,
    require_migrated,
)
from pulsebase.stores.postgres.summaries import SUMMARIES
from pulsebase.stores.timescale.merge import recompute, touch
from pulsebase.stores.timescale.options import Policies
from pulsebase.stores.timescale.raw_tables import HEART_RATES, RAW_TABLES
from pulsebase.stores.timescale.roles import VIEWS
from pulsebase.stores.timescale.rollup_sql import bucket

#: The rollups need `date_bin`, which came with version 14.
_OLDEST_POSTGRES = 140_000
#: Needs the extension; the tests leave it out where they run on plain PostgreSQL.
_HYPERTABLES = 2

#: A table of the store that keeps its readings in a cluster.
_OF_A_CLUSTER = "pulsebase.commit_marks"

#: The migration that makes views.
_MAKES_VIEWS = 6

_READINGS = HEART_RATES.full_name
#: What a table of the same name must have, whichever program made it: column → type.
_EXPECTED = {
    _READINGS: {"timestamp": "timestamp with time zone", "value": "numeric", "user_id": "text"},
    SUMMARIES: {
        "timestamp": "timestamp with time zone",
        "heart_rate_zones": "jsonb",
        "custom_heart_rate_zones": "jsonb",
        "user_id": "text",
    },
}
#: The columns we add to such a table; those it has already are recognised.
_ADDED = {
    _READINGS: {
        "device_id": "text NOT NULL DEFAULT 'fitbit'",
        "confidence": "smallint",
        "origin": "integer NOT NULL DEFAULT 0",
    },
    SUMMARIES: {"method": "text NOT NULL DEFAULT ''", "resting_heart_rate": "double precision"},
}


def migrations() -> list[PostgresMigration]:
    """Return every migration of the store, in order."""
    return migrations_with("pulsebase.stores.timescale")


def _wanted(hypertables: bool) -> list[PostgresMigration]:
    return [each for each in migrations() if hypertables or each.number != _HYPERTABLES]


def require_current(connection: Connection, *, hypertables: bool = True) -> None:
    """Raise `StopError` unless the database is set up for exactly this version of the program."""
    _require_no_cluster(connection)
    require_migrated(connection, _wanted(hypertables))


def set_up(connection: Connection, policies: Policies, *, hypertables: bool = True) -> list[int]:
    """Migrate the database to the newest schema, whatever it holds now; return the numbers of the migrations applied.

    Everything happens in one transaction under a lock, so it is done whole or not at all, and doing it again changes
    nothing.

    Raises:
        StopError: something is missing or in the way; the message names it. Nothing was changed.
    """
    if hypertables:
        _require_timescale(connection)
    with migrating(connection) as done:
        _require_no_cluster(connection)
        adopted = not done and _adopt(connection)
        todo = [each for each in _wanted(hypertables) if each.number not in done]
        for migration in todo:
            if migration.number == _MAKES_VIEWS:
                _require_free_names(connection)
            migration.apply(connection)
        if adopted:
            _roll_up_everything(connection)
        if hypertables:
            _apply_policies(connection, policies)
    return [migration.number for migration in todo]


def _require_no_cluster(connection: Connection) -> None:
    if relation_exists(connection, _OF_A_CLUSTER):
        raise StopError(
            "the database's readings are in a ClickHouse cluster: PULSEBASE_CLICKHOUSE_URL has to name it, or in a "
            "program clickhouse_url of open_store"
        )


def _require_timescale(connection: Connection) -> None:
    if connection.info.server_version < _OLDEST_POSTGRES:
        raise StopError(
            f"the server is PostgreSQL {connection.info.server_version // 10_000}; "
            f"{_OLDEST_POSTGRES // 10_000} or newer is needed"
        )
    found = connection.execute(
        "SELECT a.default_version, e.extversion FROM pg_available_extensions AS a "
        "LEFT JOIN pg_extension AS e ON e.extname = a.name WHERE a.name = 'timescaledb'"
    ).fetchone()
    if found is None:
        raise StopError(
            "the server has no TimescaleDB: install the extension timescaledb there, "
            "or use the embedded store (PULSEBASE_STORE_URL=duckdb:///…)"
        )
    if found[1] is None:
        try:
            connection.execute("CREATE EXTENSION timescaledb CASCADE")
        except errors.Error as error:
            raise StopError(
                f"the extension timescaledb is installed but cannot be enabled in this database: {first_line(error)}; "
                "it needs shared_preload_libraries = 'timescaledb' and a superuser to run CREATE EXTENSION timescaledb"
            ) from error
    require_community(connection)


def require_community(connection: Connection) -> None:
    """Raise `StopError` if the server runs the edition without aggregates and compression."""
    row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    if row is not None and row[0] == "apache":
        raise StopError(
            "the server has the Apache edition of TimescaleDB (timescaledb.license = 'apache'), which has neither "
            "continuous aggregates nor compression: install the community edition and set timescaledb.license = "
            "'timescale'"
        )


def _adopt(connection: Connection) -> bool:
    """Adopt tables that another program made, without devices; return whether there were readings.

    Raises:
        StopError: they differ in a way that cannot be migrated; nothing was changed.
    """
    for table, expected in _EXPECTED.items():
        if relation_exists(connection, table):
            _require_columns(connection, table, expected)
            _drop_keys(connection, table)
            for name, declaration in _ADDED[table].items():
                connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {declaration}")
    if relation_exists(connection, SUMMARIES):
        connection.execute(f"ALTER TABLE {SUMMARIES} ALTER COLUMN resting_heart_rate TYPE double precision")
    if not relation_exists(connection, _READINGS):
        return False
    odd = connection.execute(f"SELECT count(*) FROM {_READINGS} WHERE value NOT BETWEEN 0 AND 327.67").fetchone()
    if odd is not None and odd[0]:
        raise StopError(f"{_READINGS}: {odd[0]} rows have a value outside 0 to 327.67; correct or remove them first")
    return True


def _require_free_names(connection: Connection) -> None:
    for name in VIEWS:
        if relation_exists(connection, name):
            raise StopError(f"{name} exists already, and a view of ours needs that name; rename it first")


def _require_columns(connection: Connection, table: str, expected: dict[str, str]) -> None:
    kind = connection.execute("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", [table]).fetchone()
    if kind is None or kind[0] not in ("r", b"r", "p"):
        raise StopError(f"{table} exists and is not a table; rename it first")
    columns = {
        name: (kind, required)
        for name, kind, required in connection.execute(
            "SELECT a.attname::text, regexp_replace(format_type(a.atttypid, a.atttypmod), '\\(.*\\)', ''), "
            "a.attnotnull AND NOT a.atthasdef FROM pg_attribute AS a "
            "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped",
            [table],
        ).fetchall()
    }
    for name, kind_needed in expected.items():
        there = columns.get(name, ("missing", False))[0]
        if there != kind_needed:
            raise StopError(f"{table} was made by another program: its column {name} is {there}, not {kind_needed}")
    for name, (_, required) in columns.items():
        if required and name not in expected and name not in _ADDED[table]:
            raise StopError(f"{table} was made by another program: its column {name} must be filled, and is not known")


def _drop_keys(connection: Connection, table: str) -> None:
    """Drop primary and unique keys, which do not include devices."""
    constraints = connection.execute(
        "SELECT quote_ident(conname) FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype IN ('p', 'u')",
        [table],
    ).fetchall()
    for (name,) in constraints:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    indexes = connection.execute(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = to_regclass(%s) AND indisunique", [table]
    ).fetchall()
    for (name,) in indexes:
        connection.execute(f"DROP INDEX {name}")


def _roll_up_everything(connection: Connection) -> None:
    connection.execute(
        f"INSERT INTO pulsebase.users (user_id) SELECT user_id FROM {_READINGS} "
        f"UNION SELECT user_id FROM {SUMMARIES} ON CONFLICT DO NOTHING"
    )
    connection.execute(
        f"INSERT INTO pulsebase.devices SELECT DISTINCT user_id, device_id FROM {_READINGS} ON CONFLICT DO NOTHING"
    )
    connection.execute(
        "INSERT INTO pulsebase.origins (origin, kind, name) VALUES (0, 'adopted', 'activities_heart_intraday') "
        "ON CONFLICT DO NOTHING"
    )
    touch(connection, f"SELECT DISTINCT user_id, {bucket('1 hour')} FROM {_READINGS}")
    recompute(connection)


def _apply_policies(connection: Connection, policies: Policies) -> None:
    for table in RAW_TABLES:
        _apply_compression(connection, table.full_name, policies)


def _apply_compression(connection: Connection, table: str, policies: Policies) -> None:
    enabled = connection.execute(
        "SELECT compression_enabled FROM timescaledb_information.hypertables "
        "WHERE format('%%I.%%I', hypertable_schema, hypertable_name) = %s",
        [table],
    ).fetchone()
    if enabled is not None and not enabled[0]:
        connection.execute(
            f"ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = "
            "'user_id, device_id', timescaledb.compress_orderby = 'timestamp')"
        )
    wanted = timedelta(days=policies.compress_after_days) if policies.compress_after_days else None
    existing = connection.execute(
        "SELECT (config ->> 'compress_after')::interval FROM timescaledb_information.jobs "
        "WHERE proc_name = 'policy_compression' AND format('%%I.%%I', hypertable_schema, hypertable_name) = %s",
        [table],
    ).fetchone()
    if wanted == (existing[0] if existing else None):
        return
    connection.execute(f"SELECT remove_compression_policy('{table}', if_exists => true)")
    if wanted:
        # Not immediately: years of readings may be about to arrive, person after person, and rows for compressed chunks
        # cost the server several times as much.
        connection.execute(
            f"SELECT add_compression_policy('{table}', INTERVAL '{policies.compress_after_days} days', "
            "initial_start => now() + INTERVAL '1 day')"
        )
