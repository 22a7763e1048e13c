"""Views in the cluster for people's own SQL, of the names and columns that a TimescaleDB store has for them.

They show merged readings, as those do: each row is of a commit that is done, and of a reading the last one. The cluster
knows people and devices by number alone, so each shard asks PostgreSQL for the names whenever a view is read, and keeps
none. Somebody who was removed is in no view from that moment on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import ProgrammingError, sql
from psycopg.conninfo import conninfo_to_dict

from pulsebase.model.errors import SettingsError, StopError
from pulsebase.stores.postgres.database import Connection

#: What the cluster reads in PostgreSQL: the table there, and its columns in the cluster.
_LOOKED_UP = {
    "sql_people": "person UInt64, user_id String",
    "sql_devices": "device UInt32, device_id String",
    "sql_state": "expired_us Int64",
}
_READINGS = "activities_heart_intraday"
#: Each view's columns. `person` is the number by which the tables are sorted; `SELECT *` leaves it out.
_ROLLED_UP = (
    "user_id String, {start} DateTime('UTC'), min_heart_rate Decimal(9, 2), max_heart_rate Decimal(9, 2), "
    "avg_heart_rate Decimal(18, 2), record_count UInt64, person UInt64 MATERIALIZED 0"
)
_COLUMNS = {
    _READINGS: "timestamp DateTime64(6, 'UTC'), value Decimal(9, 2), user_id String, device_id String, "
    "confidence Nullable(Int8), origin UInt32, person UInt64 MATERIALIZED 0",
    f"{_READINGS}_1m": _ROLLED_UP.format(start="minute"),
    f"{_READINGS}_1h": _ROLLED_UP.format(start="hour"),
    f"{_READINGS}_1d": _ROLLED_UP.format(start="day"),
}
_BPM = "CAST(toDecimal32({value}, 2) / 100, 'Decimal(9, 2)')"
_OF_READINGS = f"""
SELECT fromUnixTimestamp64Micro(r.time, 'UTC') AS timestamp, {_BPM.format(value="r.value")} AS value,
    p.user_id AS user_id, d.device_id AS device_id, nullIf(r.confidence, -1) AS confidence, r.origin AS origin,
    r.person AS person
FROM {{database}}.readings AS r FINAL
INNER JOIN {{database}}.sql_people AS p ON p.person = r.person
INNER JOIN {{database}}.sql_devices AS d ON d.device = r.device
WHERE r.metric = {{metric}} AND r.gone = 0 AND r.time >= (SELECT expired_us FROM {{database}}.sql_state)
"""
#: All devices side by side. Readings of confidence 0 are not counted.
_OF_ROLLUPS = f"""
SELECT p.user_id AS user_id, toDateTime(toUInt32(r.at * {{length_s}}), 'UTC') AS {{start}},
    {_BPM.format(value="r.low")} AS min_heart_rate, {_BPM.format(value="r.high")} AS max_heart_rate,
    CAST(round(toDecimal128(r.total, 8) / 100 / r.n, 2), 'Decimal(18, 2)') AS avg_heart_rate, r.n AS record_count,
    r.person AS person
FROM (
    SELECT person, intDiv({{of}}, {{parts}}) AS at, sum(of.n) AS n, sum(of.sum) AS total, min(of.min) AS low,
        max(of.max) AS high
    FROM {{database}}.{{of}}s FINAL ARRAY JOIN of
    WHERE metric = {{metric}} AND of.n > 0{{live}}
    GROUP BY person, at
) AS r
INNER JOIN {{database}}.sql_people AS p ON p.person = r.person
"""
_LIVE = " AND minute >= intDiv((SELECT expired_us FROM {database}.sql_state), 60000000)"


@dataclass(frozen=True, slots=True)
class NamesAt:
    """Where the servers of the cluster reach the PostgreSQL database, and as whom."""

    host: str
    database: str
    user: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, url: str) -> NamesAt:
        """Read `postgresql://user:password@host:port/database`.

        Raises:
            SettingsError: it is none; the message does not repeat it.
        """
        try:
            found = conninfo_to_dict(url)
        except ProgrammingError:
            found = {}
        host, database, user = (str(found.get(name) or "") for name in ("host", "dbname", "user"))
        if not (host and database and user):
            raise SettingsError("must be postgresql://user:password@host:5432/database, as the cluster reaches it")
        place = host if host.startswith("/") else f"{host}:{found.get('port') or 5432}"
        return cls(place, database, user, str(found.get("password") or ""))


def let_read(connection: Connection, names: NamesAt) -> None:
    """Let whoever asks for the names read them, and nothing else.

    Raises:
        StopError: there is no such user.
    """
    found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [names.user]).fetchone()
    if found is None:
        raise StopError(f"PULSEBASE_CLICKHOUSE_SQL_URL: the database has no user {names.user}; make one first")
    user = sql.Identifier(names.user)
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA pulsebase TO {}").format(user))
    for table in _LOOKED_UP:
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier("pulsebase", table), user))


def statements(database: str, cluster: str, metric: int, names: NamesAt) -> Sequence[str]:
    """Write the statements that make the views on one server, or make them anew. `metric` is heart rate's number."""
    access = ", ".join(map(_quoted, (names.host, names.database)))
    credentials = ", ".join(map(_quoted, (names.user, names.password, "pulsebase")))
    made = [
        f"CREATE OR REPLACE TABLE {database}.{table} ({columns}) "
        f"ENGINE = PostgreSQL({access}, {_quoted(table)}, {credentials})"
        for table, columns in _LOOKED_UP.items()
    ]
    live = _LIVE.format(database=database)
    of_shard = {
        _READINGS: _OF_READINGS,
        f"{_READINGS}_1m": _rolled_up("minute", "minute", 1, 60, live),
        f"{_READINGS}_1h": _rolled_up("hour", "hour", 1, 3600),
        f"{_READINGS}_1d": _rolled_up("day", "hour", 24, 86400),
    }
    for name, question in of_shard.items():
        text = question.format(database=database, metric=metric)
        made += [
            f"CREATE OR REPLACE VIEW {database}.shard_{name} AS {text}",
            f"CREATE OR REPLACE TABLE {database}.{name} ({_COLUMNS[name]}) "
            f"ENGINE = Distributed({cluster}, {database}, shard_{name}, person)",
        ]
    return made


def _rolled_up(start: str, of: str, parts: int, length_s: int, live: str = "") -> str:
    values = {"start": start, "of": of, "parts": str(parts), "length_s": str(length_s), "live": live}
    text = _OF_ROLLUPS
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
