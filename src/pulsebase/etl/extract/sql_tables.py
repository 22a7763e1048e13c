"""Read the tables `users` and `heart_rates` from a PostgreSQL database of another program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import psycopg

from pulsebase.etl.extract.parts import FileOwner, Part, clock_remarks
from pulsebase.etl.transform.civil import Ints, LocalClocks
from pulsebase.ingest.blocks import BLOCK_READINGS, Block
from pulsebase.ingest.candidates import Candidates
from pulsebase.model.errors import FieldError, RejectedError, StopError
from pulsebase.model.metrics import HEART_RATE
from pulsebase.model.readings import NO_CONFIDENCE, Ids
from pulsebase.model.users import User, checked_person
from pulsebase.stores.postgres.database import Connection, connect, first_line
from pulsebase.stores.postgres.instants import stream_columns

#: The device of readings, since the table names none.
DEVICE_ID = "heart_rates"
KIND = "tables users and heart_rates"

_INTEGERS = ("smallint", "integer", "bigint")
_TEXTS = ("text", "character varying")
_NUMBERS = (*_INTEGERS, "real", "double precision", "numeric")
_LOCAL_TIME = "timestamp without time zone"
#: The columns that are read and the types they may have. Other columns are ignored.
_EXPECTED = {
    "users": {"id": _INTEGERS, "name": _TEXTS, "gender": _TEXTS, "age": _INTEGERS},
    "heart_rates": {
        "id": _INTEGERS,
        "user_id": _INTEGERS,
        "timestamp": (_LOCAL_TIME, "timestamp with time zone"),
        "heart_rate": _NUMBERS,
    },
}
#: What stands for null, and for the times `infinity` and `-infinity`.
_NOTHING = -(1 << 63)
#: 9998-12-31T00:00:00. Offsets cannot be looked up beyond the year 9999.
_END_OF_CALENDAR_US = 253_370_678_400_000_000
#: By id, so that of several rows for one instant the one that was added last comes last.
_READINGS = f"""
SELECT id::bigint AS id, coalesce(user_id::bigint, {_NOTHING}) AS user_id,
       CASE WHEN isfinite(timestamp) THEN (extract(epoch FROM timestamp) * 1000000)::bigint ELSE {_NOTHING} END AS us,
       coalesce(heart_rate::double precision, 'NaN') AS heart_rate
FROM heart_rates ORDER BY id
"""
_TYPES = {"id": "i8", "user_id": "i8", "us": "i8", "heart_rate": "f8"}


@dataclass(frozen=True, slots=True)
class People:
    """The people of the table `users`. `errors` name the fields that were left out, by the id of the row."""

    users: list[User]
    errors: list[FieldError]


class SqlTables:
    """The two tables of one database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        columns = {table: self._columns(table) for table in _EXPECTED}
        for table, expected in _EXPECTED.items():
            if not columns[table]:
                raise StopError(f"the database has no table {table}; users and heart_rates are read{self._ours()}")
            for name, kinds in expected.items():
                there = columns[table].get(name, "missing")
                if there not in kinds:
                    raise StopError(
                        f"the table {table} differs: its column {name} is {there}, not {' or '.join(kinds)}"
                    )
        self._local = columns["heart_rates"]["timestamp"] == _LOCAL_TIME

    def count(self) -> int:
        """Return the number of readings."""
        ((count,),) = self._connection.execute("SELECT count(*) FROM heart_rates", binary=True).fetchall()
        return int(count)

    def people(self, today: date, age_on: date) -> People:
        """Return everybody; ages refer to the day `age_on`. A field that cannot be used is left out, but not the
        person.
        """
        users, errors = [], []
        rows = self._connection.execute("SELECT id, name, gender, age FROM users ORDER BY id", binary=True).fetchall()
        for number, *stated in rows:
            known: dict[str, Any] = {}
            for name, value in zip(("name", "gender", "age"), stated, strict=True):
                try:
                    known |= checked_person({name: value}, today, age_on)
                except RejectedError as error:
                    errors += [FieldError(each.field, each.reason, number) for each in error.errors]
            users.append(User(str(number), **known))
        return People(users, errors)

    def readings(self, owner: FileOwner) -> Iterator[Part]:
        """Yield every reading; positions are the ids of the rows. Times without a zone are read in each person's
        zone.
        """
        device_id, clocks = owner.device_id or DEVICE_ID, LocalClocks(owner.zone_of)
        for found in stream_columns(self._connection, _READINGS, {}, _TYPES, rows=BLOCK_READINGS):
            whole = np.ones(len(found["id"]), np.bool_)
            errors = []
            for name, missing in (
                ("user_id", found["user_id"] == _NOTHING),
                ("timestamp", found["us"] == _NOTHING),
                (HEART_RATE.name, np.isnan(found["heart_rate"])),
            ):
                errors += [FieldError(name, "is required", int(number)) for number in found["id"][missing & whole]]
                whole &= ~missing
            times_us = found["us"][whole]
            numbers, codes = np.unique(found["user_id"][whole], return_inverse=True)
            users = Ids(codes.astype(np.int32), [str(number) for number in numbers.tolist()])
            if self._local:
                times_us = _utc(times_us, users, clocks)
            count = len(times_us)
            candidates = Candidates(
                users,
                Ids.repeated(device_id, count),
                times_us,
                found["heart_rate"][whole],
                np.full(count, NO_CONFIDENCE, np.int8),
                found["id"][whole],
            )
            yield Block(candidates, errors, len(whole))
        yield from clock_remarks(clocks)

    def _columns(self, table: str) -> dict[str, str]:
        return dict(
            self._connection.execute(
                "SELECT attname::text, regexp_replace(format_type(atttypid, atttypmod), '\\(.*\\)', '') "
                "FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
                [table],
            ).fetchall()
        )

    def _ours(self) -> str:
        ((ours,),) = self._connection.execute("SELECT to_regclass('pulsebase.migrations') IS NOT NULL").fetchall()
        return "; it is a database of ours: pulsebase copy --from takes everything it holds" if ours else ""


def _utc(wall_us: Ints, users: Ids, clocks: LocalClocks) -> Ints:
    """Return local times in UTC. Times before 1970 or after 9998, which are refused anyway, stay as they are."""
    usual = np.flatnonzero((wall_us >= 0) & (wall_us < _END_OF_CALENDAR_US))
    wall_us[usual] = clocks.instants(wall_us[usual], users.take(usual))
    return wall_us


@contextlib.contextmanager
def sql_tables(url: str) -> Iterator[SqlTables]:
    """Yield the tables of the database at a libpq URL.

    Raises:
        StopError: the server cannot be reached, or the tables are not there or are other ones; also while they are
            read.
    """
    try:
        with connect(url) as connection:
            connection.execute("SET default_transaction_read_only = on")
            yield SqlTables(connection)
    except psycopg.Error as error:
        raise StopError(f"the tables cannot be read: {first_line(error)}") from None
